"""Volumes become a network's input whole, resampled along each axis where the sizes differ."""

import numpy as np
import pytest
import torch
from PIL import Image

from deconvnet import ArgumentError, Box, PhotoError, Preprocess, load_photo
from deconvnet.photos.volumes import resampled

RANDOM = np.random.default_rng(0)
VOLUMES = Preprocess((4, 6, 5), None, (0.5,), (0.25,), channels=1, value_range=(-1000, 400))


def test_a_volume_of_the_networks_size_is_its_input_voxel_by_voxel() -> None:
    values = RANDOM.integers(-1000, 400, (4, 6, 5)).astype(np.int16)
    x = VOLUMES.images(values)
    assert x.shape == (1, 1, 4, 6, 5) and VOLUMES.shape == (1, 4, 6, 5)
    torch.testing.assert_close(x[0, 0], torch.from_numpy(((values + 1000) / 1400 - 0.5) / 0.25).float())
    assert VOLUMES.notes(VOLUMES.read(values)) == ()


@pytest.mark.parametrize(("interpolation", "filter_"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC")])
def test_each_axis_is_resampled_as_photos_are(interpolation: str, filter_: str) -> None:
    line = RANDOM.random(12).astype(np.float32)
    truth = np.asarray(Image.fromarray(line[None]).resize((5, 1), Image.Resampling[filter_]))[0].clip(0, 1)
    for axis in range(3):
        shape = [1, 1, 1, 1]
        shape[axis] = 12
        size = tuple(5 if i == axis else 3 for i in range(3))
        result = resampled(np.broadcast_to(line.reshape(shape), [3 if n == 1 else n for n in shape[:3]] + [1]).copy(),
                           1, size, interpolation)  # fmt: skip
        np.testing.assert_allclose(np.moveaxis(result[..., 0], axis, 0)[:, 1, 1], truth, atol=1e-5)


def test_a_resampled_volume_says_both_sizes() -> None:
    volume = VOLUMES.read(np.zeros((8, 6, 5), np.int16))
    assert VOLUMES.images(volume).shape == (1, 1, 4, 6, 5)
    (note,) = VOLUMES.notes(volume)
    assert "8x6x5 voxels" in note and "4x6x5" in note and "--size D,H,W" in note


def test_a_grey_volume_has_three_equal_channels_and_other_numbers_are_refused() -> None:
    three = Preprocess((2, 2, 2), None, (0.0,) * 3, (1.0,) * 3)
    x = three.images(RANDOM.random((2, 2, 2)).astype(np.float32))
    assert x.shape == (1, 3, 2, 2, 2) and torch.equal(x[0, 0], x[0, 2])
    four = Preprocess((2, 2, 2), None, (0.0,) * 4, (1.0,) * 4, channels=4)
    with pytest.raises(PhotoError, match="it has 1 channel, and the network takes 4"):
        four.images(np.zeros((2, 2, 2), np.float32))


def test_boxes_of_a_resampled_volume_lie_in_the_volume() -> None:
    assert VOLUMES.box_in_photo(Box((0, 0, 1), (2, 6, 2)), (8, 6, 10)) == Box((0, 0, 2), (4, 6, 4))
    with pytest.raises(ArgumentError, match=r"\(depth, row, column\)"):
        VOLUMES.box_in_photo(Box((0, 0), (2, 6)), (8, 6, 10))


def test_what_needs_a_picture_refuses_volumes() -> None:
    volume = load_photo(np.zeros((4, 6, 5), np.float32), volume=True)
    for call in (volume.image, lambda: volume.cut(Box((0, 0), (1, 1)))):
        with pytest.raises(ArgumentError, match="is a volume of 4 x 6 x 5 voxels, not one picture"):
            call()
    with pytest.raises(ArgumentError, match="as_seen is for networks of images, and this one takes volumes of 4x6x5"):
        VOLUMES.as_seen(np.zeros((4, 6, 5), np.int16))
    flat = Preprocess((4, 4), None, (0.0,), (1.0,), channels=1)
    for photo, preprocess in ((volume, flat), (load_photo(np.zeros((4, 4))), Preprocess((2, 2, 2), None, (0.0,), (1.0,),
                                                                                        channels=1))):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"was read as a (volume|picture).*load_photo\(\.\.\., volume="):
            preprocess.images(photo)
        with pytest.raises(ArgumentError, match="was read as a"):
            preprocess.image(photo)
    with pytest.raises(ArgumentError, match="volumes are stretched to size: give None"):
        Preprocess((4, 4, 4), 4, (0.0,), (1.0,), channels=1)


CLIPS = Preprocess((4, 6, 5), None, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("shape", "kind"), [((3, 6, 5), "colour"), ((6, 5, 3), "colour"), ((1, 6, 5), "grey"), ((6, 5, 1), "grey")]
)
@pytest.mark.parametrize("network", [CLIPS, VOLUMES], ids=["clips", "volumes"])
def test_one_picture_is_not_a_clip_of_grey_frames(shape, kind: str, network: Preprocess, tmp_path) -> None:
    values = RANDOM.integers(0, 256, shape).astype(np.int16 if network is VOLUMES else np.uint8)
    np.save(tmp_path / "a.npy", values)
    for photo in (values, tmp_path / "a.npy"):
        as_volume = rf"as \({', '.join(map(str, shape))}, 1\)\."
        said = rf"may be one picture in {kind} or a volume in grey.* as \(frames, h, w, 3\).* {as_volume}"
        with pytest.raises(PhotoError, match=said):
            network.read(photo)
    with pytest.raises(PhotoError, match=rf"as \(3, frames, h, w\).* as \(1, {', '.join(map(str, shape))}\)\."):
        network.read(torch.from_numpy(values))
    np.save(tmp_path / "b.npy", values[..., None])  # as the message says
    for photo in (values[..., None], torch.from_numpy(values)[None], tmp_path / "b.npy"):
        read = network.read(photo)
        assert read.size == shape and read.levels.shape[-1] == 1


def test_frames_whose_channels_come_second_are_told_to_be_moved(tmp_path) -> None:
    np.save(tmp_path / "a.npy", RANDOM.integers(0, 256, (8, 3, 6, 5)).astype(np.uint8))
    with pytest.raises(PhotoError, match=r"second axis is the channels, move them to the end: \(8, 6, 5, 3\)"):
        CLIPS.read(tmp_path / "a.npy")
