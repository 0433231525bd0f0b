"""Feature maps of an atlas on paper, by function and by command."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from support.atlases import DEAD, little_atlas
from typer.testing import CliRunner

from deconvnet import ArgumentError, DeconvNetError, LayerNotFoundError
from deconvnet.atlas import sheet as sheet_module
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.sheet import save_sheet
from deconvnet.atlas.tables import MapStats
from deconvnet.cli.sheet import sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sheets") / "my.atlas"
    little_atlas(folder, ("relu1", "relu2"), 12)
    return folder


@pytest.fixture(scope="module")
def atlas(folder) -> Atlas:
    return Atlas.open(folder)


def pdf_pages(path: Path) -> list[bytes]:
    return re.findall(rb"/MediaBox \[ 0 0 595.2 841.92 \]", path.read_bytes())


def test_a_png_shows_each_map_once_at_the_width_of_a_page(atlas, tmp_path):
    assert save_sheet(atlas, "relu1", tmp_path / "a.png") == 1
    with Image.open(tmp_path / "a.png") as image:
        assert 2300 < image.width <= 2360
        whole = image.height
    assert save_sheet(atlas, "relu1", tmp_path / "b.png", channels=[0, 1, 2]) == 1
    with Image.open(tmp_path / "b.png") as image:
        row = (whole - image.height) / 3
        assert 350 < row < 600


def coarse(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((48, 24), Image.Resampling.BOX)).astype(int)


def test_a_map_is_drawn_as_its_blocks_of_signals_and_patches(atlas, tmp_path):
    save_sheet(atlas, "relu1", tmp_path / "a.png", channels=[4], columns=1)
    page = Image.open(tmp_path / "a.png")
    shown = page.crop((44, page.height - 44 - 1134 - 110, page.width - 44, page.height - 44 - 110))
    unlike = [np.abs(coarse(shown) - coarse(atlas.picture("relu1", channel))).mean() for channel in range(12)]
    assert np.argmin(unlike) == 4 and unlike[4] < 25


def test_many_maps_become_pages_of_a4(atlas, tmp_path):
    assert save_sheet(atlas, "relu1", tmp_path / "a.pdf") == len(pdf_pages(tmp_path / "a.pdf")) == 1
    assert save_sheet(atlas, "relu1", tmp_path / "b.pdf", columns=1) == len(pdf_pages(tmp_path / "b.pdf")) == 6
    assert save_sheet(atlas, "relu1", tmp_path / "c.pdf", columns=6, channels=range(3)) == 1
    assert len(pdf_pages(tmp_path / "c.pdf")) == 1


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_the_same_sheet_gives_the_same_bytes_under_any_name(atlas, tmp_path, suffix):
    for name in ("a", "b"):
        save_sheet(atlas, "relu2", tmp_path / (name + suffix))
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data == (tmp_path / f"b{suffix}").read_bytes()
    assert b"CreationDate" not in data and b"ModDate" not in data


def test_captions_say_number_strength_and_how_often(atlas):
    layer, channel = DEAD
    assert sheet_module._caption(atlas, atlas.stats(layer)[channel]) == "map 1: dead,\nactive nowhere"
    stats = MapStats("relu2", 7, 14, 0.5, 12.345, 0.0421, 0.0, 1.0, 2.0, 3.0, False)
    assert sheet_module._caption(atlas, stats) == "map 7: up to 12.3,\nactive at 4.2 % of positions"


def test_sheets_that_cannot_be_are_refused_and_nothing_is_written(atlas, tmp_path, monkeypatch):
    for options, words in [
        ({"columns": 0}, "columns=0, but 1 to 6"),
        ({"columns": 7}, "columns=7, but 1 to 6"),
        ({"channels": []}, "the list of feature maps is empty"),
        ({"channels": [12]}, "'relu1' has 12 feature maps"),
        ({"channels": [-1]}, "'relu1' has 12 feature maps"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            save_sheet(atlas, "relu1", tmp_path / "a.png", **options)
    with pytest.raises(LayerNotFoundError, match="layer 'relu9' is not in the atlas"):
        save_sheet(atlas, "relu9", tmp_path / "a.png")
    with pytest.raises(ArgumentError, match=r"does not end in one of \.png, \.pdf"):
        save_sheet(atlas, "relu1", tmp_path / "a.jpg")
    monkeypatch.setattr(sheet_module, "_LONGEST", 1000)
    with pytest.raises(ArgumentError, match=r"12 feature maps make a picture \d+ pixels high, and 1000 .* or a \.pdf"):
        save_sheet(atlas, "relu1", tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(atlas, tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    for name in ("a.png", "a.pdf"):
        with pytest.raises(DeconvNetError, match=f"cannot write .*{name}': .*No space left"):
            save_sheet(atlas, "relu1", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ---- the command, which has no place among the others yet

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(sheet)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_names_its_file_after_atlas_and_layer(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(str(folder), "-l", "relu1") == f"relu1 of {folder} -> my.atlas.relu1.sheet.png\n"
    assert run(str(folder), "-l", "relu1", "-o", "a.pdf", "--columns", "1", "--feature-map", "0-1,5,3-4,0").endswith(
        "(3 pages)\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "my.atlas.relu1.sheet.png"]
    with pytest.raises(ArgumentError, match=r"'a\.pdf' already exists\. Replace it \(--force,"):
        run(str(folder), "-l", "relu1", "-o", "a.pdf")
    assert run(str(folder), "-l", "relu1", "-o", "a.pdf", "--force") == f"relu1 of {folder} -> a.pdf\n"


@pytest.mark.parametrize("channels", ["", "a", "1-", "-1", "1,,2", "0..3"])
def test_channels_that_are_no_numbers_are_told(folder, tmp_path, channels):
    with pytest.raises(ArgumentError, match=r"--channel takes numbers and ranges such as 0-15 or 3,5,8, or all; got"):
        run(str(folder), "-l", "relu1", f"--channel={channels}", "-o", str(tmp_path / "a.png"))


def test_a_folder_that_is_not_an_atlas_is_told(tmp_path):
    with pytest.raises(DeconvNetError, match=r"is not an atlas: manifest\.json, which is written last, is missing"):
        run(str(tmp_path), "-l", "relu1", "-o", str(tmp_path / "a.png"))
