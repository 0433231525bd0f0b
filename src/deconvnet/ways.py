"""Ways down of a network: what they cost, and what is undone on them."""

from jaxtyping import Float
from torch import Tensor

from deconvnet.capture.untouched import computing
from deconvnet.core.rules import Rule
from deconvnet.engine import steps as engine_steps
from deconvnet.engine.costs import Costs
from deconvnet.engine.layers import Layer
from deconvnet.network import DeconvNet, attached


@computing()
def costs(net: DeconvNet, layer: Layer, *, to: Layer | None = None) -> Costs:
    """How a single unit of a layer is carried down, and at what cost; `print(costs(net, layer))` says it in words.

    Args:
        net: the network.
        layer: name or module; see `DeconvNet.layers`.
        to: carry the signal only down to this layer.

    Raises:
        LayerNotFoundError, UnsupportedOperationError: as in `DeconvNet.project`.
    """
    attachment = attached(net)
    return attachment.costs(attachment.own_graph(), layer, to)


def way_down(
    net: DeconvNet, layer: Layer | None = None, x: Float[Tensor, "n c *spatial"] | None = None
) -> dict[str, dict[str, str]]:
    """The layers on the way down, in order, and what is undone to come to each from those above it, in words.

    Args:
        net: the network.
        layer: name or module; None for the classes.
        x: images, of which only the size counts; the example's by default.

    Raises:
        LayerNotFoundError, ArgumentError, UnsupportedOperationError: as in `DeconvNet.project`.
    """
    return {name: {above: rule.words for above, rule in rules.items()} for name, rules in undone(net, layer, x).items()}


@computing()
def undone(
    net: DeconvNet, layer: Layer | None = None, x: Float[Tensor, "n c *spatial"] | None = None
) -> dict[str, dict[str, Rule]]:
    """As `way_down`, with the rules themselves."""
    engine = attached(net)
    graph = engine.own_graph() if x is None else engine.graph(x)
    costs = engine.costs_of_classes(graph)[0] if layer is None else engine.costs(graph, layer)
    return engine_steps.undone_by_layer(costs.way)
