"""How the numbers of feature maps lie in memory on the way up.

On a CPU most of PyTorch's operations on 2-D maps are faster where the numbers of one position lie together
(channels last); what is not known to be keeps the layout that it would have had.
"""

import torch
from torch import Tensor

from deconvnet.core.graph import Step
from deconvnet.core.operations import operations, row_of


def positions_together(x: Tensor) -> Tensor:
    """Images as the steps up are fastest on; the same numbers."""
    has_them: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    fast = has_them and x.device.type == "cpu" and x.dtype == torch.float32
    return x.contiguous(memory_format=torch.channels_last) if fast and x.ndim == 4 else x


def takes_any_layout(step: Step) -> bool:
    """Whether a step takes maps in any layout as fast."""
    row = row_of(step, operations.rows)
    return row.elementwise is not None or row.any_layout


def maps_together(tensor: Tensor) -> Tensor:
    """What a step gives, in the usual layout."""
    return tensor.contiguous() if tensor.ndim == 4 else tensor
