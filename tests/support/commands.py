"""Commands run in this process, and the networks that many of them are about, captured once."""

import sys
from typing import Any

import pytest
import torch
from torch import nn

from deconvnet.capture import trace
from deconvnet.cli import main
from deconvnet.core.graph import Graph

_in_earnest = trace.capture
_captures: dict[object, Graph] = {}


def captured_once(model: nn.Module, x: torch.Tensor, **options: object) -> Graph:
    """What `trace.capture` gives, which is slow and tested elsewhere; weights are read from the model anyway."""
    key = (str(model), tuple(model.state_dict()), x.shape, *options.items())
    if key not in _captures:
        _captures[key] = _in_earnest(model, x, **options)
    return _captures[key]


def ran(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: object) -> tuple[int, str]:
    """The exit code of a command, and its words."""
    monkeypatch.setattr(sys, "argv", ["deconvnet", *map(str, arguments)])
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    done = capsys.readouterr()
    return code, done.out + done.err
