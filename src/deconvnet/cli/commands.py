"""The application and its commands, in the order of `deconvnet --help`. Torch is imported when a command runs."""

from typing import Annotated

import typer

from deconvnet._version import __version__
from deconvnet.cli import atlas, compare, demo, explain, layers, learn, project, report, responsible, sheet, steps

app = typer.Typer(
    name="deconvnet",
    help="See what a convolutional network responds to: Zeiler and Fergus's deconvnet on PyTorch networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"deconvnet {__version__}")
        raise typer.Exit


@app.callback()
def deconvnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See what a convolutional network responds to."""


for command in (
    explain.explain, responsible.responsible, report.report, project.project, steps.steps, compare.compare,
    atlas.atlas, atlas.atlas_merge, sheet.sheet, learn.learn, learn.learned, layers.layers, demo.demo,
):  # fmt: skip
    app.command(command.__name__.replace("_", "-"))(command)
