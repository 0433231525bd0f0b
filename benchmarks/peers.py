"""What the engine is measured beside: the loops that people write over Captum, and the strongest ten lines of PyTorch.

The ten lines: rectifiers whose backward rectifies the signal, the network left as soon as the layer has been computed,
and either one forward pass and many signals in one backward pass ("batched"), or the photo repeated, one copy for each
unit ("repeated"). Which of them, and how many units at a time, is tried out before the clock runs.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal
from unittest import mock

import torch
import torch.nn.functional as F
from measure import seconds
from torch import Tensor, nn

from deconvnet import Unit

Way = Literal["batched", "repeated"]
WAYS: tuple[Way, ...] = ("batched", "repeated")
CHUNKS = {"cpu": (1, 4, 16), "cuda": (8, 16, 32, 64, 128, 256, 512)}
_WORSE = 1.3  # times as long for each unit as with the best number at a time: larger ones are not tried


class Rectify(torch.autograd.Function):
    """A rectifier that rectifies the signal on the way down as well, wherever the maps were above zero or not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> Tensor:
        return signal.clamp(min=0)


class _Reached(Exception):
    """The layer has been computed, and nothing above it is needed."""


def up_to(model: nn.Module, layer: str | None, *, rectified: bool = True) -> Callable[[Tensor], Tensor]:
    """The network as far as a layer; all of it for None.

    Args:
        model: nothing of it is changed but while it runs.
        layer: name of a module.
        rectified: whether the signals on the way down are rectified.
    """

    def run(x: Tensor) -> Tensor:
        outputs: list[Tensor] = []

        def reached(module: nn.Module, inputs: Any, output: Tensor) -> None:
            outputs.append(output)
            raise _Reached

        hook = model.get_submodule(layer).register_forward_hook(reached) if layer else None
        # modules and functions, in place or not, come here
        patched = mock.patch.object(F, "relu", lambda x, inplace=False: Rectify.apply(x))
        try:
            with patched if rectified else nullcontext():
                return model(x)
        except _Reached:
            return outputs[0]
        finally:
            if hook is not None:
                hook.remove()

    return run


@dataclass(frozen=True, eq=False)
class TenLines:
    """The ten lines, for units of a layer of one photo.

    Attributes:
        forward: the network up to the layer.
        x: (1, c, *spatial) the photo.
        units: (m, 1 + axes) each unit's feature map and position.
        way: how the units go down.
        chunk: units at a time.
    """

    forward: Callable[[Tensor], Tensor]
    x: Tensor
    units: Tensor
    way: Way
    chunk: int

    def __call__(self) -> Tensor:
        """Their pictures, (m, c, *spatial)."""
        down = self._batched if self.way == "batched" else self._repeated
        with torch.enable_grad():
            return torch.cat(down(self.units.split(self.chunk)))

    def _batched(self, chunks: Sequence[Tensor]) -> list[Tensor]:
        image = self.x.clone().requires_grad_()
        maps = self.forward(image)
        pictures = []
        for units in chunks:
            at = units.unbind(1)
            seeds = maps.new_zeros(len(units), *maps.shape)
            seeds[(torch.arange(len(units), device=units.device), 0, *at)] = maps.detach()[(0, *at)]
            signal = torch.autograd.grad(maps, image, seeds, is_grads_batched=True, retain_graph=True)[0]
            pictures.append(signal[:, 0])
        return pictures

    def _repeated(self, chunks: Sequence[Tensor]) -> list[Tensor]:
        return [carried(self.forward, self.x.expand(len(units), *self.x.shape[1:]), units) for units in chunks]


def carried(forward: Callable[[Tensor], Tensor], x: Tensor, units: Tensor) -> Tensor:
    """One unit of each photo, all at once: their pictures, (n, c, *spatial).

    Args:
        forward: the network up to the layer.
        x: (n, c, *spatial) photos.
        units: (n, 1 + axes) each one's feature map and position.
    """
    with torch.enable_grad():
        image = x.clone().requires_grad_()
        maps = forward(image)
        at = (torch.arange(len(units), device=units.device), *units.unbind(1))
        seeds = torch.zeros_like(maps)
        seeds[at] = maps.detach()[at]
        return torch.autograd.grad(maps, image, seeds)[0]


def ten_lines(model: nn.Module, layer: str, x: Tensor, units: Sequence[Unit]) -> TenLines:
    """The faster of the two ways, at the best number of units at a time, for units of one photo."""
    forward = up_to(model, layer)
    rows = torch.tensor([(unit.channel, *unit.position) for unit in units], device=x.device)
    once = _once(forward, x)
    best, shortest = None, float("inf")
    for way in WAYS:
        shortest_of_way = float("inf")
        for chunk in _chunks(len(rows), x.device.type):
            lines = TenLines(forward, x, rows[:chunk], way, chunk)
            total = _expected(lines, len(rows), once)
            if total < shortest:
                best, shortest = (way, chunk), total
            if total > _WORSE * shortest_of_way or total == float("inf"):
                break
            shortest_of_way = min(shortest_of_way, total)
    if x.is_cuda:
        torch.cuda.empty_cache()  # what was tried out is not to lessen the memory that others find free
    if best is None:
        raise MemoryError(f"the ten lines do not fit into memory for one unit of {layer}")
    return TenLines(forward, x, rows, *best)


def _chunks(units: int, device: str) -> list[int]:
    sizes = CHUNKS["cpu" if device == "cpu" else "cuda"]
    return sorted({min(size, units) for size in sizes})


def _once(forward: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Seconds of a forward pass that can be gone back through."""

    def run() -> None:
        with torch.enable_grad():
            forward(x.clone().requires_grad_())

    run()
    return seconds(run)


def _expected(lines: TenLines, units: int, once: float) -> float:
    """Seconds that all units would take, from some of them; infinite where these do not fit into memory."""
    try:
        lines()
        taken = min(seconds(lines) for _ in range(2)) if lines.x.device.type != "cpu" else seconds(lines)
    except torch.OutOfMemoryError:
        return float("inf")
    shared = once if lines.way == "batched" else 0.0
    return shared + max(taken - shared, 0.0) * units / len(lines.units)


def class_lines(model: nn.Module, x: Tensor, target: int) -> Callable[[], Tensor]:
    """The ten lines for one class of one photo, from a score of 1: the picture, (1, c, *spatial)."""
    forward, image = up_to(model, None), x.clone().requires_grad_()
    with torch.no_grad():
        seed = torch.zeros_like(forward(x))
    seed[0, target] = 1

    def run() -> Tensor:
        with torch.enable_grad():
            return torch.autograd.grad(forward(image), image, seed)[0]

    return run


def as_graph(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """A run captured as one CUDA graph: what replays it, and the tensor that it then fills."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # also put back by this where the capture fails
        for _ in range(3):  # as PyTorch asks: warmed up on a stream that is not the current one
            run()
        with torch.cuda.graph(graph, stream=side):
            picture = run()
    torch.cuda.current_stream().wait_stream(side)
    return graph.replay, picture


def captum_class(model: nn.Module, x: Tensor, target: int) -> Callable[[], Tensor] | None:
    """Captum's picture of a class; None where Captum is not installed."""
    try:
        from captum.attr import Deconvolution
    except ImportError:
        return None
    peer = Deconvolution(model)
    return lambda: peer.attribute(x, target=target)


def captum_units(model: nn.Module, layer: str, x: Tensor, units: Sequence[Unit]) -> Callable[[], list[Tensor]] | None:
    """Captum's pictures of units, one after another, each from 1; None where Captum is not installed."""
    try:
        from captum.attr import NeuronDeconvolution
    except ImportError:
        return None
    peer = NeuronDeconvolution(model, model.get_submodule(layer))
    selectors = [(unit.channel, *unit.position) for unit in units]
    return lambda: [peer.attribute(x, selector) for selector in selectors]
