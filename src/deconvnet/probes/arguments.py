"""Arguments that several experiments take, checked."""

from collections.abc import Sequence

from deconvnet._checks import as_list, short
from deconvnet._errors import ArgumentError
from deconvnet.core.graph import Graph
from deconvnet.engine.activations import layer_names
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer, rows_of


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
