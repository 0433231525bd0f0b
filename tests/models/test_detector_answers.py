"""The answers of a detector by name, by index and by where they are."""

import itertools
import time

import pytest
import torch

from deconvnet import ArgumentError, TargetError
from deconvnet.models.detector_answers import DetectorAnswers

NAMES = ("nothing", "cat", "dog")
ANSWERS = DetectorAnswers(((2, 3), (1, 2)), (2, 1), NAMES, 3, 1, (16, 24))
WHOLE = DetectorAnswers(((100, 100), (50, 50), (25, 25)), (9, 9, 9), None, 91, 0, (800, 800))


def test_answers_are_in_order_of_levels_rows_columns_anchors_and_classes():
    listed = [
        (level, anchor, channel, (y, x))
        for level, ((h, w), a) in enumerate(zip(ANSWERS.sizes, ANSWERS.anchors, strict=True))
        for y, x, anchor, channel in itertools.product(range(h), range(w), range(a), (1, 2))
    ]
    assert len(ANSWERS) == len(listed) == 28
    for i, (level, anchor, channel, position) in enumerate(listed):
        answer = ANSWERS.at(i)
        assert (answer.level, answer.anchor, answer.channel, answer.position) == listed[i]
        assert ANSWERS[i] == f"{NAMES[channel]}, level {level}, anchor {anchor}, at {position}"
        assert ANSWERS.index(ANSWERS[i]) == i
        y, x = position
        for target in (
            (level, anchor, channel, y, x),
            (level, anchor, NAMES[channel], y, x),
            f"{level},{anchor},{channel},{y},{x}",
            f" {level}, {anchor}, {NAMES[channel].upper()}, {y}, {x}",
        ):
            assert ANSWERS.chosen(target).tolist() == [i]


def test_the_middle_of_a_position_is_in_pixels_of_the_input():
    assert ANSWERS.at(ANSWERS.index("dog, level 0, anchor 1, at (1, 2)")).centre == (12, 20)
    assert ANSWERS.at(-1).centre == (8, 18)


@pytest.mark.parametrize(
    ("target", "matches"),
    [
        ("dog", lambda a: a.channel == 2),
        ("2", lambda a: a.channel == 2),
        ((None, None, "cat", None, None), lambda a: a.channel == 1),
        ("*,*,cat,*,*", lambda a: a.channel == 1),
        ((0, None, None, None, 1), lambda a: a.level == 0 and a.position[1] == 1),
        ((None, 1, "dog", None, None), lambda a: a.anchor == 1 and a.channel == 2),
        ("*,*,dog,1,*", lambda a: a.position[0] == 1 and a.channel == 2),
        ((1, None, 1, None, 1), lambda a: a.level == 1 and a.position[1] == 1 and a.channel == 1),
    ],
)
def test_what_is_left_open_stands_for_any(target, matches):
    assert ANSWERS.chosen(target).tolist() == [i for i in range(len(ANSWERS)) if matches(ANSWERS.at(i))]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ((2, 0, "dog", 0, 0), "there are 2 levels, counted from 0; got 2"),
        ((1, 1, "dog", 0, 0), "there are 1 anchors in level 1, counted from 0; got 1"),
        ((0, 0, "dog", 2, 0), "there are 2 rows in level 0, counted from 0; got 2"),
        ((0, 0, "dog", 0, 3), "there are 3 columns in level 0, counted from 0; got 3"),
        ((0, 0, -1, 0, 0), "there are 3 classes, counted from 0; got -1"),
        ((-1, 0, "dog", 0, 0), "there are 2 levels, counted from 0; got -1"),
        ((0, 0, 3, 0, 0), "there are 3 classes, counted from 0; got 3"),
        ((0, 0, 1.5, 0, 0), "there are 3 classes, counted from 0; got 1.5"),
        ((0, "x", 1, 0, 0), "anchors in level 0, counted from 0; got 'x'"),
        ((0, 0, "dgo", 0, 0), "no class 'dgo' among the 3 .* Did you mean 'dog'"),
        ((0, 0, "nothing", 0, 0), "'nothing', class 0, stands for what is not an object, .* name another class"),
        ("nothing", "'nothing', class 0, stands for what is not an object"),
        ("emu", "no class 'emu' among the 3"),
        ((0, 0, "dog", 0), r"a tuple \(level, anchor, class, y, x\); got \(0, 0, 'dog', 0\)"),
        ("0,-1,dog,0,0", "anchors in level 0, counted from 0; got -1"),
        ("0,dog,0,0", r"LEVEL,ANCHOR,CLASS,Y,X, such as 2,4,dog,12,20, .* got '0,dog,0,0'"),
        ((None, 2, "dog", None, None), r"no level has an answer at .*: .* levels are 2x3 with 2, 1x2 with 1\."),
    ],
)
def test_what_is_not_an_answer_is_refused_with_what_there_is(target, words):
    with pytest.raises(TargetError, match=words):
        ANSWERS.chosen(target)


def test_classes_without_names_are_called_by_their_index():
    assert WHOLE[5] == "class 5, level 0, anchor 0, at (0, 0)"
    assert torch.equal(WHOLE.chosen("class 7"), WHOLE.chosen("7"))
    assert len(WHOLE.chosen("90")) == len(WHOLE) // 91
    with pytest.raises(TargetError, match="there are 91 classes, counted from 0; got 'cat'"):
        WHOLE.chosen("cat")


def test_millions_of_names_are_never_listed():
    before = time.perf_counter()
    assert len(WHOLE) == 10_749_375
    assert repr(WHOLE) == "<DetectorAnswers: 91 classes at 118,125 anchors of 3 levels>"
    last = "class 90, level 2, anchor 8, at (24, 24)"
    assert (WHOLE[-1], WHOLE.index(last), WHOLE.count(last)) == (last, len(WHOLE) - 1, 1)
    assert last in WHOLE
    assert "class 91, level 2, anchor 8, at (24, 24)" not in WHOLE
    assert "emu" not in WHOLE and 3 not in WHOLE
    assert WHOLE[1:3] == ("class 1, level 0, anchor 0, at (0, 0)", "class 2, level 0, anchor 0, at (0, 0)")
    assert time.perf_counter() - before < 1
    with pytest.raises(ValueError, match="'emu' is not one of the detector's answers"):
        WHOLE.index("emu")
    with pytest.raises(IndexError):
        WHOLE[len(WHOLE)]
    with pytest.raises(ArgumentError, match="there are 28 answers, counted from 0; got 28"):
        ANSWERS.at(28)


def test_classes_that_are_called_alike_have_answers_of_their_own():
    alike = DetectorAnswers(((1, 2),), (1,), ("N/A", "cat", "N/A"), 3, 0, (8, 8))
    assert [alike[i] for i in (3, 5)] == ["N/A, level 0, anchor 0, at (0, 1)"] * 2
    assert alike.index(alike[5]) == 3 and alike[5] in alike
    assert alike.chosen((0, 0, 2, 0, 1)).tolist() == [5]
    with pytest.raises(TargetError, match="'N/A' could be 0 'N/A', 2 'N/A'"):
        alike.chosen("N/A")


def test_the_strongest_answer_of_each_class_is_the_first_of_equals():
    scores = torch.zeros(28)
    scores[[5, 9, 11]] = 1.0
    assert ANSWERS.strongest_of_classes(scores).tolist() == [0, 5]
