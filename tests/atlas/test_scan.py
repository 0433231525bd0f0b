"""A scan against brute force: all activations kept and sorted; and the same bytes however it is split."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import ArgumentError, DeconvNet, LayerNotFoundError, NotFiniteError
from deconvnet.atlas.options import scan_layers
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.tally import QUANTILES, Tally
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
    kept = {name: [] for name in scan.tallies}
    for start in range(0, len(photos), SIZE):
        x = torch.zeros(SIZE, 3, 16, 16)
        part = photos[start : start + SIZE]
        x[: len(part)] = part
        for name, values in net.activations(x, list(kept)).items():
            kept[name].append(values[: len(part)])
    for name, parts in kept.items():
        values = torch.cat(parts).double().flatten(2) if parts[0].ndim > 2 else torch.cat(parts).double()[:, :, None]
        tally = scan.tallies[name]
        for c in range(values.shape[1]):
            best = [(-float(values[i, c].max()), i, int(values[i, c].argmax())) for i in range(len(photos))]
            best = [row for row in sorted(best) if row[0] < 0][:4]
            ranking = tally.ranking
            found = zip(ranking.activations[c], ranking.images[c], ranking.positions[c], strict=True)
            assert [(-float(a), int(i), int(p)) for a, i, p in found if np.isfinite(a)] == best
        statistics = tally.statistics()
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
    ranking = scan.tallies["4"].ranking
    alive = np.isfinite(ranking.activations[:, 0])
    assert alive.any() and (ranking.images[alive] == [0, 1]).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_merge_to_the_same_bytes_in_any_order(net, photos, order):
    whole = scanned(net, photos, "all")
    parts = [scanned(net, photos, "all", first=4 * i, last=4 * i + 4) for i in order]
    merged = parts[0]
    for other in parts[1:]:
        merged.merge(other)
    for name, tally in whole.tallies.items():
        for key, array in tally.arrays().items():
            assert array.tobytes() == merged.tallies[name].arrays()[key].tobytes(), (name, key)


def test_slots_without_a_photo_do_not_count(net, photos):
    x = torch.zeros(SIZE, 3, 16, 16)
    x[[0, 2]] = photos[:2]
    scan = Scan(layers_of(net, ["1"]), 3)
    scan.add(attached(net), x, [0, 2], [10, 11])
    ranking = scan.tallies["1"].ranking
    assert set(ranking.images[np.isfinite(ranking.activations)].tolist()) <= {10, 11}
    assert scan.tallies["1"].statistics().photos == 2
    scan.add(attached(net), x, [], [])
    assert scan.tallies["1"].statistics().photos == 2


def test_a_tally_comes_back_from_its_arrays(net, photos):
    tally = scanned(net, photos, ["4"]).tallies["4"]
    again = Tally(6, tally.map_positions, tally.ranking.k)
    again.restore(tally.arrays(), np.arange(11), 11)
    assert all(np.array_equal(array, again.arrays()[name]) for name, array in tally.arrays().items())
    again.merge(scanned(net, photos, ["4"], first=4, last=8).tallies["4"])
    assert tally.statistics().photos == 11 and again.statistics().photos == 15


def test_no_photos_give_statistics_that_are_no_numbers():
    statistics = Tally(3, 4, 2).statistics()
    assert statistics.photos == 0
    assert np.isnan([*statistics.mean, *statistics.largest, *statistics.active, *statistics.quantiles.ravel()]).all()


def test_not_a_number_names_the_layer_and_the_photo(net, photos):
    x = photos[:4].clone()
    x[2] = 1e38
    x[3] = float("nan")
    scan = Scan(layers_of(net, "all"), 2)
    with pytest.raises(NotFiniteError):
        scan.add(attached(net), x, range(4), range(20, 24))


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
