"""The layers that are shown where none are named."""

import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.ways import main_layers


class Branches(nn.Module):
    """Two rectified branches, one of them long, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.short, self.few, self.long = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x):
        return torch.cat([torch.relu(self.short(x)), torch.relu(self.long(torch.relu(self.few(x))))], 1)


class Residual(nn.Module):
    """Adds to what comes in, normalises and rectifies."""

    def __init__(self, *, before: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.before = before

    def forward(self, x):
        if self.before:
            return x + self.second(torch.relu(self.first(torch.relu(self.norm(x)))))
        return torch.relu(self.norm(x + self.second(torch.relu(self.first(x)))))


def layers(*modules: nn.Module) -> tuple[str, ...]:
    head = nn.Conv2d(3, 4, 3), nn.ReLU()
    model = nn.Sequential(*head, *modules, nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    x = torch.zeros(2, 3, 8, 8)
    return main_layers(DeconvNet(model, x), x)


def test_a_block_of_joined_branches_is_shown_by_its_output():
    assert layers(Branches(), Branches()) == ("1", "2", "3")


def test_a_residual_block_is_shown_by_its_output():
    assert layers(Residual(), Residual()) == ("1", "2", "3")


def test_a_block_that_does_not_rectify_its_output_is_shown_where_the_next_one_does():
    shown = layers(Residual(before=True), Residual(before=True), nn.BatchNorm2d(4), nn.ReLU())
    assert shown == ("1", "3/relu", "5")


def test_without_blocks_all_rectifiers_are_shown():
    assert layers(nn.Conv2d(4, 4, 1), nn.ReLU()) == ("1", "3")


def test_a_concatenation_outside_of_a_block_stands_for_its_branches():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.last = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1), nn.Linear(4 * 64, 5)

        def forward(self, x):
            joined = torch.cat([torch.relu(self.one(x)), torch.relu(self.two(x))], 1)
            return self.last(joined.flatten(1))

    x = torch.zeros(2, 3, 8, 8)
    assert main_layers(DeconvNet(Net().eval(), x), x) == ("/cat",)
