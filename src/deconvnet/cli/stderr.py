"""Lines on stderr: errors, warnings, and progress where a bar cannot be shown."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from deconvnet._checks import escaped
from deconvnet._errors import DeconvNetWarning, ValueRangeWarning

INTERRUPTED = 130  # exit code after Ctrl-C


def say(message: object) -> None:
    """Print one line on stderr."""
    print("deconvnet:", escaped(" ".join(str(message).splitlines())), file=sys.stderr)


@contextmanager
def prints_on_stderr() -> Iterator[None]:
    """What is printed inside goes to stderr: a model's own words, which do not belong to a command's result."""
    with redirect_stdout(sys.stderr):
        yield


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of this package as one line, any other as Python does; takes what `warnings` passes.

    That photos hold less than their type is said of the first one alone: the others are of the same kind.
    """
    if issubclass(category, DeconvNetWarning):
        say(message)
        if issubclass(category, ValueRangeWarning):
            warnings.simplefilter("ignore", category)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
