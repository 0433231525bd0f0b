"""How the numbers of feature maps lie in memory on the way up.

On a CPU most of PyTorch's operations on 2-D maps are faster where the numbers of one position lie together
(channels last); what is not known to be keeps the layout that it would have had.
"""

from typing import TypeVar

import torch
from torch import Tensor

from deconvnet.core.graph import Step
from deconvnet.core.operations import operations, row_of

T = TypeVar("T")


def positions_together(x: Tensor) -> Tensor:
    """Images as the steps up are fastest on; the same numbers."""
    fast = x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return x.contiguous(memory_format=torch.channels_last) if fast and x.ndim == 4 else x


def takes_any_layout(step: Step) -> bool:
    """Whether a step takes maps in any layout as fast."""
    row = row_of(step, operations.rows)
    return row.elementwise is not None or row.any_layout


def maps_together(value: T) -> T:
    """What a step gives, in the usual layout."""
    return value.contiguous() if isinstance(value, Tensor) and value.ndim == 4 else value
