"""Does a picture rest on its unit, or on its image's switches and the like? After Mahendran and Vedaldi (2016)."""

from collections.abc import Sequence
from dataclasses import fields

from deconvnet.core.rules import OfImage
from deconvnet.probes.measure import Measure, Null, outside
from deconvnet.probes.neighbours import (
    Draw,
    in_other_images,
    in_random_networks,
    median,
    neighbours,
    null_of,
    pictures_of_others,
)
from deconvnet.probes.pictured import Pictured
from deconvnet.probes.similarity import NAMES, Similarity, similarity, spearmans
from deconvnet.probes.taken import of_other_images, subject

_UNITS = "other units", "Would another unit at this place give the same picture?"
_NOISE = "noise", "Would noise at this place give the same picture?"
_IMAGES = "other images", "Is the picture of the unit the same in another image?"
_RANDOM, _OTHERS, _ITSELF = "random networks", "other images", "this unit in other images"
_SAME = 1 - 1e-6


def other_units(pictured: Pictured) -> Measure:
    """The median rank correlation of the picture with those of 20 other units at its place.

    `details` has the medians of the other measures, and the unit's share: 1 less the value, near 0 where the picture
    says nothing about its unit. The value stands beside those of a few units in random networks and in other images;
    and beside the unit's own picture in other images: if other units' pictures are more like it, then what the way down
    takes from the image, such as its switches, decides more of it than the unit does.
    """
    if not pictured.own.any():
        return Measure(*_UNITS, why_not="the picture is zero everywhere.")
    if len(pictured.here) == 1:
        return Measure(*_UNITS, why_not="the layer has a single feature map.")
    alike = [similarity(pictured.own, picture) for picture in neighbours(pictured).units]
    value, details = _medians(alike)
    if value is None:
        return Measure(*_UNITS, why_not="the pictures are too small, or the same all over.")
    nulls = _nulls(pictured, "other_units")
    details = (("unit's share", 1 - value), *details)
    return Measure(*_UNITS, value, details, nulls, _units_words(value, nulls, pictured.way.of_image))


def noise(pictured: Pictured) -> Measure:
    """The median rank correlation of the picture with those of noise: the magnitudes of normal values on all maps.

    A value near 1 says that the picture shows the switches, or what else the way down takes from the image. It stands
    beside the pictures of other units, of noise in random networks and in other images, and the unit's own in others.
    """
    if not pictured.own.any():
        return Measure(*_NOISE, why_not="the picture is zero everywhere.")
    if len(pictured.here) == 1:
        return Measure(*_NOISE, why_not="the layer has a single feature map, so that noise there is the unit.")
    beside = neighbours(pictured)
    value, details = _medians([similarity(pictured.own, picture) for picture in beside.noise])
    if value is None:
        return Measure(*_NOISE, why_not="the pictures are too small, or the same all over.")
    units = null_of("other units here", spearmans(pictured.own, beside.units))
    nulls = (*units, *_nulls(pictured, "noise"))
    return Measure(*_NOISE, value, details, nulls, _noise_words(value, nulls))


def other_images(pictured: Pictured) -> Measure:
    """The median rank correlation of the picture with those of the same unit in other images.

    It is 1 where the way down takes nothing from the image. It stands beside the same in random networks.
    """
    if not pictured.own.any():
        return Measure(*_IMAGES, why_not="the picture is zero everywhere.")
    if not len(pictured.others):
        return Measure(*_IMAGES, why_not="other images are missing.")
    pictures = pictures_of_others(pictured)
    value, details = _medians([similarity(pictured.own, picture) for picture in pictures])
    if value is None:
        return Measure(*_IMAGES, why_not="the pictures are too small, or the same all over.")
    nulls = null_of(_RANDOM, (draw.other_image for draw in in_random_networks(pictured)))
    details = (*details, ("images", float(len(pictures))))
    return Measure(*_IMAGES, value, details, nulls, _images_words(value, nulls, pictured.way.of_image))


def _medians(alike: Sequence[Similarity]) -> tuple[float | None, tuple[tuple[str, float], ...]]:
    """The median rank correlation, and the medians of the other measures of similarity."""
    values = {field.name: median(getattr(each, field.name) for each in alike) for field in fields(Similarity)}
    value = values.pop("spearman")
    return value, tuple((NAMES[name], each) for name, each in values.items() if each is not None)


def _nulls(pictured: Pictured, what: str) -> tuple[Null, ...]:
    """What random networks and other images give, and how alike the unit's own pictures in other images are."""
    images: Sequence[Draw] = in_other_images(pictured)
    return (
        *null_of(_ITSELF, (draw.other_image for draw in images)),
        *null_of(_RANDOM, (getattr(draw, what) for draw in in_random_networks(pictured))),
        *null_of(_OTHERS, (getattr(draw, what) for draw in images)),
    )


def _units_words(value: float, nulls: Sequence[Null], taken: Sequence[OfImage]) -> str:
    said = []
    for null, more, between in outside(value, nulls):
        if null.name == _ITSELF:
            said.append(
                f"{_decides(more, taken)}: the pictures of other units here are {more} like it (rank correlation "
                f"{value:.2f}) than its own {of_other_images(taken)} ({between})."
            )
        else:
            said.append(
                f"Other units here look {more} like it ({value:.2f}) than at this place in {null.name} ({between})."
            )
    return " ".join(said)


def _decides(more: str, taken: Sequence[OfImage]) -> str:
    """Whether the image or the unit decides more of a picture, where other units' are more or less like it."""
    if not taken:
        return "The unit decides this picture, and the image does not"
    image = subject(taken)
    if more == "more":
        return f"{image[0].upper()}{image[1:]} decides more of this picture than the unit does"
    return f"The unit decides more of this picture than {image}"


def _noise_words(value: float, nulls: Sequence[Null]) -> str:
    said: dict[str, list[str]] = {}
    for null, more, between in outside(value, nulls):
        at = "at this place in " if null.name in (_RANDOM, _OTHERS) else ""
        said.setdefault(more, []).append(f"{at}{null.name} ({between})")
    if not said:
        return ""
    than = "; ".join(f"{more} than {' and '.join(nulls)}" for more, nulls in said.items())
    return f"Noise at this place gives a picture like this one (rank correlation {value:.2f}): {than}."


def _images_words(value: float, nulls: Sequence[Null], taken: Sequence[OfImage]) -> str:
    others = of_other_images(taken)
    begin = f"{others[0].upper()}{others[1:]} the picture"
    if value > _SAME and not taken:
        return f"This picture does not depend on the image: {others} it is the same."
    if value > _SAME:
        return f"{begin} is the same (rank correlation {value:.2f}), although the way down takes them from the image."
    return " ".join(
        f"{begin} is {more} like itself (rank correlation {value:.2f}) than in {null.name} ({between})."
        for null, more, between in outside(value, nulls)
    )
