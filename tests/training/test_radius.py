"""The paper's clipping of filters: those above the radius come down to it, the others stay as they are, to the bit."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.utils import parametrizations

from deconvnet import ArgumentError, NotFiniteError
from deconvnet.training import renormalise


def filters_of(module: nn.Module) -> list[Tensor]:
    """Of each map that a convolution makes, all weights that lead to it: found by asking which weights matter to it."""
    module = module.double()
    x = torch.ones(1, module.in_channels, *[7] * (module.weight.ndim - 2), dtype=torch.float64)
    filters = []
    for channel in range(module.out_channels):
        module.weight.grad = None
        module(x)[:, channel].sum().backward()
        filters.append(module.weight.detach()[module.weight.grad != 0].clone())
    module.weight.grad = None
    return filters


def rms(values: Tensor) -> float:
    return float(values.detach().double().square().mean().sqrt())


CONVOLUTIONS = [
    nn.Conv2d(3, 5, 3),
    nn.Conv1d(2, 4, 3),
    nn.Conv3d(2, 3, 2),
    nn.Conv2d(6, 4, 3, groups=2),
    nn.Conv2d(4, 4, 3, groups=4),
    nn.ConvTranspose2d(3, 5, 3),
    nn.ConvTranspose2d(6, 4, 3, groups=2),
    nn.ConvTranspose1d(4, 4, 3, groups=4),
]


@pytest.mark.parametrize("module", CONVOLUTIONS, ids=str)
def test_filters_above_the_radius_come_to_it_and_the_others_stay_to_the_bit(module):
    module = module.double()
    torch.manual_seed(0)
    nn.init.normal_(module.weight, std=0.1)
    before = filters_of(module)
    radius = sorted(map(rms, before))[len(before) // 2 - 1] * 1.0001
    scaled = renormalise(nn.Sequential(module), radius)
    after = filters_of(module)
    above = [rms(values) > radius for values in before]
    assert 0 < sum(above) < len(above)
    assert scaled == {"0": sum(above)}
    for old, new, over in zip(before, after, above, strict=True):
        if over:
            assert rms(new) == pytest.approx(radius, rel=1e-12)
            assert torch.allclose(new / rms(new), old / rms(old))
        else:
            assert torch.equal(new, old)


def test_only_convolutions_are_scaled_and_all_of_them():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 2.0)
    assert renormalise(model) == {"0": 2}
    assert torch.allclose(model[0].weight, torch.tensor(0.1))
    assert (model[0].bias == 2).all() and (model[1].weight == 2).all() and (model[3].weight == 2).all()


def test_the_parameter_stays_the_same_object_so_that_the_optimiser_goes_on():
    model = nn.Conv2d(1, 1, 2)
    nn.init.ones_(model.weight)
    weight, place = model.weight, model.weight.data_ptr()
    assert renormalise(model, 0.5) == {"": 1}
    assert model.weight is weight and weight.data_ptr() == place and weight.requires_grad and weight.is_leaf


def test_layers_may_have_radii_of_their_own_and_the_others_are_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))
    for module in model:
        nn.init.constant_(module.weight, 9.0)
    assert renormalise(model, {"0": 5.7, "2": 0.1}) == {"0": 1, "2": 1}
    assert torch.cat([module.weight.detach().flatten() for module in model]).tolist() == pytest.approx([5.7, 9.0, 0.1])


def test_inputs_on_another_scale_with_a_radius_over_that_scale_train_the_same():
    """A first layer with filters 1/s times as large, on inputs s times as large, computes the same: so the radius."""
    torch.manual_seed(0)
    x, s = torch.randn(2, 3, 9, 9).double() * 60, 1 / 58
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).double()
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).double()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other[0].weight.mul_(1 / s)
    radii = {"0": 0.1, "2": 0.1}
    assert renormalise(model, radii) == renormalise(other, {"0": 0.1 / s, "2": 0.1})
    assert torch.allclose(model(x), other(x * s))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_in_more(dtype):
    """The squares of 300 do not fit float16, nor do those of 1e-4."""
    model = nn.Conv2d(2, 2, 3).to(dtype)
    with torch.no_grad():
        model.weight[0], model.weight[1] = 300.0, 1e-4
    assert renormalise(model) == {"": 1}
    assert rms(model.weight[0]) == pytest.approx(0.1, rel=1e-2)
    assert (model.weight[1] == torch.tensor(1e-4, dtype=dtype)).all()


def test_large_and_tiny_filters_are_measured_without_overflow():
    model = nn.Conv2d(1, 3, 2)
    with torch.no_grad():
        model.weight[0], model.weight[1], model.weight[2] = 3e38, 1e-40, 0.0
    assert renormalise(model) == {"": 1}
    assert rms(model.weight[0]) == pytest.approx(0.1, rel=1e-5)
    assert (model.weight[1] == 1e-40).all() and (model.weight[2] == 0).all()


def test_a_second_time_nothing_is_left_to_do():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 64, 7)
    nn.init.normal_(model.weight, std=0.3)
    assert renormalise(model) == {"": 64}
    before = model.weight.detach().clone()
    renormalise(model)
    assert torch.allclose(model.weight, before, rtol=1e-6, atol=0)


def test_wrappers_are_taken_off():
    model = nn.Conv2d(1, 1, 2)
    nn.init.ones_(model.weight)
    assert renormalise(nn.DataParallel(model)) == {"": 1}


def test_a_weight_that_is_computed_from_others_is_refused_by_name():
    for computed in (parametrizations.weight_norm, nn.utils.spectral_norm):
        model = nn.Sequential(nn.Conv2d(1, 2, 3), computed(nn.Conv2d(2, 2, 3)))
        nn.init.ones_(model[0].weight)
        with pytest.raises(ArgumentError, match=r"layer '1' computes its weight from other parameters.*radius="):
            renormalise(model)
        assert (model[0].weight == 1).all(), "nothing is scaled before all is checked"
        assert renormalise(model, {"0": 0.1}) == {"0": 2}


def test_what_has_no_filters_yet_or_none_at_all_is_refused():
    with pytest.raises(ArgumentError, match=r"'0' is lazy.*run the model once"):
        renormalise(nn.Sequential(nn.LazyConv2d(4, 3)))
    with pytest.raises(ArgumentError, match="'0' is on the meta device"):
        renormalise(nn.Sequential(nn.Conv2d(1, 1, 1, device="meta")))
    with pytest.raises(ArgumentError, match="holds no convolution"):
        renormalise(nn.Linear(2, 2))
    with pytest.warns(FutureWarning, match="deprecated"):
        scripted = torch.jit.trace(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ArgumentError, match="ScriptModule"):
        renormalise(scripted)
    flat = nn.Conv2d(1, 1, 2)
    flat.weight = nn.Parameter(torch.ones(4))
    with pytest.raises(ArgumentError, match=r"'' has a weight of shape \(4,\).*summon_full_params"):
        renormalise(flat)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_filter_that_is_not_finite_is_named(value):
    model = nn.Sequential(nn.Conv2d(1, 3, 2))
    with torch.no_grad():
        model[0].weight[2, 0, 0, 0] = value
    with pytest.raises(NotFiniteError, match="filter 2 of layer '0' holds NaN or infinity"):
        renormalise(model)


@pytest.mark.parametrize("radius", [0, -1.0, float("nan"), "0.1", {"0": 0}, {}, None])
def test_a_radius_is_above_zero(radius):
    with pytest.raises(ArgumentError, match="radius"):
        renormalise(nn.Sequential(nn.Conv2d(1, 1, 1)), radius)


def test_a_layer_that_is_not_a_convolution_has_no_radius():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    with pytest.raises(ArgumentError, match="'1' is not a convolution of the model"):
        renormalise(model, {"1": 0.1})


@pytest.fixture
def alone_in_a_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_weights_that_are_spread_over_processes_are_scaled_where_they_lie(alone_in_a_group):
    mesh = init_device_mesh("cpu", (1,))
    for module in (nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 2, 3, groups=2)):
        nn.init.normal_(module.weight, std=0.1)
        whole = type(module)(module.in_channels, module.out_channels, 3, groups=module.groups)
        whole.load_state_dict(module.state_dict())
        module.weight = nn.Parameter(distribute_tensor(module.weight.detach(), mesh, [Shard(0)]))
        assert renormalise(module, 0.1) == renormalise(whole, 0.1)
        assert torch.equal(module.weight.full_tensor(), whole.weight)
