"""Single units: `DeconvNet.project` beside a loop over Captum's `NeuronDeconvolution`, 32 units of one photo.

    python benchmarks/windows.py                     # random weights, scikit-image's photo
    python benchmarks/windows.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both start from each map's strongest position; the results are compared before
anything is timed. Captum's loop is timed on a few of the units and multiplied, since each takes as long as another.
"""

import argparse
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from captum.attr import NeuronDeconvolution
from measure import difference, machine, median, network, photo, photos, table

from deconvnet import DeconvNet, Reconstruction, RuleSet, Unit

LAYERS = {
    "VGG-16": {"features.15": 50, "features.22": 16, "features.29": 4},
    "AlexNet": {"features.4": 80, "features.7": 30, "features.11": 9},
    "SqueezeNet 1.1": {"features.4": 60, "features.7": 24, "features.12": 3},
    "GoogLeNet": {"i3b": 20, "i4c": 6},
}
UNITS, TIMED = 32, 4


def row(name: str, net: DeconvNet, x: torch.Tensor, layer: str, aim: int) -> list[str]:
    """One layer: the pictures compared, then the times of the three ways and of Captum's loop."""
    peer = NeuronDeconvolution(net.model, net.model.get_submodule(layer))
    # Captum differentiates contrast normalisation: compared under that rule, timed under the paper's
    ours = net.with_rules(RuleSet(lrn="gradient")).project(x, layer, channel=f"top:{UNITS}")

    def one(i: int) -> torch.Tensor:
        return peer.attribute(x, (ours.units[i].channel, *ours.units[i].position))

    def all_units(path: str) -> Reconstruction:
        return net.project(x, layer, channel=f"top:{UNITS}", path=path)

    for i in range(TIMED):
        assert difference(ours.full()[i], one(i)[0] * ours.activations[i]) < 1e-4, "not the same picture"
    for path in ("auto", "windowed"):
        assert difference(all_units(path).full(), all_units("dense").full()) < 1e-5, "not the same pictures"
    auto, dense, windowed = (median(partial(all_units, path)) for path in ("auto", "dense", "windowed"))
    forward = median(lambda: net.activations(x, layer))
    loop = UNITS / TIMED * median(lambda: [one(i) for i in range(TIMED)])
    milliseconds = [f"{1e3 * seconds:.0f}" for seconds in (forward, auto, dense, windowed, loop)]
    return [name, layer, *milliseconds, f"{loop / auto:.1f}", str(aim), f"{loop / forward:.0f}"]


def rows(networks: list[str], folder: Path | None, device: str) -> Iterator[list[str]]:
    for name in networks:
        x = photo(folder).to(device)
        net = DeconvNet(network(name, folder).to(device), x)
        yield from (row(name, net, x, layer, aim) for layer, aim in LAYERS[name].items())


STRONGEST = {"features.15": 30, "features.22": 7, "features.29": 2.5}
BEST, MAPS, PEER_MAPS = 9, 40, 20


def strongest(folder: Path | None, count: int) -> Iterator[list[str]]:
    """The strongest nine of every map of VGG-16 over photos, the winners known; from some maps, evenly chosen."""
    net = DeconvNet(network("VGG-16", folder), photo(folder))
    x = torch.cat(list(photos(count, folder)))
    values: dict[str, list[torch.Tensor]] = {}
    for batch in x.split(16):
        for layer, maps in net.activations(batch, list(STRONGEST)).items():
            values.setdefault(layer, []).append(torch.stack(maps.flatten(2).max(2), -1).double())
    for layer, aim in STRONGEST.items():
        peaks = torch.cat(values.pop(layer))  # photo, map, (activation, place)
        width, channels = net.layers[layer].size[1], peaks.shape[1]
        images = peaks[..., 0].topk(BEST, 0).indices
        chosen = range(0, channels, channels // MAPS)[:MAPS]

        def winners(channel: int, peaks=peaks, images=images, width=width, layer=layer) -> list[Unit]:
            places = [int(peaks[image, channel, 1]) for image in images[:, channel]]
            return [Unit(layer, channel, divmod(place, width), int(image))
                    for place, image in zip(places, images[:, channel], strict=True)]  # fmt: skip

        units = [unit for channel in chosen for unit in winners(channel)]
        peer = NeuronDeconvolution(net.model, net.model.get_submodule(layer))

        def nine(some: list[Unit], peer=peer) -> torch.Tensor:
            y, z = (torch.tensor([unit.position[i] for unit in some]) for i in range(2))
            return peer.attribute(
                x[[unit.image for unit in some]], lambda maps: maps[torch.arange(len(some)), some[0].channel, y, z]
            )

        ours = net.project(x, layer, units=units)
        whole = net.project(x, layer, units=units, path="windowed")
        flips = sum(difference(a, b) > 1e-5 for a, b in zip(ours.windows, whole.windows, strict=True))
        signal = nine(units[:BEST]) * whole.activations[:BEST].view(-1, 1, 1, 1)
        assert difference(whole.full()[:BEST], signal) < 1e-4
        seconds = median(lambda: net.project(x, layer, units=units), 3) * channels / MAPS
        loop = median(lambda: [nine(units[BEST * i : BEST * (i + 1)]) for i in range(PEER_MAPS)], 1)
        loop *= channels / PEER_MAPS
        yield [layer, f"{channels * BEST}", f"{seconds:.0f}", f"{loop:.0f}", f"{loop / seconds:.1f}", str(aim),
               f"{flips} of {len(units)}"]  # fmt: skip


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
              "aim", "if the way down were free"]  # fmt: skip
    table(header, rows(arguments.network, arguments.data, arguments.device))


if __name__ == "__main__":
    main()
