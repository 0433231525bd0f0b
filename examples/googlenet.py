"""GoogLeNet as BVLC trained it in Caffe: a network of one's own, with its rectifiers written as functions.

    deconvnet explain photo.jpg --model examples/googlenet.py:googlenet --weights FILE --labels imagenet \
        --size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

No batch norm, contrast normalisation behind the first two blocks, poolings in ceil mode; torchvision's
GoogLeNet is another network. `googlenet(nn.ReLU())` has the same layers with one module for every rectifier.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rectify = Callable[[Tensor], Tensor]
BLOCKS = {  # maps that come in; then those of 1x1, of 3x3 and what it is reduced to, of 5x5 likewise, of the pool
    "i3a": (192, 64, 96, 128, 16, 32, 32), "i3b": (256, 128, 128, 192, 32, 96, 64),
    "i4a": (480, 192, 96, 208, 16, 48, 64), "i4b": (512, 160, 112, 224, 24, 64, 64),
    "i4c": (512, 128, 128, 256, 24, 64, 64), "i4d": (512, 112, 144, 288, 32, 64, 64),
    "i4e": (528, 256, 160, 320, 32, 128, 128), "i5a": (832, 256, 160, 320, 32, 128, 128),
    "i5b": (832, 384, 192, 384, 48, 128, 128),
}  # fmt: skip


class Inception(nn.Module):
    """Four ways side by side; the names are those that the weights go by."""

    def __init__(self, below: int, one: int, few3: int, three: int, few5: int, five: int, pooled: int,
                 rectify: Rectify) -> None:  # fmt: skip
        super().__init__()
        self.rectify = rectify
        self.b1 = nn.Sequential(nn.Conv2d(below, one, 1))
        self.b2 = nn.Sequential(
            nn.Sequential(nn.Conv2d(below, few3, 1)), nn.Sequential(nn.Conv2d(few3, three, 3, padding=1))
        )
        self.b3 = nn.Sequential(
            nn.Sequential(nn.Conv2d(below, few5, 1)), nn.Sequential(nn.Conv2d(few5, five, 5, padding=2))
        )
        self.b4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Sequential(nn.Conv2d(below, pooled, 1)))

    def forward(self, x: Tensor) -> Tensor:
        one = self.rectify(self.b1(x))
        three = self.rectify(self.b2[1](self.rectify(self.b2[0](x))))
        five = self.rectify(self.b3[1](self.rectify(self.b3[0](x))))
        return torch.cat([one, three, five, self.rectify(self.b4(x))], 1)


class GoogLeNet(nn.Module):
    """For 224x224 pixels and a thousand classes."""

    def __init__(self, rectify: Rectify = F.relu) -> None:
        super().__init__()
        self.rectify = rectify
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.conv2r = nn.Conv2d(64, 64, 1)
        self.conv2 = nn.Conv2d(64, 192, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm = nn.LocalResponseNorm(5, 1e-4, 0.75)
        for name, maps in BLOCKS.items():
            setattr(self, name, Inception(*maps, rectify))
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.pool(self.rectify(self.conv1(x))))
        x = self.rectify(self.conv2(self.rectify(self.conv2r(x))))
        x = self.pool(self.norm(x))
        x = self.pool(self.i3b(self.i3a(x)))
        for name in ("i4a", "i4b", "i4c", "i4d", "i4e"):
            x = getattr(self, name)(x)
        x = self.i5b(self.i5a(self.pool(x)))
        return self.fc(x.mean((2, 3)))


def googlenet(rectify: Rectify = F.relu) -> GoogLeNet:
    """The network with random weights, for `--model FILE:FUNCTION`."""
    return GoogLeNet(rectify).eval()
