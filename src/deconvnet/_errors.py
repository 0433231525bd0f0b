"""One family of exceptions.

DeconvNetError
├── ArgumentError (also a ValueError)   an argument has a wrong type, value or size
│   ├── LayerNotFoundError              no layer of that name
│   └── TargetError                     no such class, or the output needs another kind of target
├── PhotoError                          a photo cannot be found, read or used
│   └── ValueRangeError                 nothing says which of its values are black and white
├── AtlasError                          an atlas is missing, unfinished, damaged or newer than this package
├── ModelLoadError                      a model spec, its weights or its extra cannot be had
├── CaptureError                        the model cannot be captured
├── UnsupportedOperationError           an operation cannot be undone under these rules
├── NotFiniteError                      NaN or infinity in the input, a weight or an activation
└── MemoryBudgetError                   the work does not fit the memory budget

DeconvNetWarning (a UserWarning)        the result is right but says less than one may think
└── ValueRangeWarning                   photos hold less than their type, so they may be meant to be brighter
"""


class DeconvNetError(Exception):
    """Anything that this package raises on purpose."""


class ArgumentError(DeconvNetError, ValueError):
    """An argument has a wrong type, value or size."""


class LayerNotFoundError(ArgumentError):
    """No layer of the network has that name."""


class TargetError(ArgumentError):
    """Not a class of the network, or its output needs another kind of target."""


class PhotoError(DeconvNetError):
    """A photo cannot be found, read or used."""


class ValueRangeError(PhotoError):
    """Nothing says which values of a photo are black and white."""


class AtlasError(DeconvNetError):
    """An atlas is missing, unfinished, damaged or newer than this package."""


class ModelLoadError(DeconvNetError):
    """A model, its weights or the package that holds it cannot be had."""


class CaptureError(DeconvNetError):
    """The model cannot be turned into a list of steps."""


class UnsupportedOperationError(DeconvNetError):
    """An operation of the network cannot be undone under the chosen rules."""


class NotFiniteError(DeconvNetError):
    """NaN or infinity in the input, a weight or an activation."""


class MemoryBudgetError(DeconvNetError):
    """Not even one image or one unit fits the memory budget, or the result does not fit the free memory."""


class DeconvNetWarning(UserWarning):
    """The result is right, but says less than one may think."""


class ValueRangeWarning(DeconvNetWarning):
    """The values of photos are small for their type, and nothing says which of them is white."""
