"""Networks that were exported, from the user's own files; these can run code."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet._errors import ModelLoadError
from deconvnet._logs import quiet
from deconvnet.models._sources import first_line, model_file


def from_program(path: Path) -> tuple[nn.Module, tuple[int, ...]]:
    """The network in a file of `torch.export.save`, and the shape of the input it was exported with.

    Raises:
        ModelLoadError: not found, not an exported program, or its input is not one batch of photos.
    """
    model_file(path)
    try:
        with quiet():  # what is wrong with the file is told by the exception
            program = torch.export.load(path)
    except Exception as fault:  # on broken data the reader raises whatever it meets
        raise ModelLoadError(
            f"cannot read {str(path)!r} as an exported program: {first_line(fault)}. "
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
