"""Pictures with words: nothing cut, nothing overlapping, and captions on one line."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from deconvnet._errors import ArgumentError
from deconvnet.pictures import sheets
from deconvnet.pictures.figure import Figure
from deconvnet.pictures.layout import Layout
from deconvnet.pictures.sheets import Around, Bar, Cell


def cat() -> Image.Image:
    photo: Any = skimage.data
    return Image.fromarray(photo.chelsea())


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def levels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image).astype(int)


def solid(width: int, height: int, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def sheet(cells: list[Any], *, around: Around | None = None, **layout: Any) -> Image.Image:
    return sheets.sheet(cells, Layout(**layout), around=around).image()


def words_of(figure: Figure) -> list[str]:
    return [line.text for page in figure.pages for line in page.lines]


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
    page = sheet([Cell((solid(width, height),), "")], tile=96)
    left, top, right, bottom = extent_of(page, (255, 0, 0))
    assert (right - left, bottom - top) == shown


def test_small_images_keep_square_and_sharp_pixels() -> None:
    board = Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((1, 1))).astype(np.uint8))
    page = sheet([Cell((board,), "")], tile=32)
    assert np.unique(np.asarray(page)).tolist() == [0, 255]
    assert extent_of(page, (0, 0, 0)) == (16, 16, 48, 48)


def test_a_reconstruction_stands_beside_its_patch() -> None:
    page = sheet([Cell((solid(9, 9), solid(200, 200, "blue")), "both")], tile=64)
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
    page = np.asarray(sheet(cells, columns=2, tile=cell_size).convert("L"))
    ink = page < 60
    margin, wide = 16, max(cell_size, 96)
    assert ink.any() and not ink[:, : margin - 1].any() and not ink[:, 1 - margin :].any()
    assert not ink[1 - margin :].any()
    gutter = slice(margin + wide + 1, 2 * margin + wide - 1)
    assert not ink[:, gutter].any()
    one, two = ink[:, margin : margin + wide], ink[:, -margin - wide : -margin]
    np.testing.assert_array_equal(one, two)


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
    assert plain.width == titled.width < wrapped.width <= 320 + 32
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
    page = sheet([Cell((clear, grey), "")], tile=32)
    assert np.unique(np.asarray(page)).tolist() == [7, 255]


def test_sheets_that_cannot_be_made_are_refused() -> None:
    cell = Cell((solid(4, 4),), "a")
    with pytest.raises(ArgumentError, match="at least one cell"):
        sheet([])
    with pytest.raises(ArgumentError, match="columns is a whole number, 1 or more; got 0"):
        sheet([cell], columns=0)
    with pytest.raises(ArgumentError, match="tile is a whole number, 16 or more; got 15"):
        sheet([cell], tile=15)
    with pytest.raises(ArgumentError, match="'nothing' is without an image"):
        Cell((), "nothing")
    with pytest.raises(ArgumentError, match=r"cell 'void'.*0 x 4"):
        Cell((Image.new("RGB", (4, 0)),), "void")


def test_pages_keep_rows_whole_and_lose_no_cell() -> None:
    cells = [Cell((Image.new("RGB", (4, 4), (200, i, 0)),)) for i in range(7)]
    drawn = sheets.pages(cells, Layout(title="t"), columns=2, around=Around(), page=(200, 250))
    images = [drawn.image(i) for i in range(len(drawn))]
    assert [image.size for image in images] == [(200, 250)] * 2
    greens = [np.unique(np.asarray(page)[np.asarray(page)[..., 0] == 200][:, 1]).tolist() for page in images]
    assert all((np.asarray(page)[-15:] == 255).all() for page in images)
    assert greens == [[0, 1, 2, 3], [4, 5, 6]]
    assert words_of(drawn) == ["t", "t"]


def test_cells_that_fit_one_page_make_one_as_high_as_they_are() -> None:
    drawn = sheets.pages([Cell((solid(4, 4),))] * 2, Layout(), columns=2, around=Around(), page=(200, 900))
    assert drawn.image().size == (200, 16 + 76 + 16)


def test_a_tile_that_was_asked_for_decides_how_many_fit_a_page() -> None:
    cells = [Cell((solid(4, 4),))] * 9
    drawn = sheets.pages(cells, Layout(tile=30), columns=2, around=Around(), page=(200, 900))
    assert len({placed.left for placed in drawn.pages[0].pictures}) == 4


def test_pages_that_cannot_be_made_are_refused() -> None:
    cells = [Cell((solid(4, 4),))] * 7
    for layout, page, words in [
        (Layout(), (200, 70), "a row of 76 pixels is higher than a page"),
        (Layout(columns=99), (200, 900), "columns=99 is too many for a page 168 pixels wide"),
        (Layout(tile=300), (200, 900), "tile=300 makes 1 columns wider than a page"),
        (Layout(tile=100, columns=2), (200, 900), "tile=100 makes 2 columns wider than a page"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            sheets.pages(cells, layout, columns=2, around=Around(), page=page)
    with pytest.raises(ArgumentError, match="at least one cell"):
        sheets.pages([], Layout(), columns=2, around=Around(), page=(200, 100))


def test_each_image_of_a_row_has_its_words() -> None:
    cells = [Cell((solid(50, 50),), "photo"), Cell((solid(50, 50, "blue"),), "projection")]
    drawn = sheets.sheet(cells, Layout(title="t"), columns=2)
    red, blue = extent_of(drawn.image(), (255, 0, 0)), extent_of(drawn.image(), (0, 0, 255))
    assert red[2] < blue[0] and red[1] == blue[1]
    assert words_of(drawn) == ["t", "photo", "projection"]
    with pytest.raises(ArgumentError, match="at least one cell"):
        sheets.sheet([])


def test_captions_of_a_row_start_at_one_height_below_pictures_that_stand_on_one_line() -> None:
    drawn = sheets.sheet([Cell((solid(40, 40),), "a"), Cell((solid(40, 10),), "b")], columns=2)
    high, low = drawn.pages[0].pictures
    assert high.top + high.height == low.top + low.height
    assert len({line.base for line in drawn.pages[0].lines}) == 1
    assert [line.left for line in drawn.pages[0].lines] == [high.left, low.left]


def test_a_caption_breaks_where_it_pauses() -> None:
    caption = "map 348 at row 12, column 10: activation 407"
    for images, lines in [(2, [caption]), (1, ["map 348 at row 12,", "column 10: activation 407"])]:
        assert words_of(sheets.sheet([Cell((solid(4, 4),) * images, caption)])) == lines
    wider = sheets.sheet([Cell((solid(4, 4),), caption)], Layout(tile=200))
    assert words_of(wider) == ["map 348 at row 12, column 10:", "activation 407"]


def test_a_place_without_a_cell_stays_white() -> None:
    page = sheet([Cell((solid(4, 4),)), None, None, Cell((solid(4, 4, "blue"),))], columns=2, tile=32)
    assert extent_of(page, (255, 0, 0))[2:] == (48, 48) and extent_of(page, (0, 0, 255))[:2] == (64, 64)
    assert page.size == (96 + 16, 96 + 16)


def test_without_text_there_are_only_pictures_and_what_must_not_be_overlooked() -> None:
    cells = [Cell((solid(200, 200),), "caption", "the same for every photo", Bar(solid(9, 1), ((0.0, "0"),)))]
    around = Around("legend", "notice")
    whole = words_of(sheets.sheet(cells, Layout(title="title"), around=around))
    assert whole == ["title", "legend", "notice", "the same for every photo", "caption", "0"]
    assert words_of(sheets.sheet(cells, Layout(title="title", text=False), around=around)) == [whole[3]]


@pytest.mark.parametrize("images", [((9, 9), (9, 9)), ((9, 7), (9, 9)), ((9, 9), (9, 4))])
def test_a_stamp_stands_above_the_first_image_and_covers_nothing(images: tuple[tuple[int, int], ...]) -> None:
    cell = Cell(tuple(solid(*size) for size in images), "", "the same for every photo")
    page = sheets.sheet([cell, Cell((solid(9, 9),))], Layout(tile=160), columns=2).pages[0]
    photo, beside, other = page.pictures
    (stamp,) = page.lines
    assert 0 <= photo.top - stamp.base < stamp.size and stamp.left == photo.left
    assert stamp.left + stamp.width < photo.left + photo.width and stamp.base - stamp.size > 0
    assert len({picture.top + picture.height for picture in (photo, beside, other)}) == 1
    assert words_of(sheets.sheet([cell], Layout(tile=40))) == []


def test_a_scale_has_its_ticks_at_their_values_and_none_over_another() -> None:
    ticks = ((0.0, "none"), (0.4, "less"), (0.5, "half of it"), (1.0, "all"))
    page = sheets.sheet([Cell((solid(9, 9),), "", bar=Bar(solid(9, 1, "blue"), ticks))], Layout(tile=200)).pages[0]
    lines = sorted(page.lines, key=lambda line: line.left)
    assert [line.text for line in lines] == ["none", "half of it", "all"]
    assert all(one.left + one.width < other.left for one, other in pairwise(lines))
    assert abs(lines[1].left + lines[1].width / 2 - (16 + 100)) <= 1


def test_more_dots_per_inch_make_all_larger_alike() -> None:
    cells = [Cell((cat(), noise()), "a cat")] * 3
    small, large = (sheets.sheet(cells, Layout(dpi=dpi, title="cats")).pages[0] for dpi in (96, 192))
    assert large.width == 2 * small.width and abs(large.height - 2 * small.height) <= 5
    assert [line.size for line in large.lines] == [2 * line.size for line in small.lines]


def test_a_figure_that_no_viewer_opens_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"would be 40096 x 8032 pixels.*smaller tiles \(--tile"):
        sheets.sheet([Cell((solid(4, 4),))] * 5, Layout(tile=8000, columns=5))
