"""What all tests share: shapes in signatures are checked, tensors this small are computed on one thread, and the
tests of one network of the zoo follow each other.
"""

import pytest
import torch
from support.shapes import check_shapes

check_shapes("deconvnet")
torch.set_num_threads(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A network is captured, and its twins run, once for all that is asked of it, by the one worker that asks."""
    items.sort(key=_network)


def _network(item: pytest.Item) -> str:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return getattr(parameters.get("network"), "name", "")
