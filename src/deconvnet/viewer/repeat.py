"""How to make a page's pictures again: the lines of Python, and the flags of the command line."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deconvnet.core.rules import RULE_SETS, RuleSet
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.photo import PhotoLike


def source(photo: PhotoLike) -> str:
    """What the lines that make the pictures again call a photo: its file without folders; "" for what is no file."""
    if not isinstance(photo, str | Path):
        return ""
    name = str(photo) if str(photo).startswith("sample:") else Path(photo).name
    return f"./{name}" if name.startswith("-") else name


def title(net: DeconvNet, loaded: LoadedModel) -> str:
    """The network's name, for people."""
    if not loaded.spec:
        return type(net.model).__name__
    weights = loaded.options.get("weights")
    return _spec(loaded) if weights is None else f"{_spec(loaded).removesuffix('@random')} with {Path(weights).name}"


def setup(net: DeconvNet, loaded: LoadedModel) -> str:
    """The lines of Python that make `loaded` and `net`; of files the names, without their folders."""
    smooth = "" if net.rules.smooth == "refuse" else f", smooth={net.rules.smooth!r}"
    name = _named(net.rules)
    way = repr(net.rules) if name is None else f"{name!r}{smooth}"
    rules = "" if way == "'deconvnet'" else f", rules={way}"
    output = "" if net.output is None else f", output={net.output!r}"
    arguments = "".join(f", {option}={value!r}" for option, value in _options(loaded))
    made = f"loaded = load_model({_spec(loaded)!r}{arguments})" if loaded.spec else "# loaded: your LoadedModel"
    names = "DeconvNet, load_model" if name else "DeconvNet, RuleSet, load_model"
    attached = f"net = DeconvNet(loaded.model, loaded.example_input{rules}{output})"
    return f"from deconvnet import {names}\n{made}\n{attached}"


def flags(net: DeconvNet, loaded: LoadedModel) -> str | None:
    """The flags that name the network and the rules on the command line; None where none can."""
    rules, labels = _named(net.rules), loaded.options.get("labels", "")
    if rules is None or not loaded.spec or not isinstance(labels, str | Path):
        return None
    return shlex.join(_words(net, loaded, rules))


def _words(net: DeconvNet, loaded: LoadedModel, rules: str) -> Iterator[str]:
    if loaded.spec != "zfnet-mini":
        yield from ("--model", _spec(loaded))
    for name, value in _options(loaded):
        several = isinstance(value, Sequence) and not isinstance(value, str)
        yield from (f"--{name}", ",".join(map(str, value)) if several else str(value))
    if net.output is not None:
        yield from ("--output-name", net.output)
    if rules != "deconvnet":
        yield from ("--rules", rules)
    if net.rules.smooth != "refuse":
        yield from ("--smooth", net.rules.smooth)


def _spec(loaded: LoadedModel) -> str:
    return Path(loaded.spec).name if ".py" in loaded.spec or loaded.spec.endswith(".pt2") else loaded.spec


def _options(loaded: LoadedModel) -> Iterator[tuple[str, Any]]:
    for name, value in loaded.options.items():
        is_file = name == "weights" or (name == "labels" and isinstance(value, str | Path))
        yield name, Path(value).name if is_file else str(value) if name == "device" else value


def _named(rules: RuleSet) -> str | None:
    """The name of a rule set, whatever it does with smooth operations; None if it has none."""
    bare = replace(rules, smooth="refuse")
    return next((name for name, named in RULE_SETS.items() if named == bare), None)
