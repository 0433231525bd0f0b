"""What single units need of a forward pass for their way down, kept when the pass is gone.

A unit reaches no more than its windows of every map, so of what the rules remembered, such as switches, these
windows are all that its way down needs.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from deconvnet._types import Unit
from deconvnet.capture.trace import computing
from deconvnet.core.up import Trace, tensors_of
from deconvnet.engine.carry import carried
from deconvnet.engine.passes import Pass
from deconvnet.engine.plan import Plan
from deconvnet.engine.seeds import Seeds
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.windows.steps import Frames, map_size

_CUT, _REMEMBER = 1e6, 600  # multiplications that take as long as cutting a window, and as remembering a number
_BUDGET = 2 * 10**9  # bytes for what goes down; always as many, so that equal units go down in equal batches


class Kept:
    """Room for what the ways down of single units of a layer need, a row for each.

    A row depends on nothing but its unit and image, and a picture on nothing but the rows of the units that go down
    together: it does not matter when, or from which of several equal forward passes, a row was filled.

    Args:
        way: the plan, all of it in windows.
        model: the network.
        like: of the network's type, on its device.
        rows: how many; memory is taken as they are filled.
    """

    def __init__(self, way: Plan, model: nn.Module, like: Tensor, rows: int) -> None:
        self.way, self.rows = way, rows
        self._model, self._like = model, like
        steps = {step.output.name: step for step, _ in way.down}
        self._at = {name: (frames, map_size(steps[name].output)) for name, frames in (way.remembered or {}).items()}
        self._low = {name: np.zeros((rows, len(frames.size)), np.int64) for name, (frames, _) in self._at.items()}
        self._memory: dict[str, dict[str, Tensor]] = {name: {} for name in self._at}

    @property
    def nbytes(self) -> int:
        """Memory that all rows take."""
        return self.rows * self.way.bytes_kept(self._like.element_size())

    def work(self, images: int, entering: float) -> tuple[float, float]:
        """What keeping costs, and what the forward passes cost that it spares, in multiplications.

        Args:
            images: that are run.
            entering: how many units are put into a row, one after the other.
        """
        outputs = [step.output for step, _ in self.way.down if step.output.name in self._at]
        remembering = images * _REMEMBER * sum(math.prod(value.sizes(1)) for value in outputs)
        cutting = entering * (len(outputs) * _CUT + self.nbytes / self.rows)
        return remembering + cutting, min(images, self.rows) * self.way.work_up[0]

    def put(self, row: int, trace: Trace, unit: Unit) -> None:
        """Fill a row with what a unit's way down needs of a forward pass over whole images."""
        place = int(np.ravel_multi_index(unit.position or (), map_size(self.way.start)))
        for step, (frames, size) in self._at.items():
            low = self._low[step][row] = frames.low[place]
            inside = tuple(slice(a, a + length) for a, length in zip(low.tolist(), frames.size, strict=True))
            for name, tensor in trace.memory[step].items():
                window = tensor[unit.image]
                if tuple(tensor.shape[2:]) == size:
                    window = window[(slice(None), *inside)]
                rows = self._memory[step].get(name)
                if rows is None:
                    rows = self._memory[step][name] = window.new_empty(self.rows, *window.shape)
                rows[row] = window

    def project(
        self, rows: Int[np.ndarray, " m"], units: Sequence[Unit], activations: Sequence[float]
    ) -> Reconstruction:
        """Units whose rows are filled, each carried down to the pixels alone.

        Args:
            rows: of each.
            units: the units.
            activations: what each starts from.
        """
        count, start, chosen = len(rows), self.way.start, torch.from_numpy(rows)
        memory = {step: {name: t[chosen] for name, t in one.items()} for step, one in self._memory.items()}
        frames = {step: Frames(self._low[step][rows], at.size) for step, (at, _) in self._at.items()}
        values = self._like.new_zeros(count, start.shape[1].of(1), *[1] * len(map_size(start)))
        with computing():
            tensors = tensors_of(self.way.graph, self._model, count)
            trace = Trace(count, {start.name: values}, memory, tensors, frames)
            seeds = Seeds(tuple(units), values.new_tensor(activations), "activation", values, np.arange(count))
            return carried(self.way, [Pass(trace, seeds, np.arange(count), count)], _BUDGET)
