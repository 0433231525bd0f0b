"""What an atlas says of itself: `manifest.json`, as frozen values. It is written last and read first."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from deconvnet._errors import ArgumentError, AtlasError
from deconvnet._files import write_whole

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_WIDEST = 16383  # pixels of a WebP image's side


@dataclass(frozen=True)
class ModelSource:
    """Which network it was, in words: nothing that an atlas says is ever loaded or run.

    Attributes:
        spec: as `load_model` takes it, without folders.
        options: of `load_model` that were not the defaults.
        weights: hash of the weights.
    """

    spec: str
    options: Mapping[str, Any]
    weights: str


@dataclass(frozen=True)
class AtlasLayer:
    """A layer of an atlas.

    Attributes:
        name, channels, size, stride, receptive_field: as in `LayerInfo`.
        tile: pixels of a side of its square pictures.
    """

    name: str
    channels: int
    size: tuple[int, ...]
    stride: tuple[float, ...] | None
    receptive_field: tuple[int, ...]
    tile: int


@dataclass(frozen=True)
class PhotoSource:
    """The set of photos that was used.

    Attributes:
        name: of the set.
        count: of the photos in it, also those that were skipped.
        fingerprint: tells this set from others.
    """

    name: str
    count: int
    fingerprint: str


@dataclass(frozen=True)
class Counts:
    """How many photos were used, and how many could not be read."""

    photos: int
    skipped: int


@dataclass(frozen=True)
class Manifest:
    """How an atlas was made and what is in it. No times, hosts or absolute paths.

    Attributes:
        deconvnet: version of this package.
        model: the network.
        rules: options of the way down, as `RuleSet` takes them.
        layers: in the network's order.
        photos: the set.
        preprocess: how photos became inputs, as `Preprocess` takes it.
        k: activations kept of each feature map.
        batch: photos in each forward pass.
        counts: of photos.
        libraries: versions of the libraries that the numbers and bytes rest on.
    """

    deconvnet: str
    model: ModelSource
    rules: Mapping[str, Any]
    layers: tuple[AtlasLayer, ...]
    photos: PhotoSource
    preprocess: Mapping[str, Any]
    k: int
    batch: int
    counts: Counts
    libraries: Mapping[str, str]

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if not names or len(set(names)) < len(names):
            raise ArgumentError(f"an atlas has at least one layer, each name once; got {names}.")
        if self.k < 1 or self.batch < 1:
            raise ArgumentError(f"k={self.k} and batch={self.batch}, but at least 1 is needed.")
        for layer in self.layers:
            if layer.channels < 1 or not 1 <= layer.tile * self.k <= _WIDEST:
                raise ArgumentError(
                    f"layer {layer.name!r} has {layer.channels} feature maps and {self.k} tiles of {layer.tile} pixels"
                    f" for each; at least one map, and {_WIDEST} pixels in all, is what a strip can hold."
                )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which makes the folder an atlas: the last file to be written.

    Raises:
        ArgumentError: the manifest holds what JSON cannot.
        DeconvNetError: the disk refused.
    """
    try:
        text = json.dumps({"format_version": FORMAT_VERSION, **asdict(manifest)}, indent=2, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise ArgumentError(f"the manifest holds what JSON cannot: {fault}.") from fault
    write_whole(folder / MANIFEST, lambda file: file.write(f"{text}\n".encode("ascii")))


def is_atlas(folder: Path) -> bool:
    """Whether the folder holds the manifest of an atlas, of any version."""
    try:
        data = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"format_version", "deconvnet"} <= data.keys()


def read_manifest(folder: Path) -> Manifest:
    """What the atlas in a folder says of itself.

    Raises:
        AtlasError: it is not an atlas, or its manifest is damaged or newer than this package.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise AtlasError(f"the folder {str(folder)!r} does not exist. Check the path of the atlas.")
    if not path.is_file():
        raise AtlasError(
            f"{str(folder)!r} is not an atlas: {MANIFEST}, which is written last, is missing. If an atlas was being "
            "built there, finish it first (--resume, resume=True)."
        )
    try:
        data = json.loads(path.read_bytes())
        version = _built(int, data["format_version"], "format_version")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise damaged(path, fault) from fault
    if version != FORMAT_VERSION:
        raise AtlasError(
            f"{str(path)!r} has format_version {version}, and this is deconvnet for version {FORMAT_VERSION}. Install "
            "the deconvnet that made the atlas, or a newer one: pip install --upgrade deconvnet."
        )
    try:
        manifest: Manifest = _built(Manifest, data, "the manifest")
    except ValueError as fault:
        raise damaged(path, fault) from fault
    return manifest


def key_of(manifest: Manifest, *, keep_signal: bool) -> dict[str, Any]:
    """What the bytes of an atlas depend on: a run is resumed only where all of it is the same.

    Args:
        manifest: of the atlas.
        keep_signal: whether its signals are kept.
    """
    count = manifest.counts.photos + manifest.counts.skipped
    return {
        "format_version": FORMAT_VERSION,
        "deconvnet": manifest.deconvnet,
        "model": asdict(manifest.model),
        "rules": dict(manifest.rules),
        "layers": [layer.name for layer in manifest.layers],
        "photos": {"name": manifest.photos.name, "looked at": count, "fingerprint": manifest.photos.fingerprint},
        "preprocess": dict(manifest.preprocess),
        "k": manifest.k,
        "batch": manifest.batch,
        "signals kept": keep_signal,
        "libraries": dict(manifest.libraries),
    }


def missing(path: Path) -> AtlasError:
    """The error for a file that an atlas should have."""
    return AtlasError(f"{str(path)!r} is missing. Fetch the atlas again, or build it anew.")


def damaged(path: Path, fault: object) -> AtlasError:
    """The error for a file that is not what it should be."""
    return AtlasError(f"{str(path)!r} is damaged ({fault}). Fetch the atlas again, or build it anew.")


def _built(kind: Any, value: Any, where: str) -> Any:
    """A value that came from JSON as the type that it should have.

    Raises:
        ValueError: it is something else.
    """
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return tuple(value) if isinstance(value, list) else value
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        lacking = sorted(hints.keys() - value.keys())
        if lacking:
            raise ValueError(f"{where} lacks {', '.join(lacking)}")
        return kind(**{name: _built(hint, value[name], f"{where}'s {name}") for name, hint in hints.items()})
    if origin is UnionType:
        return None if value is None and NoneType in inner else _built(inner[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_built(inner[0], part, where) for part in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _built(inner[1], part, where) for name, part in value.items()}
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise ValueError(f"{where} is {value!r}"[:200])
