"""`DeconvNet`: a deconvnet attached to a network. Joins capture, rules, forward and project."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet._errors import ArgumentError, LayerNotFoundError
from deconvnet._memory import free_bytes, in_bytes
from deconvnet._types import LayerInfo, Unit, Value
from deconvnet.capture.captures import Captured, ordinary
from deconvnet.capture.trace import Graph, computing
from deconvnet.core.rules import RuleSet, Smooth, rule_set
from deconvnet.core.up import Trace, finite_forward, forward
from deconvnet.engine.carry import SAME_FOR_ALL, Watch, carried
from deconvnet.engine.layers import class_scores, html_table, layer_infos, maps_of, names_of, rows_of, table, value_of
from deconvnet.engine.passes import by_images, by_units, pass_of_units
from deconvnet.engine.plan import Plan, plan, words_of
from deconvnet.engine.seeds import (
    Channel,
    Seeds,
    Start,
    Target,
    checked_units,
    class_seeds,
    listed_seeds,
    own_signal,
    unit_seeds,
)
from deconvnet.engine.unit_memory import Kept
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.responsible import Ranking, Responsible, check_asked, check_layer, joined, last_maps, ranked
from deconvnet.results.steps import Steps, steps_down, way_words
from deconvnet.windows.steps import Path

Layer = str | nn.Module


class DeconvNet:
    """A deconvnet attached to a network, which stays untouched.

    The network is captured in eval on the first use of each input size; its weights are read anew
    every time, so training may go on between two looks.

    Args:
        model: any convolutional network of PyTorch that takes one tensor of images.
        example_input: (n, c, *spatial) with one to three spatial axes; only shape, dtype and device
            count.
        rules: "deconvnet", "guided", "gradient", or a `RuleSet`.
        smooth: what becomes of activations that are no rectifiers: "refuse" (default), "rectify" or
            "gradient".
        output: which of several tensors that the model returns holds the classes, by key, field or
            number.
        memory: budget such as "2GB" or a number of bytes; a quarter of what is free by default.

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

    def __init__(
        self,
        model: nn.Module,
        example_input: Float[Tensor, "n c *spatial"],
        *,
        rules: str | RuleSet = "deconvnet",
        smooth: Smooth | None = None,
        output: str | int | None = None,
        memory: str | int | None = None,
    ) -> None:
        self.rules = rule_set(rules, smooth)
        self._captured = Captured(model, example_input)
        self.output = None if output is None else str(output)
        self._memory = None if memory is None else in_bytes(memory)
        self._plans: dict[Any, Plan] = {}
        self._captured.graph(self._captured.example)

    @property
    def model(self) -> nn.Module:
        """The network itself, out of DataParallel and torch.compile."""
        return self._captured.model

    def with_rules(self, rules: str | RuleSet, *, smooth: Smooth | None = None) -> "DeconvNet":
        """The same capture with another way down.

        Args:
            rules: a name or a `RuleSet`.
            smooth: as in `DeconvNet`; for a name, this network's own by default.
        """
        if isinstance(rules, str) and smooth is None:
            smooth = self.rules.smooth
        other = object.__new__(DeconvNet)
        vars(other).update(vars(self))
        other.rules = rule_set(rules, smooth)
        return other

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """Every layer by name, in the order in which the network computes them."""
        return self.layers_of(self._captured.like_model())

    def layers_of(self, x: Float[Tensor, "n c *spatial"]) -> Mapping[str, LayerInfo]:
        """As `layers`, for images of another size than the example's."""
        return layer_infos(self._captured.graph(x), self.rules)

    def layer(self, layer: Layer) -> LayerInfo:
        """What is known of one layer.

        Raises:
            LayerNotFoundError: no such layer; the nearest names are told.
        """
        name = self._layer_name(layer)
        value_of(self._captured.graph(self._captured.like_model()), name)
        return self.layers[name]

    @property
    def rectifiers(self) -> tuple[str, ...]:
        """The layers that rectify, in the order in which the network computes them, each by its first name."""
        first = set(names_of(self._captured.graph(self._captured.like_model())).values())
        return tuple(name for name, info in self.layers.items() if info.kind == "relu" and name in first)

    def __str__(self) -> str:
        return "\n".join([f"DeconvNet, rules: {self.rules.name}", *table(self.layers)])

    def _repr_html_(self) -> str:
        return html_table(self.layers, repr(self).strip("<>"))

    def __repr__(self) -> str:
        size = "x".join(map(str, self._captured.example.shape[1:]))
        return f"<DeconvNet of {type(self.model).__name__}, input {size}, rules: {self.rules.name}>"

    def activations(
        self,
        x: Float[Tensor, "n c *spatial"],
        layers: Sequence[Layer] | Layer,
        *,
        watch: Callable[[str, Tensor], object] | None = None,
    ) -> dict[str, Tensor]:
        """What layers give for images, running no further than the deepest of them.

        Args:
            x: images, as the model takes them.
            layers: names or modules.
            watch: called as watch(name, values) as soon as a layer is there. Then nothing is kept, nor looked
                through for NaN and infinity, and the result is empty. The values are lent for the call only.

        Returns:
            By layer name, (n, c, *spatial) each.

        Raises:
            LayerNotFoundError: no layer of that name.
            NotFiniteError: NaN or infinity in the input, a weight or one of the layers.
        """
        several = [layers] if isinstance(layers, str | nn.Module) else list(layers)
        if watch is not None:
            self.watched(x, several, watch)
            return {}
        graph = self._captured.graph(x)
        values = {name: value_of(graph, name) for name in map(self._layer_name, several)}
        wanted = frozenset(value.name for value in values.values())
        with computing():
            trace = finite_forward(graph, self.model, ordinary(x), wanted, self.rules, {})
        results = {name: trace.values[value.name] for name, value in values.items()}
        given = {value.name for value in values.values()} & {graph.input.name}
        return {name: t.clone() if given else t for name, t in results.items()}

    def watched(
        self,
        x: Float[Tensor, "n c *spatial"],
        layers: Sequence[Layer],
        watch: Callable[[str, Tensor], object],
        kept: Sequence[Kept] = (),
    ) -> Trace:
        """A forward pass that shows layers as `activations` does, and remembers what `kept` can take from it."""
        graph = self._captured.graph(x)
        values = {name: value_of(graph, name) for name in map(self._layer_name, layers)}
        chosen = {name: rule for room in kept for name, rule in room.way.chosen.items()}
        with computing():
            told = _watches(values, watch)
            return forward(graph, self.model, ordinary(x), frozenset(), self.rules, chosen, told)

    def kept(self, layer: Layer, units: int) -> Kept | None:
        """Room for what so many units of a layer need for their way down; None if that needs whole maps."""
        like = self._captured.like_model()
        _, way = self._way(self._captured.graph(like), layer, None)
        return None if way.remembered is None else Kept(way, self.model, like, units)

    def scores(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """The model's output before its softmax or sigmoid, if it ends in one: what `explain` starts from."""
        graph = self._captured.graph(x)
        value, _ = class_scores(graph, self.output)
        with computing():
            trace = finite_forward(graph, self.model, ordinary(x), frozenset([value.name]), self.rules, {})
        return trace.values[value.name]

    def probabilities(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """How likely the network finds each class: the scores' sigmoid if it ends in one, else their softmax.

        Returns:
            Shaped as `scores`, 0 to 1.
        """
        graph = self._captured.graph(x)
        _, notes = class_scores(graph, self.output)
        scores = self.scores(x)
        several = scores.ndim < 2 or scores.shape[1] == 1 or any("sigmoid" in note for note in notes)
        return scores.sigmoid() if several else scores.softmax(1)

    def project(
        self,
        x: Float[Tensor, "n c *spatial"],
        layer: Layer,
        *,
        channel: Channel | None = None,
        position: tuple[int, ...] | int | Literal["all"] | None = None,
        units: Sequence[Unit] | None = None,
        start: Start | Tensor = "activation",
        to: Layer | None = None,
        memory: str | int | None = None,
        path: Path = "auto",
        watch: Watch | None = None,
    ) -> Reconstruction:
        """Units of a layer, each carried down alone, all other activations zero.

        Args:
            x: images, as the model takes them.
            layer: name or module; see `layers`.
            channel: a feature map, several, "all", or "top:16" for those of strongest activation.
            position: index per spatial axis; None for each map's strongest; "all" keeps the whole map.
            units: single units of the layer, of any maps, positions and images, in place of channel and
                position.
            start: the unit's "activation" (as the paper; its magnitude if negative), "one", or a signal
                of the layer's own shape, (n, c, *spatial), that is carried down as it is.
            to: carry the signal only down to this layer.
            memory: budget for this call.
            path: single units are carried in windows of their receptive fields ("windowed") or on whole
                maps ("dense"); "auto" counts the work and picks, and runs the forward pass for listed
                `units` on no more of their images than they see if that is less. The results are the
                same up to the order of sums; see `plan`.
            watch: called as watch(layer, numbers, signal, low) whenever all of a signal has come to a layer on its
                way: the layer's name ("the pixels" for the input), (m,) numbers of units in the result, their
                signals (m, c, *window), and (m, axes) the low corner of each window in the layer's map. Nothing
                is told of values whose rows are no images, such as tokens before images or maps that are folded
                into the batch.

        Returns:
            Units in order of images, then channels; listed units as listed.

        Raises:
            LayerNotFoundError, ArgumentError: no such layer, channel or position.
            UnsupportedOperationError: something below the layer has no way down under these rules.
            NotFiniteError: NaN or infinity in the input, a weight or the layer.
            MemoryBudgetError: a single image or unit does not fit the budget.
        """
        name, way = self._way(self._captured.graph(x), layer, to)
        budget = self._budget(memory)
        if units is not None:
            if channel is not None or position is not None or isinstance(start, Tensor):
                raise ArgumentError("units say all: leave out channel, position and a signal of your own.")
            listed = checked_units(units, name, way.start.sizes(1)[1:], len(x))
            passes = by_units(way, self.model, x, listed, start, budget, path)
            return carried(way, passes, budget, path=path, watch=watch)

        def choose(values: Tensor, first: int) -> Seeds:
            if isinstance(start, Tensor):
                return own_signal(name, start, values, channel, position, first, len(x))
            return unit_seeds(name, values, channel, position, start, first)

        passes = by_images(way, self.model, x, choose, budget)
        return carried(way, passes, budget, path=path, watch=watch)

    def project_units(
        self, x: Float[Tensor, "n c *spatial"], units: Sequence[Unit], *, memory: str | int | None = None
    ) -> dict[str, Reconstruction]:
        """Single units of several layers, each carried down alone.

        One forward pass over the images serves all; or, where that is less work, the units of each layer have one of
        their own on no more than they see.

        Args:
            x: images, as the model takes them; all of them run at once.
            units: of any layers, maps, positions and images, each from its activation.
            memory: budget for this call.

        Returns:
            By layer, its units in the order in which they were listed.

        Raises:
            As `project`.
        """
        graph, budget = self._captured.graph(x), self._budget(memory)
        of_layer: dict[str, list[Unit]] = {}
        for unit in units:
            of_layer.setdefault(unit.layer, []).append(unit)
        ways = {layer: self._way(graph, layer, None)[1] for layer in of_layer}
        listed = {
            layer: checked_units(of_layer[layer], layer, way.start.sizes(1)[1:], len(x)) for layer, way in ways.items()
        }
        whole = len(x) * max(way.work_up[0] for way in ways.values())
        if sum(len(listed[layer]) * way.work_up[1] for layer, way in ways.items()) < whole:
            return {
                layer: carried(way, by_units(way, self.model, x, listed[layer], "activation", budget, "auto"), budget)
                for layer, way in ways.items()
            }
        chosen = {name: rule for way in ways.values() for name, rule in way.chosen.items()}
        starts = frozenset(way.start.name for way in ways.values())
        with computing():
            trace = finite_forward(graph, self.model, ordinary(x), starts, self.rules, chosen)
            passes = {layer: pass_of_units(trace, way, listed[layer]) for layer, way in ways.items()}
            return {layer: carried(way, [passes[layer]], budget) for layer, way in ways.items()}

    def plan(self, layer: Layer, *, to: Layer | None = None) -> str:
        """How a single unit of a layer is carried down, and at what cost, in words.

        The costs are counts of multiplications, in which a number moved through memory counts as several.

        Args:
            layer: name or module; see `layers`.
            to: carry the signal only down to this layer.

        Raises:
            LayerNotFoundError, UnsupportedOperationError: as in `project`.
        """
        name, way = self._way(self._captured.graph(self._captured.like_model()), layer, to)
        return words_of(way, name)

    def way_down(self, x: Float[Tensor, "n c *spatial"], layer: Layer | None = None) -> dict[str, dict[str, str]]:
        """The layers on the way down, in order, and what is undone to come to each from those above it, in words.

        Args:
            x: images; only their size counts.
            layer: name or module; None for the classes.

        Raises:
            LayerNotFoundError, ArgumentError, UnsupportedOperationError: as in `project`.
        """
        graph = self._captured.graph(x)
        return way_words(self._way_of_classes(graph, None)[1] if layer is None else self._way(graph, layer, None)[1])

    def explain(
        self,
        x: Float[Tensor, "n c *spatial"],
        target: Target = None,
        *,
        start: Start = "one",
        to: Layer | None = None,
        memory: str | int | None = None,
        watch: Watch | None = None,
    ) -> Reconstruction:
        """A class carried down: what of each image the network's answer rests on.

        Args:
            x: images, as the model takes them.
            target: a class; several; "all"; None for the one that the network finds most likely in
                each image. For outputs that are maps (segmentation): (class, y, x), or a mask (bool)
                shaped like the output, with or without its batch axis.
            start: "one", because the sign of a class score means nothing, or "activation".
            to: carry the signal only down to this layer.
            memory: budget for this call.
            watch: as in `project`.

        Raises:
            TargetError: no such class, or the output needs another kind of target.
            UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `project`.
        """
        name, way, notes = self._way_of_classes(self._captured.graph(x), to)

        def choose(values: Tensor, first: int) -> Seeds:
            return class_seeds(name, values, target, start, first, len(x))

        budget = self._budget(memory)
        passes = by_images(way, self.model, x, choose, budget)
        return carried(way, passes, budget, notes=notes, watch=watch)

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
            memory: budget for this call; the signals that are kept count as well.

        Raises:
            ArgumentError: several images or units.
            LayerNotFoundError, TargetError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as
                in `project` and `explain`.
        """
        graph = self._captured.graph(x)
        if len(x) != 1:
            raise ArgumentError(f"the steps are those of one image; got {len(x)}: give x[i : i + 1].")
        if layer is not None and target is not None:
            raise ArgumentError("a target is a class: leave out the layer, or give a channel of it.")
        if layer is None and (channel is not None or position is not None):
            raise ArgumentError("a channel and a position are of a layer: name the layer, or give a target alone.")
        name, way, notes = self._way_of_classes(graph, to) if layer is None else (*self._way(graph, layer, to), ())

        def choose(values: Tensor, first: int) -> Seeds:
            if layer is None:
                return class_seeds(name, values, target, "one", first, 1)
            return unit_seeds(name, values, "top:1" if channel is None else channel, position, "activation", first)

        values = {value.name: value for step, _ in way.down for value in (step.output, *step.signals)}
        budget = self._budget(memory)
        with computing():
            (one,) = by_images(way, self.model, x, choose, budget, values)
            if len(one.seeds.units) != 1:
                raise ArgumentError(f"the steps are those of one unit; {len(one.seeds.units)} were asked for.")
            return steps_down(way, one, budget, notes)

    def responsible(
        self,
        x: Float[Tensor, "n c *spatial"],
        target: Target = None,
        layer: Layer | None = None,
        k: int = 9,
        *,
        memory: str | int | None = None,
    ) -> Responsible:
        """The units of a layer that a class rests on: those of largest activation times signal of the class.

        The class is carried down to the layer as `explain` does; then each of these units is carried
        down to the pixels alone.

        Args:
            x: images, as the model takes them.
            target: one class for all images, or None for the one that the network finds most likely in
                each; for outputs that are maps as in `explain`.
            layer: name or module; by default the last rectified maps on the way to the class, see the
                result.
            k: how many units of each image.
            memory: budget for this call.

        Returns:
            k units of each image, the strongest first.

        Raises:
            TargetError: no such class, several, or the output needs another kind of target.
            LayerNotFoundError: no such layer.
            ArgumentError: the signal of the class does not pass the layer, or fewer than k of its units have
                a contribution above 0 in one of the images.
            UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `project`.
        """
        graph = self._captured.graph(x)
        _, way, _ = self._way_of_classes(graph, None)
        check_asked(target, k, way.start)
        name = last_maps(way) if layer is None else self._layer_name(layer)
        check_layer(way, name)
        _, below = self._way(graph, name, None)
        explained = self.explain(x, target, to=name, memory=memory)
        arrived = explained.full()
        rankings: list[Ranking] = []

        def choose(values: Tensor, first: int) -> Seeds:
            rankings.append(ranked(name, values, arrived[first : first + len(values)], k, first))
            return listed_seeds(rankings[-1].units, values, np.arange(len(values)).repeat(k), "activation")

        budget = self._budget(memory)
        units = carried(below, by_images(below, self.model, x, choose, budget), budget)
        same = f"The signal of the class that arrives at {name!r} is the same for every image."
        notes = [same if note == SAME_FOR_ALL else note for note in explained.notes]
        return joined(name, explained, units, rankings, (*notes, *units.notes))

    # From here on: how.

    def _layer_name(self, layer: Layer) -> str:
        if isinstance(layer, str):
            return layer
        if not isinstance(layer, nn.Module):
            raise ArgumentError(f"a layer is a name or a module; got {type(layer).__name__}.")
        for name, module in self.model.named_modules():
            if module is layer:
                return str(name)
        raise LayerNotFoundError(f"this {type(layer).__name__} is no layer of the network.")

    def _way(self, graph: Graph, layer: Layer, to: Layer | None) -> tuple[str, Plan]:
        """A layer's name, and the way down from it."""
        name = self._layer_name(layer)
        return name, self._plan(graph, maps_of(graph, name), to, name)

    def _way_of_classes(self, graph: Graph, to: Layer | None) -> tuple[str, Plan, tuple[str, ...]]:
        """The name of the class scores, the way down from them, and what to note of them."""
        value, notes = class_scores(graph, self.output)
        name = next((n for n, v in graph.layers.items() if v == value), "output")
        return name, self._plan(graph, value, to, name), notes

    def _plan(self, graph: Graph, start: Value, to: Layer | None, name: str) -> Plan:
        stop = graph.input if to is None else rows_of(graph, self._layer_name(to))
        key = (id(graph), start.name, stop.name, self.rules)
        if key not in self._plans or self._plans[key].graph is not graph:
            way = plan(graph, start, stop, self.rules)
            if start != stop and not way.down:
                raise ArgumentError(f"no signal travels from {name!r} down to the layer that `to` names.")
            self._plans[key] = way
        return self._plans[key]

    def _budget(self, memory: str | int | None) -> int:
        if memory is not None:
            return in_bytes(memory)
        return free_bytes(self._captured.example.device) if self._memory is None else self._memory


def _watches(
    values: Mapping[str, Value], watch: Callable[[str, Tensor], object]
) -> dict[str, Callable[[Tensor], None]]:
    """What is called with each value: `watch`, with every name that the value has among the layers."""

    def told(name: str) -> Callable[[Tensor], None]:
        def tell(tensor: Tensor) -> None:
            for layer, value in values.items():
                if value.name == name:
                    watch(layer, tensor)

        return tell

    return {value.name: told(value.name) for value in values.values()}
