"""Detectors of torchvision as networks that can be captured: body and class head, before anchors and suppression."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._errors import CaptureError, ModelLoadError
from deconvnet.core.rated import rated
from deconvnet.models._classes import on_meta
from deconvnet.models._sources import Fields, first_line
from deconvnet.models.detector_answers import DetectorAnswers

_SUREST = -1e-7  # logarithm of a score, which 1 itself has no odds for
_HOME = "torchvision.models.detection"
_KINDS = ((f"{_HOME}.retinanet", "RetinaNet"), (f"{_HOME}.fcos", "FCOS"), (f"{_HOME}.ssd", "SSD"))
_TWO_STAGES = (f"{_HOME}.generalized_rcnn", "GeneralizedRCNN")
_PARTS = ("backbone", "head", "anchor_generator", "transform")
_METHODS = ("forward", "postprocess_detections")
_ONE_STAGE = "retinanet_resnet50_fpn_v2, fcos_resnet50_fpn, ssd300_vgg16 and ssdlite320_mobilenet_v3_large"


def is_detector(model: object) -> bool:
    """Whether a model is one of torchvision's detectors, whose photos come as a list; bodies and heads are not."""
    return any((kind.__module__, kind.__name__) in (*_KINDS, _TWO_STAGES) for kind in type(model).__mro__)


def refuse_detector(model: nn.Module) -> None:
    """Raise unless a model can be captured as it is, which detectors of torchvision cannot.

    Raises:
        CaptureError: it is one of these.
    """
    if is_detector(model):
        raise CaptureError(
            f"{type(model).__name__} is a detector of torchvision: which boxes it keeps depends on the values in a "
            "photo, so that it cannot be captured as it is. loaded = load_model(model) makes a network of its class "
            "scores: DeconvNet(loaded.model, loaded.example_input, labels=loaded.labels); see docs/models.md."
        )


class DetectorScores(nn.Module):
    """The class scores of a one-stage detector of torchvision, for images that are prepared already.

    It shares the detector's own modules, which keep their names. What it returns is the score with which the detector
    itself goes on, in one row: for RetinaNet the sigmoid of each class score; for FCOS the root of that times the
    sigmoid of the centerness; for SSD the softmax over the classes, without the background. A signal starts from the
    class scores below, as from those below a final softmax.

    Args:
        detector: RetinaNet, FCOS or SSD, of torchvision or descended from one of these.
        spec: what it was loaded from, for messages.

    Raises:
        ModelLoadError: it has two stages, or its parts are not where torchvision has them.
    """

    def __init__(self, detector: nn.Module, spec: str) -> None:
        super().__init__()
        self._kind = _kind(detector, spec)
        self.backbone: Any = detector.backbone
        self.head: Any = detector.head
        self._divisor = int(detector.transform.size_divisible)  # type: ignore[union-attr, arg-type]  # an int
        self._anchors: Any = detector.anchor_generator
        self.answers = nn.Flatten(1)
        self.training = detector.training

    @property
    def first(self) -> int:
        """Index of the first class that is an answer."""
        return 1 if self._kind == "SSD" else 0

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n answers"]:
        """The score of each answer, 0 to 1: in order of levels, rows, columns, anchors and classes."""
        outputs = self.head(self.maps(x))
        scores: Tensor = outputs["cls_logits"]
        if self._kind == "FCOS":
            centerness = next(outputs[name] for name in outputs if name.endswith("ctrness"))
            both = (F.logsigmoid(scores) + F.logsigmoid(centerness)) / 2
            scores = rated(scores, _log_odds(both), "centerness,sigmoid")
        elif self._kind == "SSD":
            scores = rated(scores, _log_odds(scores.log_softmax(-1)), "softmax")[..., self.first :]
        return torch.sigmoid(self.answers(scores))

    def maps(self, x: Float[Tensor, "n c h w"]) -> list[Tensor]:
        """The maps of all levels, of images with a border of zeros where the detector adds one."""
        height, width = (-length % self._divisor for length in x.shape[2:])
        maps = self.backbone(F.pad(x, (0, width, 0, height)) if height or width else x)
        return [maps] if isinstance(maps, Tensor) else list(maps.values())

    def named(self, example: Float[Tensor, "1 c h w"], classes: Sequence[str] | None, spec: str) -> DetectorAnswers:
        """The names of its answers for images of the example's size.

        Raises:
            ModelLoadError: it answers something else than a class at each anchor of each position, or there is not a
                name for each of its classes.
        """
        try:
            maps = on_meta(_Maps(self), example)
            outputs = on_meta(self.head, maps)
        except Exception as fault:  # a detector raises whatever it likes
            size = "x".join(map(str, example.shape[2:]))
            raise ModelLoadError(
                f"{spec!r} does not run on images of {size}: {first_line(fault)}. Give another size (size=, --size)."
            ) from fault
        try:
            scores = outputs["cls_logits"]
            anchors = tuple(map(int, self._anchors.num_anchors_per_location()))
            sizes = tuple((int(of_level.shape[2]), int(of_level.shape[3])) for of_level in maps)
            rows, count = scores.shape[1:]
        except (LookupError, TypeError, AttributeError, ValueError) as fault:
            raise _elsewhere(spec, f"{type(fault).__name__}: {first_line(fault)}") from fault
        expected = sum(h * w * a for (h, w), a in zip(sizes, anchors, strict=False))
        if len(anchors) != len(sizes) or rows != expected:
            raise _elsewhere(spec, f"{rows} rows of scores for {expected} anchors on {len(sizes)} levels")
        if classes is not None and len(classes) != count:
            background = " The first is that of the background." if self.first else ""
            raise ModelLoadError(
                f"{spec!r} has {count} classes, and labels hold {len(classes)} names: give one for each, in the order "
                f"in which the detector counts them.{background}"
            )
        height, width = (math.ceil(n / self._divisor) * self._divisor for n in example.shape[2:])
        return DetectorAnswers(
            sizes, anchors, None if classes is None else tuple(classes), int(count), self.first, (height, width)
        )


class _Maps(nn.Module):
    """A detector's maps alone, as its head takes them."""

    def __init__(self, scores: DetectorScores) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.scores.maps(x)


def photos_of(detector: Any) -> Fields:
    """How a detector prepares its photos: a whole photo, stretched to a fixed size.

    RetinaNet and FCOS keep the proportions of each photo; here all get the length of the shorter side.
    """
    transform = detector.transform
    width, height = transform.fixed_size or (transform.min_size[-1],) * 2
    return {
        "size": (height, width),
        "short_side": None,
        "mean": tuple(transform.image_mean),
        "std": tuple(transform.image_std),
        "channels": len(transform.image_mean),
    }


def _log_odds(logarithms: Tensor) -> Tensor:
    """What a sigmoid makes scores of, from their logarithms."""
    logarithms = logarithms.clamp(max=_SUREST)
    return logarithms - torch.log(-torch.expm1(logarithms))


def _kind(detector: nn.Module, spec: str) -> str:
    """Which of torchvision's one-stage detectors it is.

    Raises:
        ModelLoadError: it is none, or runs in a way of its own.
    """
    kinds = {(kind.__module__, kind.__name__): kind for kind in type(detector).__mro__}
    if _TWO_STAGES in kinds:
        raise ModelLoadError(
            f"{spec!r} is a detector of two stages: which boxes its second stage looks into depends on what the first "
            "finds in a photo, which cannot be captured. Take one of a single stage "
            f"({_ONE_STAGE}), or its body as a network: a function FILE.py:FUNCTION that returns a module with "
            "detector.backbone in it; see docs/models.md."
        )
    kind = next(kinds[name] for name in _KINDS if name in kinds)
    changed = [name for name in _METHODS if getattr(type(detector), name) is not getattr(kind, name)]
    missing = [part for part in _PARTS if not isinstance(getattr(detector, part, None), nn.Module)]
    if changed or missing:
        raise _elsewhere(spec, f"its class has a {changed[0]} of its own" if changed else f"it lacks {missing[0]}")
    return kind.__name__


def _elsewhere(spec: str, what: str) -> ModelLoadError:
    return ModelLoadError(
        f"{spec!r} is not a detector as torchvision builds them: {what}. Give a module that takes prepared images and "
        "returns the class scores, FILE.py:FUNCTION; see docs/models.md."
    )
