"""Arguments, checked: what is taken, and what is said of the others."""

import math
import os

import numpy as np
import pytest
import torch

from deconvnet import ArgumentError
from deconvnet._checks import (
    as_list,
    did_you_mean,
    escaped,
    file_path,
    flag,
    index_of,
    real_number,
    short,
    whole_number,
)


def str_of_type(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:20] if not isinstance(value, int) else value % 1000}"


@pytest.mark.parametrize(("value", "least"), [(1, 1), (7, 1), (0, 0), (16, 16)])
def test_whole_numbers_are_taken_as_they_are(value, least):
    assert whole_number("k", value, least) == value


NOT_WHOLE = [
    0, -1, 1.0, True, None, "1", math.nan, np.int64(0), np.float32(2), np.True_, np.array(True), np.array([3]), 10**30,
    torch.tensor(2.0), torch.tensor(True), torch.tensor([3]), torch.tensor(3, device="meta"), 10**5000, [3], 3j,
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_WHOLE, ids=str_of_type)
def test_what_is_not_a_whole_number_is_refused_by_name(value):
    with pytest.raises(ArgumentError, match=r"^k is a whole number, 1 (or more|to \d+); got "):
        whole_number("k", value)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3).byte()])
def test_whole_numbers_of_numpy_and_pytorch_are_taken_alike(value):
    number = whole_number("k", value)
    assert number == 3 and type(number) is int
    assert index_of(value, 5, "maps") == 3


@pytest.mark.parametrize("values", [[0, 2], (0, 2), range(0, 4, 2), np.array([0, 2]), torch.tensor([0, 2])])
def test_lists_arrays_and_tensors_of_one_axis_are_lists(values):
    assert as_list(values) == [0, 2]


@pytest.mark.parametrize("value", ["0", b"0", {0}, {0: 2}, 0, np.zeros((1, 2)), np.array(0), torch.zeros(1, 1), None])
def test_anything_else_is_not_a_list(value):
    assert as_list(value) is None


def test_an_index_may_count_from_the_end_and_no_further():
    assert index_of(-1, 5, "maps") == 4
    for index in (5, -6, 1.0, None):
        with pytest.raises(ArgumentError, match=r"^there are 5 maps, counted from 0; got "):
            index_of(index, 5, "maps")


def test_messages_stay_short_whatever_was_given():
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    values = [range(10**9), [0] * 10**5, "x" * 10**5, 10**5000, np.zeros((9, 9)), torch.zeros(2, 3), Rude(), {1: 2}]
    assert all(len(short(value)) < 140 for value in values)
    assert short(torch.zeros(2, 3)) == "Tensor of type float32 and shape (2, 3)"
    assert short(np.zeros((9, 9))) == "ndarray of type float64 and shape (9, 9)"


def test_bytes_that_are_not_utf_8_are_escaped():
    assert escaped(os.fsdecode(b"\xff\xfe caf\xc3\xa9.jpg")) == r"\xff\xfe café.jpg"
    assert escaped("\ud800") == r"\x00" and escaped("plain") == "plain"


@pytest.mark.parametrize("path", ["", None, 3, b"x", "a\0b", "x" * 300, "\ud800", ["x"]])
def test_what_cannot_be_a_path_is_refused(path):
    with pytest.raises(ArgumentError, match=r"^weights"):
        file_path("weights", path)


def test_a_path_need_not_exist(tmp_path):
    assert file_path("weights", str(tmp_path / "none" / "x")) == tmp_path / "none" / "x"


def test_a_flag_is_true_or_false_and_nothing_that_is_taken_for_one():
    assert flag("force", True) is True and flag("force", np.False_) is False
    for value in (1, None, "no", np.array([True, False]), torch.tensor(True)):
        with pytest.raises(ArgumentError, match=r"^force is True or False; got "):
            flag("force", value)


@pytest.mark.parametrize(
    ("value", "above"),
    [(0, False), (0.5, True), (3, True), (np.float32(0.5), True), (np.int64(2), True), (torch.tensor(0.5), True)],
)
def test_numbers_become_floats(value, above):
    number = real_number("lam", value, least=0, above=above)
    assert number == value and type(number) is float


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, None, "0.5", 10**400])
def test_what_is_not_a_number_in_range_is_refused_by_name(value):
    with pytest.raises(ArgumentError, match=r"^tol is a number of at least 0; got "):
        real_number("tol", value, least=0)
    with pytest.raises(ArgumentError, match=r"^lam is a number above 0; got "):
        real_number("lam", value, least=0, above=True)


def test_the_least_number_is_refused_where_it_has_to_be_above():
    with pytest.raises(ArgumentError, match=r"^lam is a number above 0; got 0\.$"):
        real_number("lam", 0, least=0, above=True)


def test_names_spelt_alike_are_proposed_and_no_others():
    assert did_you_mean("relu", ["conv1", "ReLU1", "relu2"]) == " Did you mean 'relu2', 'ReLU1'?"
    assert did_you_mean("relu", ["conv1", "pool"]) == ""
    assert did_you_mean("", []) == ""


def test_a_whole_number_may_have_a_largest():
    assert whole_number("k", 3, 1, 3) == 3
    with pytest.raises(ArgumentError, match="k is a whole number, 1 to 3; got 4"):
        whole_number("k", 4, 1, 3)
