"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import deconvnet

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(deconvnet.__path__, "deconvnet.")
    if not found.name.endswith("__main__")
)


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_its_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    told: list[str] = []
    for test in examples(importlib.import_module(name)):
        runner.run(test, out=told.append)
    assert not told, "".join(told)
