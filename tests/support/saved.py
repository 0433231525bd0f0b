"""A small result of each kind, of a network with random weights.

`python -m support.saved FOLDER` saves them, as the folders in tests/results/saved were made by the version that wrote
their format first.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from deconvnet import DeconvNet, compare
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


if __name__ == "__main__":
    for name, result in results().items():
        result.save(Path(sys.argv[1], name))
