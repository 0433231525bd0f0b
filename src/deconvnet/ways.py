"""Ways of a network: what the ways down cost, what is undone on them, and what is seen on the way up."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from deconvnet.capture.untouched import computing
from deconvnet.engine import activations as engine_activations
from deconvnet.engine import main_layers as engine_main_layers
from deconvnet.engine import steps as engine_steps
from deconvnet.engine.activations import WatchActivations
from deconvnet.engine.costs import Costs
from deconvnet.engine.layers import Layer
from deconvnet.engine.steps import Undoing
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
    down = undone(net, layer, x)
    return {name: {above: how.rule.words for above, how in ways.items()} for name, ways in down.items()}


@computing()
def undone(
    net: DeconvNet, layer: Layer | None = None, x: Float[Tensor, "n c *spatial"] | None = None
) -> dict[str, dict[str, Undoing]]:
    """As `way_down`, with the rules themselves."""
    engine = attached(net)
    graph = engine.own_graph() if x is None else engine.graph(x)
    costs = engine.costs_of_classes(graph)[0] if layer is None else engine.costs(graph, layer)
    return engine_steps.undone_by_layer(costs.way)


@computing()
def main_layers(net: DeconvNet, x: Float[Tensor, "n c *spatial"]) -> tuple[str, ...]:
    """The layers on the way to the classes that are shown where none are named: see `engine.main_layers`."""
    engine = attached(net)
    return engine_main_layers.main_layers(engine.costs_of_classes(engine.graph(x))[0].way)


def watch_activations(
    net: DeconvNet, x: Float[Tensor, "n c *spatial"], layers: Sequence[Layer], watch: WatchActivations
) -> None:
    """Run a forward pass and call `watch` with each layer as soon as it is computed, keeping none.

    Args:
        net: the network.
        x: images, as the model takes them.
        layers: names or modules.
        watch: called as watch(name, values); the values are lent for the call only, and are not looked through for
            NaN and infinity.

    Raises:
        LayerNotFoundError: no layer of that name.
    """
    engine_activations.watch_activations(attached(net), x, layers, watch)
