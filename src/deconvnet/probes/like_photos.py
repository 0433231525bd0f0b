"""Does the network process a picture as it does photos? After Geirhos et al. (2024)."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from deconvnet._devices import in_float64
from deconvnet.core.down import Way
from deconvnet.engine.main_layers import main_layers
from deconvnet.network import attached
from deconvnet.probes.in_batches import watch_in_batches
from deconvnet.probes.measure import LEAST_DRAWS, Measure, Null, outside
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.unit_scale import strongest_in_others, strongest_of_map
from deconvnet.windows.receptive_field import Fields, box, fields

_NAME = "like photos"
_QUESTION = "Does the network process the picture as it does photos that the unit likes?"
_LIKED = 5  # a fifth of the other images, the ones of strongest activation, are those that the unit likes
_LEAST_LIKED = 3

_Profiles = dict[str, Float[np.ndarray, "n maps"]]


def photo_likeness(pictured: Pictured, liked: Float[Tensor, "n c *size"] | None = None) -> Measure:
    """How alike the network's activations are for the picture and for photos that the unit likes, over its layers.

    The picture is shown to the network as an image: scaled so that its standard deviation is that of the image in the
    same part, zero (the mean pixel) around it. At each main layer below the unit, and at the unit's own, the
    activations of each map are averaged over the positions that the unit sees (in photos: that the strongest unit of
    the map sees). The rank correlation of these averages over the maps is taken between the picture and each photo that
    the unit likes; the value is its mean over these photos and the layers. Beside it stands the same of photos that the
    unit does not like, in the picture's place. `details` has each layer, and the photos that the unit likes among each
    other.

    Args:
        pictured: the unit.
        liked: photos that the unit likes, as an atlas knows them, three at least; the other photos are then those that
            it does not. By default the fifth of the other photos, of which there must be 20, where the unit's map is
            strongest.
    """
    own = pictured.own
    others = pictured.others.photos.to(pictured.x)
    if not own.any() or own.std() == 0:
        return Measure(_NAME, _QUESTION, why_not="the picture is the same all over.")
    if len(others) < LEAST_DRAWS if liked is None else len(liked) < _LEAST_LIKED:
        why_not = f"it needs an atlas or at least {LEAST_DRAWS} other photos; there are {len(others)}."
        return Measure(_NAME, _QUESTION, why_not=why_not)
    strongest, positions = strongest_in_others(pictured)
    images, order, count = others, np.argsort(-strongest, kind="stable"), len(others) // _LIKED
    if liked is not None:
        images, count = torch.cat([liked.to(pictured.x), others]), len(liked)
        order = np.arange(len(images))
        positions = np.concatenate([strongest_of_map(pictured, images[:count])[1], positions])
    likes, dislikes = order[:count], order[count:]
    where = [pictured.unit.position or (), *map(tuple, positions.tolist())]
    profiles = _profiles(pictured, torch.cat([as_image(pictured), images]), where)
    alike = {layer: _correlations(values) for layer, values in profiles.items()}
    alike = {layer: matrix for layer, matrix in alike.items() if not np.isnan(matrix[0, 1 + likes]).all()}
    if not alike:
        return Measure(_NAME, _QUESTION, why_not="the unit lies above layers of a single active map only.")
    of_layers = {layer: float(np.nanmean(matrix[0, 1 + likes])) for layer, matrix in alike.items()}
    draws = [_mean(alike, 1 + i, 1 + likes) for i in dislikes]
    among = [_mean(alike, 1 + i, 1 + likes[likes != i]) for i in likes]
    value = float(np.mean(list(of_layers.values())))
    nulls = (Null("photos that the unit does not like", tuple(draw for draw in draws if not np.isnan(draw))),)
    details = (*of_layers.items(), ("photos it likes, among each other", float(np.nanmean(among))))
    return Measure(_NAME, _QUESTION, value, details, nulls, _words(value, nulls))


def as_image(pictured: Pictured) -> Float[Tensor, "1 c *size"]:
    """The picture as an image for the network: as strong as the image is in that part, and zero around it."""
    image, own = pictured.image, pictured.own
    scale = (image.std() or 1.0) / own.std()
    full = torch.zeros_like(pictured.x)
    here, _ = pictured.box.overlap(pictured.x.shape[2:])
    full[0][here] = torch.from_numpy(own * scale).to(full)
    return full


def _profiles(pictured: Pictured, images: Tensor, positions: Sequence[tuple[int, ...]]) -> _Profiles:
    """At each layer the mean activation of each map, over what the unit at each image's position sees of it."""
    engine = attached(pictured.net)
    way = engine.costs(engine.graph(pictured.x), pictured.unit.layer).way
    seen = _seen(way, pictured.unit.layer)
    values: dict[str, list[np.ndarray]] = {layer: [] for layer in seen}

    def look(layer: str, maps: Tensor) -> None:
        done = sum(map(len, values[layer]))
        rows = []
        for of_image, position in zip(maps, positions[done:], strict=False):
            part, _ = box(seen[layer], position, of_image.shape[1:]).overlap(of_image.shape[1:])
            rows.append(in_float64(of_image[part]).reshape(len(of_image), -1).mean(1).cpu().numpy())
        values[layer].append(np.stack(rows))

    watch_in_batches(pictured, images, list(seen), look)
    return {layer: np.concatenate(parts) for layer, parts in values.items()}


def _seen(way: Way, layer: str) -> dict[str, Fields]:
    """By the name of each main layer on the way, and of the unit's own, what the unit sees of it."""
    blocked = {name: rule.blocked for name, rule in way.chosen.items()}
    steps, values = [step for step, _ in reversed(way.down)], way.graph.layers
    seen: dict[str, Fields] = {}
    for name in main_layers(way):
        if values[name] != way.start and values[name].maps > 1:
            seen[name] = fields(steps, values[name], blocked, way.rows).get(way.start.name)
    if way.start.maps > 1:
        seen[layer] = fields((), way.start, {}, way.rows)[way.start.name]
    return seen


def _correlations(values: Float[np.ndarray, "n maps"]) -> Float[np.ndarray, "n n"]:
    """The rank correlation of every two rows; NaN where one is the same all over."""
    ranks = rankdata(values, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(ranks, axis=1)
    products, scale = ranks @ ranks.T, np.outer(lengths, lengths)
    cosines: np.ndarray = np.divide(products, scale, out=np.full_like(products, np.nan), where=scale > 0)
    return cosines


def _mean(alike: dict[str, Float[np.ndarray, "n n"]], row: int, columns: np.ndarray) -> float:
    """The mean over layers of the mean correlation of an image with others; NaN where none is defined."""
    means = [np.nanmean(part) for matrix in alike.values() if not np.isnan(part := matrix[row, columns]).all()]
    return float(np.mean(means)) if means else float("nan")


def _words(value: float, nulls: Sequence[Null]) -> str:
    return " ".join(
        f"The network processes this picture {more} like photos that the unit likes than it does {null.name} (rank "
        f"correlation {value:.2f}; {between})."
        for null, more, between in outside(value, nulls)
    )
