"""`diagnose` on networks that are made so that each number is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, LoadedModel, PhotoError, Preprocess
from deconvnet.pictures.plot import Plot
from deconvnet.probes import Diagnosis, diagnose


def network(filters: Tensor, *above: nn.Module, stride: int = 1) -> DeconvNet:
    """A network whose first convolution has these filters, and a bias of 0."""
    first = nn.Conv2d(filters.shape[1], len(filters), tuple(filters.shape[2:]), stride)
    with torch.no_grad():
        first.weight[:] = filters
        nn.init.zeros_(first.bias)
    model = nn.Sequential(first, nn.ReLU(), *above).double()
    return DeconvNet(model, torch.zeros(1, filters.shape[1], 24, 24, dtype=torch.float64))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def photos(count: int = 3, side: int = 24) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def whole() -> LoadedModel:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 6, 5, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU()
    model = nn.Sequential(*body, nn.Conv2d(5, 7, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 3))
    return LoadedModel(model.eval(), Preprocess((24, 24), 24, (0.5,) * 3, (0.25,) * 3))


@pytest.fixture(scope="module")
def result(whole: LoadedModel) -> Diagnosis:
    return diagnose(DeconvNet(whole.model, whole.example_input), photos(), loaded=whole)


def test_one_filter_of_ten_times_the_size_dominates():
    filters = torch.ones(5, 1, 3, 3)
    filters[2] *= -10
    found = diagnose(network(filters))
    assert found.dominance == pytest.approx(10) and found.largest_share == pytest.approx(100 / 104)
    assert found.sizes.tolist() == pytest.approx([1, 1, 10, 1, 1]) and torch.equal(found.filters, filters.double())
    assert found.layer == "0" and found.stride == (1.0, 1.0) and found.second is None
    assert "RMS is 10 times the median (1)" in found.words and "holds 96 % of the energy" in found.words


def test_a_filter_of_zeros_is_dead_by_weight_and_has_no_frequency():
    filters = noise(4, 2, 5, 5)
    filters[1] = 0
    filters[3] *= 0.001
    found = diagnose(network(filters))
    assert found.dead_by_weight.tolist() == [False, True, False, True]
    assert found.centroids.isnan().tolist() == [False, True, False, False]
    assert "at most 1 % of the median: 2 of 4" in found.words and "Without photos" in found.words
    table = found.to_frame()
    assert table["band"][1] is None or table["band"][1] != table["band"][1]
    assert found.dead_by_data is None and found.second_dead_by_data is None


def test_where_most_filters_are_zero_the_median_is_no_measure():
    filters = torch.zeros(5, 1, 3, 3)
    filters[0] = 1
    found = diagnose(network(filters))
    assert found.dominance is None and "At least half of the filters are zero" in found.words
    assert found.dead_by_weight.tolist() == [False] + [True] * 4 and found.largest_share == 1
    silent = diagnose(network(torch.zeros(2, 1, 3, 3)))
    assert silent.bands is None and silent.largest_share == 0 and silent.dead_by_weight.all()
    assert isinstance(silent.figure(dpi=40).image(), Image.Image)


def test_waves_lie_in_the_bands_of_their_frequencies():
    at = torch.arange(12, dtype=torch.float64)
    waves = [torch.cos(2 * math.pi * frequency * at).expand(1, 12, 12) for frequency in (0.05, 0.24, 0.25, 0.45)]
    found = diagnose(network(torch.stack(waves)))
    assert found.bands == (0.25, 0.5, 0.25)
    assert list(found.to_frame()["band"]) == ["low", "mid", "mid", "high"]
    assert diagnose(network(torch.ones(2, 1, 1, 1))).bands is None


def test_maps_that_never_rise_above_zero_are_dead_by_data():
    net = network(torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1).repeat(1, 1, 3, 3), nn.Conv2d(3, 2, 3), nn.ReLU())
    with torch.no_grad():
        net.model[2].weight[:] = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        net.model[2].bias.zero_()
    found = diagnose(net, noise(3, 1, 24, 24).abs(), fields=[], batch=2)
    assert found.dead_by_data is not None and found.dead_by_data.tolist() == [False, True, True]
    assert found.second == "2" and found.second_dead_by_data is not None
    assert found.second_dead_by_data.tolist() == [False, True] and found.photos == 3
    assert found.pictures is not None and [unit.channel for unit in found.pictures.units] == [0]
    assert "2 of 3 maps of 0 are never above zero, and 1 of 2 of 2" in found.words and found.fields is None


def test_the_pictures_are_those_of_each_map_s_strongest_unit_over_all_images():
    x, net = noise(5, 2, 24, 24), network(noise(4, 2, 5, 5), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), stride=2)
    found = diagnose(net, x, fields=[], batch=2)
    values = net.activations(x, "3")["3"]
    assert found.second_largest is not None and found.pictures is not None and found.second == "3"
    assert torch.equal(found.second_largest, values.transpose(0, 1).flatten(1).amax(1))
    for i, unit in enumerate(found.pictures.units):
        assert values[(unit.image, unit.channel, *unit.position)] == found.second_largest[unit.channel]
        alone = net.project(x[unit.image : unit.image + 1], "3", channel=unit.channel, position=unit.position)
        assert torch.allclose(alone.windows[0], found.pictures.windows[i], rtol=1e-10)


def test_a_stride_of_four_leaves_a_grid_and_one_of_one_does_not():
    x = noise(4, 1, 48, 48)
    bump = torch.outer(*[torch.hann_window(5, periodic=False, dtype=torch.float64)] * 2).expand(3, 1, 5, 5)
    coarse, fine = (network(bump, nn.Conv2d(3, 8, side), nn.ReLU(), stride=s) for s, side in ((4, 5), (1, 17)))
    for net in (coarse, fine):
        nn.init.uniform_(net.model[2].weight, 0.5, 1.5, generator=torch.Generator().manual_seed(0))
    gridded, even = (diagnose(net, x.abs(), fields=[]) for net in (coarse, fine))
    assert gridded.pictures is not None and even.pictures is not None
    assert gridded.pictures.windows.shape == even.pictures.windows.shape == (8, 1, 21, 21)
    own, other = gridded.aliasing(), even.aliasing(4)
    assert own is not None and other is not None and even.aliasing() is None and gridded.aliasing(4) == own
    assert own.share > 0.5 > 5 * other.share and own.share / own.smooth > 2 * other.share / other.smooth
    assert "multiples of 1/4 cycles per pixel" in gridded.words and "A stride of 1 leaves no grid" in even.words


def test_batch_norm_is_folded_in_and_small_filters_are_passed_over(whole: LoadedModel, result: Diagnosis):
    model = whole.model
    scale = model[1].weight / (model[1].running_var + model[1].eps).sqrt()
    assert result.layer == "1" and result.second == "5" and result.photos == 3
    assert torch.allclose(result.filters, model[0].weight * scale.view(-1, 1, 1, 1), rtol=1e-5)
    assert result.fields is not None and all(field.units for field in result.fields)


def test_a_diagnosis_is_saved_drawn_and_opened_as_it_was(result: Diagnosis, tmp_path):
    opened = deconvnet.open(result.save(tmp_path / "folder"))
    assert isinstance(opened, Diagnosis) and opened.words == result.words and opened.notes == result.notes
    assert repr(opened) == "<Diagnosis of '1': 6 filters of 3x5x5 over 3 photos>"
    assert isinstance(result.figure(), Plot) and result.save(tmp_path / "a.pdf").stat().st_size
    assert result.figure(title="x", dpi=40).title == "x"
    assert replace(result, fields=None, pictures=None).figure(dpi=40).image().width == 384


@pytest.mark.parametrize("axes", [1, 3])
def test_signals_and_volumes_have_numbers_and_figures(axes: int):
    convolution, side = {1: (nn.Conv1d, 5), 3: (nn.Conv3d, 3)}[axes]
    torch.manual_seed(0)
    model = nn.Sequential(convolution(2, 4, 3, 2), nn.ReLU(), convolution(4, 3, side), nn.ReLU())
    x = torch.randn(3, 2, *[4 * side - 1] * axes)
    found = diagnose(DeconvNet(model, x), x)
    assert found.bands is not None and found.fields is not None and found.aliasing() is not None
    assert found.fields[-1].theoretical == (2 * side + 1,) * axes
    assert found.figure(dpi=40).image().width == 384


def test_photos_that_cannot_be_read_are_skipped_and_named(whole: LoadedModel, tmp_path):
    for i, photo in enumerate(photos(2)):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    net, done = DeconvNet(whole.model, whole.example_input), list[tuple[int, int]]()
    found = diagnose(net, tmp_path, loaded=whole, fields=[], batch=2, progress=lambda *at: done.append(at))
    assert found.photos == 2 and [name for name, _ in found.skipped] == ["broken.png"] and done[-1] == (3, 3)
    for path in (tmp_path / "0.png", tmp_path / "1.png"):
        path.unlink()
    with pytest.raises(ArgumentError, match=r"none of the 1 photos can be used; the first, 'broken\.png'"):
        diagnose(net, tmp_path, loaded=whole)


def test_what_cannot_be_diagnosed_is_refused_in_our_words(whole: LoadedModel):
    x = torch.zeros(1, 3, 24, 24)
    net = DeconvNet(whole.model, x)
    with pytest.raises(ArgumentError, match="loaded= is needed"):
        diagnose(net, photos())
    with pytest.raises(ArgumentError, match="one image or more"):
        diagnose(net, x[:0])
    with pytest.raises(LayerNotFoundError, match="no layer 'x'"):
        diagnose(net, layers=["x"])
    with pytest.raises(LayerNotFoundError, match="no layer 'x'"):
        diagnose(net, layers=["0"], fields="x")
    with pytest.raises(ArgumentError, match="the first layer, or the first and the second"):
        diagnose(net, layers="05")
    with pytest.raises(ArgumentError, match="sees the whole input"):
        diagnose(net, layers=["9"])
    with pytest.raises(PhotoError):
        diagnose(net, "no-such-folder", loaded=whole)
    with pytest.raises(ArgumentError, match="stride is a number above 0"):
        diagnose(net, layers=["0"]).aliasing(0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ArgumentError, match="does not have a convolution"):
        diagnose(DeconvNet(linear, torch.zeros(1, 3, 2, 2)))
    pooled = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 2, 3))
    with pytest.raises(ArgumentError, match="depends on the image, because the way down takes switches from it"):
        diagnose(DeconvNet(pooled, x))


def test_pixels_that_a_gate_scales_make_no_filter():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.conv = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x * self.gate(x.mean((2, 3), keepdim=True)))

    with pytest.raises(ArgumentError, match="the way down takes gates from it, so it is not a filter"):
        diagnose(DeconvNet(Gated(), torch.rand(1, 3, 8, 8)), layers=["conv"])


def test_a_filter_larger_than_the_input_is_cut_and_noted():
    model = nn.Sequential(nn.Conv2d(1, 2, 9, padding=4), nn.ReLU())
    assert "larger than the input" in diagnose(DeconvNet(model, torch.zeros(1, 1, 6, 6))).notes[0]
