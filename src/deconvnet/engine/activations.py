"""Activations of layers, and the scores and probabilities of classes."""

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._checks import as_list, short
from deconvnet._errors import ArgumentError
from deconvnet.capture.untouched import ordinary
from deconvnet.core.finite import finite_forward
from deconvnet.core.graph import Graph, Value
from deconvnet.core.rules import Rule
from deconvnet.core.up import Trace, forward
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import ClassScores, Layer, class_scores, value_of

WatchActivations = Callable[[str, Tensor], object]


def activations(
    attached: Attachment, x: Float[Tensor, "n c *spatial"], layers: Sequence[Layer] | Layer
) -> dict[str, Tensor]:
    """What layers give for images; see `DeconvNet.activations`."""
    names = layer_names(attached, layers)
    graph = attached.graph(x)
    values = {name: value_of(graph, name) for name in names}
    trace = _finite(attached, graph, x, [*values.values()])
    results = {name: trace.values[value.name] for name, value in values.items()}
    given = {value.name for value in values.values()} & {graph.input.name}
    return {name: tensor.clone() if given else tensor for name, tensor in results.items()}


def layer_names(attached: Attachment, layers: Sequence[Layer] | Layer) -> list[str]:
    """The names of layers, given by name or as modules; one or several.

    Raises:
        ArgumentError, LayerNotFoundError: neither names nor modules of the network.
    """
    listed = [layers] if isinstance(layers, str | nn.Module) else as_list(layers)
    if listed is None:
        raise ArgumentError(f"layers are a name or a module, or a list of these; got {short(layers)}.")
    return [attached.layer_name(layer) for layer in listed]


def watch_activations(
    attached: Attachment,
    x: Float[Tensor, "n c *spatial"],
    layers: Sequence[Layer],
    watch: WatchActivations,
    remember: Mapping[str, Rule] | None = None,
    *,
    look_for_nan: bool = True,
) -> Trace:
    """Run a forward pass and call `watch` with each layer as soon as it is computed, keeping none.

    Args:
        attached: the network.
        x: images, as the model takes them.
        layers: names or modules.
        watch: called as watch(name, values); the values are lent for the call only, and are not looked through for
            NaN and infinity.
        remember: the rule of each step whose switches and the like shall be kept, by the name of its output.
        look_for_nan: in the images, for which an accelerator has to be waited for.

    Returns:
        The pass, with what was remembered.
    """
    names = layer_names(attached, layers)
    if not callable(watch):
        raise ArgumentError(f"watch is a function of a layer's name and its values; got {short(watch)}.")
    graph = attached.graph(x, look_for_nan=look_for_nan)
    with attached.computing():
        calls = _calls({name: value_of(graph, name) for name in names}, watch)
        images = ordinary(x, graph.input.dtype)
        return forward(graph, attached.model, images, frozenset(), attached.rules, remember or {}, calls)


def scores(attached: Attachment, x: Float[Tensor, "n c *spatial"]) -> Tensor:
    """The class scores; see `DeconvNet.scores`."""
    graph = attached.graph(x)
    value = class_scores(graph, attached.output, attached.operations.rows).value
    return _finite(attached, graph, x, [value]).values[value.name]


def probabilities(attached: Attachment, x: Float[Tensor, "n c *spatial"]) -> Tensor:
    """How likely the network finds each class; see `DeconvNet.probabilities`."""
    return with_probabilities(attached, x, [])[1]


def with_probabilities(
    attached: Attachment, x: Float[Tensor, "n c *spatial"], layers: Sequence[str]
) -> tuple[dict[str, Tensor], Tensor]:
    """What layers give for images, and how likely the network finds each class, out of one forward pass."""
    graph = attached.graph(x)
    values = {name: value_of(graph, name) for name in layers}
    classes = class_scores(graph, attached.output, attached.operations.rows)
    wanted = classes.output if classes.skipped else classes.value
    trace = _finite(attached, graph, x, [*values.values(), wanted])
    activations = {name: trace.values[value.name] for name, value in values.items()}
    return activations, as_probabilities(classes, trace.values[wanted.name])


def as_probabilities(classes: ClassScores, output: Tensor) -> Tensor:
    """How likely classes are.

    Args:
        classes: where they are.
        output: what the model returns if it ends in a softmax or the like, else the scores.
    """
    if classes.skipped:  # the network says it itself
        return output.exp() if classes.skipped[0] == "log_softmax" else output
    alone = output.ndim < 2 or output.shape[1] == 1 or classes.is_array
    return output.sigmoid() if alone else output.softmax(1)


def _finite(attached: Attachment, graph: Graph, x: Tensor, values: Sequence[Value]) -> Trace:
    wanted = frozenset(value.name for value in values)
    return finite_forward(graph, attached.model, ordinary(x, graph.input.dtype), wanted, attached.rules, {})


def _calls(values: Mapping[str, Value], watch: WatchActivations) -> dict[str, Callable[[Tensor], None]]:
    """What is called with each value: `watch`, with every name that the value has among the layers."""

    def call_with(names: Sequence[str]) -> Callable[[Tensor], None]:
        def call(tensor: Tensor) -> None:
            for name in names:
                watch(name, tensor)

        return call

    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value.name, []).append(name)
    return {value: call_with(layers) for value, layers in names.items()}
