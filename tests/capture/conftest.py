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


@pytest.fixture(scope="module")
def warm(tiny_net: DeconvNet) -> None:
    """What torch itself changes when torch.export is first imported is not ours to answer for."""
