"""`DeconvNet`: a deconvnet attached to a network. Joins capture, rules, forward and project."""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import psutil
import torch
from jaxtyping import Float
from torch import Tensor, nn

from deconvnet import receptive_field
from deconvnet._errors import (
    ArgumentError,
    CaptureError,
    DeconvNetWarning,
    LayerNotFoundError,
    MemoryBudgetError,
    NotFiniteError,
    UnsupportedOperationError,
)
from deconvnet._types import Box, LayerInfo, Step, Unit, Value
from deconvnet.capture import Graph, computing
from deconvnet.captured import Captured, ordinary
from deconvnet.forward import Trace, all_finite, check_finite, forward, forward_in_windows
from deconvnet.plan import Plan, plan, words_of
from deconvnet.project import CHUNK, Carry, boxes_of, project_seeds
from deconvnet.reconstruction import Reconstruction
from deconvnet.rules import RuleSet, Smooth, rule_for, rule_set
from deconvnet.seeds import (
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

Layer = str | nn.Module

COLUMNS = ("layer", "forward", "way down", "shape", "stride", "receptive field", "switches below")
_CLASS_SCORES = {"aten.softmax", "aten.log_softmax", "aten._softmax", "aten._log_softmax", "aten.sigmoid"}


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
        self._output = None if output is None else str(output)
        self._memory = None if memory is None else _bytes(memory)
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
        return layer_infos(self._captured.graph(self._captured.like_model()), self.rules)

    def __str__(self) -> str:
        rows = [COLUMNS, *(layer_row(info) for info in self.layers.values())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"DeconvNet, rules: {self.rules.name}", *lines])

    def __repr__(self) -> str:
        size = "x".join(map(str, self._captured.example.shape[1:]))
        return f"<DeconvNet of {type(self.model).__name__}, input {size}, rules: {self.rules.name}>"

    def activations(self, x: Float[Tensor, "n c *spatial"], layers: Sequence[Layer] | Layer) -> dict[str, Tensor]:
        """What layers give for images, running no further than the deepest of them.

        Returns:
            By layer name, (n, c, *spatial) each.

        Raises:
            LayerNotFoundError: no layer of that name.
            NotFiniteError: NaN or infinity in the input, a weight or one of the layers.
        """
        several = [layers] if isinstance(layers, str | nn.Module) else list(layers)
        graph = self._captured.graph(x)
        values = {name: self._value(graph, name) for name in map(self._layer_name, several)}
        wanted = frozenset(value.name for value in values.values())
        with computing():
            trace = forward(graph, self.model, ordinary(x), wanted, self.rules, {})
            self._check(trace, graph, x, wanted)
        results = {name: trace.values[value.name] for name, value in values.items()}
        given = {value.name for value in values.values()} & {graph.input.name}
        return {name: t.clone() if given else t for name, t in results.items()}

    def scores(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """The model's output before its softmax or sigmoid, if it ends in one: what `explain` starts from."""
        graph = self._captured.graph(x)
        value, _ = self._class_scores(graph)
        with computing():
            trace = forward(graph, self.model, ordinary(x), frozenset([value.name]), self.rules, {})
            self._check(trace, graph, x, frozenset([value.name]))
        return trace.values[value.name]

    def probabilities(self, x: Float[Tensor, "n c *spatial"]) -> Tensor:
        """How likely the network finds each class: the scores' sigmoid if it ends in one, else their softmax.

        Returns:
            Shaped as `scores`, 0 to 1.
        """
        graph = self._captured.graph(x)
        _, notes = self._class_scores(graph)
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
        path: Carry = "auto",
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

        Returns:
            Units in order of images, then channels; listed units as listed.

        Raises:
            LayerNotFoundError, ArgumentError: no such layer, channel or position.
            UnsupportedOperationError: something below the layer has no way down under these rules.
            NotFiniteError: NaN or infinity in the input, a weight or the layer.
            MemoryBudgetError: a single image or unit does not fit the budget.
        """
        graph = self._captured.graph(x)
        name = self._layer_name(layer)
        value = self._value(graph, name)
        stop = graph.input if to is None else self._value(graph, self._layer_name(to))
        way = self._plan(graph, value, stop, name)

        budget = self._budget(memory)
        if units is not None:
            if channel is not None or position is not None or isinstance(start, Tensor):
                raise ArgumentError("units say all: leave out channel, position and a signal of your own.")
            listed = checked_units(units, name, value.sizes(1)[1:], len(x))
            order = sorted(range(len(listed)), key=lambda i: listed[i].image)
            passes = self._by_units(way, x, [listed[i] for i in order], start, budget, path)
            result = self._run(way, passes, lambda trace, seeds: len(listed), (), budget, path)
            return result if order == list(range(len(order))) else result[np.argsort(order).tolist()]

        def choose(values: Tensor, first: int) -> Seeds:
            if isinstance(start, Tensor):
                return own_signal(name, start, values, channel, position, first, len(x))
            return unit_seeds(name, values, channel, position, start, first)

        return self._run(way, self._by_images(way, x, choose, budget), _as_many_each(len(x)), (), budget, path)

    def plan(self, layer: Layer, *, to: Layer | None = None) -> str:
        """How a single unit of a layer is carried down, and at what cost, in words.

        The costs are counts of multiplications, in which a number moved through memory counts as several.

        Args:
            layer: name or module; see `layers`.
            to: carry the signal only down to this layer.

        Raises:
            LayerNotFoundError, UnsupportedOperationError: as in `project`.
        """
        graph = self._captured.graph(self._captured.like_model())
        name = self._layer_name(layer)
        value = self._value(graph, name)
        stop = graph.input if to is None else self._value(graph, self._layer_name(to))
        return words_of(self._plan(graph, value, stop, name), name)

    def explain(
        self,
        x: Float[Tensor, "n c *spatial"],
        target: Target = None,
        *,
        start: Start = "one",
        to: Layer | None = None,
        memory: str | int | None = None,
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

        Raises:
            TargetError: no such class, or the output needs another kind of target.
            UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `project`.
        """
        graph = self._captured.graph(x)
        value, notes = self._class_scores(graph)
        name = next((n for n, v in graph.layers.items() if v == value), "output")
        stop = graph.input if to is None else self._value(graph, self._layer_name(to))
        way = self._plan(graph, value, stop, name)

        def choose(values: Tensor, first: int) -> Seeds:
            return class_seeds(name, values, target, start, first, len(x))

        budget = self._budget(memory)
        return self._run(way, self._by_images(way, x, choose, budget), _as_many_each(len(x)), notes, budget)

    # From here on: how.

    def _run(
        self, way: Plan, passes: Iterator[tuple[Trace, Seeds]], units: Callable[[Trace, Seeds], int],
        notes: tuple[str, ...], budget: int, path: Carry = "auto",
    ) -> Reconstruction:  # fmt: skip
        """Carry down what was chosen in each of several forward passes; `units` tells how many there will be."""
        done: list[Unit] = []
        silent: list[Unit] = []
        activations: list[Tensor] = []
        boxes: list[Box] = []
        windows = torch.empty(0)
        with computing():
            for trace, seeds in passes:
                here = boxes_of(way, seeds.units)
                if not boxes:
                    windows = self._room(way, seeds, here[0], units(trace, seeds), budget)
                into = windows[len(boxes) : len(boxes) + len(here)]
                project_seeds(way, trace, seeds, here, into, budget - windows.nbytes, path)
                done += seeds.units
                silent += seeds.silent
                boxes += here
                activations.append(seeds.activations)
                notes = tuple(dict.fromkeys((*notes, *seeds.notes)))
            if not all_finite(windows):
                raise NotFiniteError(
                    f"the signal overflows on the way down in {windows.dtype}: use a wider floating-point type, or "
                    'start="one".'
                )
            return Reconstruction(
                units=tuple(done),
                activations=torch.cat(activations),
                windows=windows,
                boxes=torch.tensor([[box.low, box.high] for box in boxes], dtype=torch.int64),
                input_size=way.size,
                rules=self.rules,
                notes=(*notes, *_notes(way), *_silence(silent, len(done))),
            )

    def _by_images(
        self, way: Plan, x: Tensor, choose: Callable[[Tensor, int], Seeds], budget: int
    ) -> Iterator[tuple[Trace, Seeds]]:
        """Forward passes over as many images at once as the budget allows, with the seeds chosen in each."""
        at_once = self._images_at_once(way, x, budget)
        for first in range(0, len(x), at_once):
            trace = self._forward(way, x[first : first + at_once])
            yield trace, choose(trace.values[way.start.name], first)

    def _by_units(
        self, way: Plan, x: Tensor, units: Sequence[Unit], start: Start, budget: int, path: Carry
    ) -> Iterator[tuple[Trace, Seeds]]:
        """Forward passes over single units, in order of their images, or over those images if that is less work."""
        images = sorted({unit.image for unit in units})
        if path == "auto" and way.up is not None and way.sees_little(len(units), len(images)):
            x, at_once = ordinary(x), max(1, min(budget // 3, CHUNK) // way.bytes_up_of_unit(x.element_size()))
            for first in range(0, len(units), at_once):
                some = units[first : first + at_once]
                trace = forward_in_windows(way.up, way.graph, self.model, x, some, self.rules, way.chosen)
                self._check(trace, way.graph, x, frozenset([way.start.name]))
                yield trace, listed_seeds(some, trace.values[way.start.name], np.arange(len(some)), start)
            return
        if way.graph.images is not None:
            images = list(range(len(x)))
        at_once = self._images_at_once(way, x, budget)
        for first in range(0, len(images), at_once):
            row_of = {image: row for row, image in enumerate(images[first : first + at_once])}
            trace = self._forward(way, x[list(row_of)])
            some = [unit for unit in units if unit.image in row_of]
            rows = np.array([row_of[unit.image] for unit in some])
            yield trace, listed_seeds(some, trace.values[way.start.name], rows, start)

    def _forward(self, way: Plan, x: Tensor) -> Trace:
        images, wanted = ordinary(x), frozenset([way.start.name])
        trace = forward(way.graph, self.model, images, wanted, self.rules, way.chosen)
        self._check(trace, way.graph, images, wanted)
        return trace

    def _room(self, way: Plan, seeds: Seeds, box: Box, units: int, budget: int) -> Tensor:
        """Memory for the windows of that many units."""
        shape = (units, way.stop.shape[1].of(1), *box.size)
        width = seeds.values.element_size()
        need = width * math.prod(shape) + way.bytes_down(width)
        if need > budget:
            raise MemoryBudgetError(
                f"{units} reconstructions take about {need / 1e6:.3g} MB, and the budget is "
                f"{budget / 1e6:.3g} MB: ask for fewer units at a time, or give more with memory=."
            )
        return seeds.values.new_zeros(shape)

    def _layer_name(self, layer: Layer) -> str:
        if isinstance(layer, str):
            return layer
        if not isinstance(layer, nn.Module):
            raise ArgumentError(f"a layer is a name or a module; got {type(layer).__name__}.")
        for name, module in self.model.named_modules():
            if module is layer:
                return str(name)
        raise LayerNotFoundError(f"this {type(layer).__name__} is no layer of the network.")

    def _value(self, graph: Graph, name: str) -> Value:
        if name not in graph.layers:
            near = get_close_matches(name, graph.layers, n=3, cutoff=0.3)
            near += [other for other in graph.layers if other.startswith(f"{name}[")][:3]
            raise LayerNotFoundError(
                f"the network has no layer {name!r}; the nearest names are "
                f"{', '.join(map(repr, dict.fromkeys(near))) or 'none'}. print(net) lists all."
            )
        return graph.layers[name]

    def _plan(self, graph: Graph, start: Value, stop: Value, name: str) -> Plan:
        key = (id(graph), start.name, stop.name, self.rules)
        if key not in self._plans or self._plans[key].graph is not graph:
            way = plan(graph, start, stop, self.rules)
            if start != stop and not way.down:
                raise ArgumentError(f"no signal travels from {name!r} down to the layer that `to` names.")
            self._plans[key] = way
        return self._plans[key]

    def _class_scores(self, graph: Graph) -> tuple[Value, tuple[str, ...]]:
        """The value before a final softmax or sigmoid, and what to note of it."""
        names = list(graph.outputs)
        if self._output is None and len(names) != 1:
            raise ArgumentError(
                f"the model returns {len(names)} tensors ({', '.join(names)}): say which holds the classes "
                f"with DeconvNet(..., output={names[0]!r})." if names else "the model returns no tensor."
            )  # fmt: skip
        name = names[0] if self._output is None else self._output
        if name not in graph.outputs:
            raise ArgumentError(f"the model returns no {name!r}; it returns {', '.join(names)}.")
        value = graph.outputs[name]
        notes: tuple[str, ...] = ()
        made: dict[str, Step] = {step.output.name: step for step in graph.steps}
        while value.name in made and made[value.name].operation in _CLASS_SCORES:
            step = made[value.name]
            notes = (f"The {step.operation.removeprefix('aten.')} at the output was skipped.",)
            value = step.inputs[0]
        if value.shape[:1] != graph.input.shape[:1]:
            images, shape = (graph.images or 1), value.sizes(graph.images or 1)
            raise CaptureError(
                f"for {images} image{'s' * (images > 1)} the model returns a tensor of shape {shape}, which has no "
                "axis for images, so no image has scores of its own: give a model that keeps the batch axis first."
            )
        return value, notes

    def _check(self, trace: Trace, graph: Graph, x: Tensor, wanted: frozenset[str]) -> None:
        if not all(map(all_finite, trace.values.values())):
            check_finite(graph, self.model, x, wanted)

    def _budget(self, memory: str | int | None) -> int:
        if memory is not None:
            return _bytes(memory)
        if self._memory is not None:
            return self._memory
        if self._captured.example.is_cuda:
            return torch.cuda.mem_get_info(self._captured.example.device)[0] // 4
        return int(psutil.virtual_memory().available) // 4

    def _images_at_once(self, way: Plan, x: Tensor, budget: int) -> int:
        width = x.element_size()
        need = way.bytes_up(width) + way.bytes_down(width)
        images = way.graph.images
        if need * (images or 1) > budget:
            share = (budget / (need * (images or 1))) ** (1 / max(x.ndim - 2, 1))
            fits = "x".join(str(int(length * share)) for length in x.shape[2:])
            raise MemoryBudgetError(
                f"one image of {'x'.join(map(str, x.shape[2:]))} needs about {need / 1e6:.3g} MB, and the "
                f"budget is {budget / 1e6:.3g} MB: give more with memory=, or images of about {fits} or less."
            )
        if images is not None:
            return images
        return max(1, min(len(x), (budget - way.bytes_down(width)) // way.bytes_up(width)))


def layer_infos(graph: Graph, rules: RuleSet) -> dict[str, LayerInfo]:
    """What is known of each layer before any image is seen."""
    words, closed = {graph.input.name: "the input"}, {}
    pools: dict[str, frozenset[str]] = {graph.input.name: frozenset()}
    kinds = {graph.input.name: "input"}
    for step in graph.steps:
        name = step.output.name
        try:
            rule = rule_for(step, rules)
            words[name], closed[name] = rule.words, rule.closed
        except UnsupportedOperationError:
            words[name] = "refused"
        kinds[name] = step.operation.removeprefix("aten.")
        open_inputs = [v for i, v in enumerate(step.signals) if i not in closed.get(name, ())]
        below = frozenset[str]().union(*(pools.get(v.name, frozenset()) for v in open_inputs))
        pools[name] = below | {name} if "max_pool" in step.operation else below
    fields = receptive_field.fields(graph.steps, graph.input, closed)
    size = tuple(length.of(1) for length in graph.input.shape[2:])
    infos = {}
    for layer, value in graph.layers.items():
        field = fields.get(value.name)
        shape = value.sizes(1)
        infos[layer] = LayerInfo(
            name=layer,
            kind=kinds[value.name],
            way_down=words[value.name],
            channels=shape[1] if len(shape) > 1 else 1,
            size=shape[2:],
            stride=None if field is None else tuple(float(axis.scale) for axis in field),
            receptive_field=size if field is None else tuple(axis.size for axis in field),
            switches_below=len(pools[value.name]),
        )
    return infos


def layer_row(info: LayerInfo) -> tuple[str, ...]:
    """A layer as the cells of a table; see `COLUMNS`."""

    def times(numbers: Sequence[float]) -> str:
        return "x".join(f"{number:g}" for number in numbers) or "-"

    return (
        info.name or "the model itself",
        info.kind,
        info.way_down,
        times((info.channels, *info.size)),
        "-" if info.stride is None else times(info.stride),
        times(info.receptive_field),
        str(info.switches_below),
    )


def _as_many_each(images: int) -> Callable[[Trace, Seeds], int]:
    """How many units there will be, every image having as many as the others, from those of the first pass."""
    return lambda trace, seeds: len(seeds.units) * images // trace.images


def _notes(way: Plan) -> tuple[str, ...]:
    """What a reader of the pictures should know of the way down."""
    notes: tuple[str, ...] = ()
    if way.image_free:
        notes += (
            "This picture does not depend on the image: nothing between the unit and the picture, such as a "
            "max-pool's switches, remembers anything of it.",
        )
    if any(rule.words == "rectify (smooth)" for _, rule in way.down):
        notes += ('Activations that are no rectifiers were treated as rectifiers (smooth="rectify").',)
    if way.rules.smooth == "gradient" and any(rule.words == "derivative" for _, rule in way.down):
        notes += ('Smooth operations were differentiated (smooth="gradient").',)
    return notes


def _silence(silent: list[Unit], units: int) -> tuple[str, ...]:
    """What to say of the units that start nothing; warns where that is all of them."""
    if not silent:
        return ()
    words = (
        f"{len(silent)} of {units} units have activation 0, the first is {silent[0]}: a reconstruction "
        "that starts from it is all zero."
    )
    if len(silent) == units:
        warnings.warn(words, DeconvNetWarning, stacklevel=4)
    return (words,)


def _bytes(memory: str | int) -> int:
    """A budget in bytes.

    Example:
        >>> _bytes("2GB")
        2000000000
    """
    units = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", str(memory), re.IGNORECASE)
    if isinstance(memory, bool) or not written or float(written.group(1)) <= 0:
        raise ArgumentError(f"memory is a number of bytes or a size such as '2GB'; got {memory!r}.")
    return int(float(written.group(1)) * units[written.group(2).upper()])
