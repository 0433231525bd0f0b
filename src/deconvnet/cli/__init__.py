"""The command line: arguments in, one public call, words out."""

import sys
import warnings
from io import TextIOWrapper
from typing import TextIO

from deconvnet._errors import DeconvNetError, DeconvNetWarning


def main() -> None:
    """Run a command; a known fault is one line on stderr and exit code 1."""
    from deconvnet.cli.commands import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # photos and classes may have any name
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            app(prog_name="deconvnet")
    except (DeconvNetError, OSError) as fault:
        say(fault)
        sys.exit(1)


def say(what: object) -> None:
    """One line on stderr."""
    print("deconvnet:", " ".join(str(what).splitlines()), file=sys.stderr)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, DeconvNetWarning):
        say(message)
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
