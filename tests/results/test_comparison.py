"""Two results in numbers that a slow second version finds too, and in pictures on one scale."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deconvnet import Comparison, DeconvNet, Reconstruction, Unit, compare, load_model, zfnet_mini
from deconvnet._errors import ArgumentError
from deconvnet.core.rules import RULE_SETS
from deconvnet.models.load import LoadedModel
from deconvnet.pictures.figure import Figure
from deconvnet.results.facts import Facts

Array = NDArray[np.float64]


NO_FACTS = Facts()


def result(signal: torch.Tensor, position: Any = (0, 0), image: int = 0, facts: Facts = NO_FACTS) -> Reconstruction:
    """One unit whose box is the whole input."""
    size = tuple(signal.shape[1:])
    boxes = torch.tensor([[[0] * len(size), list(size)]])
    unit = Unit("relu", 3, position, image)
    return Reconstruction((unit,), torch.tensor([1.5]), signal[None], boxes, size, RULE_SETS["deconvnet"], facts)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_part(*shape: int, seed: int, corner: int = 2, side: int = 9) -> torch.Tensor:
    """Noise in a square, zero around it, as a receptive field leaves it."""
    signal = torch.zeros(*shape, dtype=torch.float64)
    signal[:, corner : corner + side, corner : corner + side] = noise(shape[0], side, side, seed=seed)
    return signal


def numbers_of(comparison: Comparison, i: int = 0) -> tuple[float, float, float, float]:
    return tuple(
        float(numbers[i])
        for numbers in (comparison.cosine, comparison.rank_correlation, comparison.ssim, comparison.ratio)
    )


# the second version: loops over pixels ---------------------------------------------------------------


def pixels(a: Array) -> list[tuple[int, int]]:
    return [(y, x) for y in range(a.shape[1]) for x in range(a.shape[2])]


def slow_rank(values: list[float]) -> Array:
    return np.array([sum(v < w for v in values) + (sum(v == w for v in values) + 1) / 2 for w in values])


def slow_rank_correlation(a: Array, b: Array, seen: list[tuple[int, int]]) -> float:
    ranks = [slow_rank([math.hypot(*signal[:, y, x]) for y, x in seen]) for signal in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def slow_ssim(a: Array, b: Array) -> float:
    """Wang et al. (2004), equation 13, in windows of 7x7, mirrored at the border; what stands out counts more."""
    scaled = []
    for signal in (a, b):
        limit = np.quantile(np.abs(signal[signal != 0]), 0.995)
        grey = 0.5 + np.clip(signal / limit, -1, 1) / 2
        scaled.append(np.pad(grey, ((0, 0), (3, 3), (3, 3)), mode="symmetric"))
    c1, c2 = 0.01**2, 0.03**2
    values, weights = [], []
    for channel in range(len(a)):
        for y, x in pixels(a):
            p, q = (s[channel, y : y + 7, x : x + 7].ravel() for s in scaled)
            covariance = np.cov(p, q)
            above = (2 * p.mean() * q.mean() + c1) * (2 * covariance[0, 1] + c2)
            below = (p.mean() ** 2 + q.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
            values.append(above / below)
            weights.append(sum(abs(s[channel, y + 3, x + 3] - 0.5) for s in scaled))
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("corner", [2, 6], ids=["same place", "half beside"])
def test_the_numbers_are_those_of_a_slow_second_version(channels: int, corner: int):
    first = in_part(channels, 18, 20, seed=1)
    second = 0.5 * in_part(channels, 18, 20, seed=2, corner=corner)
    second = second + first * (corner == 2)
    a, b = first.numpy(), second.numpy()
    seen = [(y, x) for y, x in pixels(a) if a[:, y, x].any() or b[:, y, x].any()]
    lengths = [math.sqrt(sum(value**2 for value in s.ravel())) for s in (a, b)]
    cosine = sum(v * w for v, w in zip(a.ravel(), b.ravel(), strict=True)) / (lengths[0] * lengths[1])
    expected = (cosine, slow_rank_correlation(a, b, seen), slow_ssim(a, b), lengths[1] / lengths[0])
    assert numbers_of(compare(result(first), result(second))) == pytest.approx(expected, rel=1e-9)


# what the numbers mean -------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1.0, 4.0, 1e-30, 1e30])
def test_strength_changes_the_ratio_alone(times: float):
    signal = in_part(3, 16, 16, seed=0)
    cosine, rank, ssim, ratio = numbers_of(compare(result(signal), result(signal * times)))
    assert (cosine, rank, ssim) == pytest.approx((1, 1, 1))
    assert ratio == pytest.approx(times)


def test_a_turned_sign_turns_the_cosine_and_leaves_the_places():
    signal = in_part(3, 16, 16, seed=0)
    cosine, rank, ssim, ratio = numbers_of(compare(result(signal), result(-signal)))
    assert (cosine, rank, ratio) == pytest.approx((-1, 1, 1))
    assert ssim < -0.8


def test_empty_surroundings_do_not_make_signals_alike():
    small = [noise(3, 12, 12, seed=seed) for seed in (0, 1)]
    large = [torch.nn.functional.pad(signal, (40, 40, 40, 40)) for signal in small]
    assert numbers_of(compare(*map(result, large))) == pytest.approx(numbers_of(compare(*map(result, small))), abs=0.05)


def test_signals_at_different_places_are_unlike():
    a, b = in_part(3, 24, 24, seed=0), in_part(3, 24, 24, seed=1, corner=14)
    cosine, rank, ssim, _ = numbers_of(compare(result(a), result(b)))
    assert cosine == 0 and rank < -0.5 and abs(ssim) < 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_narrow_numbers_do_not_vanish_or_overflow(dtype: torch.dtype):
    a, b = noise(3, 12, 12).to(dtype), noise(3, 12, 12, seed=1).to(dtype)
    exact = numbers_of(compare(result(a.double()), result(b.double())))
    assert numbers_of(compare(result(a), result(b))) == exact
    tiny = torch.finfo(dtype).tiny
    assert not any(map(math.isnan, numbers_of(compare(result(a * tiny), result(b)))))


# what is not defined ---------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [(0, 1), (1, 0), (0, 0)], ids=["a", "b", "both"])
def test_a_signal_that_is_zero_has_no_numbers_and_a_note(which: tuple[int, int]):
    a, b = (result(noise(3, 10, 10) * factor) for factor in which)
    comparison = compare(a, b, names=("before", "after"))
    assert all(map(math.isnan, numbers_of(comparison)))
    named = " and of ".join(name for name, factor in zip(("before", "after"), which, strict=True) if not factor)
    assert comparison.notes == (f"Pair 0: the signal of {named} is zero everywhere, so there is nothing to compare.",)
    assert comparison.words() == "nothing to compare"
    picture = comparison.sheet(["sample:coffee"], photos(10)).image()
    assert min(picture.size) > 100


def test_a_magnitude_that_is_the_same_everywhere_has_no_ranks():
    comparison = compare(result(torch.ones(3, 8, 8)), result(noise(3, 8, 8)))
    assert math.isnan(comparison.rank_correlation[0]) and not math.isnan(comparison.ssim[0])
    assert comparison.notes == (
        "Pair 0: the rank correlation is not defined, because a magnitude is the same at every position.",
    )
    assert "rank" not in comparison.words()


@pytest.mark.parametrize("size", [(6, 20), (5,), (8, 3, 8)])
def test_an_input_below_7_pixels_has_no_ssim(size: tuple[int, ...]):
    comparison = compare(result(noise(2, *size)), result(noise(2, *size, seed=1)))
    assert math.isnan(comparison.ssim[0]) and not math.isnan(comparison.rank_correlation[0])
    assert comparison.notes == ("Pair 0: SSIM is not defined below 7 pixels along an axis.",)


@pytest.mark.parametrize("size", [(16,), (8, 9, 10)])
def test_signals_along_a_line_and_in_space_have_all_numbers(size: tuple[int, ...]):
    comparison = compare(result(noise(2, *size)), result(noise(2, *size, seed=1)))
    assert not any(map(math.isnan, numbers_of(comparison)))
    assert comparison.notes == ()


# what is told and refused ----------------------------------------------------------------------------


def test_different_positions_are_told():
    comparison = compare(result(noise(3, 9, 9), (4, 5)), result(noise(3, 9, 9, seed=1), (0, 6)))
    assert comparison.notes == (
        "Pair 0: the units are at row 4, column 5 and at row 0, column 6; the numbers compare the whole input.",
    )


def test_notes_of_both_are_kept_once():
    a = result(noise(3, 9, 9), facts=Facts(image_free=True, from_magnitude=True))
    b = result(noise(3, 9, 9), facts=Facts(image_free=True, skipped=("softmax",)))
    both, of_a, of_b = Facts(image_free=True), Facts(from_magnitude=True), Facts(skipped=("softmax",))
    assert compare(a, b).notes == (*both.notes(), f"A: {of_a.notes()[0]}", f"B: {of_b.notes()[0]}")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 9, 10), r"A is on an input of 9x9 and B on one of 9x10, .* Give both the same size of input: --size"),
        ((1, 9, 9), r"A is on an input of 3 channels and B on one of 1\. Compare networks that take the same"),
    ],
)
def test_inputs_that_do_not_correspond_are_refused(shape: tuple[int, ...], message: str):
    with pytest.raises(ArgumentError, match=message):
        compare(result(noise(3, 9, 9)), result(noise(*shape)))


# pairs of a real network -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("zfnet-mini")


@pytest.fixture(scope="module")
def net(loaded: LoadedModel) -> DeconvNet:
    return DeconvNet(loaded.model, loaded.example_input)


def photos(size: int) -> Any:
    return replace(load_model("zfnet-mini").preprocess, size=(size, size), short_side=size)


def test_every_pair_has_the_numbers_that_it_has_alone(net: DeconvNet, loaded: LoadedModel):
    x = loaded.preprocess.images(["sample:chelsea", "sample:coffee"])
    channels = [145, 8]
    both = compare(*(way.project(x, "relu3", channel=channels) for way in (net, net.with_rules("gradient"))))
    assert len(both) == 4 and both.cosine.shape == (4,)
    for i, (image, channel) in enumerate([(0, 145), (0, 8), (1, 145), (1, 8)]):
        ways = net, net.with_rules("gradient")
        alone = compare(*(way.project(x[image : image + 1], "relu3", channel=channel) for way in ways))
        assert numbers_of(alone) == pytest.approx(numbers_of(both, i), rel=1e-3)


def test_unlike_units_of_one_photo_have_pictures_much_alike_and_nothing_is_hidden_of_that(
    net: DeconvNet, loaded: LoadedModel
):
    x = loaded.preprocess.images("sample:chelsea")
    unit = net.project(x, "relu5", channel="top:1")
    place = unit.units[0].position
    maps = net.activations(x, "relu5")["relu5"]
    second = int(maps[0, :, *place].argsort()[-2])
    other = net.project(x, "relu5", channel=second, position=place)
    expected = torch.cosine_similarity(unit.full().flatten(), other.full().flatten(), dim=0)
    assert float(compare(unit, other).cosine[0]) == pytest.approx(float(expected), rel=1e-4)
    assert expected > 0.5


def test_other_numbers_of_units_are_refused(net: DeconvNet, loaded: LoadedModel):
    x = loaded.preprocess.images("sample:chelsea")
    one, two = (net.project(x, "relu1", channel=channels) for channels in ([1], [1, 2]))
    with pytest.raises(ArgumentError, match=r"A has 1 units and B has 2, and they are compared in pairs\. Project"):
        compare(one, two)


# pictures --------------------------------------------------------------------------------------------


def cells(sheet: Figure) -> list[Array]:
    """The four pictures of a sheet's first row."""
    levels = np.asarray(sheet.image()).astype(np.float64)
    return [levels[at.top : at.top + at.height, at.left : at.left + at.width] for at in sheet.pages[0].pictures[:4]]


def contrast(picture: Array) -> float:
    return float(np.abs(picture - 128).mean())


def test_one_scale_shows_which_is_stronger_and_own_scales_do_not(make_pair: Callable[..., Comparison]):
    pair = make_pair(0.1)
    _, a, b, _ = cells(pair.sheet(["sample:coffee"], photos(14), crop="none"))
    assert contrast(b) < contrast(a) / 4
    _, a, b, difference = cells(pair.sheet(["sample:coffee"], photos(14), crop="none", common=False))
    assert np.array_equal(a, b)
    assert np.abs(difference - 128).max() <= 1


def test_the_difference_is_b_less_a(make_pair: Callable[..., Comparison]):
    pair = make_pair(-1.0)
    _, a, b, difference = cells(pair.sheet(["sample:coffee"], photos(14), crop="none", scale="linear"))
    expected = np.clip(128 + 2 * (b - 128), 0, 255)
    assert np.abs(difference - expected).max() <= 2
    assert np.abs(a - (255 - b)).max() <= 1


@pytest.fixture
def make_pair() -> Callable[..., Comparison]:
    """Noise, and the same noise times a number."""

    def made(times: float) -> Comparison:
        signal = noise(3, 14, 14).clamp(-1.5, 1.5)
        return compare(result(signal), result(signal * times))

    return made


def test_the_photo_and_all_pictures_show_one_box(net: DeconvNet, loaded: LoadedModel):
    x = loaded.preprocess.images("sample:chelsea")
    a, b = (net.project(x, "relu2", channel=3, position=place, start="one") for place in ((2, 3), (9, 4)))
    pair = compare(a, b)
    box = pair.box(0, "field")
    assert box.low == tuple(min(p, q) for p, q in zip(a.box(0, "field").low, b.box(0, "field").low, strict=True))
    assert box.high == tuple(max(p, q) for p, q in zip(a.box(0, "field").high, b.box(0, "field").high, strict=True))
    sheet = pair.sheet(["sample:chelsea"], loaded.preprocess, crop="field", title="two places")
    assert sheet.image().width == 16 + 4 * (224 + 16)


def test_a_row_of_two_photos_is_refused():
    pair = compare(result(noise(3, 14, 14)), result(noise(3, 14, 14), image=1))
    with pytest.raises(ArgumentError, match="pair 0 holds units of images 0 and 1, and a row shows one photo"):
        pair.sheet(["sample:coffee", "sample:rocket"], photos(14))


@pytest.mark.parametrize("size", [(2, 14, 14), (1, 5, 14, 14)])
def test_channels_and_volumes_are_drawn_as_in_a_reconstruction(size: tuple[int, ...], tmp_path: Path):
    pair = compare(result(noise(*size)), result(noise(*size, seed=1)))
    assert pair.save(tmp_path / "pair.png").is_file()


def test_two_states_of_one_network_are_compared(net: DeconvNet, loaded: LoadedModel):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = DeconvNet(zfnet_mini().eval(), loaded.example_input)
    x = loaded.preprocess.images("sample:chelsea")
    pair = compare(
        *(state.project(x, "relu3", channel=145, position=(2, 2), start="one") for state in (net, untrained))
    )
    assert abs(float(pair.cosine[0])) < 0.9
    assert pair.words().startswith(f"cosine {float(pair.cosine[0]):z.2f}, rank correlation")
