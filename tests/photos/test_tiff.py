"""TIFF of every kind is read as it was written, or refused with the reason."""

import io
import itertools
import lzma
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from deconvnet._errors import PhotoError
from deconvnet.photos.photo import decode_photo, load_photo
from deconvnet.photos.sets import open_photos

SIZE = (20, 24)
SAMPLES = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}


def values_of(dtype: str, samples: int) -> np.ndarray:
    """Random samples from black to white, both among them: (h, w, samples)."""
    random, shape = np.random.default_rng(0), (*SIZE, samples)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = random.random(shape).astype(kind)
        values[0, 0], values[0, 1] = 0, 1
        return values
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = random.integers(low, high, shape, np.int64 if kind.kind in "bi" else kind, endpoint=True).astype(kind)
    values[0, 0], values[0, 1] = low, high
    return values


def meant(values: np.ndarray, photometric: str, extra: str | None) -> np.ndarray:
    """What is seen, slowly and in double precision: (h, w, 1|3) from 0 to 1."""
    top = 1 if values.dtype.kind in "bf" else np.iinfo(values.dtype).max
    unit = values.astype(np.float64) / float(top)
    colour = unit[..., : SAMPLES[photometric]]
    if photometric == "miniswhite":
        colour = 1 - colour
    if photometric == "separated":
        colour = (1 - colour[..., :3]) * (1 - colour[..., 3:])
    opacity = unit[..., SAMPLES[photometric] :][..., :1]
    if extra == "unassalpha":
        return colour * opacity + (1 - opacity)
    return (colour + (1 - opacity)).clip(0, 1) if extra == "assocalpha" else colour


def written(
    values: np.ndarray, photometric: str, extra: str | None = None, planes: str = "contig", **more: Any
) -> bytes:
    """The file, by tifffile."""
    samples = values.shape[2]
    array = values[..., 0] if samples == 1 else values if planes == "contig" else np.moveaxis(values, 2, 0)
    file = io.BytesIO()
    extras = [extra] * (samples - SAMPLES[photometric]) if extra else None
    planarconfig = planes if samples > 1 else None
    tifffile.imwrite(
        file, array, photometric=photometric, planarconfig=planarconfig, extrasamples=extras, metadata=None, **more
    )
    return file.getvalue()


KINDS = [
    ("minisblack", None), ("miniswhite", None), ("rgb", None), ("separated", None), ("rgb", "unassalpha"),
    ("rgb", "assocalpha"), ("minisblack", "unassalpha"), ("miniswhite", "unassalpha"), ("rgb", "unspecified"),
]  # fmt: skip


@pytest.mark.parametrize(("photometric", "extra"), KINDS)
@pytest.mark.parametrize("dtype", "uint8 uint16 uint32 uint64 float16 float32 float64".split())
def test_every_type_order_compression_and_layout_gives_what_was_written(
    dtype: str, photometric: str, extra: str | None
) -> None:
    values = values_of(dtype, SAMPLES[photometric] + (extra is not None))
    want = meant(values, photometric, extra)
    for order, compression, planes, tile, predictor in itertools.product(
        "<>", (None, "zlib", "lzma"), ("contig", "separate"), (None, (16, 16)), (None, 2)
    ):
        if predictor and (compression is None or dtype.startswith("float") or dtype == "uint64"):
            continue  # tifffile does not write it
        data = written(
            values, photometric, extra, planes, byteorder=order, compression=compression, tile=tile, predictor=predictor
        )
        photo = decode_photo(data, "a")
        tolerance = 2e-3 if dtype == "float16" else 0.51 / 255 if dtype == "uint8" and extra else 1 / 65535
        if dtype == "uint8" and photometric == "separated":
            tolerance = 1 / 255  # Pillow's rounding
        np.testing.assert_allclose(photo.pixels, want, atol=tolerance, err_msg=f"{order} {compression} {planes} {tile}")
        assert photo.deep == (dtype != "uint8")


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_is_black_or_white(photometric: str) -> None:
    values = values_of("bool", 1)
    for order, compression in itertools.product("<>", (None, "zlib", "lzma")):
        photo = decode_photo(written(values, photometric, byteorder=order, compression=compression), "a")
        np.testing.assert_array_equal(photo.pixels, meant(values, photometric, None))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("mode", ["grey", "colour", "opacity"])
def test_a_file_is_turned_as_it_says_however_it_is_given(
    tmp_path: Path, orientation: int, dtype: str, mode: str
) -> None:
    values = values_of(dtype, {"grey": 1, "colour": 3, "opacity": 4}[mode])
    photometric, extra = ("minisblack" if mode == "grey" else "rgb"), ("unassalpha" if mode == "opacity" else None)
    seen = meant(values, photometric, extra)
    turned = {
        1: seen, 2: seen[:, ::-1], 3: seen[::-1, ::-1], 4: seen[::-1], 5: seen.swapaxes(0, 1), 6: np.rot90(seen, -1),
        7: seen[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(seen),
    }[orientation]  # fmt: skip
    for compression in (None, "zlib"):
        tag = (274, "H", 1, orientation, True)
        path = tmp_path / "a.tif"
        path.write_bytes(written(values, photometric, extra, compression=compression, extratags=[tag]))
        with Image.open(path) if dtype == "uint8" else io.BytesIO() as picture:
            given: list[Any] = [path, picture] if isinstance(picture, Image.Image) else [path]
            for photo in (*map(load_photo, given), decode_photo(path.read_bytes(), "a")):
                np.testing.assert_allclose(photo.pixels, turned, atol=0.51 / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_what_pillow_writes_is_read_and_turned_alike(tmp_path: Path, mode: str, compression: str | None) -> None:
    small = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    image = Image.fromarray(small).convert("L" if mode in ("I;16", "F") else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    if mode == "F":
        image = Image.fromarray(np.asarray(image).astype(np.float32) / 255)
    want = load_photo(image).pixels
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[274] = orientation
        image.save(tmp_path / "a.tif", compression=compression, exif=exif)
        got = load_photo(tmp_path / "a.tif").pixels
        np.testing.assert_allclose(
            got, want if orientation == 1 else np.rot90(want, -1), atol=1.01 / 255 if mode == "YCbCr" else 1e-6
        )


def packed(values: list[int], bits: int, white: int, compression: int = 1, data: bytes | None = None) -> bytes:
    """A grey TIFF of one row, written entry by entry."""
    text = "".join(f"{value:0{bits}b}" for value in values)
    body = data or int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
    body += b"\0" * (len(body) % 2)
    tags = [(256, len(values)), (257, 1), (258, bits), (259, compression), (262, white), (273, 8), (277, 1), (278, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, len(body))]]
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + struct.pack("<H", 9) + b"".join(entries) + b"\0" * 4


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_few_and_odd_bits_reach_from_black_to_white(bits: int) -> None:
    top = 2**bits - 1
    values = [0, top, top // 2, top, 0, 0, top, 1]
    want = np.array(values) / top
    np.testing.assert_allclose(decode_photo(packed(values, bits, 1), "a").pixels.ravel(), want, atol=1e-6)
    if bits < 12:
        np.testing.assert_allclose(decode_photo(packed(values, bits, 0), "a").pixels.ravel(), 1 - want, atol=1e-6)


def lzw(data: bytes) -> bytes:
    """Compressed so simply that the table of strings is cleared before it can be used."""
    codes = [code for i, byte in enumerate(data) for code in ([256] if i % 200 == 0 else []) + [byte]] + [257]
    text = "".join(f"{code:09b}" for code in codes)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def recompressed(data: bytes) -> bytes:
    """An uncompressed TIFF of one strip, with LZW."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        at, count = page.dataoffsets[0], page.databytecounts[0]
        strip, order = lzw(data[at : at + count]), file.byteorder
        tags = {code: page.tags[code] for code in (259, 273, 279)}
        changed = bytearray(data + b"\0" * (len(data) % 2))
        for code, value in ((259, 5), (273, len(changed)), (279, len(strip))):
            kind = "H" if tags[code].dtype == 3 else "I"
            changed[tags[code].valueoffset : tags[code].valueoffset + struct.calcsize(kind)] = struct.pack(
                order + kind, value
            )
    return bytes(changed) + strip


@pytest.mark.parametrize(("photometric", "extra"), [*KINDS[:5], ("rgb", "assocalpha"), ("minisblack", "unassalpha")])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("order", "<>")
def test_what_only_pillow_decompresses_is_right_or_refused(
    order: str, dtype: str, photometric: str, extra: str | None
) -> None:
    values = values_of(dtype, SAMPLES[photometric] + (extra is not None))
    data = recompressed(written(values, photometric, extra, byteorder=order))
    deep = (extra != "assocalpha" and photometric != "minisblack") or extra is None
    certain = dtype == "uint8" or (dtype == "uint16" and deep and (order, photometric) != (">", "miniswhite"))
    try:
        photo = decode_photo(data, "a")
    except PhotoError as fault:
        assert "LZW, which cannot be read" in str(fault) and not certain
        return
    np.testing.assert_allclose(
        photo.pixels, meant(values, photometric, extra), atol=1.01 / 255 if dtype == "uint8" else 1e-4
    )


def test_a_pil_image_of_a_tiff_gives_the_picture_it_stands_at(tmp_path: Path) -> None:
    pages = [values_of("uint16", 1)[..., 0] // n for n in (1, 2, 3)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="miniswhite")
    with Image.open(tmp_path / "a.tif") as picture:
        for i in (2, 0, 1):
            picture.seek(i)
            here = picture.fp.tell() if picture.fp is not None else 0
            np.testing.assert_allclose(load_photo(picture).pixels[..., 0], 1 - pages[i] / 65535, atol=1e-6)
            assert picture.tell() == i and picture.fp is not None and picture.fp.tell() == here


def test_of_a_tiff_with_several_pictures_one_is_named_and_never_the_first_taken_silently(tmp_path: Path) -> None:
    stack = np.stack([values_of("uint8", 1)[..., 0] // n for n in (1, 2, 3)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="miniswhite")
    with pytest.raises(PhotoError, match=r"several pictures\. Name one of its 3 pictures.*a\.tif#0' to '.*a\.tif#2'"):
        load_photo(tmp_path / "a.tif")
    for i in range(3):
        np.testing.assert_array_equal(load_photo(f"{tmp_path / 'a.tif'}#{i}").levels[..., 0], 255 - stack[i])
    with pytest.raises(PhotoError, match="holds 3 pictures, counted from 0, and no 3"):
        load_photo(f"{tmp_path / 'a.tif'}#3")
    photos = open_photos(f"{tmp_path / 'a.tif'}#{{0..2}}")
    assert photos.name(1) == "a.tif#1" and (photos.read(1).levels[..., 0] == 255 - stack[1]).all()
    with pytest.raises(PhotoError, match=r"'a\.tif' holds several pictures"):
        open_photos([tmp_path / "a.tif"]).read(0)


@pytest.mark.parametrize("kind", [1, 4])
def test_small_copies_and_masks_beside_a_picture_do_not_count(kind: int, tmp_path: Path) -> None:
    values = values_of("uint8", 1)[..., 0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(values[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        tiff.write(values, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["NewSubfileType"].overwrite(kind)  # type: ignore[union-attr]
    np.testing.assert_array_equal(load_photo(tmp_path / "a.tif").levels[..., 0], values)


def test_a_stack_that_imagej_keeps_in_one_page_is_refused() -> None:
    words = "ImageJ=1.53\nimages=40\nslices=40\n"
    with pytest.raises(PhotoError, match="holds 40 pictures as ImageJ writes large stacks"):
        decode_photo(written(values_of("uint8", 1), "minisblack", description=words), "a")


def test_a_page_of_what_has_none_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="does not hold several pictures"):
        load_photo(f"{tmp_path / 'a.tif'}#0")


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
@pytest.mark.parametrize("order", "<>")
def test_signed_integers_are_refused_with_the_reason(dtype: str, order: str) -> None:
    bits = np.dtype(dtype).itemsize * 8
    with pytest.raises(
        PhotoError, match=rf"'a' has pixels that are signed integers of {bits} bits.*black.*value_range=.*--range"
    ):
        decode_photo(written(values_of(dtype, 1), "minisblack", byteorder=order), "a")


def test_other_kinds_of_samples_are_refused_with_the_reason() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros(SIZE, np.complex64), photometric="minisblack")
    with pytest.raises(PhotoError, match="numbers that are not real"):
        decode_photo(file.getvalue(), "a")
    with pytest.raises(PhotoError, match="5 samples in each pixel, and the file does not say that they are grey"):
        decode_photo(written(values_of("uint8", 5), "minisblack", "unspecified"), "a")
    np.testing.assert_array_equal(
        decode_photo(written(values := values_of("uint8", 5), "rgb", "unspecified"), "a").pixels,
        (values[..., :3] / 255).astype(np.float32),
    )
    file = io.BytesIO()
    colours = np.zeros((3, 2**16), np.uint16)
    tifffile.imwrite(file, np.zeros(SIZE, np.uint16), photometric="palette", colormap=colours)
    with pytest.raises(
        PhotoError, match=r"a TIFF of 1 x 16-bit integer samples, PALETTE, .*cannot be read.*Save it as"
    ):
        decode_photo(file.getvalue(), "a")
    with pytest.raises(PhotoError, match=r"float pixels from 0 to 255"):
        decode_photo(written(values_of("float32", 1) * 255, "minisblack"), "a")


def test_no_damage_ends_in_anything_but_a_photo_error() -> None:
    random = np.random.default_rng(0)
    whole = [
        written(values_of(dtype, 3), "rgb", compression=compression, tile=tile)
        for dtype, compression, tile in (("uint8", None, None), ("uint16", "zlib", (16, 16)), ("float32", "lzma", None))
    ]
    for i in range(300):
        data = bytearray(whole[i % 3])
        for _ in range(3):
            data[random.integers(4, 400)] = random.integers(256)
        try:
            decode_photo(bytes(data[: random.integers(8, len(data) * 2)]), "a")
        except PhotoError as fault:
            assert "_io" not in str(fault) and "0x" not in str(fault), fault


def test_what_tifffile_logs_is_not_printed() -> None:
    program = (
        "from deconvnet import PhotoError\nfrom deconvnet.photos.photo import decode_photo\n"
        "try:\n    decode_photo(b'II*\\0' + bytes(4), 'a')\nexcept PhotoError as fault:\n    print(fault)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stderr == "" and "'a' is damaged or cut off" in run.stdout


def changed(data: bytes, **tags: int) -> bytes:
    """The file with other numbers in some tags."""
    new = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        for name, value in tags.items():
            kind = file.byteorder + {3: "H", 4: "I"}[page.tags[name].dtype]
            struct.pack_into(kind, new, page.tags[name].valueoffset, value)
    return bytes(new)


@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
@pytest.mark.parametrize(
    ("tile", "tags"),
    [
        (None, {"ImageLength": 40}), (None, {"ImageLength": 40, "RowsPerStrip": 40}), (None, {"ImageWidth": 40}),
        ((16, 16), {"ImageLength": 40}), ((16, 16), {"ImageWidth": 40}), ((16, 16), {"TileWidth": 32}),
        ((16, 16), {"ImageLength": 9000, "ImageWidth": 9000}),
    ],
)  # fmt: skip
def test_a_file_that_promises_more_than_it_has_is_not_filled_up(
    compression: str | None, tile: tuple[int, int] | None, tags: dict[str, int]
) -> None:
    data = written(values_of("uint8", 1), "minisblack", compression=compression, tile=tile)
    assert decode_photo(data, "a").size == SIZE
    with pytest.raises(PhotoError, match="'a' is damaged or cut off"):
        decode_photo(changed(data, **tags), "a")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_that_is_cut_off_is_refused_and_not_filled_up(share: float, compression: str | None) -> None:
    data = written(values_of("uint16", 3), "rgb", compression=compression, rowsperstrip=4)
    with pytest.raises(PhotoError, match="'a' is damaged or cut off"):
        decode_photo(data[: int(len(data) * share)], "a")


# ---- what a small file may hold


def part_of(data: bytes, compression: int, *, height: int = 16, **more: int) -> bytes:
    """A grey TIFF of 16 columns whose only strip is `data`."""
    tags = {256: 16, 257: height, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: height, 279: len(data)}
    tags |= {int(tag.removeprefix("tag")): value for tag, value in more.items()}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + fields + bytes(4) + data


def squeezed(compression: int, zeros: int) -> bytes:
    if compression == 32773:  # PackBits
        return b"\x81\0" * (zeros // 128)
    packer: Any = zlib.compressobj(9) if compression == 8 else lzma.LZMACompressor()
    return b"".join([packer.compress(bytes(2**20)) for _ in range(zeros // 2**20)]) + packer.flush()


@pytest.mark.parametrize("compression", [8, 32773, 34925])
@pytest.mark.parametrize("bits", [8, 32])
def test_a_strip_is_decompressed_no_further_than_the_photo_reaches(compression: int, bits: int) -> None:
    data = part_of(squeezed(compression, 2**26), compression, tag258=bits)
    decode_photo(data, "a")
    tracemalloc.start()
    levels = decode_photo(data, "a").levels
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert levels.shape == (16, 16, 1) and not levels.any() and peak < 2**24 + 4 * len(data)  # LZMA looks back 8 MB


def test_a_tile_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(PhotoError, match=r"a tile of 'a', decoded, has 4\.29 GB, and the limit is 1 GB"):
        decode_photo(part_of(zlib.compress(bytes(256)), 8, tag322=2**16, tag323=2**16), "a")


def test_bits_in_reversed_order_are_put_in_order() -> None:
    values = values_of("uint8", 1)
    whole = zlib.compress(values[:16, :16].tobytes())
    data = whole.translate(bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256)))
    np.testing.assert_array_equal(decode_photo(part_of(data, 8, tag266=2), "a").levels, values[:16, :16])


@pytest.mark.parametrize("compression", [8, 34925])
def test_a_strip_whose_checksum_is_wrong_is_damaged(compression: int) -> None:
    values = values_of("uint8", 1)[:16, :16].tobytes()
    data = bytearray(zlib.compress(values) if compression == 8 else lzma.compress(values))
    data[-1 if compression == 8 else -9] ^= 1
    with pytest.raises(PhotoError, match="'a' is damaged or cut off"):
        decode_photo(part_of(bytes(data), compression), "a")


@pytest.mark.filterwarnings("ignore:Metadata Warning")
@pytest.mark.parametrize("tag", [(274, 3, 2, (6, 6), True), (274, 2, 0, "up", True), (274, 3, 1, 99, True)])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_an_unknown_orientation_leaves_the_photo_as_it_is(tag: Any, compression: str | None) -> None:
    values = values_of("uint8", 3)
    data = written(values, "rgb", extratags=[tag], compression=None if compression == "lzw" else compression)
    levels = decode_photo(recompressed(data) if compression == "lzw" else data, "a").levels
    np.testing.assert_array_equal(levels, np.rot90(values, -1) if tag[3] == (6, 6) else values)
