"""Files of weights: safetensors, and checkpoints of `torch.save` with whatever else a training run keeps in them."""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from deconvnet._errors import ModelLoadError
from deconvnet._files import is_file

States: TypeAlias = dict[str, dict[str, Tensor]]
"""Sets of tensors by name, each under the keys of a file that lead to it, such as "ema.state_dict"."""

_DEEPEST = 5
_MOST_NAMES = 8  # of one dictionary
_REFUSED = re.compile(r"GLOBAL (\S+)")

_VALUES = """
argparse.Namespace types.SimpleNamespace datetime.datetime datetime.date datetime.time datetime.timedelta
datetime.timezone uuid.UUID decimal.Decimal fractions.Fraction builtins.int builtins.float builtins.str builtins.bool
builtins.list builtins.dict builtins.tuple builtins.frozenset builtins.slice builtins.range typing.Any
pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath pathlib.PureWindowsPath
pathlib._local.Path pathlib._local.PosixPath pathlib._local.WindowsPath
numpy.dtype numpy.ndarray numpy.core.multiarray.scalar numpy.core.multiarray._reconstruct
numpy._core.multiarray.scalar numpy._core.multiarray._reconstruct torch.torch_version.TorchVersion
omegaconf.dictconfig.DictConfig omegaconf.listconfig.ListConfig omegaconf.base.ContainerMetadata
omegaconf.base.Metadata omegaconf.nodes.AnyNode
""".split()
_TABLES = """
collections.defaultdict easydict.EasyDict addict.addict.Dict yacs.config.CfgNode fvcore.common.config.CfgNode
mmengine.config.config.ConfigDict pytorch_lightning.utilities.parsing.AttributeDict
lightning_fabric.utilities.data.AttributeDict lightning.fabric.utilities.data.AttributeDict
""".split()


class _Value:
    """Stands for an object of the training run: it takes what the file says of it, and keeps nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _Table:
    """Stands for a dictionary of the training run, in which there may be weights."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()  # the kind that torch fills in


# Classes by name for which one of ours is taken: not even these are imported or run.
_HARMLESS: list[Any] = [*((_Value, name) for name in _VALUES), *((_Table, name) for name in _TABLES)]


def read_weights(path: Path) -> States:
    """The sets of weights in a file, on the CPU.

    No code of the file is run, and no class of it is imported: settings of a training run that lie beside the weights
    are passed over, and any class that is not known to be harmless is refused.

    Raises:
        ModelLoadError: not found, damaged, without weights, or with objects of other classes in it.
    """
    if not is_file(path):
        raise ModelLoadError(f"the weights file {str(path)!r} does not exist. Check the path.")
    try:
        held: Any = load_file(path) if path.suffix.lower() == ".safetensors" else _load(path)
    except Exception as fault:  # on broken data the readers raise whatever they meet
        raise ModelLoadError(f"cannot read the weights {str(path)!r}: {_reason(fault)}") from fault
    states = dict(_states(held, "", Counter(), 0))
    if not states:
        raise ModelLoadError(
            f"{str(path)!r} does not hold weights by name. Save them with "
            "torch.save(model.state_dict(), FILE) or as safetensors."
        )
    return states


def _load(path: Path) -> Any:
    with safe_globals(_HARMLESS):
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(fault: Exception) -> str:
    if "TorchScript" in str(fault):
        return "it is a TorchScript program. Save the weights alone: torch.save(program.state_dict(), FILE)."
    # torch wraps damage and refusal in the same error
    if isinstance(fault, UnpicklingError) and "GLOBAL" in str(fault):
        refused = _REFUSED.search(str(fault))
        objects = f"objects of {refused[1]}" if refused else "objects"
        return (
            f"it holds pickled {objects}, which are not loaded because they can run code. Save the "
            "weights alone, where they were trained: torch.save(model.state_dict(), FILE)."
        )
    return f"the file is damaged or of another kind ({type(fault).__name__}). Fetch or save it again."


def _states(held: object, key: str, seen: Counter[int], depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary with tensors in it, with the keys that lead to it; one that has several names, by each."""
    if not isinstance(held, Mapping) or seen[id(held)] == _MOST_NAMES or depth > _DEEPEST:
        return
    seen[id(held)] += 1
    tensors = {name: value for name, value in held.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield key, tensors
    if seen[id(held)] > 1:
        return  # what lies in it is known
    for name, value in held.items():
        if isinstance(name, str):
            yield from _states(value, f"{key}.{name}" if key else name, seen, depth + 1)
