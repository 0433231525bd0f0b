"""The application that the commands belong to."""

from typing import Annotated

import typer

from deconvnet._version import __version__

app = typer.Typer(
    name="deconvnet",
    help="See what a convolutional network responds to: Zeiler and Fergus's deconvnet on PyTorch networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"deconvnet {__version__}")
        raise typer.Exit


@app.callback()
def deconvnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See what a convolutional network responds to."""
