"""Occlusion: `probes.occlude` beside Captum's `Occlusion`, the score of one class at every position of a square.

    python benchmarks/occlusion.py                     # random weights, scikit-image's photo
    python benchmarks/occlusion.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both cover the same windows, of which the last reach past the border, and their
results are compared before anything is timed. Ours is timed at all positions. Captum runs the whole network for each,
so that each takes as long as another: it is timed at 32 of them, with 1, 8 and 32 perturbations at a time, of which the
best counts. "Whole" is our own way with route="dense", at the same 32.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from captum.attr import Occlusion as CaptumOcclusion
from measure import difference, machine, network, photo, seconds, table
from torch import Tensor, nn

from deconvnet import DeconvNet
from deconvnet.probes import Occlusion, occlude

SIDE = 224
SQUARES = ((50, 10), (25, 8))  # side, stride
AIMS: dict[str, tuple[float | None, float | None]] = {
    "VGG-16": (2.8, 4.0),
    "ResNet-50": (1.5, None),
    "SqueezeNet 1.1": (None, None),
}  # how many times faster than Captum, for each square
LAYERS = {"VGG-16": "features.29", "ResNet-50": "layer4", "SqueezeNet 1.1": "features.12"}
AT_ONCE = (1, 8, 32)
ROWS, COLUMNS = 8, 4  # of the positions that Captum is timed at
CLASS = 281
HEADER = ["network", "square", "positions", "ours s", "ours ms each", "whole ms each", "Captum ms each", "at once",
          "faster", "aim", "difference"]  # fmt: skip


def ours(net: DeconvNet, x: Tensor, layer: str, side: int, stride: int | tuple[int, int], route: str) -> Occlusion:
    return occlude(net, x, size=side, stride=stride, partial=True, layer=layer, channel=0, targets=[CLASS], route=route)  # type: ignore[arg-type]


def captum(model: nn.Module, x: Tensor, side: int, stride: tuple[int, int], at_once: int) -> Tensor:
    with torch.no_grad():
        attributed: Tensor = CaptumOcclusion(model).attribute(
            x, (3, side, side), (3, *stride), target=CLASS, perturbations_per_eval=at_once
        )
    return attributed[0, 0]


def some_strides(side: int) -> tuple[int, int]:
    """Strides that give a grid of `ROWS` by `COLUMNS`."""
    rows, columns = (-(-(SIDE - side) // (count - 1)) for count in (ROWS, COLUMNS))
    return rows, columns


def row(name: str, net: DeconvNet, x: Tensor, square: tuple[int, int], aim: float | None) -> list[str]:
    side, stride = square
    few, layer = some_strides(side), LAYERS[name]
    coarse = {route: ours(net, x, layer, side, few, route) for route in ("windowed", "auto", "dense")}
    theirs = captum(net.model, x, side, few, 8)
    apart = max(difference(r.on_pixels(r.score[0] - r.scores[:, 0]), theirs.double()) for r in coarse.values())
    scores = [r.scores for r in coarse.values()]
    assert max(difference(each, scores[-1]) for each in scores) < 1e-5, "not the same scores"
    assert apart < 1e-2, "not what Captum gives"  # of differences of scores, which are small
    count = ROWS * COLUMNS
    whole = seconds(partial(ours, net, x, layer, side, few, "dense")) / count
    times = {n: seconds(partial(captum, net.model, x, side, few, n)) / (count + 1) for n in AT_ONCE}
    best = min(times, key=lambda n: times[n])
    every: list[Occlusion] = []
    taken = seconds(lambda: every.append(ours(net, x, layer, side, stride, "auto")))
    positions = len(every[0])
    each = taken / positions
    return [
        name, f"{side} by {stride}", str(positions), f"{taken:.1f}", f"{1e3 * each:.1f}", f"{1e3 * whole:.1f}",
        f"{1e3 * times[best]:.1f}", str(best), f"{times[best] / each:.2f}x", "-" if aim is None else f"{aim:g}x",
        f"{apart:.1e}",
    ]  # fmt: skip


def rows(names: list[str], data: Path | None) -> Iterator[list[str]]:
    x = photo(data)
    for name in names:
        net = DeconvNet(network(name, data), x)
        for square, aim in zip(SQUARES, AIMS[name], strict=True):
            yield row(name, net, x, square, aim)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of weights and photos")
    parser.add_argument("--network", action="append", choices=[*AIMS], help="only this; may be repeated")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"\n{machine()}\n")
    table(HEADER, rows(given.network or [*AIMS], given.data))


if __name__ == "__main__":
    main()
