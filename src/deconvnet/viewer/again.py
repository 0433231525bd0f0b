"""How to make a page's pictures again: the lines of Python, and the flags of the command line."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.rules import RULE_SETS, RuleSet


def setup(net: DeconvNet, loaded: LoadedModel) -> str:
    """The lines of Python that make `loaded` and `net`."""
    smooth = "" if net.rules.smooth == "refuse" else f", smooth={net.rules.smooth!r}"
    name = _named(net.rules)
    way = repr(net.rules) if name is None else f"{name!r}{smooth}"
    rules = "" if way == "'deconvnet'" else f", rules={way}"
    output = "" if net.output is None else f", output={net.output!r}"
    arguments = "".join(f", {name}={_plain(value)!r}" for name, value in loaded.options.items())
    made = f"loaded = load_model({loaded.spec!r}{arguments})" if loaded.spec else "# loaded: a LoadedModel of your own"
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
        yield from ("--model", loaded.spec)
    for name, value in loaded.options.items():
        several = isinstance(value, Sequence) and not isinstance(value, str)
        yield from (f"--{name}", ",".join(map(str, value)) if several else str(value))
    if net.output is not None:
        yield from ("--output-name", net.output)
    if rules != "deconvnet":
        yield from ("--rules", rules)
    if net.rules.smooth != "refuse":
        yield from ("--smooth", net.rules.smooth)


def _named(rules: RuleSet) -> str | None:
    """The name of a rule set, whatever it does with smooth operations; None if it has none."""
    bare = replace(rules, smooth="refuse")
    return next((name for name, named in RULE_SETS.items() if named == bare), None)


def _plain(value: object) -> object:
    """A value of an option as one would write it."""
    return str(value) if isinstance(value, Path | torch.device) else value
