"""How the shapes in signatures are checked while tests run."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from itertools import count
from typing import Any, TypeVar, get_args

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

F = TypeVar("F", bound=Callable[..., Any])

_FIRST, _EVERY = 50, 20  # calls of a function in a process that are checked: so many, then one in so many


def check_shapes(package: str) -> None:
    """Check the shapes in all signatures of a package that is not imported yet.

    jaxtyping's hook wraps every function, and a call of a wrapped one costs as much as a small
    convolution; here it leaves those alone whose signatures name no shape, and of a function that
    is called often it checks the first calls and then some.
    """
    every = jaxtyping.jaxtyped

    def jaxtyped(*context: str, typechecker: Callable[[F], F] | None = None) -> Any:
        if context:  # of a check that the package makes itself
            return every(*context)
        wrap = every(typechecker=typechecker)
        return lambda target: _sometimes(wrap(target), target) if any(map(_says_shape, _hints(target))) else target

    jaxtyping.jaxtyped = jaxtyped
    jaxtyping.install_import_hook(package, f"{__name__}.checked")


def _sometimes(checked: F, plain: F) -> F:
    if isinstance(plain, type):
        return checked
    calls = count()

    @wraps(plain)
    def function(*args: Any, **kwargs: Any) -> Any:
        call = next(calls)
        return (checked if call < _FIRST or call % _EVERY == 0 else plain)(*args, **kwargs)

    return function  # type: ignore[return-value]  # as the plain one


def checked(function: F) -> F:
    """The function with the shapes of its tensors checked by beartype, once it has returned.

    jaxtyping asks for two checks: one of the arguments, told by a return annotation of Any, before
    the call; one of arguments and result after it. Without the first, a function that refuses a
    wrong tensor can do so in its own words, and one that lets it pass is still caught. Annotations
    without a shape are mypy's.
    """
    if function.__annotations__.get("return") is Any:
        return function
    shapes = {name: hint for name, hint in function.__annotations__.items() if _says_shape(hint)}
    if not shapes:
        return function
    function.__annotations__ = shapes
    return beartype(function)


def _hints(target: Any) -> list[object]:
    if isinstance(target, type):
        return [field.type for field in fields(target)] if is_dataclass(target) else []
    return list(target.__annotations__.values())


def _says_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_says_shape(part) for part in get_args(hint))
