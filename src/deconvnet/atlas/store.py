"""The folder of an atlas: where things lie in it, and its pictures and signals. Docs: docs/atlas-format.md."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from deconvnet._errors import ArgumentError, AtlasError
from deconvnet._files import is_file, is_folder, write_whole
from deconvnet._folders import make_folder, remove_written, result_folder
from deconvnet.atlas.manifest import MANIFEST, AtlasLayer, damaged_atlas, is_atlas, missing

Kind = Literal["signal", "patch"]
KINDS: tuple[Kind, ...] = get_args(Kind)

KEY = "key.json"  # in the folder of unfinished files: what is being built
NAMES = (
    MANIFEST,
    "top.parquet",
    "stats.parquet",
    "skipped.parquet",
    "trust.parquet",
    "pictures",
    "signals",
)  # of all that is written

_WEBP = {"quality": 85, "method": 4}
_LONGEST = 120  # letters of a layer's name in the name of a file
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")  # names that Windows keeps for devices


def atlas_folder(out: str | Path) -> Path:
    """The folder of an atlas, if it is new or empty, or holds an atlas or an unfinished one.

    Raises:
        ArgumentError: it holds anything else, or its name is empty.
        DeconvNetError: it cannot be read.
    """
    return result_folder(out, key=KEY, is_result=is_atlas)


def check_no_atlas(folder: Path) -> None:
    """Raise unless an atlas can be built in the folder.

    Raises:
        ArgumentError: it holds one already.
    """
    if is_atlas(folder):
        raise ArgumentError(f"{str(folder)!r} holds an atlas already. Give another folder, or remove it.")


def remove_interrupted(folder: Path) -> None:
    """Remove what a killed run was in the middle of writing in the folder of an atlas.

    Raises:
        DeconvNetError: the disk refused.
    """
    pictures = folder / "pictures"
    of_layers = list(pictures.iterdir()) if is_folder(pictures) and not pictures.is_symlink() else []
    for inside in (folder.resolve(), signals_folder(folder), *of_layers):
        remove_written(inside)


@lru_cache(maxsize=2**14)  # pages of an atlas ask for the same names over and over
def safe_name(layer: str) -> str:
    """A layer's name as the name of a file: ASCII, allowed on every disk, and no two alike on any.

    Capitals become `!` and the small letter, as in Go's module cache; what is not a letter, digit, dot, dash or
    underscore becomes `=` and two hexadecimal digits for each byte of UTF-8. So does the first letter of a name that
    would be hidden or that Windows keeps for a device, and a dot at the end. A long name is cut and ends in a hash.

    Example:
        >>> safe_name("Mixed_5b.branch1/relu#2")
        '!mixed_5b.branch1=2frelu=232'
    """
    name = "".join(_safe(letter) for letter in layer) or "="
    if name[0] == "." or _DEVICE.match(name):
        name = _escaped(name[0]) + name[1:]
    if name[-1] == ".":
        name = name[:-1] + _escaped(".")
    if len(name) > _LONGEST:
        # "==" is in no name that was not cut
        name = f"{name[: _LONGEST - 34]}=={sha256(layer.encode('utf-8')).hexdigest()[:32]}"
    return name


def _safe(letter: str) -> str:
    if re.fullmatch(r"[a-z0-9._-]", letter):
        return letter
    return f"!{letter.lower()}" if re.fullmatch(r"[A-Z]", letter) else _escaped(letter)


def _escaped(letter: str) -> str:
    return "".join(f"={byte:02x}" for byte in letter.encode("utf-8"))


# ---- pictures


def strip_path(folder: Path, layer: str, channel: int, kind: Kind) -> Path:
    """Where the strip of a feature map's signals or patches lies."""
    return folder / "pictures" / safe_name(layer) / f"{channel}.{kind}.webp"


def write_strip(folder: Path, layer: AtlasLayer, channel: int, kind: Kind, tiles: Image.Image) -> None:
    """Write the strip of a feature map's signals or patches; `sync_together` waits for the disk.

    Args:
        folder: of the atlas.
        layer: of the map.
        channel: of the map.
        kind: of pictures.
        tiles: RGB squares of `layer.tile` pixels side by side, rank 0 at the left.

    Raises:
        ArgumentError: other pixels, or another channel than the layer has.
        DeconvNetError: the disk refused.
    """
    if tiles.mode != "RGB" or tiles.height != layer.tile or tiles.width % layer.tile or not tiles.width:
        raise ArgumentError(
            f"a strip of layer {layer.name!r} is a row of RGB squares of {layer.tile} pixels; got {tiles.mode} of "
            f"{tiles.height} x {tiles.width}."
        )
    if not 0 <= channel < layer.channels:
        raise ArgumentError(f"layer {layer.name!r} has {layer.channels} feature maps; got channel {channel}.")
    path = strip_path(folder, layer.name, channel, kind)
    make_folder(path.parent)
    write_whole(path, lambda file: tiles.save(file, "WEBP", **_WEBP), sync=False)


def read_strip(folder: Path, layer: AtlasLayer, channel: int, kind: Kind, count: int) -> Image.Image:
    """The strip of a feature map's signals or patches.

    Args:
        folder, layer, channel, kind: as in `write_strip`.
        count: of tiles that it should have.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    with _strip(strip_path(folder, layer.name, channel, kind), layer, count) as (_, image):
        return image.convert("RGB")


def strip_bytes(folder: Path, layer: AtlasLayer, channel: int, kind: Kind, count: int) -> bytes:
    """The file of a strip as it is: complete, and of the right size; its pixels are not decoded.

    Args:
        folder, layer, channel, kind, count: as in `read_strip`.

    Raises:
        AtlasError: the file is missing or damaged.
    """
    with _strip(strip_path(folder, layer.name, channel, kind), layer, count) as (data, _):
        return data


def _largest(pixels: int) -> int:
    """The most bytes that a WebP file of so many pixels has, with room for what programs add to it."""
    return 4 * pixels + 2**20


@contextmanager
def _strip(path: Path, layer: AtlasLayer, count: int) -> Iterator[tuple[bytes, Image.Image]]:
    """A strip's file and its image, not decoded yet.

    Raises:
        AtlasError: the file is missing or damaged, or its image turns out to be.
    """
    try:
        if not is_file(path):
            raise FileNotFoundError
        if path.stat().st_size > _largest(count * layer.tile**2):
            raise ValueError(f"it has {path.stat().st_size} bytes, more than its pixels can take")
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            length = 8 + int.from_bytes(data[4:8], "little")  # of a RIFF file, as its head says
            if len(data) < length:
                raise ValueError(f"it has {len(data)} bytes and says {length}")
            if image.size != (count * layer.tile, layer.tile):
                expected = f"{layer.tile} x {count * layer.tile}"
                raise ValueError(f"it has {image.height} x {image.width} pixels, and {expected} belong there")
            yield data, image
    except FileNotFoundError as fault:
        raise missing(path) from fault
    except Exception as fault:  # a decoder may raise anything
        raise damaged_atlas(path, fault) from fault


# ---- signals


@dataclass(frozen=True, eq=False)
class Signals:
    """The signals of a layer's top activations, in the order of their rows in `top.parquet`.

    Attributes:
        windows: (m, c, h, w) signed, each divided by its scale.
        scale: (m,) the largest magnitude of each, which half precision could not hold.
        low: (m, 2) row and column of each window's low corner in the network's input; may lie outside.
    """

    windows: NDArray[np.float16]
    scale: NDArray[np.float32]
    low: NDArray[np.int32]

    def __post_init__(self) -> None:
        kinds = [(str(array.dtype), array.ndim) for array in (self.windows, self.scale, self.low)]
        if kinds != [("float16", 4), ("float32", 1), ("int32", 2)]:
            raise ArgumentError(
                "signals are float16 windows (m, c, h, w), float32 scales (m,) and int32 corners (m, 2)."
            )
        if not len(self.windows) == len(self.scale) == len(self.low) or self.low.shape[1] != 2:
            raise ArgumentError("signals have one scale and one corner for each window.")

    @classmethod
    def of(cls, windows: NDArray[np.floating], low: NDArray[np.integer]) -> "Signals":
        """The signals of windows (m, c, h, w) of any unit."""
        values = np.asarray(windows, np.float64)
        scale = np.abs(values).max(axis=(1, 2, 3), initial=0)
        divided = values / np.where(scale > 0, scale, 1)[:, None, None, None]
        return cls(divided.astype(np.float16), scale.astype(np.float32), low.astype(np.int32))

    def window(self, i: int) -> NDArray[np.float32]:
        """(c, h, w) the signal of row i in its own unit."""
        signal: NDArray[np.float32] = self.windows[i].astype(np.float32) * self.scale[i]
        return signal


def signals_folder(folder: Path) -> Path:
    """Where the signals of an atlas lie, if they were kept."""
    return folder / "signals"


def signals_path(folder: Path, layer: str) -> Path:
    """Where the signals of a layer lie, if they were kept."""
    return signals_folder(folder) / f"{safe_name(layer)}.safetensors"


def write_signals(folder: Path, layer: str, signals: Signals) -> None:
    """Write the signals of a layer's top activations.

    Raises:
        DeconvNetError: the disk refused.
    """
    path = signals_path(folder, layer)
    make_folder(path.parent)
    arrays = {name: np.ascontiguousarray(array) for name, array in vars(signals).items()}
    write_whole(path, lambda file: file.write(save(arrays)))


def read_signals(folder: Path, layer: str, count: int) -> Signals:
    """The signals of a layer's top activations.

    Args:
        folder: of the atlas.
        layer: its name.
        count: of top activations.

    Raises:
        AtlasError: they were not kept, or the file is damaged.
    """
    path = signals_path(folder, layer)
    try:
        signals = Signals(**load_file(path))
        if len(signals.windows) != count:
            raise ValueError(f"it holds {len(signals.windows)} signals, and {count} belong there")
        if not (np.isfinite(signals.windows).all() and np.isfinite(signals.scale).all()):
            raise ValueError("it holds NaN or infinity")
    except FileNotFoundError as fault:
        raise AtlasError(
            f"this atlas does not hold signals of {layer!r}: {str(path)!r} is missing. Build it with keep_signal=True."
        ) from fault
    except (OSError, SafetensorError, ValueError, TypeError) as fault:
        raise damaged_atlas(path, fault) from fault
    return signals
