"""Other images run through a unit's network, a few at a time."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from deconvnet.network import attached
from deconvnet.probes.pictured import Pictured
from deconvnet.ways import watch_activations

_MOST = 8


def images_at_once(pictured: Pictured) -> int:
    """How many images are run together on the way up to the unit: eight, or fewer where the memory budget is small."""
    engine = attached(pictured.net)
    costs = engine.costs(engine.graph(pictured.x), pictured.unit.layer)
    return max(1, min(_MOST, engine.budget(pictured.memory) // costs.bytes_up(costs.width)))


def watch_in_batches(
    pictured: Pictured, images: Tensor, layers: Sequence[str], watch: Callable[[str, Tensor], object]
) -> None:
    """Call `watch` with each layer, of a few images at a time.

    They are always as many, the last ones filled up with zeros, so that the last bits of what an image gives do not
    depend on how many there are.
    """
    count = images_at_once(pictured)
    for part in torch.split(images, count):
        filled = torch.cat([part, part.new_zeros(count - len(part), *part.shape[1:])])
        watch_activations(pictured.net, filled, layers, partial(_look, watch, len(part)))


def _look(watch: Callable[[str, Tensor], object], count: int, layer: str, maps: Tensor) -> None:
    watch(layer, maps[:count])
