"""Targets: which classes are carried down from each image, as a caller names them, checked where they enter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from deconvnet._checks import as_index, as_list, index_of, short
from deconvnet._errors import TargetError
from deconvnet.engine.seeds import checked_position
from deconvnet.models._names import answer_name, class_index
from deconvnet.models.detector_answers import DetectorAnswers
from deconvnet.results.reconstruction import position_words

Class: TypeAlias = int | str | tuple[Any, ...] | Tensor | None
Target: TypeAlias = Class | Sequence[Class]
Targets: TypeAlias = Sequence[Class] | Sequence[Sequence[Class]] | Tensor | Literal["all"] | None


@dataclass(frozen=True, eq=False)
class Chosen:
    """One class of one image, checked: the answer where nothing is said, else a class, at a position, or a mask.

    Attributes:
        channel: index of the class.
        position: index per spatial axis of an output that is a map.
        mask: shaped like the output of one image.
        among: indices of classes of which the strongest is meant, such as the answers of a detector of one kind.
        open: index of the class and per axis of a map, of which the strongest is meant where one is None.
    """

    channel: int | None = None
    position: tuple[int, ...] | None = None
    mask: Tensor | None = None
    among: Tensor | None = None
    open: tuple[int | None, ...] | None = None


@dataclass(frozen=True)
class Output:
    """What targets are of.

    Attributes:
        classes: how many there are.
        size: of an output that is a map, per spatial axis; `()` if it is not.
        images: how many there are.
        labels: names of the classes, where they are known.
        axes: spatial axes of the images.
    """

    classes: int
    size: tuple[int, ...]
    images: int
    labels: Sequence[str] | None
    axes: int

    def __post_init__(self) -> None:
        if isinstance(self.labels, DetectorAnswers) and (self.classes, self.size) != (len(self.labels), ()):
            height, width = self.labels.input_size
            raise TargetError(
                f"the names of the detector's answers are for images of {height}x{width}, {len(self.labels)} answers, "
                f"and for these images it gives {self.classes}: load it for their size (size=, --size)."
            )

    @property
    def is_map(self) -> bool:
        """Whether it has more than one position."""
        return math.prod(self.size) > 1

    @property
    def is_array(self) -> bool:
        """Whether it has other axes than maps of the images have, so that none need be that of classes."""
        return self.is_map and len(self.size) != self.axes

    def name(self, channel: int | None, position: tuple[int, ...] | None) -> str:
        """What people call one answer, such as "dog", "dog at row 3, column 4" or "number (1, 2, 3, 6)".

        Args:
            channel: of the class; None for what a mask chooses.
            position: in an output that is a map.
        """
        if channel is None:
            return "the mask"
        others = position or ()
        name = answer_name(self.labels, channel, others if self.is_array else ())
        return f"{name} at {position_words(others)}" if others and self.is_map and not self.is_array else name

    def chosen(self, target: Target, targets: Targets = None) -> list[list[Chosen]]:
        """For each image, what is carried down; `DeconvNet.explain` says what may be given.

        Raises:
            TargetError: no such class, another number than images, or the output needs another kind of target.
        """
        if targets is None:
            return [[chosen] for chosen in self._for_each(target)]
        if target is not None:
            raise TargetError("target= is one class for each image and targets= are several: drop one of them.")
        return self._lists(targets)

    def _for_each(self, target: Any) -> list[Chosen]:
        mask = as_mask(target)
        if mask is not None and tuple(mask.shape) == (self.images, self.classes, *self.size) and self.size:
            return [Chosen(mask=self._checked(row, f" of image {i}")) for i, row in enumerate(mask)]
        listed = None if isinstance(target, tuple) or mask is not None else as_list(target)
        if listed is None:
            return [self._class(target)] * self.images
        if len(listed) != self.images:
            raise TargetError(
                f"a list as target= holds one class for each image: there {_are(self.images, 'image')}, and the list "
                f"has {len(listed)}.{self._position_hint(listed)} For several classes of every image use targets=[...]."
            )
        return [self._class(item) for item in listed]

    def _lists(self, targets: Any) -> list[list[Chosen]]:
        if isinstance(targets, str) and targets == "all":
            if isinstance(self.labels, DetectorAnswers):
                raise TargetError(
                    f"a detector has {len(self.labels):,} answers, too many for 'all': name some of them."
                )
            if self.is_map:
                which = "give a tuple for each" if self.is_array else "name the classes, targets=[0, 1]"
                raise TargetError(f'{self._words()} "all" does not say where: {which}.')
            return [[Chosen(c) for c in range(self.classes)]] * self.images
        rows = targets.tolist() if getattr(targets, "ndim", 1) == 2 and hasattr(targets, "tolist") else targets
        listed = None if isinstance(rows, tuple) else as_list(rows)
        if listed is None:
            at = " A tuple is one class at a position: put it into a list." if isinstance(rows, tuple) else ""
            raise TargetError(
                f"targets= is a list of classes, one list for each image, or 'all'; got {short(rows)}.{at}"
            )
        inner = [None if isinstance(item, tuple) else as_list(item) for item in listed]
        if all(row is None for row in inner):
            return [self._row(listed)] * self.images
        if None in inner or len(inner) != self.images:
            lists = sum(row is not None for row in inner)
            raise TargetError(
                f"targets= is one list of classes for every image, or a list for each image: there "
                f"{_are(self.images, 'image')}, and {lists} of the {len(inner)} items are lists."
            )
        return [self._row(row or []) for row in inner]

    def _row(self, listed: Sequence[Any]) -> list[Chosen]:
        if not listed:
            raise TargetError(f"an empty list chooses none of the {self.classes} classes.")
        return [self._class(item) for item in listed]

    def _class(self, given: Any) -> Chosen:
        mask = as_mask(given)
        if mask is not None and self.size:
            return Chosen(mask=self._checked(mask))
        if self.is_array and not isinstance(given, tuple):
            raise TargetError(
                f"{self._words()} a target is {self._position_words()}, or a mask; got {short(given)}.{self._example()}"
            )
        if given is None:
            return Chosen()
        if isinstance(self.labels, DetectorAnswers) and isinstance(given, str | tuple):
            return _among(self.labels.chosen(given))
        if not isinstance(given, tuple):
            return Chosen(self._index(given))
        if not self.size:
            raise TargetError(
                f"a tuple is a class at a position of a map, and the output is not a map; got {short(given)}. For one "
                "class of each image give a list, for several classes targets=[...]; the answers of a detector have "
                "names with DeconvNet(..., labels=loaded.labels)."
            )
        if len(given) != 1 + len(self.size):
            form = self._position_words().removeprefix("a tuple with ")
            raise TargetError(f"{self._words()} a tuple is {form}; got {short(given)}.{self._example()}")
        filled = [0 if part is None else part for part in given]
        channel, position = self._on_all_axes(filled) if self.is_array else self._at_position(filled)
        if None not in given:
            return Chosen(channel, position)
        checked = zip(given, (channel, *position), strict=True)
        return Chosen(open=tuple(None if part is None else at for part, at in checked))

    def _at_position(self, given: Sequence[Any]) -> tuple[int, tuple[int, ...]]:
        return self._index(given[0]), checked_position(list(given[1:]), self.size, "the output")

    def _on_all_axes(self, given: Sequence[Any]) -> tuple[int, tuple[int, ...]]:
        """Indices on the axes of an output of which any may be that of classes."""
        shape = (self.classes, *self.size)
        first, *others = (
            index_of(part, length, f"indices on axis {axis} of {shape}", TargetError, from_end=False)
            for axis, (part, length) in enumerate(zip(given, shape, strict=True))
        )
        return first, tuple(others)

    def _index(self, given: Any) -> int:
        if isinstance(given, str):
            if self.labels is None:
                raise TargetError(
                    f"the names of the classes are not known: give an index in place of {short(given)}, or the names "
                    "with DeconvNet(..., labels=[...])."
                )
            return class_index(self.labels, given)
        if as_index(given) is None and self.size:
            raise TargetError(
                f"{self._words()} a target is a class, {self._position_words()}, or a mask of its shape (bool); "
                f"got {short(given)}."
            )
        what = "answers" if isinstance(self.labels, DetectorAnswers) else "classes"
        return index_of(given, self.classes, what, TargetError, from_end=False)

    def _checked(self, mask: Tensor, which: str = "") -> Tensor:
        shape = (self.classes, *self.size)
        if mask.layout != torch.strided or mask.is_meta or tuple(mask.shape) != shape:
            raise TargetError(f"a mask has shape {shape} or {(self.images, *shape)}; got {short(mask)}.")
        if not bool(mask.any()):
            raise TargetError(
                f"the mask{which} is False everywhere, so nothing starts from it: choose at least one position."
            )
        return mask

    def _words(self) -> str:
        if self.is_array:
            return f"the output has shape {(self.classes, *self.size)} for each image:"
        return f"the output has {self.classes} maps of {'x'.join(map(str, self.size))}:"

    def _example(self) -> str:
        """How to name a number of an output of other axes."""
        if not self.is_array:
            return ""
        last = self.size[-1] - 1
        written = ",".join(["*"] * len(self.size) + [str(last)])
        return (
            f" The strongest with index {last} on the last axis is ({'None, ' * len(self.size)}{last}), "
            f'--target "{written}".'
        )

    def _position_words(self) -> str:
        if self.is_array:
            return "a tuple with an index on each of these axes, None for any"
        return f"(class, {', '.join('zyx'[-len(self.size) :])})"

    def _position_hint(self, listed: Sequence[Any]) -> str:
        if isinstance(self.labels, DetectorAnswers):
            return " One answer of a detector is a tuple: (level, anchor, class, y, x)."
        if not self.is_map or len(listed) != 1 + len(self.size):
            return ""
        if self.is_array:
            return " One number of the output is a tuple."
        return f" A class at a position is a tuple: {self._position_words()}."


def _among(indices: Tensor) -> Chosen:
    return Chosen(int(indices)) if len(indices) == 1 else Chosen(among=indices)


def as_mask(target: object) -> Tensor | None:
    """A mask as a tensor, also of NumPy; None for any other target."""
    if isinstance(target, np.ndarray) and target.dtype == np.bool_ and target.ndim:
        return torch.from_numpy(target)
    return target if isinstance(target, Tensor) and target.dtype == torch.bool and target.ndim else None


def _are(count: int, what: str) -> str:
    return f"is 1 {what}" if count == 1 else f"are {count} {what}s"
