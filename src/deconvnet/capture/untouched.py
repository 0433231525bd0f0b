"""What is looked up in the user's model, and how it is computed with, without a trace in it."""

import dis
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet._errors import CaptureError
from deconvnet._stand_in import WEIGHT_HOOKS, unwrapped

_PLAIN = (bool, int, float, str, type(None))
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_UNKNOWN = object()


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module out of DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        CaptureError: it is not a module, or one of a kind that cannot be captured.
    """
    model = unwrapped(model)
    if not isinstance(model, nn.Module):
        raise CaptureError(f"the model is a torch.nn.Module; got {type(model).__name__}.")
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError("a ScriptModule cannot be captured: give the Python model it was made from.")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(f"layer '{name}' is a ScriptModule, which cannot be captured: give the Python module.")
        if any(isinstance(p, nn.UninitializedParameter) for p in module._parameters.values()):
            raise CaptureError(
                f"layer '{name}' is lazy and its weights do not exist yet: run the model once on an image first."
            )
    return model


def hooks_that_may_answer(model: nn.Module) -> dict[int, str]:
    """The hooks that may change what passes through a module, by identity, and the modules' names."""
    return {
        id(hook): name or "the model itself"
        for name, module in model.named_modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not isinstance(hook, WEIGHT_HOOKS) and _may_answer(hook)
    }


def _may_answer(hook: Any) -> bool:
    """Whether a function may return anything but None or work in place, as far as its code tells."""
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)
    if code is None:
        return True
    before: dis.Instruction | None = None
    for instruction in dis.get_instructions(code):
        if str(instruction.argval).endswith("_") and not str(instruction.argval).endswith("__"):
            return True  # a method that works in place
        if instruction.opname == "RETURN_CONST" and instruction.argval is not None:
            return True
        nothing = before is not None and before.opname == "LOAD_CONST" and before.argval is None
        if instruction.opname == "RETURN_VALUE" and not nothing:
            return True
        before = instruction
    return False


def structure(model: nn.Module) -> tuple[Any, ...]:
    """What a capture depends on besides the values of the weights: modules, names, shapes, types, ties."""
    first: dict[int, int] = {}
    parts: list[Any] = []
    for name, module in model.named_modules(remove_duplicate=False):
        for kind in (module._parameters, module._buffers):
            for own, tensor in kind.items():
                if tensor is not None:
                    parts.append(
                        (own, tensor.shape, tensor.dtype, tensor.device, first.setdefault(id(tensor), len(first)))
                    )
        parts.append((name, type(module)))
    return tuple(parts)


def attributes(model: nn.Module) -> dict[tuple[int, str], Any]:
    """What the modules hold besides weights, such as numbers, words and functions, by which a model may choose its way.

    By the index of the module and the attribute's name; lists and dicts as tuples, so that a change inside is seen.
    """
    return {
        (i, name): frozen
        for i, module in enumerate(model.modules())
        for name, value in list(vars(module).items())
        if name not in _OF_EVERY_MODULE and (frozen := _frozen(value)) is not _UNKNOWN
    }


def changed(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> set[Any]:
    """The names under which two sets of attributes differ."""
    absent = (_UNKNOWN,)
    return {
        name
        for name in before.keys() | now.keys()
        if ((before[name],) if name in before else absent) != ((now[name],) if name in now else absent)
    }  # in tuples, where the same NaN is equal to itself


def _frozen(value: Any, around: tuple[Any, ...] = ()) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is tuple and all(type(part) in _PLAIN for part in value)):  # most are: a quick way
        return value if kind in _PLAIN else (tuple, value)
    if isinstance(value, (*_PLAIN, FunctionType, BuiltinFunctionType)):
        return value
    if not isinstance(value, tuple | list | dict) or any(value is container for container in around):
        return _UNKNOWN
    if isinstance(value, dict):
        return (type(value), tuple((name, _frozen(part, (*around, value))) for name, part in list(value.items())))
    return (type(value), tuple(_frozen(part, (*around, value)) for part in value))


def names_read(model: nn.Module) -> frozenset[str]:
    """Every name that the code of the model's modules mentions, and that of the functions beside their classes.

    An attribute that is not among them does not decide what the model computes.
    """
    names: set[str] = set()
    for kind in {base for module in model.modules() for base in type(module).__mro__} - set(nn.Module.__mro__):
        names |= _names_of(kind)
    return frozenset(names)


@cache
def _names_of(kind: type) -> frozenset[str]:
    functions = [value for name, value in vars(kind).items() if name != "__init__"]
    if not kind.__module__.startswith("torch."):
        beside = vars(sys.modules.get(kind.__module__, kind)).values()
        functions += [value for value in beside if isinstance(value, FunctionType)]
    names: set[str] = set()
    codes = [code for function in functions if (code := _code_of(function)) is not None]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, str):  # as in getattr(self, "scale")
                names.add(constant)
            elif isinstance(constant, CodeType):
                codes.append(constant)
    return frozenset(names)


def _code_of(function: Any) -> CodeType | None:
    function = getattr(function, "__func__", getattr(function, "fget", function))
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    return code if isinstance(code, CodeType) else None


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; -1 where that is not counted."""
    return -1 if tensor.is_inference() else tensor._version


@contextmanager
def computing() -> Iterator[None]:
    """Compute in the types of the tensors at hand, whatever autocast says, and give tensors without derivatives."""
    accelerator = torch.accelerator.current_accelerator()
    kinds = {"cpu"} if accelerator is None else {"cpu", accelerator.type}
    with torch.inference_mode(False), torch.no_grad(), ExitStack() as stack:
        for kind in kinds:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def making_tensors_on(device: torch.device) -> Iterator[None]:
    """Run a model as it runs without `torch.device(...)` or a default device around it that is not its own."""
    if torch.get_default_device().type in ("cpu", device.type):
        yield
    else:
        with device:
            yield


def ordinary(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The same images as a plain tensor, outside autograd and inference mode, in their own or another type."""
    return (x.clone() if x.is_inference() else x.detach()).to(dtype or x.dtype)
