"""Classes and probabilities, as they are written on the command line."""

import re
from typing import TYPE_CHECKING, Any

from deconvnet._errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet._types import Unit
    from deconvnet.models.load import LoadedModel


def class_target(loaded: "LoadedModel", text: str) -> int | tuple[int, int, int]:
    """A class, or a class and a place in a map."""
    place = re.fullmatch(r"(.+?),(\d+),(\d+)", text)
    if place is None or text in (loaded.labels or ()):
        return loaded.class_index(text)
    return loaded.class_index(place[1]), int(place[2]), int(place[3])


def check_target(target: int | tuple[int, int, int] | None, size: tuple[int, ...]) -> None:
    """Whether the target suits an answer of that size.

    Raises:
        TargetError: a map needs a place, and a list of classes has none.
    """
    if size and not isinstance(target, tuple):
        across = "x".join(map(str, size))
        raise TargetError(f"the network answers with maps of {across}: choose a class and a place, --target CLASS,Y,X.")
    if not size and isinstance(target, tuple):
        raise TargetError("the network's answer is no map and has no places: choose a class alone, --target CLASS.")


def class_facts(loaded: "LoadedModel", chances: "Tensor", unit: "Unit") -> dict[str, Any]:
    """What there is to say of a class, and of the network's answer.

    Args:
        loaded: the network, with its labels.
        chances: (c, *spatial) probabilities for one photo.
        unit: the class, at a place where there are places.
    """
    for index in unit.position or ():
        chances = chances[:, index]
    chances = chances.flatten()

    def facts(number: int) -> dict[str, Any]:
        return {"class": number, "label": loaded.label(number), "probability": float(chances[number])}

    return {**facts(unit.channel or 0), "answer": facts(int(chances.argmax()))}


def class_words(facts: dict[str, Any]) -> str:
    """A class and its probability."""
    return f"{facts['label']}, {percent(facts['probability'])}"


def answer_words(facts: dict[str, Any], form: str) -> str:
    """The network's answer in a form such as " ({})"; nothing where it is the class itself."""
    if facts["class"] == facts["answer"]["class"]:
        return ""
    return form.format(f"the network's answer: {class_words(facts['answer'])}")


def percent(chance: float) -> str:
    """A probability for people."""
    if chance < 0.0005:
        return "under 0.1 %"
    return f"{100 * chance:.1f} %" if chance < 0.1 else f"{100 * chance:.0f} %"
