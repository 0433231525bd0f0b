"""Small detectors of torchvision's own classes, and what their own code makes of an image."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

KINDS = ("RetinaNet", "FCOS", "SSD")
NAMES = ("nothing", "cat", "dog", "elk")


class Body(nn.Module):
    """Two levels, of strides 4 and 8."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.Conv2d(32, 32, 3, stride=2, padding=1)
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(2)
        self.out_channels: Any = 32

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        fine = self.pool(self.relu(self.first(x)))
        return OrderedDict(fine=fine, coarse=self.relu(self.second(fine)))


def small_detector(kind: str, size: int = 32, classes: int = 4) -> nn.Module:
    """A detector in eval mode with weights that matter, always the same."""
    torch.manual_seed(1)
    body, detector = Body(), None
    if kind == "RetinaNet":
        anchors = AnchorGenerator(((16,), (32,)), ((0.5, 1.0),) * 2)
        detector = RetinaNet(body, classes, min_size=size, max_size=size, anchor_generator=anchors, score_thresh=0.0)
    elif kind == "FCOS":
        anchors = AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)
        detector = FCOS(body, classes, min_size=size, max_size=size, anchor_generator=anchors, score_thresh=0.0)
    else:
        body.out_channels = [32, 32]
        detector = SSD(body, DefaultBoxGenerator([[2], [2, 3]]), (size, size), classes)
    for module in detector.head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return detector.eval()


def as_it_is(detector: Any) -> Any:
    """The detector for images that are prepared already."""
    detector.transform.image_mean, detector.transform.image_std = [0.0] * 3, [1.0] * 3
    return detector


def own_scores(detector: Any, x: Tensor) -> Tensor:
    """What the head of a detector itself gives for one prepared image: (anchors, classes), before anything follows."""
    given: dict[str, Tensor] = {}
    hook = detector.head.register_forward_hook(lambda module, inputs, outputs: given.update(outputs))
    try:
        as_it_is(detector)(list(x))
    finally:
        hook.remove()
    return given["cls_logits"][0]
