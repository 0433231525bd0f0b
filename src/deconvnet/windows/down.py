"""Steps down for single units: the signal of each in a window that grows with every step, from one pixel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from deconvnet._devices import sent
from deconvnet.core.down import Way, undone
from deconvnet.core.graph import Value
from deconvnet.core.rules import Call, Memory
from deconvnet.core.up import Trace
from deconvnet.windows import kernels
from deconvnet.windows.arrivals import Part, Pooled, Remembered
from deconvnet.windows.frames import Frames, copy_to, united, whole_maps
from deconvnet.windows.steps import LocalStep, StepFrames, frames_of_steps

Arrived: TypeAlias = dict[str, list[Part]]  # by the name of a value, the signals that have come to it
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
    frames, _ = frames_of_steps(steps, {name: [part.frames for part in parts] for name, parts in arrived.items()})
    memory = _Memory(trace, remembered_at, images, {local.step.output.name: local.step.output for local in steps})
    _copy_to_accelerator(arrived, frames, memory)
    for local in steps:
        step, name = local.step, local.step.output.name
        parts = arrived.pop(name, None)
        if parts is None:
            continue
        of, rule = frames[name], way.chosen[name]
        fused = _fuses(parts[0].signal)
        if fused and (rule.rectifies or rule.masks) and watch is None:
            mask = memory.where_it_lies(name, "mask") if rule.masks else None
            signal = together(parts, of.at, rectify=rule.rectifies, mask=mask)
            arrived.setdefault(local.below[0].name, []).append(Part(signal, of.below, own=True))
            continue
        signal = together(parts, of.at)
        own = watch is None and (signal is not parts[0].signal or (len(parts) == 1 and parts[0].own))
        if watch is not None:
            watch(step.output, signal, of.at)
        if fused and rule.unpools:
            switches = memory.where_it_lies(name, "switches")
            pooled = Pooled(of.at, local.windows, switches, keeps_largest=way.rules.overlap == "max")
            arrived.setdefault(local.below[0].name, []).append(Part(signal, of.below, pooled))
            continue
        sized = local.sized(of.above.size, of.below.size)
        call = Call(sized, way.rules, len(signal), trace.tensors, memory.cut(name, of.above), own)
        for value, part in undone(call, rule, kernels.moved(signal, of.at, of.above)):
            arrived.setdefault(value.name, []).append(Part(part, of.below, own=rule.fresh))


def together(
    parts: Sequence[Part], to: Frames, *, rectify: bool = False, mask: Remembered | None = None
) -> Float[Tensor, "m c *size"]:
    """The sum of the signals that have arrived at a value, in windows that hold them as far as they lie on the map.

    Args:
        parts: what has arrived.
        to: the windows.
        rectify: whether the sum is rectified; where kernels are fused.
        mask: what it is multiplied with after that; where kernels are fused.
    """
    done = not rectify and mask is None
    if done and len(parts) == 1 and parts[0].pooled is None and parts[0].frames.same_as(to):
        return parts[0].signal
    if _fuses(parts[0].signal):
        from deconvnet.windows.fused import joined  # Triton is not everywhere

        return joined(parts, to, rectify=rectify, mask=mask)
    return kernels.added(parts, to)


def windows_together(parts: Sequence[Part], size: tuple[int, ...]) -> tuple[Float[Tensor, "m c *size"], Frames]:
    """The sum of the signals that have arrived at a value with maps of `size`, and where its windows lie."""
    to = united([part.frames for part in parts], size)
    return together(parts, to), to


def on_whole_map(parts: Sequence[Part], size: tuple[int, ...]) -> Float[Tensor, "m c *size"]:
    """The sum of the signals that have arrived at a value, on its whole map, for the way down on whole maps."""
    signal, frames = windows_together(parts, size)
    return signal if frames.size == size else kernels.moved(signal, frames, whole_maps(len(signal), size))


def _fuses(signal: Tensor) -> bool:
    """Whether kernels are fused for such a signal; 3-D maps take the plain way."""
    return signal.ndim <= 4 and kernels.method_on(signal.device) == "fused"


def _copy_to_accelerator(arrived: Arrived, frames: Mapping[str, StepFrames], memory: "_Memory") -> None:
    """Have the corners of all windows of a way where its signals are, copied there together."""
    device = next((part.signal.device for parts in arrived.values() for part in parts), None)
    if device is not None and kernels.method_on(device) != "copied":
        on_the_way = [each for of in frames.values() for each in (of.at, of.above, of.below)]
        copy_to(device, [*on_the_way, *(memory.of_units(name) for name in frames if memory.trace.memory.get(name))])


@dataclass(frozen=True, eq=False)
class _Memory:
    """What the forward pass remembered, as units see it.

    Attributes:
        trace: the pass.
        remembered_at: by step, the windows that it was remembered in; whole maps elsewhere.
        images: of each unit, its image in the pass.
        outputs: of the steps, by name.
    """

    trace: Trace
    remembered_at: Mapping[str, Frames]
    images: Int[np.ndarray, " m"]
    outputs: Mapping[str, Value]
    _of_units: dict[str, Frames] = field(default_factory=dict)

    def cut(self, name: str, to: Frames) -> Memory:
        """What was remembered of a step, cut to windows."""
        at = self._at(name)
        return {
            key: kernels.moved(tensor, at, to, self.images)
            if tuple(tensor.shape[2:]) == at.size
            else tensor[self.images]
            for key, tensor in self.trace.memory.get(name, {}).items()
        }

    def where_it_lies(self, name: str, key: str) -> Remembered:
        """One thing that was remembered of a step, not copied."""
        return Remembered(self.trace.memory[name][key], self.of_units(name), self._rows)

    def of_units(self, name: str) -> Frames:
        """Of each unit, the window that a step was remembered in."""
        if name not in self._of_units:
            self._of_units[name] = self._at(name).of(self.images)
        return self._of_units[name]

    @cached_property
    def _rows(self) -> Int[Tensor, " m"]:
        """The images of the units, on the device of the pass."""
        return sent(self.images, next(iter(self.trace.values.values())).device)

    def _at(self, name: str) -> Frames:
        frames = self.remembered_at.get(name)
        if frames is None:
            return whole_maps(self.trace.images, self.outputs[name].map_size)
        return frames.of(slice(None))  # for other calls, on other streams, share what is remembered
