"""The references are checked before anything is checked against them: by each other and by PyTorch.

Captum and zennit are asked too, where they are right; where Captum is wrong a test says so.
"""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import Deconvolution, GuidedBackprop, NeuronDeconvolution
from reference import paper
from reference.autograd_oracle import (
    DECONVNET,
    GRADIENT,
    GUIDED,
    Oracle,
    OracleMaxPool,
    OracleParts,
    Rectifying,
    WayDown,
    layer_outputs,
)
from support.attaching import oracle
from support.choosing import every_network
from support.comparing import assert_equal
from support.networks import BY_NAME, NETWORKS, Network, Parts, paper_layers
from support.signals import start_on
from torch import Tensor, nn
from zennit.composites import DeconvNet as ZennitDeconvNet

SEQUENTIAL = [network for network in NETWORKS if network.sequential]

every_sequential = pytest.mark.parametrize("network", SEQUENTIAL, ids=lambda n: n.name)


def array(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


# the paper's steps against PyTorch's ----------------------------------------------------------------

CONVOLUTIONS = [
    ((4, 9), (6, 2, 3), {"stride": 2, "pad": 1, "groups": 2}),
    ((2, 7, 8), (3, 2, 3, 2), {"stride": (2, 1), "pad": (1, 0), "dilation": (1, 2)}),
    ((4, 6, 7), (4, 1, 3, 3), {"stride": (1, 3), "pad": (2, 1), "groups": 4}),
    ((2, 4, 5, 4), (3, 2, 2, 3, 2), {"stride": (1, 2, 1), "pad": (1, 1, 0)}),
]


def torch_options(options: dict) -> dict:
    names = {"pad": "padding"}
    return {names.get(name, name): value for name, value in options.items()}


@pytest.mark.parametrize(("maps", "filters", "options"), CONVOLUTIONS)
def test_convolve_is_pytorchs_convolution(maps, filters, options):
    x, w, b = array(0, *maps), array(1, *filters), array(2, filters[0])
    conv = {2: F.conv1d, 3: F.conv2d, 4: F.conv3d}[len(maps)]
    truth = conv(*map(torch.tensor, (x, w, b)), **torch_options(options))
    assert_equal(paper.convolve(x, w, b, **options), truth)


@pytest.mark.parametrize(("maps", "filters", "options"), CONVOLUTIONS)
def test_filter_transposed_is_the_adjoint_of_convolve(maps, filters, options):
    x, w = array(0, *maps), array(1, *filters)
    y = paper.convolve(x, w, **options)
    signal = array(2, *y.shape)
    below = paper.filter_transposed(signal, w, x.shape[1:], **options)
    assert np.isclose((signal * y).sum(), (below * x).sum(), rtol=1e-12)


@pytest.mark.parametrize(("maps", "filters", "options"), [CONVOLUTIONS[1], CONVOLUTIONS[3]])
def test_filter_transposed_is_convolution_with_flipped_filters_as_the_paper_says(maps, filters, options):
    x, w = array(0, *maps), array(1, *filters)
    signal = array(2, *paper.convolve(x, w, **options).shape)
    below = paper.filter_transposed(signal, w, x.shape[1:], **options)
    assert_equal(paper.filter_flipped(signal, w, x.shape[1:], **options), below)


TRANSPOSED = [
    ((4, 6), (4, 3, 3), {"stride": 2, "pad": 1, "output_padding": 1, "groups": 2}),
    ((2, 4, 3), (2, 3, 3, 2), {"stride": (3, 1), "pad": (0, 1), "output_padding": (2, 0)}),
    ((2, 3, 3), (2, 2, 2, 3), {"dilation": (2, 1)}),
]


@pytest.mark.parametrize(("maps", "filters", "options"), TRANSPOSED)
def test_convolve_transposed_is_pytorchs_and_its_adjoint_is_a_convolution(maps, filters, options):
    x, w = array(0, *maps), array(1, *filters)
    b = array(2, filters[1] * options.get("groups", 1))
    conv = {2: F.conv_transpose1d, 3: F.conv_transpose2d}[len(maps)]
    truth = conv(*map(torch.tensor, (x, w, b)), **torch_options(options))
    y = paper.convolve_transposed(x, w, b, **options)
    assert_equal(y, truth)
    signal = array(3, *y.shape)
    options = {name: value for name, value in options.items() if name != "output_padding"}
    below = paper.convolve_transposed_adjoint(signal, w, **options)
    no_bias = y - b.reshape(-1, *[1] * (len(maps) - 1))
    assert np.isclose((signal * no_bias).sum(), (below * x).sum(), rtol=1e-12)


POOLS = [
    ((2, 9), {"kernel": 3, "stride": 2, "pad": 1}),
    ((2, 7, 8), {"kernel": 3, "stride": 2, "ceil_mode": True}),
    ((2, 7, 8), {"kernel": (2, 4), "stride": (3, 2), "pad": (1, 2), "ceil_mode": True}),
    ((2, 9, 8), {"kernel": 2, "stride": 3, "pad": 1, "ceil_mode": True}),
    ((2, 9, 8), {"kernel": 3, "stride": 1, "pad": 1, "dilation": (2, 3)}),
    ((2, 4, 5, 6), {"kernel": 2, "stride": (1, 2, 3), "pad": (1, 0, 1), "ceil_mode": True}),
]


def pool_options(options: dict) -> dict:
    return {"kernel_size": options["kernel"], **torch_options(options)} | {}


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize(("maps", "options"), POOLS)
def test_max_pool_and_its_switches_are_pytorchs(maps, options, rectified):
    x = array(0, *maps)
    x = paper.rectify(x) if rectified else x  # zeros tie: the first index wins
    pool = {2: F.max_pool1d, 3: F.max_pool2d, 4: F.max_pool3d}[len(maps)]
    options_of_torch = pool_options(options)
    del options_of_torch["kernel"]
    truth, indices = pool(torch.tensor(x)[None], **options_of_torch, return_indices=True)
    pooled, switches = paper.max_pool(x, paper.pool_spans(maps[1:], **options))
    assert_equal(pooled, truth[0])
    flat = {key: np.ravel_multi_index(place, maps[1:]) for key, place in switches.items()}
    assert all(indices[0][key] == value for key, value in flat.items())


@pytest.mark.parametrize(("maps", "options"), POOLS)
def test_unpool_with_summed_overlaps_is_the_adjoint_of_max_pool(maps, options):
    x = array(0, *maps)
    spans = paper.pool_spans(maps[1:], **options)
    pooled, switches = paper.max_pool(x, spans)
    signal = array(1, *pooled.shape)
    below = paper.unpool(signal, switches, spans, maps[1:])
    assert np.isclose((signal * pooled).sum(), (below * x).sum(), rtol=1e-12)


def test_unpool_puts_each_value_in_the_centre_of_its_window():
    spans = paper.pool_spans((5, 5), 3, 2)
    below = paper.unpool(np.arange(1.0, 5).reshape(1, 2, 2), {}, spans, (5, 5), placement="centre")
    truth = np.zeros((1, 5, 5))
    truth[0, 1, 1], truth[0, 1, 3], truth[0, 3, 1], truth[0, 3, 3] = 1, 2, 3, 4
    assert_equal(below, truth)


def test_a_centre_outside_the_map_moves_to_its_nearest_cell():
    spans = paper.pool_spans((4,), 2, 2, pad=1, ceil_mode=True)  # (-1, 0) (1, 2) (3, 4)
    assert [paper.window_centre(spans, (i,), (4,)) for i in range(3)] == [(0,), (1,), (3,)]
    spans = paper.pool_spans((6,), 3, 4, ceil_mode=True, dilation=2)  # (0, 2, 4) (4, 6, 8)
    assert [paper.window_centre(spans, (i,), (6,)) for i in range(2)] == [(2,), (5,)]


@pytest.mark.parametrize(("maps", "options"), POOLS)
def test_unpool_by_average_keeps_the_sum_of_every_window(maps, options):
    spans = paper.pool_spans(maps[1:], **options)
    signal = array(1, maps[0], *(len(span) for span in spans))
    below = paper.unpool(signal, {}, spans, maps[1:], placement="average")
    assert np.isclose(below.sum(), signal.sum())


def test_where_windows_share_a_switch_max_keeps_the_largest_magnitude_with_its_sign():
    x = np.zeros((1, 3, 3))
    x[0, 1, 1] = 9.0
    spans = paper.pool_spans((3, 3), 2, 1)
    _, switches = paper.max_pool(x, spans)
    signal = np.array([[[1.0, 2.0], [-4.0, 3.0]]])
    assert paper.unpool(signal, switches, spans, (3, 3))[0, 1, 1] == 2.0
    assert paper.unpool(signal, switches, spans, (3, 3), overlap="max")[0, 1, 1] == -4.0


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(("maps", "options"), POOLS[1:2])
@pytest.mark.parametrize("pad", [0, 1])
def test_average_pool_is_pytorchs_and_its_way_down_is_the_adjoint(maps, options, include, pad):
    x = array(0, *maps)
    spans = paper.pool_spans(maps[1:], 3, 2, pad=pad, ceil_mode=True)
    y = paper.average_pool(x, spans, pad=pad, count_include_pad=include)
    truth = F.avg_pool2d(torch.tensor(x), 3, 2, pad, ceil_mode=True, count_include_pad=include)
    assert_equal(y, truth)
    signal = array(1, *y.shape)
    below = paper.average_pool_adjoint(signal, spans, maps[1:], pad=pad, count_include_pad=include)
    assert np.isclose((signal * y).sum(), (below * x).sum(), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_contrast_norm_and_its_gradient_are_pytorchs(n):
    x, signal = array(0, 6, 3, 2), array(1, 6, 3, 2)
    constants = (n, 1.5, 0.6, 1.2)
    leaf = torch.tensor(x[None], requires_grad=True)
    y = F.local_response_norm(leaf, *constants)
    assert_equal(x / paper.divisor(x, *constants), y.detach()[0])
    (truth,) = torch.autograd.grad(y, leaf, torch.tensor(signal[None]))
    assert_equal(paper.un_normalise(signal, x, *constants, way="gradient"), truth[0])


def test_the_divisor_undoes_the_norm():
    x = array(0, 6, 3, 2)
    constants = (3, 1.5, 0.6, 1.2)
    y = x / paper.divisor(x, *constants)
    assert_equal(paper.un_normalise(y, x, *constants, way="divisor"), x)
    assert_equal(paper.un_normalise(y, x, *constants), y)


# the two references against each other --------------------------------------------------------------

WAYS = [
    WayDown(),
    WayDown(overlap="max"),
    WayDown(unpool="centre"),
    WayDown(unpool="average"),
    WayDown(lrn="divisor"),
    WayDown(lrn="gradient", overlap="max"),
]


@every_network
def test_the_twin_computes_what_the_network_computes(network: Network):
    x = network.images()
    own = layer_outputs(network.model(), x.clone())
    twin = layer_outputs(network.make(OracleParts(DECONVNET)), x.clone())
    assert set(network.layers) <= set(own)
    for name in set(own) & set(twin) - {"head" if network.ends_in_head else None, ""}:
        assert_equal(twin[name], own[name])


@every_network
def test_the_twin_of_the_gradient_is_autograd_of_the_network_itself(network: Network):
    own = oracle(network.name, None)
    twin = oracle(network.name, GRADIENT)
    for layer in network.layers:
        signal = start_on(own.outputs[layer])
        assert_equal(twin.picture(layer, signal), own.picture(layer, signal))


@pytest.mark.sampled(every=2)
@every_sequential
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_autograd_with_the_papers_way_down_is_the_paper(network: Network, way: WayDown):
    x = network.images(1)
    twin = Oracle(network.make(OracleParts(way)), x)
    layers = paper_layers(network.model())
    for layer in (network.layers[1], network.layers[-1]):
        signal = start_on(twin.outputs[layer])
        truth = paper.project_signal(
            layers,
            x[0].numpy(),
            int(layer),
            signal[0].numpy(),
            placement=way.unpool,
            overlap=way.overlap,
            lrn=way.lrn,
        )
        assert_equal(twin.picture(layer, signal)[0], truth)


@every_sequential
def test_one_unit_is_projected_as_in_section_two_of_the_paper(network: Network):
    x = network.images(1)
    twin = Oracle(network.make(OracleParts(DECONVNET)), x)
    layer = network.layers[-2]
    values = twin.outputs[layer][0].detach()
    unit = np.unravel_index(values.argmax().item(), values.shape)
    signal = torch.zeros_like(values)
    signal[unit] = values[unit]
    truth = paper.project(paper_layers(network.model()), x[0].numpy(), int(layer), unit[0], unit[1:])
    assert np.abs(truth).max() > 0
    assert_equal(twin.picture(layer, signal[None])[0], truth)


SEEN_BY_NAME = [
    "relu as module",
    "relu as F.relu",
    "relu as x.relu()",
    "relu as in-place module",
    "relu as torch.relu, in-place torch.relu_, in-place F.relu, in-place x.relu_(), clamp(min=0)",
    "relu6 as module, F.relu6, in-place module",
    "resnet, post-activation",
    "densenet block",
    "in-place relu changes what the skip adds",
    "one tensor feeds a relu and a skip",
]


@pytest.mark.parametrize("way", [DECONVNET, GUIDED], ids=["deconvnet", "guided"])
@pytest.mark.parametrize("name", SEEN_BY_NAME)
def test_intercepting_the_relus_of_the_untouched_network_gives_the_twins_picture(name, way):
    network = BY_NAME[name]
    x = network.images()
    with Rectifying(way):
        untouched = Oracle(network.model(), x)
    twin = oracle(network.name, way)
    for layer in network.layers:
        signal = start_on(twin.outputs[layer])
        assert_equal(untouched.picture(layer, signal), twin.picture(layer, signal))


def test_the_oracles_pool_has_pytorchs_gradient():
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64).relu().requires_grad_()
    pool = OracleMaxPool(lambda size: paper.pool_spans(size, 3, 2, 1, 1, True), DECONVNET)
    ours, truth = pool(x), F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    assert_equal(ours.detach(), truth.detach())
    signal = start_on(truth)
    assert_equal(torch.autograd.grad(ours, x, signal)[0], torch.autograd.grad(truth, x, signal)[0])


# the references against Captum and zennit -----------------------------------------------------------


def attribute(method: Callable[[], Tensor]) -> Tensor:
    """Captum's answer, without the one warning that it always prints."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU activations")
        return method().detach()


# module ReLUs, nowhere a tensor that feeds a ReLU and something else, no contrast norm
CAPTUM_IS_RIGHT = [
    "relu as module",
    "relu as in-place module",
    "convolutions and rectifiers only",
    "average pools",
    "relu after the pool",
    "one relu module used three times",
    "padding modes",
    "transposed convolutions",
    "three axes",
    "grouped, dilated, strided, asymmetrical",
    "batch norm with and without affine",
    "max-pools: padded and dilated, odd and even kernels",
    "fire module",
]


@pytest.mark.parametrize("name", CAPTUM_IS_RIGHT)
@pytest.mark.parametrize(("method", "way"), [(Deconvolution, DECONVNET), (GuidedBackprop, GUIDED)])
def test_captum_agrees_where_every_relu_is_a_module_of_its_own(name, method, way):
    network = BY_NAME[name]
    x = network.images()
    twin = Oracle(network.make(OracleParts(way)), x)
    scores = twin.outputs[""]
    target = tuple(length // 2 for length in scores.shape[1:])
    signal = torch.zeros_like(scores)
    signal[(slice(None), *target)] = 1
    model = network.model()
    picture = attribute(lambda: method(model).attribute(x.clone().requires_grad_(), target))
    assert_equal(picture, twin.picture("", signal))


@pytest.mark.parametrize("name", ["convolutions and rectifiers only", "relu after the pool"])
def test_captum_agrees_for_one_unit_of_a_layer(name):
    network = BY_NAME[name]
    x = network.images()
    model = network.model()
    layer = network.layers[1]
    twin = Oracle(network.make(OracleParts(DECONVNET)), x)
    signal = torch.zeros_like(twin.outputs[layer])
    signal[:, 1, 2, 2] = 1
    method = NeuronDeconvolution(model, model.get_submodule(layer))
    picture = attribute(lambda: method.attribute(x.clone().requires_grad_(), (1, 2, 2)))
    assert_equal(picture, twin.picture(layer, signal))


@pytest.mark.parametrize("name", ["relu as module", "one tensor feeds a relu and a skip", "resnet, post-activation"])
def test_zennit_agrees_also_where_a_skip_shares_the_input_of_a_relu(name):
    network = BY_NAME[name]
    x = network.images().requires_grad_()
    model = network.model()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    twin = Oracle(network.make(OracleParts(DECONVNET)), x)
    signal = start_on(twin.outputs[""])
    with ZennitDeconvNet().context(model) as with_rules:
        (picture,) = torch.autograd.grad(with_rules(x), x, signal)
    assert_equal(picture, twin.picture("", signal))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("relu as F.relu", "functional"),
        ("relu as x.relu()", "functional"),
        ("relu6 as module, F.relu6, in-place module", "functional"),
        ("one tensor feeds a relu and a skip", "skip"),
        ("two relus on one tensor", "skip"),
    ],
)
def test_captum_is_silently_wrong_on_functional_relus_and_shared_skips(name, why):
    network = BY_NAME[name]
    x = network.images()
    model = network.model()
    twin = Oracle(network.make(OracleParts(DECONVNET)), x)
    scores = twin.outputs[""]
    target = tuple(length // 2 for length in scores.shape[1:])
    signal = torch.zeros_like(scores)
    signal[(slice(None), *target)] = 1
    picture = attribute(lambda: Deconvolution(model).attribute(x.clone().requires_grad_(), target))
    truth = twin.picture("", signal)
    assert (picture - truth).abs().max() > 0.01 * truth.abs().max()
    if why == "functional":  # what it gives instead is the plain gradient
        assert_equal(picture, Oracle(network.model(), x).picture("", signal))


def test_captum_drops_the_skip_that_shares_the_input_of_a_relu():
    class Skipping(nn.Module):
        def __init__(self, skip: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
            self.relu, self.skip = nn.ReLU(), skip

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            return self.second(self.relu(h)) + self.skip * h

    x = torch.randn(1, 2, 8, 8)
    pictures = []
    for skip in (1.0, 0.0):
        model = Skipping(skip)
        leaf = x.clone().requires_grad_()
        pictures.append(attribute(lambda m=model, i=leaf: Deconvolution(m).attribute(i, (1, 3, 3))))
    assert torch.equal(*pictures)


def test_the_ordinary_parts_are_ordinary_pytorch():
    assert isinstance(Parts().relu(), nn.ReLU)
    assert isinstance(Parts().max_pool(2, 3), nn.MaxPool2d)
