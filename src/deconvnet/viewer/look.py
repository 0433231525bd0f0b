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
from deconvnet.results.steps import Steps
from deconvnet.viewer.repeat import source
from deconvnet.viewer.select import Likely, likeliest, rectified
from deconvnet.ways import way_down


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
        maps: (c, *size) of the layers that are shown, by name, in the network's order.
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
    named: bool

    @cached_property
    def indices(self) -> dict[str, int]:
        """The index of each shown layer in the order of the way down, with those beside the way first."""
        passed = [step.layer for step in self.steps if step.layer in self.maps]
        aside = [name for name in reversed(list(self.maps)) if name not in passed]
        return {name: i for i, name in enumerate([*aside, *passed])}

    @cached_property
    def errors(self) -> dict[tuple[str, str], float]:
        """The relative error of unpooling, by the layer that is reached and the max-pool that is undone."""
        return {(s.layer, s.pool): s.error for s in self.steps if s.pool is not None and s.error is not None}

    @cached_property
    def unchanged(self) -> frozenset[str]:
        """The layers where the signal does not change on the way: reshaping, dropout and the like."""
        return frozenset(step.layer for step in self.steps) - {step.layer for step in self.steps.changing}


def look(net: DeconvNet, loaded: LoadedModel, photo: PhotoLike, layers: Sequence[str] | None) -> Look:
    """Run the network on a photo, and keep the maps of the layers to show; None for the rectified ones.

    Raises:
        PhotoError, NotFiniteError: the photo cannot be used.
        ArgumentError: a layer cannot be shown, or there are none to show.
    """
    loaded_photo = loaded.preprocess.read(photo)
    name = name_of(photo) if isinstance(photo, str | Path) else loaded_photo.name
    if not name.startswith("sample:"):
        name = Path(name).name  # folders are the user's own business
    x = loaded.preprocess.images(loaded_photo).to(loaded.example_input)
    classes = likeliest(net.probabilities(x)[0])
    steps = net.steps(x, target=classes[0].target)
    infos = layers_of(net, x)
    names = rectified(steps, infos) if layers is None else [_first_name(net, x, name, steps, infos) for name in layers]
    if not names:
        raise ArgumentError("no layer on the way to the class is rectified: name the layers to show with layers=.")
    activations = net.activations(x, names)
    maps = {layer: activations[layer][0] for layer in infos if layer in activations and activations[layer].ndim > 1}
    return Look(
        net, loaded, loaded_photo, name, source(photo), x, classes, steps, infos, maps, named=layers is not None
    )


def name_of(photo: PhotoLike) -> str:
    """A photo's name in messages: its path, or its name if it is not a file."""
    return str(photo) if isinstance(photo, str | Path) else getattr(photo, "name", "photo")


def _first_name(net: DeconvNet, x: Tensor, layer: str, steps: Steps, infos: Mapping[str, LayerInfo]) -> str:
    """The name by which signals pass a layer, which may have several names.

    Raises:
        ArgumentError: it lies above the classes, or cannot be shown.
    """
    name, *below = way_down(net, layer, x)
    if name == PIXELS:
        raise ArgumentError(f"layer {layer!r} is the network's input: choose a layer above it.")
    if steps[0].layer in below:
        raise ArgumentError(f"layer {layer!r} lies above the classes, {steps[0].layer!r}: choose a layer below them.")
    if len(infos[layer].size) > 2:
        raise ArgumentError(f"layer {layer!r} has maps of {len(infos[layer].size)} axes: choose one with at most two.")
    return name
