"""What a detector can answer: a class at an anchor of a position of a level, by name and by index, never listed."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, overload

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from deconvnet._checks import as_index, index_of, short
from deconvnet._errors import TargetError
from deconvnet._types import Box
from deconvnet.models._names import answer_name, class_index

_FORM = "(level, anchor, class, y, x)"
_INDEX = r"(\*|-?\d{1,9})"
_WRITTEN = re.compile(rf"{_INDEX},\s*{_INDEX},\s*(.+?),\s*{_INDEX},\s*{_INDEX}")
_NAMED = re.compile(r"(.+), level (\d{1,9}), anchor (\d{1,9}), at \((\d{1,9}), (\d{1,9})\)")


@dataclass(frozen=True)
class Answer:
    """One answer of a detector.

    Attributes:
        level: index of the level, from the finest to the coarsest.
        anchor: index of the anchor at its position.
        channel: index of the class, as the detector counts them.
        position: (y, x) in the map of the level.
        centre: the middle of that position, (y, x) in pixels of the input.
        cell: the pixels of the input that the position stands for, as its map is laid over them.
    """

    level: int
    anchor: int
    channel: int
    position: tuple[int, int]
    centre: tuple[float, float]
    cell: Box


@dataclass(frozen=True, eq=False, repr=False)
class DetectorAnswers(Sequence[str]):
    """The names of a detector's answers, such as "dog, level 2, anchor 4, at (12, 20)", in the order of its scores.

    It makes each name when it is asked for, because there can be millions.

    Attributes:
        sizes: height and width of the map of each level.
        anchors: how many each position of a level has.
        classes: names of the detector's classes; None where they are not known.
        channels: how many classes it has, the background among them.
        first: index of the first class that is an answer: 1 where class 0 is the background, else 0.
        input_size: of the images.

    Example:
        >>> answers = DetectorAnswers(((2, 2), (1, 1)), (3, 3), ("background", "cat", "dog"), 3, 1, (32, 32))
        >>> len(answers), answers[7]
        (30, 'dog, level 0, anchor 0, at (0, 1)')
        >>> answers.index("dog, level 1, anchor 2, at (0, 0)"), answers.chosen((1, 2, "dog", 0, 0))
        (29, tensor([29]))
    """

    sizes: tuple[tuple[int, int], ...]
    anchors: tuple[int, ...]
    classes: tuple[str, ...] | None
    channels: int
    first: int
    input_size: tuple[int, int]

    def __len__(self) -> int:
        return self._starts[-1]

    def __repr__(self) -> str:
        anchors = len(self) // self._width
        return f"<DetectorAnswers: {self._width} classes at {anchors:,} anchors of {len(self.sizes)} levels>"

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> tuple[str, ...]: ...

    def __getitem__(self, i: int | slice) -> str | tuple[str, ...]:
        if isinstance(i, slice):
            return tuple(self[k] for k in range(*i.indices(len(self))))
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        answer = self.at(i)
        y, x = answer.position
        return f"{self.class_name(answer.channel)}, level {answer.level}, anchor {answer.anchor}, at ({y}, {x})"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._of_name(name) is not None

    def index(self, name: Any, start: int = 0, stop: int | None = None) -> int:
        """The index of an answer, by its name.

        Raises:
            ValueError: it is not one of them.
        """
        index = self._of_name(name) if isinstance(name, str) else None
        if index is None or index not in range(len(self))[start:stop]:
            raise ValueError(f"{short(name)} is not one of the detector's answers")
        return index

    def count(self, name: Any) -> int:
        """How many answers have a name: 1 or 0."""
        return int(name in self)

    def class_name(self, channel: int) -> str:
        """The name of a class of the detector; "class 3" where it has none."""
        return answer_name(self.classes, channel)

    def at(self, i: int) -> Answer:
        """Which answer an index of the scores is.

        Raises:
            TargetError: there is none of that index.
        """
        i = index_of(i, len(self), "answers", TargetError)
        level = bisect_right(self._starts, i) - 1
        (height, width), anchors = self.sizes[level], self.anchors[level]
        rest, channel = divmod(i - self._starts[level], self._width)
        rest, anchor = divmod(rest, anchors)
        y, x = divmod(rest, width)
        axes = [*zip((y, x), self.input_size, (height, width), strict=True)]
        down, right = ((at + 0.5) * pixels / length for at, pixels, length in axes)
        low = tuple(at * pixels // length for at, pixels, length in axes)
        high = tuple(-(-(at + 1) * pixels // length) for at, pixels, length in axes)
        return Answer(level, anchor, channel + self.first, (y, x), (down, right), Box(low, high))

    def text(self, i: int) -> str:
        """An answer by the index of its scores as `chosen` takes it as a text: "2,4,17,12,20".

        Raises:
            TargetError: there is none of that index.
        """
        answer = self.at(i)
        return ",".join(map(str, (answer.level, answer.anchor, answer.channel, *answer.position)))

    def strongest_of_classes(self, scores: Shaped[Tensor, " answers"]) -> Int[Tensor, " classes"]:
        """The index of the strongest answer of each class, of equals the first."""
        rows = scores.view(-1, self._width).argmax(0)
        return rows * self._width + torch.arange(self._width, device=rows.device)

    def chosen(self, target: str | tuple[Any, ...]) -> Int[Tensor, " m"]:
        """The indices of the answers that a target speaks of, in order.

        Args:
            target: a class by its name, or by its index as a text; a tuple (level, anchor, class, y, x), in which None
                stands for any; or the same as a text, "2,4,dog,12,20", in which * stands for any; or the name of one
                answer.

        Raises:
            TargetError: no such answer.
        """
        is_name = target in (self.classes or ())
        level, anchor, named, y, x = (None, None, target, None, None) if is_name else _parts(target)
        channel = None if named is None else self._channel(named)
        levels = _indices(level, len(self.sizes), "levels")
        of_levels = [self._of_level(each, anchor, channel, y, x, anywhere=level is None) for each in levels]
        indices = torch.cat(of_levels)
        if not len(indices):
            sizes = ", ".join(f"{h}x{w} with {a}" for (h, w), a in zip(self.sizes, self.anchors, strict=True))
            raise TargetError(f"no level has an answer at {short(target)}: maps and anchors of the levels are {sizes}.")
        return indices

    def single(self, target: str | int) -> int:
        """The index of one answer, by itself, by its name or as a text such as "2,4,dog,12,20".

        Raises:
            TargetError: no such answer, or several.
        """
        if not isinstance(target, str):
            return index_of(target, len(self), "answers", TargetError, from_end=False)
        indices = self.chosen(target)
        if len(indices) > 1:
            raise TargetError(
                f"{target!r} is {len(indices):,} answers: give it to explain() for the strongest, or name one: "
                f"(level, anchor, {target!r}, y, x)."
            )
        return int(indices)

    def _of_level(
        self, level: int, anchor: Any, channel: int | None, y: Any, x: Any, *, anywhere: bool
    ) -> Int[Tensor, " m"]:
        """The indices of one level; where any level will do, one that lacks the anchor or position has none."""
        (height, width), start = self.sizes[level], self._starts[level]
        lengths = {"rows": (y, height), "columns": (x, width), "anchors": (anchor, self.anchors[level])}
        axes = []
        for what, (part, length) in lengths.items():
            if anywhere and as_index(part) is not None and not 0 <= int(part) < length:
                return torch.empty(0, dtype=torch.int64, device="cpu")
            axes.append(torch.tensor([*_indices(part, length, f"{what} in level {level}")], device="cpu"))
        classes = range(self._width) if channel is None else [channel - self.first]
        rows, columns, anchors = axes
        cells = (rows[:, None] * width + columns)[..., None] * self.anchors[level] + anchors
        return (start + cells[..., None] * self._width + torch.tensor([*classes], device="cpu")).flatten()

    def _channel(self, named: Any) -> int:
        """The index of a class that is an answer."""
        text = named.strip() if isinstance(named, str) else named
        if self.classes is None and isinstance(text, str):
            text = text.removeprefix("class ")
        if isinstance(text, str) and self.classes is not None:
            channel = class_index(self.classes, text)
        else:
            index = int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else text
            channel = index_of(index, self.channels, "classes", TargetError, from_end=False)
        if channel < self.first:
            raise TargetError(
                f"{self.class_name(channel)!r}, class {channel}, stands for what is not an object, so the detector "
                "never answers it: name another class."
            )
        return channel

    def _of_name(self, name: str) -> int | None:
        """The index of an answer by its whole name; the first where several classes are called alike."""
        parts = _NAMED.fullmatch(name)
        if parts is None:
            return None
        of_that_name = (c for c in range(self.first, self.channels) if self.class_name(c) == parts[1])
        level, anchor, y, x = map(int, parts.groups()[1:])
        try:
            return int(self.chosen((level, anchor, next(of_that_name), y, x)))
        except (TargetError, StopIteration):
            return None

    @property
    def _width(self) -> int:
        return self.channels - self.first

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Where the scores of each level begin, and where the last one's end."""
        counts = (h * w * a * self._width for (h, w), a in zip(self.sizes, self.anchors, strict=True))
        return tuple(accumulate(counts, initial=0))


def _parts(target: str | tuple[Any, ...]) -> tuple[Any, ...]:
    """Level, anchor, class, y and x of a target; None for any."""
    if not isinstance(target, str):
        if len(target) != 5:
            raise TargetError(f"one answer of a detector is a tuple {_FORM}; got {short(target)}.")
        return target
    if named := _NAMED.fullmatch(target):
        channel, level, anchor, y, x = named.groups()
        return int(level), int(anchor), channel, int(y), int(x)
    if written := _WRITTEN.fullmatch(target.strip()):
        level, anchor, channel, y, x = (None if part == "*" else part for part in written.groups())
        return *(part and int(part) for part in (level, anchor)), channel, *(part and int(part) for part in (y, x))
    if target.count(",") > 1:
        raise TargetError(
            f"one answer of a detector is LEVEL,ANCHOR,CLASS,Y,X, such as 2,4,dog,12,20, and * stands for any; got "
            f"{short(target)}."
        )
    return None, None, target, None, None


def _indices(part: Any, length: int, what: str) -> Sequence[int]:
    """A single index, or all of them for None."""
    return range(length) if part is None else [index_of(part, length, what, TargetError, from_end=False)]
