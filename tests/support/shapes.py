"""How the shapes in signatures are checked while tests run."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from beartype import beartype
from jaxtyping import AbstractArray

F = TypeVar("F", bound=Callable[..., Any])


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


def _says_shape(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_says_shape(part) for part in get_args(hint))
