"""The Python of a step: a way down on the smallest maps, beside the same calls of PyTorch made bare.

    python benchmarks/steps.py [--device cuda]

The smallest photo that a network takes gives maps of one pixel or a few, so that little but Python and the calls
themselves is left. Every call of PyTorch that the way down of a class makes is written down and made again with the
same tensors, way and calls in turn; the difference of the shortest times, divided by the steps, is printed. On a CPU
the processor's time is taken, in which other work on the machine does not count; on an accelerator the clock's, when
the device has finished.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from measure import machine, network, table
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deconvnet import DeconvNet
from deconvnet.capture.untouched import computing
from deconvnet.core.down import Way, carry_down
from deconvnet.core.up import Trace
from deconvnet.engine import carry

SIDES = {"SqueezeNet 1.1": 17, "GoogLeNet": 32, "ResNet-50": 17}  # of the smallest photo that each takes
TURNS = 40
HEADER = ["network", "device", "steps", "calls", "way down us", "calls alone us", "Python us a step", "explain ms"]


class Calls(TorchFunctionMode):
    """Writes down what is called, with what, and what the first argument held where it is written over."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Tensor | None]] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(function, "__name__", "")
        if not name.startswith("__"):  # a look at a shape or a type is Python
            written = args[0].clone() if name.endswith("_") else None
            self.calls.append((function, args, kwargs or {}, written))
        return function(*args, **(kwargs or {}))


def taken_down(net: DeconvNet, x: Tensor) -> tuple[Way, Trace, dict[str, Tensor]]:
    """What the way down of a class on whole maps is called with."""
    seen: list[tuple[Way, Trace, dict[str, Tensor]]] = []

    def carried(way: Way, trace: Trace, arrived: dict[str, Tensor], *rest: Any) -> None:
        seen.append((way, trace, dict(arrived)))
        carry_down(way, trace, arrived, *rest)

    carry.carry_down = carried  # type: ignore[assignment]
    try:
        net.explain(x, 3)
    finally:
        carry.carry_down = carry_down
    return seen[0]


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """How long it takes once."""
    wait = (lambda: None) if device.type == "cpu" else torch.accelerator.synchronize
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait()
    began = clock()
    run()
    wait()
    return clock() - began


def made_again(calls: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> None:
    for function, args, kwargs in calls:
        function(*args, **kwargs)


def shortest(net: DeconvNet, x: Tensor) -> tuple[int, int, float, float]:
    """The steps of the way down of a class, its calls, and the shortest times of the way and of the calls alone."""
    way, trace, start = taken_down(net, x)
    times = []
    with computing():
        with Calls() as written:
            carry_down(way, trace, dict(start))
        for _ in range(TURNS):
            down = seconds(lambda: carry_down(way, trace, dict(start)), x.device)
            ready = [(f, a if was is None else (was.clone(), *a[1:]), k) for f, a, k, was in written.calls]
            times.append((down, seconds(partial(made_again, ready), x.device)))
    down, alone = map(min, zip(*times, strict=True))
    return len(way.down), len(written.calls), down, alone


def rows(device: torch.device) -> Iterator[list[str]]:
    for name, side in SIDES.items():
        x = torch.randn(1, 3, side, side, device=device)
        net = DeconvNet(network(name, None).to(device), x)
        steps, calls, down, alone = shortest(net, x)
        explain = min(seconds(lambda net=net, x=x: net.explain(x, 3), device) for _ in range(10))
        python = f"{1e6 * (down - alone) / steps:.1f}"
        times = [f"{1e6 * down:.0f}", f"{1e6 * alone:.0f}", python, f"{1e3 * explain:.1f}"]
        yield [name, device.type, str(steps), str(calls), *times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    device = parser.parse_args().device
    torch.set_num_threads(1)
    print(f"\n{machine()}\n")
    table(HEADER, rows(device))


if __name__ == "__main__":
    main()
