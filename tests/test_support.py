"""The tests themselves: they follow the source tree, and what several of them need lies in `support`."""

import ast
from pathlib import Path

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from support.shapes import checked
from torch import Tensor

import deconvnet
from deconvnet.pictures import render

HERE = Path(__file__).parent
SOURCE = Path(deconvnet.__file__).parent
FILES = sorted(HERE.rglob("*.py"))


def imported_tests(code: str) -> list[str]:
    """The test files that some code imports."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    modules = {path.stem for path in FILES if path.stem.startswith("test_")}
    return [name for name in names if modules & set(name.split("."))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_no_test_file_is_imported_by_another(path: Path):
    assert imported_tests(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import test_network",
        "from test_network import net",
        "from tests.core import test_ops",
        "from .test_ops import x",
    ],
)
def test_an_import_of_a_test_file_is_found_in_any_form(code: str):
    assert len(imported_tests(code)) == 1


def test_no_test_file_hands_fixtures_on():
    for path in FILES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = [target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
                 if isinstance(target, ast.Name)]  # fmt: skip
        assert not (path.stem.startswith("test_") and "__all__" in names), path


def test_folders_of_tests_are_those_of_the_source():
    folders = {path.name for path in HERE.iterdir() if any(path.glob("*.py"))}
    beside = {"support", "reference", "fuzz", "benchmarks", "examples"}
    assert folders - beside <= {path.name for path in SOURCE.iterdir() if path.is_dir()}


def test_shapes_in_signatures_are_checked_and_functions_without_any_are_left_alone():
    def shaped(signal: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
        return signal.sum(0)

    def plain(signal: Tensor) -> Tensor:
        return signal.sum(0)

    wrap = jaxtyping.jaxtyped(typechecker=checked)
    assert wrap(plain) is plain
    assert wrap(shaped)(torch.zeros(2, 2)).shape == (2,)
    with pytest.raises(jaxtyping.TypeCheckError):
        wrap(shaped)(torch.zeros(2, 3))
    assert hasattr(render.magnitude, "__wrapped__")
