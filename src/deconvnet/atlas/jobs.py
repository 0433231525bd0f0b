"""Atlases of many jobs: each scans a part of the photos, one merges the parts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from deconvnet._checks import as_index, as_list, callback, file_path, flag, keywords, short
from deconvnet._errors import ArgumentError
from deconvnet._folders import differences, held
from deconvnet.atlas.build import finish_atlas, finished_atlas, scan_photos
from deconvnet.atlas.manifest import SHARD, Key, is_atlas
from deconvnet.atlas.options import Build, MeasureTwins, Options, ReportProgress, prepare
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import NAMES, atlas_folder, check_no_atlas
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.atlas.top_memory import TopMemory
from deconvnet.atlas.unfinished import Unfinished
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet

_MOST_NAMED = 20  # of parts that are missing


@dataclass(frozen=True)
class ScannedPart:
    """A part of the photos that was scanned.

    Attributes:
        photos: how many could be read.
        skipped: those that could not be.
        was_finished: nothing was left to scan: the part was finished before, and resumed.
    """

    photos: int
    skipped: tuple[SkippedPhoto, ...]
    was_finished: bool


def scan_shard(
    net: DeconvNet,
    photos: Any,
    layers: Sequence[str] | str = "all",
    k: int = 9,
    *,
    shard: tuple[int, int],
    out: str | Path,
    loaded: LoadedModel,
    resume: bool = False,
    take_over: bool = False,
    **options: Unpack[Options],
) -> ScannedPart:
    """Scan a part of the photos, as one job of many; `merge_shards` makes the atlas of all parts.

    Args:
        shard: (i, n), part i of n, counted from 0.
        out: a folder for this part alone.
        net, photos, layers, k, loaded, resume, take_over, workers, engine, ray_address, allow_outside, suffix, limit,
            sample, seed, batch, memory, keep_signal, trust, trust_samples, progress: as in `build_atlas`, the same for
            all parts. What pictures rest on is measured when the parts are merged.

    Returns:
        How many photos are in it, and those that are not.

    Raises:
        As `build_atlas`.
    """
    keywords("scan_shard", options, Options.__annotations__)
    part, parts = checked_shard(shard)
    folder, resume = atlas_folder(out), flag("resume", resume)
    build = prepare(net, photos, layers, k, loaded, options)
    check_no_atlas(folder)
    with held(folder, NAMES, take_over=take_over) as held_folder:
        Unfinished(folder).start(held_folder, replace(build.key(), shard=f"{part}/{parts}"), resume=resume)
        of_part = _photos_of_shard(build, part, parts)
        _, skipped, scanned = scan_photos(build, held_folder, of_part)
    return ScannedPart(len(of_part) - len(skipped), tuple(skipped), was_finished=not scanned)


def merge_shards(
    net: DeconvNet,
    photos: Any,
    shards: Sequence[str | Path],
    *,
    out: str | Path,
    loaded: LoadedModel,
    workers: int = 0,
    allow_outside: bool = False,
    suffix: str | None = None,
    resume: bool = False,
    take_over: bool = False,
    trust: MeasureTwins | None = None,
    progress: ReportProgress | None = None,
) -> Atlas:
    """The atlas of photos that `scan_shard` scanned in parts. It has the bytes of one that was scanned at once.

    Args:
        net, photos, loaded, workers, allow_outside, suffix, resume, take_over, progress: as in `build_atlas`; the same
            network and photos as for the parts, because nothing that a folder says is ever loaded.
        shards: the folders of all parts, in any order; they stay as they are.
        out: folder of the atlas.
        trust: as in `build_atlas`, if the parts were scanned with it; it is not used otherwise.

    Raises:
        ArgumentError: parts are missing, listed twice, unfinished, or of something else.
        As `build_atlas`.
    """
    folder, resume = atlas_folder(out), flag("resume", resume)
    listed = as_list(shards)
    if listed is None:
        raise ArgumentError(f"shards is a list of folders; got {short(shards)}.")
    folders = [file_path("a folder of shards", shard) for shard in listed]
    if not folders:
        raise ArgumentError("the list of parts to merge is empty: give their folders.")
    twice = [shard for shard, count in Counter(folders).items() if count > 1]
    if twice:
        raise ArgumentError(f"{str(twice[0])!r} is listed twice. Give the folder of each part once.")
    keys = {shard: _key_of_shard(shard) for shard in folders}
    key = next(iter(keys.values()))
    pick = key.photos.pick
    if callback("trust", trust) is None and key.trust_samples:
        raise ArgumentError("the parts were scanned with trust=: give trust=probes.twins here as well.")
    options: Options = {
        "workers": workers, "limit": pick.limit, "sample": pick.sample, "seed": pick.seed if pick.sample else None,
        "batch": key.batch, "keep_signal": key.signals_kept, "progress": progress, "allow_outside": allow_outside,
        "suffix": suffix, **({"trust": trust, "trust_samples": key.trust_samples} if key.trust_samples else {}),
    }  # fmt: skip
    build = prepare(net, photos, key.layers, key.k, loaded, options)
    _check_parts(build, keys)
    if resume and is_atlas(folder):
        return finished_atlas(build, folder, take_over=take_over)
    check_no_atlas(folder)
    scan, skipped = _merged(build, keys)
    with held(folder, NAMES, take_over=take_over) as held_folder:
        unfinished = Unfinished(folder)
        unfinished.start(held_folder, build.key(), resume=resume)
        unfinished.save_scan(held_folder, scan, build.batches, skipped)
        memory = TopMemory.of(build.attached, build.layers, build.k)
        return finish_atlas(build, held_folder, scan, skipped, memory)


def checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """Part i of n, checked.

    Raises:
        ArgumentError: it is not.
    """
    part, parts = (as_index(value) for value in ((as_list(shard) or []) + [None] * 2)[:2])
    if part is None or parts is None or not 0 <= part < parts or len(shard) != 2:
        raise ArgumentError(f"a shard is part i of n, i from 0 to n - 1; got {short(shard)}.")
    if not SHARD.fullmatch(f"{part}/{parts}"):
        raise ArgumentError(f"a shard is part i of n, each of nine digits at most; got {short(shard)}.")
    return part, parts


def _key_of_shard(folder: Path) -> Key:
    key = Unfinished(folder).key()
    if key is None or key.shard is None:
        raise ArgumentError(f"{str(folder)!r} does not hold a scanned part of an atlas.")
    return key


def _check_parts(build: Build, keys: Mapping[Path, Key]) -> None:
    """Raise unless these are the keys of all parts of an atlas.

    Raises:
        ArgumentError: they are not.
    """
    folder_of = dict[int, Path]()
    _, parts = next(iter(keys.values())).part()
    for folder, key in keys.items():
        part, parts_here = key.part()
        if parts_here != parts:
            raise ArgumentError(f"{str(folder)!r} holds part {key.shard}, but another folder holds one of {parts}.")
        changed = differences(asdict(replace(key, shard=None)), asdict(build.key()))
        if changed:
            raise ArgumentError(f"the part in {str(folder)!r} was scanned with {'; '.join(changed)}.")
        if part in folder_of:
            raise ArgumentError(f"{str(folder_of[part])!r} and {str(folder)!r} both hold part {key.shard}.")
        folder_of[part] = folder
    count = parts - len(folder_of)
    if count:
        absent = ", ".join(map(str, islice((part for part in range(parts) if part not in folder_of), _MOST_NAMED)))
        raise ArgumentError(f"{count} of {parts} parts are missing: {absent}{', ...' if count > _MOST_NAMED else ''}.")


def _merged(build: Build, keys: Mapping[Path, Key]) -> tuple[Scan, list[SkippedPhoto]]:
    """The scans of all parts as one, and the photos that could not be read."""
    merged, skipped = Scan(build.layers, build.k), list[SkippedPhoto]()
    for folder, key in keys.items():
        photos = _photos_of_shard(build, *key.part())
        scan, done, skipped_of_part = Unfinished(folder).load_scan(build.layers, build.k, photos, build.batch)
        if done * build.batch < len(photos):
            raise ArgumentError(f"the part in {str(folder)!r} is unfinished: run it again with --resume.")
        merged.merge(scan)
        skipped += skipped_of_part
    return merged, sorted(skipped, key=lambda photo: photo.index)


def _photos_of_shard(build: Build, part: int, parts: int) -> NDArray[np.int64]:
    """Indices of the photos of a part, which is so many whole batches."""
    first, last = (index * build.batches // parts * build.batch for index in (part, part + 1))
    return build.pick.indices(len(build.photos))[first:last]
