"""Photos of every kind become the batch torchvision would make, and boxes find their way back."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import Box
from deconvnet.photos.photo import SAMPLES, Photo, PhotoLike, load_photo
from deconvnet.photos.preprocess import Preprocess

CHELSEA: Any = getattr(skimage.data, "chelsea")()  # noqa: B009  # it has no annotations
GREY_16 = np.linspace(0, 65535, 60 * 80).astype(np.uint16).reshape(60, 80)


def raw(size: tuple[int, int], short_side: int | None = None, **options: Any) -> Preprocess:
    """A preprocessing whose batch holds the pixels themselves."""
    channels = options.get("channels", 3)
    return Preprocess(size, short_side, (0.0,) * channels, (1.0,) * channels, **options)


def on_disk(folder: Path, image: Image.Image, name: str = "a.png", **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


# ---- what can be a photo


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_scikit_images_photos(name: str) -> None:
    photo = load_photo(f"sample:{name}")
    assert photo.name == name and not photo.deep
    np.testing.assert_array_equal(np.asarray(photo.image()), getattr(skimage.data, name)())


def test_one_photo_is_the_same_from_file_array_tensor_and_pil(tmp_path: Path) -> None:
    array = CHELSEA
    path = on_disk(tmp_path, Image.fromarray(array), "cat.png")
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    want = load_photo("sample:chelsea").pixels
    for photo in (path, str(path), array, tensor, Image.fromarray(array), load_photo(array)):
        np.testing.assert_array_equal(load_photo(photo).pixels, want)
    assert load_photo(path).name == "cat" and load_photo(array).name == "photo"


def test_floats_and_sixteen_bits_keep_their_depth() -> None:
    values = np.linspace(0, 1, 30 * 40 * 3).reshape(30, 40, 3)
    for array in (values, values.astype(np.float32), np.rint(values * 65535).astype(np.uint16)):
        photo = load_photo(array)
        assert photo.deep and photo.pixels.dtype == np.float32
        np.testing.assert_allclose(photo.pixels, values, atol=1e-5)
        shown = raw((30, 40)).images(array)[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(shown, values, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_tensors_of_any_width_are_taken_with_their_gradient_left_alone(
    dtype: torch.dtype,
) -> None:
    tensor = torch.full((3, 4, 5), 0.5, dtype=dtype, requires_grad=True)
    photo = load_photo(tensor)
    assert photo.size == (4, 5) and (photo.pixels == 0.5).all() and tensor.requires_grad


def test_what_is_kept_does_not_follow_the_array_it_came_from() -> None:
    array = np.zeros((4, 4), np.float32)
    photo = load_photo(array)
    array[:] = 1
    assert photo.pixels.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0] = 1


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_sixteen_bit_grey_file_is_divided_by_65535(tmp_path: Path, suffix: str) -> None:
    photo = load_photo(on_disk(tmp_path, Image.fromarray(GREY_16), f"deep.{suffix}"))
    assert photo.deep
    np.testing.assert_allclose(photo.pixels[..., 0], GREY_16 / 65535, atol=1e-6)


def test_big_endian_sixteen_bits_are_not_swapped(tmp_path: Path) -> None:
    big = Image.frombytes("I;16B", (80, 60), GREY_16.astype(">u2").tobytes())
    for photo in (big, GREY_16.astype(">u2"), on_disk(tmp_path, big, "big.tif")):
        np.testing.assert_allclose(load_photo(photo).pixels[..., 0], GREY_16 / 65535, atol=1e-6)


def test_pillows_32_bit_integers_hold_sixteen_bit_values() -> None:
    photo = load_photo(Image.fromarray(GREY_16.astype(np.int32)))
    np.testing.assert_allclose(photo.pixels[..., 0], GREY_16 / 65535, atol=1e-6)
    with pytest.raises(PhotoError, match=r"from -5 to 70000.*--range"):
        load_photo(Image.fromarray(np.array([[-5, 70000]], np.int32)))


def test_a_float_tiff_is_taken_from_0_to_1_and_refused_beyond(tmp_path: Path) -> None:
    good = on_disk(tmp_path, Image.fromarray(np.array([[0.0, 0.25]], np.float32)), "good.tif")
    np.testing.assert_array_equal(load_photo(good).pixels[..., 0], [[0.0, 0.25]])
    bad = on_disk(tmp_path, Image.fromarray(np.array([[0.0, 255.0]], np.float32)), "bad.tif")
    with pytest.raises(PhotoError, match=r"bad\.tif.*from 0 to 255, but 0 to 1.*--range LOW,HIGH.*0,255"):
        load_photo(bad)
    nan = on_disk(tmp_path, Image.fromarray(np.array([[0.0, np.nan]], np.float32)), "nan.tif")
    with pytest.raises(PhotoError, match=r"nan\.tif.*NaN or infinity"):
        load_photo(nan)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_every_mode_becomes_grey_or_colour(mode: str) -> None:
    cat = Image.fromarray(CHELSEA)
    photo = load_photo(cat.convert(mode) if mode != "LAB" else Image.new("LAB", (451, 300)))
    assert photo.size == (300, 451)
    assert photo.pixels.shape[2] == (1 if mode in ("1", "L") else 3)
    if mode in ("P", "CMYK", "YCbCr"):
        want = np.asarray(cat.convert(mode).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(photo.image()), want)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA"])
def test_white_shows_behind_transparent_pixels(mode: str) -> None:
    full = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    image = Image.new(full, (3, 1), "black")
    image.putalpha(Image.fromarray(np.array([[0, 51, 255]], np.uint8)))
    grey = load_photo(image.convert(mode)).pixels[0, :, 0]
    np.testing.assert_allclose(grey * 255, [255, 204, 0], atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_colour_marked_as_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("L", (2, 1), 0)
    image.putpixel((1, 0), 100)
    clear: object = (0, 0, 0) if mode == "RGB" else 0
    path = on_disk(tmp_path, image.convert(mode), transparency=clear)
    pixels = np.rint(load_photo(path).pixels * 255)
    assert (pixels[0, 0] == 255).all() and (pixels[0, 1] == 100).all()


def test_opacity_of_arrays_is_composited_too() -> None:
    deep = np.zeros((1, 2, 4))
    deep[0, 1, 3] = 0.3
    assert load_photo(deep).pixels[0, 1, 0] == pytest.approx(0.7)
    eight = np.rint(deep * 255).astype(np.uint8)
    pixels = load_photo(eight).pixels
    np.testing.assert_allclose(pixels[0, :, 0] * 255, [255, 255 - 76], atol=1e-4)


def test_the_cameras_rotation_is_applied(tmp_path: Path) -> None:
    upright = Image.fromarray(CHELSEA)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    path = on_disk(tmp_path, turned, "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_photo(path).image()), np.asarray(upright))


def test_an_animated_file_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    path = on_disk(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert load_photo(path).image().getpixel((0, 0)) == (255, 0, 0)


def test_the_callers_pil_image_stays_as_it_was() -> None:
    image = Image.new("P", (3, 2), 1)
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    load_photo(image)
    assert before == (image.mode, image.size, image.tobytes(), dict(image.info))


# ---- what cannot


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nowhere.jpg", r"cannot read 'nowhere\.jpg': no such file"),
        ("nowhere/at/all.jpg", "no such file"),
        ("a\0b.jpg", "null byte"),
        ("x" * 5000, "too long"),
        ("sample:lena", "'lena' is not a sample photo.*astronaut, chelsea"),
    ],
)
def test_a_photo_that_is_not_there_is_named(spec: str, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        load_photo(spec)


def test_folders_empty_files_and_other_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("not a photo")
    with pytest.raises(PhotoError, match="it is a folder"):
        load_photo(tmp_path)
    with pytest.raises(PhotoError, match=r"empty\.jpg.*empty \(0 bytes\)"):
        load_photo(tmp_path / "empty.jpg")
    with pytest.raises(PhotoError, match=r"words\.jpg.*not an image that Pillow knows"):
        load_photo(tmp_path / "words.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    path = on_disk(tmp_path, Image.fromarray(CHELSEA), f"whole.{suffix}")
    data = path.read_bytes()
    for share in (0.5, 0.98):
        short = tmp_path / f"short.{suffix}"
        short.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(PhotoError, match=rf"short\.{suffix}"):
            load_photo(short)


def test_a_png_with_a_broken_checksum_is_refused(tmp_path: Path) -> None:
    path = on_disk(tmp_path, Image.fromarray(CHELSEA))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=r"a\.png"):
        load_photo(path)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_a_decompression_bomb_is_refused_already_where_pillow_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    path = on_disk(tmp_path, Image.new("L", (100, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(6000 / factor))
    with pytest.raises(PhotoError, match=r"a\.png.*decompression bomb.*6000 pixels.*MAX_IMAGE_PIXELS"):
        load_photo(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_also_where_warnings_are_silenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = on_disk(tmp_path, Image.new("L", (100, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(PhotoError, match="60 x 100 pixels"):
        load_photo(path)


def png_of(width: int, height: int, depth: int, data: bytes) -> bytes:
    """An RGB file, written chunk by chunk."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = (b"IHDR" + header, b"IDAT" + data, b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_a_header_that_promises_a_huge_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of(60000, 60000, 8, b""))
    with pytest.raises(PhotoError, match=r"bomb\.png.*decompression bomb"):
        load_photo(tmp_path / "bomb.png")


def test_a_sixteen_bit_colour_file_is_neither_wrapped_nor_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 4 * 50 * 3).reshape(4, 50, 3).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "deep.png").write_bytes(png_of(50, 4, 16, zlib.compress(rows)))
    pixels = load_photo(tmp_path / "deep.png").pixels
    np.testing.assert_allclose(pixels, values / 65535, atol=1 / 255)


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_pil_image_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=f"does not have any pixels: its size is {size[0]} x {size[1]}"):
        load_photo(Image.new("L", size))


def test_a_pil_image_whose_file_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = on_disk(tmp_path, Image.fromarray(CHELSEA), "a.jpg")
    lazy = Image.open(io.BytesIO(path.read_bytes()[:9000]))
    with pytest.raises(PhotoError, match="the PIL image is damaged or cut off"):
        load_photo(lazy)


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((2, 3, 4, 5), np.uint8), r"\(2, 3, 4, 5\).*pass list\(batch\)"),
        (
            np.zeros((3, 8, 9), np.uint8),
            r"\(3, 8, 9\) is not a photo: an array is \(h, w\) or \(h, w, 1\|3\|4\)",
        ),
        (np.zeros((8, 9, 2), np.uint8), r"\(8, 9, 2\)"),
        (np.zeros(7), r"\(7,\)"),
        (np.zeros((0, 5, 3)), "without pixels: 0 x 5"),
        (torch.zeros(2, 8, 9), r"\(2, 8, 9\)"),
        (torch.zeros(1, 3, 8, 9), r"pass list\(batch\)"),
        (np.array([[0.5, np.nan]]), "NaN or infinity"),
        (torch.tensor([[0.5, float("inf")]]), "NaN or infinity"),
    ],
)
def test_arrays_of_a_wrong_shape_or_with_nan_are_refused(photo: Any, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        load_photo(photo)


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (None, "NoneType"),
        (7, "int"),
        (b"cat.jpg", "bytes"),
        (np.array([["a"]]), "<U1"),
        (np.zeros((3, 3), complex), "complex128"),
    ],
)
def test_things_that_are_no_photo_are_refused(photo: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        load_photo(photo)


# ---- the batch


def torchvision_batch(preprocess: Preprocess, photo: Image.Image) -> torch.Tensor:
    """The second version: torchvision's own transforms on the PIL image."""
    transforms = pytest.importorskip("torchvision.transforms")
    mode = transforms.InterpolationMode(preprocess.interpolation)
    resize = transforms.Resize(preprocess.short_side or preprocess.size, mode)
    steps = [resize, transforms.CenterCrop(preprocess.size), transforms.ToTensor()]
    steps.append(transforms.Normalize(preprocess.mean, preprocess.std))
    if preprocess.channels == 1:
        steps.insert(0, transforms.Grayscale())
    result: torch.Tensor = transforms.Compose(steps)(photo.convert("RGB"))
    return result


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bit_photos_give_what_torchvision_gives(name: str, interpolation: Any, channels: int) -> None:
    array = getattr(skimage.data, name)()
    for size, short in (((224, 224), 256), ((64, 100), 101), ((97, 33), None)):
        mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
        preprocess = Preprocess(size, short, mean, std, channels, interpolation=interpolation)
        got = preprocess.images(array)
        torch.testing.assert_close(got[0], torchvision_batch(preprocess, Image.fromarray(array)), rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    more=st.integers(0, 30),
)
def test_sizes_and_crops_round_as_torchvisions_do(height: int, width: int, crop: tuple[int, int], more: int) -> None:
    array = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3))
    image = Image.fromarray(array.astype(np.uint8))
    preprocess = raw(crop, max(crop) + more)
    got = preprocess.images(image)[0]
    torch.testing.assert_close(got, torchvision_batch(preprocess, image), rtol=0, atol=1e-6)


def test_deep_and_eight_bit_resizing_differ_by_one_level_at_most() -> None:
    eight = load_photo("sample:rocket")
    deep = Photo(eight.pixels, eight.name)
    preprocess = raw((224, 224), 256)
    difference = (preprocess.images(eight) - preprocess.images(deep)).abs().max()
    assert 0 < difference <= 1 / 255


def test_mean_std_and_scale_are_in_the_same_units() -> None:
    white = np.full((8, 8, 3), 255, np.uint8)
    preprocess = Preprocess((4, 4), 4, (104.0, 117.0, 124.0), (1.0, 2.0, 4.0), scale=255.0)
    pixel = preprocess.images(white)[0, :, 0, 0]
    torch.testing.assert_close(pixel, torch.tensor([151.0, 69.0, 32.75]))


def test_grey_photos_serve_colour_networks_and_colour_photos_grey_ones() -> None:
    colour = np.zeros((4, 4, 3), np.uint8)
    colour[..., 1] = 200
    assert raw((4, 4), channels=1).images(colour)[0, 0, 0, 0] == pytest.approx(117 / 255)
    deep = raw((4, 4), channels=1).images(colour / 255)[0, 0, 0, 0]
    assert deep == pytest.approx(0.587 * 200 / 255)
    for grey in (colour[..., 1], colour[..., 1:2], colour[..., 1] / 255):
        batch = raw((4, 4)).images(grey)
        assert batch.shape == (1, 3, 4, 4)
        torch.testing.assert_close(batch, torch.full_like(batch, 200 / 255))


def test_a_batch_keeps_the_order_of_photos_of_any_kind_and_size() -> None:
    photos: list[PhotoLike] = ["sample:rocket", np.zeros((5, 9)), Image.new("L", (30, 20), 255)]
    preprocess = raw((16, 24), 24)
    batch = preprocess.images(photos)
    assert batch.shape == (3, 3, 16, 24) and batch.dtype == torch.float32
    assert batch[1].max() == 0 and batch[2].min() == 1
    torch.testing.assert_close(batch[:1], preprocess.images("sample:rocket"))
    torch.testing.assert_close(batch, preprocess.images(photo for photo in photos))


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no photos in the list"):
        raw((4, 4)).images([])
    with pytest.raises(ArgumentError, match="from bytes"):
        raw((4, 4)).images(b"cat.jpg")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ArgumentError, match="from int"):
        raw((4, 4)).images(3)  # type: ignore[arg-type]  # that is the test


def test_the_batch_can_be_changed_without_a_warning_and_without_changing_the_photo() -> None:
    photo = load_photo(np.full((4, 4, 3), 0.5))
    raw((4, 4)).images(photo).zero_()
    assert photo.pixels.min() == 0.5


def test_bicubic_does_not_leave_the_range() -> None:
    edges = np.kron(np.eye(4), np.ones((8, 8)))
    batch = raw((64, 64), interpolation="bicubic").images(edges)
    assert batch.min() == 0 and batch.max() == 1


def test_a_single_pixel_fills_the_input() -> None:
    batch = raw((7, 5), 9).images(np.full((1, 1), 0.25))
    torch.testing.assert_close(batch, torch.full((1, 3, 7, 5), 0.25))


def test_an_elongated_photo_is_cropped_or_refused_with_its_size() -> None:
    assert raw((32, 32), 32).images(np.zeros((3, 900), np.uint8)).shape == (1, 3, 32, 32)
    with pytest.raises(PhotoError, match="1 x 100000 pixels would become 224 x 22400000"):
        raw((224, 224), 224).images(np.zeros((1, 100000), np.uint8))
    assert raw((8, 8)).images(np.zeros((1, 100000), np.uint8)).shape == (1, 3, 8, 8)


def test_what_is_shown_is_what_the_network_saw() -> None:
    preprocess = Preprocess((60, 80), 90, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3))
    shown = preprocess.as_seen("sample:coffee")
    assert shown.mode == "RGB" and shown.size == (80, 60)
    mean, std = (torch.tensor(x).reshape(3, 1, 1) for x in (preprocess.mean, preprocess.std))
    seen = preprocess.images("sample:coffee")[0] * std + mean
    np.testing.assert_allclose(np.asarray(shown) / 255, seen.permute(1, 2, 0).numpy(), atol=1e-6)
    assert raw((60, 80), channels=1).as_seen("sample:coffee").mode == "RGB"


# ---- the way back


def test_the_box_of_the_whole_input_is_the_crop_of_the_photo() -> None:
    whole = Box((0, 0), (50, 50))
    assert raw((50, 50), 50).box_in_photo(whole, (100, 200)) == Box((0, 50), (100, 150))
    assert raw((50, 50)).box_in_photo(whole, (100, 200)) == Box((0, 0), (100, 200))


def test_a_box_may_reach_past_the_border() -> None:
    box = raw((50, 50), 50).box_in_photo(Box((-3, 40), (2, 90)), (100, 200))
    assert box == Box((-6, 130), (4, 230))


@settings(max_examples=200)
@given(
    photo=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    short=st.none() | st.integers(20, 60),
    low=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    extent=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_box_in_the_photo_covers_its_pixels_and_no_pixel_more(
    photo: tuple[int, int], short: int | None, low: tuple[int, int], extent: tuple[int, int]
) -> None:
    size = (20, 17)
    high = (low[0] + extent[0], low[1] + extent[1])
    found = raw(size, short).box_in_photo(Box(low, high), photo)
    for axis in (0, 1):
        resized = size[axis] if short is None else int(short * photo[axis] / min(photo))
        offset = round((resized - size[axis]) / 2)
        start, end = ((x + offset) * photo[axis] / resized for x in (low[axis], high[axis]))
        assert found.low[axis] <= start + 1e-9 < found.low[axis] + 1 + 2e-9
        assert found.high[axis] - 1 - 2e-9 < end - 1e-9 <= found.high[axis]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(80, 300),
    width=st.integers(80, 300),
    short=st.sampled_from([None, 48, 61]),
    where=st.tuples(st.floats(0.3, 0.6), st.floats(0.3, 0.6)),
)
def test_a_square_marked_in_the_photo_is_found_again(
    height: int, width: int, short: int | None, where: tuple[float, float]
) -> None:
    side = min(height, width) // 5
    centre = ((height - side) // 2, (width - side) // 2)
    top = centre[0] + int((where[0] - 0.45) * side)
    left = centre[1] + int((where[1] - 0.45) * side)
    array = np.zeros((height, width), np.uint8)
    array[top : top + side, left : left + side] = 255
    preprocess = raw((48, 48), short)
    lit = preprocess.images(array)[0, 0] > 0.5
    rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
    seen = Box((int(rows[0]), int(columns[0])), (int(rows[-1]) + 1, int(columns[-1]) + 1))
    found = preprocess.box_in_photo(seen, (height, width))
    slack = max(height, width) / 48 + 1  # a pixel of the input, in the photo
    want = (top, left, top + side, left + side)
    assert np.abs(np.subtract(want, (*found.low, *found.high))).max() <= slack
    patch = np.asarray(preprocess.patch(array, seen))
    assert patch.shape[:2] == found.size and patch.mean() > 255 * 0.6


def test_a_patch_has_the_photos_own_pixels_and_grey_beyond_them() -> None:
    cat = CHELSEA
    preprocess = raw((50, 50), 50)
    patch = np.asarray(preprocess.patch(cat, Box((-5, 10), (10, 20))))
    box = preprocess.box_in_photo(Box((-5, 10), (10, 20)), (300, 451))
    assert box.low[0] == -30 and patch.shape == (*box.size, 3)
    assert (patch[:30] == 128).all()
    np.testing.assert_array_equal(patch[30:], cat[: box.high[0], box.low[1] : box.high[1]])


def test_a_patch_wholly_outside_is_grey() -> None:
    for box in (Box((-9, -9), (-4, -3)), Box((70, 70), (80, 81)), Box((0, 60), (3, 70))):
        patch = np.asarray(raw((50, 50)).patch(np.zeros((50, 50), np.uint8), box))
        assert patch.shape == (*box.size, 3) and (patch == 128).all()


def test_a_patch_of_a_grey_networks_photo_keeps_its_colours() -> None:
    patch = raw((50, 50), channels=1).patch("sample:coffee", Box((20, 20), (30, 30)))
    assert np.ptp(np.asarray(patch).astype(int), axis=2).max() > 20


@pytest.mark.parametrize("box", [Box((0,), (3,)), Box((0, 0), (3, 0)), Box((4, 0), (3, 2)), Box((0, 0, 0), (1, 1, 1))])
def test_a_box_without_pixels_or_with_other_axes_is_refused(box: Box) -> None:
    with pytest.raises(ArgumentError, match="low below high"):
        raw((8, 8)).box_in_photo(box, (8, 8))
    with pytest.raises(ArgumentError, match="low below high"):
        load_photo(np.zeros((8, 8))).cut(box)


def test_a_photo_size_without_pixels_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"photo_size.*\(0, 8\)"):
        raw((8, 8)).box_in_photo(Box((0, 0), (1, 1)), (0, 8))


# ---- the options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (0, 4)}, r"size is \(height, width\)"),
        ({"size": (4,)}, r"size is \(height, width\)"),
        ({"size": (4.0, 4)}, r"size is \(height, width\)"),
        ({"size": 4}, "size is a tuple"),
        ({"short_side": 3}, "short_side=3 cannot hold a crop.*at least 6"),
        ({"short_side": 6.5}, "short_side=6.5"),
        ({"short_side": 0}, "short_side=0"),
        ({"channels": 2}, "the input has 2 channels"),
        ({"channels": 1}, "mean has 3 values, but the input has 1 channel. Give one for each, such as mean="),
        ({"mean": (0.0,)}, r"mean has 1 value, but the input has 3 channels.*such as mean=\(0,0,0\) \(--mean 0,0,0\)"),
        ({"std": (1.0, 1.0)}, "std has 2 values"),
        ({"mean": (0.0, float("nan"), 0.0)}, "mean=.*finite"),
        ({"mean": ("a", "b", "c")}, "mean=.*finite"),
        ({"mean": 0.5}, "mean is a tuple"),
        ({"std": (1.0, 0.0, 1.0)}, "std=.*above 0"),
        ({"std": (1.0, -1.0, 1.0)}, "std=.*above 0"),
        ({"std": (1.0, float("inf"), 1.0)}, "std=.*finite"),
        ({"scale": 0.0}, "scale=.*above 0"),
        ({"interpolation": "lanczos"}, "interpolation='lanczos'.*bicubic"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "size": (4, 6), "short_side": 8, "mean": (0.0,) * 3, "std": (1.0,) * 3
    }  # fmt: skip
    Preprocess(**good)
    with pytest.raises(ArgumentError, match=words):
        Preprocess(**(good | options))


def test_lists_become_tuples_so_that_it_can_be_compared_and_hashed() -> None:
    lists: Any = ([4, 6], 8, [0.0] * 3, [1.0] * 3)
    tuples = Preprocess((4, 6), 8, (0.0,) * 3, (1.0,) * 3)
    assert Preprocess(*lists) == tuples and hash(Preprocess(*lists)) == hash(tuples)


# ---- levels in workers, inputs on the device


@pytest.mark.parametrize("photo", ["sample:chelsea", CHELSEA[..., :1], GREY_16], ids=["colour", "grey", "16 bits"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_inputs_of_levels_have_the_bits_of_plain_float32_arithmetic(photo: Any, channels: int, scale: float) -> None:
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    preprocess = Preprocess((50, 40), 60, mean, std, channels, scale)
    loaded = load_photo(photo)
    levels = preprocess.levels(loaded)
    assert levels.shape == (channels, 50, 40) and levels.dtype == (np.float32 if loaded.deep else np.uint8)
    pixels = levels if loaded.deep else levels.astype(np.float32) / np.float32(255)
    means, stds = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (mean, std))
    expected = (pixels * np.float32(scale) - means) / stds
    np.testing.assert_array_equal(preprocess.image(loaded)[0].numpy(), expected)
    np.testing.assert_array_equal(preprocess.inputs(torch.from_numpy(levels)[None])[0].numpy(), expected)


def test_inputs_are_divided_by_numbers_on_their_own_device() -> None:
    """A GPU multiplies by the reciprocal of a number that lies elsewhere, which gives other last bits."""
    inputs = Preprocess((4, 4), 4, (0.5,) * 3, (0.25,) * 3).inputs
    for dtype in (torch.uint8, torch.float32):
        with Divisors() as divisors:
            assert inputs(torch.zeros(2, 3, 4, 4, dtype=dtype, device="meta")).device.type == "meta"
        assert len(divisors.devices) == (2 if dtype == torch.uint8 else 1) and set(divisors.devices) == {"meta"}


class Divisors(TorchDispatchMode):
    """The devices of what is divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.div.Tensor:
            self.devices.append(args[1].device.type)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("size", "short"), [((50, 50), 50), ((50, 50), None), ((40, 60), 70)])
def test_a_box_of_the_photo_and_the_box_of_the_input_that_it_becomes_cover_each_other(size, short):
    preprocess, photo, box = raw(size, short), (131, 217), Box((30, 100), (61, 129))
    within = preprocess.box_in_input(box, photo)
    back = preprocess.box_in_photo(within, photo)
    assert all(a <= b for a, b in zip(back.low, box.low, strict=True))
    assert all(a >= b for a, b in zip(back.high, box.high, strict=True))
    assert all(low - 6 <= a for low, a in zip(box.low, back.low, strict=True))


def test_a_box_that_is_cropped_away_lies_outside_the_input():
    assert raw((50, 50), 50).box_in_input(Box((0, 0), (100, 20)), (100, 200)) == Box((0, -25), (50, -15))
