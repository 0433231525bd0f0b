"""Steps down for single units: the signal of each in a window that grows with every step, from one pixel."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet.core.down import Way, undone
from deconvnet.core.graph import Step, Value
from deconvnet.core.rules import Call, Memory
from deconvnet.core.up import Trace
from deconvnet.windows.frames import Frames, added, moved, united, whole_maps
from deconvnet.windows.steps import LocalStep

# By the name of a value, the signals that have come to it, each with the windows that it lies in.
Arrived: TypeAlias = dict[str, list[tuple[Tensor, Frames]]]
Watch = Callable[[Value, Tensor, Frames], object]


def carry_down_in_windows(
    way: Way,
    steps: Sequence[LocalStep],
    trace: Trace,
    remembered_at: Mapping[str, Frames],
    images: Int[np.ndarray, " m"],
    arrived: Arrived,
    watch: Watch | None = None,
) -> None:
    """Carry the signals of single units through steps of the way, as `core.down.carry_down` does on whole maps.

    Args:
        way: what is undone.
        steps: of the way, as they run in windows, in the order of the way down.
        trace: the forward pass whose switches are used.
        remembered_at: by step, the windows that it was remembered in; whole maps elsewhere.
        images: of each unit, its image in the forward pass.
        arrived: what has come to some values; changed in place.
        watch: called with a value as soon as all of its signal has come, and where its windows lie.
    """
    for local in steps:
        name = local.step.output.name
        parts = arrived.pop(name, None)
        if parts is None:
            continue
        signal, frames = together(parts, local.step.output.map_size)
        if watch is not None:
            watch(local.step.output, signal, frames)
        below, above = local.reached(frames)
        memory = _windows_of(trace, remembered_at.get(name), local.step, above, images)
        call = Call(local.sized(above.size, below.size), way.rules, len(signal), trace.tensors, memory)
        for value, part in undone(call, way.chosen[name], moved(signal, frames, above)):
            arrived.setdefault(value.name, []).append((part, below))


def together(parts: Sequence[tuple[Tensor, Frames]], size: tuple[int, ...]) -> tuple[Tensor, Frames]:
    """The sum of the signals that have arrived at a value, in windows that hold them as far as they lie on the map."""
    if all(frames.size == size and not frames.low.any() for _, frames in parts):
        return sum((part for part, _ in parts[1:]), parts[0][0]), parts[0][1]
    frames = united([frames for _, frames in parts], size)
    return added(parts, frames), frames


def on_whole_map(parts: Sequence[tuple[Tensor, Frames]], size: tuple[int, ...]) -> Float[Tensor, "m c *size"]:
    """The sum of the signals that have arrived at a value, on its whole map, for the way down on whole maps."""
    signal, frames = together(parts, size)
    return signal if frames.size == size else moved(signal, frames, whole_maps(len(signal), size))


def _windows_of(trace: Trace, at: Frames | None, step: Step, to: Frames, images: Int[np.ndarray, " m"]) -> Memory:
    """What was remembered of a step, cut to the windows `to`."""
    at = at or whole_maps(trace.images, step.output.map_size)
    return {
        name: moved(tensor, at, to, images) if tuple(tensor.shape[2:]) == at.size else tensor[images]
        for name, tensor in trace.memory.get(step.output.name, {}).items()
    }
