"""Runs that end in the middle."""

from typing import Any

import pytest


class Crash(BaseException):
    """As if the process had ended here."""


def crashing(monkeypatch: pytest.MonkeyPatch, where: object, name: str, call: int = 1) -> None:
    """The n-th call of a function ends the run, after it has done its work."""
    original, calls = getattr(where, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls[0] += 1
        if calls[0] == call:
            raise Crash
        return result

    monkeypatch.setattr(where, name, wrapped)
