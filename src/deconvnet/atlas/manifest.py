"""What an atlas says of itself: `manifest.json`, as frozen values. It is written last and read first."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from deconvnet._errors import ArgumentError, AtlasError, DeconvNetError
from deconvnet._files import damaged, decode_json, is_file, is_folder, read_json, write_whole
from deconvnet._types import Precision
from deconvnet.photos.pick import Pick

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WIDEST = 16383  # pixels of a WebP image's side
SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)  # part i of n, "i/n"
REMEDY = "Fetch the atlas again, or build it anew."

Scalar: TypeAlias = bool | int | float | str | None
Plain: TypeAlias = Scalar | tuple[Scalar | tuple[Scalar, ...], ...]
"""The value of an option, as JSON holds it."""

_Count = Annotated[int, Meta(ge=0, lt=2**53)]
_Positive = Annotated[int, Meta(ge=1, lt=2**53)]


@dataclass(frozen=True)
class ModelSource:
    """Which network it was, in words: nothing that an atlas says is ever loaded or run.

    Attributes:
        spec: as `load_model` takes it, without folders.
        options: of `load_model` that were not the defaults.
        weights: hash of the weights.
    """

    spec: str
    options: Mapping[str, Plain]
    weights: str


@dataclass(frozen=True)
class AtlasLayer:
    """A layer of an atlas.

    Attributes:
        name, channels, size, stride, receptive_field: as in `LayerInfo`.
        tile: pixels of a side of its square pictures.
        image_free: nothing on the way down depends on the photo, so a unit's picture is the same for every photo.
    """

    name: str
    channels: Annotated[int, Meta(ge=1, lt=2**31)]
    size: tuple[_Positive, ...]
    stride: tuple[float, ...] | None
    receptive_field: tuple[_Positive, ...]
    tile: Annotated[int, Meta(ge=1, le=WIDEST)]
    image_free: bool = False


@dataclass(frozen=True)
class PhotoSource:
    """The set of photos that was used.

    Attributes:
        name: of the set.
        count: of the photos in it, also those that were skipped.
        fingerprint: tells this set from others.
        pick: which of them were used.
    """

    name: str
    count: _Count
    fingerprint: str
    pick: Pick = field(default_factory=Pick)


@dataclass(frozen=True)
class Counts:
    """How many photos were used, and how many could not be read."""

    photos: _Count
    skipped: _Count


@dataclass(frozen=True)
class Recipe:
    """How an atlas is made.

    Attributes:
        deconvnet: version of this package.
        model: the network.
        rules: options of the way down, as `RuleSet` takes them.
        precision: what it was computed in: a type, or "tf32".
        preprocess: how photos became inputs, as `Preprocess` takes it.
        k: activations kept of each feature map.
        batch: photos in each forward pass.
        libraries: versions of the libraries that the numbers and bytes rest on.
        trust_samples: activations of each feature map, at most, of which it was measured what their pictures rest on.
    """

    deconvnet: str
    model: ModelSource
    rules: Mapping[str, Plain]
    precision: Precision
    preprocess: Mapping[str, Plain]
    k: Annotated[int, Meta(ge=1, le=WIDEST)]
    batch: _Positive
    libraries: Mapping[str, str]
    trust_samples: Annotated[int, Meta(ge=0, le=WIDEST)] = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Manifest(Recipe):
    """How an atlas was made and what is in it. No times, hosts or absolute paths.

    Attributes:
        layers: in the network's order.
        photos: the set.
        counts: of photos.
    """

    layers: tuple[AtlasLayer, ...]
    photos: PhotoSource
    counts: Counts

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if not names or len(set(names)) < len(names):
            raise ArgumentError(f"an atlas has at least one layer, each name once; got {names}.")
        if self.counts.photos + self.counts.skipped > self.photos.count:
            raise ArgumentError(f"{self.counts} are more photos than the {self.photos.count} of the set.")
        check_k(self.k, self.layers)


@dataclass(frozen=True)
class LookedAt:
    """The photos of a set that are used.

    Attributes:
        name, fingerprint: of the set.
        looked_at: how many.
        pick: which.
    """

    name: str
    looked_at: _Count
    fingerprint: str
    pick: Pick = field(default_factory=Pick)


@dataclass(frozen=True)
class Key(Recipe):
    """What the bytes of an atlas depend on: a run is resumed only where all of it is the same.

    Attributes:
        format_version: of the atlas.
        layers: their names.
        photos: those that are used.
        signals_kept: whether the signed signals are kept.
        shard: which part of the photos, such as "3/64"; None for all.
    """

    format_version: int
    layers: tuple[str, ...]
    photos: LookedAt
    signals_kept: bool
    shard: Annotated[str, Meta(pattern=f"^{SHARD.pattern}$")] | None = None

    def __post_init__(self) -> None:
        part, parts = self.part()
        if part >= parts:
            raise ArgumentError(f"a shard is part i of n, i from 0 to n - 1; got {self.shard}.")

    def part(self) -> tuple[int, int]:
        """Part i of n, 0 of 1 for all."""
        part, parts = map(int, (self.shard or "0/1").split("/"))
        return part, parts


def check_k(k: int, layers: tuple[AtlasLayer, ...]) -> None:
    """Raise unless a strip holds k tiles of each layer.

    Raises:
        ArgumentError: `k` is too large.
    """
    widest = max(layers, key=lambda layer: layer.tile)
    most = WIDEST // widest.tile
    if k > most:
        raise ArgumentError(
            f"k is at most {most} with layer {widest.name!r}, whose tiles are {widest.tile} pixels wide: a picture "
            f"holds {WIDEST} pixels side by side; got {k}."
        )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which makes the folder an atlas: the last file to be written.

    Raises:
        ArgumentError: the manifest holds what JSON cannot, or what it may not.
        DeconvNetError: the disk refused.
    """
    try:
        text = json.dumps({"format_version": FORMAT_VERSION, **asdict(manifest)}, indent=2, allow_nan=False)
        decode_json(text, Manifest)
    except (TypeError, ValueError) as fault:
        raise ArgumentError(f"the manifest holds what JSON cannot: {fault}.") from fault
    write_whole(folder / MANIFEST, lambda file: file.write(f"{text}\n".encode("ascii")))


class _Head(msgspec.Struct):
    """What manifests of all versions begin with."""

    format_version: int
    deconvnet: Any = None


def is_atlas(folder: Path) -> bool:
    """Whether the folder holds the manifest of an atlas, of any version.

    Raises:
        DeconvNetError: the folder cannot be read.
    """
    path = folder / MANIFEST
    try:
        return is_file(path) and read_json(path, _Head, REMEDY, AtlasError).deconvnet is not None
    except AtlasError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """What the atlas in a folder says of itself.

    Raises:
        AtlasError: it is not an atlas, or its manifest is damaged or newer than this package.
        DeconvNetError: the folder cannot be read.
    """
    path = folder / MANIFEST
    if not is_folder(folder):
        raise AtlasError(f"the folder {str(folder)!r} does not exist. Check the path of the atlas.")
    if not is_file(path):
        raise AtlasError(
            f"{str(folder)!r} is not an atlas: {MANIFEST}, which is written last, is missing. If an atlas was being "
            "built there, finish it first (--resume, resume=True)."
        )
    version = read_json(path, _Head, REMEDY, AtlasError).format_version
    if version != FORMAT_VERSION:
        raise AtlasError(
            f"{str(path)!r} has format_version {version}, and this is deconvnet for version {FORMAT_VERSION}. Install "
            "the deconvnet that made the atlas, or a newer one: pip install --upgrade deconvnet."
        )
    return read_json(path, Manifest, REMEDY, AtlasError)


def key_of(manifest: Manifest, *, keep_signal: bool) -> Key:
    """The key of an atlas.

    Args:
        manifest: of the atlas.
        keep_signal: whether its signals are kept.
    """
    count = manifest.counts.photos + manifest.counts.skipped
    return Key(
        **{each.name: getattr(manifest, each.name) for each in fields(Recipe)},
        format_version=FORMAT_VERSION,
        layers=tuple(layer.name for layer in manifest.layers),
        photos=LookedAt(manifest.photos.name, count, manifest.photos.fingerprint, manifest.photos.pick),
        signals_kept=keep_signal,
    )


def missing(path: Path) -> AtlasError:
    """The error for a file that an atlas should have."""
    return AtlasError(f"{str(path)!r} is missing. Fetch the atlas again, or build it anew.")


def damaged_atlas(path: Path, fault: object) -> DeconvNetError:
    """The error for a file that is not what it should be."""
    return damaged(path, fault, REMEDY, AtlasError)
