"""Signals become pictures that say the same to everyone, every time."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from deconvnet import picture
from deconvnet._errors import ArgumentError, DeconvNetError, NotFiniteError
from deconvnet._types import Box
from deconvnet.picture import (
    SUFFIXES,
    Cell,
    crop,
    energy_box,
    limit_of,
    magnitude,
    overlay,
    render,
    save_picture,
    sheet,
    side_by_side,
)

GREY = (128, 128, 128)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def cat() -> Image.Image:
    photo: Any = skimage.data
    return Image.fromarray(photo.chelsea())


def levels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image).astype(int)


# ---- render


@pytest.mark.parametrize("scale", ["logistic", "linear"])
@pytest.mark.parametrize("channels", [1, 3])
def test_zero_is_mid_grey(scale: Any, channels: int) -> None:
    signal = noise(channels, 20, 30)
    signal[:, 4, 5] = 0
    image = render(signal, scale=scale)
    assert image.mode == "RGB" and image.size == (30, 20)
    assert image.getpixel((5, 4)) == GREY
    assert len(np.unique(levels(image))) > 10


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_signal_of_zeros_is_all_grey(scale: Any) -> None:
    image = render(torch.zeros(3, 4, 5), scale=scale)
    assert image.getcolors() == [(20, GREY)]


def test_the_logistic_scale_is_mahendran_and_vedaldis() -> None:
    signal = noise(3, 64, 64)
    a = torch.quantile(signal.flatten(), 0.005).item()
    want = 1 / (1 + torch.exp(-(signal / a * -math.log(99))))  # papers.md 1.3, as it stands there
    got = levels(render(signal)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(got, want.numpy(), atol=0.5 / 255 + 1e-9)
    assert limit_of(signal) == pytest.approx(-a, rel=1e-12)


def test_the_limit_is_nearly_white_on_one_scale_and_white_on_the_other() -> None:
    signal = torch.tensor([[[-9.0, -2.0, 2.0, 9.0]]])
    assert levels(render(signal, limit=2.0))[0, :, 0].tolist() == [0, 3, 252, 255]
    assert levels(render(signal, limit=2.0, scale="linear"))[0, :, 0].tolist() == [0, 0, 255, 255]
    assert levels(render(signal, limit=4.0, scale="linear"))[0, :, 0].tolist() == [0, 64, 191, 255]


@settings(max_examples=50, deadline=None)
@given(factor=st.floats(1e-30, 1e30), seed=st.integers(0, 5), scale=st.sampled_from(
    ["logistic", "linear"]))  # fmt: skip
def test_a_picture_does_not_change_with_the_strength_of_its_signal(factor: float, seed: int, scale: Any) -> None:
    signal = noise(3, 16, 16, seed=seed)
    assert render(signal * factor, scale=scale).tobytes() == render(signal, scale=scale).tobytes()


def test_float32_signals_of_any_strength_are_shown() -> None:
    signal = noise(3, 16, 16).float()
    for factor in (2.0**-100, 2.0**100):
        assert render(signal * factor).tobytes() == render(signal).tobytes()


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_one_sided_signal_keeps_its_shades(scale: Any) -> None:
    ramp = torch.linspace(0, 1, 256).reshape(1, 16, 16)
    values = levels(render(ramp, scale=scale))[..., 0]
    assert values.min() == 128 and len(np.unique(values)) > 80
    dark = levels(render(-ramp, scale=scale))[..., 0]
    assert dark.max() == 128 and len(np.unique(dark)) > 80


def test_a_few_faint_negatives_do_not_burn_out_a_positive_signal() -> None:
    ramp = torch.linspace(0, 1, 1000).reshape(1, 20, 50).clone()
    ramp.view(-1)[:10] = -1e-4
    assert len(np.unique(levels(render(ramp)))) > 80


@pytest.mark.parametrize("scale", ["logistic", "linear"])
def test_a_sparse_signal_is_shown_as_it_is_without_its_surroundings(scale: Any) -> None:
    small = noise(3, 6, 6)
    large = torch.zeros(3, 200, 200, dtype=torch.float64)
    large[:, 50:56, 80:86] = small
    whole = render(large, scale=scale)
    want = render(small, scale=scale)
    assert whole.crop((80, 50, 86, 56)).tobytes() == want.tobytes()
    assert whole.getpixel((0, 0)) == GREY


def test_one_limit_puts_pictures_on_one_scale() -> None:
    strong, weak = noise(1, 8, 8), noise(1, 8, 8) / 10
    limit = limit_of(torch.stack([strong, weak]))
    contrasts = [np.ptp(levels(render(signal, limit=limit))) for signal in (strong, weak)]
    assert contrasts[0] > 3 * contrasts[1]
    assert render(strong).tobytes() == render(weak).tobytes()


def test_signals_that_require_a_gradient_and_half_precision_are_shown() -> None:
    signal = noise(3, 4, 4).float().requires_grad_()
    assert render(signal).size == (4, 4) and signal.requires_grad
    assert render(signal.half()).size == (4, 4) and render(signal.bfloat16()).size == (4, 4)


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), (1, 3, 4, 4), (64, 4, 4), (3, 0, 4), (3,)])
def test_signals_of_other_shapes_are_refused_with_a_way_out(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be shown.*magnitude\(signal\)\[None\]"):
        render(torch.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_signals_that_are_not_finite_are_refused(value: float) -> None:
    signal = torch.zeros(3, 4, 4)
    signal[1, 2, 3] = value
    for function in (render, limit_of, energy_box):
        with pytest.raises(NotFiniteError, match="NaN or infinity"):
            function(signal)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": 0.0}, "limit=0.0"),
        ({"limit": -1.0}, "limit=-1.0"),
        ({"limit": math.nan}, "limit=nan"),
        ({"scale": "log"}, "scale='log'"),
        ({"scale": "log", "limit": 1.0}, "scale='log'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        render(torch.ones(3, 4, 4), **options)


@pytest.mark.parametrize("signal", [torch.zeros(3, 4, 4, dtype=torch.int64), np.zeros((3, 4, 4))])
def test_only_tensors_of_floats_are_signals(signal: Any) -> None:
    for function in (render, limit_of, magnitude, energy_box):
        with pytest.raises(ArgumentError, match="a signal is a tensor of floats, not"):
            function(signal)


# ---- magnitude, energy_box, crop


def test_magnitude_is_the_length_over_channels_for_any_number_of_axes() -> None:
    signal = noise(5, 3, 6, 7)
    torch.testing.assert_close(magnitude(signal), signal.norm(dim=1))
    torch.testing.assert_close(magnitude(signal[0]), signal[0].norm(dim=0))
    torch.testing.assert_close(magnitude(signal, axes=3), signal.norm(dim=0))
    torch.testing.assert_close(magnitude(signal, axes=1), signal.norm(dim=2))
    with pytest.raises(ArgumentError, match="no channel axis"):
        magnitude(signal[0, 0])


def test_magnitude_of_faint_float32_signals_does_not_vanish() -> None:
    faint = torch.full((4, 2, 2), 1e-30)
    assert magnitude(faint).dtype == torch.float32
    torch.testing.assert_close(magnitude(faint), torch.full((2, 2), 2e-30), rtol=1e-6, atol=0)


@settings(max_examples=100, deadline=None)
@given(
    size=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 99),
    power=st.integers(1, 9),
)
def test_the_energy_box_holds_its_share(size: list[int], share: float, seed: int, power: int) -> None:
    signal = noise(2, *size, seed=seed) ** power
    box = energy_box(signal, share)
    inside = crop(signal, box).square().sum()
    assert inside >= share * signal.square().sum() * (1 - 1e-9)
    assert all(0 <= a < b <= n for a, b, n in zip(box.low, box.high, size, strict=True))


def test_the_energy_box_leaves_out_what_is_empty_and_what_is_faint() -> None:
    signal = torch.zeros(3, 40, 50)
    signal[:, 10:20, 30:33] = 1
    assert energy_box(signal, 1.0) == Box((10, 30), (20, 33))
    signal[0, 0, 0] = 1e-2
    assert energy_box(signal) == Box((10, 30), (20, 33))
    assert energy_box(signal, 1.0) == Box((0, 0), (20, 33))
    assert energy_box(signal * 1e-25) == Box((10, 30), (20, 33))


def test_the_energy_box_of_nothing_is_everything() -> None:
    assert energy_box(torch.zeros(3, 4, 5)) == Box((0, 0), (4, 5))


def test_energy_box_refuses_what_has_no_box() -> None:
    with pytest.raises(ArgumentError, match=r"\(c, \*spatial\)"):
        energy_box(torch.zeros(3))
    with pytest.raises(ArgumentError, match="not empty"):
        energy_box(torch.zeros(3, 0, 4))
    for share in (0.0, 1.5, math.nan):
        with pytest.raises(ArgumentError, match="share="):
            energy_box(torch.ones(3, 4, 4), share)


@given(
    low=st.tuples(st.integers(-15, 15), st.integers(-15, 15)),
    extent=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_crop_reads_zero_beyond_the_border(low: tuple[int, int], extent: tuple[int, int]) -> None:
    signal = noise(2, 3, 6, 9)
    box = Box(low, (low[0] + extent[0], low[1] + extent[1]))
    far = torch.zeros(2, 3, 106, 109, dtype=signal.dtype)
    far[..., 50:56, 50:59] = signal
    want = far[..., 50 + low[0] : 50 + box.high[0], 50 + low[1] : 50 + box.high[1]]
    torch.testing.assert_close(crop(signal, box), want, rtol=0, atol=0)


def test_crop_gives_a_tensor_of_its_own() -> None:
    signal = noise(1, 4, 4)
    crop(signal, Box((0, 0), (4, 4))).zero_()
    assert signal.abs().sum() > 0


@pytest.mark.parametrize("box", [Box((), ()), Box((0,), (0,)), Box((0, 0, 0), (1, 1, 1))])
def test_crop_refuses_boxes_that_do_not_fit(box: Box) -> None:
    with pytest.raises(ArgumentError, match=r"cannot be cut from a signal of shape \(4, 5\)"):
        crop(torch.zeros(4, 5), box)


# ---- overlay


def test_overlay_keeps_colour_where_the_magnitude_is_high_and_pales_the_rest() -> None:
    photo = cat()
    strength = torch.zeros(photo.height, photo.width)
    strength[100:150, 100:150] = 3.0
    shown, own = levels(overlay(photo, strength)), levels(photo)
    np.testing.assert_array_equal(shown[100:150, 100:150], own[100:150, 100:150])
    pale = shown[:100]
    assert np.ptp(pale, axis=2).max() == 0 and pale.min() > 160


def test_overlay_of_nothing_is_pale_all_over() -> None:
    shown = levels(overlay(cat().convert("L"), torch.zeros(300, 451)))
    assert shown.shape == (300, 451, 3) and shown.min() > 160


def test_overlay_is_ordered_by_magnitude() -> None:
    photo = Image.new("RGB", (100, 1), (200, 30, 30))
    shown = levels(overlay(photo, torch.linspace(0, 1, 100)[None]))
    assert (np.diff(np.ptp(shown, axis=2)[0]) >= 0).all()


def test_overlay_refuses_what_does_not_fit_the_photo() -> None:
    for wrong in (torch.zeros(451, 300), torch.zeros(3, 300, 451), torch.full((300, 451), -1.0)):
        with pytest.raises(ArgumentError, match="does not fit a photo of 300 x 451"):
            overlay(cat(), wrong)
    with pytest.raises(NotFiniteError):
        overlay(cat(), torch.full((300, 451), math.nan))


# ---- sheets


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
        lines = list(picture._wrapped(text, 60, font))
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(font.getlength(line) <= 60 for line in lines)


def test_letters_that_the_font_lacks_are_spelt_otherwise() -> None:
    font = ImageFont.load_default(12)
    assert picture._spelt("Égyptian 3×3 — naïve → µ", font) == "Egyptian 3x3 - naive -> u"
    assert picture._spelt("猫 cat", font) == "? cat"
    assert picture._spelt("a\nb\tc ~{}|", font) == "a\nb\tc ~{}|"


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
    cells = [Cell((cat(), render(noise(3, 9, 9))), "a cat")] * 3
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
    with pytest.raises(ArgumentError, match="'nothing' has no image"):
        Cell((), "nothing")
    with pytest.raises(ArgumentError, match=r"cell 'void'.*0 x 4"):
        Cell((Image.new("RGB", (4, 0)),), "void")


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
    image = render(noise(3, 20, 30))
    save_picture(image, tmp_path / f"a{suffix.upper()}")
    with Image.open(tmp_path / f"a{suffix.upper()}") as read:
        difference = np.abs(levels(read.convert("RGB")) - levels(image))
    assert difference.max() <= (60 if suffix in (".jpg", ".jpeg") else 0)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix.upper()}"]


def test_the_same_signal_gives_the_same_bytes_and_no_metadata(tmp_path: Path) -> None:
    image = render(noise(3, 20, 30))
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
    with pytest.raises(ArgumentError, match=r"a\.png' is there already. Pass force=True"):
        save_picture(solid(4, 4), path)
    assert path.read_bytes() == before
    save_picture(solid(4, 4), path, force=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["a", "a.gif", "a.pdf", ".png", "a.png.txt"])
def test_a_suffix_without_a_format_is_refused_with_those_that_have_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"does not end in one of \.png, \.webp, \.jpg"):
        save_picture(solid(3, 3), tmp_path / name)


def test_folders_that_are_missing_or_in_the_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"there is no folder .*nowhere"):
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
