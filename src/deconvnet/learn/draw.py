"""Pictures of what was learned."""

from deconvnet._checks import instance
from deconvnet.learn.learned import Learned
from deconvnet.learn.pixels import parts, pixel_filters
from deconvnet.photos.photo import PhotoLike
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout
from deconvnet.pictures.render import crop, energy_box, limit_of, render
from deconvnet.pictures.sheets import Cell, sheet


def draw_filters(learned: Learned, layer: int) -> Figure:
    """The filters of a layer in pixels, each on a scale of its own, as the papers show them.

    Args:
        learned: from `learn_photos` or `Learned.open`.
        layer: which, from 1.

    Raises:
        ArgumentError: no such layer.
    """
    filters = pixel_filters(instance("learned", learned, Learned).net, layer)
    side = filters.shape[-1]
    cells = [Cell((render(pixels),), "") for pixels in filters]
    title = f"Layer {layer}: {len(cells)} filters, each {side} x {side} pixels"
    columns = 5 if len(cells) <= 25 else 10
    return sheet(cells, Layout(title=title), columns=columns, tile=min(max(64, 2 * side), 160))


def draw_reconstructions(learned: Learned, photo: PhotoLike, *, max_iter: int = 100) -> Figure:
    """A photo, normalised as the network takes it, beside what each layer's maps paint of it, on one scale.

    Args:
        learned: from `learn_photos` or `Learned.open`.
        photo: as `load_photo` takes it.
        max_iter: at most this many iterations of inference.

    Raises:
        PhotoError, ArgumentError: as `load_photo`.
    """
    images = instance("learned", learned, Learned).images(photo)
    codes = learned.net.infer(images, max_iter=max_iter)
    limit = limit_of(images)
    pictures, captions = [render(images[0], limit=limit)], ["the photo, contrast normalised"]
    for i, layer in enumerate(codes.layers, 1):
        painted = learned.net.reconstruct(codes, i)
        error = float((painted - images).square().sum()) / (float(images.square().sum()) or 1.0)
        active = float((layer.z != 0).float().mean())
        pictures.append(render(painted[0], limit=limit))
        captions.append(f"painted by layer {i}: {active:.2%} of its activations, error {error:.1%}")
    cells = [Cell((image,), words) for image, words in zip(pictures, captions, strict=True)]
    return sheet(cells, columns=len(cells), tile=min(max(*pictures[0].size, 224), 512))


def draw_parts(learned: Learned, photo: PhotoLike, *, max_iter: int = 100) -> Figure:
    """The strongest activation of the last layer in a photo, and its parts in each layer below (2011, figure 1).

    Args:
        learned: from `learn_photos` or `Learned.open`.
        photo: as `load_photo` takes it.
        max_iter: at most this many iterations of inference.

    Raises:
        PhotoError, ArgumentError: as `load_photo`; nothing is active.
    """
    images = instance("learned", learned, Learned).images(photo)
    codes = learned.net.infer(images, max_iter=max_iter)
    of_layers = parts(learned.net, codes)
    box = energy_box(of_layers[len(codes)][0], 0.999)
    cells = [Cell((render(crop(images[0], box)),), "the photo there, contrast normalised")]
    for layer, painted in of_layers.items():
        count = len(painted)
        words = "the strongest activation" if layer == len(codes) else f"its {count} strongest parts together"
        cells.append(Cell((render(crop(painted.sum(0), box)),), f"layer {layer}: {words}"))
    return sheet(cells, columns=len(cells), tile=224)
