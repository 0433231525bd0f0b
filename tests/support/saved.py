"""A small result of each kind, of a network with random weights.

`python -m support.saved FOLDER` saves them, as the folders in tests/results/saved were made by the version that wrote
their format first.
"""

import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from deconvnet import DeconvNet, LoadedModel, Preprocess, compare, probes, responsible_maps, training
from deconvnet.results.saved import Savable


def results() -> dict[str, Savable]:
    """By the name of its class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        x = torch.randn(2, 1, 8, 8)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4), nn.Softmax(1)
        )  # fmt: skip
    net = DeconvNet(model.eval(), x)
    units = net.project(x, "1", channel=[0, 2])
    responsible = net.responsible(x, layer="1", k=2)
    kinds = [units, net.steps(x[:1], "2", channel=1), responsible, compare(units, responsible.units, names=("a", "b"))]
    return {type(result).__name__: result for result in kinds}


def experiments() -> dict[str, Savable]:
    """The same of experiments, and of what is added up over photos."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(48, 3),
        ).eval()  # fmt: skip
        x = torch.randn(3, 3, 28, 28)
        images = [torch.randint(0, 256, (30, 28, 3), dtype=torch.uint8).numpy() for _ in range(2)]
    net = DeconvNet(model, x)
    loaded = LoadedModel(model, Preprocess((28, 28), 28, (0.5,) * 3, (0.25,) * 3), tuple("abc"))
    transforms = probes.Transforms(translations=[-2, 0, 2], scales=[1, 1.5], angles=[0, 90])
    parts = [
        probes.Part(f"{name}.png", part, corner, corner, corner + 9, corner + 9)
        for name in "ab"
        for part, corner in (("corner", 2), ("middle", 10))
    ]
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder, f"{name}.png") for name in "ab"]
        for image, path in zip(images, photos, strict=True):
            Image.fromarray(image).save(path)
        parted = probes.correspondence(net, photos, parts, loaded=loaded, layers=["4"], placements=2)
        evolution = training.Evolution(net, x, folder=Path(folder, "evolution"), layers={"1": [0, 1]}, epochs=None)
        evolution.after(1)
        evolution.after(2)
        snapshots = evolution.snapshots()
    kinds = [
        probes.occlude(net, x[:1], size=8, stride=10, layer="4", targets=[1]),
        probes.invariance(net, x, layers=["1", "4"], transforms=transforms),
        parted,
        probes.diagnose(net, x),
        probes.effective_fields(net, x, ["4"]),
        responsible_maps(net, images, loaded=loaded, examples=1),
        snapshots,
        snapshots[0],
    ]
    return {type(result).__name__: result for result in kinds}


if __name__ == "__main__":
    for name, result in {**results(), **experiments()}.items():
        result.save(Path(sys.argv[1], name))
