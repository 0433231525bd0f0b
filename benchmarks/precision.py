"""How far every precision is from float64: pictures of units and of a class.

    python benchmarks/precision.py                         # random weights, scikit-image's photo
    python benchmarks/precision.py --data FOLDER           # weights and photos of a folder
    python benchmarks/precision.py --device cuda           # PyTorch's settings as they are by default

The largest difference over the largest value of a picture: of the 16 strongest units of a layer in each photo the
median and the worst, and of the likeliest class. Differences of some per cent and more are switches: where two values
in a pooling window are nearly equal, another one wins.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import torch
from measure import difference, machine, network, photos, table
from torch import Tensor, nn

from deconvnet import DeconvNet, load_model

LAYERS = {
    "zfnet-mini": ["relu1", "relu3", "relu5"],
    "VGG-16": ["features.15", "features.22", "features.29"],
    "SqueezeNet 1.1": ["features.7", "features.12"],
    "ResNet-50": ["layer2", "layer3"],
}
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")
UNITS = "top:16"


def model_and_photos(name: str, count: int, folder: Path | None) -> tuple[nn.Module, Tensor]:
    if name != "zfnet-mini":
        return network(name, folder), torch.cat(list(photos(count, folder)))
    loaded = load_model(name)
    samples = ["sample:chelsea", "sample:coffee", "sample:astronaut", "sample:rocket"]
    paths = sorted(folder.glob("imagenet1000/*.jpg")) if folder else samples
    return loaded.model, loaded.preprocess.images(paths[:count])


def rows(names: list[str], precisions: list[str], count: int, folder: Path | None, device: str) -> Iterator[list[str]]:
    for name in names:
        model, batch = (part.to(device) for part in model_and_photos(name, count, folder))
        exact = DeconvNet(model, batch, precision="float64")
        nets = {precision: DeconvNet(model, batch, precision=precision) for precision in precisions}
        target = exact.scores(batch).argmax(1).tolist()
        truth = exact.explain(batch, target).full()
        of_class = {
            p: max(map(difference, net.explain(batch, target).full().double(), truth)) for p, net in nets.items()
        }
        for layer in LAYERS[name]:
            wanted = exact.project(batch, layer, channel=UNITS)
            for precision, net in nets.items():
                ours = net.project(batch, layer, units=wanted.units, route="dense").windows.double()
                errors = [difference(a, b) for a, b in zip(ours, wanted.windows, strict=True)]
                figures = statistics.median(errors), max(errors), of_class[precision]
                yield [name, layer, precision, *(f"{figure:.1e}" for figure in figures)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--networks", nargs="+", default=[*LAYERS], choices=[*LAYERS])
    parser.add_argument("--precisions", nargs="+", default=[*PRECISIONS], choices=PRECISIONS)
    options = parser.parse_args()
    print(machine() if options.device == "cpu" else torch.cuda.get_device_name(options.device))
    table(
        ["network", "layer", "precision", "unit, median", "unit, worst", "class, worst"],
        rows(options.networks, options.precisions, options.photos, options.data, options.device),
    )


if __name__ == "__main__":
    main()
