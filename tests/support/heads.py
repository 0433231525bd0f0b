"""A detector of the YOLO kind: a body, a neck that enlarges and joins, and a head for each level."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

ANCHORS, NUMBERS = 2, 8  # of each position: a box, whether there is an object, and three classes


class Levels(nn.Module):
    """Returns a list of (n, anchors, h, w, numbers), of strides 4 and 8."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), activation(), nn.Conv2d(6, 8, 3, 2, 1), activation())
        self.deep = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), activation())
        self.lateral, self.up = nn.Conv2d(12, 8, 1), nn.Upsample(scale_factor=2)
        self.joined = nn.Sequential(nn.Conv2d(16, 8, 3, 1, 1), activation())
        self.heads = nn.ModuleList([nn.Conv2d(channels, ANCHORS * NUMBERS, 1) for channels in (8, 12)])
        self.double().eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        coarse = self.deep(fine)
        fine = self.joined(torch.cat([fine, self.up(self.lateral(coarse))], 1))
        given = [head(maps) for head, maps in zip(self.heads, (fine, coarse), strict=True)]
        shapes = [(len(x), ANCHORS, NUMBERS, *maps.shape[2:]) for maps in given]
        return [maps.view(shape).permute(0, 1, 3, 4, 2) for maps, shape in zip(given, shapes, strict=True)]
