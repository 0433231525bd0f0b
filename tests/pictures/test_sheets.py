"""Pictures with words: nothing cut, nothing overlapping, and files that are whole or not there."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageFont

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet.pictures import sheets
from deconvnet.pictures.sheets import SUFFIXES, Cell, pages, save_picture, sheet, side_by_side


def cat() -> Image.Image:
    photo: Any = skimage.data
    return Image.fromarray(photo.chelsea())


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def levels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image).astype(int)


def solid(width: int, height: int, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def extent_of(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of that colour."""
    rows, columns = (np.asarray(image) == colour).all(axis=2).nonzero()
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [(7, 7, (96, 96)), (96, 48, (96, 48)), (400, 100, (96, 24)), (3, 12, (24, 96)),
     (1000, 1, (96, 1)), (1, 1, (96, 96))],
)  # fmt: skip
def test_images_fit_the_cell_and_keep_their_shape(width: int, height: int, shown: tuple[int, int]) -> None:
    page = sheet([Cell((solid(width, height),), "")], cell_size=96)
    left, top, right, bottom = extent_of(page, (255, 0, 0))
    assert (right - left, bottom - top) == shown


def test_small_images_keep_square_and_sharp_pixels() -> None:
    board = Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((1, 1))).astype(np.uint8))
    page = sheet([Cell((board,), "")], cell_size=32)
    assert np.unique(np.asarray(page)).tolist() == [0, 255]
    assert extent_of(page, (0, 0, 0)) == (16, 16, 48, 48)


def test_a_reconstruction_stands_beside_its_patch() -> None:
    page = sheet([Cell((solid(9, 9), solid(200, 200, "blue")), "both")], cell_size=64)
    red, blue = extent_of(page, (255, 0, 0)), extent_of(page, (0, 0, 255))
    assert red[2] < blue[0] and red[1] == blue[1] and red[3] == blue[3]


def test_cells_stand_in_reading_order_in_rows_of_their_own() -> None:
    colours = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255)}
    cells = [Cell((solid(5, 5, name),), name) for name in colours]
    red, lime, blue = (extent_of(sheet(cells, columns=2), colours[name]) for name in colours)
    assert red[1] == lime[1] < blue[1] and red[0] == blue[0] < lime[0]
    wide = sheet(cells, columns=7)
    assert wide.width == sheet(cells, columns=3).width


LONG = "features.denseblock4.denselayer16.conv2.relu#2 channel 1023 of an image with a long name"


@pytest.mark.parametrize("caption", [LONG, "x" * 300, "i" * 300, "W", "a\nb\n\nc", "W " * 99])
@pytest.mark.parametrize("cell_size", [16, 40, 160])
def test_captions_are_never_cut_and_never_overlap(caption: str, cell_size: int) -> None:
    cells = [Cell((solid(4, 4),), caption), Cell((solid(4, 4),), caption)]
    page = np.asarray(sheet(cells, columns=2, cell_size=cell_size).convert("L"))
    ink = page < 60
    margin = 16
    assert ink.any() and not ink[:, : margin - 1].any() and not ink[:, 1 - margin :].any()
    assert not ink[1 - margin :].any()
    gutter = slice(margin + cell_size + 1, 2 * margin + cell_size - 1)
    assert not ink[:, gutter].any()
    one, two = ink[:, margin : margin + cell_size], ink[:, -margin - cell_size : -margin]
    np.testing.assert_array_equal(one, two)


def test_every_letter_of_a_long_caption_is_drawn() -> None:
    font = ImageFont.load_default(12)
    for text in (LONG, "y" * 90, "one two three"):
        lines = list(sheets._wrapped(text, 60, font))
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(font.getlength(line) <= 60 for line in lines)


def test_letters_that_the_font_lacks_are_spelt_otherwise() -> None:
    font = ImageFont.load_default(12)
    assert sheets._spelt("Égyptian 3×3 — naïve → µ", font) == "Egyptian 3x3 - naive -> u"
    assert sheets._spelt("猫 cat", font) == "? cat"
    assert sheets._spelt("a\nb\tc ~{}|", font) == "a\nb\tc ~{}|"


def test_a_row_grows_with_its_longest_caption_only() -> None:
    cells = [Cell((solid(4, 4),), text) for text in ("a", LONG, "b", "c")]
    tall = sheet(cells, columns=2).height
    short = sheet([Cell(cell.images, "a") for cell in cells], columns=2).height
    both = sheet([Cell(cell.images, LONG) for cell in cells], columns=2).height
    assert tall - short == both - tall > 0


def test_a_title_stands_above_and_wraps() -> None:
    cells = [Cell((solid(4, 4),), "a")]
    plain, titled = sheet(cells), sheet(cells, title="one")
    wrapped = sheet(cells, title="a title of many words that needs several lines of its own")
    assert plain.height < titled.height < wrapped.height
    assert plain.width == titled.width == wrapped.width
    assert (np.asarray(wrapped)[:, -15:] == 255).all()


def test_a_sheet_is_white_around_and_the_same_each_time() -> None:
    cells = [Cell((cat(), noise()), "a cat")] * 3
    page = sheet(cells, title="cats")
    assert page.mode == "RGB" and page.tobytes() == sheet(cells, title="cats").tobytes()
    edges = np.asarray(page)
    for edge in (edges[:15], edges[-15:], edges[:, :15], edges[:, -15:]):
        assert (edge == 255).all()


def test_transparent_and_grey_images_can_be_cells() -> None:
    clear, grey = Image.new("RGBA", (4, 4), (0, 0, 0, 0)), Image.new("L", (4, 4), 7)
    page = sheet([Cell((clear, grey), "")], cell_size=32)
    assert np.unique(np.asarray(page)).tolist() == [7, 255]


def test_sheets_that_cannot_be_made_are_refused() -> None:
    cell = Cell((solid(4, 4),), "a")
    with pytest.raises(ArgumentError, match="at least one cell"):
        sheet([])
    with pytest.raises(ArgumentError, match="columns=0"):
        sheet([cell], columns=0)
    with pytest.raises(ArgumentError, match="cell_size=15"):
        sheet([cell], cell_size=15)
    with pytest.raises(ArgumentError, match="'nothing' is without an image"):
        Cell((), "nothing")
    with pytest.raises(ArgumentError, match=r"cell 'void'.*0 x 4"):
        Cell((Image.new("RGB", (4, 0)),), "void")


def test_pages_keep_rows_whole_and_lose_no_cell() -> None:
    cells = [Cell((Image.new("RGB", (4, 4), (200, i, 0)),), "") for i in range(7)]
    drawn = pages(cells, columns=2, text=12, title="t", page=(200, 250))
    assert [page.size for page in drawn] == [(200, 250)] * len(drawn)
    greens = [np.unique(np.asarray(page)[np.asarray(page)[..., 0] == 200][:, 1]).tolist() for page in drawn]
    assert all((np.asarray(page)[-15:] == 255).all() for page in drawn)
    assert greens == [[0, 1, 2, 3], [4, 5, 6]]
    with pytest.raises(ArgumentError, match="higher than a page"):
        pages(cells, columns=2, text=12, title="t", page=(200, 100))
    with pytest.raises(ArgumentError, match="at least one cell"):
        pages([], columns=2, text=12, title="t", page=(200, 100))
    with pytest.raises(ArgumentError, match="columns=0"):
        pages(cells, columns=0, text=12, title="t", page=(200, 100))


def test_side_by_side_gives_each_image_its_words() -> None:
    page = side_by_side([solid(50, 50), solid(50, 50, "blue")], ["photo", "projection"], title="t")
    red, blue = extent_of(page, (255, 0, 0)), extent_of(page, (0, 0, 255))
    assert red[2] < blue[0] and red[1] == blue[1]
    with pytest.raises(ArgumentError, match="2 images came with 1 captions"):
        side_by_side([solid(5, 5), solid(5, 5)], ["one"])
    with pytest.raises(ArgumentError, match="at least one cell"):
        side_by_side([], [])


# ---- saving


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_is_saved_in_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    image = noise()
    save_picture(image, tmp_path / f"a{suffix.upper()}")
    with Image.open(tmp_path / f"a{suffix.upper()}") as read:
        difference = np.abs(levels(read.convert("RGB")) - levels(image))
    assert difference.max() <= (60 if suffix in (".jpg", ".jpeg") else 0)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix.upper()}"]


def test_the_same_signal_gives_the_same_bytes_and_no_metadata(tmp_path: Path) -> None:
    image = noise()
    tagged = image.copy()
    tagged.info = {"dpi": (72, 72), "icc_profile": b"x", "comment": "made today"}
    tagged.getexif()[0x0132] = "2020:01:01 00:00:00"
    for suffix in SUFFIXES:
        save_picture(image, tmp_path / f"a{suffix}")
        save_picture(tagged, tmp_path / f"b{suffix}")
        data = (tmp_path / f"a{suffix}").read_bytes()
        assert data == (tmp_path / f"b{suffix}").read_bytes()
    png = (tmp_path / "a.png").read_bytes()
    assert not any(chunk in png for chunk in (b"tIME", b"tEXt", b"eXIf", b"iCCP", b"pHYs"))


def test_a_picture_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_picture(solid(3, 3), str(path))
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=r"a\.png' already exists\. Replace it \(--force, force=True\)"):
        save_picture(solid(4, 4), path)
    assert path.read_bytes() == before
    save_picture(solid(4, 4), path, force=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["a", "a.gif", "a.pdf", ".png", "a.png.txt"])
def test_a_suffix_without_a_format_is_refused_with_those_that_have_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"does not end in one of \.png, \.webp, \.jpg"):
        save_picture(solid(3, 3), tmp_path / name)


def test_folders_that_are_missing_or_in_the_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"the folder .*nowhere.* does not exist"):
        save_picture(solid(3, 3), tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ArgumentError, match=r"folder\.png' is a folder"):
        save_picture(solid(3, 3), tmp_path / "folder.png", force=True)


@pytest.mark.parametrize("step", ["save", "replace"])
@pytest.mark.parametrize(
    ("fault", "raised"),
    [(OSError(28, "No space left on device"), DeconvNetError), (KeyboardInterrupt(), None)],
)
def test_a_failed_write_leaves_nothing_behind_and_the_old_picture_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: BaseException,
    raised: type[BaseException] | None,
) -> None:
    path = tmp_path / "a.png"
    save_picture(solid(3, 3), path)
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise fault

    owner: Any = Image.Image if step == "save" else os
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(raised or type(fault)) as caught:
        save_picture(solid(4, 4), path, force=True)
    if raised:
        assert "a.png" in str(caught.value) and "No space left" in str(caught.value)
        assert not isinstance(caught.value, ArgumentError)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_a_size_that_the_format_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeconvNetError, match=r"cannot write .*a\.webp"):
        save_picture(Image.new("RGB", (20000, 1)), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []
