"""Classes and probabilities, as they are written on the command line."""

import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from deconvnet._errors import TargetError

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet._types import Unit
    from deconvnet.models.load import LoadedModel

Target: TypeAlias = int | tuple[int, int, int] | None
"""A class by index; a class and a position in a map; None for the predicted class."""


def class_target(loaded: "LoadedModel", text: str) -> int | tuple[int, int, int]:
    """A class, or a class and a position in a map.

    Raises:
        TargetError: not a class of the network.
    """
    parts = re.fullmatch(r"(.+?),(\d+),(\d+)", text)
    if parts is None or text in (loaded.labels or ()):
        return loaded.class_index(text)
    return loaded.class_index(parts[1]), int(parts[2]), int(parts[3])


def check_target(target: Target, size: tuple[int, ...]) -> None:
    """Raise unless the target suits an output of that spatial size.

    Raises:
        TargetError: a map needs a position, and a list of classes has none.
    """
    is_map = math.prod(size) > 1
    if is_map and not isinstance(target, tuple):
        across = "x".join(map(str, size))
        raise TargetError(f"the network outputs maps of {across}: name a class and a position, --target CLASS,Y,X.")
    if not is_map and isinstance(target, tuple):
        raise TargetError("the network's output is not a map, so positions do not apply: name a class, --target CLASS.")


def class_facts(loaded: "LoadedModel", probabilities: "Tensor", unit: "Unit") -> dict[str, Any]:
    """A class and the predicted one, each with its label and probability, for `--json`.

    Args:
        loaded: the network, with its labels.
        probabilities: (c, *spatial) for one photo.
        unit: the class, at a position if there are positions.
    """
    for index in unit.position or ():
        probabilities = probabilities[:, index]
    probabilities = probabilities.flatten()

    def facts(index: int) -> dict[str, Any]:
        return {"class": index, "label": loaded.label(index), "probability": float(probabilities[index])}

    return {**facts(unit.channel or 0), "answer": facts(int(probabilities.argmax()))}


def class_words(facts: dict[str, Any]) -> str:
    """A class and its probability."""
    return f"{facts['label']}, {percent(facts['probability'])}"


def answer_words(facts: dict[str, Any], form: str) -> str:
    """The network's answer, put into a form such as " ({})"; "" if the answer is the class itself."""
    if facts["class"] == facts["answer"]["class"]:
        return ""
    return form.format(f"the network's answer: {class_words(facts['answer'])}")


def percent(share: float) -> str:
    """A share of 1 for people."""
    if share < 0.0005:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
