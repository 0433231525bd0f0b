"""Classes and probabilities, as they are written on the command line."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from deconvnet._errors import ArgumentError, TargetError
from deconvnet.pictures.numbers import percent

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet._types import Unit
    from deconvnet.models.detector_answers import DetectorAnswers
    from deconvnet.models.load import LoadedModel

Target: TypeAlias = int | str | tuple[int | None, ...] | None
"""A class by index, of a detector by name; a class and a position in a map; None for the predicted class."""


def class_target(loaded: "LoadedModel", text: str) -> int | str | tuple[int | None, ...]:
    """A class, or a class and a position in a map, where * stands for any; of a detector one answer, or several.

    Raises:
        TargetError: not a class of the network.
    """
    answers = detector_answers(loaded)
    if answers is not None:
        indices = answers.chosen(text)
        return int(indices) if len(indices) == 1 else text
    parts = re.fullmatch(r"(.+?)((?:,(?:-?\d{1,9}|\*))+)", text)
    if parts is None or text in (loaded.labels or ()):
        return loaded.class_index(text)
    position = (None if part == "*" else int(part) for part in parts[2][1:].split(","))
    return (None if parts[1] == "*" else loaded.class_index(parts[1]), *position)


def detector_answers(loaded: "LoadedModel") -> "DetectorAnswers | None":
    """What a network can answer if it is a detector."""
    from deconvnet.models.detector_answers import DetectorAnswers

    return loaded.labels if isinstance(loaded.labels, DetectorAnswers) else None


def check_single(targets: Sequence[str] | None) -> None:
    """Raise unless a command that takes one class is given no more.

    Raises:
        ArgumentError: several.
    """
    if targets and len(targets) > 1:
        raise ArgumentError(f"--target names one class for this command; got {len(targets)}: {', '.join(targets)}.")


def check_targets(targets: Sequence[Target], size: tuple[int, ...]) -> None:
    """Raise unless the targets suit an output of that spatial size.

    Raises:
        TargetError: positions, where the output is a list of classes.
    """
    if math.prod(size) == 1 and any(isinstance(target, tuple) for target in targets):
        raise TargetError("the network's output is not a map, so positions do not apply: name a class, --target CLASS.")


def class_facts(
    loaded: "LoadedModel",
    probabilities: "Tensor",
    units: Sequence["Unit"],
    *,
    alone: bool = False,
    masks: Sequence["Tensor"] | None = None,
) -> dict[str, Any]:
    """Classes and the predicted one, each with its label and probability, for `--json`; of a detector also where it is.

    A class of a map without a position has the number of positions where it wins in place of a probability. A number of
    an output of other axes than the photo is called by where it stands, and is an answer of its own.

    Args:
        loaded: the network, with its labels.
        probabilities: (c, *spatial) for one photo.
        units: the classes, at a position if there are positions; the predicted class is that of the first one's.
        alone: whether the classes of a map do not compete for its positions.
        masks: where the classes start, each a mask of one class, if they do not where they win.
    """
    from deconvnet.models._names import answer_name

    wins, answers = _wins(probabilities, alone), detector_answers(loaded)
    is_array = probabilities.ndim != 1 + len(loaded.preprocess.size) and math.prod(probabilities.shape[1:]) > 1

    def facts(index: int, position: tuple[int, ...] | None) -> dict[str, Any]:
        label = answer_name(loaded.labels, index, (position or ()) if is_array else ())
        named: dict[str, Any] = {"class": index, "label": label}
        if answers is not None:
            named["detection"] = _detection(answers, index)
        if position is None:
            return {**named, "positions": int(wins[index]), "of_positions": math.prod(probabilities.shape[1:])}
        return {**named, "probability": float(probabilities[(index, *position)].squeeze())}

    first = units[0].position
    there: tuple[slice | int, ...] = (slice(None), *(first or ()))
    values, channel = wins if first is None else probabilities[there].flatten(), units[0].channel
    likeliest = channel is not None and bool(values[channel] == values.max())  # also where softmax gives all the same
    answer = channel if channel is not None and likeliest else int(values.argmax())
    if masks is None:
        classes = [facts(unit.channel or 0, unit.position) for unit in units]
    else:
        under = [mask.flatten(1).sum(1) for mask in masks]
        classes = [{**facts(int(each.argmax()), None), "positions": int(each.max())} for each in under]
    return {"classes": classes, "answer": classes[0] if is_array else facts(answer, first)}


def _detection(answers: "DetectorAnswers", index: int) -> dict[str, Any]:
    """Which answer of a detector it is, and where in its input."""
    answer = answers.at(index)
    return {"class": answer.channel, "name": answers.class_name(answer.channel), "level": answer.level,
            "anchor": answer.anchor, "position": answer.position, "centre": answer.centre}  # fmt: skip


def _wins(probabilities: "Tensor", alone: bool) -> "Tensor":
    """At how many positions of a map each class wins."""
    from deconvnet.engine.classes import winning

    scores = probabilities - 0.5 if alone else probabilities
    return winning(scores[None], alone=alone)[0].flatten(1).sum(1) if scores.ndim > 1 else scores


def class_labels(facts: dict[str, Any]) -> str:
    """The names of the classes."""
    return ", ".join(each["label"] for each in facts["classes"])


def class_words(facts: dict[str, Any]) -> str:
    """The classes, each with its probability."""
    return "; ".join(map(_words, facts["classes"]))


def answer_words(facts: dict[str, Any], form: str) -> str:
    """The network's answer, put into a form such as " ({})"; "" if it is among the classes."""
    answer = facts["answer"]
    if answer["class"] in [each["class"] for each in facts["classes"]]:
        return ""
    return form.format(f"the network's answer: {_words(answer)}")


def _words(facts: dict[str, Any]) -> str:
    if "positions" in facts:
        share = percent(facts["positions"] / facts["of_positions"])
        return f"{facts['label']}, at {facts['positions']} of {facts['of_positions']} positions ({share})"
    return f"{facts['label']}, {percent(facts['probability'])}"
