"""`responsible` over many photos: the feature maps that a class rests on, added up."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deconvnet._checks import callback, instance, whole_number
from deconvnet._errors import ArgumentError, NotFiniteError, PhotoError, TargetError
from deconvnet._types import Unit
from deconvnet.engine.activations import activations
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.classes import output_of
from deconvnet.engine.layers import Layer
from deconvnet.engine.passes import by_units
from deconvnet.engine.project import collected
from deconvnet.engine.responsible import arrived, layer_of, map_shares
from deconvnet.engine.targets import Chosen, Target
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.batches import batches
from deconvnet.photos.sets import PhotoSet, open_photos
from deconvnet.results.reconstruction import Reconstruction
from deconvnet.results.responsible_maps import ResponsibleMaps


def responsible_maps(
    net: DeconvNet,
    photos: Any,
    target: Target = None,
    layer: Layer | None = None,
    *,
    loaded: LoadedModel,
    batch: int = 16,
    workers: int = 0,
    examples: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ResponsibleMaps:
    """The feature maps of a layer that a class rests on, added up over photos.

    What `DeconvNet.responsible` finds for units is summed over the positions of each map, for one photo after the
    other. A photo that cannot be read, or in which the class wins nowhere or nothing contributes, is skipped.

    Args:
        net: the network.
        photos: as `open_photos` takes them: a folder, a list, shards and more.
        target: one class of each photo, as in `DeconvNet.explain`.
        layer: name or module; by default as in `DeconvNet.responsible`.
        loaded: the network with its preprocessing.
        batch: photos that are run at once, at most.
        workers: processes that read photos; 0 reads them here.
        examples: of how many of the strongest maps a unit is carried down, for `ResponsibleMaps.sheet`.
        progress: called as progress(photos done, photos in all).

    Raises:
        TargetError, LayerNotFoundError, ArgumentError: as in `DeconvNet.responsible`; not one photo could be used.
        PhotoError: no photos.
    """
    engine, report = attached(net), callback("progress", progress)
    instance("loaded", loaded, LoadedModel)
    opened, size = open_photos(photos), whole_number("batch", batch)
    drawn = whole_number("examples", examples, least=0)
    example = loaded.example_input
    name = layer_of(engine, example, layer)
    chosen = output_of(engine, engine.graph(example), len(opened)).chosen(target)
    adding = _Adding(engine, opened, name, chosen)
    order, at_once = np.arange(len(opened)), min(size, len(opened))
    for part in batches(opened, order, loaded.preprocess, at_once, workers=workers, device=example.device):
        adding.skipped += [(opened.name(i), words) for i, words in part.skipped]
        if len(part.indices):
            with engine.computing():
                adding.add(part.images[torch.from_numpy(part.slots)].to(example), part.indices.tolist())
        if report is not None:
            report(min(len(adding.names) + len(adding.skipped), len(opened)), len(opened))
    result = adding.result()
    with engine.computing():
        return replace(result, examples=adding.examples(result, drawn, loaded)) if drawn else result


class _Adding:
    """What has been added up so far."""

    def __init__(self, engine: Attachment, photos: PhotoSet, layer: str, chosen: list[list[Chosen]]) -> None:
        self._engine, self._photos, self._layer, self._chosen = engine, photos, layer, chosen
        self.names: list[str] = []
        self._indices: list[int] = []
        self.skipped: list[tuple[str, str]] = []
        self._classes: list[Unit] = []
        self._shares: list[Tensor] = []
        self._notes: dict[str, None] = {}

    def add(self, x: Tensor, indices: list[int]) -> None:
        """Add photos; of several, in one of which something is wrong, each alone."""
        try:
            classes, arrivals, _ = arrived(self._engine, x, [self._chosen[i] for i in indices], self._layer, None)
        except (TargetError, PhotoError):
            raise
        except (ArgumentError, NotFiniteError) as error:
            if len(indices) == 1:
                self.skipped.append((self._photos.name(indices[0]), str(error)))
                return
            for row, index in enumerate(indices):
                self.add(x[row : row + 1], [index])
            return
        same = f"The signal of the class that arrives at {self._layer!r} is the same for every photo."
        self._notes |= dict.fromkeys(classes.facts.notes(same))
        for index, unit, shares in zip(indices, classes.units, map_shares(arrivals).cpu(), strict=True):
            if not bool(shares.any()):
                self.skipped.append((self._photos.name(index), f"no unit of {self._layer!r} contributes to the class."))
                continue
            self.names.append(self._photos.name(index))
            self._indices.append(index)
            self._classes.append(unit)
            self._shares.append(shares)

    def result(self) -> ResponsibleMaps:
        """All of it.

        Raises:
            ArgumentError: there is nothing.
        """
        if not self.names:
            name, why = self.skipped[0]
            raise ArgumentError(f"none of the {len(self.skipped)} photos can be used; the first, {name!r}: {why}")
        return ResponsibleMaps(
            self._layer, tuple(self.names), tuple(unit.channel for unit in self._classes), torch.stack(self._shares),
            tuple(self.skipped), tuple(self._notes), answers=tuple(unit.name for unit in self._classes),
        )  # fmt: skip

    def examples(self, result: ResponsibleMaps, count: int, loaded: LoadedModel) -> Reconstruction:
        """The strongest unit of each of the strongest maps, in the photo where the map's share is the largest."""
        engine, layer, like = self._engine, self._layer, loaded.example_input
        channels = [channel for channel, _ in result.strongest(count)]
        images = [int(result.shares[:, channel].argmax()) for channel in channels]
        photos = [self._photos.read(self._indices[i], reading=loaded.preprocess.reading) for i in images]
        x = torch.cat([loaded.preprocess.image(photo) for photo in photos]).to(like)
        values = activations(engine, x, layer)[layer]
        units = [Unit(layer, channel, _strongest(values[row, channel]), row) for row, channel in enumerate(channels)]
        costs, budget = engine.costs(engine.graph(x), layer), engine.budget(None)
        drawn = collected(costs, by_units(costs, engine.model, x, units, "activation", budget, "auto"), budget)

        def of_photo(unit: Unit) -> Unit:
            return replace(unit, image=images[unit.image])

        facts = replace(drawn.facts, silent=tuple(map(of_photo, drawn.facts.silent)))
        return replace(drawn, units=tuple(map(of_photo, drawn.units)), facts=facts)


def _strongest(of_map: Tensor) -> tuple[int, ...]:
    """The position of the largest activation of a map."""
    return tuple(map(int, np.unravel_index(int(of_map.argmax()), tuple(of_map.shape)))) if of_map.ndim else ()
