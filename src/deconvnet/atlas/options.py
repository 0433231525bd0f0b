"""What an atlas is built of: the options of a call, checked, and all that follows from them."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import PIL
import pyarrow as pa
import torch

from deconvnet._arrays import tensor_content
from deconvnet._checks import callback, flag, instance, is_one_of, short, whole_number
from deconvnet._errors import ArgumentError
from deconvnet._memory import check_fits, in_bytes
from deconvnet._types import LayerInfo, Twins, Unit
from deconvnet._version import __version__
from deconvnet._workers import MOST_WORKERS
from deconvnet.atlas.manifest import (
    WIDEST,
    AtlasLayer,
    Counts,
    Key,
    Manifest,
    ModelSource,
    PhotoSource,
    Plain,
    check_k,
    key_of,
)
from deconvnet.engine.activations import layer_names
from deconvnet.engine.attachment import Attachment
from deconvnet.engine.layers import layer_infos, rectifiers, value_of
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached, repeatable
from deconvnet.photos.pick import Pick
from deconvnet.photos.sets import PhotoSet, open_photos

MOST_AT_ONCE = 8  # on a CPU; more are slower: their maps are too large for its caches
MOST_ON_ACCELERATOR = 64  # fewer would leave it waiting for this process

_MEMORY = "2GB"  # for a batch; not what is free, so that all machines choose the same
_SMALLEST, _LARGEST = 32, 128  # pixels of a tile
_TRUST_SAMPLES = 3
_AXES = (0, 2)  # of the maps of a layer
_MOST_ACTORS = 10**4  # of Ray: of one core each gets a ten-thousandth at least

Engine = Literal["local", "ray"]
ReportProgress = Callable[[str, int, int, int], object]
"""The stage, how many are done, out of how many, and how many photos could not be read."""
MeasureTwins = Callable[[DeconvNet, torch.Tensor, Sequence[Unit], Sequence[int | None]], Sequence[Twins]]
"""`probes.twins`, which is handed in, because no experiment is imported here."""


class Options(TypedDict, total=False):
    """The options that `build_atlas`, `scan_shard` and the command share; `build_atlas` describes them."""

    workers: int
    engine: Engine
    ray_address: str | None
    allow_outside: bool
    suffix: str | None
    limit: int | None
    sample: int | None
    seed: int | None
    batch: int | None
    memory: str | int | None
    keep_signal: bool
    trust: MeasureTwins | None
    trust_samples: int | None
    progress: ReportProgress | None


@dataclass(frozen=True, eq=False)
class Build:
    """What is built, with every option decided.

    Attributes:
        net: the network, and the way down.
        loaded: its preprocessing, and where it comes from.
        photos: the set.
        photos_name: name of the set.
        layers: what is scanned, in the network's order.
        k: activations kept of each feature map.
        batch: photos in each forward pass, for all of the atlas.
        pick: which photos of the set are used.
        workers: processes that read photos and draw pictures; on Ray, that run the network.
        engine: what scans.
        ray_address: of a cluster.
        keep_signal: whether the signed signals are kept.
        trust: measures what pictures rest on.
        trust_samples: of how many of each feature map's top activations; 0 for none.
        report_progress: called with each step of the work.
    """

    net: DeconvNet
    loaded: LoadedModel
    photos: PhotoSet
    photos_name: str
    layers: tuple[LayerInfo, ...]
    k: int
    batch: int
    pick: Pick
    workers: int
    engine: Engine
    ray_address: str | None
    keep_signal: bool
    trust: MeasureTwins | None
    trust_samples: int
    report_progress: ReportProgress

    @property
    def attached(self) -> Attachment:
        """What the network is attached by."""
        return attached(self.net)

    @property
    def count(self) -> int:
        """How many photos are used."""
        return self.pick.size(len(self.photos))

    @property
    def layer_names(self) -> list[str]:
        """Of the layers that are scanned."""
        return [info.name for info in self.layers]

    @property
    def drawing_workers(self) -> int:
        """Processes on this machine that draw pictures; 0 draws them here."""
        return self.workers if self.engine == "local" else min(self.workers, os.cpu_count() or 1)

    @property
    def batches(self) -> int:
        """How many batches the photos make."""
        return math.ceil(self.count / self.batch)

    def key(self) -> Key:
        """What the atlas depends on, for resuming it: free memory and the number of workers do not matter."""
        return key_of(self.manifest(0), keep_signal=self.keep_signal)

    def manifest(self, skipped: int) -> Manifest:
        """What the finished atlas says of itself.

        Args:
            skipped: how many photos could not be read.
        """
        return Manifest(
            deconvnet=__version__,
            model=_model_source(self.loaded, self.attached),
            rules=asdict(self.attached.rules),
            precision=self.attached.precision,
            layers=_atlas_layers(self.attached, self.layers),
            photos=PhotoSource(self.photos_name, len(self.photos), self.photos.fingerprint, self.pick),
            preprocess=asdict(self.loaded.preprocess),
            k=self.k,
            batch=self.batch,
            counts=Counts(self.count - skipped, skipped),
            libraries=_libraries(),
            trust_samples=self.trust_samples,
        )


def prepare(
    net: DeconvNet, photos: Any, layers: Sequence[str] | str, k: int, loaded: LoadedModel, options: Options
) -> Build:
    """The arguments of `build_atlas`, checked.

    Raises:
        ArgumentError, PhotoError, LayerNotFoundError, UnsupportedOperationError: as `build_atlas`.
    """
    instance("loaded", loaded, LoadedModel).preprocess.check_images("an atlas")
    net = repeatable(net)
    engine, k, options = attached(net), whole_number("k", k), checked_options(options)
    infos = layer_infos(engine.own_graph(), engine.rules, engine.operations.rows)
    scanned = scan_layers(engine, infos, layers)
    check_k(k, _atlas_layers(engine, scanned))  # a layer without a way down is refused now, not after the scan
    source = open_photos(photos, allow_outside=options.get("allow_outside", False), suffix=options.get("suffix"))
    source.check_repeatable()
    pick = _pick(options).of_set(len(source))
    count = pick.size(len(source))
    memory = options.get("memory")
    batch = options.get("batch") or _canonical_batch(
        infos, scanned, in_bytes(_MEMORY if memory is None else memory), loaded.device
    )
    largest = max(info.channels * math.prod(info.size) for info in infos.values())
    check_fits("batch", min(batch, count), "photo", 2 * largest * 4, loaded.device)
    return Build(
        net, loaded, source, _name(photos), scanned, k, min(batch, count), pick,
        workers=options.get("workers", 0),
        engine=options.get("engine", "local"),
        ray_address=options.get("ray_address"),
        keep_signal=options.get("keep_signal", False),
        trust=options.get("trust"),
        trust_samples=options.get("trust_samples") or 0,
        report_progress=options.get("progress") or _ignore,
    )  # fmt: skip


def scan_layers(
    attached: Attachment, infos: Mapping[str, LayerInfo], layers: Sequence[str] | str
) -> tuple[LayerInfo, ...]:
    """What is scanned, in the network's order.

    Args:
        attached: the network.
        infos: of all its layers.
        layers: names; or "all" for the output of every rectifier whose units lie on maps, or are single numbers.

    Raises:
        ArgumentError: none, one twice, or a layer whose maps stand in groups.
        LayerNotFoundError: an unknown name.
    """
    if isinstance(layers, str):
        every = [name for name in rectifiers(attached.own_graph()) if len(infos[name].size) in _AXES]
        layers = every if layers == "all" else [layers]
        if not layers:
            raise ArgumentError("the network does not have a rectifier: name the layers.")
    listed = layer_names(attached, layers)
    names = set(listed)
    for name in names - infos.keys():
        value_of(attached.own_graph(), name)
    if not names or len(names) < len(listed):
        raise ArgumentError(f"layers are names, each once, or 'all'; got {short(layers)}.")
    for name in listed:
        if len(size := infos[name].size) not in _AXES:
            raise ArgumentError(
                f"a unit of {name!r} has a position of {len(size)} numbers, in {'x'.join(map(str, size))}: an atlas is "
                "of feature maps with a row and a column, and of single numbers. Take a layer below or above."
            )
    return tuple(info for name, info in infos.items() if name in names)


def tile_side(field: Sequence[int]) -> int:
    """Length of a tile's sides for a layer: twice the receptive field, within limits."""
    return min(max(2 * max(field, default=_LARGEST), _SMALLEST), _LARGEST)


def checked_options(options: Options) -> Options:
    """The options as they are worked with.

    Raises:
        ArgumentError: one is wrong.
    """
    result: Options = {**options}
    _pick(options)
    batch = options.get("batch")
    result["batch"] = None if batch is None else whole_number("batch", batch)
    most = _MOST_ACTORS if is_one_of(options.get("engine"), ("ray",)) else MOST_WORKERS
    result["workers"] = whole_number("workers", options.get("workers", 0), least=0, most=most)
    result["keep_signal"] = flag("keep_signal", options.get("keep_signal", False))
    callback("progress", options.get("progress"))
    result["trust_samples"] = _trust_samples(options)
    engine, address = options.get("engine", "local"), options.get("ray_address")
    of_ray = isinstance(address, str) and is_one_of(engine, ("ray",))
    if not is_one_of(engine, get_args(Engine)) or (address is not None and not of_ray):
        raise ArgumentError(
            f"engine is one of {get_args(Engine)}, and an address is Ray's; got {short(engine)}, {short(address)}."
        )
    return result


def _trust_samples(options: Options) -> int:
    """Of how many top activations of each map it is measured what their pictures rest on."""
    trust, samples = callback("trust", options.get("trust")), options.get("trust_samples")
    if trust is None and samples is not None:
        raise ArgumentError("trust_samples is of what trust= measures: give trust=probes.twins as well.")
    if trust is None:
        return 0
    return whole_number("trust_samples", _TRUST_SAMPLES if samples is None else samples, most=WIDEST)


def _pick(options: Options) -> Pick:
    return Pick.of(options.get("limit"), options.get("sample"), options.get("seed"))


def _canonical_batch(
    infos: Mapping[str, LayerInfo], layers: Sequence[LayerInfo], budget: int, device: torch.device
) -> int:
    """How many photos run at once, from the kind of device and the sizes of what a forward pass holds."""
    largest = max(info.channels * math.prod(info.size) for info in infos.values())
    scanned = sum(info.channels * math.prod(info.size) for info in layers)
    most = MOST_AT_ONCE if device.type == "cpu" else MOST_ON_ACCELERATOR
    return max(1, min(most, budget // (4 * (6 * largest + 2 * scanned))))


def _atlas_layers(attached: Attachment, layers: Sequence[LayerInfo]) -> tuple[AtlasLayer, ...]:
    """What an atlas says of its layers.

    Raises:
        UnsupportedOperationError: one of them lacks a way down.
    """
    graph = attached.own_graph()
    return tuple(
        AtlasLayer(
            info.name, info.channels, info.size, info.stride, info.receptive_field, tile_side(info.receptive_field),
            attached.costs(graph, info.name).way.image_free,
        )
        for info in layers
    )  # fmt: skip


def _model_source(loaded: LoadedModel, attached: Attachment) -> ModelSource:
    options: dict[str, Plain] = {name: _plain(value) for name, value in loaded.options.items()}
    spec = Path(loaded.spec).name if loaded.spec else type(attached.model).__name__
    return ModelSource(spec, options, weights_hash(attached))


def weights_hash(attached: Attachment) -> str:
    """Tells one state of a network from another: a hash of all parameters and buffers, by name, and of directions."""
    digest = hashlib.sha256()
    for name, tensor in attached.model.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            _add(digest, name, tensor)
    for each in attached.directions:
        digest.update(f"{each.name} in {each.layer}, rectified: {each.rectify}\n".encode())
        _add(digest, "weight", each.weight)
        if each.bias is not None:
            _add(digest, "bias", each.bias)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    digest.update(tensor_content(tensor.detach().cpu()))


def _libraries() -> dict[str, str]:
    """Versions of the libraries that the numbers and bytes rest on."""
    return {"torch": torch.__version__, "numpy": np.__version__, "pillow": PIL.__version__, "pyarrow": pa.__version__}


def _name(photos: Any) -> str:
    if isinstance(photos, str | Path):
        return Path(str(photos).rstrip("/")).name
    return type(photos).__name__


def _plain(value: object) -> Any:
    """A value of an option as JSON holds it, without the folder of a file."""
    if isinstance(value, str | Path):
        return Path(value).name
    if isinstance(value, Sequence):
        return tuple(_plain(part) for part in value)
    return value if isinstance(value, int | float) or value is None else str(value)


def _ignore(stage: str, done: int, total: int, skipped: int) -> None:
    """Report nothing."""
