"""Feature maps of an atlas on paper, by function and by command."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from support.atlases import DEAD, little_atlas
from support.coloured_atlas import coloured_atlas
from typer.testing import CliRunner

from deconvnet import ArgumentError, DeconvNetError, LayerNotFoundError
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.sheet import map_words
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


def captions(figure) -> list[str]:
    return [line.text for page in figure.pages for line in page.lines]


def coarse(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((24, 24), Image.Resampling.BOX)).astype(int)


def test_a_sheet_that_fits_a_page_is_as_wide_as_a4_and_as_high_as_its_maps(atlas):
    whole, part = atlas.sheet("relu1"), atlas.sheet("relu1", channels=[0, 1, 2])
    assert (len(whole), len(part)) == (1, 1) and whole.dpi == 300
    assert 2300 < whole.image().width == part.image().width <= 2481
    assert 350 < (whole.image().height - part.image().height) / 3 < 600


def test_a_map_is_drawn_as_its_blocks_of_signals_and_patches(atlas):
    page = atlas.sheet("relu1", channels=[4], columns=1, text=False).pages[0]
    for placed, block in zip(page.pictures, atlas.blocks("relu1", 4), strict=True):
        np.testing.assert_array_equal(np.asarray(placed.image), np.asarray(block))
    signals, patches = page.pictures
    assert signals.left + signals.width < patches.left and signals.top == patches.top


def test_each_map_can_have_a_row_of_its_own(atlas):
    page = atlas.sheet("relu1", channels=[4, 2], arrange="rows", text=False).pages[0]
    (signals, patches), below = page.pictures[:2], page.pictures[2:]
    assert signals.image.width > 8 * signals.image.height and signals.top == patches.top < below[0].top
    tile = signals.image.height
    assert (
        coarse(signals.image.crop((0, 0, tile, tile))).tolist()
        == coarse(atlas.blocks("relu1", 4)[0].crop((0, 0, tile, tile))).tolist()
    )


def test_many_maps_become_pages_of_a4(atlas):
    assert len(atlas.sheet("relu1", columns=1)) == 6
    assert len({(page.width, page.height) for page in atlas.sheet("relu1", columns=1).pages}) == 1
    assert len(atlas.sheet("relu1", columns=6, channels=range(3))) == 1
    small = atlas.sheet("relu1", dpi=100, columns=1)
    assert (small.pages[0].width, small.pages[0].height, len(small)) == (827, 1169, 6)


def test_captions_say_number_strength_and_how_often(atlas):
    layer, channel = DEAD
    words = captions(atlas.sheet(layer, channels=[channel], columns=1))
    assert words[0] == f"{layer} of {atlas.manifest.model.spec}"
    assert words[-1] == "map 1: dead, active nowhere"
    stats = MapStats("relu2", 7, 14, 0.5, 12.345, 0.0421, 0.0, 1.0, 2.0, 3.0, False)
    assert map_words(stats, None, has_positions=True) == "map 7: activation up to 12.3; active at 4.2 % of positions"
    assert map_words(stats, None, has_positions=False).endswith("of photos")


def test_a_sheet_says_what_the_pictures_rest_on_where_it_was_measured(atlas, tmp_path):
    made = Atlas.open(
        coloured_atlas(tmp_path / "a", {"a": (3, (4, 4))}, list("abcde"), dead=((0, 1),), trust_samples=2)
    )
    words = captions(made.sheet("a"))
    cosines = made.trust("a", 2).medians()
    assert re.fullmatch(r"other unit 0\.\d\d, other photo -?0\.\d\d", cosines)
    assert sum(cosines in text for text in words) == 1 and "cosine of these pictures" in " ".join(words)
    assert not any("other unit" in text or "cosine" in text for text in captions(atlas.sheet("relu1")))


def test_sheets_that_cannot_be_are_refused(atlas):
    for options, words in [
        ({"columns": 0}, "columns is a whole number, 1 or more; got 0"),
        ({"columns": 99}, "columns=99 is too many for a page"),
        ({"tile": 8000}, "tile=8000 makes 1 columns wider than a page"),
        ({"channels": []}, "channels is a list of feature maps, at least one"),
        ({"channels": 3}, "channels is a list of feature maps, at least one; got 3"),
        ({"channels": [12]}, "'relu1' has 12 feature maps"),
        ({"channels": [-1]}, "'relu1' has 12 feature maps"),
        ({"arrange": "columns"}, "arrange is 'grid' or 'rows'; got 'columns'"),
        ({"arrange": "rows", "columns": 2}, "columns=2 belongs to a grid"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            atlas.sheet("relu1", **options)
    with pytest.raises(LayerNotFoundError, match="layer 'relu9' is not in the atlas"):
        atlas.sheet("relu9")


# ---- the command, which has no place among the others yet

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(sheet)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_names_its_file_after_atlas_and_layer(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(str(folder), "-l", "relu1") == f"relu1 of {folder} -> my.atlas.relu1.sheet.pdf\n"
    assert run(str(folder), "-l", "relu1", "-o", "a.pdf", "--columns", "1", "--feature-map", "0-1,5,3-4,0").endswith(
        "(3 pages)\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "my.atlas.relu1.sheet.pdf"]
    with pytest.raises(ArgumentError, match=r"'a\.pdf' already exists\. Replace it \(--force,"):
        run(str(folder), "-l", "relu1", "-o", "a.pdf")
    assert run(str(folder), "-l", "relu1", "-o", "a.pdf", "--force") == f"relu1 of {folder} -> a.pdf\n"


def test_a_long_sheet_becomes_files_with_numbers_where_its_format_has_no_pages(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(str(folder), "-l", "relu1", "-o", "a.png", "--columns", "1", "-c", "0-5", "--dpi", "40", "--no-text")
    assert said == f"relu1 of {folder} -> a-1.png to a-3.png (3 pages)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.png", "a-2.png", "a-3.png"]


@pytest.mark.parametrize("channels", ["", "a", "1-", "-1", "1,,2", "0..3"])
def test_channels_that_are_no_numbers_are_told(folder, tmp_path, channels):
    with pytest.raises(ArgumentError, match=r"--channel takes numbers and ranges such as 0-15 or 3,5,8, or all; got"):
        run(str(folder), "-l", "relu1", f"--channel={channels}", "-o", str(tmp_path / "a.png"))


def test_a_folder_that_is_not_an_atlas_is_told(tmp_path):
    with pytest.raises(DeconvNetError, match=r"is not an atlas: manifest\.json, which is written last, is missing"):
        run(str(tmp_path), "-l", "relu1", "-o", str(tmp_path / "a.png"))
