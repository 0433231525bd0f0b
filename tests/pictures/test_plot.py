"""Plots: one style whatever the user's, the same bytes every time, text as text."""

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from deconvnet._errors import ArgumentError
from deconvnet.pictures.figure import SUFFIXES
from deconvnet.pictures.plot import Plot, in_lines


def curve(figure: Any) -> None:
    axes = figure.subplots()
    axes.plot([0, 1, 2], [3, 1, 2], label="$cat")
    axes.set_xlabel("кошка × 2")
    axes.legend()


PLOT = Plot(curve, 3, 2, dpi=60, title="a title & more")


def test_long_words_are_wrapped_and_lose_their_middle() -> None:
    assert in_lines("golf ball", 30) == "golf ball" and in_lines("", 30) == ""
    long = "tench, Tinca tinca, a freshwater and brackish-water fish of the family Cyprinidae, 289"
    lines = in_lines(long, 30).split("\n")
    assert len(lines) == 2 and all(len(line) <= 30 for line in lines)
    first, last = "\n".join(lines).replace("\n", " ").split("…")
    assert long.startswith(first.strip()) and long.replace(" ", "").endswith(last.replace(" ", "")) and len(first) > 24
    assert in_lines(long, 30, 4).replace("\n", " ") == long
    name = "backbone.body.layer4.2.downsample.1.convolutions.relu_and_the_rest_of_it"
    assert in_lines(name, 30).endswith("of_it") and in_lines(name, 30).startswith("backbone.body.layer4")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_plot_is_written_in_every_format_and_has_the_same_bytes_each_time(suffix: str, tmp_path: Path) -> None:
    first, again = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    assert PLOT.save(first) == (first,)
    PLOT.save(again)
    assert first.read_bytes() == again.read_bytes()


def test_text_is_text_in_a_vector_graphic_and_a_dollar_sign_starts_no_formula(tmp_path: Path) -> None:
    PLOT.save(tmp_path / "a.svg")
    written = ["".join(node.itertext()) for node in ElementTree.parse(tmp_path / "a.svg").iter() if "text" in node.tag]
    assert {"$cat", "кошка × 2", "a title & more"} <= set(written)


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_a_plot_needs_no_title(suffix: str, tmp_path: Path) -> None:
    assert Plot(curve, 3, 2, dpi=60).save(tmp_path / f"a{suffix}") == (tmp_path / f"a{suffix}",)


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler's tools are not installed")
def test_text_is_text_in_a_pdf(tmp_path: Path) -> None:
    PLOT.save(tmp_path / "a.pdf")
    text = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], capture_output=True, text=True, check=True).stdout
    assert "кошка" in text and "a title & more" in text


def test_settings_of_matplotlib_are_the_users_before_and_after_and_change_nothing(monkeypatch: Any) -> None:
    plain = np.asarray(PLOT.image())
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    before = dict(mpl.rcParams)
    assert (np.asarray(PLOT.image()) == plain).all()

    def fail(figure: Any) -> None:
        raise ArgumentError("cannot be drawn")

    with pytest.raises(ArgumentError, match="cannot be drawn"):
        Plot(fail, 1, 1).image()
    assert dict(mpl.rcParams) == before


def test_plots_of_several_threads_do_not_meet() -> None:
    plain, drawn = np.asarray(PLOT.image()), list[np.ndarray]()
    threads = [threading.Thread(target=lambda: drawn.append(np.asarray(PLOT.image()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4 and all((image == plain).all() for image in drawn)


def test_the_size_in_pixels_is_that_in_inches_times_the_resolution() -> None:
    assert PLOT.image().size == (180, 120) and PLOT.image().mode == "RGB"
    assert PLOT._repr_png_().startswith(b"\x89PNG") and repr(PLOT) == "<Plot: 3x2 inches>"


def test_letters_that_matplotlib_lacks_are_spelt_by_the_fonts_of_the_system(monkeypatch: Any) -> None:
    monkeypatch.setattr("deconvnet.pictures.fonts._candidates", lambda letters: [])
    seen: list[Any] = []

    def draw(figure: Any) -> None:
        seen.append(figure.text(0.5, 0.5, "\U00012345 a\nb"))

    with pytest.warns(UserWarning, match=r"U\+12345"):
        Plot(draw, 1, 1, dpi=60).image()
    assert seen[0].get_text() == "U+12345 a\nb"


def test_a_file_that_is_there_stays_unless_force_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text("mine")
    with pytest.raises(ArgumentError, match="exists"):
        PLOT.save(path)
    assert path.read_text() == "mine"
    PLOT.save(path, force=True)
    assert "<svg" in path.read_text()
    with pytest.raises(ArgumentError, match=r"\.svg"):
        PLOT.save(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    "wrong", [{"draw": 1}, {"width": 0}, {"height": 1e9}, {"width": float("nan")}, {"dpi": 5}, {"title": 5}], ids=str
)
def test_wrong_values_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Plot(**{"draw": curve, "width": 3, "height": 2, **wrong})


def test_a_plot_in_colour_keeps_its_pixels(tmp_path: Path) -> None:
    PLOT.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.info["dpi"] == pytest.approx((60, 60), abs=0.1)
        assert (np.asarray(opened) == np.asarray(PLOT.image())).all()
