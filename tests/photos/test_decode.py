"""Photos have the depth, transparency and orientation of their files, and damage never ends in another's exception."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deconvnet._errors import PhotoError
from deconvnet.photos.photo import decode_photo, load_photo

CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of a PNG, by its colour type
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]  # Adam7


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows_of(values: np.ndarray, depth: int) -> Iterator[bytes]:
    for row in values.reshape(len(values), -1):
        if depth >= 8:
            yield b"\0" + row.astype(">u2" if depth == 16 else np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
            yield b"\0" + np.packbits(bits.astype(np.uint8)).tobytes()


def png(values: np.ndarray, depth: int, colour: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A file of (h, w, channels), written chunk by chunk."""
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour, 0, 0, interlaced)
    parts = [values[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [values]
    rows = b"".join(row for part in parts if part.size for row in rows_of(part, depth))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour"), [(1, 0), (2, 0), (4, 0), *((d, c) for d in (8, 16) for c in (0, 2, 4, 6))]
)
def test_a_png_has_the_depth_and_opacity_of_its_file(depth: int, colour: int, interlaced: bool) -> None:
    values = np.random.default_rng(0).integers(0, 2**depth, (13, 21, CHANNELS[colour]))
    unit = values / (2**depth - 1)
    want = unit if colour in (0, 2) else unit[..., :-1] * unit[..., -1:] + (1 - unit[..., -1:])
    photo = decode_photo(png(values, depth, colour, interlaced=interlaced), "a")
    assert photo.deep == (depth == 16)
    np.testing.assert_allclose(photo.pixels, want, atol=0.51 / (65535 if depth == 16 else 255))


@pytest.mark.parametrize(("depth", "colour"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
def test_a_png_is_white_where_it_has_its_transparent_colour(depth: int, colour: int) -> None:
    values = np.random.default_rng(0).integers(0, 2**depth, (9, 11, CHANNELS[colour]))
    values[3, 4] = values[5, 6] = clear = values[0, 0]
    if depth == 16:
        values[3, 4, 0] ^= 1  # almost this colour
    want = values / (2**depth - 1)
    want[(values == clear).all(2)] = 1
    mark = chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear.tolist()))
    photo = decode_photo(png(values, depth, colour, extra=mark), "a")
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(want, photo.pixels.shape), atol=1e-6)


def test_deep_png_is_turned_as_exif_says(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (5, 8, 3))
    exif = Image.Exif()
    exif[274] = 6
    extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    np.testing.assert_allclose(
        decode_photo(png(values, 16, 2, extra=extra), "a").pixels, np.rot90(values / 65535, -1), atol=1e-6
    )


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(("depth", "colour"), [(2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (16, 4), (16, 6)])
def test_a_pil_image_of_a_png_gives_what_its_file_gives(tmp_path: Path, depth: int, colour: int, clear: bool) -> None:
    values = np.random.default_rng(depth + colour).integers(0, 2**depth, (9, 11, CHANNELS[colour]))
    extra = chunk(b"tRNS", values[2, 3].astype(">u2").tobytes()) if clear and colour in (0, 2) else b""
    (tmp_path / "a.png").write_bytes(png(values, depth, colour, extra=extra))
    whole = load_photo(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        for _ in range(2):
            photo = load_photo(picture)
            assert photo.levels.dtype == whole.levels.dtype
            np.testing.assert_array_equal(photo.levels, whole.levels)
        assert picture.convert("L").size == (11, 9)  # and can still be loaded


def test_a_frame_of_an_animated_png_is_that_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    with Image.open(tmp_path / "a.png") as picture:
        assert load_photo(picture).levels[0, 0].tolist() == [255, 0, 0]
        picture.seek(1)
        assert load_photo(picture).levels[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("depth", "colour", "refused"), [(2, 0, True), (4, 0, True), (8, 0, False), (16, 2, True)])
def test_a_loaded_png_whose_transparent_colour_is_lost_is_refused(depth: int, colour: int, refused: bool) -> None:
    values = np.full((4, 5, CHANNELS[colour]), 3 if depth < 16 else 1000)
    values[0] = 1
    extra = chunk(b"tRNS", values[1, 0].astype(">u2").tobytes())
    with Image.open(io.BytesIO(png(values, depth, colour, extra=extra))) as picture:
        picture.load()
    if refused:
        with pytest.raises(PhotoError, match=r"the PIL image is loaded, and its transparent colour, .*Pass the path"):
            load_photo(picture)
    else:
        assert load_photo(picture).levels[:2, 0, 0].tolist() == [1, 255]


def test_the_file_of_a_pil_image_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.effect_noise((60, 50), 50).save(file, "PNG")
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "1KB")
    with pytest.raises(PhotoError, match=r"the file of the PIL image has at least .* and the limit is 1e-06 GB"):
        load_photo(Image.open(file))


def raw_profile(text: bytes) -> bytes:
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"eXIf", b"\0\x08\0\2\1\x12\0\3"),
        chunk(b"eXIf", b"words, not a TIFF header"),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f"),
        raw_profile(b"\nexif\n      20\nnot hexadecimal at all"),
        raw_profile(b"\nexif\n"),
        raw_profile(b""),
    ],
)
def test_a_png_with_a_broken_exif_block_is_read_unturned(extra: bytes) -> None:
    for depth in (8, 16):
        values = np.random.default_rng(0).integers(0, 2**depth, (5, 8, 3))
        photo = decode_photo(png(values, depth, 2, extra=extra), "a")
        np.testing.assert_allclose(photo.pixels, values / (2**depth - 1), atol=1e-6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("form", ["WEBP", "JPEG", "AVIF", "PNG"])
@pytest.mark.parametrize("exif", [b"words", b"Exif\0\0words", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"\0"])
def test_a_broken_exif_block_changes_nothing_in_any_format(form: str, exif: bytes) -> None:
    image, plain, broken = Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50), io.BytesIO(), io.BytesIO()
    image = image.convert("RGB")
    image.save(plain, form)
    try:
        image.save(broken, form, exif=exif)
    except Exception:
        pytest.skip("Pillow does not write it")
    np.testing.assert_array_equal(
        decode_photo(broken.getvalue(), "a").pixels, decode_photo(plain.getvalue(), "a").pixels
    )


# ---- damage


@pytest.mark.parametrize("form", "AVIF JPEG PNG WEBP GIF BMP TIFF PPM JPEG2000 TGA ICO PCX SGI DDS".split())
def test_whatever_a_decoder_meets_is_a_photo_error_with_words(form: str) -> None:
    file, random = io.BytesIO(), np.random.default_rng(0)
    Image.effect_mandelbrot((48, 40), (-2, -1, 1, 1), 50).convert("RGB").save(file, form)
    whole = file.getvalue()
    for i in range(150):
        data = bytearray(whole)
        for _ in range(1 + i % 3):
            data[random.integers(2, min(400, len(data)))] = random.integers(256)
        try:
            decode_photo(bytes(data if i % 5 else data[: random.integers(4, len(data))]), "x.jpg")
        except PhotoError as fault:
            assert "'x.jpg'" in str(fault) and "_io." not in str(fault) and "0x7" not in str(fault), fault


def test_an_exception_without_words_and_one_of_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    for fault, words in ((RuntimeError(), "RuntimeError"), (MemoryError(), "it does not fit in memory")):

        def fail(*arguments: Any, fault: Exception = fault, **options: Any) -> None:
            raise fault

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(PhotoError, match=rf"'a' is damaged or cut off: {words}\."):
            decode_photo(file.getvalue(), "a")


def test_no_file_has_another_program_run(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("L", (40, 40)).save(file, "EPS")
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was run"))
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("a program was run"))
    with pytest.raises(PhotoError, match="'a': it is not an image that Pillow knows"):
        decode_photo(file.getvalue(), "a")


# ---- size


def test_a_file_above_the_limit_is_refused_with_the_limit_and_how_to_raise_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.effect_noise((60, 50), 50).save(tmp_path / "a.png")
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "1KB")
    with pytest.raises(PhotoError, match=r"a\.png': it has .* GB, and the limit is 1e-06 GB\. Set .*DECONVNET_LARGEST"):
        load_photo(tmp_path / "a.png")
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "1MB")
    assert load_photo(tmp_path / "a.png").size == (50, 60)


MEASURE = """
import resource, sys
from deconvnet.photos.photo import load_photo
load_photo("sample:coffee")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_photo(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.sampled(every=4)
@pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes there")
@pytest.mark.parametrize(("depth", "colour", "most"), [(16, 6, 18), (16, 2, 18), (8, 6, 12), (8, 2, 12)])
def test_a_large_photo_takes_a_few_bytes_a_pixel(tmp_path: Path, depth: int, colour: int, most: float) -> None:
    side = 3000
    row = zlib.compressobj(9)
    blank = bytes(side * CHANNELS[colour] * depth // 8 + 1)
    data = b"".join(row.compress(blank) for _ in range(side)) + row.flush()
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "large.png").write_bytes(file)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "large.png")], check=True, capture_output=True, text=True
    )
    assert int(run.stdout) * 1024 / side**2 < most
