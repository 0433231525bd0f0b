"""Pictures of what was learned, for people."""

from PIL import Image

from deconvnet.learn.learned import Learned
from deconvnet.learn.pixels import parts, pixel_filters
from deconvnet.photos.photo import PhotoLike
from deconvnet.pictures.render import crop, energy_box, limit_of, render
from deconvnet.pictures.sheets import Cell, sheet, side_by_side


def draw_filters(found: Learned, layer: int) -> Image.Image:
    """The filters of a layer in pixels, each on a scale of its own, as the papers show them.

    Args:
        found: what was learned.
        layer: its number.

    Raises:
        ArgumentError: no such layer.
    """
    filters = pixel_filters(found.net, layer)
    side = filters.shape[-1]
    cells = [Cell((render(one),), "") for one in filters]
    title = f"Layer {layer}: {len(cells)} filters, each {side} x {side} pixels"
    columns = 5 if len(cells) <= 25 else 10
    return sheet(cells, columns=columns, cell_size=min(max(64, 2 * side), 160), title=title)


def draw_reconstructions(found: Learned, photo: PhotoLike, *, max_iter: int = 100) -> Image.Image:
    """A photo, normalised as the network takes it, beside what each layer's maps paint of it, on one scale.

    Args:
        found: what was learned.
        photo: as `load_photo` takes it.
        max_iter: of inference.

    Raises:
        PhotoError, ArgumentError: as `load_photo`.
    """
    images = found.images(photo)
    codes = found.net.infer(images, max_iter=max_iter)
    limit = limit_of(images)
    shown, captions = [render(images[0], limit=limit)], ["the photo, contrast normalised"]
    for number, layer in enumerate(codes.layers, 1):
        painted = found.net.reconstruct(codes, number)
        error = float((painted - images).square().sum()) / (float(images.square().sum()) or 1.0)
        active = float((layer.z != 0).float().mean())
        shown.append(render(painted[0], limit=limit))
        captions.append(f"painted by layer {number}: {active:.2%} of its activations, error {error:.1%}")
    return side_by_side(shown, captions)


def draw_parts(found: Learned, photo: PhotoLike, *, max_iter: int = 100) -> Image.Image:
    """The strongest activation of the last layer in a photo, and its parts in each layer below (2011, figure 1).

    Args:
        found: what was learned.
        photo: as `load_photo` takes it.
        max_iter: of inference.

    Raises:
        PhotoError, ArgumentError: as `load_photo`; nothing is active.
    """
    images = found.images(photo)
    codes = found.net.infer(images, max_iter=max_iter)
    found_parts = parts(found.net, codes)
    top = next(iter(found_parts.values()))[0]
    seen = energy_box(top, 0.999)
    cells = [Cell((render(crop(images[0], seen)),), "the photo there, contrast normalised")]
    for layer, painted in found_parts.items():
        count = len(painted)
        words = "the strongest activation" if layer == len(codes) else f"its {count} strongest parts together"
        cells.append(Cell((render(crop(painted.sum(0), seen)),), f"layer {layer}: {words}"))
    return sheet(cells, columns=len(cells), cell_size=224)
