"""Which classes, layers and units a page shows, and in which order."""

import numpy as np
import pytest
import torch
from support.pages import small, stack
from torch import nn

from deconvnet import LoadedModel, Preprocess
from deconvnet.models.detector_answers import DetectorAnswers
from deconvnet.viewer.images import TILE, tiles
from deconvnet.viewer.select import contributing, likeliest, positions_of, ranked, strongest_of, units_of, with_wanted

PHOTOS = Preprocess((3, 3), 3, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("most", [1, 7, 48])
def test_units_are_ordered_strong_maps_first_and_of_strong_maps_more_units(most):
    maps = torch.rand(20, 5, 6, generator=torch.Generator().manual_seed(1)) - 0.3
    maps[3] = -1.0
    strongest = sorted(range(20), key=lambda c: (-float(maps[c].max()), c))[:most]
    expected = []
    for m, c in enumerate(strongest, start=1):
        for k, unit in enumerate(positions_of(maps[c].numpy()), start=1):
            if m * k**1.5 <= most:
                expected.append((m * k**1.5, m, c, unit))
    assert units_of(maps, most) == [(c, unit) for _, _, c, unit in sorted(expected)]
    assert all(channel != 3 for channel, _ in units_of(maps, most))


def test_peaks_come_before_what_lies_beside_them():
    values = np.array([[0.0, 5, 6, 5, 0], [0, 0, 0, 0, 0], [3, 2, 0, 0, -1]])
    assert positions_of(values) == [(0, 2), (2, 0), (0, 1), (0, 3), (2, 1)]
    assert positions_of(values, 3) == [(0, 2), (2, 0), (0, 1)]


def test_units_that_others_ask_for_stand_between_the_layers_own_and_none_twice():
    own, wanted = [(3, (0, 0)), (1, (2, 2)), (7, (1, 1))], [(1, (2, 2)), (9, (0, 1))]
    assert with_wanted(own, wanted) == [(3, (0, 0)), (1, (2, 2)), (9, (0, 1)), (7, (1, 1))]


def test_maps_that_are_nowhere_above_zero_have_no_strongest_unit():
    maps = torch.zeros(3, 2, 2)
    maps[1, 0, 1] = 2.0
    assert strongest_of(maps, [0, 1]) == [(1, (0, 1))]


def test_a_class_rests_on_the_units_of_largest_activation_times_signal_one_of_each_map():
    net, loaded = small(stack())
    x = loaded.preprocess.images("sample:chelsea")
    signals = {}
    net.explain(x, 2, watch=lambda layer, indices, signal, low: signals.update({layer: signal[0]}))
    (maps,) = net.activations(x, ["relu2"])["relu2"]
    (channel, position, share), *others = contributing(maps, signals["relu2"])
    products = (maps * signals["relu2"]).clamp(min=0)
    assert products[channel, *position] == products.max()
    assert share == pytest.approx(float(products.max() / products.sum()))
    assert len({channel for channel, _, _ in others}) == len(others) == 3


def test_the_likeliest_answers_of_a_detector_are_of_different_classes():
    answers = DetectorAnswers(((2, 2),), (2,), ("cat", "dog", "elk"), 3, 0, (8, 8))
    probabilities = torch.linspace(0, 0.2, 24)
    probabilities[[4, 7]] = torch.tensor([0.9, 0.8])  # two dogs
    assert [(of.index, of.target) for of in likeliest(probabilities, answers)] == [(4, 4), (23, 23), (21, 21)]
    facts = likeliest(probabilities, answers)[0].facts(
        LoadedModel(nn.Sequential(nn.Flatten(), nn.Linear(27, 24)), PHOTOS, answers)
    )
    assert facts["label"] == "dog, level 0, anchor 1, at (0, 0)" and facts["in_full"]
    assert facts["target"] == "0,1,1,0,0"


def test_maps_of_other_axes_than_two_have_tiles_too():
    for size in ((5,), (4, 4), (2, 3, 4), (2, 2, 3, 4)):
        assert tiles(torch.randn(3, *size)).shape == (3, TILE, TILE)


def test_of_an_output_of_more_axes_than_a_photo_the_likeliest_numbers_are_shown_by_where_they_stand():
    probabilities = torch.zeros(2, 3, 3, 4)
    probabilities[1, 2, 0, 3], probabilities[0, 1, 1, 2] = 0.9, 0.8
    top = likeliest(probabilities, None)
    assert [of.target for of in top[:2]] == [(1, 2, 0, 3), (0, 1, 1, 2)]
    loaded = LoadedModel(nn.Conv2d(3, 2, 1), PHOTOS, ("cat", "dog"))
    facts = top[0].facts(loaded)
    assert facts["label"] == "number (1, 2, 0, 3)" and facts["in_full"] and facts["target"] == "1,2,0,3"


def test_every_class_has_a_rank_and_is_found_by_words_or_number():
    names = ("tabby cat", "collie", "owl", "tiger cat", "lamp", "a 3 litre jug", "oystercatcher")
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 7))
    loaded = LoadedModel(model, Preprocess((8, 8), 8, (0.5,) * 3, (0.25,) * 3), names)
    probabilities = torch.tensor([0.1, 0.05, 0.2, 0.3, 0.15, 0.08, 0.12])
    classes = ranked(probabilities, names)
    assert [of.index for of in classes.first] == [3, 2, 4, 6, 0] and len(classes) == 7
    assert [classes[rank].index for rank in range(7)] == probabilities.argsort(descending=True).tolist()

    def found(text: str) -> list[int]:
        return [classes[rank].index for rank in classes.matching(text, loaded)]

    assert found("cat") == [3, 0, 6] and found(" CAT tab") == [0] and found("3") == [3, 5] and found("1") == [1]
    assert found("") == found("  ") == found("wolf") == found("9" * 5000) == []
