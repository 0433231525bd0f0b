"""What a spec comes down to, before anything that the caller gave replaces a part of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from deconvnet._checks import file_path
from deconvnet._errors import ModelLoadError
from deconvnet._files import is_file

Fields = dict[str, Any]  # of Preprocess: how photos are prepared, as far as the source says


@dataclass(frozen=True, eq=False)
class Source:
    """A network and what comes with it.

    Attributes:
        model: the network.
        photos: fields of Preprocess.
        labels: its class names, or the name of a list of them.
        classes: number of its classes; None where that is not known.
        remade: the same network for another number of classes; None where it cannot be made.
        spare: beginnings of names that files of its weights may hold beside those of the network.
    """

    model: nn.Module
    photos: Fields
    labels: str | Sequence[str] | None = None
    classes: int | None = None
    remade: Callable[[int], nn.Module] | None = None
    spare: tuple[str, ...] = ()


def model_file(path: Path) -> Path:
    """The path, checked to be that of a file.

    Raises:
        ModelLoadError: there is none.
    """
    if not is_file(file_path("the model file", path)):
        raise ModelLoadError(f"the file {str(path)!r} does not exist. Check the path.")
    return path


def first_line(fault: BaseException) -> str:
    """What an error says, in one line without a full stop."""
    return (str(fault).strip() or type(fault).__name__).splitlines()[0].rstrip(".")
