"""Whether a value is at hand: a CPU reads its own at once, an accelerator first has to finish all that was asked of it.

Where values are at hand, solvers look at every one that saves work. Elsewhere they go on without looking.
"""

from torch import Tensor

_DEVICES = ("cpu",)


def at_hand(tensor: Tensor) -> bool:
    """Whether the values of a tensor are read without waiting for a device."""
    return tensor.device.type in _DEVICES
