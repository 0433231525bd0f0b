"""Single units: `DeconvNet.project` beside a loop over Captum's `NeuronDeconvolution`, 32 units of one photo.

    python benchmarks/windows.py                     # random weights, scikit-image's photo
    python benchmarks/windows.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both start from each map's strongest position; the results are compared before
anything is timed. Captum's loop is timed on a few of the units and multiplied, since each takes as long as another.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from captum.attr import NeuronDeconvolution
from measure import difference, machine, median, network, photo, photos, table
from torch.utils.flop_counter import FlopCounterMode

from deconvnet import DeconvNet, Reconstruction, RuleSet, Unit, costs
from deconvnet.windows.cost import multiplications

LAYERS = {
    "VGG-16": {"features.15": 50, "features.22": 16, "features.29": 4},
    "AlexNet": {"features.4": 80, "features.7": 30, "features.11": 9},
    "SqueezeNet 1.1": {"features.4": 60, "features.7": 24, "features.12": 3},
    "GoogLeNet": {"i3b": 20, "i4c": 6},
}
UNITS, TIMED = 32, 4


def all_units(net: DeconvNet, x: torch.Tensor, layer: str, path: str) -> Reconstruction:
    return net.project(x, layer, channel=f"top:{UNITS}", route=path)


def agreed(net: DeconvNet, x: torch.Tensor, layer: str) -> Callable[[int], torch.Tensor]:
    """Captum's picture of one of the units by its number, after all have been compared."""
    peer = NeuronDeconvolution(net.model, net.model.get_submodule(layer))
    # Captum differentiates contrast normalisation: compared under that rule, timed under the paper's
    ours = net.with_rules(RuleSet(lrn="gradient")).project(x, layer, channel=f"top:{UNITS}")

    def one(i: int) -> torch.Tensor:
        return peer.attribute(x, (ours.units[i].channel, *ours.units[i].position))

    for i in range(TIMED):
        assert difference(ours.full()[i], one(i)[0] * ours.activations[i]) < 1e-4, "not the same picture"
    for path in ("auto", "windowed"):
        windowed, dense = (all_units(net, x, layer, way).full() for way in (path, "dense"))
        assert difference(windowed, dense) < 1e-5, "not the same pictures"
    return one


def row(name: str, net: DeconvNet, x: torch.Tensor, layer: str, aim: int) -> list[str]:
    """One layer: the pictures compared, then the times of the three ways and of Captum's loop."""
    one = agreed(net, x, layer)
    ways = {path: partial(all_units, net, x, layer, path) for path in ("auto", "dense", "windowed")}
    auto, dense, windowed = map(median, ways.values())
    forward = median(lambda: net.activations(x, layer))
    loop = UNITS / TIMED * median(lambda: [one(i) for i in range(TIMED)])
    square = torch.rand(1024, 1024, device=x.device)
    product = 2 * 1024**3 / median(lambda: square @ square)
    executed = operations(ways["auto"]) - operations(lambda: net.activations(x, layer))
    rate = executed / (auto - forward)
    milliseconds = [f"{1e3 * seconds:.0f}" for seconds in (forward, auto, dense, windowed, loop)]
    return [
        name,
        layer,
        *milliseconds,
        f"{loop / auto:.1f}",
        str(aim),
        f"{loop / forward:.0f}",
        f"{needed(net, layer) / 1e9:.2f}",
        f"{executed / 2e9:.2f}",
        f"{rate / product:.0%}",
    ]


def needed(net: DeconvNet, layer: str) -> float:
    """Multiplications of the units' way down, none with a zero of a padded filter or beyond a window's border."""
    of = costs(net, layer)
    route, rows = of.routes["auto"], of.way.rows
    windowed = sum(multiplications(local.step, rows, route.spans) for local in route.local)
    return UNITS * (windowed + sum(multiplications(step, rows) for step, _ in of.way.down[len(route.local) :]))


def operations(run: Callable[[], object]) -> int:
    """Multiplications and additions in convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def rows(networks: list[str], folder: Path | None, device: str) -> Iterator[list[str]]:
    for name in networks:
        x = photo(folder).to(device)
        net = DeconvNet(network(name, folder).to(device), x)
        yield from (row(name, net, x, layer, aim) for layer, aim in LAYERS[name].items())


STRONGEST = {"features.15": 30, "features.22": 7, "features.29": 2.5}
BEST, MAPS = 9, 8


def strongest(folder: Path | None, count: int) -> Iterator[list[str]]:
    """The strongest nine of every map of VGG-16 over photos, the winners known; timed on some maps, multiplied."""
    net = DeconvNet(network("VGG-16", folder), photo(folder))
    x = torch.cat(list(photos(count, folder)))
    peaks: dict[str, list[torch.Tensor]] = {layer: [] for layer in STRONGEST}
    for batch in x.split(16):
        for layer, maps in net.activations(batch, list(STRONGEST)).items():
            peaks[layer].append(torch.stack(maps.flatten(2).max(2), -1).double())
    for layer in STRONGEST:
        yield strongest_row(net, x, layer, torch.cat(peaks[layer]))


def strongest_row(net: DeconvNet, x: torch.Tensor, layer: str, peaks: torch.Tensor) -> list[str]:
    """One layer; `peaks` holds each photo's and map's highest activation and its place."""
    channels, width = net.layers[layer].channels, net.layers[layer].size[1]
    images = peaks[..., 0].topk(BEST, 0).indices
    chosen = range(0, channels, channels // MAPS)[:MAPS]
    units = [
        Unit(layer, channel, divmod(int(peaks[image, channel, 1]), width), int(image))
        for channel in chosen
        for image in images[:, channel]
    ]
    peer = NeuronDeconvolution(net.model, net.model.get_submodule(layer))

    def nine(some: list[Unit]) -> torch.Tensor:
        rows, (y, z) = torch.arange(len(some)), torch.tensor([unit.position for unit in some]).unbind(1)
        return peer.attribute(x[[unit.image for unit in some]], lambda maps: maps[rows, some[0].channel, y, z])

    ours, whole = (net.project(x, layer, units=units, route=path) for path in ("auto", "windowed"))
    others = sum(difference(a, b) > 1e-5 for a, b in zip(ours.windows, whole.windows, strict=True))
    assert difference(whole.full()[:BEST], nine(units[:BEST]) * whole.activations[:BEST].view(-1, 1, 1, 1)) < 1e-4
    share = channels / MAPS
    seconds = share * median(lambda: net.project(x, layer, units=units), 1)
    loop = share * median(lambda: [nine(units[BEST * i : BEST * (i + 1)]) for i in range(MAPS)], 1)
    return [layer, f"{channels * BEST}", f"{seconds:.0f}", f"{loop:.0f}", f"{loop / seconds:.1f}",
            str(STRONGEST[layer]), f"{others} of {len(units)}"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with weights/ and imagenet1000/")
    parser.add_argument("--network", choices=list(LAYERS), nargs="+", default=list(LAYERS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--strongest", type=int, metavar="PHOTOS", help="nine of every map of VGG-16 over many photos")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="captum")
    torch.set_num_threads(1)
    print(machine(), "\n")
    if arguments.strongest:
        header = ["layer", "units", "project s", "Captum s", "times faster", "aim", "pictures with another switch"]
        table(header, strongest(arguments.data, arguments.strongest))
        return
    header = ["network", "layer", "forward ms", "auto ms", "dense ms", "windowed ms", "Captum ms", "times faster",
              "aim", "if the way down were free", "multiplications needed, G", "executed, G",
              "speed beside a matrix product's"]  # fmt: skip
    table(header, rows(arguments.network, arguments.data, arguments.device))


if __name__ == "__main__":
    main()
