"""Figures as files: text that can be searched and copied, in fonts that the file holds."""

import io
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from deconvnet._errors import ArgumentError
from deconvnet.pictures import pdf
from deconvnet.pictures.figure import SUFFIXES, Figure
from deconvnet.pictures.layout import Layout
from deconvnet.pictures.page import Page, Placed, embedded
from deconvnet.pictures.sheets import Cell, sheet

POPPLER = all(map(shutil.which, ("pdffonts", "pdftotext", "pdfimages", "pdftoppm")))
needs_poppler = pytest.mark.skipif(not POPPLER, reason="poppler's tools are not installed")
SVG = "{http://www.w3.org/2000/svg}"


def noise(side: int = 20) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def figure(**layout: object) -> Figure:
    cells = [Cell((noise(),), f"map {i} at row 2, column 0") for i in range(3)]
    return sheet(cells, Layout(title="a title & more", **layout))  # type: ignore[arg-type]


def several() -> Figure:
    page = figure().pages[0]
    return Figure((page,) * 11, 96)


def tool(*command: object) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True).stdout


@needs_poppler
def test_a_pdf_gives_every_caption_in_an_embedded_subset_of_a_font(tmp_path: Path) -> None:
    assert figure().save(tmp_path / "a.pdf") == (tmp_path / "a.pdf",)
    lines = re.split(r"\s{2,}", tool("pdftotext", "-layout", tmp_path / "a.pdf", "-").strip())
    assert lines == ["a title & more", *(f"map {i} at row 2, column 0" for i in range(3))]
    fonts = tool("pdffonts", tmp_path / "a.pdf").splitlines()[2:]
    assert fonts and all(re.search(r"yes +yes +yes", font) for font in fonts)


@needs_poppler
def test_a_pdf_looks_like_the_pixels(tmp_path: Path) -> None:
    drawn = figure()
    drawn.save(tmp_path / "a.pdf")
    tool("pdftoppm", "-png", "-r", "96", tmp_path / "a.pdf", tmp_path / "page")
    with Image.open(tmp_path / "page-1.png") as page:
        assert abs(page.width - drawn.image().width) <= 1 and abs(page.height - drawn.image().height) <= 1
        levels = [np.asarray(image.convert("L").resize((60, 60)), float) for image in (page, drawn.image())]
    assert np.abs(levels[0] - levels[1]).mean() < 8


@needs_poppler
def test_letters_of_other_scripts_are_text_in_a_pdf_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    sheet([Cell((noise(),), "кошка שלום")]).save(tmp_path / "a.pdf")
    text = tool("pdftotext", tmp_path / "a.pdf", "-")
    assert "кошка" in text and ("שלום" in text or "םולש" in text)


def test_an_svg_has_its_text_as_text_and_loads_nothing(tmp_path: Path) -> None:
    drawn = figure(dpi=192)
    drawn.save(tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words == ["a title & more", *(f"map {i} at row 2, column 0" for i in range(3))]
    assert (root.findtext(f"{SVG}title"), root.get("width")) == (
        "a title & more",
        f"{drawn.pages[0].width / 192:.2f}in",
    )
    links = [element.get("{http://www.w3.org/1999/xlink}href") for element in root.iter(f"{SVG}image")]
    assert len(links) == 3 and all(link and link.startswith("data:image/png;base64,") for link in links)


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        figure().save(tmp_path / (name + suffix))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_png_says_how_many_dots_make_an_inch(tmp_path: Path) -> None:
    figure(dpi=300).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert tuple(map(round, image.info["dpi"])) == (300, 300)
    with Image.open(io.BytesIO(figure()._repr_png_())) as image:
        assert tuple(map(round, image.info["dpi"])) == (96, 96)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_pages_are_one_pdf_or_files_with_numbers(tmp_path: Path, suffix: str) -> None:
    paths = several().save(tmp_path / f"sheet{suffix}")
    names = ["sheet"] if suffix == ".pdf" else [f"sheet-{i:02}" for i in range(1, 12)]
    assert [path.name for path in paths] == [name + suffix for name in names]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    if suffix == ".pdf":
        assert len(re.findall(rb"/Type /Page\b", paths[0].read_bytes())) == 11


def test_none_of_several_pages_replaces_a_file_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "sheet-03.png").write_bytes(b"mine")
    with pytest.raises(ArgumentError, match=r"sheet-03\.png' already exists"):
        several().save(tmp_path / "sheet.png")
    assert len(list(tmp_path.iterdir())) == 1
    assert len(several().save(tmp_path / "sheet.png", force=True)) == 11


@pytest.mark.parametrize("other", ["sheet-12.png", "sheet-4.png", "SHEET-004.PNG"])
def test_a_file_that_would_pass_for_another_page_is_told_and_never_removed(tmp_path: Path, other: str) -> None:
    (tmp_path / other).write_bytes(b"mine")
    for force in (False, True):
        with pytest.raises(ArgumentError, match=rf"{other}' would pass for another page beside the 11"):
            several().save(tmp_path / "sheet.png", force=force)
    assert [path.name for path in tmp_path.iterdir()] == [other]
    assert len(several().save(tmp_path / "sheet.pdf")) == len(figure().save(tmp_path / "sheet.png")) == 1


def test_a_file_of_the_name_that_pages_are_numbered_after_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_bytes(b"mine")
    assert len(several().save(tmp_path / "sheet.png")) == 11
    assert (tmp_path / "sheet.png").read_bytes() == b"mine"


def test_files_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"does not end in one of .*\.pdf, \.svg"):
        figure().save(tmp_path / "a.gif")
    with pytest.raises(ArgumentError, match=r"folder .*nowhere.* does not exist"):
        figure().save(tmp_path / "nowhere" / "a.pdf")
    with pytest.raises(ArgumentError, match="File name too long"):
        figure().save(tmp_path / f"{'x' * 250}.pdf.pdf")


def test_pages_are_counted_and_told() -> None:
    assert len(several()) == 11 and repr(several()).startswith("<Figure: 11 pages of ")
    assert repr(figure()).startswith("<Figure: 1 page of ") and "96 dpi" in repr(figure())
    with pytest.raises(ArgumentError, match="there are 11 pages, counted from 0; got 11"):
        several().image(11)


@pytest.mark.parametrize(("side", "held"), [(8, 200), (200, 200), (900, 300)])
def test_files_hold_coarse_pixels_as_blocks_and_no_more_pixels_than_a_printer_shows(side: int, held: int) -> None:
    assert embedded(Placed(noise(side), 0, 0, 96, 96), 96).size == (held, held)


@needs_poppler
def test_many_pictures_become_jpegs_that_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(900, 900, tuple(Placed(noise(200), 10 * i, 10 * i, 100, 100) for i in range(8)), ())
    for lossless, largest, expected in [(10**9, 10**9, "image"), (0, 10**9, "jpeg"), (0, 60_000, "jpeg")]:
        monkeypatch.setattr(pdf, "_LOSSLESS", lossless)
        monkeypatch.setattr(pdf, "_LARGEST", largest)
        (path,) = Figure((page,), 96).save(tmp_path / "a.pdf", force=True)
        assert {row.split()[8] for row in tool("pdfimages", "-list", path).splitlines()[2:]} == {expected}
