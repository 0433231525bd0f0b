"""Effective receptive fields: of filters whose convolution is known, they are that convolution."""

import pytest
import torch
from torch import Tensor, nn

import deconvnet
from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError
from deconvnet.pictures.plot import Plot
from deconvnet.probes import EffectiveFields, effective_fields

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def boxes(axes: int = 2, layers: int = 2, **options: int) -> nn.Sequential:
    """Convolutions with three ones along each axis, each followed by a rectifier."""
    steps = [
        step for _ in range(layers) for step in (CONVOLUTIONS[axes](1, 1, 3, bias=False, **options), nn.ReLU())
    ]  # fmt: skip
    for weight in (weight for step in steps for weight in step.parameters()):
        nn.init.ones_(weight)
    return nn.Sequential(*steps)


def bumps(axes: int, layers: int) -> Tensor:
    """The energy of a convolution of that many boxes with themselves, written out."""
    line = torch.ones(1, dtype=torch.float64)
    for _ in range(layers):
        line = torch.tensor([sum(line[max(i - 2, 0) : i + 1]) for i in range(len(line) + 2)], dtype=torch.float64)
    energy = torch.ones((), dtype=torch.float64)
    for axis in range(axes):
        energy = energy[..., None] * line.square().view([1] * axis + [-1])
    return energy / energy.sum()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_field_of_box_filters_is_the_convolution_of_boxes(axes: int):
    x = torch.rand(2, 1, *[11] * axes, dtype=torch.float64) + 0.5
    fields = effective_fields(DeconvNet(boxes(axes).double(), x), x, ["1", "3"], units=5)
    for layers, field in enumerate(fields, start=1):
        assert torch.allclose(field.energy, bumps(axes, layers), rtol=1e-12)
        assert field.theoretical == (2 * layers + 1,) * axes and field.units == 5 and not field.cut
    assert fields[0].width == pytest.approx(3) and fields[0].share == pytest.approx(1)
    assert fields[0].deviation == pytest.approx(fields[0].even_deviation) == pytest.approx((2 / 3) ** 0.5)
    assert fields.notes == ()


def test_the_width_counts_pixels_above_luo_s_share_of_the_largest():
    x = torch.ones(1, 1, 25, 25)
    (field,) = effective_fields(DeconvNet(boxes(layers=5), x), x, "9")
    strength = bumps(2, 5).sqrt()
    assert field.width == pytest.approx(int((strength > 0.0455 * strength.max()).sum()) ** 0.5)
    assert 5 < field.width < 11 and field.share == pytest.approx(field.width / 11)


def test_all_units_count_alike_whatever_their_strength():
    model = nn.Sequential(nn.Conv2d(1, 2, (1, 3), bias=False), nn.ReLU())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[[[1.0, 0, 0]]], [[[0, 0, 100.0]]]])
    x = torch.ones(1, 1, 4, 6)
    (field,) = effective_fields(DeconvNet(model, x), x, "1", units=32)
    assert field.units == 32 and torch.allclose(field.energy, torch.tensor([[0.5, 0, 0.5]], dtype=torch.float64))


def test_units_lie_inside_the_input_where_any_do_and_in_the_middle_where_none_does():
    padded = boxes(layers=2, padding=1)
    x = torch.ones(1, 1, 7, 7)
    (inside,) = effective_fields(DeconvNet(padded, x), x, "3")
    assert torch.allclose(inside.energy, bumps(2, 2)) and inside.units == 9 and not inside.cut
    small = torch.ones(1, 1, 3, 3)
    fields = effective_fields(DeconvNet(padded, small), small, "3")
    assert fields[0].cut and fields[0].units == 1 and "larger than the input" in fields.notes[0]
    rim = fields[0].energy.clone()
    rim[1:4, 1:4] = 0
    assert not rim.any()


def test_only_active_units_are_drawn_and_silent_ones_do_not_count():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
        model[0].bias[:] = torch.tensor([-1.0, 1.0])  # the first is active where x is above 1, the second always
    x = torch.zeros(1, 1, 4, 4)
    x[..., 1, 2] = 3
    fields = effective_fields(DeconvNet(model, x), x, "1", units=100)
    assert (fields[0].units, fields[0].silent) == (1, 16) and "16 units" in fields.notes[0]
    with pytest.raises(ArgumentError, match="nothing comes down to the pixels from any of 16 units of '1'"):
        effective_fields(DeconvNet(model, x), 0 * x, "1")


def test_a_seed_gives_the_same_field_and_another_seed_another():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16)
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()), x)
    first, again, other = (effective_fields(net, x, "4", units=4, seed=seed)[0].energy for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_layer_that_sees_all_of_the_input_and_its_input_itself_have_fields():
    x = torch.ones(1, 1, 5, 5)
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(50, 3))
    fields = effective_fields(DeconvNet(model, x), x, ["0", "2"])
    assert fields[0].theoretical == (1, 1) and fields[1].theoretical == (5, 5)
    assert fields[0].width == 1


def test_fields_are_tabled_drawn_and_opened_as_they_were(tmp_path):
    x = torch.ones(1, 1, 9, 9)
    fields = effective_fields(DeconvNet(boxes(), x), x, ["1", "3"])
    table = fields.to_frame()
    assert list(table) == ["layer", "units", "theoretical", "width", "share", "deviation"]
    assert list(table["theoretical"]) == ["3x3", "5x5"]
    opened = deconvnet.open(fields.save(tmp_path / "fields"))
    assert isinstance(opened, EffectiveFields) and torch.equal(opened[1].energy, fields[1].energy)
    assert repr(opened) == "<EffectiveFields: 1 3, 3 5 pixels wide>"
    assert isinstance(fields.figure(), Plot) and fields.save(tmp_path / "fields.png", dpi=40).stat().st_size
    for axes in (1, 3):
        x = torch.ones(1, 1, *[9] * axes)
        image = effective_fields(DeconvNet(boxes(axes), x), x, "3").figure(dpi=40).image()
        assert image.width > 100


def test_what_cannot_be_measured_is_refused_in_our_words():
    x = torch.ones(1, 1, 9, 9)
    net = DeconvNet(boxes(), x)
    with pytest.raises(ArgumentError, match="layers is empty"):
        effective_fields(net, x, [])
    with pytest.raises(LayerNotFoundError, match="no layer 'relu9'"):
        effective_fields(net, x, "relu9")
    with pytest.raises(ArgumentError, match="units is a whole number"):
        effective_fields(net, x, "1", units=0)
    with pytest.raises(ArgumentError, match="one image or more"):
        effective_fields(net, x[:0], "1")
    with pytest.raises(ArgumentError, match="are zero, so nothing comes down"):
        effective_fields(net, 0 * x, "1")
