"""Networks from the user's own files. Both kinds can run code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet._checks import file_path
from deconvnet._errors import ModelLoadError
from deconvnet._logs import quiet


def from_program(path: Path) -> tuple[nn.Module, tuple[int, ...]]:
    """The network in a file of `torch.export.save`, and the shape of the input it was exported with.

    Raises:
        ModelLoadError: not found, not an exported program, or its input is not one batch of photos.
    """
    _require_file(path)
    try:
        with quiet():  # what is wrong with the file is told by the exception
            program = torch.export.load(path)
    except Exception as fault:  # on broken data the reader raises whatever it meets
        raise ModelLoadError(
            f"cannot read {str(path)!r} as an exported program: {_first_line(fault)}. "
            "Write it with torch.export.save, with the same version of torch."
        ) from fault
    args, kwargs = program.example_inputs or ((), {})
    inputs: list[Any] = [*args, *kwargs.values()]
    if len(inputs) != 1 or kwargs or not isinstance(inputs[0], Tensor) or inputs[0].ndim != 4:
        raise ModelLoadError(
            f"{str(path)!r} does not take one batch of photos (n, c, h, w). For other inputs load it "
            "with torch.export.load and pass its module to DeconvNet."
        )
    model: nn.Module = program.module(check_guards=False)
    for module in model.modules():
        module.training = False  # its eval() only raises: what was exported is fixed
    return model, tuple(inputs[0].shape)


def from_function(path: Path, function: str) -> Any:
    """What the function in the Python file returns.

    The file can import its neighbours. Neither it nor they stay imported.

    Raises:
        ModelLoadError: the file or the function cannot be found, or raises.
    """
    _require_file(path)
    module = ModuleType(f"_deconvnet_spec_{path.stem}")
    module.__file__ = str(path)
    with _importable(module, path.resolve().parent):
        try:
            exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        except (Exception, SystemExit) as fault:
            raise ModelLoadError(f"{str(path)!r} does not run: {_in_words(fault, path)}.") from fault
        make = vars(module).get(function)
        if not callable(make):
            own = [n for n, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
            functions = f"It has {', '.join(own)}." if own else "It has none."
            raise ModelLoadError(f"no function {function!r} in {str(path)!r}. {functions}")
        try:
            return make()
        except (Exception, SystemExit) as fault:
            raise ModelLoadError(f"{function}() of {str(path)!r} raised {_in_words(fault, path)}.") from fault


@contextmanager
def _importable(module: ModuleType, folder: Path) -> Iterator[None]:
    """Let imports find the module and its folder, and forget what was imported from there afterwards."""
    before, path = dict(sys.modules), list(sys.path)
    sys.modules[module.__name__] = module
    sys.path.append(str(folder))  # last, so that a neighbour hides no installed package
    try:
        yield
    finally:
        sys.path[:] = path
        del sys.modules[module.__name__]
        for name, loaded in list(sys.modules.items()):
            if name not in before and _is_neighbour(name, loaded, folder):
                del sys.modules[name]
        sys.modules.update({name: held for name, held in before.items() if name == module.__name__})


def _is_neighbour(name: str, module: ModuleType, folder: Path) -> bool:
    """Whether the module lies in this folder itself, not in an environment in it."""
    path = folder.joinpath(*name.split("."))
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() in (path.with_suffix(".py"), path / "__init__.py")


def _require_file(path: Path) -> None:
    if not file_path("the model file", path).is_file():
        raise ModelLoadError(f"the file {str(path)!r} does not exist. Check the path.")


def _in_words(fault: BaseException, path: Path) -> str:
    lines = [frame.lineno for frame in extract_tb(fault.__traceback__) if frame.filename == str(path)]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(fault).__name__}: {_first_line(fault)}{where}"


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0].rstrip(".")
