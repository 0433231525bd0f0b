"""The user's model, left as it was found: its mode, its hooks, its weights, and what torch.export prints."""

import dis
import logging
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from deconvnet._errors import CaptureError

_WEIGHT_HOOKS = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("_hooks") or name.endswith("_hooks_with_kwargs"))
_PLAIN = (bool, int, float, str, type(None))


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module out of DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        CaptureError: it is not a module, or one of a kind that cannot be captured.
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # what torch.compile wraps
        else:
            break
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


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """The model in eval and without its user's hooks, and afterwards exactly as it was."""
    modules = list(model.modules())
    before = [dict(vars(module)) for module in modules]
    inner = [
        {name: held.copy() for name, held in state.items() if name in ("_parameters", "_buffers", "_modules")}
        for state in before
    ]
    try:
        for module in modules:
            module.training = False
            for name in _HOOKS:
                hooks = vars(module).get(name)
                if hooks:
                    weight_hooks = ((k, hook) for k, hook in hooks.items() if isinstance(hook, _WEIGHT_HOOKS))
                    vars(module)[name] = OrderedDict(weight_hooks)
        yield
    finally:
        for module, state, held in zip(modules, before, inner, strict=True):
            vars(module).clear()
            vars(module).update(state)
            for name, contents in held.items():
                state[name].clear()
                state[name].update(contents)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval with its hooks in place, and afterwards in the mode in which it was."""
    before = {module: module.training for module in model.modules()}
    try:
        for module in before:
            module.training = False
        yield
    finally:
        for module, training in before.items():
            module.training = training


def hooks_that_may_answer(model: nn.Module) -> dict[int, str]:
    """The hooks that may change what passes through a module, by identity, and the modules' names."""
    return {
        id(hook): name or "the model itself"
        for name, module in model.named_modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks")
        for hook in vars(module).get(kind, {}).values()
        if not isinstance(hook, _WEIGHT_HOOKS) and _may_answer(hook)
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


def attributes(model: nn.Module) -> tuple[Any, ...]:
    """The numbers and words that the modules hold, by which a model may choose its way, or merely count."""
    return tuple(
        tuple((key, value) for key, value in vars(module).items() if key != "training" and _is_plain(value))
        for module in model.modules()
    )


def _is_plain(value: Any) -> bool:
    """Whether a module's attribute is a number, a word, or several of them."""
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; -1 where that is not counted."""
    return -1 if tensor.is_inference() else tensor._version


@contextmanager
def computing() -> Iterator[None]:
    """Compute without recording derivatives, and return ordinary tensors."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def ordinary(x: Tensor) -> Tensor:
    """The same images as a plain tensor, outside autograd and inference mode."""
    return x.clone() if x.is_inference() else x.detach()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what torch.export logs and prints for its own developers."""
    named = list(logging.root.manager.loggerDict.items())
    loggers = [entry for name, entry in named if name.split(".")[0] == "torch" and isinstance(entry, logging.Logger)]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
