"""Arguments that several experiments take, checked."""

from collections.abc import Sequence

from torch import Tensor

from deconvnet._checks import as_list, short
from deconvnet._errors import ArgumentError
from deconvnet._types import Unit
from deconvnet.core.graph import Graph
from deconvnet.engine.activations import activations, layer_names, scores
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer, rows_of

_CLOSE = 1e-3  # relative: of an activation that is the same


def checked_layers(engine: Attachment, graph: Graph, layers: Sequence[Layer] | Layer) -> list[str]:
    """The names of the layers that a user named, each once.

    Raises:
        ArgumentError: none, or one whose rows are not images.
        LayerNotFoundError: no such layer.
    """
    named = list(dict.fromkeys(layer_names(engine, layers)))
    if not named:
        raise ArgumentError("layers is an empty list: name at least one layer.")
    for name in named:
        rows_of(graph, name)
    return named


def checked_names(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The names of images, which are "image 0" and so on where there are none.

    Raises:
        ArgumentError: not a list of as many texts.
    """
    if names is None:
        return tuple(f"image {i}" for i in range(count))
    listed = as_list(names)
    if listed is None or len(listed) != count or not all(isinstance(name, str) for name in listed):
        raise ArgumentError(f"names is a list of {count} texts, one for each image; got {short(names)}.")
    return tuple(listed)


def check_activation(engine: Attachment, x: Tensor, unit: Unit, then: float, now: float | None = None) -> None:
    """Raise unless a unit has the activation that a result says, up to rounding.

    Args:
        engine: the network.
        x: images, as the model takes them.
        unit: of one of them.
        then: its activation in the result.
        now: in `x`, if it is known.

    Raises:
        ArgumentError: it is another.
    """
    if now is not None and abs(then - now) <= _CLOSE * max(abs(then), abs(now)):
        return
    image = x[unit.image : unit.image + 1]
    named = unit.layer in engine.graph(image).layers
    values = activations(engine, image, unit.layer)[unit.layer] if named else scores(engine, image)
    if now is None:
        now = float(values[(0, unit.channel, *(unit.position or ()))[: values.ndim]])
    if abs(then - now) > _CLOSE * float(values.abs().max()):  # near zero, rounding is relative to other units
        raise ArgumentError(
            f"the unit has activation {then:.4g} in the result and {now:.4g} in x: pass the images that the result was "
            "made of, and the network as it was then."
        )
