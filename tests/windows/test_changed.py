"""Parts of images that change: what the windows alone give is what the whole images give."""

import numpy as np
import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st
from support.networks import BY_NAME
from support.random_networks import Build, built, convolutions, others, pools, random_networks
from support.windowed import SPREADING, windows_are
from torch import Tensor, nn
from torchvision import models

from deconvnet import CaptureError, DeconvNet
from deconvnet.capture.untouched import computing
from deconvnet.core.rules import RuleSet
from deconvnet.core.up import forward
from deconvnet.network import attached
from deconvnet.windows.changed import Changes
from deconvnet.windows.cost import RouteName

LARGE = 10**9  # numbers that fit


def changes_of(
    net: DeconvNet, x: Tensor, low: np.ndarray, size: tuple[int, ...], route: RouteName = "windowed"
) -> tuple[Changes, Tensor]:
    """Boxes of pixels that become something else, and the whole images."""
    engine = attached(net)
    graph = engine.graph(x)
    outputs = dict.fromkeys([value.name for value in graph.outputs.values()])
    high = np.minimum(low + np.array(size), np.array(x.shape[2:]))
    changed = x.repeat(len(low), *[1] * (x.ndim - 1))
    for image, first, last in zip(changed, low, high, strict=True):
        here = (slice(None), *(slice(int(a), int(b)) for a, b in zip(first, last, strict=True)))
        image[here] = -image[here]
    return Changes(graph, engine.operations.rows, outputs, low, high, route), changed


def in_windows(changes: Changes, net: DeconvNet, x: Tensor, whole: Tensor, most: int = LARGE) -> dict[str, Tensor]:
    results: dict[str, Tensor] = {}
    with computing():
        batches = changes.batches(most)
        unchanged = changes.unchanged(net.model, x, batches, {})
        for batch in batches:
            at = batch.windows[changes.graph.input.name]
            windows = torch.stack([
                whole[(i, slice(None), *(slice(int(a), int(a) + n) for a, n in zip(low, at.size, strict=True)))]
                for i, low in zip(batch.indices, at.low, strict=True)
            ])  # fmt: skip
            for name, value in changes.run(batch, net.model, windows, unchanged).items():
                room = results.setdefault(name, value.new_full((len(whole), *value.shape[1:]), torch.nan))
                room[torch.from_numpy(batch.indices)] = value
    return results


def check(
    net: DeconvNet, x: Tensor, low: np.ndarray, size: tuple[int, ...], most: int = LARGE, route: RouteName = "windowed"
) -> Changes:
    changes, whole = changes_of(net, x, low, size, route)
    results = in_windows(changes, net, x, whole, most)
    with computing():
        expected = [forward(changes.graph, net.model, each[None], frozenset(results), RuleSet(), {}) for each in whole]
    closeness = 1e-10 if x.dtype == torch.float64 else 1e-5
    for name, result in results.items():
        full = torch.cat([trace.values[name] for trace in expected])
        assert (result - full).abs().max() <= closeness * full.abs().max()
    return changes


def grid(size: tuple[int, ...], square: tuple[int, ...], stride: int) -> np.ndarray:
    axes = [np.arange(0, max(n - s + stride, 1), stride) for n, s in zip(size, square, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(size))


@random_networks
@given(
    st.lists(st.one_of(convolutions(), pools(), others(), others()), min_size=1, max_size=6),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([3, 5, 7]),
)
def test_windows_give_what_whole_images_give(builds: list[Build], square: tuple[int, int], stride: int) -> None:
    model, x = built(builds)
    try:
        net = DeconvNet(model, x)
    except CaptureError:
        reject()
    check(net, x, grid(tuple(x.shape[2:]), square, stride), square)


@pytest.mark.parametrize("name", [name for name in BY_NAME if BY_NAME[name].images(1).ndim == 4][::4])
def test_networks_of_the_zoo_give_in_windows_what_they_give_whole(name: str) -> None:
    network = BY_NAME[name]
    x = network.images(1)
    options = {} if network.output is None else {"output": network.output}
    size = tuple(max(1, n // 5) for n in x.shape[2:])
    check(DeconvNet(network.model(), x, **options), x, grid(tuple(x.shape[2:]), size, 7), size)


@pytest.mark.parametrize("name", SPREADING)
def test_steps_that_enlarge_maps_run_in_windows(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), SPREADING[name](), nn.Conv2d(4, 2, 3, 2))
    x = torch.randn(1, 3, 40, 44)
    changes = check(DeconvNet(model, x), x, grid((40, 44), (5, 6), 9), (5, 6))
    in_windows = 2 if name == "transposed with gaps" else len(changes.steps)  # between gaps nothing is reached
    assert all(len(batch.local) == in_windows for batch in changes.batches(LARGE))


@pytest.mark.parametrize("axes", [1, 3])
def test_signals_and_volumes_run_in_windows(axes: int) -> None:
    conv, pool = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.MaxPool3d)}[axes]
    torch.manual_seed(0)
    model = nn.Sequential(conv(1, 4, 3, padding=1), nn.ReLU(), pool(2), conv(4, 3, 3), nn.Flatten())
    size = (30,) * axes
    x = torch.randn(1, 1, *size)
    changes = check(DeconvNet(model, x), x, grid(size, (6,) * axes, 11), (6,) * axes)
    assert changes.batches(LARGE)[0].local


def deep() -> tuple[DeconvNet, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    x = torch.randn(1, 3, 96, 96)
    return DeconvNet(model, x), x


def test_what_sees_whole_maps_and_all_behind_it_is_computed_on_whole_maps() -> None:
    net, x = deep()
    changes, _ = changes_of(net, x, grid((96, 96), (9, 9), 20), (9, 9))
    for batch in changes.batches(LARGE):
        operations = [step.operation for step in changes.steps if step.output.name in batch.local]
        assert operations == ["aten.conv2d", "relu", "aten.max_pool2d", "aten.conv2d", "relu"]


def test_a_change_of_the_whole_image_runs_on_whole_maps() -> None:
    net, x = deep()
    changes = check(net, x, np.zeros((2, 2), dtype=np.int64), (96, 96))
    assert all(not batch.local for batch in changes.batches(LARGE))


def test_batches_hold_no_more_than_they_may_and_every_change_once() -> None:
    net, x = deep()
    low = grid((96, 96), (9, 9), 8)
    check(net, x, low, (9, 9), most=1)
    changes, _ = changes_of(net, x, low, (9, 9))
    single = changes.batches(1)
    assert sorted(i for batch in single for i in batch.indices.tolist()) == list(range(len(low)))
    assert all(len(batch.indices) == 1 for batch in single)
    assert len(changes.batches(LARGE)) < len(single)


@pytest.mark.parametrize("method", ["copied", "gathered"])
def test_windows_are_pasted_alike_however_they_are_moved(method: str) -> None:
    net, x = deep()
    with windows_are(method):
        check(net, x, grid((96, 96), (9, 9), 29), (9, 9))


@pytest.mark.parametrize("route", ["auto", "dense"])
def test_other_routes_give_the_same(route: RouteName) -> None:
    net, x = deep()
    changes = check(net, x, grid((96, 96), (9, 9), 29), (9, 9), route=route)
    assert route == "auto" or not any(batch.local for batch in changes.batches(LARGE))


def test_a_network_that_mixes_its_images_runs_one_at_a_time() -> None:
    class Mixes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x.mean(0, keepdim=True)).flatten(1)

    x = torch.randn(1, 3, 12, 12)
    changes = check(DeconvNet(Mixes(), x), x, grid((12, 12), (3, 3), 4), (3, 3))
    assert {len(batch.indices) for batch in changes.batches(LARGE)} == {1}


def test_only_the_maps_that_are_wanted_come_back() -> None:
    net, x = deep()
    changes, whole = changes_of(net, x, grid((96, 96), (9, 9), 40), (9, 9))
    maps = attached(net).own_graph().layers["4"]
    some = Changes(
        changes.graph, changes.rows, {maps.name: torch.tensor([5, 2])}, changes.low, changes.high, "windowed"
    )
    result = in_windows(some, net, x, whole)[maps.name]
    expected = net.activations(whole, "4")["4"][:, [5, 2]]
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg16", "resnet50"])
def test_networks_of_torchvision_give_in_windows_what_they_give_whole(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 224, 224)
    changes = check(DeconvNet(getattr(models, name)().eval(), x), x, grid((224, 224), (50, 50), 87), (50, 50))
    assert any(batch.local for batch in changes.batches(LARGE))
