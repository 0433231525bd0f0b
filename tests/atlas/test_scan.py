"""A scan against brute force: all activations kept and sorted; and the same bytes however it is split."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, NotFiniteError
from deconvnet.atlas import scan as scan_module
from deconvnet.atlas.options import scan_layers
from deconvnet.atlas.ranking import NONE
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.tally import QUANTILES, Tally
from deconvnet.core.up import forward
from deconvnet.network import attached

SIZE = 4


@pytest.fixture(scope="module")
def net() -> DeconvNet:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(inplace=True),
        nn.Flatten(), nn.Linear(6 * 5 * 5, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 2),
    )  # fmt: skip
    return DeconvNet(model.eval(), torch.zeros(1, 3, 16, 16))


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    made = torch.randn(11, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    made[7] = made[2]  # ties
    return made


def layers_of(net: DeconvNet, layers):
    return scan_layers(attached(net), net.layers, layers)


def scanned(net: DeconvNet, photos: torch.Tensor, layers, k: int = 4, first: int = 0, last: int = 99) -> Scan:
    scan = Scan(layers_of(net, layers), k)
    for start in range(0, len(photos), SIZE):
        if not first <= start < last:
            continue
        x = torch.zeros(SIZE, *photos.shape[1:])
        part = photos[start : start + SIZE]
        x[: len(part)] = part
        scan.add(attached(net), x, range(len(part)), range(start, start + len(part)))
    return scan


def test_the_strongest_activations_and_statistics_are_those_of_all_activations_sorted(net, photos):
    scan = scanned(net, photos, "all")
    assert [layer.name for layer in scan.layers] == ["1", "4", "7"]
    kept = {layer.name: [] for layer in scan.layers}
    for start in range(0, len(photos), SIZE):
        x = torch.zeros(SIZE, 3, 16, 16)
        part = photos[start : start + SIZE]
        x[: len(part)] = part
        for name, values in net.activations(x, list(kept)).items():
            kept[name].append(values[: len(part)])
    for name, parts in kept.items():
        values = torch.cat(parts).double().flatten(2) if parts[0].ndim > 2 else torch.cat(parts).double()[:, :, None]
        ranking, statistics = scan.rankings[name], scan.statistics[name]
        for c in range(values.shape[1]):
            best = [(-float(values[i, c].max()), i, int(values[i, c].argmax())) for i in range(len(photos))]
            best = [row for row in sorted(best) if row[0] < 0][:4]
            found = zip(*(part[c].tolist() for part in vars(ranking).values()), strict=True)
            assert [(-float(a), int(i), int(p)) for a, i, p in found if np.isfinite(a)] == best
        assert statistics.photos == len(photos)
        np.testing.assert_allclose(statistics.mean, values.mean((0, 2)).numpy(), rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(statistics.largest, values.amax((0, 2)).float().numpy())
        np.testing.assert_allclose(statistics.active, (values > 0).double().mean((0, 2)).numpy())
        peaks = np.sort(values.amax(2).numpy(), axis=0)
        for j, q in enumerate(QUANTILES):
            exact = peaks[int(np.ceil(q * len(photos))) - 1]
            np.testing.assert_allclose(statistics.quantiles[:, j], exact, rtol=0.05, atol=1e-6)


def test_equal_photos_are_ranked_in_their_order(net, photos):
    scan = scanned(net, photos[[2, 7]], ["4"], k=2)
    ranking = scan.rankings["4"]
    alive = ranking.images[:, 0] != NONE
    assert alive.any() and (ranking.images[alive] == torch.tensor([0, 1])).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_merge_to_the_same_bytes_in_any_order(net, photos, order):
    whole = scanned(net, photos, "all")
    parts = [scanned(net, photos, "all", first=4 * i, last=4 * i + 4) for i in order]
    merged = parts[0]
    for other in parts[1:]:
        merged.merge(other)
    for name, array in whole.tally.arrays().items():
        assert array.tobytes() == merged.tally.arrays()[name].tobytes(), name


def test_slots_without_a_photo_do_not_count(net, photos):
    x = torch.zeros(SIZE, 3, 16, 16)
    x[[0, 2]] = photos[:2]
    scan = Scan(layers_of(net, ["1"]), 3)
    scan.add(attached(net), x, [0, 2], [10, 11])
    ranking = scan.rankings["1"]
    assert set(ranking.images[ranking.images != NONE].tolist()) <= {10, 11}
    assert scan.statistics["1"].photos == 2
    scan.add(attached(net), x, [], [])
    assert scan.statistics["1"].photos == 2


def test_a_tally_comes_back_from_its_arrays(net, photos):
    tally = scanned(net, photos, ["4"]).tally
    again = Tally(tally.map_positions, 4)
    again.restore(tally.arrays(), np.arange(11), 11)
    assert all(np.array_equal(array, again.arrays()[name]) for name, array in tally.arrays().items())
    again.merge(scanned(net, photos, ["4"], first=4, last=8).tally)
    assert tally.statistics().photos == 11 and again.statistics().photos == 15


def test_no_photos_give_statistics_that_are_no_numbers():
    statistics = Tally([4] * 3, 2).statistics()
    assert statistics.photos == 0
    assert np.isnan([*statistics.mean, *statistics.largest, *statistics.active, *statistics.quantiles.ravel()]).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_not_a_number_names_the_layer_and_the_first_such_photo_before_anything_is_saved(net, photos, value):
    x = photos[:4].clone()
    x[[2, 3]] = value
    scan = Scan(layers_of(net, "all"), 2)
    scan.add(attached(net), x[[0, 1, 1, 0]], range(4), range(4))
    scan.check()
    scan.add(attached(net), x, range(4), range(20, 24))
    with pytest.raises(NotFiniteError, match=r"layer '1' gives NaN or infinity for photo number 22\."):
        scan.check()


@pytest.mark.parametrize("layers", ["all", ["4"]])
def test_what_is_measured_on_an_accelerator_is_what_is_measured_beside_a_cpu(net, photos, monkeypatch, layers):
    beside_cpu = scanned(net, photos, layers)
    measured = []

    def measure(maps, *_):
        measured.append(len(maps))
        return scan_module._measure(maps)

    monkeypatch.setattr(scan_module, "_measure_in_cache", measure)
    on_device = scanned(net, photos, layers)
    assert len(measured) == 3 * len(beside_cpu.layers)
    for name, array in beside_cpu.tally.arrays().items():
        assert array.tobytes() == on_device.tally.arrays()[name].tobytes(), name


def test_a_step_of_a_scan_copies_nothing_to_the_cpu(net, photos, monkeypatch):
    """On the device "meta", which has no values: whatever asks for one, or for how many there are of something, fails.

    So on a GPU nothing comes back but what is asked for at the end.
    """
    layers, graph = layers_of(net, "all"), attached(net).own_graph()
    model = copy.deepcopy(net.model).to("meta")

    def watch(attached_, x, names, call, remember, look_for_nan):
        assert not look_for_nan
        calls = {graph.layers[name].name: partial(call, name) for name in names}
        return forward(graph, model, x, frozenset(), attached_.rules, {}, calls)

    monkeypatch.setattr(scan_module, "watch_activations", watch)
    scan = Scan(layers, 3, "meta")
    for first in range(0, 80, 4):
        scan.add(attached(net), torch.empty(4, 3, 16, 16, device="meta"), [0, 1, 3], range(first, first + 3))
    assert scan.tally.device.type == "meta" and scan.tally.least.shape == (5 + 6 + 7,)
    for ask in (scan.check, lambda: scan.rankings, lambda: scan.statistics, scan.top_units):
        with pytest.raises((NotImplementedError, RuntimeError), match="meta tensor"):
            ask()


def test_quantiles_tell_numbers_apart_at_the_same_edges_everywhere():
    tally = Tally([1] * 7, 1)
    edge = np.float32(2.0 ** (3 + 1 / 8))
    values = [0.0, -1.0, 1e-30, np.nextafter(edge, np.float32(0)), edge, 1e30, 1.0]
    peaks = torch.tensor([values], dtype=torch.float32)
    zeros = torch.zeros(1, 7, dtype=torch.int64)
    tally.add(torch.tensor([0]), peaks, zeros, peaks, zeros)
    bins = tally.arrays()["bins"].argmax(1)
    assert bins.tolist() == [0, 0, 1, 1 + 8 * 23, 1 + 8 * 23 + 1, 321, 1 + 8 * 20]


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ([], ArgumentError, "layers are names, each once"),
        (["1", "1"], ArgumentError, "layers are names, each once"),
        (["nosuch"], LayerNotFoundError, "no layer 'nosuch'"),
    ],
)
def test_layers_that_cannot_be_scanned_are_told(net, layers, error, words):
    with pytest.raises(error, match=words):
        layers_of(net, layers)


def test_a_network_without_rectifiers_has_to_be_told_its_layers():
    plain = DeconvNet(nn.Sequential(nn.Conv2d(3, 2, 3)), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ArgumentError, match="the network does not have a rectifier"):
        layers_of(plain, "all")


class Groups(nn.Module):
    """Rectifies feature maps before and after these stand in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)
        self.of_groups = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.of_groups(self.relu(self.conv(x)).unflatten(1, (2, 2))).flatten(1, 2))


def test_layers_whose_maps_stand_in_groups_are_refused_and_not_among_all():
    net = DeconvNet(Groups().eval(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ArgumentError, match="a unit of 'of_groups' has a position of 3 numbers, in 2x6x6"):
        layers_of(net, ["of_groups"])
    assert [info.name for info in layers_of(net, "all")] == ["relu"]
