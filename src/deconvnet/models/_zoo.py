"""Networks of torchvision and timm, with the weights, preprocessing and class names of their own."""

import math
import re
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any

from torch import nn

from deconvnet._checks import did_you_mean
from deconvnet._errors import ModelLoadError
from deconvnet.models._sources import Fields, Source, first_line

_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")
_INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


def from_torchvision(name: str, spec: str, *, pretrained: bool) -> Source:
    """A classifier of photos or clips, segmentation network or detector of torchvision, as its weights would have it.

    Raises:
        ModelLoadError: torchvision is missing, or does not have this network or its weights.
    """
    models = _library("torchvision.models", spec)
    detectors = models.list_models(module=models.detection)
    of_clips = models.list_models(module=models.video)
    of_photos = [*models.list_models(module=models), *models.list_models(module=models.segmentation), *detectors]
    names = [*of_photos, *of_clips]
    if name not in names:
        raise ModelLoadError(f"torchvision has no network {name!r} for photos or clips.{did_you_mean(name, names)}")
    entry = models.get_model_weights(name).DEFAULT
    options = _without_weights(models.get_model_builder(name))

    def remade(classes: int) -> nn.Module:
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
        return model

    labels = entry.meta.get("categories")
    if pretrained:
        model = _fetched(lambda: models.get_model(name, weights=entry), spec)
    else:
        model = models.get_model(name, weights=None, **options)
    if name in detectors:  # which prepare photos themselves
        photos: Fields = {}
    else:
        photos = _clips(entry) if name in of_clips else _torchvision_photos(entry.transforms())
    return Source(model, photos, labels, labels and len(labels), remade, _TRAINING_HEADS)


def _without_weights(builder: Callable[..., Any]) -> dict[str, Any]:
    """Options that build the network for its default weights without downloading them."""
    if builder.__name__ in ("googlenet", "inception_v3"):
        return {"init_weights": False, "aux_logits": False, "transform_input": True}
    return {"weights_backbone": None} if "weights_backbone" in signature(builder).parameters else {}


def _torchvision_photos(presets: Any) -> Fields:
    (short_side,) = presets.resize_size
    (side,) = getattr(presets, "crop_size", presets.resize_size)
    return {
        "size": (side, side),
        "short_side": short_side,
        "mean": tuple(presets.mean),
        "std": tuple(presets.std),
        "channels": len(presets.mean),
        "interpolation": presets.interpolation.value,
    }


def _clips(entry: Any) -> Fields:
    """As volumes, whose first axis is time; how many frames it was trained on only its weights' description says."""
    presets, frames = entry.transforms(), re.search(r"clip_len=(\d{1,3})\b", entry.meta.get("_docs", ""))
    size = {} if frames is None else {"size": (int(frames[1]), *presets.crop_size)}
    return {**size, "mean": tuple(presets.mean), "std": tuple(presets.std), "channels": len(presets.mean)}


def from_timm(name: str, spec: str, *, pretrained: bool) -> Source:
    """A network of timm; the name may carry a tag, as in "resnet50.a1_in1k".

    Raises:
        ModelLoadError: timm is missing, or does not have this network or its weights.
    """
    timm = _library("timm", spec)
    architecture, dot, _ = name.partition(".")
    if not timm.is_model(architecture):
        raise ModelLoadError(f"timm has no network {name!r}.{did_you_mean(name, timm.list_models())}")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if dot and name not in tagged:
        raise ModelLoadError(f"timm has no weights {name!r}.{did_you_mean(name, tagged)}")

    def remade(classes: int) -> nn.Module:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
        return model

    if pretrained:
        model = _fetched(lambda: timm.create_model(name, pretrained=True), spec)
    else:
        model = timm.create_model(name, pretrained=False)
    photos = _timm_photos(timm.data.resolve_model_data_config(model))
    return Source(model, photos, _timm_classes(timm, model), getattr(model, "num_classes", None), remade)


def _timm_photos(config: dict[str, Any]) -> Fields:
    channels, height, width = config["input_size"]
    fields = {"mean": tuple(config["mean"]), "std": tuple(config["std"]), "channels": channels}
    if config["interpolation"] in _INTERPOLATIONS:
        fields["interpolation"] = config["interpolation"]
    cropped, stretched = config["crop_mode"] == "center", config["crop_mode"] == "squash"
    if cropped and config["crop_pct"] <= 1:
        short_side = math.floor(max(height, width) / config["crop_pct"])
        return {**fields, "size": (height, width), "short_side": short_side}
    if stretched and config["crop_pct"] == 1:
        return {**fields, "size": (height, width), "short_side": None}
    return {}  # cropped in a way that Preprocess does not know: the user has to say


def _timm_classes(timm: Any, model: nn.Module) -> str | list[str] | None:
    subset = timm.data.infer_imagenet_subset(model)
    if subset is None or subset == "imagenet-1k":
        return subset and "imagenet"
    names = timm.data.ImageNetInfo(subset)
    return [names.index_to_description(index) for index in range(names.num_classes())]


def _library(module: str, spec: str) -> ModuleType:
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as fault:  # RuntimeError: a torchvision built for another torch
        raise ModelLoadError(
            f"{spec!r} needs {module.partition('.')[0]}, which cannot be imported ({fault}). "
            'Install it: pip install "deconvnet[zoo]"'
        ) from fault


def _fetched(make: Callable[[], nn.Module], spec: str) -> nn.Module:
    try:
        return make()
    except Exception as fault:  # hubs pass on whatever their HTTP clients raise
        raise ModelLoadError(
            f"cannot get the weights of {spec!r}: {first_line(fault)}. Without a network, give them with "
            f"weights= (--weights FILE), take random ones ({spec}@random), or use the bundled 'zfnet-mini'."
        ) from fault
