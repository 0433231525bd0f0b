"""Every convolutional classifier of torchvision and twenty families of timm, with random weights.

None may be silently wrong: the rule set `gradient` equals the user's own autograd, and `deconvnet` equals
autograd with the paper's way down put into its backward, or is refused with a sentence. `benchmarks/coverage.py` does
the same for more networks, and writes a table.
"""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("timm")
_file = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
_spec = importlib.util.spec_from_file_location("every_network", _file)  # a package of that name measures tests
assert _spec is not None and _spec.loader is not None
every = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(every)

TORCHVISION = [
    name for name in torchvision.models.list_models(module=torchvision.models) if not name.startswith("vit_")
]


@pytest.mark.parametrize(
    "name", [f"torchvision:{name}" for name in TORCHVISION] + [f"timm:{name}" for name in every.TIMM[:30]]
)
def test_no_network_is_silently_wrong(name: str):
    row = every.row_of(name)
    assert "capture" not in row, row["capture"]
    assert every.verdict(row, "gradient") == "right", row
    assert every.verdict(row, "deconvnet") in ("right", "refused"), row
    if isinstance(row["deconvnet"], str):
        assert "cannot project through '" in row["deconvnet"]
        assert 'smooth="gradient"' in row["deconvnet"]
