"""A copy of the user's model that is run in its stead, so that the model itself can go on as it is."""

import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy as copy_of
from functools import partial, update_wrapper
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

WEIGHT_HOOKS = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
_HOOKS = tuple(name for name in vars(nn.Module()) if name.endswith("_hooks") or name.endswith("_hooks_with_kwargs"))


def unwrapped(model: nn.Module) -> nn.Module:
    """The user's own module out of DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # what torch.compile wraps
        else:
            return model


def stand_in(model: nn.Module, *, hooks: bool = False) -> nn.Module:
    """A copy of a model in eval, to be run in its stead: other modules with attributes of their own, the same weights.

    The model itself may run elsewhere meanwhile, and what its code notes as it runs is noted in the copy.

    Args:
        model: left as it is.
        hooks: keep its user's hooks; else only those that compute weights.
    """
    copy: nn.Module = _copied(model, {})
    for module in copy.modules():
        module.training = False
        for name in () if hooks else _HOOKS:
            held = vars(module).get(name)
            if held:
                vars(module)[name] = OrderedDict(
                    (k, hook) for k, hook in held.items() if isinstance(hook, WEIGHT_HOOKS)
                )
    return copy


def with_own(copy: nn.Module, *tables: Literal["_parameters", "_buffers"]) -> nn.Module:
    """A stand-in with copies of those weights, which stay as they are while the model's own change."""
    for module in copy.modules():
        for table in tables:
            weights: dict[str, Tensor | None] = vars(module)[table]
            weights.update({name: weight.detach().clone() for name, weight in weights.items() if weight is not None})
    return copy


def in_type(copy: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """A stand-in with copies of its floating-point weights in another type, if there is one; what is tied stays so."""
    if dtype is None:
        return copy
    return with_weights(
        copy, lambda weight: weight.detach().to(dtype, copy=True) if weight.is_floating_point() else None
    )


def with_weights(copy: nn.Module, new: Callable[[Tensor], Tensor | None]) -> nn.Module:
    """A stand-in with other weights; what is tied stays so.

    Args:
        copy: the stand-in.
        new: called once with each tensor of the model: what takes its place, or None where it stays.
    """
    replaced: dict[int, tuple[Tensor, Tensor]] = {}  # with the weights, so that no other has the identity of one
    for module in copy.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, vars(module))
        for table in tables:
            for name, weight in list(table.items()):
                if not isinstance(weight, Tensor):
                    continue
                if id(weight) not in replaced:
                    own = new(weight)
                    if own is not None and isinstance(weight, nn.Parameter):
                        own = nn.Parameter(own, weight.requires_grad)
                    replaced[id(weight)] = (weight, weight if own is None else own)
                table[name] = replaced[id(weight)][1]
    return copy


@contextmanager
def put_back(model: nn.Module) -> Iterator[None]:
    """A model whose attributes, and what its containers hold, are afterwards what they were."""
    modules = list(model.modules())
    copies: dict[int, Any] = {id(module): module for module in modules}
    before = [_copied(vars(module), copies) for module in modules]
    try:
        yield
    finally:
        for module, state in zip(modules, before, strict=True):
            vars(module).clear()
            vars(module).update(state)


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """A value with copies of the modules, containers and functions in it; all else, such as tensors, is shared.

    Args:
        value: what is copied.
        copies: by the identity of what was copied, its copy.
    """
    if id(value) in copies:
        return copies[id(value)]
    kind = type(value)
    copy: Any
    if issubclass(kind, nn.Module):
        copy = copies[id(value)] = object.__new__(kind)
        vars(copy).update({name: _copied(part, copies) for name, part in list(vars(value).items())})
    elif issubclass(kind, dict | list | deque | set):
        copy = _copied_container(value, copies)
    elif kind is tuple or (isinstance(value, tuple) and hasattr(value, "_make")):
        parts = [_copied(part, copies) for part in value]
        copy = tuple(parts) if kind is tuple else value._make(parts)
    elif kind is partial:
        copy = partial(_copied(value.func, copies), *_copied(value.args, copies), **_copied(value.keywords, copies))
    elif kind is MethodType:
        copy = MethodType(value.__func__, _copied(value.__self__, copies))
    elif kind is FunctionType and (value.__closure__ or value.__defaults__ or value.__kwdefaults__):
        copy = _copied_function(value, copies)
    elif kind is weakref.ref:
        copy = value if value() is None else weakref.ref(_copied(value(), copies))
    elif kind in weakref.ProxyTypes:
        copy = weakref.proxy(_copied(value.__dir__.__self__, copies))  # a method that is bound to what it stands for
    else:
        copy = _copied_object(value, copies)
    return copy


def _copied_container(value: Any, copies: dict[int, Any]) -> Any:
    """A container of any class with copies of its parts."""
    try:
        copy = copies[id(value)] = copy_of(value)
    except Exception:  # a class of the user's own
        return value
    if isinstance(value, dict):
        for name, part in list(value.items()):
            dict.__setitem__(copy, name, _copied(part, copies))
    elif not isinstance(value, set):
        for i, part in enumerate(list(value)):
            copy[i] = _copied(part, copies)
    return copy


def _copied_object(value: Any, copies: dict[int, Any]) -> Any:
    """An object of any class, copied if it holds a module and can be copied."""
    held = _held_by(value)
    if not any(issubclass(type(part), nn.Module) for part in held.values()):
        return value
    try:
        copy = copies[id(value)] = copy_of(value)
    except Exception:  # a class of the user's own
        return value
    for name, part in held.items():
        object.__setattr__(copy, name, _copied(part, copies))
    return copy


def _held_by(value: Any) -> dict[str, Any]:
    """The attributes that an object of some class of its own holds, by name."""
    if isinstance(value, type | ModuleType | Tensor):
        return {}
    slots = {name for kind in type(value).__mro__ for name in vars(kind).get("__slots__", ())}
    return {**{name: getattr(value, name) for name in slots if hasattr(value, name)}, **getattr(value, "__dict__", {})}


def _copied_function(function: FunctionType, copies: dict[int, Any]) -> FunctionType:
    """A function with copies of what it holds from where it was made, such as `self`."""
    held = function.__closure__ or ()
    cells = tuple(copies.setdefault(id(cell), CellType()) for cell in held)
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
    copies[id(function)] = update_wrapper(copy, function)
    copy.__defaults__ = _copied(function.__defaults__, copies)
    copy.__kwdefaults__ = _copied(function.__kwdefaults__, copies)
    for cell, new in zip(held, cells, strict=True):
        with suppress(ValueError):  # an empty cell
            new.cell_contents = _copied(cell.cell_contents, copies)
    return copy
