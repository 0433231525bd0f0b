"""A model spec → the network, how its photos are prepared, and what its classes are called."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._checks import file_path, instance, short, whole_number
from deconvnet._errors import ArgumentError, ModelLoadError
from deconvnet._memory import check_fits
from deconvnet.models._classes import class_counts
from deconvnet.models._detectors import DetectorScores, is_detector, photos_of
from deconvnet.models._functions import from_file, from_module, names_a_function
from deconvnet.models._names import answer_name, class_index
from deconvnet.models._preparation import overrides_of, prepared
from deconvnet.models._programs import from_program
from deconvnet.models._sources import Source
from deconvnet.models._weights import with_weights
from deconvnet.models._zoo import from_timm, from_torchvision
from deconvnet.models.class_names import check_label_count, class_names, read_class_names
from deconvnet.models.detector_answers import DetectorAnswers
from deconvnet.models.zfnet import zfnet_mini
from deconvnet.photos.preprocess import Preprocess

_FORMS = (
    "A spec is zfnet-mini, torchvision:NAME, timm:NAME (either with @random for random weights, or with "
    "?num_classes=N for weights of your own), FILE.pt2, FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION."
)
_ZOO = re.compile(r"(torchvision|timm):([^?@]+?)(@random)?(?:\?(.*?))?(@random)?")
_BUNDLED = Path(__file__).parent / "weights"
_CPU = torch.device("cpu")
_MOST_CLASSES = 100_000


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network and what it takes to use it.

    Attributes:
        model: in eval mode.
        preprocess: how photos become its input.
        labels: names of the classes, in order, one for each; None if it has none. Those of a detector are
            `DetectorAnswers`.
        spec: what it was loaded from.
        device: where the model is.
        options: what `load_model` was given besides the spec, so that the call can be repeated.

    Raises:
        ArgumentError: not a module, or not one label for each class of one of its outputs.
    """

    model: nn.Module = field(repr=False)
    preprocess: Preprocess
    labels: Sequence[str] | None = field(default=None, repr=False)
    spec: str = ""
    device: torch.device = _CPU
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        instance("model", self.model, nn.Module)
        instance("preprocess", self.preprocess, Preprocess)
        if self.labels is not None:
            object.__setattr__(self, "labels", class_names(self.labels))
            check_label_count(self.labels, class_counts(self.model, self.example_input))

    @property
    def example_input(self) -> Float[Tensor, "1 c *size"]:
        """Zeros of the shape, dtype and device that the model takes."""
        return _zeros(self.model, self.preprocess, self.device)

    def label(self, index: int) -> str:
        """The name of a class; "class 3" where it has none.

        Raises:
            ArgumentError: the index is not a whole number.
        """
        return answer_name(self.labels, whole_number("index", index, least=-1))

    def class_index(self, name_or_index: str | int) -> int:
        """The index of a class.

        Args:
            name_or_index: its index, also written as a string; its name, in upper or lower case; or
                any part of its name that no other name has. Of a detector one answer, see `DetectorAnswers.single`.

        Raises:
            TargetError: no class has that name or index, or several have.

        Example:
            >>> from torch import nn
            >>> from deconvnet import LoadedModel, Preprocess
            >>> photos = Preprocess((8, 8), 8, (0.5,), (0.5,), channels=1)
            >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
            >>> LoadedModel(model, photos, ("tabby cat", "golden retriever")).class_index("golden")
            1
        """
        if isinstance(self.labels, DetectorAnswers):
            return self.labels.single(name_or_index)
        return class_index(self.labels, name_or_index)


def load_model(
    spec: str | Path | nn.Module = "zfnet-mini",
    *,
    weights: str | Path | None = None,
    size: int | Sequence[int] | str | None = None,
    mean: float | Sequence[float] | str | None = None,
    std: float | Sequence[float] | str | None = None,
    channels: int | None = None,
    value_range: tuple[float, float] | str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> LoadedModel:
    """The network that the spec names, in eval mode, with its preprocessing and class names.

    Weights of torchvision and timm are fetched by these libraries; nothing else uses the network.
    `FILE.pt2`, `FILE.py:FUNCTION` and `PACKAGE.MODULE:FUNCTION` can run code: load only what you trust. Random
    weights are the same for the same spec, and the global random state stays as it was.

    Args:
        spec: "zfnet-mini" (bundled); "torchvision:NAME" or "timm:NAME", with "@random" behind it for
            random weights or "?num_classes=11" for weights of your own; "FILE.pt2" as written by
            torch.export.save; or "FILE.py:FUNCTION" or "PACKAGE.MODULE:FUNCTION", which names a function or class
            that takes nothing and returns a module or a `LoadedModel`, or a module itself. These can import from the
            current folder. Or a module of your own, which stays as it is. Detectors of torchvision (RetinaNet, FCOS,
            SSD) come as their class scores, see docs/models.md.
        weights: a file, safetensors or a checkpoint of torch.save, used in place of the spec's own. What all names in
            it begin with beyond the network's is left out ("module.", "model.", "_orig_mod." ...), and the weights
            may lie under keys ("state_dict", "ema" ...); where several sets would do, "FILE:KEY" names one. A network
            of torchvision or timm is made with as many classes as the file has.
        size: height and width of the input; one number for both; depth, height and width of volumes. Of a network
            that brings the size of its clips or volumes, height and width alone keep the number of frames. Strings of
            numbers with commas between them will do here and for `mean`, `std` and `value_range`.
        mean: subtracted from each channel, where white is 1.
        std: each channel is divided by it.
        channels: of the input; by default as many as there are means.
        value_range: the values that are black and white in photos, as in `Preprocess`, such as (0, 4095).
        labels: one name for each class: a list, "imagenet", "imagenette", or a file: a name on each line, CSV
            ("FILE.csv:COLUMN" where several columns could hold the names), or JSON (a list, or an object from index
            to name).
        device: where to put the network; left where it was made if None.

    These replace what the spec brings. What it does not bring is required. A photo's shorter
    side is resized to the longer side of `size`, unless the spec brings a size of its own: then the
    share of the photo that is cut from its centre stays the same.

    Raises:
        ModelLoadError: the spec, the file or the weights cannot be loaded, or something is missing.
        ArgumentError: an argument has a wrong value, or the device is not there.

    Example:
        >>> from deconvnet import load_model
        >>> loaded = load_model("torchvision:squeezenet1_1@random")
        >>> loaded.preprocess.size, loaded.label(285)
        ((224, 224), 'Egyptian cat')
    """
    own, name = _own_module(spec, weights, device)
    weights_file = None if weights is None else file_path("weights", weights)
    overrides = overrides_of(size=size, mean=mean, std=std, channels=channels, value_range=value_range)
    names = None if labels is None else read_class_names(labels)
    target = None if device is None else usable_device(device)
    with _own_random_state():
        source = _source_of(name, fetch=weights is None) if own is None else _own(own, name)
        if weights_file is not None:
            source = with_weights(source, weights_file, name)
    if is_detector(source.model):
        source = replace(
            source, model=DetectorScores(source.model, name), photos=photos_of(source.model) | source.photos
        )
    preprocess = prepared(source.photos, overrides, name)
    if names is None and source.labels is not None:
        names = read_class_names(source.labels)
    model = source.model if target is None else source.model.to(target)
    height, *width = preprocess.size
    row = 2 * 4 * preprocess.channels * math.prod(width)  # of the input and what the network makes of it first
    pixels = " x ".join(map(str, width)) + (" pixels" if len(width) == 1 else " voxels")
    check_fits("the first number in size", height, f"row of {pixels}", row, _device_of(model))
    if isinstance(model, DetectorScores):
        names = names.classes if isinstance(names, DetectorAnswers) else names
        names = model.named(_zeros(model, preprocess, "meta"), names, name)
    arguments = {"weights": weights, **overrides, "labels": labels, "device": device}
    options = {name: value for name, value in arguments.items() if value is not None}
    return LoadedModel(model, preprocess, names, "" if own is not None else name, _device_of(model), options)


def _own_module(spec: object, weights: object, device: object) -> tuple[nn.Module | None, str]:
    """The module where a spec is one, and what it is called.

    Raises:
        ModelLoadError: neither a spec nor a module.
        ArgumentError: what changes the module.
    """
    if isinstance(spec, str | Path):
        return None, str(spec)
    if not isinstance(spec, nn.Module):
        raise ModelLoadError(f"{short(spec)} is not a model spec. {_FORMS}")
    given = [option for option, value in (("weights", weights), ("device", device)) if value is not None]
    if given:
        raise ArgumentError(f"{given[0]}= would change the module that was given: change it before, and drop it here.")
    return spec, type(spec).__name__


def _source_of(spec: str, *, fetch: bool) -> Source:
    """What a spec names, in eval mode; its own weights, where it has any, only if they are to be fetched."""
    path, _, function = spec.rpartition(":")
    if spec == "zfnet-mini":
        source = _bundled(fetch)
    elif zoo := _ZOO.fullmatch(spec):
        source = _of_zoo(zoo, spec, fetch=fetch)
    elif spec.endswith(".pt2"):
        model, (_, channels, *size) = from_program(Path(spec))
        return Source(model, {"size": tuple(size), "channels": channels})  # its modules have no eval mode
    elif path.endswith(".py") and function:
        source = _own(from_file(Path(path), function), spec)
    elif names_a_function(path, function):
        source = _own(from_module(path, function), spec)
    else:
        hint = f" Name the function as well: {spec}:FUNCTION." if spec.endswith(".py") else ""
        raise ModelLoadError(f"{spec!r} is not a model spec.{hint} {_FORMS}")
    source.model.eval()
    return source


def _of_zoo(parts: re.Match[str], spec: str, *, fetch: bool) -> Source:
    library, name, at_name, options, at_end = parts.groups()
    classes = re.fullmatch(r"num_classes=(\d{1,7})", "num_classes=1" if options is None else options)
    if classes is None or not 1 <= int(classes[1]) <= _MOST_CLASSES:
        raise ModelLoadError(
            f"{spec!r}: behind the question mark stands num_classes=N, such as num_classes=11, at most "
            f"{_MOST_CLASSES:,}."
        )
    is_random = at_name is not None or at_end is not None
    if options is not None and fetch and not is_random:
        raise ModelLoadError(
            f"{spec!r}: the weights of {library} are for its own classes. Give yours (weights=, --weights FILE), or "
            "take random ones with @random."
        )
    find = from_torchvision if library == "torchvision" else from_timm
    source = find(name, spec, pretrained=fetch and not is_random)
    if options is None or source.remade is None:
        return source
    if int(classes[1]) != source.classes:
        source = replace(source, model=source.remade(int(classes[1])), labels=None)
    return replace(source, remade=None)


def _bundled(fetch: bool) -> Source:
    try:
        card = json.loads((_BUNDLED / "zfnet-mini.json").read_text(encoding="utf-8"))
    except OSError as fault:
        raise ModelLoadError(
            "the bundled network zfnet-mini is not in this installation. Install deconvnet again."
        ) from fault
    labels = card["labels"]
    photos = {**card["preprocess"], "channels": len(card["preprocess"]["mean"])}
    photos["size"] = (photos["size"],) * 2
    source = Source(zfnet_mini(len(labels)), photos, labels, len(labels), zfnet_mini)
    return with_weights(source, _BUNDLED / "zfnet-mini.safetensors", "zfnet-mini") if fetch else source


def _own(result: object, spec: str) -> Source:
    if isinstance(result, LoadedModel):
        photos = {field.name: getattr(result.preprocess, field.name) for field in fields(result.preprocess)}
        return Source(result.model, photos, result.labels)
    if isinstance(result, nn.Module):
        return Source(result, {})
    raise ModelLoadError(
        f"{spec!r} returned {type(result).__name__}, but a torch.nn.Module or a LoadedModel is needed."
    )


@contextmanager
def _own_random_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would touch other devices too
        yield


def usable_device(device: str | torch.device) -> torch.device:
    """The device of this name.

    Raises:
        ArgumentError: there is none, or it cannot be used here.
    """
    if not isinstance(device, str | torch.device):
        raise ArgumentError(f"device is a name such as 'cpu' or 'cuda:1', or a torch.device; got {short(device)}.")
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        reason = str(fault).splitlines()[0].rstrip(" .")
        raise ArgumentError(f"device={str(device)!r} cannot be used here: {reason}. Try 'cpu'.") from fault
    return usable


def _zeros(model: nn.Module, preprocess: Preprocess, device: torch.device | str) -> Float[Tensor, "1 c *size"]:
    dtypes = (weight.dtype for weight in model.parameters() if weight.is_floating_point())
    shape = (1, preprocess.channels, *preprocess.size)
    return torch.zeros(shape, dtype=next(dtypes, None), device=device)


def _device_of(model: nn.Module) -> torch.device:
    return next((weight.device for weight in model.parameters()), _CPU)
