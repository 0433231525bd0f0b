"""Photos as inputs, and batches of them in an order that only seed and epoch decide."""

import multiprocessing
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from deconvnet import ArgumentError, PhotoError, ValueRangeWarning
from deconvnet.learn import LocalContrastNorm, Prepare
from deconvnet.learn.photos import Batches
from deconvnet.photos.photo import load_photo
from deconvnet.photos.pick import Pick
from deconvnet.photos.sets import PhotoSet, open_photos


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def small(
    count: int,
    broken: frozenset[int] = frozenset(),
    thin: frozenset[int] = frozenset(),
    asked: list[int] | None = None,
) -> PhotoSet:
    """Small photos, some of which cannot be used; `asked` fills with the index of each that is read here."""

    def fetch(i: int) -> object:
        if asked is not None:
            asked.append(i)
        if i in broken:
            raise PhotoError("it is broken.")
        return noise(200, 3) if i in thin else noise(20, 20, seed=i)

    return PhotoSet(pa.array([f"{i}.png" for i in range(count)], pa.large_string()), "f", fetch)


# One photo.


def test_the_longer_side_becomes_the_size_and_zeros_make_a_square():
    for shape, top, left in (((40, 80), 8, 0), ((80, 40), 0, 8), ((80, 80), 0, 0)):
        found = Prepare(32).image(load_photo(noise(*shape)))
        assert found.shape == (1, 1, 32, 32) and found.dtype == torch.float32
        inside = torch.zeros(32, 32, dtype=torch.bool)
        inside[top : 32 - top, left : 32 - left] = True
        assert not found[0, 0][~inside].any() and (found[0, 0][inside] != 0).float().mean() > 0.99


@pytest.mark.parametrize("form", ["2011", "2010"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_resized_and_then_normalised(form, channels):
    photo = load_photo("sample:coffee")  # 400 x 600
    pixels = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1)[None]
    if channels == 1:
        pixels = 0.299 * pixels[:, :1] + 0.587 * pixels[:, 1:2] + 0.114 * pixels[:, 2:]
    small = F.interpolate(pixels, (40, 60), mode="bilinear", antialias=True)
    expected = F.pad(LocalContrastNorm(form)(small), (0, 0, 10, 10))
    torch.testing.assert_close(Prepare(60, channels, form).image(photo), expected, rtol=0, atol=1e-4)


def test_small_photos_are_enlarged_and_those_of_the_size_are_not_resized():
    assert Prepare(32).image(load_photo(noise(8, 7))).shape == (1, 1, 32, 32)
    exact = torch.from_numpy(noise(32, 32, 1)).permute(2, 0, 1)[None] / 255
    found = Prepare(32).image(load_photo(noise(32, 32, 1)))
    torch.testing.assert_close(found, LocalContrastNorm()(exact), rtol=0, atol=1e-6)


def test_grey_and_colour_photos_suit_networks_of_both():
    grey, colour = load_photo(noise(30, 30, 1)), load_photo(noise(30, 30, 3))
    same = Prepare(30, 3).image(grey)
    assert torch.equal(same[:, 0], same[:, 1]) and torch.equal(same[:, 1], same[:, 2])
    assert torch.equal(same[:, :1], Prepare(30, 1).image(grey))
    assert Prepare(30, 1).image(colour).shape == (1, 1, 30, 30)
    different = Prepare(30, 3).image(colour)
    assert not torch.equal(different[:, 0], different[:, 1])


def test_transparent_and_sixteen_bit_photos_will_do(tmp_path):
    Image.fromarray(noise(30, 40, 4)).save(tmp_path / "a.png")
    assert Prepare(40).image(load_photo(tmp_path / "a.png")).isfinite().all()
    deep = np.random.default_rng(1).integers(0, 65536, (30, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "b.png")
    found = Prepare(40).image(load_photo(tmp_path / "b.png"))
    expected = LocalContrastNorm()(torch.from_numpy(deep / np.float32(65535))[None, None].float())
    torch.testing.assert_close(found[:, :, 5:35], expected, rtol=0, atol=1e-5)


def test_a_photo_of_one_colour_is_nothing():
    for value in (0, 255):
        assert not Prepare(20).image(load_photo(np.full((30, 40, 3), value, np.uint8))).any()


@pytest.mark.parametrize(("height", "width"), [(1000, 50), (50, 1000), (400, 1)])
def test_a_photo_that_is_too_long_and_thin_is_told(height, width):
    photo = load_photo(noise(height, width))
    with pytest.raises(PhotoError, match=f"photo is {height} x {width} pixels, .* when resized: .* smaller than the w"):
        Prepare(150).image(photo)


def test_the_photo_is_left_as_it_was():
    photo = load_photo(noise(30, 30))
    before = photo.pixels.copy()
    Prepare(30).image(photo)
    assert np.array_equal(photo.pixels, before)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Prepare(15), "size is a whole number, 16 or more; got 15"),
        (lambda: Prepare(True), "size is a whole number"),
        (lambda: Prepare(20.0), "size is a whole number"),
        (lambda: Prepare(20, 2), "channels is 1 or 3; got 2"),
        (lambda: Prepare(20, 1, "2012"), "form is one of .*got '2012'"),
    ],
)
def test_what_cannot_be_prepared_is_told(make: Callable[[], Prepare], words):
    with pytest.raises(ArgumentError, match=words):
        make()


# Batches.


def test_every_photo_comes_once_an_epoch_in_batches():
    asked: list[int] = []
    photos = small(10, asked=asked)
    batches = Batches(photos, Prepare(16), 4, Pick(10), seed=0)
    assert len(batches) == 3
    assert [len(images) for images in batches(0)] == [4, 4, 2]
    assert sorted(asked) == list(range(10))
    assert all(images.shape[1:] == (1, 16, 16) for images in batches(1))


def test_the_order_is_that_of_seed_and_epoch():
    def order(seed: int, epoch: int) -> list[int]:
        asked: list[int] = []
        photos = small(12, asked=asked)
        list(Batches(photos, Prepare(16), 5, Pick(12), seed)(epoch))
        return asked

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 7) for epoch in (0, 1, 2)}) == 6


def test_a_batch_is_what_its_photos_are_alone():
    asked: list[int] = []
    photos = small(3, asked=asked)
    (images,) = Batches(photos, Prepare(16), 3, Pick(3), 0)(0)
    for image, i in zip(images, asked, strict=True):
        assert torch.equal(image[None], Prepare(16).image(load_photo(noise(20, 20, seed=i))))


def test_a_limit_takes_photos_evenly_from_the_set():
    asked: list[int] = []
    photos = small(10, asked=asked)
    list(Batches(photos, Prepare(16), 4, Pick(3), 0)(0))
    assert sorted(asked) == [0, 3, 6]


def test_photos_that_cannot_be_read_are_left_out_listed_and_not_tried_again():
    asked: list[int] = []
    photos = small(6, frozenset({1, 4}), asked=asked)
    batches = Batches(photos, Prepare(16), 2, Pick(6), 0)
    assert sum(map(len, batches(0))) == 4
    assert batches.skipped == {i: f"cannot read '{i}.png': it is broken." for i in (1, 4)}
    assert sum(map(len, batches(1))) == 4
    assert sorted(asked) == [0, 0, 1, 2, 2, 3, 3, 4, 5, 5]


def test_a_batch_of_which_none_can_be_read_is_left_out():
    photos = small(3, frozenset({0, 2}))
    assert [len(images) for images in Batches(photos, Prepare(16), 1, Pick(3), 0)(0)] == [1]


def test_a_photo_that_is_too_thin_is_one_that_cannot_be_read():
    batches = Batches(small(2, thin=frozenset({0})), Prepare(16), 2, Pick(2), 0)
    assert sum(map(len, batches(0))) == 1
    assert "200 x 3 pixels" in batches.skipped[0]


def test_none_that_can_be_read_is_told_with_the_first_reason():
    batches = Batches(small(3, frozenset({0, 1, 2})), Prepare(16), 2, Pick(3), 0)
    with pytest.raises(PhotoError, match=r"none of 3 photos can be read; the first: cannot read '\d.png'"):
        list(batches(0))


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_the_same_for_any_number_of_workers_and_threads(tmp_path, threads):
    for i in range(7):
        Image.fromarray(noise(300 + 20 * i, 400, seed=i)).save(
            tmp_path / f"{i}.png"
        )  # so large that threads share sums
    (tmp_path / "2b.png").write_bytes(b"no photo")
    Image.new("RGB", (3, 300)).save(tmp_path / "4b.png")

    def epochs(workers: int) -> tuple[list[torch.Tensor], dict[int, str]]:
        batches = Batches(open_photos(tmp_path), Prepare(350), 2, Pick(9), seed=3, workers=workers)
        return [images for epoch in (0, 1) for images in batches(epoch)], batches.skipped

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.randn(600, 600) @ torch.randn(600, 600)  # the pool of threads stands before the workers are made
        here, skipped = epochs(0)
        assert list(skipped) and {i: reason.split(":")[0] for i, reason in skipped.items()} == {
            3: "cannot read '2b.png'", 6: "4b.png is 300 x 3 pixels, 350 x 4 when resized",
        }  # fmt: skip
        for workers in (1, 2):
            there, also_skipped = epochs(workers)
            assert also_skipped == skipped
            assert len(there) == len(here) and all(map(torch.equal, there, here))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_batches_that_are_not_gone_through_to_the_end_leave_no_process_behind(tmp_path):
    for i in range(6):
        Image.fromarray(noise(20, 20, seed=i)).save(tmp_path / f"{i}.png")
    stream = Batches(open_photos(tmp_path), Prepare(16), 1, Pick(6), 0, workers=2)(0)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert multiprocessing.active_children() == []


def test_torch_s_random_state_is_left_as_it_was():
    before = torch.random.get_rng_state()
    list(Batches(small(3), Prepare(16), 2, Pick(3), 0)(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_12_bits_in_16_are_told_once_over_all_epochs(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", np.linspace(0, 4000 + i, 400).reshape(20, 20).astype(np.uint16))
    batches = Batches(open_photos(tmp_path), Prepare(16), 2, Pick(), 0)
    with pytest.warns(ValueRangeWarning, match="4,002") as told:
        for epoch in range(3):
            list(batches(epoch))
    assert len(told) == 1
    ranged = Batches(open_photos(tmp_path), Prepare(16, value_range=(0, 4095)), 2, Pick(), 0)
    assert sum(map(len, ranged(0))) == 3
