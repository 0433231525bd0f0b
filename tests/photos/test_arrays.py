"""Arrays in `.npy` files and NIfTI volumes as photos, also of other numbers of channels than a picture has."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from deconvnet._errors import ArgumentError, PhotoError, ValueRangeError
from deconvnet.photos import files
from deconvnet.photos.photo import load_photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import open_photos

FOUR = Preprocess((5, 6), None, (0.0,) * 4, (1.0,) * 4, channels=4)
RANDOM = np.random.default_rng(0)


def saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (3, 5, 6), (1, 5, 6)])
def test_a_npy_is_read_with_its_channels_at_either_end(shape: tuple[int, ...], tmp_path: Path) -> None:
    array = RANDOM.random(shape).astype(np.float32)
    right = (
        array
        if array.ndim == 3 and shape[2] < 4
        else np.atleast_3d(array if array.ndim == 2 else array.T.swapaxes(0, 1))
    )
    np.testing.assert_array_equal(load_photo(saved(tmp_path, array)).levels, right)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_npy_of_another_order_of_bytes_or_axes_is_the_same(order: str, tmp_path: Path) -> None:
    array = RANDOM.integers(0, 65535, (5, 6), np.uint16)
    path = saved(tmp_path, np.asarray(array.astype(">u2"), order=order))  # type: ignore[call-overload]
    np.testing.assert_array_equal(load_photo(path).levels[..., 0], array)


def test_where_the_channels_are_has_to_be_clear(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"\(3, 5, 3\), and its channels may be the first axis or the last"):
        load_photo(saved(tmp_path, np.zeros((3, 5, 3), np.uint8)))
    assert FOUR.read(saved(tmp_path, np.zeros((4, 5, 3), np.uint8))).levels.shape == (5, 3, 4)


def test_of_a_stack_in_a_npy_one_picture_is_named(tmp_path: Path) -> None:
    stack = RANDOM.integers(0, 255, (7, 5, 6), np.uint8)
    path = saved(tmp_path, stack)
    with pytest.raises(
        PhotoError, match=r"a\.npy' is of the shape \(7, 5, 6\).*'.*a\.npy#0' to '.*a\.npy#6'.*#\{0\.\.6\}"
    ):
        load_photo(path)
    photo = load_photo(f"{path}#3")
    assert photo.name == "a#3" and (photo.levels[..., 0] == stack[3]).all()
    with pytest.raises(PhotoError, match="does not hold a picture 7"):
        load_photo(f"{path}#7")
    photos = open_photos(f"{path}#{{2..4}}")
    assert [photos.name(i) for i in range(3)] == ["a.npy#2", "a.npy#3", "a.npy#4"]
    assert (photos.read(2).levels[..., 0] == stack[4]).all() and photos.read(0).digest != photos.read(1).digest


def test_a_file_may_itself_be_named_like_a_page(tmp_path: Path) -> None:
    saved(tmp_path, np.zeros((5, 6))).rename(tmp_path / "a.npy#3")
    assert load_photo(tmp_path / "a.npy#3").size == (5, 6)
    with pytest.raises(PhotoError, match="no such file"):
        load_photo(tmp_path / "b.npy#3")


def test_a_npy_needs_a_range_where_an_array_does(tmp_path: Path) -> None:
    path = saved(tmp_path, np.array([[-1000, 400]], np.int16))
    with pytest.raises(ValueRangeError, match=r"a\.npy' has int16 pixels from -1000 to 400.*--range"):
        load_photo(path)
    assert load_photo(path, value_range=(-1000, 400)).levels[..., 0].tolist() == [[0, 1]]


@pytest.mark.parametrize("array", [np.array([[None]]), np.zeros((2, 2), complex), np.array([["a"]])])
def test_a_npy_without_real_numbers_is_refused(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"Python objects|pixels of type"):
        load_photo(saved(tmp_path, array))


def test_a_npy_that_is_cut_off_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, np.zeros((50, 60)))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(PhotoError, match="damaged or cut off"):
        load_photo(path)
    path.write_bytes(data.replace(b"(50, 60)", b"(9**9,) "))
    with pytest.raises(PhotoError, match="damaged or cut off"):
        load_photo(path)
    path.write_bytes(data)
    monkeypatch.setenv(files.LARGEST, "1kB")
    with pytest.raises(PhotoError, match="the limit is"):
        load_photo(path)


# ---- other numbers of channels


def test_a_network_of_four_channels_takes_arrays_of_four(tmp_path: Path) -> None:
    array = RANDOM.random((5, 6, 4)).astype(np.float32)
    right = torch.from_numpy(array).permute(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig", metadata=None)
    for photo in (array, right, saved(tmp_path, array), saved(tmp_path, right.numpy()), tmp_path / "a.tif"):
        torch.testing.assert_close(FOUR.images(photo)[0], right)
    eight_bit = (array * 255).astype(np.uint8)
    torch.testing.assert_close(FOUR.images(eight_bit)[0], torch.from_numpy(eight_bit).permute(2, 0, 1) / 255)


def test_each_channel_has_a_mean_and_a_std_of_its_own() -> None:
    prepare = Preprocess((1, 1), None, (0.0, 0.1, 0.2, 0.3), (1.0, 2.0, 4.0, 8.0), channels=4)
    assert prepare.images(np.full((1, 1, 4), 0.5)).flatten().tolist() == pytest.approx([0.5, 0.2, 0.075, 0.025])


def test_many_channels_are_shown_as_their_mean() -> None:
    array = np.stack([np.full((5, 6), v) for v in (0.0, 0.2, 0.4, 1.0)], 2)
    assert np.asarray(FOUR.as_seen(array)).tolist() == np.full((5, 6, 3), 102).tolist()
    assert FOUR.read(array).image().getpixel((0, 0)) == (102, 102, 102)


def test_photos_of_another_number_of_channels_are_refused() -> None:
    with pytest.raises(PhotoError, match="it has 3 channels, and the network takes 4"):
        FOUR.images("sample:chelsea")
    with pytest.raises(PhotoError, match=r"an array is \(h, w\) or \(h, w, 1\|3\|4\)"):
        FOUR.images(np.zeros((5, 6, 7)))
    with pytest.raises(ArgumentError, match="channels=0, but it has to be a whole number"):
        Preprocess((5, 6), None, (), (), channels=0)


def test_the_fourth_channel_of_a_network_of_three_is_opacity_and_no_value() -> None:
    with pytest.raises(PhotoError, match="fourth is not opacity in a value range"):
        load_photo(np.zeros((5, 6, 4), np.int16), value_range=(-1000, 400))


# ---- NIfTI


def volume_of(folder: Path, name: str, dtype: str = "int16", affine: np.ndarray | None = None) -> np.ndarray:
    """A volume, x to the right, y to the front, z up, and the file that holds it."""
    volume = RANDOM.integers(-1000, 400, (4, 5, 3)).astype(dtype)
    image = nibabel.Nifti1Image(volume, np.diag([2.0, 3.0, 5.0, 1.0]) if affine is None else affine)
    nibabel.save(image, folder / name)
    return volume


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_a_slice_of_a_nifti_volume_is_seen_as_radiologists_see_it(name: str, tmp_path: Path) -> None:
    volume = volume_of(tmp_path, name)
    photo = load_photo(f"{tmp_path / name}#1", value_range=(-1000, 400))
    assert photo.size == (5, 4)
    right = (volume[3, 4, 1] + 1000) / 1400  # right of the patient and at the front: at the left and top
    assert photo.pixels[0, 0, 0] == pytest.approx(right, abs=1e-6)
    assert photo.pixels[4, 0, 0] == pytest.approx((volume[3, 0, 1] + 1000) / 1400, abs=1e-6)
    photos = open_photos(f"{tmp_path / name}#{{0..2}}")
    assert len(photos) == 3 and photos.name(2) == f"{name}#2"


def test_a_nifti_volume_that_lies_otherwise_gives_the_same_slice(tmp_path: Path) -> None:
    volume = volume_of(tmp_path, "a.nii")
    turned = nibabel.Nifti1Image(volume[::-1].swapaxes(0, 2), np.array(
        [[0, 0, -2.0, 6], [0, 3.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]]
    ))  # fmt: skip
    nibabel.save(turned, tmp_path / "b.nii")
    a, b = (load_photo(f"{tmp_path / name}#2", value_range=(-1000, 400)).levels for name in ("a.nii", "b.nii"))
    np.testing.assert_array_equal(a, b)


def test_of_several_slices_one_is_named(tmp_path: Path) -> None:
    volume_of(tmp_path, "a.nii")
    with pytest.raises(PhotoError, match=r"is a volume of 3 slices\. Name one.*a\.nii#0' to '.*a\.nii#2'"):
        load_photo(tmp_path / "a.nii", value_range=(-1000, 400))
    with pytest.raises(PhotoError, match="has the slices 0 to 2, from below, and no slice 3"):
        load_photo(f"{tmp_path / 'a.nii'}#3", value_range=(-1000, 400))
    with pytest.raises(ValueRangeError, match=r"a\.nii#0' has int16 pixels"):
        load_photo(f"{tmp_path / 'a.nii'}#0")


def test_a_damaged_nifti_and_one_of_several_volumes_are_refused(tmp_path: Path) -> None:
    volume_of(tmp_path, "a.nii.gz")
    data = gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "b.nii").write_bytes(data[:-5])
    with pytest.raises(PhotoError, match="damaged or cut off"):
        load_photo(f"{tmp_path / 'b.nii'}#2", value_range=(-1000, 400))
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 3, 2), np.int16), np.eye(4)), tmp_path / "c.nii")
    with pytest.raises(PhotoError, match=r"of the shape \(4, 5, 3, 2\), not a volume"):
        load_photo(f"{tmp_path / 'c.nii'}#0", value_range=(-1000, 400))


def test_a_nifti_of_one_slice_has_two_axes_or_three(tmp_path: Path) -> None:
    flat = RANDOM.integers(-1000, 400, (4, 5)).astype(np.int16)
    for name, values in (("a.nii", flat), ("b.nii", flat[..., None])):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name)
        photo = load_photo(tmp_path / name, value_range=(-1000, 400))
        np.testing.assert_allclose(photo.pixels[..., 0], ((flat[::-1, ::-1].T + 1000) / 1400), atol=1e-6)
        with pytest.raises(PhotoError, match="holds one slice, and the network takes volumes"):
            load_photo(tmp_path / name, value_range=(-1000, 400), volume=True)


# ---- volumes


def test_a_nifti_volume_as_a_whole_is_the_stack_of_its_slices(tmp_path: Path) -> None:
    volume_of(tmp_path, "a.nii.gz")
    whole = load_photo(tmp_path / "a.nii.gz", value_range=(-1000, 400), volume=True)
    slices = [load_photo(f"{tmp_path}/a.nii.gz#{i}", value_range=(-1000, 400)).levels for i in range(3)]
    assert whole.is_volume and whole.size == (3, 5, 4)
    np.testing.assert_array_equal(whole.levels, np.stack(slices))
    with pytest.raises(PhotoError, match="names the slice 1, and the network takes volumes"):
        load_photo(f"{tmp_path}/a.nii.gz#1", value_range=(-1000, 400), volume=True)


def test_channels_of_a_volume_are_the_last_axis_of_nifti_and_either_end_of_an_array(tmp_path: Path) -> None:
    values = RANDOM.random((5, 6, 7, 4)).astype(np.float32)  # (d, h, w, c)
    reading = {"channels": 4, "volume": True}
    np.save(tmp_path / "last.npy", values)
    np.save(tmp_path / "first.npy", np.moveaxis(values, 3, 0))
    nibabel.save(nibabel.Nifti1Image(values[:, ::-1, ::-1].transpose(2, 1, 0, 3), np.eye(4)), tmp_path / "a.nii")
    tensor = torch.from_numpy(values).movedim(3, 0)
    for photo in (tmp_path / "last.npy", tmp_path / "first.npy", tmp_path / "a.nii", values, tensor):
        np.testing.assert_array_equal(load_photo(photo, **reading).levels, values)
    np.save(tmp_path / "several.npy", values[None])
    np.testing.assert_array_equal(load_photo(f"{tmp_path}/several.npy#0", **reading).levels, values)
    with pytest.raises(PhotoError, match=r"not one volume\. Name one of its 1 volumes"):
        load_photo(tmp_path / "several.npy", **reading)


def test_a_picture_is_not_taken_for_a_volume(tmp_path: Path) -> None:
    picture = np.zeros((8, 9, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture).save(tmp_path / "a.tif")
    for photo in (tmp_path / "a.png", tmp_path / "a.tif", Image.fromarray(picture), "sample:chelsea"):
        with pytest.raises(PhotoError, match="is not a volume, and the network takes volumes"):
            load_photo(photo, volume=True)
    with pytest.raises(PhotoError, match=r"an array is \(d, h, w\) or \(d, h, w, 1\|3\)"):
        load_photo(np.zeros((4, 4)), volume=True)
