from deconvnet._errors import ArgumentError as ArgumentError
from deconvnet._errors import CaptureError as CaptureError
from deconvnet._errors import DeconvNetError as DeconvNetError
from deconvnet._errors import DeconvNetWarning as DeconvNetWarning
from deconvnet._errors import LayerNotFoundError as LayerNotFoundError
from deconvnet._errors import MemoryBudgetError as MemoryBudgetError
from deconvnet._errors import ModelLoadError as ModelLoadError
from deconvnet._errors import NotFiniteError as NotFiniteError
from deconvnet._errors import PhotoError as PhotoError
from deconvnet._errors import TargetError as TargetError
from deconvnet._errors import UnsupportedOperationError as UnsupportedOperationError
from deconvnet._types import Box as Box
from deconvnet._types import LayerInfo as LayerInfo
from deconvnet._types import Unit as Unit
from deconvnet._version import __version__ as __version__
from deconvnet.models.load import LoadedModel as LoadedModel
from deconvnet.models.load import load_model as load_model
from deconvnet.models.zfnet import zfnet as zfnet
from deconvnet.models.zfnet import zfnet_mini as zfnet_mini
from deconvnet.network import DeconvNet as DeconvNet
from deconvnet.picture import render as render
from deconvnet.preprocess import Preprocess as Preprocess
from deconvnet.preprocess import load_photo as load_photo
from deconvnet.reconstruction import Reconstruction as Reconstruction
from deconvnet.rules import RuleSet as RuleSet
from deconvnet.rules import rule as rule

__all__: list[str]
