"""How to reproduce a page's pictures: lines of Python, and flags of the command line."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deconvnet.core.rules import RULE_SETS, RuleSet, Smooth
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.photo import PhotoLike

_FLAGS = {"channels": "--input-channels", "value_range": "--range"}  # for options of `load_model` under another name


def source(photo: PhotoLike) -> str:
    """A photo in the reproduction snippet: its file, as it was given; "" for what is not a file."""
    if not isinstance(photo, str | Path):
        return ""
    name = _given(photo)
    return f"./{name}" if name.startswith("-") else name


def _given(file: str | Path) -> str:
    """A file as it was given, so that the lines can be run where it was; below that folder without the folders above.

    A page is handed on, and where its folder lies is nobody's business.
    """
    path = Path(file)
    if not path.is_absolute() or not path.is_relative_to(here := Path.cwd()):
        return str(file)
    return str(path.relative_to(here))


def title(net: DeconvNet, loaded: LoadedModel) -> str:
    """The network's name, for people."""
    if not loaded.spec:
        return type(net.model).__name__
    weights = loaded.options.get("weights")
    name = Path(loaded.spec).name if ".py" in loaded.spec or loaded.spec.endswith(".pt2") else loaded.spec
    return name if weights is None else f"{name.replace('@random', '')} with {Path(weights).name}"


def setup(net: DeconvNet, loaded: LoadedModel) -> str:
    """The lines of Python that make `loaded` and `net`, with files as they were given."""
    name, own_smooth = _rules_name(net.rules)
    smooth = f", smooth={own_smooth!r}" if own_smooth else ""
    value = repr(net.rules) if name is None else f"{name!r}{smooth}"
    rules = "" if value == "'deconvnet'" else f", rules={value}"
    output = "" if net.output is None else f", output={net.output!r}"
    arguments = "".join(f", {option}={value!r}" for option, value in _options(loaded))
    load = f"loaded = load_model({_given(loaded.spec)!r}{arguments})" if loaded.spec else "# loaded: your LoadedModel"
    names = "DeconvNet, load_model" if name else "DeconvNet, RuleSet, load_model"
    arithmetic = "".join(f", {name}={value!r}" for name, value in _arithmetic(net))
    labels = "" if attached(net).labels is None else ", labels=loaded.labels"
    attach = f"net = DeconvNet(loaded.model, loaded.example_input{rules}{output}{labels}{arithmetic})"
    hung = "".join(
        f"\nnet = net.with_directions({each.layer!r}, weight, bias, rectify={each.rectify}, name={each.name!r})"
        for each in attached(net).directions
    )
    return f"from deconvnet import {names}\n{load}\n{attach}{hung}"


def flags(net: DeconvNet, loaded: LoadedModel) -> str | None:
    """The command-line flags for the network and the rules; None where there are none that could name them."""
    (rules, _), labels = _rules_name(net.rules), loaded.options.get("labels", "")
    if rules is None or not loaded.spec or not isinstance(labels, str | Path) or attached(net).directions:
        return None
    return shlex.join(_flags(net, loaded, rules))


def _flags(net: DeconvNet, loaded: LoadedModel, rules: str) -> Iterator[str]:
    if loaded.spec != "zfnet-mini":
        yield from ("--model", _given(loaded.spec))
    for name, value in _options(loaded):
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        yield from (_FLAGS.get(name, f"--{name}"), ",".join(map(str, value)) if is_list else str(value))
    if net.output is not None:
        yield from ("--class-output", net.output)
    if rules != "deconvnet":
        yield from ("--rules", rules)
    if (smooth := _rules_name(net.rules)[1]) is not None:
        yield from ("--smooth", smooth)
    for name, value in _arithmetic(net):
        yield from (f"--{name}",) if value is True else (f"--{name}", str(value))


def _arithmetic(net: DeconvNet) -> Iterator[tuple[str, str | bool]]:
    """The options of `DeconvNet` that say how it is computed and are not the defaults."""
    arithmetic = attached(net).arithmetic
    if arithmetic.precision is not None:
        yield "precision", arithmetic.precision
    if arithmetic.deterministic:
        yield "deterministic", True


def _options(loaded: LoadedModel) -> Iterator[tuple[str, Any]]:
    for name, value in loaded.options.items():
        is_file = name == "weights" or (name == "labels" and isinstance(value, str | Path))
        yield name, _given(value) if is_file else str(value) if name == "device" else value


def _rules_name(rules: RuleSet) -> tuple[str | None, Smooth | None]:
    """A rule set's name, None if it has none; and what it does with smooth operations if the name does not say it."""
    for name, named in RULE_SETS.items():
        if replace(rules, smooth=named.smooth) == named:
            return name, None if rules == named else rules.smooth
    return None, None
