"""What all tests share: shapes in signatures are checked, tensors this small are computed on one thread, the tests of
one network of the zoo follow each other, and of tests with many parameters some sets are left to `make test-all`.
"""

import gc
from collections import Counter

import pytest
import torch
from support.shapes import check_shapes

check_shapes("deconvnet")
torch.set_num_threads(1)

_LONG = {"test_ray_engine", "test_real_weights", "test_notebook", "test_operations"}

_sets: Counter[str] = Counter()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Of a test marked `sampled(every)` each set of parameters but one in so many is slow."""
    marker = item.get_closest_marker("sampled")
    if marker is not None:
        name = item.nodeid.partition("[")[0]
        if _sets[name] % marker.kwargs["every"]:
            item.add_marker(pytest.mark.slow)
        _sets[name] += 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A network is captured, and its twins run, once for all that is asked of it, by the one worker that asks.

    Files of long tests come first, so that no worker is left with one of them at the end.
    """
    items.sort(key=lambda item: (item.path.stem not in _LONG, _network(item)))


def _network(item: pytest.Item) -> str:
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return getattr(parameters.get("network"), "name", "")


def pytest_collection_finish() -> None:
    """PyTorch brings so many objects that looking for garbage among them took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
