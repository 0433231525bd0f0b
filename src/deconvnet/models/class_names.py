"""The names of classes: out of a list, a text, CSV or JSON file, or one of the lists that come with the package."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from deconvnet._checks import as_list, escaped, short
from deconvnet._errors import ArgumentError
from deconvnet._files import file_and_key, is_file
from deconvnet._text import cells, decoded
from deconvnet.models.detector_answers import DetectorAnswers

LABELS = ("imagenet", "imagenette")

_BUNDLED = Path(__file__).parent / "labels"
_LARGEST = 2**24  # bytes of a file
_MOST_NAMED = 3
_REMEDY = (
    "Give a text file with a name on each line, a CSV file with one column of names (FILE.csv:COLUMN where there are "
    f"several), a JSON file, or one of {', '.join(LABELS)}."
)
_OF_INDICES = frozenset(
    "index idx id class_index class_idx class_id label_index label_idx label_id category_id target".split()
)
_OF_NAMES = frozenset("name class_name classname label label_name class category category_name".split())
_WHOLE = re.compile(r"-?\d{1,18}")
_SYNSET = re.compile(r"n\d{8}")  # WordNet's name for a class of ImageNet


def read_class_names(labels: object) -> Sequence[str]:
    """The names of classes, in order.

    Args:
        labels: a list of names; "imagenet" or "imagenette"; or a file: a text with a name on each line, CSV (with the
            column behind a colon where several could hold the names) or JSON (a list, an object from index to name
            or from name to index, and Keras's from index to WordNet's name and name).

    Raises:
        ArgumentError: they cannot be read, a class has no name, or an index is missing or stands twice.
    """
    if not isinstance(labels, str | Path):
        return class_names(labels)
    try:
        if labels in LABELS:
            return _of_file(_BUNDLED / f"{labels}.txt", "")
        return _of_file(*file_and_key("labels", labels))
    except (OSError, ValueError) as fault:
        raise ArgumentError(f"cannot read labels={str(labels)!r}: {str(fault).rstrip('.')}. {_REMEDY}") from fault


def class_names(labels: object) -> Sequence[str]:
    """The names of classes, checked to be a list of texts; those of a detector's answers are never listed.

    Raises:
        ArgumentError: they are not.
    """
    if isinstance(labels, DetectorAnswers):
        return labels
    names = as_list(labels)
    if not names or not all(isinstance(name, str) for name in names):
        raise ArgumentError(
            f"labels are a file with a name on each line, a list of names, or one of {', '.join(LABELS)}; got "
            f"{short(labels)}."
        )
    return tuple(names)


def check_label_count(labels: Sequence[str] | None, counts: Collection[int]) -> None:
    """Raise unless there are as many names as classes.

    Args:
        labels: names of the classes; None for none.
        counts: how many classes each of the network's outputs has; empty where that is not known.

    Raises:
        ArgumentError: there are not.
    """
    if labels is not None and counts and len(labels) not in counts:
        classes = " or ".join(f"{count:,}" for count in sorted(counts))
        first = ", ".join(short(name) for name in labels[:_MOST_NAMED])
        raise ArgumentError(
            f"labels hold {len(labels):,} names for {classes} class{'es' * (classes != '1')}; they begin with {first}. "
            "Give one name for each class of this network, in the order of its outputs."
        )


def _of_file(path: Path, column: str) -> tuple[str, ...]:
    if not is_file(path):
        raise ValueError("there is no file of that name")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    text = decoded(path.read_bytes())
    if not text.strip():
        raise ValueError("it is empty")
    if path.suffix.lower() == ".json" and not column:
        return tuple(_of_json(text))
    if column or path.suffix.lower() in (".csv", ".tsv"):
        return tuple(_of_table(text, column))
    lines = re.split(r"\r\n|\r|\n", text.rstrip())
    return tuple(_name(line, f"line {i}") for i, line in enumerate(lines, 1))


def _name(value: object, where: str) -> str:
    name = escaped(" ".join(value.split())) if isinstance(value, str) else ""
    if not name:
        what = "is empty" if isinstance(value, str) else f"is {short(value)} and not a name"
        raise ValueError(f"{where} {what}, but every class needs a name")
    return name


def _in_order(indices: Sequence[int], names: Sequence[str], where: str = "") -> list[str]:
    """Names by index, of which none may be missing or stand twice."""
    named: dict[int, str] = {}
    for index, name in zip(indices, names, strict=True):
        if index in named:
            raise ValueError(f"{where}index {index} stands twice, for {named[index]!r} and for {name!r}")
        named[index] = name
    missing = [index for index in range(len(named)) if index not in named]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        which = ", ".join(map(str, missing[:_MOST_NAMED]))
        raise ValueError(
            f"{where}index {which}{more} missing: there are {len(named)} names with indices from {min(named)} to "
            f"{max(named)}, but classes are counted from 0 and every class needs a name"
        )
    return [named[index] for index in range(len(named))]


# JSON


def _of_json(text: str) -> list[str]:
    try:
        held: Any = json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError as fault:
        raise ValueError(f"it is not JSON ({fault})") from fault
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(held, dict):
        held = held.get("id2label", held)  # the config.json of a network of Hugging Face
    if isinstance(held, list) and held:
        return [_json_name(value, f"name {i}") for i, value in enumerate(held)]
    if isinstance(held, dict) and held:
        if all(_WHOLE.fullmatch(key) for key in held):
            return _in_order([int(key) for key in held], [_json_name(held[key], f"class {key}") for key in held])
        if all(type(value) is int for value in held.values()):  # `class_to_idx` of torchvision's folders
            return _in_order(list(held.values()), [_name(key, "a name") for key in held])
    raise ValueError("JSON class names are a list of names, or an object from index to name or from name to index")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for key, value in pairs:
        if key in held:
            raise ValueError(f"{key!r} stands twice, for {short(held[key])} and for {short(value)}")
        held[key] = value
    return held


def _json_name(value: object, where: str) -> str:
    is_keras = isinstance(value, list) and len(value) == 2 and _SYNSET.fullmatch(str(value[0])) is not None
    return _name(value[1] if is_keras else value, where)  # type: ignore[index]  # a list, as is_keras says


# CSV


def _of_table(text: str, column: str) -> list[str]:
    rows = cells(text)
    header = _header(rows, column)
    body, first = (rows[1:], 2) if header else (rows, 1)
    if not body:
        raise ValueError("it has a header and no names")
    columns = [[row[i].strip() for row in body] for i in range(len(rows[0]))]
    chosen = _name_column(columns, header, column)
    names = [_name(value, f"the name in row {i}") for i, value in enumerate(columns[chosen], first)]
    index = _index_column(columns, header, chosen)
    if index is None:
        return names
    indices = [int(value) for value in columns[index]]
    if header and not _is_of_indices(header[index]) and indices != list(range(len(names))):
        raise ValueError(
            f"whether column {header[index]!r} counts the classes is not clear: call it index, or remove it"
        )
    return _in_order(indices, names, f"column {(header[index] if header else index)!r}: ")


def _header(rows: Sequence[Sequence[str]], column: str) -> list[str] | None:
    """The first row, if it holds the names of the columns; a column of whole numbers has no number there."""
    first = [cell.strip() for cell in rows[0]]
    if column in first or any(_plain(cell) in _OF_INDICES | _OF_NAMES for cell in first):
        return first
    of_numbers = [_all_whole([row[i].strip() for row in rows[1:]]) for i in range(len(first))]
    is_header = any(whole and not _all_whole([cell]) for whole, cell in zip(of_numbers, first, strict=True))
    return first if is_header else None


def _name_column(columns: Sequence[Sequence[str]], header: list[str] | None, column: str) -> int:
    if column:
        if header and header.count(column) == 1:
            return header.index(column)
        if not header and column.isdecimal() and int(column) < len(columns):
            return int(column)
        raise ValueError(f"it does not have one column {column!r}; {_columns_in_words(columns, header)}")
    of_text = [i for i, cells in enumerate(columns) if not _all_whole(cells)]
    by_header = [i for i in of_text if header and _plain(header[i]) in _OF_NAMES]
    for choices in (of_text, by_header, range(len(columns))):
        if len(choices) == 1:
            return choices[0]
    raise ValueError(f"which column holds the names is not clear; {_columns_in_words(columns, header)}")


def _columns_in_words(columns: Sequence[Sequence[str]], header: list[str] | None) -> str:
    named = header or [f"{i} ({cells[0]!r} ...)" for i, cells in enumerate(columns)]
    return f"its columns are {', '.join(named)}, and FILE.csv:COLUMN names one"


def _index_column(columns: Sequence[Sequence[str]], header: list[str] | None, names: int) -> int | None:
    """The column that says which class a row is: by its header, by its place before the names, or by its content."""
    of_numbers = [i for i, cells in enumerate(columns) if i != names and _all_whole(cells)]
    by_header = [i for i in of_numbers if header and _is_of_indices(header[i])]
    before = [i for i in of_numbers if i < names]
    by_content = [i for i in of_numbers if set(map(int, columns[i])) == set(range(len(columns[i])))]
    return next(iter([*by_header, *by_content, *before]), None)


def _is_of_indices(header: str) -> bool:
    return not header or _plain(header) in _OF_INDICES  # pandas writes none above its index


def _all_whole(cells: Iterable[str]) -> bool:
    cells = list(cells)
    return bool(cells) and all(map(_WHOLE.fullmatch, cells))


def _plain(header: str) -> str:
    return re.sub(r"\W+", "_", header.strip().casefold())
