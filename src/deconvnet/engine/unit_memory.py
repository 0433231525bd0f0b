"""Per-unit crops of what the rules remembered, such as switches, so that units go down without a second forward pass.

A unit reaches no more than its windows of every map, so of what the rules remembered these windows are all that its
way down needs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from deconvnet._types import Unit
from deconvnet.core.rules import Rule
from deconvnet.core.up import Trace
from deconvnet.core.weights import tensors_of
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer
from deconvnet.engine.passes import Pass
from deconvnet.engine.project import collected
from deconvnet.engine.seeds import Seeds
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.frames import Frames

_CUT_WORK, _REMEMBERED_WORK = 1e6, 600  # multiplications that take as long as cutting a window, remembering a number
_BUDGET = 2 * 10**9  # bytes for what goes down; always as many, so that equal units go down in equal batches


class UnitMemory:
    """Slots for what the ways down of single units of a layer need, one for each unit.

    A slot depends on nothing but its unit and image, and a picture on nothing but the slots of the units that go down
    together: it does not matter when, or from which of several equal forward passes, a slot was filled.

    Args:
        attached: the network.
        layer: name or module.
        slots: how many; memory is taken as they are filled.

    Raises:
        LayerNotFoundError, UnsupportedOperationError: as `DeconvNet.project`.
    """

    def __init__(self, attached: Attachment, layer: Layer, slots: int) -> None:
        self.slots = slots
        self._costs = attached.costs(attached.own_graph(), layer)
        self._attached, self._like = attached, attached.captures.like_model()
        steps = {step.output.name: step for step, _ in self._costs.way.down}
        remembered = self._costs.remembered or {}
        self._at = {name: (frames, steps[name].output.map_size) for name, frames in remembered.items()}
        self._low = {name: np.zeros((slots, len(frames.size)), np.int64) for name, (frames, _) in self._at.items()}
        self._memory: dict[str, dict[str, Tensor]] = {name: {} for name in self._at}

    @property
    def suffices(self) -> bool:
        """Whether windows are all that the units need; not so where a step of their way must see whole maps."""
        return self._costs.remembered is not None

    @property
    def chosen(self) -> Mapping[str, Rule]:
        """The rule of each step on the way, by the name of its output: what a forward pass must remember."""
        return self._costs.way.chosen

    @property
    def at_once(self) -> int:
        """How many units `project` may be given: together their pictures fit its budget."""
        return max(1, _BUDGET // self._costs.bytes_of_picture(self._costs.width))

    @property
    def nbytes(self) -> int:
        """Memory that all slots take."""
        return self.slots * self._costs.bytes_remembered(self._costs.width)

    def work(self, images: int, entering: float) -> tuple[float, float]:
        """What filling slots costs, and what the forward passes cost that it spares, in multiplications.

        Args:
            images: that are run.
            entering: how many units are put into a slot, one after the other.
        """
        outputs = [step.output for step, _ in self._costs.way.down if step.output.name in self._at]
        remembering = images * _REMEMBERED_WORK * sum(value.numbers for value in outputs)
        cutting = entering * (len(outputs) * _CUT_WORK + self.nbytes / self.slots)
        return remembering + cutting, min(images, self.slots) * self._costs.work_up[0]

    def put(self, slot: int, trace: Trace, unit: Unit) -> None:
        """Fill a slot with what a unit's way down needs of a forward pass over whole images."""
        index = int(np.ravel_multi_index(unit.position or (), self._costs.way.start.map_size))
        for step, (frames, size) in self._at.items():
            low = self._low[step][slot] = frames.low[index]
            inside = tuple(slice(a, a + length) for a, length in zip(low.tolist(), frames.size, strict=True))
            for name, tensor in trace.memory[step].items():
                window = tensor[unit.image]
                if tuple(tensor.shape[2:]) == size:
                    window = window[(slice(None), *inside)]
                rows = self._memory[step].get(name)
                if rows is None:
                    rows = self._memory[step][name] = window.new_empty(self.slots, *window.shape)
                rows[slot] = window

    def project(
        self, slots: Int[np.ndarray, " m"], units: Sequence[Unit], activations: Sequence[float]
    ) -> Reconstruction:
        """Units whose slots are filled, each carried down to the pixels alone.

        Args:
            slots: of each.
            units: the units.
            activations: what each starts from.
        """
        way, count, chosen = self._costs.way, len(slots), torch.from_numpy(slots)
        memory = {step: {name: t[chosen] for name, t in parts.items()} for step, parts in self._memory.items()}
        frames = {step: Frames(self._low[step][slots], at.size) for step, (at, _) in self._at.items()}
        axes = [1] * len(way.start.map_size)
        values = self._like.new_zeros(count, way.start.maps, *axes, dtype=way.start.dtype)
        with self._attached.computing():
            trace = Trace(count, {way.start.name: values}, memory, tensors_of(way.graph, self._attached.model, count))
            seeds = Seeds(tuple(units), values.new_tensor(activations), "activation", values, np.arange(count))
            return collected(self._costs, [Pass(trace, seeds, np.arange(count), count, frames)], _BUDGET)
