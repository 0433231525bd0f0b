"""The application and its commands, in the order of `deconvnet --help`. Torch is imported when a command runs."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from deconvnet._version import __version__
from deconvnet.cli import (
    atlas,
    compare,
    correspondence,
    demo,
    diagnose,
    evolution,
    explain,
    invariance,
    layers,
    learn,
    occlude,
    project,
    report,
    responsible,
    serve,
    sheet,
    site,
    steps,
    trust,
)
from deconvnet.cli.stderr import INTERRUPTED, say

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


def _says_interrupted(command: Callable[..., None]) -> Callable[..., None]:
    """The command; Ctrl-C ends it with a line, which is the interrupt's own if it has one."""

    @wraps(command)
    def run(*arguments: Any, **flags: Any) -> None:
        try:
            command(*arguments, **flags)
        except KeyboardInterrupt as interrupt:
            say(str(interrupt) or "interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    return run


for command in (
    explain.explain, responsible.responsible, report.report, serve.serve, project.project, steps.steps, trust.trust,
    compare.compare, occlude.occlude, invariance.invariance, correspondence.correspondence, diagnose.diagnose,
    atlas.atlas, atlas.atlas_merge, sheet.sheet, site.site, learn.learn, learn.learned, evolution.evolution,
    layers.layers, demo.demo,
):  # fmt: skip
    app.command(command.__name__.replace("_", "-"))(_says_interrupted(command))
