"""Arguments, checked: what is taken, and what is said of the others."""

import math

import numpy as np
import pytest

from deconvnet import ArgumentError
from deconvnet._checks import did_you_mean, real_number, whole_number


@pytest.mark.parametrize(("value", "least"), [(1, 1), (7, 1), (0, 0), (16, 16)])
def test_whole_numbers_are_taken_as_they_are(value, least):
    assert whole_number("k", value, least) == value


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "1", math.nan, np.int64(3)])
def test_what_is_not_a_whole_number_is_refused_by_name(value):
    with pytest.raises(ArgumentError, match=r"^k is a whole number, 1 or more; got "):
        whole_number("k", value)


@pytest.mark.parametrize(("value", "above"), [(0, False), (0.5, True), (3, True)])
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
