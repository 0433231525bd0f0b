"""All commands, in the order of `deconvnet --help`. Torch is imported when one of them runs, not before."""

from deconvnet.cli import atlas, compare, demo, explain, layers, learn, project, report, responsible, sheet, steps
from deconvnet.cli.app import app

__all__ = ["app"]

ORDER = (
    explain.explain, responsible.responsible, report.report, project.project, steps.steps, compare.compare,
    atlas.atlas, atlas.atlas_merge, sheet.sheet, learn.learn, learn.learned, layers.layers, demo.demo,
)  # fmt: skip
app.registered_commands.sort(key=lambda command: ORDER.index(command.callback))
