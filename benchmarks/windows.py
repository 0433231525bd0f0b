"""Single units: `DeconvNet.project` beside both peers, 32 units of one photo.

    python benchmarks/windows.py                     # random weights, scikit-image's photo
    python benchmarks/windows.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both start from each map's strongest position; before anything is timed the results
are compared, in float64, where no two values in a pooling window are equal but for their last digits. Captum's loop
over `NeuronDeconvolution` is timed on a few of the units and multiplied, since each takes as long as another; the
strongest ten lines of PyTorch take all of them.
"""

import argparse
import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from captum.attr import NeuronDeconvolution
from measure import OTHER_SWITCHES, difference, differences, machine, median, network, photo, photos, table
from peers import TenLines, captum_units, carried, ten_lines, up_to
from torch.utils.flop_counter import FlopCounterMode

from deconvnet import DeconvNet, Reconstruction, RuleSet, Unit, costs
from deconvnet.windows.cost import multiplications

LAYERS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "VGG-16": {"features.15": (30, 50), "features.22": (12, 16), "features.29": (2.8, 4)},
    "AlexNet": {"features.4": (None, 80), "features.7": (None, 30), "features.11": (None, 9)},
    "SqueezeNet 1.1": {"features.4": (None, 60), "features.7": (11, 24), "features.12": (2.5, 3)},
    "ResNet-50": {"layer2": (13, None), "layer3": (2.3, None)},
    "GoogLeNet": {"i3b": (None, 20), "i4c": (None, 6)},
}  # how many times faster than the ten lines and than Captum they are to be
UNITS, TIMED = 32, 4


def all_units(net: DeconvNet, x: torch.Tensor, layer: str, path: str) -> Reconstruction:
    return net.project(x, layer, channel=f"top:{UNITS}", route=path)


def agreed(net: DeconvNet, x: torch.Tensor, layer: str) -> tuple[TenLines, Callable[[], list[torch.Tensor]]]:
    """The ten lines for all of the units, and Captum for some of them, after all have been compared.

    All three find their own maxima. In float32 the last digits, which depend on the order of sums, decide between a few
    of them, and then a unit differs by some per cent on either side; so they are compared to all digits in float64.
    """
    # the peers differentiate contrast normalisation: compared under that rule, timed under the paper's
    alike = net.with_rules(RuleSet(lrn="gradient"))
    units = all_units(alike, x, layer, "auto").units
    exact, in_full = DeconvNet(copy.deepcopy(net.model).double(), x.double(), rules=alike.rules), x.double()
    ours = exact.project(in_full, layer, units=units)
    lines, captum = peers_of(exact, in_full, layer, units)
    assert differences(ours.full(), lines()).max() < 1e-9, "not the same pictures"
    for i, picture in enumerate(captum()):
        assert difference(ours.full()[i], picture[0] * ours.activations[i]) < 1e-9, "not the same picture"
    for path in ("auto", "windowed"):
        windowed, dense = (all_units(net, x, layer, way).full() for way in (path, "dense"))
        assert difference(windowed, dense) < 1e-5, "not the same pictures"
    lines, captum = peers_of(net, x, layer, units)
    assert differences(all_units(alike, x, layer, "auto").full(), lines()).max() < OTHER_SWITCHES, (
        "not the same pictures"
    )
    return lines, captum


def peers_of(
    net: DeconvNet, x: torch.Tensor, layer: str, units: Sequence[Unit]
) -> tuple[TenLines, Callable[[], list[torch.Tensor]]]:
    return ten_lines(net.model, layer, x, units), captum_units(net.model, layer, x, units[:TIMED])


def row(name: str, net: DeconvNet, x: torch.Tensor, layer: str) -> list[str]:
    """One layer: the pictures compared, then the times of the three ways and of both peers."""
    lines, captum = agreed(net, x, layer)
    ways = {path: partial(all_units, net, x, layer, path) for path in ("auto", "dense", "windowed")}
    auto, dense, windowed = map(median, ways.values())
    forward = median(lambda: net.activations(x, layer))
    plain, loop = median(lines, most=30), UNITS / TIMED * median(captum)
    square = torch.rand(1024, 1024, device=x.device)
    product = 2 * 1024**3 / median(lambda: square @ square)
    executed = operations(ways["auto"]) - operations(lambda: net.activations(x, layer))
    rate = executed / (auto - forward)
    milliseconds = [f"{1e3 * seconds:.0f}" for seconds in (forward, auto, dense, windowed, plain, loop)]
    return [
        name,
        layer,
        *milliseconds,
        *(
            text
            for ratio, aim in zip((plain / auto, loop / auto), LAYERS[name][layer], strict=True)
            for text in (f"{ratio:.1f}", "-" if aim is None else str(aim))
        ),
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
        yield from (row(name, net, x, layer) for layer in LAYERS[name])


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
    forward = up_to(net.model, layer)

    peer = NeuronDeconvolution(net.model, net.model.get_submodule(layer))

    def captum_nine(some: list[Unit]) -> torch.Tensor:
        rows, (y, z) = torch.arange(len(some)), torch.tensor([unit.position for unit in some]).unbind(1)
        return peer.attribute(x[[unit.image for unit in some]], lambda maps: maps[rows, some[0].channel, y, z])

    def nine(some: list[Unit]) -> torch.Tensor:
        at = torch.tensor([(unit.channel, *unit.position) for unit in some])
        return carried(forward, x[[unit.image for unit in some]], at)

    ours, whole = (net.project(x, layer, units=units, route=path) for path in ("auto", "windowed"))
    others = sum(difference(a, b) > 1e-5 for a, b in zip(ours.windows, whole.windows, strict=True))
    first, started = units[:BEST], whole.activations[:BEST].view(-1, 1, 1, 1)
    for pictures in (nine(first), captum_nine(first) * started):
        assert difference(whole.full()[:BEST], pictures) < 1e-4, "not the same pictures"
    share = channels / MAPS
    seconds = share * median(lambda: net.project(x, layer, units=units), 1)
    of_maps = [units[BEST * i : BEST * (i + 1)] for i in range(MAPS)]
    lines, loop = (share * median(lambda run=run: list(map(run, of_maps)), 1) for run in (nine, captum_nine))
    return [layer, f"{channels * BEST}", *(f"{taken:.0f}" for taken in (seconds, lines, loop)),
            f"{lines / seconds:.1f}", f"{loop / seconds:.1f}", str(STRONGEST[layer]),
            f"{others} of {len(units)}"]  # fmt: skip


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
        header = ["layer", "units", "project s", "ten lines s", "Captum s", "times faster than the ten lines",
                  "than Captum", "aim", "pictures with another switch"]  # fmt: skip
        table(header, strongest(arguments.data, arguments.strongest))
        return
    header = ["network", "layer", "forward ms", "auto ms", "dense ms", "windowed ms", "ten lines ms",
              "Captum ms", "times faster than the ten lines", "aim", "than Captum", "aim",
              "if the way down were free", "multiplications needed, G", "executed, G",
              "speed beside a matrix product's"]  # fmt: skip
    table(header, rows(arguments.network, arguments.data, arguments.device))


if __name__ == "__main__":
    main()
