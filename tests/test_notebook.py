"""What a notebook shows, and the example notebook from top to bottom."""

import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
import torch
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import DeconvNet, load_model

NOTEBOOK = Path(__file__).parent.parent / "examples" / "first_look.ipynb"


def image(png: bytes | None) -> Image.Image:
    assert png is not None
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return picture


def network(channels: int = 3, axes: int = 2) -> DeconvNet:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DeconvNet(nn.Sequential(conv(channels, 70, 3), nn.ReLU()), images(channels, axes))


def images(channels: int = 3, axes: int = 2) -> torch.Tensor:
    return torch.randn(1, channels, *[8] * axes, generator=torch.Generator().manual_seed(0))


class Table(HTMLParser):
    """The cells of the rows of a table, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


# a reconstruction ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_one_unit_is_shown_large_enough_to_see(channels: int):
    result = network(channels).project(images(channels), "1", channel=2)
    shown = image(result._repr_png_())
    assert max(shown.size) >= 320
    assert len(np.unique(np.asarray(shown))) > 20


def test_several_units_are_a_sheet():
    result = network().project(images(), "1", channel=[1, 2, 3, 4])
    shown = image(result._repr_png_())
    assert shown.width == 2 * 160 + 3 * 16
    assert shown.height > shown.width  # with captions


def test_of_very_many_units_the_first_64_are_shown_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[int, str]] = []
    in_earnest = deconvnet.results.reconstruction.sheets.sheet

    def sheet(cells: Any, layout: Any, **options: Any) -> Any:
        told.append((len(cells), layout.title))
        return in_earnest(cells, layout, **options)

    monkeypatch.setattr(deconvnet.results.reconstruction.sheets, "sheet", sheet)
    for channel in ("all", list(range(64))):
        image(network().project(images(), "1", channel=channel)._repr_png_())
    assert told == [(64, "the first 64 of 70 units"), (64, "")]


@pytest.mark.parametrize(("channels", "axes"), [(2, 2), (3, 3)])
def test_volumes_and_channels_of_any_kind_are_shown(channels: int, axes: int):
    image(network(channels, axes).project(images(channels, axes), "1", channel=2)._repr_png_())


@pytest.mark.parametrize(("channels", "axes", "to"), [(3, 1, None), (3, 2, "1")], ids=str)
def test_what_is_no_picture_is_shown_as_words(channels: int, axes: int, to: str | None):
    result = network(channels, axes).project(images(channels, axes), "1", channel=2, to=to)
    assert result._repr_png_() is None


def test_a_reconstruction_s_repr_is_one_line():
    net, x = network(), images()
    assert repr(net.project(x, "1", channel=2)) == "<Reconstruction: 1 unit of layer '1' on 3x8x8, rules: deconvnet>"
    several = net.with_rules("guided").project(x, "1", channel="all")
    assert repr(several) == "<Reconstruction: 70 units of layer '1' on 3x8x8, rules: guided>"


# a network -------------------------------------------------------------------------------------------


def test_a_network_is_a_table_of_its_layers():
    net = network()
    table = Table(net._repr_html_())
    header, *rows = table.rows
    words = [re.split(r"  +", line) for line in str(net).splitlines()[1:]]
    assert [header, *rows] == words
    assert "DeconvNet of Sequential, input 3x8x8, rules: deconvnet" in net._repr_html_()


def test_a_long_table_scrolls_and_brings_no_colours_of_its_own():
    shown = network()._repr_html_()
    first, attributes = Table(shown).tags[0]
    assert first == "div" and "overflow: auto" in attributes["style"] and "max-height" in attributes["style"]
    assert "tabindex" in attributes  # so that the keyboard scrolls it too
    assert re.findall(r"[\w-]*color: [\w#]+", shown) == ["color: inherit"] and "background" not in shown


def test_names_are_escaped():
    class Sequential(nn.Sequential):
        pass

    Sequential.__name__ = "<script>"
    model = Sequential()
    model.add_module("<b>&amp;'", nn.Conv2d(3, 2, 3))
    net = DeconvNet(model, images())
    shown = net._repr_html_()
    assert {tag for tag, _ in Table(shown).tags} == {"div", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert Table(shown).rows[1][0] == "<b>&amp;'"


# the example -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The example, run by this very interpreter in an empty folder, whatever kernels the machine has."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        for place in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
            patch.setenv(place, str(folder / place))
        patch.setenv("PYTHONPATH", str(Path(deconvnet.__file__).parent.parent))
        book = nbformat.read(NOTEBOOK, as_version=4)
        kernels = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        assert kernels.kernel_spec.argv[0] == sys.executable
        run = folder / "run"
        run.mkdir()
        client = nbclient.NotebookClient(book, km=kernels, timeout=300, resources={"metadata": {"path": str(run)}})
        client.execute(cleanup_kc=True)
    assert not list(run.iterdir()) and not kernels.has_kernel
    return book


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [one.data[kind] for cell in notebook.cells for one in cell.get("outputs", ()) if kind in one.get("data", ())]


def test_the_notebook_is_stored_without_outputs():
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert 4 <= len(code) <= 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_every_cell_of_the_notebook_shows_something_and_none_complains(notebook: nbformat.NotebookNode):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs, cell.source
            assert all(one.output_type != "error" and one.get("name") != "stderr" for one in cell.outputs), cell.outputs


def test_the_notebook_shows_the_table_of_the_layers(notebook: nbformat.NotebookNode):
    (shown,) = outputs(notebook, "text/html")
    loaded = load_model("zfnet-mini")
    assert shown == DeconvNet(loaded.model, loaded.example_input)._repr_html_()


def test_the_notebook_shows_pictures(notebook: nbformat.NotebookNode):
    pictures = [image(base64.b64decode(text)) for text in outputs(notebook, "image/png")]
    assert len(pictures) == 4
    for picture in pictures:
        assert min(picture.size) > 200
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
