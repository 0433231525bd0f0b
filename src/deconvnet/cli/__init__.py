"""The command line: arguments in, one public call, words out."""

import sys
import warnings
from io import TextIOWrapper

from deconvnet._errors import DeconvNetError


def main() -> None:
    """Run a command; a known error becomes one line on stderr and exit code 1, Ctrl-C one and 130."""
    from deconvnet.cli.stderr import INTERRUPTED, say, show_warning

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # photos and classes may have any name
    try:
        from deconvnet.cli.commands import app

        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            app(prog_name="deconvnet")
    except (DeconvNetError, OSError) as error:
        say(error)
        sys.exit(1)
    except KeyboardInterrupt:  # before the command runs
        say("interrupted.")
        sys.exit(INTERRUPTED)
