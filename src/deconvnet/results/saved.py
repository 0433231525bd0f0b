"""Results that last: a folder with all that a result holds, as JSON and arrays, the JSON last.

A result is a frozen dataclass that descends from `Savable`, and its annotated fields are the schema of what is written
and read: there is no other code for it, only a line in the table of `opening`. Tensors go to the arrays under their
places in the result ("windows", "steps.3.signal"), and the JSON holds these names instead.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Unpack, get_args

import msgspec
import torch
from jaxtyping import jaxtyped
from msgspec import Meta
from PIL import Image
from torch import Tensor

from deconvnet._arrays import read_tensors, read_text, write_tensors
from deconvnet._checks import file_path, flag, keywords, printable
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import LARGEST_JSON, check_new, damaged, decode_json, is_file, is_folder, read_json, write_whole
from deconvnet._folders import make_folder, result_folder
from deconvnet._version import __version__
from deconvnet.pictures import files
from deconvnet.pictures.figure import SUFFIXES, Figure
from deconvnet.pictures.layout import LayoutOptions
from deconvnet.pictures.plot import Plot

FORMAT_VERSION = 1
MANIFEST, ARRAYS = "result.json", "arrays.safetensors"
REMEDY = "Save the result again, or fetch its folder again."

_OLDER: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By format version, what makes a manifest of the next version of one of this version. A new field with a default needs
none. Arrays keep the names that the manifest gives them."""

_T = TypeVar("_T", bound="Savable")


class Drawing(LayoutOptions, total=False):
    """What a user may choose of a result's picture."""

    whole: bool


@dataclass(frozen=True)
class MadeWith:
    """The versions that a result was computed with."""

    deconvnet: str = __version__
    torch: str = str(torch.__version__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Savable:
    """A result that can be written to a folder, and drawn, if it says how."""

    made_with: MadeWith = field(default_factory=MadeWith)

    _options: ClassVar[Iterable[str]] = LayoutOptions.__annotations__  # of its picture

    def _drawn(self, *_: Any, **drawing: Any) -> Figure | Plot | Image.Image:
        """What a picture file holds; told whether that is one of `pixels`, and what the user chose.

        Raises:
            ArgumentError: it cannot be drawn.
        """
        raise ArgumentError(f"{type(self).__name__} cannot be drawn. To save it, give a folder.")

    def save(self, path: str | Path, *, force: bool = False, **drawing: Unpack[Drawing]) -> Path:
        """Write the result's picture to a file, or all that the result holds to a folder; the path.

        `deconvnet.open` opens the folder: everything in it is as it was, tensors on the CPU, and all can be done
        with it that needs no network. It holds result.json, for units, rules, notes and versions, and
        arrays.safetensors.

        Args:
            path: of a picture, which ends in .pdf, .svg, .png or another suffix that `Figure.save` takes; else of a
                folder, which is made if need be. It must be new, empty, or hold a saved result.
            force: replace the picture, or the result in the folder, if there is one already.
            tile, columns, dpi, title, text: of a picture, as in `Reconstruction.sheet`.
            whole: of a picture of `Steps`, as in `Steps.figure`.

        Raises:
            ArgumentError: there is a file or result already and `force` is not given, the folder holds anything else,
                or the ending is unknown.
            DeconvNetError: the disk refused.
        """
        keywords(f"{type(self).__name__}.save", drawing, self._options)
        file = file_path("path", path)
        if file.suffix.lower() in SUFFIXES:
            files.check_picture_path(file, force=force, formats=SUFFIXES)
            drawn = self._drawn(pixels=file.suffix.lower() in files.SUFFIXES, **drawing)
            if isinstance(drawn, Figure | Plot):
                return drawn.save(file, force=force)[0]
            files.save_picture(drawn, file, force=force)
            return file
        if file.suffix[1:2].isalpha() and not is_folder(file):
            raise ArgumentError(
                f"{str(file)!r} does not end in one of {', '.join(SUFFIXES)}. To save all of the result, give a "
                f"folder, whose name does not end in {file.suffix!r}."
            )
        if drawing:
            raise ArgumentError(f"{', '.join(drawing)} belong to pictures, and {str(file)!r} is a folder.")
        return _write(self, file, force=flag("force", force))


def rows_of(result: Savable, rows: slice) -> dict[str, Any]:
    """By field, these rows of each tensor of a result whose first axis is `m`, its units."""
    return {
        each.name: value[rows]
        for each in fields(result)
        if isinstance(value := getattr(result, each.name), Tensor) and _first_axis(each.type) == "m"
    }


def _first_axis(annotation: Any) -> str:
    shapes = [kind.dim_str for kind in (annotation, *get_args(annotation)) if hasattr(kind, "dim_str")]
    return str(shapes[0]).split()[0]


def is_result(folder: Path) -> bool:
    """Whether a folder holds a saved result, of any version.

    Raises:
        DeconvNetError: the folder cannot be read.
    """
    path = folder / MANIFEST
    if not is_file(path):
        return False
    try:
        read_json(path, _Head, REMEDY)
    except DeconvNetError:
        return False
    return True


def read_result(folder: Path, find: Callable[[str], type[Savable] | None]) -> Savable:
    """The result in a folder.

    Args:
        folder: that holds one, of this version or an older one.
        find: the class of results of that name; None if there is none.

    Raises:
        DeconvNetError: the result is damaged, or newer than this package.
    """
    path = folder / MANIFEST
    head = read_json(path, _Head, REMEDY)
    if head.format_version > FORMAT_VERSION:
        raise DeconvNetError(
            f"{str(path)!r} has format_version {head.format_version}, and this deconvnet reads versions up to "
            f"{FORMAT_VERSION}. {_newer(head)}"
        )
    tensors = _tensors_beside(path)
    try:
        manifest = msgspec.convert(_as_of_today(path, head.format_version), _Manifest)
        kind = find(manifest.kind)
        if kind is None:
            raise DeconvNetError(f"{str(path)!r} holds a {manifest.kind!r}, unknown to this deconvnet. {_newer(head)}")
        return _built(kind, manifest.result, tensors)
    except (ValueError, TypeError, KeyError, msgspec.ValidationError) as fault:
        raise damaged(path, fault, REMEDY) from fault


class _Head(msgspec.Struct):
    """What manifests of all versions begin with."""

    format_version: Annotated[int, Meta(ge=1)]
    deconvnet: str
    kind: str


class _Manifest(_Head):
    """What a saved result says; `deconvnet` is the version that wrote it, and `notes` are for people."""

    notes: tuple[str, ...]
    result: dict[str, Any]


def _newer(head: _Head) -> str:
    return f"Install deconvnet {head.deconvnet}, which wrote it, or a newer one: pip install --upgrade deconvnet."


def check_result_folder(path: Path, *, force: bool) -> Path:
    """The folder that a result may be saved in; checked before the work that makes it.

    Raises:
        ArgumentError: it holds anything else, or a result that may not be replaced.
    """
    folder = result_folder(path, key=MANIFEST, is_result=lambda folder: is_result(folder) or _is_rest(folder))
    check_new([] if force else [folder / MANIFEST])
    return folder


def _write(result: Savable, path: Path, *, force: bool) -> Path:
    folder = check_result_folder(path, force=force)
    tensors: dict[str, Tensor] = {}
    manifest = {
        "format_version": FORMAT_VERSION, "deconvnet": __version__, "kind": type(result).__name__,
        "notes": getattr(result, "notes", ()), "result": _as_json(result, "", tensors),
    }  # fmt: skip
    try:
        text = json.dumps(printable(manifest), indent=2, allow_nan=False)
        _built(type(result), json.loads(text)["result"], tensors)
    except (TypeError, ValueError) as fault:
        raise ArgumentError(f"the result cannot be saved: {fault}.") from fault
    if len(text) > LARGEST_JSON:
        raise ArgumentError(f"the result is too large for one folder: {MANIFEST} would be {len(text)} bytes long.")
    make_folder(folder)
    write_tensors(folder / ARRAYS, text, tensors)
    write_whole(folder / MANIFEST, lambda file: file.write(text.encode("ascii")))
    return folder


def _is_rest(folder: Path) -> bool:
    """Whether a folder holds what is left of a result whose writing was interrupted."""
    if os.path.lexists(folder / MANIFEST) or not is_file(folder / ARRAYS):
        return False
    try:
        decode_json(read_text(folder / ARRAYS), _Head)
    except (OSError, ValueError):
        return False
    return True


def _as_json(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON, in which a tensor is the name of its place; the tensors are added to `tensors`."""
    below = f"{path}." if path else ""
    if isinstance(value, Tensor):
        tensors[path] = value
        return path
    if is_dataclass(value):
        named = ((each.name, getattr(value, each.name)) for each in fields(value))
        return {name: _as_json(held, below + name, tensors) for name, held in named}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [_as_json(item, f"{below}{i}", tensors) for i, item in enumerate(value)]
    return value


def _built(kind: type[_T], content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> _T:
    """A result of what JSON and arrays hold.

    Raises:
        ValueError: they do not hold such a result.
    """

    def tensor(annotation: type, name: Any) -> Tensor:
        if not isinstance(name, str) or name not in tensors:
            raise ValueError(f"{ARRAYS} does not hold {name!r}")
        return tensors[name]

    try:
        result = msgspec.convert(content, kind, dec_hook=tensor)
    except msgspec.ValidationError as fault:
        raise ValueError(str(fault)) from fault
    _check_shapes(result)
    return result


def _check_shapes(value: Any) -> None:
    """Raise ValueError unless the shapes of a result's tensors go together."""
    if isinstance(value, tuple):
        for item in value:
            _check_shapes(item)
    if not is_dataclass(value):
        return
    with jaxtyped("context"):
        for each in fields(value):
            held = getattr(value, each.name)
            if isinstance(held, Tensor) and not isinstance(held, each.type):  # type: ignore[arg-type]  # no string
                raise ValueError(f"{each.name} is of shape {tuple(held.shape)}, unlike what stands beside it")
    for each in fields(value):
        _check_shapes(getattr(value, each.name))


def _tensors_beside(path: Path) -> dict[str, Tensor]:
    """The tensors beside a manifest, checked to be those that it was written with."""
    arrays = path.parent / ARRAYS
    if not is_file(arrays):
        raise damaged(path, f"{ARRAYS}, which belongs to it, is missing", REMEDY)
    try:
        text, tensors = read_tensors(arrays)
        same = text.encode("ascii") == path.read_bytes()
    except (OSError, ValueError) as fault:
        raise damaged(arrays, fault, REMEDY) from fault
    if not same:
        raise damaged(path, f"it is not what {ARRAYS} was written with", REMEDY)
    return tensors


def _as_of_today(path: Path, version: int) -> dict[str, Any]:
    """A manifest in the form of this version."""
    content: dict[str, Any] = json.loads(path.read_bytes())
    for older in range(version, FORMAT_VERSION):
        content = _OLDER[older](content)
    return content
