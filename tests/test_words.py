"""The glossary: one word for one thing, in the names, messages and docstrings of the source."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import deconvnet

SOURCE = Path(deconvnet.__file__).parent

WITHOUT_A_NOUN = frozenset({"one", "some", "several", "found", "made", "told", "tell", "known", "shown", "kept"})
OF_OTHER_PAPERS = frozenset({"heatmap", "saliency", "relevance", "neuron", "bbox", "idx"})
OF_MANY_THINGS = frozenset({"number", "numbers", "place", "places"})
BANNED = WITHOUT_A_NOUN | OF_OTHER_PAPERS | OF_MANY_THINGS
AMOUNTS = {  # where `numbers` is how many there are, not which one
    ("core/graph.py", "numbers"): "of a value, for one image",
    ("engine/costs.py", "numbers"): "held at a step of the way up",
    ("windows/cost.py", "numbers"): "of a value, in a window",
}
MODULES = frozenset(
    {"utils", "util", "helpers", "common", "manager", "misc", "kept", "again", "chosen", "checked", "work", "parts"}
)
NO = re.compile(r"\b(?:is|are|has|have) no (?!longer)[a-z]")
MOST_NO = 19


def files() -> list[Path]:
    """Every file of the source whose words are held, by its path in the package."""
    return sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((SOURCE / path).read_text(encoding="utf-8"))


def names(node: ast.AST) -> Iterator[str]:
    """What a node gives a name to: a function, a class, an argument, a variable or an attribute."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


def given(path: Path) -> set[str]:
    """All names that a file gives, without leading underscores and in lower case."""
    return {name.strip("_").lower() for node in ast.walk(tree(path)) for name in names(node)}


def texts(path: Path) -> list[str]:
    """Messages and docstrings."""
    constants = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    return [value for value in constants if isinstance(value, str)]


def test_a_name_says_what_it_holds():
    banned = {(path.as_posix(), name) for path in files() for name in given(path) & BANNED}
    assert banned == set(AMOUNTS)


def test_what_travels_down_is_a_signal_and_not_a_gradient():
    core = [path for path in files() if path.parts[0] == "core"]
    assert core
    assert not {(path.as_posix(), name) for path in core for name in given(path) if re.match(r"gradients?$", name)}


def test_a_module_is_named_after_its_subject():
    assert not {path.as_posix() for path in files() if path.stem in MODULES}


@pytest.mark.parametrize("word", ["heatmap", "saliency", "relevance", "neuron", "bbox", "winner"])
def test_messages_and_docstrings_use_the_words_of_the_paper(word):
    own = [path for path in files() if path.parts[0] != "captum_api"]  # which has Captum's names
    assert not [(path.as_posix(), text) for path in own for text in texts(path) if word in text.lower()]


def test_something_is_not_a_thing_rather_than_no_thing():
    phrases = [(path.as_posix(), match[0]) for path in files() for text in texts(path) for match in NO.finditer(text)]
    assert len(phrases) <= MOST_NO, phrases


def test_a_function_that_returns_nothing_does_not_ask_whether():
    functions = [(path, node) for path in files() for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    nothing = [(path, node) for path, node in functions if node.returns is None or ast.unparse(node.returns) == "None"]
    asked = [
        (path.as_posix(), node.name) for path, node in nothing if (ast.get_docstring(node) or "").startswith("Whet")
    ]
    assert not asked
