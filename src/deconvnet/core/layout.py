"""How the numbers of feature maps lie in memory on the way up.

On a CPU most of PyTorch's operations on 2-D maps are faster where the numbers of one position lie together
(channels last); what is not known to be keeps the layout that it would have had.
"""

from typing import Any

import torch
from torch import Tensor

from deconvnet.core.graph import Step
from deconvnet.core.operations import operations, row_of
from deconvnet.core.rules import Rule


def positions_together(x: Tensor) -> Tensor:
    """Images as the steps up are fastest on; the same numbers."""
    library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # PyTorch gives it no types
    fast = library and x.device.type == "cpu" and x.dtype == torch.float32
    return x.contiguous(memory_format=torch.channels_last) if fast and x.ndim == 4 else x


def takes_any_layout(step: Step, rule: Rule | None) -> bool:
    """Whether a step, or what its rule does on the way up, takes maps in any layout as fast."""
    row = row_of(step, operations.rows)
    ours = rule is None or rule.up is None or rule.unpools or rule.masks
    return ours and (row.elementwise is not None or row.any_layout)


def maps_together(value: Any) -> Any:
    """What a step gives, in the usual layout."""
    return value.contiguous() if isinstance(value, Tensor) and value.ndim == 4 else value
