"""What an atlas is built of: the options of a call, checked, and all that follows from them."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import PIL
import pyarrow as pa
import torch

from deconvnet._checks import whole_number
from deconvnet._errors import ArgumentError
from deconvnet._memory import in_bytes
from deconvnet._types import LayerInfo
from deconvnet._version import __version__
from deconvnet.atlas import manifest as about
from deconvnet.atlas.manifest import FORMAT_VERSION, AtlasLayer, Counts, Manifest, ModelSource
from deconvnet.atlas.scan import MOST_AT_ONCE, ScanLayer, scan_layers
from deconvnet.atlas.winner_memory import KeptWinners
from deconvnet.atlas.winners import tile_side
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, costs
from deconvnet.photos.sets import PhotoSet, open_photos

_MEMORY = "2GB"  # for a batch, and for what is kept; not what is free, so that all machines choose the same

Progress = Callable[[str, int, int, int], object]
Engine = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `build_atlas`, which tells of them, as they are handed on."""

    k: int = 9
    workers: int = 0
    engine: Engine = "local"
    ray_address: str | None = None
    limit: int | None = None
    batch: int | None = None
    memory: str | int | None = None
    keep_signal: bool = False
    progress: Progress | None = None

    def check(self) -> None:
        """Raises ArgumentError if one of them is wrong."""
        for name in ("k", "limit", "batch"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name))
        if self.engine not in get_args(Engine) or (self.ray_address is not None and self.engine != "ray"):
            raise ArgumentError(
                f"engine is one of {get_args(Engine)}, and an address is Ray's; got {self.engine!r}, "
                f"{self.ray_address!r}."
            )


@dataclass(frozen=True, eq=False)
class Plan:
    """What is built.

    Attributes:
        net: the network, and the way down.
        loaded: its preprocessing, and where it comes from.
        photos: the set.
        name: of the set.
        layers: what is scanned.
        infos: of these layers.
        options: as they were given.
        batch: photos in each forward pass, for all of the atlas.
        count: photos of the set that are looked at, from the first.
    """

    net: DeconvNet
    loaded: LoadedModel
    photos: PhotoSet
    name: str
    layers: tuple[ScanLayer, ...]
    infos: Mapping[str, LayerInfo]
    options: Options
    batch: int
    count: int

    @property
    def k(self) -> int:
        """Activations kept of each feature map."""
        return self.options.k

    @property
    def batches(self) -> int:
        """How many batches the photos make."""
        return math.ceil(self.count / self.batch)

    @cached_property
    def kept(self) -> KeptWinners | None:
        """Room for what the winners' ways down need, if all of them run in windows that fit the budget.

        It is a property of the plan, because winners that are kept go down in other batches than those that are not.
        """
        return KeptWinners.of(self.net, self.infos, self.k, in_bytes(_MEMORY))

    def tell(self, stage: str, done: int, total: int, skipped: int = 0) -> None:
        """Say how much of how much is done, and how many photos could not be read."""
        if self.options.progress is not None:
            self.options.progress(stage, done, total, skipped)

    def key(self) -> dict[str, Any]:
        """What an atlas depends on, for going on with it: another machine's free memory or workers do not matter."""
        return {
            "format_version": FORMAT_VERSION,
            "deconvnet": __version__,
            "model": asdict(self.model()),
            "rules": asdict(self.net.rules),
            "layers": [layer.name for layer in self.layers],
            "photos": {"name": self.name, "looked at": self.count, "fingerprint": self.photos.fingerprint},
            "preprocess": asdict(self.loaded.preprocess),
            "k": self.k,
            "batch": self.batch,
            "signals kept": self.options.keep_signal,
            "libraries": libraries(),
        }

    def model(self) -> ModelSource:
        """Which network it is."""
        options = {name: _plain(value) for name, value in self.loaded.options.items()}
        spec = Path(self.loaded.spec).name if self.loaded.spec else type(self.net.model).__name__
        return ModelSource(spec, options, weights_hash(self.net.model))

    def manifest(self, skipped: int) -> Manifest:
        """What the finished atlas says of itself."""
        return Manifest(
            deconvnet=__version__,
            model=self.model(),
            rules=asdict(self.net.rules),
            layers=tuple(self.atlas_layer(layer.name) for layer in self.layers),
            photos=about.PhotoSet(self.name, len(self.photos), self.photos.fingerprint),
            preprocess=asdict(self.loaded.preprocess),
            k=self.k,
            batch=self.batch,
            counts=Counts(self.count - skipped, skipped),
            libraries=libraries(),
        )

    def atlas_layer(self, name: str) -> AtlasLayer:
        """A layer, as the atlas has it."""
        info = self.infos[name]
        side = tile_side(info.receptive_field)
        return AtlasLayer(name, info.channels, info.size, info.stride, info.receptive_field, side)


def prepared(net: DeconvNet, photos: Any, layers: Sequence[str] | str, loaded: LoadedModel, options: Options) -> Plan:
    """The arguments of `build_atlas`, checked, as a plan."""
    options.check()
    of_layers = scan_layers(net, layers)
    infos = net.layers
    for layer in of_layers:
        costs(net, layer.name)  # refused now rather than after the scan
    source = photos if isinstance(photos, PhotoSet) else open_photos(photos)
    count = min(options.limit or len(source), len(source))
    size = options.batch or canonical_batch(infos, of_layers, in_bytes(options.memory or _MEMORY))
    chosen = {one.name: infos[one.name] for one in of_layers}
    return Plan(net, loaded, source, _name(photos), of_layers, chosen, options, min(size, count), count)


def canonical_batch(infos: Mapping[str, LayerInfo], layers: Sequence[ScanLayer], budget: int) -> int:
    """How many photos run at once, from the sizes of what a forward pass holds."""
    largest = max(info.channels * math.prod(info.size) for info in infos.values())
    kept = sum(layer.channels * layer.positions for layer in layers)
    return max(1, min(MOST_AT_ONCE, budget // (4 * (6 * largest + 2 * kept))))


def weights_hash(model: torch.nn.Module) -> str:
    """Tells one state of a network from another: a hash of all parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def libraries() -> dict[str, str]:
    """Versions of the libraries that the numbers and bytes rest on."""
    return {"torch": torch.__version__, "numpy": np.__version__, "pillow": PIL.__version__, "pyarrow": pa.__version__}


def _name(photos: Any) -> str:
    if isinstance(photos, str | Path):
        return Path(str(photos).rstrip("/")).name
    return type(photos).__name__


def _plain(value: object) -> object:
    """A value of an option as JSON holds it, without the folder of a file."""
    if isinstance(value, str | Path):
        return Path(value).name
    if isinstance(value, Sequence):
        return [_plain(part) for part in value]
    return value if isinstance(value, int | float) or value is None else str(value)
