"""Deconvnets whose passes are recorded and replayed: the bits of computed ones, whatever becomes of the network."""

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
import torch
from support.networks import BY_NAME, NETWORKS
from support.networks.zoo import Network
from support.tape import taped
from torch import Tensor, nn

from deconvnet import DeconvNet, OperationTable, Reconstruction
from deconvnet._errors import ArgumentError, DeconvNetWarning, NotFiniteError
from deconvnet.core.replays import Replays
from deconvnet.engine.carry import _Carrier

T = TypeVar("T")
IN_SMALL = (
    "zfnet in small", "resnet, post-activation", "fire module", "inception block",
    "squeeze and excite through linear layers",
)  # fmt: skip
HOST = {"_local_scalar_dense", "nonzero", "item", "masked_select", "unique", "is_nonzero", "equal"}


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    ).eval()  # fmt: skip


def images(seed: int, n: int = 1) -> Tensor:
    return torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(seed))


class Pair:
    """A network that records on tapes, and the same one while it is no time for that."""

    def __init__(self, **options: Any) -> None:
        self.model = small()
        self.net, self.recorder = taped(self.model, images(0), **options)

    def check(self, ask: Callable[[DeconvNet], Reconstruction], rules: str | None = None) -> None:
        """The same bits from both."""
        net = self.net if rules is None else self.net.with_rules(rules)
        ours, computed = ask(net), self.computed(lambda: ask(net))
        assert torch.equal(ours.full(), computed.full()) and torch.equal(ours.activations, computed.activations)

    def computed(self, ask: Callable[[], T]) -> T:
        """What is computed, not replayed."""
        self.recorder.closed = True
        try:
            return ask()
        finally:
            self.recorder.closed = False

    @property
    def replays(self) -> Replays:
        replays = self.net._attached.captures.replays
        assert replays is not None
        return replays


def a_class(seed: int) -> Callable[[DeconvNet], Reconstruction]:
    return lambda net: net.explain(images(seed), 1)


@pytest.mark.sampled(every=36)
@pytest.mark.parametrize("rules", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_replays_give_the_bits_of_the_computed_passes_on_all_networks(network: Network, rules: str):
    options = {"rules": rules} | ({} if network.output is None else {"output": network.output})
    net, recorder = taped(network.model(), network.images(2), **options)
    for seed in range(3):
        for layer in network.layers[-2:]:
            asked = {"channel": [0], "start": "one", "route": "dense"}
            recorder.closed = False
            ours = net.project(network.images(2, seed), layer, **asked)
            recorder.closed = True
            assert torch.equal(ours.full(), net.project(network.images(2, seed), layer, **asked).full())
    assert recorder.replays >= 4 and not any(HOST & set(tape.names) for tape in recorder.tapes)


@pytest.mark.parametrize("name", IN_SMALL)
def test_nothing_in_a_recorded_class_asks_its_device_for_a_value(name: str):
    network = BY_NAME[name]
    net, recorder = taped(network.model(), network.images(1))
    for seed in range(3):
        net.explain(network.images(1, seed))
    assert [tape.replayed for tape in recorder.tapes] == [2, 2], "the way up and the way down"
    for tape in recorder.tapes:
        assert not HOST & set(tape.names)


def test_weights_that_change_in_place_are_seen():
    pair = Pair(rules="guided")
    for seed in range(4):
        pair.check(a_class(seed))
        with torch.no_grad():
            for tensor in pair.model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.mul_(1.1)
    assert (len(pair.recorder.tapes), pair.recorder.replays) == (2, 6)


def test_weights_in_another_type_are_seen_to_change():
    pair = Pair(precision="float64")
    for seed in range(4):
        pair.check(a_class(seed))
        with torch.no_grad():
            pair.model[4].weight.mul_(1.1)
    assert (len(pair.recorder.tapes), pair.recorder.replays) == (2, 6)


def _assigned(model: nn.Module) -> None:
    model.load_state_dict({name: tensor * 1.5 for name, tensor in model.state_dict().items()}, assign=True)


def _replaced(model: nn.Module) -> None:
    model[4].weight = nn.Parameter(model[4].weight * 1.5)


def _by_data(model: nn.Module) -> None:
    model[4].weight.data = model[4].weight.data * 1.5


@pytest.mark.parametrize("change", [_assigned, _replaced, _by_data])
def test_weights_that_lie_elsewhere_are_seen(change: Callable[[nn.Module], None]):
    pair = Pair()
    for seed in range(6):
        if seed == 3:
            change(pair.model)
        pair.check(a_class(seed))
    assert (len(pair.recorder.tapes), pair.recorder.replays) == (4, 8)
    assert len(pair.replays) == 2


def test_another_type_of_weights_is_captured_and_recorded_anew():
    pair = Pair()
    for _ in range(2):
        pair.net.explain(images(1), 1)
    pair.model.double()
    for seed in range(3):
        pair.check(lambda net, s=seed: net.explain(images(s).double(), 1))
    assert len(pair.recorder.tapes) == 4 and len(pair.replays) == 2, "those of the old capture are gone"


def test_other_rules_sizes_targets_and_starts_are_answered_rightly():
    pair = Pair()
    for seed in range(3):
        for rules in ("deconvnet", "guided"):
            pair.check(a_class(seed), rules)
            pair.check(lambda net, s=seed: net.explain(images(s), 3, start="activation"), rules)
            pair.check(lambda net, s=seed: net.explain(images(s), targets="all"), rules)
            pair.check(lambda net, s=seed: net.explain(images(s, 2), 1), rules)
            pair.check(lambda net, s=seed: net.explain(images(s)[..., :10], 1), rules)
    assert len(pair.replays) <= 16 and pair.recorder.replays > 30


@pytest.mark.parametrize(("layer", "route"), [("4", "auto"), ("5", "dense")])
def test_units_are_replayed_whatever_their_number_and_images(layer: str, route: str):
    pair = Pair()
    for seed in range(3):
        pair.check(lambda net, s=seed: net.project(images(s, 2), layer, channel=[1, 2, 4], route=route))
        pair.check(lambda net, s=seed: net.project(images(s, 1), layer, channel="all", route=route))
        pair.check(lambda net, s=seed: net.project(images(s, 2), layer, channel=2, position="all", route=route))
        pair.check(lambda net, s=seed: net.project(images(s, 2), layer, start=torch.ones(2, 5, 4, 4), route=route))
        pair.check(lambda net, s=seed: net.project(images(s, 2), layer, channel=0, to="2", route=route))
    assert pair.recorder.replays >= 8


def test_more_signals_than_pay_go_down_as_ever():
    pair = Pair()
    for seed in range(3):
        pair.net.project(images(seed, 13), "4", channel="all", route="dense")
    assert [tape.replayed for tape in pair.recorder.tapes] == [2], "the way up alone"


def test_a_budget_that_splits_batches_changes_nothing():
    pair = Pair()
    for seed in range(3):
        pair.check(lambda net, s=seed: net.project(images(s, 4), "4", channel="all", memory=200_000))
    assert pair.recorder.replays


def test_folded_filters_follow_the_weights(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_Carrier, "_folds", property(lambda carrier: carrier.costs.folds))
    pair = Pair()
    for seed in range(4):
        pair.check(a_class(seed))
        with torch.no_grad():
            pair.model[0].weight.mul_(1.1)
            pair.model[1].running_var.mul_(1.2)
    assert pair.recorder.replays == 6


def test_activations_and_scores_are_replayed():
    pair = Pair()
    for seed in range(3):
        x = images(seed)
        for ask in (lambda x=x: pair.net.activations(x, "5")["5"], lambda x=x: pair.net.scores(x)):
            assert torch.equal(ask(), pair.computed(ask))
    assert (len(pair.recorder.tapes), pair.recorder.replays) == (2, 4)


def test_what_a_call_returned_is_not_overwritten_by_the_next():
    pair = Pair()
    results = [pair.net.explain(images(seed), 1) for seed in range(4)]
    before = [result.full().clone() for result in results]
    maps = [pair.net.activations(images(seed), "5")["5"] for seed in range(4)]
    assert all(torch.equal(result.full(), full) for result, full in zip(results, before, strict=True))
    assert len({float(each.sum()) for each in maps}) == 4


def test_a_watched_way_down_is_computed():
    pair = Pair()
    seen: list[str] = []
    for seed in range(3):
        pair.net.explain(images(seed), 1, watch=lambda layer, *rest: seen.append(layer))
    assert seen.count("the pixels") == 3
    assert len(pair.recorder.tapes) == 1, "the way up alone"


def test_rules_of_ones_own_are_never_recorded():
    table, factor = OperationTable(), [1.0]

    @table.rule("relu")
    def scaled(call: Any, signal: Tensor) -> Tensor:
        return signal.clamp(min=0) * factor[0]

    pair = Pair(operations=table)
    for seed in range(4):
        pair.check(a_class(seed))
        factor[0] += 1
    assert len(pair.recorder.tapes) == 1, "the way up alone"


def test_a_rule_that_is_added_later_counts():
    table = OperationTable()
    pair = Pair(operations=table)
    for seed in range(3):
        pair.check(a_class(seed))
    table.rule("relu")(lambda call, signal: signal * 0.5)
    pair.check(a_class(0))


def test_nan_is_found_in_a_replay_as_well():
    pair = Pair()
    for seed in range(3):
        pair.net.explain(images(seed), 1)
    with torch.no_grad():
        pair.model[4].weight.fill_(3e38)
    with pytest.raises(NotFiniteError, match="first appears at layer '4'"):
        pair.net.explain(images(1), 1)


def test_an_error_inside_a_recording_is_told_and_the_computed_way_answers():
    pair = Pair()
    pair.recorder.fault = RuntimeError("CUDA error: operation failed")
    pair.net.explain(images(0), 1)
    with pytest.warns(DeconvNetWarning, match="CUDA error: operation failed. It is computed as without cuda_graphs"):
        result = pair.net.explain(images(1), 1)
    assert torch.equal(result.full(), pair.net.explain(images(1), 1).full()) and len(pair.replays) == 0


def test_threads_that_share_a_network_all_get_their_own_answers():
    pair = Pair()
    expected = [pair.computed(lambda s=seed: pair.net.explain(images(s), 1)).full() for seed in range(8)]
    wrong: list[int] = []

    def ask(first: int) -> None:
        for turn in range(8):
            seed = (first + turn) % 8
            if not torch.equal(pair.net.explain(images(seed), 1).full(), expected[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and pair.recorder.replays


def test_recordings_die_with_the_network():
    net, _ = taped(small(), images(0))
    for seed in range(2):
        net.explain(images(seed), 1)
    assert net._attached.captures.replays is not None and len(net._attached.captures.replays) == 2
    replays = weakref.ref(net._attached.captures.replays)
    gc.disable()
    try:
        del net
        assert replays() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("send", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_network_is_sent_elsewhere_without_its_recordings(send: Callable[[DeconvNet], DeconvNet]):
    net = DeconvNet(small(), images(0), cuda_graphs=True, memory="1GB")
    for seed in range(2):
        net.explain(images(seed), 1)
    other = send(net)
    assert torch.equal(other.explain(images(1), 1).full(), net.explain(images(1), 1).full())
    replays = other._attached.captures.replays
    assert replays is not None and replays._memory == 10**9 and len(replays) == 0


def test_on_a_cpu_nothing_is_recorded():
    net = DeconvNet(small(), images(0), cuda_graphs=True)
    for seed in range(3):
        net.explain(images(seed), 1)
    replays = net._attached.captures.replays
    assert replays is not None and len(replays) == 0


def test_cuda_graphs_and_deterministic_do_not_go_together():
    with pytest.raises(ArgumentError, match="cuda_graphs does not go with deterministic"):
        DeconvNet(small(), images(0), cuda_graphs=True, deterministic=True)


# On a CUDA device

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")


@pytest.fixture
def on_device() -> Iterator[tuple[DeconvNet, DeconvNet]]:
    """A network that records and one that does not, of the same weights."""
    model, x = small().cuda(), images(0).cuda()
    yield DeconvNet(model, x, cuda_graphs=True), DeconvNet(model, x)
    assert not torch.cuda.is_current_stream_capturing()


def assert_close(ours: Reconstruction, computed: Reconstruction) -> None:
    scale = computed.full().abs().max()
    assert (ours.full() - computed.full()).abs().max() <= 1e-6 * scale


@on_cuda
def test_cuda_graphs_give_what_is_computed(on_device: tuple[DeconvNet, DeconvNet]):
    net, plain = on_device
    for seed in range(4):
        x = images(seed, 2).cuda()
        assert_close(net.explain(x, 1), plain.explain(x, 1))
        assert_close(net.project(x, "4", channel=[1, 3]), plain.project(x, "4", channel=[1, 3]))
        with torch.no_grad():
            net.model[4].weight.mul_(1.1)
            net.model[1].running_var.mul_(1.1)
    replays = net._attached.captures.replays
    assert replays is not None and len(replays) >= 3 and replays.bytes > 0


@on_cuda
def test_cuda_graphs_on_another_stream_are_others(on_device: tuple[DeconvNet, DeconvNet]):
    net, plain = on_device
    for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
        with torch.cuda.stream(stream):
            for seed in range(3):
                x = images(seed).cuda()
                assert_close(net.explain(x, 1), plain.explain(x, 1))


@on_cuda
def test_a_cuda_graph_that_fails_leaves_nothing_behind(on_device: tuple[DeconvNet, DeconvNet], monkeypatch: Any):
    net, plain = on_device
    stream, x = torch.cuda.current_stream(), images(1).cuda()
    net.explain(x, 1)
    monkeypatch.setattr("deconvnet.core.replays._not_again", lambda function, *rest: _fails_in_a_capture())
    with pytest.warns(DeconvNetWarning, match="in a capture"):
        result = net.explain(x, 1)
    monkeypatch.undo()
    assert_close(result, plain.explain(x, 1))
    assert torch.cuda.current_stream() == stream and torch.randn(3, device="cuda").isfinite().all()


def _fails_in_a_capture() -> None:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError("in a capture")


@on_cuda
def test_under_the_capture_of_another_nothing_is_replayed(on_device: tuple[DeconvNet, DeconvNet]):
    replays = on_device[0]._attached.captures.replays
    assert replays is not None
    graph, x = torch.cuda.CUDAGraph(), torch.ones(3, device="cuda")
    with torch.cuda.graph(graph):
        for _ in range(3):
            y = replays.run("twice", None, lambda tensors: {"y": 2 * tensors["x"]}, {"x": x}, {})["y"]
    graph.replay()
    assert len(replays) == 0 and float(y.sum()) == 6
