"""How photos become a network's input: what its spec brings, and what the caller gives in place of it."""

import math
from typing import Any

from deconvnet._checks import as_index, as_list, as_number, short, whole_number
from deconvnet._errors import ArgumentError, ModelLoadError
from deconvnet.models._sources import Fields
from deconvnet.photos.preprocess import Preprocess

_VOLUME = 3  # numbers in the size of a volume
_EXAMPLES = {"size": "224", "mean": "(0.485, 0.456, 0.406)", "std": "(0.229, 0.224, 0.225)"}


def prepared(defaults: Fields, overrides: Fields, spec: str) -> Preprocess:
    """How photos become a network's input: what the spec brings, and what replaces it.

    Raises:
        ModelLoadError: something is missing.
        ArgumentError: a value does not fit the others.
    """
    if "size" in overrides and "size" in defaults:
        overrides = {**overrides, "size": _size(overrides["size"], defaults["size"], spec)}
    merged = {**defaults, **overrides}
    missing = [name for name in _EXAMPLES if name not in merged]
    if missing:
        example = ", ".join(f"{name}={_EXAMPLES[name]}" for name in missing)
        raise ModelLoadError(
            f"{spec!r} does not say how its photos are prepared. Give what it was trained with, "
            f"for example {example} ({', '.join('--' + name for name in missing)})."
        )
    merged.setdefault("channels", len(merged["mean"]))
    if len(merged["size"]) == _VOLUME:
        merged["short_side"] = None
    elif "size" in overrides or "short_side" not in merged:
        merged["short_side"] = _short_side(defaults, merged["size"])
    return Preprocess(**merged)


def _size(size: tuple[int, ...], own: tuple[int, ...], spec: str) -> tuple[int, ...]:
    """A size that was given; of a network of clips or volumes, the height and width of as many frames as it brings.

    Raises:
        ArgumentError: three numbers for a network of photos.
    """
    if len(size) == _VOLUME and len(own) < _VOLUME:
        raise ArgumentError(
            f"size={','.join(map(str, size))}, but {spec!r} takes photos: give height and width, or one number for "
            "both (--size 224)."
        )
    return (own[0], *size) if len(own) == _VOLUME and len(size) < _VOLUME else size


def _short_side(defaults: Fields, size: tuple[int, ...]) -> int | None:
    if "short_side" not in defaults:
        return max(size)
    if defaults["short_side"] is None:
        return None
    short_side: int = defaults["short_side"] * max(size) // max(defaults["size"])
    return short_side


def overrides_of(**arguments: Any) -> Fields:
    """The fields of Preprocess that the caller gave, out of what may be None or a text.

    Raises:
        ArgumentError: a value of a wrong type.
    """
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
