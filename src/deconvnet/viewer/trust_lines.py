"""What the pictures of a page rest on, in a line each: of its classes, and of the first unit of each layer."""

from deconvnet._errors import DeconvNetError
from deconvnet._types import Unit
from deconvnet.probes.quick import quick_trust
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.viewer.look import Look
from deconvnet.viewer.pages import LayerView

LONGEST = 400  # characters of a line


def class_lines(look: Look) -> list[str]:
    """A line for each class of a look."""
    return _lines(look, look.net.explain(look.x, targets=[likely.target for likely in look.classes]))


def unit_line(look: Look, layer: LayerView) -> str:
    """A line for the first unit that is shown of a layer."""
    first = layer.maps[0]
    unit = Unit(layer.name, first.channel, first.cells[0].position, 0)
    return _lines(look, look.net.project(look.x, layer.name, units=[unit], start="one"))[0]


def _lines(look: Look, pictures: Reconstruction) -> list[str]:
    try:
        quick = quick_trust(look.net, look.x, pictures, preprocess=look.loaded.preprocess)
    except DeconvNetError as error:
        return [f"What it rests on was not measured: {error}"[:LONGEST]] * len(pictures)
    return [f"What it rests on: {quick.line(i)}"[:LONGEST] for i in range(len(quick))]
