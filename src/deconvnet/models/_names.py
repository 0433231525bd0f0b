"""What the answers of a network are called, and which class a name or an index means."""

import re
from collections.abc import Sequence

from deconvnet._checks import as_index, did_you_mean, short
from deconvnet._errors import TargetError

_MOST_NAMED = 6
_WHOLE = re.compile(r"-?\d{1,18}")  # no index has more digits


def answer_name(labels: Sequence[str] | None, index: int, others: tuple[int, ...] = ()) -> str:
    """What people call an answer: a class by its name, or "class 3" where it has none; an answer of a detector in full.

    Args:
        labels: the names of all classes, in order; None where they are not known.
        index: of the class.
        others: of an output in which no axis need be that of classes, the indices on the other axes; a number in it is
            called by where it stands.
    """
    if others:
        return f"number {(index, *others)}"
    return labels[index] if labels is not None and 0 <= index < len(labels) else f"class {index}"


def class_index(labels: Sequence[str] | None, name_or_index: str | int) -> int:
    """The index of a class; see `LoadedModel.class_index`.

    Args:
        labels: the names of all classes, in order; None where they are not known.
        name_or_index: what was given.

    Raises:
        TargetError: no class has that name or index, or several have.
    """
    index = as_index(name_or_index)
    if index is None and not isinstance(name_or_index, str):
        raise TargetError(f"a class is named by its index or its name; got {short(name_or_index)}.")
    sought = name_or_index if index is None else index
    matches = _indices(labels, sought)
    if len(matches) == 1:
        return matches[0]
    raise TargetError(_no_class(labels, sought, matches))


def _indices(labels: Sequence[str] | None, name_or_index: str | int) -> list[int]:
    sought, names = str(name_or_index).strip(), labels or ()
    if isinstance(name_or_index, int) or (_WHOLE.fullmatch(sought) and sought not in names):
        index = int(name_or_index)
        return [index] if 0 <= index < len(names) or (labels is None and index >= 0) else []
    if sought in names:
        return [index for index, name in enumerate(names) if name == sought]
    folded = [name.casefold() for name in names]
    if sought.casefold() in folded:
        return [index for index, name in enumerate(folded) if name == sought.casefold()]
    return [index for index, name in enumerate(folded) if sought and sought.casefold() in name]


def _no_class(labels: Sequence[str] | None, sought: str | int, matches: Sequence[int]) -> str:
    if labels is None and (isinstance(sought, int) or _WHOLE.fullmatch(sought.strip())):
        return f"no class {sought}: classes are counted from 0."
    if labels is None:
        return (
            f"cannot find class {sought!r}: the network comes without class names. "
            "Give an index, or the names with labels=."
        )
    if matches:
        named = ", ".join(f"{index} {labels[index]!r}" for index in matches[:_MOST_NAMED])
        more = f" and {len(matches) - _MOST_NAMED} more" if len(matches) > _MOST_NAMED else ""
        return f"{sought!r} could be {named}{more}. Give the whole name or the index."
    hint = did_you_mean(str(sought), labels) or " Give a name or an index."
    return f"no class {sought!r} among the {len(labels)} (0 to {len(labels) - 1}).{hint}"
