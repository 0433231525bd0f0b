"""A look at one photo: what all its views are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from deconvnet._errors import ArgumentError
from deconvnet._types import PIXELS, LayerInfo
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, layers_of
from deconvnet.photos.photo import Photo, PhotoLike
from deconvnet.results.blocks import bypassed
from deconvnet.results.steps import StepDown, Steps
from deconvnet.viewer.repeat import source
from deconvnet.viewer.select import Likely, likeliest, some_layers
from deconvnet.ways import main_layers, way_down


@dataclass(frozen=True, eq=False)
class Look:
    """What all views of one photo are made from.

    Attributes:
        net: the network and the way down.
        loaded: its preprocessing and labels.
        photo: the photo.
        name: its name for other people.
        source: its name in the reproduction snippet; "" for what is not a file.
        x: (1, c, h, w) of it.
        classes: the likeliest ones.
        steps: the way down of the first of them.
        infos: of all layers, for images of this size.
        maps: (c, *size) of the layers whose units are shown, by name, in the network's order.
        passed: (c, *size) of the layers on which signals are drawn on their way down, in the order of the way with
            those beside it first: the shown ones, and those that every signal passes and where it changes.
        named: whether the user named these layers.
    """

    net: DeconvNet
    loaded: LoadedModel
    photo: Photo
    name: str
    source: str
    x: Tensor
    classes: Sequence[Likely]
    steps: Steps
    infos: Mapping[str, LayerInfo]
    maps: Mapping[str, Tensor]
    passed: Mapping[str, Tensor]
    named: bool

    @cached_property
    def indices(self) -> dict[str, int]:
        """The index of each passed layer."""
        return {name: i for i, name in enumerate(self.passed)}

    @cached_property
    def unpooled(self) -> dict[str, StepDown]:
        """The steps that undo a max-pool by its switches and nothing else, by the layer that they come to.

        What comes out of a block is a sum of its branches, of which a pooling in one of them explains little.
        """
        return {s.layer: s for s in self.steps if s.switches is not None and s.undone == (s.pool,)}

    @cached_property
    def errors(self) -> dict[tuple[str, str], float]:
        """The relative error of unpooling, by the layer that is reached and the max-pool that is undone."""
        return {(s.layer, s.pool): s.error for s in self.steps if s.pool is not None and s.error is not None}

    @cached_property
    def unchanged(self) -> frozenset[str]:
        """The layers where the signal does not change on the way: reshaping, dropout and the like."""
        return frozenset(step.layer for step in self.steps) - {step.layer for step in self.steps.changing}


def look(net: DeconvNet, loaded: LoadedModel, photo: PhotoLike, layers: Sequence[str], *, named: bool) -> Look:
    """Read a photo, run the network on it, and keep the maps of the layers to show.

    Args:
        net: the network.
        loaded: its preprocessing and labels.
        photo: the photo.
        layers: as `shown_layers` gives them.
        named: whether the user named them.

    Raises:
        PhotoError, NotFiniteError: the photo cannot be used.
    """
    loaded_photo = loaded.preprocess.read(photo)
    x = loaded.preprocess.images(loaded_photo).to(loaded.example_input)
    seen = Seen(loaded_photo, short_name(photo, loaded_photo), source(photo), x)
    return look_at(net, loaded, seen, layers, named=named)


@dataclass(frozen=True, eq=False)
class Seen:
    """A photo as a network gets it.

    Attributes:
        photo: the photo.
        name, source, x: as in `Look`.
    """

    photo: Photo
    name: str
    source: str
    x: Tensor


def look_at(net: DeconvNet, loaded: LoadedModel, seen: Seen, layers: Sequence[str], *, named: bool = False) -> Look:
    """As `look`, of a photo that is read.

    Raises:
        NotFiniteError: the network gives NaN or infinity for it.
    """
    x = seen.x
    classes = likeliest(net.probabilities(x)[0], loaded.labels)
    steps = net.steps(x, target=classes[0].target)
    infos = layers_of(net, x)
    activations = net.activations(x, layers)
    maps = {layer: activations[layer][0] for layer in infos if layer in activations and activations[layer].ndim > 1}
    passed = _passed(maps, steps)
    return Look(
        net, loaded, seen.photo, seen.name, seen.source, x, classes, steps, infos, maps, passed, named=named
    )  # fmt: skip


def _passed(maps: Mapping[str, Tensor], steps: Steps) -> dict[str, Tensor]:
    """What the layers gave on which signals are drawn; see `Look`."""
    layers = [step.layer for step in steps]
    trunk = set(layers) - {layers[i] for i in bypassed(layers, [step.undone for step in steps])}
    changing = {step.layer for step in steps.changing}
    way: dict[str, Tensor] = {}
    flat = ""  # a layer where the signal has come without spatial axes; it is drawn better where it has them again
    for step in steps[1:-1]:
        passes = step.layer in trunk and (step.layer in changing or (flat != "" and step.signal.ndim > 1))
        if step.layer in maps or passes:
            if step.layer not in changing:
                way.pop(flat, None)
            way[step.layer] = step.forward
            flat = step.layer if step.signal.ndim == 1 and step.layer not in maps else ""
    return {**{name: values for name, values in reversed(list(maps.items())) if name not in way}, **way}


def short_name(photo: PhotoLike, loaded_photo: Photo) -> str:
    """A photo's name for other people: folders are the user's own business."""
    name = name_of(photo) if isinstance(photo, str | Path) else loaded_photo.name
    return name if name.startswith("sample:") else Path(name).name


def name_of(photo: PhotoLike) -> str:
    """A photo's name in messages: its path, or its name if it is not a file."""
    return str(photo) if isinstance(photo, str | Path) else getattr(photo, "name", "photo")


def shown_layers(net: DeconvNet, loaded: LoadedModel, named: Sequence[str] | None) -> list[str]:
    """The layers whose units are shown, by the names by which signals pass them; by default the main ones.

    Raises:
        LayerNotFoundError: no layer of that name.
        ArgumentError: a layer cannot be shown, or there are none to show.
    """
    x = loaded.example_input
    infos = layers_of(net, x)
    if named is not None:
        return [_first_name(net, x, name, infos) for name in named]
    layers = some_layers(main_layers(net, x), infos)
    if not layers:
        raise ArgumentError("no layer on the way to the class is rectified: name the layers to show with layers=.")
    return layers


def _first_name(net: DeconvNet, x: Tensor, layer: str, infos: Mapping[str, LayerInfo]) -> str:
    """The name by which signals pass a layer, which may have several names.

    Raises:
        ArgumentError: it lies above the classes, or cannot be shown.
    """
    name, *below = way_down(net, layer, x)
    classes = next(iter(way_down(net, x=x)))
    if name == PIXELS:
        raise ArgumentError(f"layer {layer!r} is the network's input: choose a layer above it.")
    if classes in below:
        raise ArgumentError(f"layer {layer!r} lies above the classes, {classes!r}: choose a layer below them.")
    if len(infos[layer].size) > 2:
        raise ArgumentError(f"layer {layer!r} has maps of {len(infos[layer].size)} axes: choose one with at most two.")
    return name
