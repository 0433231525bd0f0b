"""A model spec → the network, how its photos are prepared, and what its classes are called."""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._checks import as_index, as_list, as_number, did_you_mean, file_path, instance, short, whole_number
from deconvnet._errors import ArgumentError, ModelLoadError, TargetError
from deconvnet._memory import check_fits
from deconvnet.models._classes import class_counts
from deconvnet.models._files import from_function, from_program
from deconvnet.models._weights import fit, read_weights
from deconvnet.models._zoo import TRAINING_HEADS, Fields, Source, from_timm, from_torchvision
from deconvnet.models.zfnet import zfnet_mini
from deconvnet.photos.preprocess import Preprocess

LABELS = ("imagenet", "imagenette")

_FORMS = (
    "A spec is zfnet-mini, torchvision:NAME, timm:NAME (either with @random for no weights), "
    "FILE.pt2 or FILE.py:FUNCTION."
)
_HERE = Path(__file__).parent
_BUNDLED = _HERE / "weights"
_EXAMPLES = {"size": "224", "mean": "(0.485, 0.456, 0.406)", "std": "(0.229, 0.224, 0.225)"}
_CPU = torch.device("cpu")
_MOST_NAMED = 6
_DIGITS = 19  # more than any index has


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network and what it takes to use it.

    Attributes:
        model: in eval mode.
        preprocess: how photos become its input.
        labels: names of the classes, in order, one for each; None if it has none.
        spec: what it was loaded from.
        device: where the model is.
        options: what `load_model` was given besides the spec, so that the call can be repeated.

    Raises:
        ArgumentError: not a module, or not one label for each class of one of its outputs.
    """

    model: nn.Module = field(repr=False)
    preprocess: Preprocess
    labels: tuple[str, ...] | None = field(default=None, repr=False)
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
    def example_input(self) -> Float[Tensor, "1 c h w"]:
        """Zeros of the shape, dtype and device that the model takes."""
        shape = (1, self.preprocess.channels, *self.preprocess.size)
        dtypes = (weight.dtype for weight in self.model.parameters() if weight.is_floating_point())
        return torch.zeros(shape, dtype=next(dtypes, None), device=self.device)

    def label(self, index: int) -> str:
        """The name of a class; "class 3" where it has none.

        Raises:
            ArgumentError: the index is not a whole number.
        """
        index = whole_number("index", index, least=-1)
        if self.labels is None or not 0 <= index < len(self.labels):
            return f"class {index}"
        return self.labels[index]

    def class_index(self, name_or_index: str | int) -> int:
        """The index of a class.

        Args:
            name_or_index: its index, also written as a string; its name, in upper or lower case; or
                any part of its name that no other name has.

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
        index = as_index(name_or_index)
        if index is None and not isinstance(name_or_index, str):
            raise TargetError(f"a class is named by its index or its name; got {short(name_or_index)}.")
        sought = name_or_index if index is None else index
        matches = self._indices(sought)
        if len(matches) == 1:
            return matches[0]
        raise TargetError(self._no_class(sought, matches))

    def _indices(self, name_or_index: str | int) -> list[int]:
        sought, names = str(name_or_index).strip(), self.labels or ()
        if isinstance(name_or_index, int) or (sought.isdecimal() and len(sought) < _DIGITS and sought not in names):
            index = int(name_or_index)
            return [index] if 0 <= index < len(names) or (self.labels is None and index >= 0) else []
        if sought in names:
            return [index for index, name in enumerate(names) if name == sought]
        folded = [name.casefold() for name in names]
        if sought.casefold() in folded:
            return [index for index, name in enumerate(folded) if name == sought.casefold()]
        return [index for index, name in enumerate(folded) if sought and sought.casefold() in name]

    def _no_class(self, sought: str | int, matches: Sequence[int]) -> str:
        if self.labels is None and isinstance(sought, int):
            return f"no class {sought}: classes are counted from 0."
        if self.labels is None:
            return (
                f"cannot find class {sought!r}: the network comes without class names. "
                "Give an index, or load with labels=."
            )
        if matches:
            named = ", ".join(f"{index} {self.labels[index]!r}" for index in matches[:_MOST_NAMED])
            more = f" and {len(matches) - _MOST_NAMED} more" if len(matches) > _MOST_NAMED else ""
            return f"{sought!r} could be {named}{more}. Give the whole name or the index."
        hint = did_you_mean(str(sought), self.labels) or " Give a name or an index."
        return f"no class {sought!r} among the {len(self.labels)} (0 to {len(self.labels) - 1}).{hint}"


def load_model(
    spec: str | Path = "zfnet-mini",
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
    `FILE.pt2` and `FILE.py:FUNCTION` can run code: load only files that you trust. Random weights
    are the same for the same spec, and the global random state stays as it was.

    Args:
        spec: "zfnet-mini" (bundled); "torchvision:NAME" or "timm:NAME", with "@random" behind it for
            random weights; "FILE.pt2" as written by torch.export.save; or "FILE.py:FUNCTION", whose
            function takes nothing and returns a module or a `LoadedModel`.
        weights: a file, safetensors or of torch.save, used in place of the spec's own.
        size: height and width of the input; one number for both. Strings of numbers with commas
            between them will do here and for `mean`, `std` and `value_range`.
        mean: subtracted from each channel, where white is 1.
        std: each channel is divided by it.
        channels: of the input; by default as many as there are means.
        value_range: the values that are black and white in photos, as in `Preprocess`, such as (0, 4095).
        labels: one name for each class: a file with a name on each line, a list, "imagenet" or "imagenette".
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
    if not isinstance(spec, str | Path):
        raise ModelLoadError(f"{short(spec)} is not a model spec. {_FORMS}")
    spec = str(spec)
    weights_file = None if weights is None else file_path("weights", weights)
    overrides = _overrides(size=size, mean=mean, std=std, channels=channels, value_range=value_range)
    given_labels = None if labels is None else _labels(labels)
    target = None if device is None else _device(device)
    with _own_random_state():
        model, defaults, spec_labels = _find(spec, with_weights=weights is None)
    if weights_file is not None:
        spare = TRAINING_HEADS if spec.startswith("torchvision:") else ()
        fit(model, read_weights(weights_file), f"the weights {str(weights)!r} and {spec!r}", spare=spare)
    preprocess = _preprocess(defaults, overrides, spec)
    names = given_labels if given_labels is not None or spec_labels is None else _labels(spec_labels)
    if target is not None:
        model = model.to(target)
    height, width = preprocess.size
    row = 2 * 4 * preprocess.channels * width  # of the input and what the network makes of it first
    check_fits("the height in size", height, f"row of {width} pixels", row, _device_of(model))
    arguments = {"weights": weights, **overrides, "labels": labels, "device": device}
    options = {name: value for name, value in arguments.items() if value is not None}
    return LoadedModel(model, preprocess, names, spec, _device_of(model), options)


def _find(spec: str, *, with_weights: bool) -> Source:
    library, _, name = spec.partition(":")
    pretrained = with_weights and not name.endswith("@random")
    name = name.removesuffix("@random")
    path, _, function = spec.rpartition(":")
    if spec == "zfnet-mini":
        source = _bundled(with_weights)
    elif library == "torchvision" and name:
        source = from_torchvision(name, spec, pretrained=pretrained)
    elif library == "timm" and name:
        source = from_timm(name, spec, pretrained=pretrained)
    elif spec.endswith(".pt2"):
        model, (_, channels, *size) = from_program(Path(spec))
        return model, {"size": tuple(size), "channels": channels}, None
    elif path.endswith(".py") and function:
        source = _own(from_function(Path(path), function), spec)
    else:
        hint = f" Name the function as well: {spec}:FUNCTION." if spec.endswith(".py") else ""
        raise ModelLoadError(f"{spec!r} is not a model spec.{hint} {_FORMS}")
    source[0].eval()
    return source


def _bundled(with_weights: bool) -> Source:
    try:
        card = json.loads((_BUNDLED / "zfnet-mini.json").read_text(encoding="utf-8"))
    except OSError as fault:
        raise ModelLoadError(
            "the bundled network zfnet-mini is not in this installation. Install deconvnet again."
        ) from fault
    model = zfnet_mini(len(card["labels"]))
    if with_weights:
        fit(model, read_weights(_BUNDLED / "zfnet-mini.safetensors"), "the bundled weights and 'zfnet-mini'")
    photos = card["preprocess"]
    defaults = {**photos, "size": (photos["size"],) * 2, "channels": len(photos["mean"])}
    return model, defaults, card["labels"]


def _own(result: object, spec: str) -> Source:
    if isinstance(result, LoadedModel):
        defaults = {field.name: getattr(result.preprocess, field.name) for field in fields(result.preprocess)}
        return result.model, defaults, result.labels
    if isinstance(result, nn.Module):
        return result, {}, None
    raise ModelLoadError(
        f"{spec!r} returned {type(result).__name__}, but a torch.nn.Module or a LoadedModel is needed."
    )


@contextmanager
def _own_random_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would touch other devices too
        yield


def _preprocess(defaults: Fields, overrides: Fields, spec: str) -> Preprocess:
    merged = {**defaults, **overrides}
    missing = [name for name in _EXAMPLES if name not in merged]
    if missing:
        example = ", ".join(f"{name}={_EXAMPLES[name]}" for name in missing)
        raise ModelLoadError(
            f"{spec!r} does not say how its photos are prepared. Give what it was trained with, "
            f"for example {example} ({', '.join('--' + name for name in missing)})."
        )
    merged.setdefault("channels", len(merged["mean"]))
    if "size" in overrides or "short_side" not in merged:
        merged["short_side"] = _short_side(defaults, merged["size"])
    return Preprocess(**merged)


def _short_side(defaults: Fields, size: tuple[int, ...]) -> int | None:
    if "short_side" not in defaults:
        return max(size)
    if defaults["short_side"] is None:
        return None
    short_side: int = defaults["short_side"] * max(size) // max(defaults["size"])
    return short_side


def _overrides(**arguments: Any) -> Fields:
    """The fields of Preprocess that the caller gave."""
    overrides = {name: value for name, value in arguments.items() if value is not None}
    if "channels" in overrides:
        overrides["channels"] = whole_number("channels", overrides["channels"])
    if "size" in overrides:
        sides = _parsed_numbers("size", overrides["size"], int)
        overrides["size"] = sides * 2 if len(sides) == 1 else sides
    for name in ("mean", "std", "value_range"):
        if name in overrides:
            overrides[name] = _parsed_numbers(name, overrides[name], float)
    return overrides


def _parsed_numbers(name: str, value: Any, kind: type[int] | type[float]) -> tuple[float, ...]:
    parts = as_list(value) if not isinstance(value, str) else value.split(",")
    parsed = [_parsed(part, kind) for part in ([value] if parts is None else parts)]
    if not parsed or None in parsed:
        kinds = "a whole number" if kind is int else "a number"
        raise ArgumentError(f"{name}={short(value)}, but it is {kinds}, or several with commas between them.")
    return tuple(part for part in parsed if part is not None)


def _parsed(part: Any, kind: type[int] | type[float]) -> float | None:
    """A number, also in a text; None for anything else."""
    if isinstance(part, str):
        try:
            return kind(part)
        except ValueError:
            return None
    if kind is int:
        return as_index(part)
    value = as_number(part)
    return None if math.isnan(value) else value


def _labels(labels: str | Path | Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str) and labels in LABELS:
        labels = _HERE / "labels" / f"{labels}.txt"
    if not isinstance(labels, str | Path):
        return class_names(labels)
    try:
        names = file_path("labels", labels).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ArgumentError(
            f"cannot read labels={str(labels)!r}: {fault}. Give a text file with a name on each line, "
            f"a list, or one of {', '.join(LABELS)}."
        ) from fault
    names = [name.strip() for name in names]
    if not names or not all(names):
        where = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise ArgumentError(f"labels={str(labels)!r}: {where}, but every class needs a name.")
    return tuple(names)


def class_names(labels: object) -> tuple[str, ...]:
    """The names of classes, checked to be a list of texts.

    Raises:
        ArgumentError: they are not.
    """
    names = as_list(labels)
    if not names or not all(isinstance(name, str) for name in names):
        raise ArgumentError(
            f"labels are a file with a name on each line, a list of names, or one of {', '.join(LABELS)}; got "
            f"{short(labels)}."
        )
    return tuple(names)


def check_label_count(labels: Sequence[str] | None, counts: Collection[int]) -> None:
    """Raise unless there are as many names as classes.

    Args:
        labels: names of the classes; None for none.
        counts: how many classes each of the network's outputs has; empty where that is not known.

    Raises:
        ArgumentError: there are not.
    """
    if labels is not None and counts and len(labels) not in counts:
        classes = " or ".join(f"{count:,}" for count in sorted(counts))
        raise ArgumentError(
            f"labels hold {len(labels):,} names for {classes} class{'es' * (classes != '1')}: they are those of "
            "another network. Give one name for each class."
        )


def _device(device: str | torch.device) -> torch.device:
    if not isinstance(device, str | torch.device):
        raise ArgumentError(f"device is a name such as 'cpu' or 'cuda:1', or a torch.device; got {short(device)}.")
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        reason = str(fault).splitlines()[0]
        raise ArgumentError(f"device={str(device)!r} cannot be used here: {reason} Try 'cpu'.") from fault
    return usable


def _device_of(model: nn.Module) -> torch.device:
    return next((weight.device for weight in model.parameters()), _CPU)
