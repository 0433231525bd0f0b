"""Weights from a file into a network: all of them, each to the weight of the same name and shape."""

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet._checks import did_you_mean
from deconvnet._errors import DeconvNetWarning, ModelLoadError
from deconvnet._files import file_and_key
from deconvnet._stand_in import unwrapped
from deconvnet.models._checkpoints import States, read_weights
from deconvnet.models._sources import Source

_MOST_NAMED = 4
_LONGEST = 120  # letters of a name in a message
_MOST_PREFIXES = 16
_DEEPEST = 32  # parts of a name
# what PyTorch's own wrappers put into names, anywhere
_WRAPPERS = re.compile(r"(?<![^.])((_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+")
_AVERAGE = re.compile(r"(?<![a-z])(ema|swa|avg|averaged?)(?![a-z])")
_OF_AN_AVERAGE = "n_averaged"  # a counter of `AveragedModel`


@dataclass(frozen=True, eq=False)
class Part:
    """Weights in a file whose names begin alike, as a network could have them.

    Attributes:
        key: the keys in the file and the beginning of the names, such as "state_dict.model".
        tensors: by the rest of their names.
        rest: what lies beside them under other names.
    """

    key: str
    tensors: Mapping[str, Tensor]
    rest: Sequence[str] = ()


def with_weights(source: Source, weights: str | Path, spec: str) -> Source:
    """The source with the weights of a file in its network, or in one of as many classes as the file has.

    Names in the file may all begin with more than those of the network, and the weights may lie under keys. Where
    several sets of weights would do, that of averages ("ema") is not taken; the file can be given as FILE:KEY.

    Args:
        source: its model is changed only when everything fits.
        weights: the file, with or without a key.
        spec: for messages.

    Raises:
        ModelLoadError: the file cannot be read, or a weight is missing, unknown, or of another shape or kind.
    """
    path, key = file_and_key("weights", weights)
    what = f"the weights {str(weights)!r} and {spec!r}"
    own = _own(source.model)
    parts = list(_parts(read_weights(path), own, source.spare))
    if key:
        parts = _under(parts, key, path)
    fitting = [part for part in parts if not _differences(own, part.tensors)]
    if fitting:
        fit(source.model, _one_of(fitting, path, key, what).tensors, what)
        return source
    fitting = [part for part in parts if _classes(source, part.tensors)]
    if not fitting or source.remade is None:
        largest = max(parts, key=lambda part: len(part.tensors.keys() & own.keys()))
        head = {} if source.remade is None else _head(source, largest.tensors)  # would be made with as many classes
        raise _misfit(what, _differences(own, {**largest.tensors, **{name: own[name] for name in head}}))
    part = _one_of(fitting, path, key, what)
    classes = _classes(source, part.tensors)
    model = source.remade(classes).eval()
    fit(model, part.tensors, what)
    return replace(source, model=model, labels=None, classes=classes)


def fit(model: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Put the weights into the model, in the model's own dtype.

    Args:
        model: changed only when everything fits.
        weights: by name.
        what: names both, for messages.

    Raises:
        ModelLoadError: a weight is missing, unknown, or of another shape or kind.
    """
    faults = _differences(_own(model), weights)
    if faults:
        raise _misfit(what, faults)
    model = unwrapped(model)
    names = {_WRAPPERS.sub("", name): name for name in model.state_dict()}
    try:
        model.load_state_dict({names[name]: value for name, value in weights.items()})
    except RuntimeError as fault:
        raise ModelLoadError(f"{what} do not fit: {fault}") from fault


def _own(model: nn.Module) -> dict[str, Any]:
    """The network's own weights, by names without what wraps a part of it."""
    return {_WRAPPERS.sub("", name): value for name, value in unwrapped(model).state_dict().items()}


def _parts(states: States, own: Mapping[str, Any], spare: tuple[str, ...]) -> Iterator[Part]:
    """What in the file could be the network's weights: everything in a set, or all behind one beginning of names."""
    for key, state in states.items():
        names = {_WRAPPERS.sub("", name): value for name, value in state.items()}
        beginnings = (name[:i] for name in names for i in _starts(name) if name[i:] in own)
        common = [prefix for prefix, _ in Counter(beginnings).most_common(_MOST_PREFIXES)]
        for prefix in dict.fromkeys([*common, ""]):
            inside = {name[len(prefix) :]: value for name, value in names.items() if name.startswith(prefix)}
            tensors = {name: value for name, value in inside.items() if name in own or not name.startswith(spare)}
            rest = [name for name in names if not name.startswith(prefix) and name != _OF_AN_AVERAGE]
            yield Part(f"{key}.{prefix}".strip("."), tensors, rest)


def _starts(name: str) -> Iterator[int]:
    """Where a part of a dotted name begins; the first few, for a file may hold names of any length."""
    starts = (i for i in range(len(name)) if i == 0 or name[i - 1] == ".")
    return islice(starts, _DEEPEST)


def _under(parts: Sequence[Part], key: str, path: Path) -> list[Part]:
    inside = [part for part in parts if part.key == key] or [p for p in parts if p.key.startswith(f"{key}.")]
    if not inside:
        keys = sorted({part.key for part in parts if part.key})
        listed = f" It has {_first_few(map(repr, keys))}." if keys else " Its weights lie under none."
        raise ModelLoadError(f"{str(path)!r} has no weights under {key!r}.{listed}{did_you_mean(key, keys)}")
    return inside


def _one_of(fitting: Sequence[Part], path: Path, key: str, what: str) -> Part:
    """The part that is meant: the only one that is not an average, and most of what lies there, unless it was named."""
    fitting = _distinct(sorted(fitting, key=lambda part: (bool(_AVERAGE.search(part.key)), len(part.rest))))
    choices = fitting if key else [part for part in fitting if len(part.tensors) > len(part.rest)]
    plain = [part for part in choices if not _AVERAGE.search(part.key)] or choices
    others = [part.key for part in fitting if part not in plain]
    if len(plain) != 1:
        keys = sorted(part.key for part in fitting)
        raise ModelLoadError(
            f"{what}: parts of the file fit, but which is meant is not clear: {_first_few(map(repr, keys))}. "
            f"Name one: {path}:{keys[-1]}."
        )
    if not key and others:
        _warn(f"{what}: those of {plain[0].key or 'the network itself'!r} are taken; {path}:{others[0]} has others.")
    if not key and plain[0].rest:
        _warn(f"{what}: the file also holds {_first_few(plain[0].rest)}, which the network does not have.")
    return plain[0]


def _distinct(parts: Sequence[Part]) -> list[Part]:
    """The parts, without those that hold the weights of one before them under another key."""
    distinct: list[Part] = []
    for part in parts:
        if not any(_same(part.tensors, other.tensors) for other in distinct):
            distinct.append(part)
    return distinct


def _same(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == others.keys() and all(
        value is others[name] or (value.dtype == others[name].dtype and torch.equal(value, others[name]))
        for name, value in tensors.items()
    )


def _warn(words: str) -> None:
    warnings.warn(words, DeconvNetWarning, stacklevel=5)


def _classes(source: Source, weights: Mapping[str, Tensor]) -> int:
    """How many classes weights are for which fit but for that; 0 for weights that fit or do not fit otherwise."""
    own, head = _own(source.model), _head(source, weights)
    if not head or _differences(own, {**weights, **{name: own[name] for name in head}}):
        return 0
    return next(iter(head.values()))


def _head(source: Source, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """The weights of the network's head that are for another number of classes, all for the same.

    A head has one row for each class, or as many for each, as that of a detector for its anchors.

    Returns:
        By name, how many classes.
    """
    own = {name: value for name, value in _own(source.model).items() if isinstance(value, Tensor)}
    forms = [(name, value.shape, weights[name].shape) for name, value in own.items() if name in weights]
    head = {}
    for name, here, there in forms:
        if len(here) == len(there) > 0 and here[0] != there[0] and here[1:] == there[1:] and source.classes:
            each, over = divmod(here[0], source.classes)
            if each and not over and there[0] % each == 0:
                head[name] = there[0] // each
    return head if len(set(head.values())) == 1 and all(head.values()) else {}


def _misfit(what: str, faults: Sequence[str]) -> ModelLoadError:
    return ModelLoadError(
        f"{what} do not fit: {'; '.join(faults)}. Give weights that were saved from this network, or a function that "
        "makes theirs: FILE.py:FUNCTION."
    )


def _differences(own: Mapping[str, Any], weights: Mapping[str, Tensor]) -> list[str]:
    # torch fills in the counters, which older files lack
    missing = [n for n in own if n not in weights and not n.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in own]
    differing = [
        f"{name} is {_form(weight)} in the network and {_form(weights[name])} in the file"
        for name, weight in own.items()
        if isinstance(weight, Tensor) and name in weights and _form(weight) != _form(weights[name])
    ]
    kinds = [("missing in the file", missing), ("unknown to the network", unknown), ("shapes differ", differing)]
    return [f"{what}: {_first_few(names)}" for what, names in kinds if names]


def _form(tensor: Tensor) -> str:
    """Shape and kind of value; precision may differ."""
    kind = "" if tensor.is_floating_point() else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def _first_few(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _MOST_NAMED
    return ", ".join(name[:_LONGEST] + "..." * (len(name) > _LONGEST) for name in names[:_MOST_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )
