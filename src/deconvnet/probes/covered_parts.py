"""`correspondence`: the same part covered in several photos, and how alike features change (table 1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor

from deconvnet._checks import as_list, callback, instance, short, whole_number
from deconvnet._devices import in_float64
from deconvnet._errors import ArgumentError
from deconvnet._types import Box
from deconvnet.engine.activations import activations
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer
from deconvnet.engine.usual_layers import map_and_high
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.photo import Photo, PhotoLike
from deconvnet.photos.preprocess import Preprocess
from deconvnet.probes.arguments import checked_layers, checked_names
from deconvnet.probes.correspondence_table import MOST_PICTURES, Correspondence, PartChanges, cover
from deconvnet.probes.part_boxes import Part, box_of, matched, read_parts
from deconvnet.probes.sign_changes import hamming, over_pairs, p_value, signs
from deconvnet.probes.thumbnails import pictures_of

_AT_ONCE = 16  # images in a pass
_MOST_PLACEMENTS, _PERMUTATIONS = 1000, 10_000
_FILL = (0.0,)  # the mean pixel, which preprocessing has subtracted
_MOST_SEED = 2**32 - 1


def correspondence(
    net: DeconvNet,
    photos: Sequence[PhotoLike],
    parts: str | Path | Sequence[Part],
    *,
    loaded: LoadedModel,
    layers: Sequence[Layer] | Layer | None = None,
    names: Sequence[str] | None = None,
    placements: int = 10,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Correspondence:
    """Whether a network relates the same part of different photos: the paper's table 1 (section 4.3).

    The part is covered with the mean pixel in each photo, and each feature of a layer gains, loses or stays as it is:
    a sign of 1, 0 or -1. The smaller the share of features in which the signs of two photos differ (the normalised
    Hamming distance, the mean over all pairs of photos), the more the part does the same in both. As a control, regions
    of the same size, at random positions of the same photos, are covered in its place.

    A p-value says how often random regions are as consistent: the part changes places with the random regions of its
    photo, the same number of times for all of them, which would make no difference if it were like any region. It is
    (1 + permutations with a mean distance not above that of the part) / (1 + permutations), of 10,000.

    Regions that change few features agree in all others, so that a part can be more consistent only because it matters
    less; the shares of features that change are in the result, and are to be looked at, too.

    Args:
        net: the network.
        photos: at least two; anything `load_photo` takes.
        parts: where parts lie, in pixels of the photos: a CSV or JSON file, or a list of `Part`; see there.
        loaded: the network with its preprocessing.
        layers: names or modules; by default the last layer with maps and the last hidden layer.
        names: of the photos, as `parts` calls them; by default their paths, "sample:chelsea", or "image 0".
        placements: random regions in each photo.
        seed: of the random numbers.
        progress: called as progress(covered regions done, covered regions in all).

    Raises:
        ArgumentError: parts that cannot be read, lie outside their photo or outside what the network sees, name a photo
            that is not there, or are named in one photo alone; a network of volumes.
        PhotoError: a photo cannot be read.
        LayerNotFoundError, NotFiniteError: as in `DeconvNet`.
    """
    engine, report = attached(net), callback("progress", progress)
    preprocess = instance("loaded", loaded, LoadedModel).preprocess
    preprocess.check_images("correspondence")
    listed = _listed(photos)
    called = tuple(map(_name, listed, range(len(listed)))) if names is None else checked_names(names, len(listed))
    count = whole_number("placements", placements, 1, _MOST_PLACEMENTS)
    chance = np.random.default_rng(whole_number("seed", seed, 0, _MOST_SEED))
    where = matched(read_parts(parts), called)
    used = sorted({i for of_part in where.values() for i in of_part})
    read = {i: preprocess.read(listed[i]) for i in used}
    regions = [_Region(part, of_part, read, preprocess, count, chance) for part, of_part in where.items()]
    x = {i: preprocess.image(photo).to(loaded.example_input) for i, photo in read.items()}
    with engine.computing():
        graph = engine.graph(x[used[0]])
        chosen = list(map_and_high(engine, graph)) if layers is None else checked_layers(engine, graph, layers)
        parts_changes, done = list[PartChanges](), 0
        for region in regions:
            of_photos = list[dict[str, Tensor]]()
            for i, boxes in region.boxes.items():
                of_photos.append(_signs(engine, x[i], boxes, chosen))
                done += len(boxes)
                if report is not None:
                    report(done, sum(len(boxes) for each in regions for boxes in each.boxes.values()))
            parts_changes.append(_compared(region, of_photos, chosen, used, chance))
    pictures, around = pictures_of(
        torch.cat([x[i] for i in used[:MOST_PICTURES]]), _FILL * x[used[0]].shape[1], preprocess
    )
    return Correspondence(
        tuple(called[i] for i in used), tuple(chosen), tuple(parts_changes), pictures, around, count, _PERMUTATIONS,
        int(seed), tuple(_notes(called, used, regions)),
    )  # fmt: skip


class _Region:
    """Where a part lies in the inputs that photos become, and random regions of its size.

    Attributes:
        part: its name.
        boxes: by index of the photo, the part's, and then the random ones.
        cropped: names of photos of which the network sees only some of the part.

    Raises:
        ArgumentError: the part is named in one photo, lies outside it or outside what the network sees, or fills that.
    """

    def __init__(
        self,
        part: str,
        where: Mapping[int, Part],
        photos: Mapping[int, Photo],
        preprocess: Preprocess,
        placements: int,
        chance: np.random.Generator,
    ) -> None:
        if len(where) < 2:
            (alone,) = where.values()
            raise ArgumentError(
                f"{part!r} is named in one photo alone, {alone.photo!r}, and pairs of photos are compared: name it in "
                "at least two, or leave it out."
            )
        self.part, self.cropped, self.boxes = part, list[str](), dict[int, list[Box]]()
        for i, each in sorted(where.items()):
            size = photos[i].size
            box = preprocess.box_in_input(box_of(each, size), size)
            inside = _inside(box, preprocess.size)
            if min(inside.size) < 1:
                seen = preprocess.box_in_photo(Box((0, 0), preprocess.size), size)
                raise ArgumentError(
                    f"the network does not see {part!r} of {each.photo!r}: of the photo it is given rows "
                    f"{seen.low[0]} to {seen.high[0]} and columns {seen.low[1]} to {seen.high[1]}. Leave the part out, "
                    "or crop the photo."
                )
            if inside.size == preprocess.size:
                raise ArgumentError(
                    f"{part!r} of {each.photo!r} is all that the network sees, so that no other region is left to "
                    "compare it with. Give a smaller box."
                )
            self.cropped += [each.photo] if inside != box else []
            self.boxes[i] = [inside, *_random(inside, preprocess.size, placements, chance)]


def _inside(box: Box, size: tuple[int, ...]) -> Box:
    """What of a box lies inside an input; of no length along an axis where nothing does."""
    low = tuple(max(a, 0) for a in box.low)
    return Box(low, tuple(max(min(b, length), a) for a, b, length in zip(low, box.high, size, strict=True)))


def _random(box: Box, size: tuple[int, ...], count: int, chance: np.random.Generator) -> Iterator[Box]:
    """Boxes of the same size, anywhere in the input."""
    lengths = box.size
    most = [whole - length + 1 for whole, length in zip(size, lengths, strict=True)]
    for corner in chance.integers(0, most, (count, len(size))).tolist():
        yield Box(tuple(corner), tuple(low + length for low, length in zip(corner, lengths, strict=True)))


def _signs(
    engine: Attachment, image: Float[Tensor, "1 c h w"], boxes: Sequence[Box], layers: Sequence[str]
) -> dict[str, Int8[Tensor, "m d"]]:
    """At each layer, the signs of what changes where each of the boxes is covered.

    Each pass holds the image as it is, so that rounding is the same on both sides.
    """
    listed: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for low in range(0, len(boxes), _AT_ONCE - 1):
        covered = [cover(image[0], box, _FILL * image.shape[1])[None] for box in boxes[low : low + _AT_ONCE - 1]]
        for layer, values in activations(engine, torch.cat([image, *covered]), layers).items():
            flat = values.flatten(1)
            listed[layer].append(signs(flat[0], flat[1:]))
    return {layer: torch.cat(parts) for layer, parts in listed.items()}


def _compared(
    region: _Region, of_photos: Sequence[Mapping[str, Tensor]], layers: Sequence[str], used: Sequence[int],
    chance: np.random.Generator,
) -> PartChanges:  # fmt: skip
    n, masks = len(of_photos), len(next(iter(region.boxes.values())))
    distances, random, changed, p_values = list[Tensor](), list[Tensor](), list[Tensor](), list[float]()
    for layer in layers:
        of_layer = torch.cat([signs_of[layer] for signs_of in of_photos])
        all_pairs = hamming(of_layer).reshape(n, masks, n, masks)
        chosen = [torch.from_numpy(over_pairs(all_pairs, np.full(n, mask))) for mask in range(masks)]
        distances.append(chosen[0])
        random.append(torch.stack(chosen[1:]))
        shares = in_float64(of_layer != 0).mean(1).reshape(n, masks).mean(0).cpu()
        changed.append(torch.stack([shares[0], shares[1:].mean()]))
        p_values.append(p_value(all_pairs, _PERMUTATIONS, chance))
    part_changed, random_changed = torch.stack(changed).unbind(1)
    boxes, examples = (tuple(listed[mask] for listed in region.boxes.values()) for mask in (0, 1))
    return PartChanges(
        region.part, tuple(used.index(i) for i in region.boxes), boxes, examples, torch.stack(distances),
        torch.stack(random), part_changed.clone(), random_changed.clone(),
        torch.tensor(p_values, dtype=torch.float64, device="cpu"),
    )  # fmt: skip


def _listed(photos: object) -> list[PhotoLike]:
    listed = as_list(photos)
    if listed is None:
        raise ArgumentError(f"photos is a list of photos; got {short(photos)}.")
    return listed


def _name(photo: PhotoLike, i: int) -> str:
    if isinstance(photo, Photo):
        return photo.name
    return str(photo) if isinstance(photo, str | Path) else f"image {i}"


def _notes(called: Sequence[str], used: Sequence[int], regions: Sequence[_Region]) -> Iterator[str]:
    unused = [name for i, name in enumerate(called) if i not in used]
    if unused:
        yield f"No part is named in {len(unused)} of the photos, such as {unused[0]!r}: they were not used."
    for region in regions:
        if region.cropped:
            yield f"The network sees only some of {region.part!r} in {', '.join(map(repr, region.cropped))}."
