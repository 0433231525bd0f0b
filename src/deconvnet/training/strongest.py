"""The strongest activation of chosen feature maps over all photos; one pass, which keeps one photo for each map."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deconvnet._errors import NotFiniteError
from deconvnet.network import DeconvNet
from deconvnet.training.images import Images
from deconvnet.ways import watch_activations


@dataclass(frozen=True, eq=False)
class Peak:
    """The strongest activation of a feature map.

    Attributes:
        activation: above 0.
        position: index per spatial axis.
        photo: what identifies it.
        image: of that photo, as the model takes it; on the CPU.
    """

    activation: float
    position: tuple[int, ...]
    photo: str
    image: Tensor


Peaks = dict[str, list[Peak | None]]
"""By layer, of each chosen map; None where no activation is above 0."""


def strongest(
    net: DeconvNet, source: Iterable[Images], layers: Mapping[str, Sequence[int]], like: Tensor
) -> tuple[Peaks, int, list[tuple[str, str]]]:
    """The strongest activations; of equal ones the first that was seen.

    Args:
        net: the network.
        source: all images.
        layers: by name, the chosen maps.
        like: of the type and on the device that the model takes.

    Returns:
        The peaks, how many photos were seen, and name of each that could not be read, and why.

    Raises:
        NotFiniteError: a chosen map holds NaN or infinity.
        ArgumentError, PhotoError: the source gives no images.
    """
    peaks: Peaks = {layer: [None] * len(channels) for layer, channels in layers.items()}
    count, skipped = 0, list[tuple[str, str]]()
    for batch in source:
        skipped += batch.skipped
        if len(batch.x):
            _add(peaks, net, batch, layers, like)
            count += len(batch.x)
    return peaks, count, skipped


def _add(peaks: Peaks, net: DeconvNet, batch: Images, layers: Mapping[str, Sequence[int]], like: Tensor) -> None:
    measured: dict[str, tuple[Tensor, Tensor, Tensor, tuple[int, ...]]] = {}

    def measure(layer: str, values: Tensor) -> None:
        maps = values[:, list(layers[layer])]
        each, positions = maps.reshape(*maps.shape[:2], -1).max(2)
        best, rows = each.max(0)  # NaN is the largest of all
        where = positions.gather(0, rows[None])[0]
        measured[layer] = best.float().cpu(), rows.cpu(), where.cpu(), tuple(maps.shape[2:])

    watch_activations(net, batch.x.to(like), list(layers), measure)
    images: dict[int, Tensor] = {}  # of a photo that is the strongest of several maps one copy
    for layer, (best, rows, where, size) in measured.items():
        if not bool(torch.isfinite(best).all()):
            raise NotFiniteError(f"layer {layer!r} gives NaN or infinity.")
        for m, (value, row, position) in enumerate(zip(best.tolist(), rows.tolist(), where.tolist(), strict=True)):
            before = peaks[layer][m]
            if value <= (0.0 if before is None else before.activation):
                continue
            if row not in images:
                images[row] = batch.x[row].detach().cpu().clone()
            index = tuple(map(int, np.unravel_index(position, size))) if size else ()
            peaks[layer][m] = Peak(value, index, batch.name(row), images[row])
