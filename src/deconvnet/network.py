"""`DeconvNet`: a deconvnet attached to a network; the work is done in `engine`."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._checks import instance
from deconvnet._memory import in_bytes
from deconvnet._precision import Arithmetic
from deconvnet._types import LayerInfo, Precision, Unit
from deconvnet.capture.captures import Captures
from deconvnet.capture.untouched import computing
from deconvnet.core.operations import OperationTable, operations
from deconvnet.core.replays import replays_if
from deconvnet.core.rules import RuleSet, Smooth, rule_set, smooth_by_name
from deconvnet.engine import activations as engine_activations
from deconvnet.engine import classes as engine_classes
from deconvnet.engine import directions as engine_directions
from deconvnet.engine import responsible as engine_responsible
from deconvnet.engine import steps as engine_steps
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer, html_table, layer_infos, output_name, table, value_of
from deconvnet.engine.passes import passes_of
from deconvnet.engine.project import Watch, check_route, collected
from deconvnet.engine.seeds import Channel, Choice, Start
from deconvnet.engine.targets import Target, Targets
from deconvnet.models._detectors import refuse_detector
from deconvnet.models.class_names import class_names
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.responsible import Responsible
from deconvnet.results.steps import Steps
from deconvnet.windows.cost import RouteName

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def _computing(
    method: Callable[Concatenate["DeconvNet", _P], _Result],
) -> Callable[Concatenate["DeconvNet", _P], _Result]:
    """The method, run as `Attachment.computing` says."""

    @wraps(method)
    def run(net: "DeconvNet", /, *args: _P.args, **kwargs: _P.kwargs) -> _Result:
        with net._attached.computing():
            return method(net, *args, **kwargs)

    return run


class DeconvNet:
    """A deconvnet attached to a network, which stays untouched.

    The network is captured in eval on the first use of each input size; its weights are read anew
    every time, so training may go on between two looks.

    Args:
        model: any convolutional network of PyTorch that takes one tensor of images.
        example_input: (n, c, *spatial) with one to three spatial axes; only shape, dtype and device
            count.
        rules: "deconvnet", "guided", "gradient", or a `RuleSet`.
        smooth: what becomes of activations other than ReLU: "refuse", "rectify" or "gradient". By default that of the
            rules: refuse, and their derivative in "gradient", which is back-propagation.
        output: which of several tensors that the model returns holds the classes, by key, field or
            index.
        memory: budget for what is worked on at a time, such as "2GB" or a number of bytes; a quarter of what is
            free by default. Results come on top of it.
        labels: names of the classes, in order, such as `LoadedModel.labels`; targets may then be names.
        operations: the table of operations; the one that all networks share by default, see `OperationTable`.
        precision: what is computed in, up and down: "float16", "bfloat16", "float32" or "float64", whatever the type
            of the weights, which stay as they are; or "tf32", float32 in which a GPU may shorten the factors of
            products to 10 bits. By default the type of the weights, and float32 is never shortened, whatever PyTorch
            is set to.
        deterministic: use algorithms that give the same bits every time on a GPU. On a CPU they do anyway.
        cuda_graphs: on a CUDA device, record what is asked for again at the same sizes as CUDA graphs and replay them.
            They hold up to `memory` bytes. Results may differ in the last digits; not with `deterministic`.

    Attributes:
        rules: the rule set.
        output: as it was given, as a string.

    Raises:
        CaptureError: the model cannot be captured.
        ArgumentError: an argument of a wrong type or value.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
        >>> net = DeconvNet(model, randn(1, 3, 16, 16))
        >>> net.project(randn(1, 3, 16, 16), "3", channel=2).full().shape
        torch.Size([1, 3, 16, 16])
    """

    @computing()
    def __init__(
        self,
        model: nn.Module,
        example_input: Float[Tensor, "n c *spatial"],
        *,
        rules: str | RuleSet = "deconvnet",
        smooth: Smooth | None = None,
        output: str | int | None = None,
        memory: str | int | None = None,
        labels: Sequence[str] | None = None,
        operations: OperationTable = operations,
        precision: Precision | None = None,
        deterministic: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        self.rules = rule_set(rules, smooth)
        self._smooth = smooth_by_name(self.rules, smooth)
        arithmetic = Arithmetic(precision, deterministic)
        self.output = output_name(output)
        budget = None if memory is None else in_bytes(memory)
        names = None if labels is None else class_names(labels)
        replays = replays_if(cuda_graphs, budget, deterministic=deterministic)
        captures = Captures(model, example_input, arithmetic, replays)
        refuse_detector(captures.model)
        self._attached = Attachment(captures, self.rules, operations, self.output, budget, names, arithmetic)
        self._attached.graph(captures.example)
        self._attached.check_labels(names)

    @property
    def model(self) -> nn.Module:
        """The network itself, out of DataParallel and torch.compile."""
        return self._attached.model

    def with_rules(self, rules: str | RuleSet, *, smooth: Smooth | None = None) -> "DeconvNet":
        """The same capture with another way down.

        Args:
            rules: a name or a `RuleSet`.
            smooth: as in `DeconvNet`; for a name, this network's own by default. "gradient" has the derivative all the
                same, so that it is back-propagation whatever the network's own.
        """
        if isinstance(rules, str) and rules != "gradient" and smooth is None:
            smooth = self._smooth
        other = copy(self)
        other.rules = rule_set(rules, smooth)
        other._smooth = smooth_by_name(other.rules, smooth, self._smooth)
        other._attached = replace(self._attached, rules=other.rules)
        return other

    @computing()
    def with_directions(
        self, layer: Layer, weight: Any, bias: Any = None, *, rectify: bool = True, name: str = "directions"
    ) -> "DeconvNet":
        """The same capture with one more layer: directions in the feature maps of a layer, as maps of their own.

        At each position a direction is a weighted sum of the layer's maps: a feature of a sparse autoencoder, a concept
        vector, a row of NMF or PCA, the weights of a probe. All that works on feature maps works on these.

        Args:
            layer: name or module.
            weight: (k, c) for k directions and the layer's c maps.
            bias: (k,) added to each.
            rectify: whether what lies against a direction counts as 0, as in a sparse autoencoder's code.
            name: of the new layer.

        Raises:
            ArgumentError: not a weight for each map, not finite numbers, or the network has a layer of that name.
            LayerNotFoundError: no such layer.

        Example:
            >>> from torch import nn, randn
            >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
            >>> net = DeconvNet(model, randn(1, 3, 16, 16)).with_directions("1", randn(2, 8), name="found")
            >>> net.project(randn(1, 3, 16, 16), "found", channel=1).units[0].layer
            'found'
        """
        hung_on = self._attached.layer_name(layer)
        checked = engine_directions.checked(self._attached.own_graph(), hung_on, weight, bias, rectify, name)
        other = copy(self)
        other._attached = replace(self._attached, directions=(*self._attached.directions, checked))
        return other

    @property
    @computing()
    def layers(self) -> Mapping[str, LayerInfo]:
        """Every layer by name, in the order in which the network computes them."""
        return layers_of(self, self._attached.captures.like_model())

    @computing()
    def layer(self, layer: Layer) -> LayerInfo:
        """What is known about one layer, given by name or as the module.

        Raises:
            LayerNotFoundError: no such layer; the message has the nearest names.
        """
        name = self._attached.layer_name(layer)
        value_of(self._attached.own_graph(), name)
        return self.layers[name]

    def __str__(self) -> str:
        return "\n".join([f"DeconvNet, rules: {self.rules.name}", *table(self.layers)])

    def _repr_html_(self) -> str:
        return html_table(self.layers, repr(self).strip("<>"))

    def __repr__(self) -> str:
        size = "x".join(map(str, self._attached.captures.example.shape[1:]))
        precision = self._attached.arithmetic.precision
        rules = self.rules.name if precision is None else f"{self.rules.name}, precision: {precision}"
        return f"<DeconvNet of {type(self.model).__name__}, input {size}, rules: {rules}>"

    @_computing
    def activations(self, x: Float[Tensor, "n c *spatial"], layers: Sequence[Layer] | Layer) -> dict[str, Tensor]:
        """What layers give for images, running no further than the deepest of them.

        Args:
            x: images, as the model takes them.
            layers: names or modules.

        Returns:
            By layer name, (n, c, *spatial) each.

        Raises:
            LayerNotFoundError: no layer of that name.
            NotFiniteError: NaN or infinity in the input, a weight or one of the layers.
        """
        return engine_activations.activations(self._attached, x, layers)

    @_computing
    def scores(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """The model's output before its softmax or sigmoid, if it ends in one: what `explain` starts from."""
        return engine_activations.scores(self._attached, x)

    @_computing
    def probabilities(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """How likely the network finds each class.

        What the model itself says, if it ends in a softmax, log-softmax or sigmoid. Otherwise the softmax of its
        scores; of a single score its sigmoid, and of each number of an output that has other axes than the images.

        Returns:
            Shaped as `scores`, 0 to 1.
        """
        return engine_activations.probabilities(self._attached, x)

    @_computing
    def project(
        self,
        x: Float[Tensor, "n c *spatial"],
        layer: Layer,
        *,
        channel: Channel | Mapping[int, float] | None = None,
        position: tuple[int, ...] | int | Literal["all"] | None = None,
        units: Sequence[Unit] | None = None,
        start: Start | Tensor = "activation",
        to: Layer | None = None,
        memory: str | int | None = None,
        route: RouteName = "auto",
        watch: Watch | None = None,
    ) -> Reconstruction:
        """Units of a layer, each carried down alone, all other activations zero.

        Args:
            x: images, as the model takes them.
            layer: name or module; see `layers`.
            channel: a feature map, several, "all", or "top:16" for those of strongest activation; {3: 0.5, 7: -1.0}
                for the weighted sum of maps 3 and 7, as one.
            position: index per spatial axis; None for each map's strongest; "all" keeps the whole map.
            units: single units of the layer, of any maps, positions and images, in place of channel and
                position.
            start: the unit's "activation" (as the paper; its magnitude if negative), "one", or a signal
                of the layer's own shape, (n, c, *spatial), that is carried down as it is.
            to: carry the signal only down to this layer.
            memory: budget for what this call works on at a time.
            route: single units are carried in windows of their receptive fields ("windowed") or on whole
                maps ("dense"); "auto" counts the work and picks, and runs the forward pass for listed
                `units` on no more of their images than they see if that is less. The results are the
                same up to the order of sums; see `deconvnet.costs`.
            watch: called as watch(layer, indices, signal, low) whenever all of a signal has come to a layer on its
                way: the layer's name ("the pixels" for the input), (m,) indices of units in the result, their
                signals (m, c, *window), and (m, axes) the low corner of each window in the layer's map. It is not
                called for values whose rows are not images, such as tokens before images or maps that are folded
                into the batch.

        Returns:
            Units in order of images, then channels; listed units as listed.

        Raises:
            LayerNotFoundError, ArgumentError: no such layer, channel or position.
            UnsupportedOperationError: something below the layer cannot be undone under these rules.
            NotFiniteError: NaN or infinity in the input, a weight or the layer.
            MemoryBudgetError: a single image or unit does not fit the budget, or the result the free memory.
        """
        check_route(route)
        if isinstance(channel, Mapping):
            row, name = engine_directions.weighted(self._attached.graph(x), self._attached.layer_name(layer), channel)
            hung = self.with_directions(layer, row, rectify=False, name=name)
            return hung.project(x, name, channel=0, position=position, units=units, start=start, to=to, memory=memory,
                                route=route, watch=watch)  # fmt: skip
        costs = self._attached.costs(self._attached.graph(x), layer, to)
        budget = self._attached.budget(memory)
        passes = passes_of(costs, self.model, x, Choice(channel, position, units, start), budget, route)
        return collected(costs, passes, budget, route=route, watch=watch)

    @_computing
    def explain(
        self,
        x: Float[Tensor, "n c *spatial"],
        target: Target = None,
        *,
        targets: Targets = None,
        start: Start = "one",
        to: Layer | None = None,
        memory: str | int | None = None,
        watch: Watch | None = None,
    ) -> Reconstruction:
        """A class carried down: what of each image the network's answer rests on.

        Args:
            x: images, as the model takes them.
            target: one class of each image: an index, counted from 0; a name, where `labels` are known; or None for the
                one that the network finds most likely. A list, array or tensor holds exactly one for each image. A
                tuple is always one class at one position of an output that is a map (segmentation): (class, y, x).
                There, a class alone starts from all positions where it wins, together (where its score is the largest
                of all; above 0 where there is only one class, or the network ends in a sigmoid), None is the class that
                wins most of them, and a mask (bool) shaped like the output, with or without its batch axis, starts from
                all its positions. Maps of one position, (n, c, 1, 1), are classes. In a tuple None stands for any, of
                which the strongest is taken. An output of other axes than the images, such as that of a detector, takes
                tuples with an index on each axis, and masks. Of a detector from `load_model` a class is its strongest
                answer, a tuple is (level, anchor, class, y, x), and an int an index of all answers.
            targets: several classes, in place of target: a list for every image, [3, 5]; a list for each image,
                [[3, 5], [4]]; or "all". Each item is what `target` may be for one image.
            start: "one", because the sign of a class score means nothing, or "activation".
            to: carry the signal only down to this layer.
            memory: as in `project`.
            watch: as in `project`.

        Raises:
            TargetError: no such class, not one for each image, or the output needs another kind of target.
            ArgumentError: a class of a map wins nowhere in an image.
            UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `project`.
        """
        return engine_classes.explained(
            self._attached, x, target, targets, start=start, to=to, memory=memory, watch=watch
        )

    @_computing
    def steps(
        self,
        x: Float[Tensor, "1 c *spatial"],
        layer: Layer | None = None,
        *,
        channel: int | str | None = None,
        position: tuple[int, ...] | int | Literal["all"] | None = None,
        target: Target = None,
        to: Layer | None = None,
        memory: str | int | None = None,
    ) -> Steps:
        """One unit's way down, step by step: each signal beside what the forward pass had there (section 2.1).

        Args:
            x: one image, as the model takes it.
            layer: name or module; None for the classes.
            channel: a feature map, as in `project`; the one of strongest activation by default.
            position: as in `project`.
            target: where layer is None, a class, as in `explain`.
            to: end at this layer.
            memory: as in `project`; the signals that are kept count as well.

        Raises:
            ArgumentError: several images or units.
            LayerNotFoundError, TargetError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as
                in `project` and `explain`.
        """
        return engine_steps.steps_down(
            self._attached, x, layer, channel=channel, position=position, target=target, to=to, memory=memory
        )

    @_computing
    def responsible(
        self,
        x: Float[Tensor, "n c *spatial"],
        target: Target = None,
        layer: Layer | None = None,
        k: int = 9,
        *,
        per_map: int | None = 1,
        memory: str | int | None = None,
    ) -> Responsible:
        """The units of a layer that a class rests on: those of largest activation times signal of the class.

        The class is carried down to the layer as `explain` does; then each of these units is carried
        down to the pixels alone.

        Args:
            x: images, as the model takes them.
            target: one class of each image, as in `explain`.
            layer: name or module; by default the last rectified maps on the way to the class, see the
                result.
            k: how many units of each image at most; the notes say where fewer have a contribution above 0.
            per_map: how many of them in each feature map at most, because the neighbours of a unit say little
                more than it does; 0 or None for any number.
            memory: as in `project`.

        Returns:
            Up to k units of each image, the strongest first.

        Raises:
            TargetError: as in `explain`.
            LayerNotFoundError: no such layer.
            ArgumentError: the signal of the class does not pass the layer, or none of its units has a contribution
                above 0; also as in `explain`.
            UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `project`.
        """
        return engine_responsible.responsible(self._attached, x, target, layer, k=k, per_map=per_map, memory=memory)


def attached(net: DeconvNet) -> Attachment:
    """A network's attachment, for packages that need more than its methods offer.

    Raises:
        ArgumentError: it is not a `DeconvNet`.
    """
    return instance("net", net, DeconvNet)._attached


def repeatable(net: DeconvNet) -> DeconvNet:
    """The same deconvnet, computed by algorithms alone that give the same bits every time.

    Raises:
        ArgumentError: it is not a `DeconvNet`.
    """
    engine, other = attached(net), copy(net)
    other._attached = replace(engine, arithmetic=replace(engine.arithmetic, deterministic=True))
    return other


def with_model(net: DeconvNet, model: nn.Module) -> DeconvNet:
    """The same deconvnet on another model with the same modules, without capturing it anew.

    Args:
        net: the network.
        model: a copy of the network's model, as `stand_in` makes it, which may have other weights.
    """
    attachment = attached(net)
    other = copy(net)
    other._attached = replace(attachment, captures=attachment.captures.of(model))
    return other


@computing()
def layers_of(net: DeconvNet, x: Float[Tensor, "n c *spatial"]) -> Mapping[str, LayerInfo]:
    """As `DeconvNet.layers`, for images of another size than the example's."""
    return layer_infos(net._attached.graph(x), net.rules, net._attached.operations.rows)
