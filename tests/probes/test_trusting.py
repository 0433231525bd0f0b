"""`trust`: all measures of one picture, their page, their figure, and what is refused."""

import warnings

import pytest
import torch
from support.pictured import images, pooled_net

import deconvnet
from deconvnet import ArgumentError, DeconvNet, Preprocess
from deconvnet.probes import Measure, Null, Trust, trust
from deconvnet.probes.measures import MEASURES

QUICK = ["other units", "edges", "other images"]
PREPARE = Preprocess((24, 20), None, (0.5,) * 3, (0.25,) * 3)


def _trust(**options: object) -> Trust:
    net, x = pooled_net(), PREPARE.images("sample:chelsea")
    return trust(net, x, net.project(x, "4", channel="top:1"), measures=QUICK, preprocess=PREPARE, **options)


def test_measures_come_in_their_order_whatever_order_is_asked_for():
    result = _trust()
    assert [measure.name for measure in result] == ["other units", "other images", "edges"]
    assert result["edges"].value is not None and len(result) == 3
    with pytest.raises(ArgumentError, match="no measure 'noise'"):
        result["noise"]


@pytest.mark.parametrize("target", ["unit", "class"])
def test_all_measures_answer_or_say_why_not_under_their_own_names(target: str):
    net, x = pooled_net(), images(1)
    result = net.explain(x, 1) if target == "class" else net.project(x, "4", channel="top:1")
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = trust(net, x, result, progress=lambda now, of: done.append((now, of)))
    assert [measure.name for measure in measured] == list(MEASURES)
    assert all((measure.value is None) == bool(measure.why_not) for measure in measured)
    assert done[-1] == (len(MEASURES), len(MEASURES))
    for measure in measured:
        if measure.words:
            assert any(null.limits for null in measure.nulls) or "does not depend" in measure.words


def test_a_measure_alone_is_the_same_as_among_others():
    net, x = pooled_net(), images(1)
    result = net.project(x, "4", channel="top:1")
    both = trust(net, x, result, measures=["noise", "edges"])
    assert trust(net, x, result, measures="edges")["edges"] == both["edges"]


def test_the_page_has_each_question_with_its_value_its_nulls_and_its_words_and_then_the_verdict():
    result = _trust()
    lines = result.text().splitlines()
    page = " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 100
    for measure in result:
        assert measure.question in page and measure.words in page
        assert all(null.name in page for null in measure.nulls)
    assert page.rstrip().endswith(f"Verdict: {result.verdict}")
    assert "scikit-image's photos (3); where 20 are compared" in page


def test_a_verdict_is_made_of_sentences_that_lie_outside_their_nulls():
    null = Null("nothing", tuple(i / 20 for i in range(20)))
    measure = Measure("edges", "Edges?", 2.0, nulls=(null,), words="It is an edge map (2.00). It is.")
    assert null.limits == pytest.approx((0.0475, 0.9025)) and null.side(2.0) == 1 and null.side(0.5) == 0
    result = _trust()
    object.__setattr__(result, "measures", (measure,))
    assert result.verdict == "It is an edge map (2.00)."
    object.__setattr__(result, "measures", (Measure("edges", "Edges?", 0.5, nulls=(null,)),))
    assert "by chance" in result.verdict


def test_fewer_than_twenty_draws_say_nothing():
    result = _trust(draws=3)
    assert all(null.limits is None for measure in result for null in measure.nulls)
    assert "median" in result.text() and not result["other units"].words


def test_the_figure_has_the_picture_beside_its_twins_and_its_edges():
    result = _trust()
    assert result.beside.names[0] == "the picture" and len(result.beside.pictures) == 4
    alone, beside = result.figure(), result.figure("sample:chelsea", PREPARE)
    assert len(beside.pages[0].pictures) == len(alone.pages[0].pictures) + 1 == 6
    words = " ".join(line.text for line in alone.pages[0].lines)
    assert "noise at this place: cosine" in words and "switches of another" in words
    with pytest.raises(ArgumentError, match="go together"):
        result.figure("sample:chelsea")


def test_a_volume_is_drawn_as_planes_and_a_signal_along_one_axis_is_refused():
    for axes in (1, 3):
        conv, pool = {1: (torch.nn.Conv1d, torch.nn.MaxPool1d), 3: (torch.nn.Conv3d, torch.nn.MaxPool3d)}[axes]
        x = torch.randn(2, 1, *[10] * axes, generator=torch.Generator().manual_seed(0))
        net = DeconvNet(torch.nn.Sequential(conv(1, 4, 3), torch.nn.ReLU(), pool(2)), x)
        result = trust(net, x, net.project(x, "2", channel="top:1")[0], measures=QUICK)
        assert result["other units"].value is not None
        if axes == 3:
            assert len(result.figure().pages[0].pictures) == 15
        else:
            with pytest.raises(ArgumentError, match="cannot be shown"):
                result.figure()


def test_trust_is_saved_and_opened(tmp_path):
    result = _trust()
    opened = deconvnet.open(result.save(tmp_path / "trust"))
    assert opened.measures == result.measures and opened.text() == result.text()
    assert torch.equal(opened.beside.pictures, result.beside.pictures)
    assert list(opened.to_frame()["measure"]) == [measure.name for measure in result]
    result.save(tmp_path / "trust.png")


def test_classes_are_called_by_their_names():
    net = DeconvNet(pooled_net().model, images(1), labels=["owl", "cat", "dog", "hen", "ant"])
    x = images(1)
    result = trust(net, x, net.explain(x, "dog"), measures="edges")
    assert result.unit.name == "dog" and result.title.startswith("dog of") and result.beside.names[1] in net_labels(net)


def net_labels(net: DeconvNet) -> tuple[str, ...]:
    return net._attached.labels


def test_other_images_may_be_given():
    net, x = pooled_net(), images(1)
    result = trust(net, x, net.explain(x), others=images(22, seed=9), measures=["strength", "other images"])
    assert result["strength"].value is not None and result.others == "other images given (22)"


def test_what_was_not_made_of_these_images_is_refused():
    net, x = pooled_net(), images(3)
    result = net.project(x, "4", channel=2)
    with pytest.raises(ArgumentError, match="choose one"):
        trust(net, x, result)
    with pytest.raises(ArgumentError, match="images that the result was"):
        trust(net, x.flip(0), result[0])
    with pytest.raises(ArgumentError, match="whole map"):
        trust(net, x, net.project(x, "4", channel=2, position="all")[0])
    with pytest.raises(ArgumentError, match="Did you mean"):
        trust(net, x, result[0], measures=["edge"])
    with pytest.raises(ArgumentError, match="liked"):
        trust(net, x, result[0], liked=x[:, :1])
