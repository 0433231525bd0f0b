"""`diagnose`: the first layer's filters, the second layer's pictures and effective receptive fields of a network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet._checks import as_list, callback, short
from deconvnet._errors import ArgumentError, DeconvNetError, UnsupportedOperationError
from deconvnet._types import PIXELS, LayerInfo, Unit
from deconvnet.core.graph import Graph, Step, Value
from deconvnet.core.operations import Operation, row_of, rule_for
from deconvnet.core.rules import RULE_SETS, RuleSet
from deconvnet.engine.activations import layer_names
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import Layer, names_of, rectifiers
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.probes.diagnosis import Diagnosis, largest_unit
from deconvnet.probes.effective_field import EffectiveFields, effective_fields
from deconvnet.probes.inputs import Inputs
from deconvnet.probes.taken import nouns
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.ways import main_layers

_PICTURES = 128  # second-layer maps that are carried down, at most
_FIELDS, _FIELD_IMAGES, _FIELD_UNITS = 4, 8, 32  # layers whose effective fields are measured unless any are named


def diagnose(
    net: DeconvNet,
    photos: Any = None,
    *,
    loaded: LoadedModel | None = None,
    layers: Sequence[Layer] | None = None,
    fields: Sequence[Layer] | Layer | None = None,
    batch: int = 16,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """How a network's first two layers came out: the paper's section 4.1 and figure 6, with numbers.

    Without photos the filters alone are looked at.

    Args:
        net: the network.
        photos: a tensor of images, as the model takes them, or photos as `open_photos` takes them: a folder, a list,
            shards and more.
        loaded: the network with its preprocessing, which reads photos; not needed for a tensor.
        layers: the first layer, or the first and the second. By default the first convolution, and the first one above
            it whose units see several positions; each with a batch norm that follows.
        fields: layers whose effective receptive fields are measured by 32 units each in 8 of the images; by default 4
            of the network's main layers, evenly spaced. An empty list for none.
        batch: images that are run at once, at most.
        limit: use at most this many images, evenly spaced.
        progress: called as progress(photos done, photos in all).

    Raises:
        ArgumentError: no convolution; a first layer whose picture depends on the image, because a max-pool lies below
            it; not one photo could be used.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError, MemoryBudgetError: as in `DeconvNet.project`.
        PhotoError: as `open_photos`.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU())
        >>> net = DeconvNet(model, randn(1, 3, 24, 24))
        >>> diagnose(net, randn(4, 3, 24, 24))
        <Diagnosis of '0': 8 filters of 3x5x5 over 4 photos>
    """
    engine, report = attached(net), callback("progress", progress)
    first, second = _layers(net, layers)
    listed = None if fields is None else layer_names(engine, fields)
    for name in listed or ():
        net.layer(name)
    inputs = None if photos is None else Inputs(photos, loaded, batch, limit)
    info, filters, notes = _filters(net, first)
    result = Diagnosis(first, filters, info.stride, second, notes=notes)
    return result if inputs is None else _over_images(net, result, inputs, listed, report)


def _layers(net: DeconvNet, layers: Sequence[Layer] | None) -> tuple[str, str | None]:
    """The names of the first and the second layer."""
    engine = attached(net)
    if layers is not None:
        names = None if (listed := as_list(layers)) is None else layer_names(engine, listed)
        if names is None or len(names) not in (1, 2):
            raise ArgumentError(f"layers are the first layer, or the first and the second; got {short(layers)}.")
        for name in names:
            net.layer(name)
        return names[0], names[1] if len(names) > 1 else None
    with engine.computing():
        names = _convolutions(engine, engine.own_graph())
    if not names:
        raise ArgumentError("the network does not have a convolution, so it lacks filters to look at.")
    return names[0], names[1] if len(names) > 1 else None


def _convolutions(engine: Attachment, graph: Graph) -> list[str]:
    """The first convolution, and the first above it whose units see several positions: names of what they give."""
    rows, names = engine.operations.rows, names_of(graph)
    listed, above = list[str](), set[str]()
    for step in graph.steps:
        row = row_of(step, rows)
        over = [value for value in step.signals if value.name in above]
        if over:
            above.add(step.output.name)
        if not (row.filters and row.sees) or (above and not (over and _sees_several(step, over[0], row))):
            continue
        name = names.get(_scaled(graph, step.output, engine.rules, rows).name)
        if name is None or listed:
            return listed if name is None else [*listed, name]
        listed.append(name)
        above.add(step.output.name)
    return listed


def _sees_several(step: Step, below: Value, row: Operation) -> bool:
    windows = row.sees(step, below, len(below.shape) - 2) if row.sees else None
    return any(high > low for _, low, high in windows or ())


def _scaled(graph: Graph, value: Value, rules: RuleSet, rows: Mapping[str, Operation]) -> Value:
    """What becomes of a convolution's maps in a batch norm, if one is all that follows; else the maps as they are."""
    above = [step for step in graph.steps if value in step.inputs]
    try:
        scales = len(above) == 1 and rule_for(above[0], rules, rows).scales is not None
    except UnsupportedOperationError:
        return value
    return above[0].output if scales else value


def first_filters(net: DeconvNet) -> tuple[str, Float[Tensor, "maps c *kernel"]]:
    """The first convolution, with the norm that follows it: its name, and its filters as they come down to the pixels.

    Raises:
        ArgumentError: it lacks a convolution, or its filters depend on the image, or on all of it.
    """
    layer, _ = _layers(net, None)
    return layer, _filters(net, layer)[1]


def _filters(net: DeconvNet, layer: str) -> tuple[LayerInfo, Float[Tensor, "maps c *kernel"], tuple[str, ...]]:
    """The filters of a layer as they come down to the pixels.

    Raises:
        ArgumentError: they depend on the image, or on all of it.
    """
    info = net.layer(layer)
    plain = net.with_rules(replace(RULE_SETS["deconvnet"], smooth=net.rules.smooth))
    x = attached(plain).captures.like_model()[:1]
    if taken := attached(plain).costs(attached(plain).graph(x), layer).way.of_image:
        raise ArgumentError(
            f"what comes down from {layer!r} depends on the image, because the way down takes {nouns(taken)} from it, "
            "so it is not a filter. Name a lower layer as the first of layers."
        )
    if info.stride is None or not info.size:
        raise ArgumentError(f"a unit of {layer!r} sees the whole input, so it lacks a filter. Name a convolution.")
    middle = tuple(length // 2 for length in info.size)
    units = [Unit(layer, channel, middle, 0) for channel in range(info.channels)]
    down = plain.project(torch.zeros_like(x), layer, units=units, start="one")
    low, high = down.boxes[0].tolist()
    cut = any(a < 0 or b > length for a, b, length in zip(low, high, down.input_size, strict=True))
    notes = ["The filters are larger than the input, and what lies outside is cut off."] * cut
    return info, down.windows.cpu(), tuple(notes)


def _over_images(
    net: DeconvNet,
    result: Diagnosis,
    inputs: Inputs,
    fields: list[str] | None,
    report: Callable[[int, int], Any] | None,
) -> Diagnosis:
    """The diagnosis with what images add to it."""
    scan = _Scan(net, [name for name in (result.layer, result.second) if name is not None])
    done = 0
    for indices, x in inputs.batches():
        scan.add(indices, x)
        done = scan.images + len(inputs.skipped)
        if report is not None:
            report(done, len(inputs))
    if report is not None and done < len(inputs):
        report(len(inputs), len(inputs))  # the last batch held no photo that can be read
    skipped = tuple(inputs.skipped.items())
    if not scan.images:
        raise ArgumentError(
            f"none of the {len(skipped)} photos can be used; the first, {skipped[0][0]!r}: {skipped[0][1]}"
        )
    pictures, notes = None, list(result.notes)
    if result.second is not None:
        pictures = _pictures(net, result.second, scan, inputs)
        if pictures is not None and len(pictures) < int((scan.largest[result.second] > 0).sum()):
            notes.append(f"Of {len(scan.largest[result.second])} maps of {result.second!r}, {len(pictures)} are drawn.")
        notes += [] if pictures is None else [f"Pictures of {result.second!r}: {note}" for note in pictures.notes]
    used = [scan.indices[i] for i in np.unique(np.arange(_FIELD_IMAGES) * len(scan.indices) // _FIELD_IMAGES)]
    effective = _fields(net, inputs.of(used), fields)
    notes += [] if effective is None else effective.notes
    return replace(
        result, photos=scan.images, pictures=pictures, fields=effective, skipped=skipped, notes=tuple(notes),
        largest=scan.largest[result.layer], second_largest=scan.largest.get(result.second or ""),
    )  # fmt: skip


class _Scan:
    """The largest activation of every map of layers over images, and where it is."""

    def __init__(self, net: DeconvNet, layers: Sequence[str]) -> None:
        self._net, self._layers = net, list(layers)
        self.largest: dict[str, Tensor] = {}
        self.where: dict[str, list[tuple[int, ...]]] = {}
        self.indices: list[int] = []

    @property
    def images(self) -> int:
        """How many were looked at."""
        return len(self.indices)

    def add(self, indices: Sequence[int], x: Float[Tensor, "n c *spatial"]) -> None:
        """Look at images."""
        for layer, values in self._net.activations(x, self._layers).items():
            largest, at = largest_unit(values)
            where = [(indices[image], *position) for image, *position in at]
            if layer not in self.largest:
                self.largest[layer], self.where[layer] = largest, where
                continue
            for channel in (largest > self.largest[layer]).nonzero()[:, 0].tolist():
                self.largest[layer][channel], self.where[layer][channel] = largest[channel], where[channel]
        self.indices += indices


def _pictures(net: DeconvNet, layer: str, scan: _Scan, inputs: Inputs) -> Reconstruction | None:
    """The strongest unit of each map that is ever above zero, carried down; None if there is none."""
    alive = (scan.largest[layer] > 0).nonzero()[:, 0].tolist()
    count = min(len(alive), _PICTURES)
    channels = [alive[i * len(alive) // count] for i in range(count)]
    if not channels:
        return None
    images = sorted({scan.where[layer][channel][0] for channel in channels})
    row_of_image = {image: row for row, image in enumerate(images)}
    units = [
        Unit(layer, channel, tuple(position), row_of_image[image])
        for channel in channels
        for image, *position in [scan.where[layer][channel]]
    ]
    down = net.project(inputs.of(images), layer, units=units)
    return replace(down, units=tuple(replace(unit, image=images[unit.image]) for unit in down.units))


def _fields(net: DeconvNet, x: Float[Tensor, "n c *spatial"], layers: list[str] | None) -> EffectiveFields | None:
    """The effective receptive fields of layers; of some of the main layers where none are named."""
    chosen = _some_main_layers(net, x) if layers is None else layers
    return effective_fields(net, x, chosen, units=_FIELD_UNITS) if chosen else None


def _some_main_layers(net: DeconvNet, x: Float[Tensor, "n c *spatial"]) -> list[str]:
    """Main layers of the network that are maps of several positions, evenly spaced."""
    engine = attached(net)
    try:
        names = main_layers(net, x)
    except DeconvNetError:  # the network has no classes, or what is above the maps cannot be undone
        names = rectifiers(engine.own_graph())
    infos = net.layers
    maps = [
        name for name in names
        if name != PIXELS and name in infos and infos[name].stride is not None and max(infos[name].size, default=1) > 1
    ]  # fmt: skip
    count = min(len(maps), _FIELDS)
    return [maps[(i + 1) * len(maps) // count - 1] for i in range(count)]
