"""Other photos that a picture is compared with, and what an atlas knows of its unit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deconvnet._errors import ArgumentError
from deconvnet.cli.network import Network
from deconvnet.cli.options import PhotoFlags
from deconvnet.cli.result import counted
from deconvnet.cli.stderr import say

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet._types import Unit
    from deconvnet.atlas.reader import Atlas
    from deconvnet.photos.sets import PhotoSet

_MOST = 64
_BATCH = 16


@dataclass(frozen=True, eq=False)
class OtherPhotos:
    """What a picture is compared with, as `probes.trust` takes it.

    Attributes:
        images: inputs made of other photos.
        liked: of photos that the unit likes.
        percentile: of a unit and its activation.
        notes: what the user should know.
    """

    images: "Tensor | None" = None
    liked: "Tensor | None" = None
    percentile: "Callable[[Unit, float], float | None] | None" = None
    notes: tuple[str, ...] = ()


def other_photos(
    network: Network, others: str | None, atlas: Path | None, unit: "Unit", x: "Tensor", reading: PhotoFlags
) -> OtherPhotos:
    """Read other photos, and what an atlas knows.

    Args:
        network: that they become inputs of.
        others: a set of photos, as `open_photos` takes it.
        atlas: its folder.
        unit: whose picture it is.
        x: its image.
        reading: how photos are read.

    Raises:
        ArgumentError: the atlas is of another network.
        LayerNotFoundError: the atlas does not have the unit's layer.
        AtlasError, PhotoError: one of them cannot be read.
    """
    photos = None if others is None else _opened(others, reading)
    images = None if photos is None else _inputs(network, photos, None)
    if atlas is None:
        return OtherPhotos(images)
    opened = _atlas_of(network, atlas)
    opened.stats(unit.layer)  # raises where there is no such layer
    if photos is None or photos.fingerprint != opened.manifest.photos.fingerprint:
        hint = "The atlas's own photos as --others would tell which of them the unit likes."
        return OtherPhotos(images, None, _percentile_of(opened), (hint,))
    top = [each.index for each in opened.top(unit.layer, unit.channel or 0)]
    liked = _inputs(network, photos, top) if top else None
    if liked is not None:
        liked = liked[[i for i in range(len(liked)) if not bool((liked[i] == x[0]).all())]]
    return OtherPhotos(images, liked if liked is not None and len(liked) else None, _percentile_of(opened))


def _opened(others: str, reading: PhotoFlags) -> "PhotoSet":
    from deconvnet.cli.photos import is_source
    from deconvnet.photos.sets import open_photos

    is_set = is_source(others) or reading.suffix is not None
    return open_photos(others, **reading.options) if is_set else open_photos([others])


def _inputs(network: Network, photos: "PhotoSet", indices: list[int] | None) -> "Tensor":
    """Inputs made of some photos; those that cannot be read are reported.

    Raises:
        PhotoError: all of them cannot be read.
    """
    import torch

    from deconvnet._errors import PhotoError
    from deconvnet.probes.inputs import Inputs

    inputs = Inputs(photos, network.loaded, _BATCH, _MOST if indices is None else None)
    parts = [images for _, images in inputs.batches(indices)]
    for name, why in inputs.skipped.items():
        say(why if name in why else f"{name}: {why}")
    if not parts:
        raise PhotoError(f"none of the {counted(len(inputs), 'photo')} of --others can be read.")
    return torch.cat(parts)


def _atlas_of(network: Network, folder: Path) -> "Atlas":
    """The atlas in a folder.

    Raises:
        ArgumentError: it is of another network, or of other weights.
    """
    from deconvnet.atlas.options import weights_hash
    from deconvnet.atlas.reader import Atlas
    from deconvnet.network import attached

    opened = Atlas.open(folder)
    if opened.manifest.model.weights != weights_hash(attached(network.net)):
        raise ArgumentError(
            f"the atlas in {str(folder)!r} is of {opened.manifest.model.spec} with other weights than {network.name}: "
            "give the atlas of this network."
        )
    return opened


def _percentile_of(atlas: "Atlas") -> "Callable[[Unit, float], float | None]":
    """The percentile of an activation among each photo's strongest of the map, from the atlas's quantiles.

    It is interpolated between these; below the lowest it is that one's, 10.
    """
    import numpy as np

    def percentile(unit: "Unit", activation: float) -> float | None:
        stats = atlas.stats(unit.layer)[unit.channel or 0]
        quantiles = [stats.q10, stats.q50, stats.q90, stats.q99, stats.max]
        return float(np.interp(activation, quantiles, [10, 50, 90, 99, 100]))

    return percentile
