"""Every example runs, every public name and command is documented, and every link leads somewhere."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from typer.main import get_command

import deconvnet
import deconvnet.captum_api
import deconvnet.learn
import deconvnet.probes
import deconvnet.training
from deconvnet import operations
from deconvnet.cli.commands import app
from deconvnet.cli.reference import name_of, reference
from deconvnet.core import listing

ROOT = Path(__file__).parent.parent
PACKAGES = [deconvnet, deconvnet.captum_api, deconvnet.learn, deconvnet.probes, deconvnet.training]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(deconvnet.__path__, "deconvnet.")
    if not found.name.endswith("__main__")
)


@dataclass(frozen=True)
class Block:
    """Fenced text in a document, its language and the line that it starts on."""

    language: str
    text: str
    line: int


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text.count("\n", 0, match.start(2))) for match in found]


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.fixture(autouse=True)
def own_rules(monkeypatch):
    """What an example adds to the table of operations is gone after it."""
    monkeypatch.setattr(operations, "_own", dict(operations._own))
    monkeypatch.setattr(operations, "_rows", operations.rows)


@pytest.fixture(autouse=True)
def one_look(monkeypatch, tmp_path):
    """Examples run in an empty folder and leave the random state alone."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(devices=[]):
        yield


def examples(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_its_docstrings_run(module):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    told: list[str] = []
    for test in examples(importlib.import_module(module)):
        runner.run(test, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_examples_of_a_document_run_from_top_to_bottom(document):
    """Text right after a block of Python is what it prints; `# net.py` makes a block a file as well."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(document):
        if block.language == "python":
            printed = run(block, document, namespace)
        elif block.language == "text":
            same = doctest.OutputChecker().check_output(block.text, printed, FLAGS)
            assert same, f"{name(document)}:{block.line + 1} should be\n{printed}"


def run(block: Block, document: Path, namespace: dict[str, object]) -> str:
    """What the block prints, with faults told at their lines of the document."""
    file = re.match(r"# (\w+\.py)\n", block.text)
    if file:
        Path(file[1]).write_text(block.text, encoding="utf-8")
    code = compile("\n" * block.line + block.text, str(document), "exec", dont_inherit=True)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as out:
        warnings.simplefilter("error")
        exec(code, namespace)
    return out.getvalue()


def test_the_command_reference_is_fresh():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == reference(), "stale: run python -m deconvnet.cli.reference > docs/commands.md"


def test_the_list_of_operations_is_fresh():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert page == listing.page(), "stale: run python -m deconvnet.core.listing > docs/operations.md"


def test_the_readme_links_every_document():
    for document in DOCUMENTS[1:]:
        assert f"]({name(document)})" in DOCUMENTS[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "benchmarks" / "README.md"], ids=name)
def test_no_table_of_a_document_is_broken_in_two(document):
    """A row is never parted from its table: a blank line before one stands only before a table's head."""
    tables = re.findall(r"(?:^\|.*\n)+", document.read_text(encoding="utf-8"), re.MULTILINE)
    for table in tables:
        assert re.fullmatch(r"\|(?: ?:?-+:? ?\|)+", table.splitlines()[1]), f"{name(document)}: {table.splitlines()[0]}"


def console_lines() -> list[str]:
    lines = [line for document in DOCUMENTS for block in blocks(document) for line in block.text.splitlines()]
    return sorted({line for line in lines if line.startswith("deconvnet ")})


@pytest.mark.parametrize("line", console_lines())
def test_every_command_line_in_the_documents_is_understood(line):
    _, command, *arguments = shlex.split(re.split(r" [>|] ", line)[0])
    group = get_command(app)
    group.commands[command].make_context(command, arguments)  # type: ignore[attr-defined]


def words() -> str:
    return "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS if document.parent != ROOT)


@pytest.mark.parametrize("public", [name for package in PACKAGES for name in package.__all__])
def test_every_public_name_is_documented(public):
    assert re.search(rf"`[^`\n]*\b{public}\b[^`\n]*`|import .*\b{public}\b", words())


@pytest.mark.parametrize("command", [name_of(command) for command in app.registered_commands])
def test_every_command_is_documented(command):
    assert f"\n## deconvnet {command}\n" in words()
    assert f"`deconvnet {command}" in DOCUMENTS[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_between_the_documents_leads_somewhere(document):
    prose = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for place in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", place):
            continue
        path, _, heading = place.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_file(), f"{name(document)} links to {place}, which is not there"
        if heading:
            assert heading in anchors(target), f"{name(document)} links to {place}, which has no such heading"


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
