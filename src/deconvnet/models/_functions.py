"""Networks from the user's own Python: a function, a class or a module in a file or in a package. Both run code."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from importlib import import_module, invalidate_caches
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from torch import nn

from deconvnet._checks import did_you_mean
from deconvnet._errors import ModelLoadError
from deconvnet.models._sources import first_line, model_file

_MOST_NAMED = 8
_LIBRARIES = frozenset({"torch", *sys.stdlib_module_names})  # what is imported from there is hardly a network
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def names_a_function(module: str, function: str) -> bool:
    """Whether a spec's two sides can be a module and a function in it, as in `pkg.module:function`."""
    return _DOTTED.fullmatch(module) is not None and _DOTTED.fullmatch(function) is not None


def from_file(path: Path, function: str) -> Any:
    """What a function or class in a Python file returns, or the network that stands there under this name.

    The file can import from the current folder and from its own. Neither it nor they stay imported.

    Raises:
        ModelLoadError: the file or the function cannot be found, or raises.
    """
    model_file(path)
    module = ModuleType(f"_deconvnet_spec_{path.stem}")
    module.__file__, module.__package__ = str(path), ""
    with _importable(_current(), path.resolve().parent, forget=True), _imported(module):
        try:
            exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        except (Exception, SystemExit) as fault:
            words = f"{str(path)!r} does not run: {_in_words(fault, path)}.{_hint(fault, path)}"
            raise ModelLoadError(words) from fault
        return _called(module, function, path, repr(str(path)))


def from_module(name: str, function: str) -> Any:
    """What a function or class in a module returns, or the network that stands there under this name.

    The module can lie in the current folder. It stays imported, unless Python does not find it there by itself.

    Raises:
        ModelLoadError: the module or the function cannot be found, or raises.
    """
    with _importable(_current()):
        try:
            module = import_module(name)
        except (Exception, SystemExit) as fault:
            hint = did_you_mean(name, ("torchvision", "timm")) or _hint(fault)
            raise ModelLoadError(f"cannot import {name!r}: {_in_words(fault)}.{hint}") from fault
        return _called(module, function, Path(getattr(module, "__file__", None) or name), repr(name))


def _called(module: ModuleType, function: str, path: Path, where: str) -> Any:
    try:
        make = reduce(getattr, function.split("."), module)
    except AttributeError:
        make = None
    if isinstance(make, nn.Module):
        return make
    if not callable(make):
        names = list(_that_would_do(module))
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        listed = f"It has {', '.join(names[:_MOST_NAMED])}{more}." if names else "It has none."
        raise ModelLoadError(f"no function {function!r} in {where}. {listed}{did_you_mean(function, names)}")
    try:
        return make()
    except (Exception, SystemExit) as fault:
        raise ModelLoadError(f"{function}() of {where} raised {_in_words(fault, path)}.{_hint(fault)}") from fault


def _that_would_do(module: ModuleType) -> Iterator[str]:
    """Names in a module that a spec could mean, its own and imported ones: networks, their classes, and functions."""
    for name, value in vars(module).items():
        source = str(getattr(value, "__module__", "")).partition(".")[0]
        is_network = issubclass(value, nn.Module) if isinstance(value, type) else callable(value)
        if not name.startswith("_") and (isinstance(value, nn.Module) or (is_network and source not in _LIBRARIES)):
            yield name


@contextmanager
def _imported(module: ModuleType) -> Iterator[None]:
    """Let Python find a module by its name, as dataclasses and pickles do."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before


@contextmanager
def _importable(first: Path, last: Path | None = None, *, forget: bool = False) -> Iterator[None]:
    """Let imports find what lies in some folders, and forget afterwards what was imported from there.

    Args:
        first: searched before all other folders, as Python does with a program's own.
        last: searched at the end, so that what lies there hides no installed package.
        forget: also what Python finds by itself.
    """
    before, path = dict(sys.modules), list(sys.path)
    in_path = {Path(folder).resolve() for folder in path}
    ahead = [] if first in in_path else [first]
    behind = [] if last is None or last in in_path else [last]
    sys.path[:] = [*map(str, ahead), *path, *map(str, behind)]
    invalidate_caches()  # a file may be younger than what Python knows about its folder
    folders = [folder for folder in (first, last) if folder and (forget or folder in (*ahead, *behind))]
    try:
        yield
    finally:
        for name, loaded in list(sys.modules.items()):
            if name not in before and any(_lies_in(folder, name, loaded) for folder in folders):
                del sys.modules[name]
        sys.path[:] = path


def _current() -> Path:
    try:
        return Path.cwd().resolve()
    except OSError as fault:
        raise ModelLoadError("the current folder does not exist any more. Change to another one.") from fault


def _lies_in(folder: Path, name: str, module: ModuleType) -> bool:
    """Whether a module lies in this folder itself, not in an environment in it."""
    path = folder.joinpath(*name.split("."))
    file = getattr(module, "__file__", None)
    if file is None:  # a folder without an __init__.py
        return path in (Path(folder).resolve() for folder in getattr(module, "__path__", ()))
    return Path(file).resolve() in (path.with_suffix(".py"), path / "__init__.py")


def _in_words(fault: BaseException, path: Path | None = None) -> str:
    lines = [frame.lineno for frame in extract_tb(fault.__traceback__) if frame.filename == str(path)]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(fault).__name__}: {first_line(fault)}{where}"


def _hint(fault: BaseException, path: Path | None = None) -> str:
    """What to do about an import that fails."""
    if not isinstance(fault, ImportError):
        return ""
    if path is not None and "relative import" in str(fault):
        return (
            f" A file that imports from its package is named as a module, such as {path.parent.name}.{path.stem}:NAME."
        )
    if isinstance(fault, ModuleNotFoundError) and fault.name:
        top = fault.name.partition(".")[0]
        return f" Start from the folder that holds {top!r}, or install it; the current one is {str(_current())!r}."
    return ""
