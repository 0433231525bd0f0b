"""What a reader of a picture should know: facts, and the same in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deconvnet._types import Unit

SAME_FOR_ALL = (
    "This picture does not depend on the image: nothing between the unit and the picture, such as a max-pool's "
    "switches, remembers anything of it. Where the network has rectifiers, the rule set guided (--rules guided, "
    'rules="guided") makes pictures that depend on it.'
)
STAMP = "the same for every photo"

_MOST_COUNTS = 6


@dataclass(frozen=True)
class Facts:
    """Facts about signals that were carried down.

    Attributes:
        skipped: operations at the network's output that were passed over, from the output down, such as "softmax".
        from_magnitude: a unit with a negative activation started from its magnitude.
        image_free: nothing on the way down depends on the image, so every image gives the same picture.
        noted: what became of values that the network detaches ("stopped"), and of pixels that it clamps ("limited").
        smooth: what became of operations that are not piecewise linear: "rectified", "differentiated".
        silent: units that start from an activation of 0, so that their pictures are all zero.
        units: how many units there are.
        everywhere: of each class that started from all positions of a map where it wins, how many these are.
        nowhere: of these, the classes that win at no position, so that their pictures are all zero; each at the
            position where its score is the largest.
        precision: how it was computed, where that was asked for: a type, or "tf32".
    """

    skipped: tuple[str, ...] = ()
    from_magnitude: bool = False
    image_free: bool = False
    smooth: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()
    silent: tuple[Unit, ...] = ()
    units: int = 0
    everywhere: tuple[int, ...] = ()
    nowhere: tuple[Unit, ...] = ()
    precision: str | None = None

    def of(self, units: Sequence[Unit], rows: slice, activations: Iterable[float]) -> "Facts":
        """The facts about some of the units.

        Args:
            units: all of them.
            rows: which.
            activations: of these.
        """
        chosen = set(units[rows])
        everywhere = [unit for unit in units if unit.position is None and unit.channel is not None]
        counts = zip(everywhere, self.everywhere, strict=False)  # whole maps of other layers have none
        return replace(
            self,
            silent=tuple(unit for unit in self.silent if unit in chosen),
            from_magnitude=self.from_magnitude and any(value < 0 for value in activations),
            everywhere=tuple(count for unit, count in counts if unit in chosen),
            nowhere=tuple(unit for unit in self.nowhere if replace(unit, position=None) in chosen),
            units=len(units[rows]),
        )

    @property
    def stamp(self) -> str:
        """What stands on each picture that no photo has a part in; "" for others."""
        return STAMP if self.image_free else ""

    @property
    def notice(self) -> str:
        """What stands above such pictures; "" for others."""
        return SAME_FOR_ALL if self.image_free else ""

    def notes(self, same_for_all: str = SAME_FOR_ALL) -> tuple[str, ...]:
        """The facts in words.

        Args:
            same_for_all: what is said where they do not depend on the image.
        """
        sentences: list[str] = []
        if self.skipped:
            verb = "were" if len(self.skipped) > 1 else "was"
            sentences.append(f"The {' and the '.join(self.skipped)} at the output {verb} skipped.")
        if self.everywhere:
            counts = ", ".join(map(str, self.everywhere[:_MOST_COUNTS]))
            more = ", ..." if len(self.everywhere) > _MOST_COUNTS else ""
            sentences.append(f"A class without a position starts from all positions where it wins: {counts}{more}.")
        sentences += map(_nowhere_words, self.nowhere)
        if self.from_magnitude:
            sentences.append("A unit with a negative activation starts from its magnitude.")
        if self.image_free:
            sentences.append(same_for_all)
        if "rectified" in self.smooth:
            sentences.append('Activations other than ReLU were treated as rectifiers (smooth="rectify").')
        if "differentiated" in self.smooth:
            sentences.append('Smooth operations were differentiated (smooth="gradient").')
        if "stopped" in self.noted:
            sentences.append(
                "The network detaches values, such as by detach() or no_grad, and these rules let no signal pass there "
                '(detach="zero").'
            )
        if "limited" in self.noted:
            sentences.append(
                "The network limits its pixels, such as by a clamp: with no convolution or linear layer below it, that "
                "is not a rectifier, and the signal passes with its sign."
            )
        if self.precision == "tf32":
            sentences.append(
                'TF32 was allowed: a GPU may shorten the factors of float32 products to 10 bits (precision="tf32").'
            )
        elif self.precision is not None:
            sentences.append(f'Computed in {self.precision} (precision="{self.precision}").')
        if self.silent:
            sentences.append(_silent_words(self.silent, self.units))
        return tuple(sentences)


def _nowhere_words(unit: Unit) -> str:
    at = ", ".join(map(str, (unit.channel, *(unit.position or ()))))
    image = f" of image {unit.image}" if unit.image else ""
    return (
        f"{unit.name or f'class {unit.channel}'} wins at none of the positions{image}, so its picture is zero "
        f"everywhere; its score is "
        f"the largest at target=({at}), --target {at.replace(', ', ',')}."
    )


def _silent_words(silent: tuple[Unit, ...], units: int) -> str:
    first = silent[0]
    position = f" at {','.join(map(str, first.position))}" if first.position else ""
    where = f"{'the whole signal' if first.channel is None else f'map {first.channel}'}{position} of {first.layer!r}"
    if units == 1:
        return f"The unit, {where}, has activation 0, so its reconstruction is all zero."
    if len(silent) == 1:
        return f"1 of {units} units, {where}, has activation 0, so its reconstruction is all zero."
    return f"{len(silent)} of {units} units have activation 0, first {where}, so their reconstructions are all zero."
