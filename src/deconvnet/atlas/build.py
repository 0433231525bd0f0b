"""Building an atlas: scan all photos, carry the winners down, write what was found."""

import hashlib
import io
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import PIL
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet._types import LayerInfo, Unit
from deconvnet._version import __version__
from deconvnet.atlas import manifest as about
from deconvnet.atlas.batches import Job, Skipped, batches
from deconvnet.atlas.kept_winners import KeptWinners, Winner
from deconvnet.atlas.manifest import FORMAT_VERSION, MANIFEST, AtlasLayer, Counts, Manifest, ModelSource, write_manifest
from deconvnet.atlas.photos import PhotoSet, open_photos
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import MOST_AT_ONCE, Scan, ScanLayer, scan_layers
from deconvnet.atlas.store import Signals, start_atlas, write_signals, write_strip
from deconvnet.atlas.tables import SkippedPhoto, write_skipped, write_stats, write_top
from deconvnet.atlas.winners import as_png, batches_of, shown, tile_side, winners
from deconvnet.atlas.work import Tile, Tiles, Work, differences
from deconvnet.budget import in_bytes
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.preprocess import Photo
from deconvnet.reconstruction import Reconstruction

_SAVE_SECONDS, _SAVE_PHOTOS = 60, 1000
_STRIPS = 64  # feature maps whose pictures are in memory at once
_TOGETHER = 32  # photos whose winners go down together, where they can be kept
_MEMORY = (
    "2GB"  # for a batch, and again for what is kept; not what is free, so that every machine chooses the same batch
)

Progress = Callable[[str, int, int], object]
Engine = Literal["local", "ray"]


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
        k: activations kept of each feature map.
        batch: photos in each forward pass, for all of the atlas.
        count: photos of the set that are looked at, from the first.
        keep_signal: signals are kept besides the pictures.
        workers: processes that read photos; on Ray, those that run the network.
        engine: where the photos are scanned.
        ray_address: of the Ray cluster.
        tell: called with a stage, and how much of how much is done.
    """

    net: DeconvNet
    loaded: LoadedModel
    photos: PhotoSet
    name: str
    layers: tuple[ScanLayer, ...]
    infos: Mapping[str, LayerInfo]
    k: int
    batch: int
    count: int
    keep_signal: bool
    workers: int
    engine: Engine
    ray_address: str | None
    tell: Progress

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
            "signals kept": self.keep_signal,
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


def build_atlas(
    net: DeconvNet,
    photos: Any,
    layers: Sequence[str] | str = "all",
    k: int = 9,
    *,
    out: str | Path,
    loaded: LoadedModel,
    workers: int = 0,
    engine: Engine = "local",
    ray_address: str | None = None,
    resume: bool = False,
    limit: int | None = None,
    batch: int | None = None,
    memory: str | int | None = None,
    keep_signal: bool = False,
    progress: Progress | None = None,
) -> Atlas:
    """What every feature map of some layers looks for, over a set of photos (figure 2 of the paper).

    Of each feature map the k strongest activations over all photos, one of each photo, carried down alone, beside
    their patches; and statistics. One forward pass over all photos; one more over those that hold a winner, unless
    what their ways down need could be kept of the first.

    Args:
        net: the network, and the way down.
        photos: a folder, list, tar shards, Parquet, URL, `Dataset` or sequence; see `open_photos`.
        layers: names; "all" for the output of every rectifier.
        k: activations kept of each feature map.
        out: folder of the atlas; made if need be.
        loaded: how photos become the network's input.
        workers: processes that read photos. On Ray, which reads photos wherever it has room, processes that run
            the network, each on one core or GPU; 0 is one.
        engine: "local", or "ray" to scan on Ray Data (the extra `ray`). The result is the same.
        ray_address: host:port of a Ray cluster, "auto" for the one of this machine. Otherwise the one in use, or in
            the environment variable RAY_ADDRESS, or else one that is started for the scan, on this machine alone.
        resume: go on with what an interrupted run left in `out`. The result is that of an uninterrupted run.
        limit: look at so many photos only, from the first.
        batch: photos in each forward pass. It is part of the result's last bits, so it is the same for all of it;
            by default as many as `memory` allows, 8 at most.
        memory: for a batch, such as "2GB" (the default).
        keep_signal: keep the signed signals as well, in half precision.
        progress: called with a stage ("scan", "project", "write"), and how much of how much is done.

    Returns:
        The finished atlas.

    Raises:
        ArgumentError: wrong arguments; `out` holds an atlas, or an unfinished one without `resume`, or one of
            something else.
        PhotoError: no photos, or none that can be read. Single ones that cannot be are listed in the atlas.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    plan = prepared(
        net, photos, layers, k, loaded, workers, limit, batch, memory, keep_signal, progress, engine, ray_address
    )  # fmt: skip
    folder, work = Path(out), Work(Path(out))
    if resume and (folder / MANIFEST).is_file() and work.key() is not None:
        work.remove()  # all but this was done
        return Atlas.open(folder)
    start_atlas(folder)
    work.start(plan.key(), resume=resume)
    keep = kept_winners(plan)
    worth = keep is not None and keep.pays(plan.count)
    scan, skipped = scanned(plan, work, range(math.ceil(plan.count / plan.batch)), keep if worth else None)
    return finished(plan, work, folder, scan, skipped, keep)


def scan_shard(
    net: DeconvNet,
    photos: Any,
    layers: Sequence[str] | str = "all",
    k: int = 9,
    *,
    shard: tuple[int, int],
    out: str | Path,
    loaded: LoadedModel,
    workers: int = 0,
    engine: Engine = "local",
    ray_address: str | None = None,
    resume: bool = False,
    limit: int | None = None,
    batch: int | None = None,
    memory: str | int | None = None,
    keep_signal: bool = False,
    progress: Progress | None = None,
) -> None:
    """Scan a part of the photos, as one job of many; `merge_shards` makes the atlas of all parts.

    Args:
        shard: (i, n), part i of n, counted from 0.
        out: a folder for this part alone.
        net, photos, layers, k, loaded, workers, engine, ray_address, resume, limit, batch, memory, keep_signal,
            progress: as in `build_atlas`, the same for all parts.

    Raises:
        As `build_atlas`.
    """
    part, parts = shard
    if not 0 <= part < parts:
        raise ArgumentError(f"a shard is part i of n, i from 0 to n - 1; got {part}/{parts}.")
    plan = prepared(
        net, photos, layers, k, loaded, workers, limit, batch, memory, keep_signal, progress, engine, ray_address
    )  # fmt: skip
    start_atlas(Path(out))
    work = Work(Path(out))
    work.start({**plan.key(), "shard": f"{part}/{parts}"}, resume=resume)
    scanned(plan, work, _batches_of_shard(plan, part, parts))


def merge_shards(
    net: DeconvNet,
    photos: Any,
    shards: Sequence[str | Path],
    *,
    out: str | Path,
    loaded: LoadedModel,
    workers: int = 0,
    resume: bool = False,
    progress: Progress | None = None,
) -> Atlas:
    """The atlas of photos that `scan_shard` scanned in parts. It has the bytes of one that was scanned at once.

    Args:
        net, photos, loaded, workers, resume, progress: as in `build_atlas`; the same network and photos as for the
            parts, because what a folder says is never loaded.
        shards: the folders of all parts, in any order; they stay as they are.
        out: folder of the atlas.

    Raises:
        ArgumentError: parts are missing, twice there, unfinished, or of something else.
        As `build_atlas`.
    """
    works = {Path(folder): Work(Path(folder)) for folder in shards}
    keys = {folder: work.key() for folder, work in works.items()}
    for folder, key in keys.items():
        if key is None or "shard" not in key:
            raise ArgumentError(f"{str(folder)!r} holds no scanned part of an atlas.")
    if not keys:
        raise ArgumentError("there are no parts to merge: give their folders.")
    first = next(key for key in keys.values() if key is not None)
    plan = prepared(
        net, photos, first["layers"], first["k"], loaded, workers, first["photos"]["looked at"], first["batch"], None,
        first["signals kept"], progress,
    )  # fmt: skip
    merged, skipped = _merged(plan, works, {folder: key or {} for folder, key in keys.items()})
    folder, work = Path(out), Work(Path(out))
    start_atlas(folder)
    work.start(plan.key(), resume=resume)
    work.save_scan(merged, math.ceil(plan.count / plan.batch), skipped)
    return finished(plan, work, folder, merged, skipped, kept_winners(plan))


def _merged(
    plan: Plan, works: Mapping[Path, Work], keys: Mapping[Path, Mapping[str, Any]]
) -> tuple[Scan, list[SkippedPhoto]]:
    """The scans of all parts as one, and the photos that could not be read."""
    merged, skipped, seen = Scan(plan.layers, plan.k), [], dict[int, Path]()
    parts = int(next(iter(keys.values()))["shard"].split("/")[1])
    for folder, key in keys.items():
        part, of = map(int, key["shard"].split("/"))
        if of != parts:
            raise ArgumentError(f"{str(folder)!r} holds part {key['shard']}, and another is one of {parts}.")
        changed = differences({name: value for name, value in key.items() if name != "shard"}, plan.key())
        if changed:
            raise ArgumentError(f"the part in {str(folder)!r} was scanned with {'; '.join(changed)}.")
        if part in seen:
            raise ArgumentError(f"part {key['shard']} is there twice: in {str(seen[part])!r} and {str(folder)!r}.")
        seen[part] = folder
        scan, done, not_read = works[folder].load_scan(plan.layers, plan.k)
        if done < len(_batches_of_shard(plan, part, parts)):
            raise ArgumentError(f"the part in {str(folder)!r} is unfinished: run it again with --resume.")
        merged.merge(scan)
        skipped += not_read
    lacking = [i for i in range(parts) if i not in seen]
    if lacking:
        raise ArgumentError(f"{len(lacking)} of {parts} parts are missing: {', '.join(map(str, lacking[:20]))}.")
    return merged, sorted(skipped, key=lambda one: one.index)


def _batches_of_shard(plan: Plan, part: int, parts: int) -> range:
    count = math.ceil(plan.count / plan.batch)
    return range(part * count // parts, (part + 1) * count // parts)


def prepared(
    net: DeconvNet,
    photos: Any,
    layers: Sequence[str] | str,
    k: int,
    loaded: LoadedModel,
    workers: int,
    limit: int | None,
    batch: int | None,
    memory: str | int | None,
    keep_signal: bool,
    progress: Progress | None,
    engine: Engine = "local",
    ray_address: str | None = None,
) -> Plan:
    """The arguments of `build_atlas`, checked, as a plan."""
    for name, value in (("k", k), ("limit", limit), ("batch", batch)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ArgumentError(f"{name} is a whole number, 1 or more; got {value!r}.")
    if engine not in get_args(Engine) or (ray_address is not None and engine != "ray"):
        raise ArgumentError(
            f"engine is one of {get_args(Engine)}, and an address is Ray's; got {engine!r}, {ray_address!r}."
        )
    of_layers = scan_layers(net, layers)
    infos = net.layers
    for layer in of_layers:
        net.plan(layer.name)  # refused now rather than after the scan
    source = photos if isinstance(photos, PhotoSet) else open_photos(photos)
    count = min(limit or len(source), len(source))
    size = min(batch or canonical_batch(infos, of_layers, in_bytes(memory or _MEMORY)), count)
    return Plan(
        net, loaded, source, _name(photos), of_layers, {one.name: infos[one.name] for one in of_layers}, k, size,
        count, keep_signal, workers, engine, ray_address, progress or (lambda stage, done, total: None),
    )  # fmt: skip


def canonical_batch(infos: Mapping[str, LayerInfo], layers: Sequence[ScanLayer], budget: int) -> int:
    """How many photos run at once, from the sizes of what a forward pass holds."""
    largest = max(info.channels * math.prod(info.size) for info in infos.values())
    kept = sum(layer.channels * layer.positions for layer in layers)
    return max(1, min(MOST_AT_ONCE, budget // (4 * (6 * largest + 2 * kept))))


def kept_winners(plan: Plan) -> KeptWinners | None:
    """Room for what the winners' ways down need, if all of them run in windows that fit the budget.

    It is a property of the plan, because winners that are kept go down in other batches than those that are not.
    """
    return KeptWinners.of(plan.net, plan.infos, plan.k, in_bytes(_MEMORY))


def scanned(plan: Plan, work: Work, numbers: range, keep: KeptWinners | None = None) -> tuple[Scan, list[SkippedPhoto]]:
    """The scan of some of the batches, from where it was left, saved now and then; here winners can be kept."""
    scan, done, skipped = work.load_scan(plan.layers, plan.k)
    left = numbers[done:]
    indices = np.arange(left.start * plan.batch, min(left.stop * plan.batch, plan.count)) if left else np.arange(0)
    saved, unsaved = time.monotonic(), 0
    before = min(done * plan.batch, plan.count)
    total = min(numbers.stop * plan.batch, plan.count) - numbers.start * plan.batch
    plan.tell("scan", before, total)
    with closing(_scanning(plan, scan, indices, keep)) as scanning:
        for not_read in scanning:
            skipped += [SkippedPhoto(i, plan.photos.name(i), reason) for i, reason in not_read]
            done += 1
            unsaved += plan.batch
            plan.tell("scan", min(done * plan.batch, total), total)
            if unsaved >= _SAVE_PHOTOS or time.monotonic() - saved > _SAVE_SECONDS:
                work.save_scan(scan, done, skipped)
                saved, unsaved = time.monotonic(), 0
    work.save_scan(scan, done, skipped)
    return scan, skipped


def _scanning(
    plan: Plan, scan: Scan, indices: NDArray[np.int64], keep: KeptWinners | None
) -> Generator[Skipped, None, None]:
    """Adds batch after batch to the scan, and says of each which photos could not be read."""
    if plan.engine == "ray":
        from deconvnet.atlas.ray_engine import scanning_on_ray

        job = Job(plan.photos, indices, plan.loaded.preprocess, plan.batch)
        yield from scanning_on_ray(scan, plan.net, plan.loaded, job, workers=plan.workers, address=plan.ray_address)
        return
    like = plan.loaded.example_input
    for read in batches(plan.photos, indices, plan.loaded.preprocess, plan.batch, workers=plan.workers):
        scan.add(plan.net, read.images.to(like), read.slots.tolist(), read.indices.tolist(), keep)
        yield read.skipped


def finished(
    plan: Plan, work: Work, folder: Path, scan: Scan, skipped: Sequence[SkippedPhoto], keep: KeptWinners | None
) -> Atlas:
    """The atlas, once all photos are scanned: the winners carried down, and all that was found written."""
    if len(skipped) == plan.count:
        raise PhotoError(f"none of the {plan.count} photos can be read; the first: {skipped[0].reason}")
    found = winners(scan)
    with work.tiles() as tiles:
        _project(plan, tiles, found, scan, keep)
        _write(plan, tiles, folder, scan, found, skipped)
    work.remove()
    return Atlas.open(folder)


def _project(plan: Plan, tiles: Tiles, found: Sequence[Winner], scan: Scan, keep: KeptWinners | None) -> None:
    """Make the pictures of the winners, each photo read once, and run where not all of its winners were kept."""
    together = plan.batch * max(1, _TOGETHER // plan.batch) if keep else plan.batch
    parts = batches_of(found, together)
    done, number_of = tiles.done(), {layer.name: number for number, layer in enumerate(plan.layers)}
    sides = {layer.name: tile_side(plan.infos[layer.name].receptive_field) for layer in plan.layers}
    for number, (photos, batch) in enumerate(parts):
        plan.tell("project", number, len(parts))
        if number in done:
            continue
        read = {photo: plan.photos.read(photo) for photo in photos}
        results = _carried(plan, read, batch, scan, keep)
        rows = []
        for one in shown(results, plan.loaded.preprocess, read, batch, sides):
            window = _packed(one.window, one.low) if plan.keep_signal else None
            picture = Tile(one.winner.rank, one.box, as_png(one.signal), as_png(one.patch), window)
            rows.append((number_of[one.winner.layer], one.winner.channel, picture))
        tiles.add(number, rows)
    plan.tell("project", len(parts), len(parts))


def _carried(
    plan: Plan, photos: Mapping[int, Photo], batch: Sequence[Winner], scan: Scan, keep: KeptWinners | None
) -> dict[str, Reconstruction]:
    """The winners of some photos, carried down."""
    if keep is None:
        slots = {photo: slot for slot, photo in enumerate(photos)}
        units = [Unit(one.layer, one.channel, one.position, slots[one.photo]) for one in batch]
        return plan.net.project_units(_batch(plan, list(photos.values())), units)
    numbers = list(photos)
    for some in (numbers[first : first + plan.batch] for first in range(0, len(numbers), plan.batch)):
        if keep.lacks([one for one in batch if one.photo in some]):
            x = _batch(plan, [photos[photo] for photo in some])
            trace = plan.net.watched(x, list(scan.tallies), lambda *_: None, keep.rooms)
            keep.take(trace, scan.rankings, range(len(some)), some)
    return keep.project(batch)


def _batch(plan: Plan, photos: Sequence[Photo]) -> torch.Tensor:
    """Photos as the network takes them, of the canonical size."""
    like = plan.loaded.example_input
    x = like.new_zeros(plan.batch, *like.shape[1:])
    x[: len(photos)] = plan.loaded.preprocess.images(list(photos)).to(like)
    return x


def _packed(window: torch.Tensor, low: Sequence[int]) -> bytes:
    """A signal as bytes: low corner, shape, values."""
    return np.array([*low, *window.shape], np.int32).tobytes() + window.float().cpu().numpy().tobytes()


def _write(
    plan: Plan,
    tiles: Tiles,
    folder: Path,
    scan: Scan,
    found: Sequence[Winner],
    skipped: Sequence[SkippedPhoto],
) -> None:
    """Write strips, tables, signals, and last the manifest."""
    of_map = {(one.layer, one.channel, one.rank): one for one in found}
    rows: list[tuple[Any, ...]] = []
    layers = tuple(plan.atlas_layer(layer.name) for layer in plan.layers)
    for number, layer in enumerate(layers):
        plan.tell("write", number, len(layers))
        windows = []
        for channel, pictures in _with_strips(folder, layer, number, tiles):
            for picture in pictures:
                one = of_map[layer.name, channel, picture.rank]
                y, x = one.position or (-1, -1)
                place = (layer.name, channel, picture.rank, one.activation, plan.photos.name(one.photo), one.photo)
                rows.append((*place, y, x, *picture.box.low, *picture.box.high))
            windows += [picture.window for picture in pictures if picture.window is not None]
        if plan.keep_signal and windows:
            write_signals(folder, layer.name, _unpacked(windows))
    names = ("layer", "channel", "rank", "activation", "image", "index", "y", "x", "top", "left", "bottom", "right")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    write_top(folder, layers, plan.k, columns)
    write_stats(folder, layers, _statistics(scan))
    write_skipped(folder, skipped)
    plan.tell("write", len(layers), len(layers))
    write_manifest(folder, plan.manifest(len(skipped)))


def _with_strips(folder: Path, layer: AtlasLayer, number: int, tiles: Tiles) -> Iterator[tuple[int, list[Tile]]]:
    """Each feature map of a layer and its pictures, whose strips are written; several at once, as WebP takes long."""

    def write(channel: int, pictures: list[Tile]) -> None:
        if pictures:
            write_strip(folder, layer, channel, "signal", _strip([one.signal for one in pictures], layer.tile))
            write_strip(folder, layer, channel, "patch", _strip([one.patch for one in pictures], layer.tile))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, layer.channels, _STRIPS):
            channels = range(first, min(first + _STRIPS, layer.channels))
            found = [tiles.of_map(number, channel) for channel in channels]
            list(pool.map(write, channels, found))
            yield from zip(channels, found, strict=True)


def _strip(pictures: Sequence[bytes], side: int) -> Image.Image:
    strip = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        with Image.open(io.BytesIO(picture)) as opened:
            strip.paste(opened, (i * side, 0))
    return strip


def _unpacked(windows: Sequence[bytes]) -> Signals:
    """The signals of a layer, all of one shape."""
    heads = np.stack([np.frombuffer(one, np.int32, 5) for one in windows])
    values = np.stack([np.frombuffer(one, np.float32, offset=20) for one in windows])
    return Signals.of(values.reshape(len(windows), *heads[0, 2:]), heads[:, :2])


def _statistics(scan: Scan) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    for layer in scan.layers:
        of = scan.tallies[layer.name].statistics()
        q10, q50, q90, q99 = of.quantiles.T
        part = {
            "layer": [layer.name] * layer.channels, "channel": range(layer.channels),
            "photos": [of.photos] * layer.channels, "mean": of.mean, "max": of.largest, "active": of.active,
            "q10": q10, "q50": q50, "q90": q90, "q99": q99, "dead": of.largest <= 0,
        }  # fmt: skip
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return columns


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
