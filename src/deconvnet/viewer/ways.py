"""The ways down from layers and classes, and the words for what is undone on them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deconvnet.core.rules import RuleSet
from deconvnet.engine.steps import Undoing
from deconvnet.pictures.numbers import percent
from deconvnet.viewer.look import Look
from deconvnet.viewer.pages import OperationsView

Down = Mapping[str, Mapping[str, Undoing]]
"""The layers on a way and how those above are undone to come to each, as `network.undone` gives it."""

Words = dict[OperationsView, int]
"""What a page says of operations, once each, and their indices."""


@dataclass(frozen=True)
class WayView:
    """The way down from a layer, or from a class.

    Attributes:
        down: indices of the passed layers.
        how: indices of the words for what brings the signal to each of these but the first, and to the pixels.
    """

    down: tuple[int, ...]
    how: tuple[int, ...]


def way_view(look: Look, down: Down, words: Words) -> WayView:
    """The way down from a layer, or from a class.

    Args:
        look: the photo.
        down: the way.
        words: those of the page so far; new ones are added.
    """
    passed = [name for name in down if name in look.passed]
    ends = [*passed[1:], list(down)[-1]] if passed and passed[0] == next(iter(down)) else [*passed, list(down)[-1]]
    how = [words.setdefault(_between(look, down, end), len(words)) for end in ends]
    return WayView(tuple(look.indices[name] for name in passed), tuple(how))


def layer_names(look: Look, indices: Collection[int]) -> list[str]:
    """The names of passed layers."""
    names = list(look.indices)
    return [names[index] for index in indices]


def _between(look: Look, down: Down, end: str) -> OperationsView:
    """What is undone on the way to a layer from the passed ones above it."""
    wanted, lines, losses, kinds = {end}, list[str](), list[str](), set[str]()
    for name, ways in reversed(list(down.items())):
        if name not in wanted:
            continue
        wanted |= {above for above in ways if above not in look.passed}
        alike: dict[str, list[str]] = {}
        for above, how in ways.items():
            if not how.rule.unchanged and name not in look.unchanged:
                alike.setdefault(how.rule.words, []).append(above)
                kinds.add(how.kind)
        unpooled = {above: look.errors[name, above] for above in ways if (name, above) in look.errors}
        losses = [*(_loss(above, name, error) for above, error in unpooled.items()), *losses]
        lines = [*(f"{', '.join(names)}: {words}" for words, names in alike.items()), *lines]
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    return OperationsView("" if kind == "other" else kind, tuple(lines), tuple(losses))


def _loss(pool: str, layer: str, error: float) -> str:
    """How well unpooling undoes a max-pool, for people."""
    return (
        f"How well unpooling undoes {pool}, tried on the photo's own activations: the maps of {layer} come back with "
        f"an error of {percent(error)} (0 %: exactly; 100 %: no nearer than maps of zeros)."
    )


def lesson(rules: RuleSet) -> dict[str, str]:
    """What the paper's operations do under a rule set, in a sentence each."""
    where = {
        "switches": "goes back to where its window's maximum was on the way up (its switch)",
        "centre": "goes to the middle of its window, wherever the maximum was",
        "average": "is spread evenly over its window",
    }
    bent = ["Negative values become zero"] if rules.backward_rectify else []
    bent += ["Values become zero where the layer was not active on the way up"] if rules.forward_mask else []
    return {
        "unpool": f"Each value {where[rules.unpool]}; everything else is zero.",
        "rectify": ". ".join(bent) + "." if bent else "Values pass as they are.",
        "filter": "Each value paints its filter, scaled by the value, and what overlaps is added: the transposed "
                  "convolution.",
    }  # fmt: skip
