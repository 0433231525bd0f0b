"""All commands, in the order of `deconvnet --help`. Torch is imported when one of them runs, not before."""

from deconvnet.cli import explain, responsible, report, project, steps, compare, atlas, sheet, layers, demo  # noqa: I001, F401
from deconvnet.cli.app import app

__all__ = ["app"]
