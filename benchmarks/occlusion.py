"""Occlusion: `probes.occlude` beside Captum's `Occlusion`, the score of one class at every position of a square.

    python benchmarks/occlusion.py                     # random weights, scikit-image's photo
    python benchmarks/occlusion.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both cover the same windows, of which the last reach past the border; their results
are compared with squares side by side before anything is timed. Ours is timed at all positions. Captum runs the whole
network for each, so that each takes as long as another: it is timed at 40 of them, with 1, 8 and 32 perturbations at a
time, of which the best counts. "Whole" is our own way with route="dense", at the same 40.
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
TIMED, POSITIONS = (50, (25, 50)), 40  # a square, strides and the number of positions that Captum is timed at
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


def captum_times(model: nn.Module, x: Tensor) -> dict[int, float]:
    """Seconds for a position, by the number of perturbations at a time; the image itself runs too."""
    side, strides = TIMED
    return {n: seconds(partial(captum, model, x, side, strides, n)) / (POSITIONS + 1) for n in AT_ONCE}


def row(
    name: str, net: DeconvNet, x: Tensor, square: tuple[int, int], aim: float | None, times: dict[int, float]
) -> list[str]:
    (side, stride), layer = square, LAYERS[name]
    coarse = {route: ours(net, x, layer, side, side, route) for route in ("windowed", "auto")}
    dense = ours(net, x, layer, side, side, "dense")
    whole = seconds(lambda: ours(net, x, layer, *TIMED, "dense")) / POSITIONS
    theirs = captum(net.model, x, side, (side, side), 8)
    assert max(difference(each.scores, dense.scores) for each in coarse.values()) < 1e-5, "not the same scores"
    apart = max(
        difference(each.on_pixels(each.score[0] - each.scores[:, 0]), theirs.double())
        for each in (dense, *coarse.values())
    )
    assert apart < 1e-2, "not what Captum gives"  # of differences of scores, which are small
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
        times = captum_times(net.model, x)
        for square, aim in zip(SQUARES, AIMS[name], strict=True):
            yield row(name, net, x, square, aim, times)


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
