"""One browser for all tests of pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.pages import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running
