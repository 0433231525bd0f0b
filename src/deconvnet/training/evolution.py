"""`Evolution`: snapshots of chosen feature maps while a network trains (figure 4 of the paper)."""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import numpy as np
import torch
from torch import nn

from deconvnet._checks import as_list, flag, index_of, short, whole_number
from deconvnet._errors import ArgumentError, DeconvNetError, DeconvNetWarning
from deconvnet._types import Unit
from deconvnet.capture.untouched import computing
from deconvnet.engine.layers import Layer, maps_of
from deconvnet.engine.main_layers import main_layers
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.preprocess import Preprocess
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.training.filters import filters_of
from deconvnet.training.folder import EvolutionFolder, Watched
from deconvnet.training.images import source_of
from deconvnet.training.layer_snapshot import LayerSnapshot
from deconvnet.training.snapshots import Snapshot, Snapshots
from deconvnet.training.strongest import Peak, strongest

PAPER = (1, 2, 5, 10, 20, 30, 40, 64)
"""The epochs of the paper's figure."""

Maps: TypeAlias = Mapping[str, Sequence[int]] | Sequence[Layer] | Layer | None


class Watching(TypedDict, total=False):
    """What a user may choose of an evolution; see `Evolution`."""

    layers: Maps
    maps: int
    seed: int
    epochs: Collection[int] | None
    preprocess: Preprocess | None


class Evolution:
    """Snapshots of chosen feature maps while a network trains: of each map the unit of strongest activation over all
    photos, carried down (section 4.1 of the paper and its figure 4).

    Call `after(epoch)` at the end of every epoch. The network is looked at in eval, and its flags, its weights and the
    random state are afterwards what they were. Nothing that goes wrong with a picture ends the training: it becomes a
    `DeconvNetWarning` and a note. Memory holds one photo for each map, whatever the number of photos and epochs;
    snapshots go to the folder, which `deconvnet.open` opens at any time.

    Give photos as they are without random changes such as crops, so that a map's strongest photo can be recognised.

    Args:
        model: the network that trains, or a `DeconvNet` attached to it, for other rules.
        photos: (n, c, *spatial) as the model takes them; batches of such images, such as a DataLoader gives (of tuples
            the first counts), looped over again for each snapshot; or, with `preprocess`, whatever `open_photos` takes.
        folder: for the snapshots: new, empty, or with `resume` that of this evolution.
        layers: the maps of each layer, such as {"relu1": [0, 5]}; or layers, of which `maps` are drawn at random; by
            default the rectified layers that a reader wants to see first.
        maps: how many are drawn of each layer.
        seed: of the draw.
        epochs: after which a snapshot is taken; None for every epoch. 0 is before the training.
        preprocess: what makes inputs of photos.
        resume: go on with the evolution in the folder, if there is one, of the same maps and photos.

    Attributes:
        layers: by name, the maps that are watched.
        epochs: as given.

    Raises:
        CaptureError: the model cannot be captured.
        LayerNotFoundError, ArgumentError: no such layer or map; a folder that holds anything else, or an evolution
            while `resume` is not given; photos that cannot be used.
        UnsupportedOperationError: something below a layer cannot be undone under the rules.
        PhotoError: no photos.

    Example:
        >>> from torch import nn, randn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())
        >>> evolution = Evolution(model, randn(4, 3, 16, 16), folder="evolution", layers={"1": [0, 5]}, epochs=(1, 2))
        >>> for epoch in range(1, 3):
        ...     _ = nn.init.normal_(model[0].weight)  # train
        ...     _ = evolution.after(epoch)
        >>> evolution.snapshots()
        <Snapshots of '1' after epochs 1, 2>
    """

    def __init__(
        self,
        model: nn.Module | DeconvNet,
        photos: Any,
        *,
        folder: str | Path,
        layers: Maps = None,
        maps: int = 6,
        seed: int = 0,
        epochs: Collection[int] | None = PAPER,
        preprocess: Preprocess | None = None,
        resume: bool = False,
    ) -> None:
        resume = flag("resume", resume)
        self.epochs = None if epochs is None else _epochs(epochs)
        self._source, identity = source_of(photos, preprocess)
        self._net = _network(model, self._source())
        self.layers = _chosen(self._net, layers, whole_number("maps", maps), whole_number("seed", seed, least=0))
        watched = Watched(dict(self.layers), self._net.rules.name, identity)
        self._folder = EvolutionFolder(folder, watched, resume=resume)

    def __repr__(self) -> str:
        maps = sum(map(len, self.layers.values()))
        return f"<Evolution of {maps} maps of {', '.join(map(repr, self.layers))} in {str(self._folder.folder)!r}>"

    def after(self, epoch: int, *, step: int | None = None) -> Snapshot | None:
        """Take the snapshot of an epoch, if it is one of `epochs`, and write it.

        A snapshot of this epoch that is there already is replaced, and those of later epochs are removed: they belong
        to a training that was taken up again at an earlier epoch.

        Args:
            epoch: how many are done; 0 before the training.
            step: how often the optimiser has stepped, if it is to be remembered.

        Returns:
            The snapshot; None if there is none.

        Raises:
            ArgumentError: epoch or step is not a whole number.

        Warns:
            DeconvNetWarning: the snapshot, or a picture in it, could not be taken or written.
        """
        epoch = whole_number("epoch", epoch, least=0)
        step = None if step is None else whole_number("step", step, least=0)
        if self.epochs is not None and epoch not in self.epochs:
            return None
        try:
            snapshot = self._snapshot(epoch, step)
            self._folder.add(snapshot)
        except Exception as fault:  # whatever a user's data set or the disk raises: the training goes on
            why = str(fault) if isinstance(fault, DeconvNetError) else f"{type(fault).__name__}: {fault}"
            self._miss(epoch, why)
            return None
        for note in snapshot.notes:
            warnings.warn(f"the snapshot after epoch {epoch}: {note}", DeconvNetWarning, stacklevel=2)
        return snapshot

    def snapshots(self) -> Snapshots:
        """All snapshots so far, read from the folder.

        Raises:
            DeconvNetError: one was removed or damaged.
        """
        return self._folder.read()

    def latest(self, *, before: int | None = None) -> Snapshot | None:
        """The latest snapshot, read from the folder; None if there is none.

        Args:
            before: an epoch; None for the latest of all.

        Raises:
            ArgumentError: it is not a whole number.
            DeconvNetError: the snapshot is damaged.
        """
        return self._folder.latest(None if before is None else whole_number("before", before, least=0))

    def _miss(self, epoch: int, why: str) -> None:
        try:
            self._folder.miss(epoch, why)
        except DeconvNetError as fault:
            why = f"{why} That cannot be noted either: {fault}"
        warnings.warn(f"no snapshot after epoch {epoch}: {why}", DeconvNetWarning, stacklevel=3)

    def _snapshot(self, epoch: int, step: int | None) -> Snapshot:
        like = attached(self._net).captures.like_model()
        peaks, count, skipped = strongest(self._net, self._source(), self.layers, like)
        notes = [f"photo {name!r} is left out: {why}" for name, why in skipped[:3]]
        if len(skipped) > 3:
            notes.append(f"{len(skipped) - 3} more photos are left out.")
        layers = []
        for layer, channels in self.layers.items():
            pictures = None
            try:
                pictures = self._pictures(layer, channels, peaks[layer])
            except Exception as fault:
                notes.append(f"layer {layer!r} could not be carried down: {fault}")
            layers.append(self._layer(layer, channels, peaks[layer], pictures))
        return Snapshot(epoch, step, count, tuple(layers), tuple(notes))

    def _layer(
        self, layer: str, channels: tuple[int, ...], peaks: list[Peak | None], pictures: Reconstruction | None
    ) -> LayerSnapshot:
        photos = tuple(None if peak is None else peak.photo for peak in peaks)
        activations = torch.tensor([0.0 if peak is None else peak.activation for peak in peaks], device="cpu")
        with computing():
            filters = filters_of(attached(self._net), layer, channels)
        return LayerSnapshot(layer, channels, photos, activations, pictures, filters)

    def _pictures(self, layer: str, channels: tuple[int, ...], peaks: list[Peak | None]) -> Reconstruction | None:
        """The units of all maps that are not silent, carried down, each in its own photo."""
        images = {peak.photo: peak.image for peak in peaks if peak is not None}
        if not images:
            return None
        rows = {photo: row for row, photo in enumerate(images)}
        units = [
            Unit(layer, channel, peak.position, rows[peak.photo])
            for channel, peak in zip(channels, peaks, strict=True)
            if peak is not None
        ]
        x = torch.stack([*images.values()]).to(attached(self._net).captures.like_model())
        drawn = self._net.project(x, layer, units=units)
        return replace(drawn, activations=drawn.activations.cpu(), windows=drawn.windows.cpu(), boxes=drawn.boxes.cpu())


def _epochs(epochs: object) -> frozenset[int]:
    listed = as_list(sorted(epochs) if isinstance(epochs, set | frozenset) else epochs)
    if listed is None:
        raise ArgumentError(
            f"epochs are whole numbers, such as (1, 2, 5), or None for every epoch; got {short(epochs)}."
        )
    return frozenset(whole_number("each of epochs", epoch, least=0) for epoch in listed)


def _network(model: object, source: Iterable[Any]) -> DeconvNet:
    if isinstance(model, DeconvNet):
        return model
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"model is a torch.nn.Module or a DeconvNet; got {short(model)}.")
    _check_whole(model)
    for batch in source:
        if len(batch.x):
            weight = next((weight for weight in model.parameters() if weight.is_floating_point()), batch.x)
            return DeconvNet(model, batch.x[:1].detach().to(weight.device, weight.dtype))
    raise ArgumentError("photos hold not one image that can be used.")


def _check_whole(model: nn.Module) -> None:
    """Raise unless this process has all weights: with some of them it cannot look at the network alone.

    Raises:
        ArgumentError: it has not.
    """
    wrapped = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
    if wrapped or any(hasattr(weight, "placements") for weight in model.parameters()):
        raise ArgumentError(
            "the weights are spread over processes (FSDP, tensor parallelism), and one process needs all of them: "
            "train with data parallelism (DDP), or look at checkpoints afterwards: load each, then call after(epoch)."
        )


def _chosen(net: DeconvNet, layers: Maps, maps: int, seed: int) -> dict[str, tuple[int, ...]]:
    """The maps of each layer, checked to be there and to have a way down.

    Raises:
        ArgumentError, LayerNotFoundError, UnsupportedOperationError: they are not, or have none.
    """
    engine, random = attached(net), np.random.default_rng(seed)
    graph = engine.own_graph()
    given: Mapping[Any, Any]
    if layers is None:
        given = dict.fromkeys(main_layers(engine.costs_of_classes(graph)[0].way))
    elif isinstance(layers, Mapping):
        given = layers
    else:
        listed = [layers] if isinstance(layers, str | nn.Module) else as_list(layers)
        if listed is None:
            raise ArgumentError(f"layers are names, or maps by name such as {{'relu1': [0, 5]}}; got {short(layers)}.")
        given = {engine.layer_name(layer): None for layer in listed}
    chosen = {}
    for layer, channels in given.items():
        name = engine.layer_name(layer)
        count = maps_of(graph, name).maps
        if channels is None:
            chosen[name] = tuple(sorted(random.choice(count, min(maps, count), replace=False).tolist()))
        else:
            chosen[name] = _channels(name, channels, count)
        engine.costs(graph, name)
    if not chosen:
        raise ArgumentError("layers name no layer. Give at least one.")
    return chosen


def _channels(layer: str, channels: object, count: int) -> tuple[int, ...]:
    listed = as_list(channels)
    if not listed:
        raise ArgumentError(f"layers[{layer!r}] is a list of feature maps, such as [0, 5]; got {short(channels)}.")
    indices = tuple(index_of(channel, count, f"maps in layer {layer!r}") for channel in listed)
    if len(set(indices)) < len(indices):
        raise ArgumentError(f"layers[{layer!r}] names a feature map twice: {short(channels)}.")
    return indices
