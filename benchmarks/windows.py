"""Single units: `DeconvNet.project` beside a loop over Captum's `NeuronDeconvolution`, 32 units of one photo.

    python benchmarks/windows.py                     # random weights, scikit-image's photo
    python benchmarks/windows.py --data FOLDER       # weights and photos of a folder

One process, one thread, float32. Both start from each map's strongest position; the results are compared before
anything is timed. Captum's loop is timed on a few of the units and multiplied, since each takes as long as another.
"""

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from captum.attr import NeuronDeconvolution
from measure import difference, machine, median, network, photo, table

from deconvnet import DeconvNet, RuleSet

LAYERS = {
    "VGG-16": {"features.15": 50, "features.22": 16, "features.29": 4},
    "AlexNet": {"features.4": 80, "features.7": 30, "features.11": 9},
    "SqueezeNet 1.1": {"features.4": 60, "features.7": 24, "features.12": 3},
    "GoogLeNet": {"i3b": 20, "i4c": 6},
}
UNITS, TIMED = 32, 4


def rows(networks: list[str], folder: Path | None, device: str) -> Iterator[list[str]]:
    for name in networks:
        model, x = network(name, folder).to(device), photo(folder).to(device)
        net = DeconvNet(model, x)
        # Captum differentiates contrast normalisation: compared under that rule, timed under the paper's
        same = net.with_rules(RuleSet(lrn="gradient"))
        for layer, wanted in LAYERS[name].items():
            project = {"channel": f"top:{UNITS}"}
            peer = NeuronDeconvolution(model, model.get_submodule(layer))
            ours = same.project(x, layer, **project)

            def one(i: int, peer: NeuronDeconvolution = peer, units=ours.units) -> torch.Tensor:
                return peer.attribute(x, (units[i].channel, *units[i].position))

            for i in range(TIMED):
                assert difference(ours.full()[i], one(i)[0] * ours.activations[i]) < 1e-4, "not the same picture"
            dense = net.project(x, layer, path="dense", **project)
            assert difference(net.project(x, layer, **project).full(), dense.full()) < 1e-5
            seconds = {
                path: median(lambda path=path: net.project(x, layer, path=path, **project))
                for path in ("auto", "dense", "windowed")
            }
            forward = median(lambda: net.activations(x, layer))
            loop = UNITS / TIMED * median(lambda: [one(i) for i in range(TIMED)])
            yield [
                name, layer, f"{1e3 * forward:.0f}", *(f"{1e3 * s:.0f}" for s in seconds.values()), f"{1e3 * loop:.0f}",
                f"{loop / seconds['auto']:.1f}", str(wanted), f"{loop / forward:.0f}",
            ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with weights/ and imagenet1000/")
    parser.add_argument("--network", choices=list(LAYERS), nargs="+", default=list(LAYERS))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="Setting backward hooks")
    torch.set_num_threads(1)
    print(machine())
    header = ["network", "layer", "forward ms", "auto ms", "dense ms", "windowed ms", "Captum ms", "times faster",
              "aim", "if the way down were free"]  # fmt: skip
    table(header, rows(arguments.network, arguments.data, arguments.device))


if __name__ == "__main__":
    main()
