"""Which numbers of a photo are black and white: as the user says, else as its file does, and never wrong silently."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from deconvnet._errors import ArgumentError, DeconvNetWarning, PhotoError, ValueRangeError
from deconvnet.photos.batches import batches
from deconvnet.photos.photo import decode_photo, load_photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import open_photos
from deconvnet.photos.values import ENOUGH

TWELVE = np.linspace(0, 4095, 12).astype(np.uint16).reshape(3, 4)  # 12 bits in 16


def tiff(values: np.ndarray, *tags: tuple[Any, ...], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, extratags=list(tags), **{"photometric": "minisblack", **options})
    return file.getvalue()


def png(values: np.ndarray, significant: int | None = None) -> bytes:
    """A 16-bit PNG, with the chunk sBIT."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0))]
    if significant is not None:
        chunks.append((b"sBIT", bytes([significant]) * values.shape[2]))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def pixels(data: bytes, **options: Any) -> np.ndarray:
    """Of a file of grey, without a warning."""
    return load_photo(Image.open(io.BytesIO(data)), **options).pixels[..., 0]


# ---- the user's word


@pytest.mark.parametrize("kind", ["tif", "png", "npy", "array", "tensor", "pil"])
def test_a_value_range_says_which_values_are_black_and_white(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        path.write_bytes(tiff(TWELVE))
    elif kind == "png":
        path.write_bytes(png(TWELVE[..., None]))
    elif kind == "npy":
        np.save(path, TWELVE)
    of_memory = {"array": TWELVE, "tensor": torch.tensor(TWELVE.astype(np.int32)), "pil": Image.fromarray(TWELVE)}
    photo = load_photo(of_memory.get(kind, path), value_range=(0, 4095))
    np.testing.assert_allclose(photo.pixels[..., 0], TWELVE / 4095, atol=1e-6)
    assert photo.extent is None and photo.value_range == (0, 4095)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32, np.float64])
def test_ct_numbers_are_taken_through_a_range_and_cut_off_beyond_it(dtype: type) -> None:
    ct = np.array([[-2000, -1000, -300], [40, 400, 3000]], dtype)
    right = [[0, 0, 0.5], [1040 / 1400, 1, 1]]
    np.testing.assert_allclose(load_photo(ct, value_range=(-1000, 400)).pixels[..., 0], right, atol=1e-6)
    if dtype is not np.int64:
        of_file = decode_photo(tiff(ct), "ct", Preprocess((2, 2), 2, (0,), (1,), 1, value_range=(-1000, 400)).reading)
        np.testing.assert_allclose(of_file.pixels[..., 0], right, atol=1e-6)


def test_signed_integers_that_only_pillow_reads_are_taken_through_a_range(tmp_path: Path) -> None:
    ct = np.array([[-1000, -300, 400]], np.int32)
    Image.fromarray(ct).save(tmp_path / "a.tif", compression="tiff_lzw")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = load_photo(tmp_path / "a.tif", value_range=(-1000, 400)).pixels[..., 0]
    np.testing.assert_allclose(values, [[0, 0.5, 1]], atol=1e-6)


@pytest.mark.parametrize(
    "photo",
    [
        np.array([[-5, 7]], np.int16), np.array([[0, 7]], np.int64), np.array([[True]]), np.array([[0.0, 255.0]]),
        torch.tensor([[-0.5]]), Image.fromarray(np.array([[-5, 70000]], np.int32)),
    ],
)  # fmt: skip
def test_without_a_range_the_message_names_the_flag(photo: Any) -> None:
    with pytest.raises(ValueRangeError, match=r"value_range=\(LOW, HIGH\) \(--range LOW,HIGH\), such as"):
        load_photo(photo)


def test_the_example_in_the_message_fits_the_values() -> None:
    for high, example in ((200.0, "0,255"), (3000.0, "0,4095"), (40000.0, "0,65535")):
        with pytest.raises(ValueRangeError, match=rf"such as {example}\."):
            load_photo(np.array([[0, high]]))


def test_a_range_that_the_type_cannot_hold_is_refused() -> None:
    for photo, value_range in (("sample:chelsea", (0, 4095)), (TWELVE, (-1000, 400)), (TWELVE, (0, 70000))):
        with pytest.raises(PhotoError, match="cannot be theirs"):
            load_photo(photo, value_range=value_range)


@pytest.mark.parametrize(
    "value_range", [(1, 1), (2, 1), (0,), (0, 1, 2), "0,1", 7, (0, float("nan")), (0, float("inf"))]
)
def test_what_is_not_a_range_is_refused(value_range: Any) -> None:
    for call in (
        lambda: load_photo(TWELVE, value_range=value_range),
        lambda: Preprocess((2, 2), 2, (0,), (1,), 1, value_range=value_range),
    ):
        with pytest.raises(ArgumentError, match=r"value_range is \(low, high\)"):
            call()


def test_opacity_is_not_scaled_by_the_range() -> None:
    half = np.array([[[2048, 32768]]], np.uint16)
    photo = decode_photo(
        tiff(half, extrasamples=["unassalpha"]),
        "a",
        Preprocess((2, 2), 2, (0,), (1,), 1, value_range=(0, 4095)).reading,
    )
    np.testing.assert_allclose(photo.pixels, [[[0.75]]], atol=1e-3)


def test_a_range_holds_in_white_is_zero() -> None:
    data = tiff(TWELVE, photometric="miniswhite")
    np.testing.assert_allclose(pixels(data, value_range=(0, 4095)), 1 - TWELVE / 4095, atol=1e-6)


# ---- the file's word


def test_samples_of_12_bits_fill_them() -> None:
    assert pixels(tiff(TWELVE, (281, "H", 1, 4095, True))).max() == 1
    np.testing.assert_allclose(pixels(tiff(TWELVE, (281, "H", 1, 4095, True))), TWELVE / 4095, atol=1e-6)


def test_ome_says_how_many_bits_are_significant() -> None:
    data = tiff(TWELVE, description='<OME><Image><Pixels SignificantBits="12" Type="uint16"/></Image></OME>')
    np.testing.assert_allclose(pixels(data), TWELVE / 4095, atol=1e-6)


def test_the_largest_value_of_one_picture_is_not_taken_for_white() -> None:
    data = tiff(TWELVE // 2, (281, "H", 1, int(TWELVE.max() // 2), True), (280, "H", 1, 3, True))
    with pytest.warns(DeconvNetWarning, match="2,047"):
        np.testing.assert_allclose(pixels(data), (TWELVE // 2) / 65535, atol=1e-6)


def test_a_depth_that_the_values_exceed_is_not_believed() -> None:
    data = tiff(TWELVE * 16, (281, "H", 1, 4095, True))
    np.testing.assert_allclose(pixels(data), TWELVE * 16 / 65535, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_significant_bits_of_a_png_that_are_not_spread_over_16_are_taken_at_their_depth(channels: int) -> None:
    values = np.repeat(TWELVE[..., None], channels, 2)
    if channels in (2, 4):
        values[..., -1] = 65535
    np.testing.assert_allclose(pixels(png(values, 12)), TWELVE / 4095, atol=1e-6)


@pytest.mark.parametrize("spread", [lambda v: v * 16, lambda v: v << 4 | v >> 8, lambda v: np.rint(v / 4095 * 65535)])
def test_significant_bits_of_a_png_that_are_spread_change_nothing(spread: Any) -> None:
    for twelve in (TWELVE, TWELVE // 20):  # a bright and a dark one
        values = spread(twelve).astype(np.uint16)
        np.testing.assert_allclose(pixels(png(values[..., None], 12)), values / 65535, atol=1e-6)


# ---- nobody's word


@pytest.mark.parametrize("data", [tiff(TWELVE), tiff(TWELVE, photometric="miniswhite"), png(TWELVE[..., None])])
def test_12_bits_in_16_are_never_divided_by_65535_silently(data: bytes) -> None:
    words = r"the photo is 4,095, and 65,535.*so it comes out nearly black.*--range LOW,HIGH\), perhaps 0,4095"
    with pytest.warns(DeconvNetWarning, match=words):
        load_photo(Image.open(io.BytesIO(data)))


def test_small_numbers_of_32_bits_are_told_too() -> None:
    with pytest.warns(DeconvNetWarning, match="is 4,095, and 4,294,967,295"):
        load_photo(Image.open(io.BytesIO(tiff(TWELVE.astype(np.uint32)))))


@pytest.mark.parametrize("values", [np.zeros((3, 4), np.uint16), TWELVE * 5, TWELVE.astype(np.uint8)])
def test_black_photos_bright_ones_and_those_of_8_bits_give_no_warning(values: np.ndarray) -> None:
    load_photo(values)


def test_photos_read_together_are_judged_by_the_brightest() -> None:
    prepare = Preprocess((2, 2), 2, (0,), (1,), 1)
    prepare.images([TWELVE, TWELVE * 16])
    with pytest.warns(DeconvNetWarning, match="all 2 photos looked at") as told:
        prepare.images([TWELVE, TWELVE])
    assert len(told) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_set_is_judged_by_its_brightest_photo_and_told_once(workers: int) -> None:
    prepare = Preprocess((2, 2), 2, (0,), (1,), 1)
    dark = [TWELVE] * (ENOUGH + 8)
    with pytest.warns(DeconvNetWarning, match=f"all {ENOUGH} photos looked at") as told:
        list(batches(open_photos(dark), range(len(dark)), prepare, 4, workers=workers))
    assert len(told) == 1
    mixed = [TWELVE, TWELVE * 16, TWELVE]
    list(batches(open_photos(mixed), range(3), prepare, 2, workers=workers))
    with pytest.warns(DeconvNetWarning, match="all 3 photos looked at"):
        list(batches(open_photos([TWELVE] * 3), range(3), prepare, 2, workers=workers))


def test_a_range_travels_with_the_preprocessing() -> None:
    ct = np.array([[-1000, -300], [-300, 400]], np.int16)
    prepare = Preprocess((2, 2), None, (0,), (1,), 1, value_range=(-1000, 400))
    right = torch.tensor([[[[0, 0.5], [0.5, 1]]]])
    assert torch.allclose(prepare.images(ct), right) and torch.allclose(prepare.image(prepare.read(ct)), right)
    assert np.asarray(prepare.as_seen(ct))[..., 0].tolist() == [[0, 128], [128, 255]]
    (batch,) = batches(open_photos([ct, ct + 1]), [0], prepare, 1)
    assert torch.allclose(batch.images, right)


def test_a_photo_that_was_read_with_another_range_is_refused() -> None:
    prepare = Preprocess((2, 2), None, (0,), (1,), 1, value_range=(0, 4095))
    with pytest.raises(
        ArgumentError, match=r"read with value_range=None.*Read it again: load_photo\(\.\.\., value_range"
    ):
        prepare.images(load_photo(TWELVE * 16))
    assert prepare.images(load_photo(TWELVE, value_range=(0, 4095))).max() > 0.7
