"""Nets that several files of this folder compare with."""

import pytest
from support import captured

from deconvnet import DeconvNet


@pytest.fixture(scope="session")
def small_net() -> DeconvNet:
    return captured.small_net()


@pytest.fixture(scope="session")
def tiny_net() -> DeconvNet:
    return captured.tiny_net()
