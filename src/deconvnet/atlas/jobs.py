"""Atlases of many jobs: each scans a part of the photos, one merges the parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deconvnet._errors import ArgumentError
from deconvnet.atlas.build import finished, scanned
from deconvnet.atlas.plan import Options, Plan, Progress, prepared
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import atlas_folder, start_atlas
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.atlas.unfinished import Work, differences
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet


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
    **options: Any,
) -> None:
    """Scan a part of the photos, as one job of many; `merge_shards` makes the atlas of all parts.

    Args:
        shard: (i, n), part i of n, counted from 0.
        out: a folder for this part alone.
        net, photos, layers, k, loaded, resume: as in `build_atlas`, the same for all parts.
        options: all other options of `build_atlas`, by the same names.

    Raises:
        As `build_atlas`.
    """
    part, parts = shard
    if not 0 <= part < parts:
        raise ArgumentError(f"a shard is part i of n, i from 0 to n - 1; got {part}/{parts}.")
    folder = atlas_folder(out)
    plan = prepared(net, photos, layers, loaded, Options(k=k, **options))
    start_atlas(folder)
    work = Work(folder)
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
    folder_of_all = atlas_folder(out)
    works = {Path(folder): Work(Path(folder)) for folder in shards}
    keys = {folder: work.key() for folder, work in works.items()}
    for folder, key in keys.items():
        if key is None or "shard" not in key:
            raise ArgumentError(f"{str(folder)!r} holds no scanned part of an atlas.")
    if not keys:
        raise ArgumentError("there are no parts to merge: give their folders.")
    first = next(key for key in keys.values() if key is not None)
    options = Options(
        k=first["k"], workers=workers, limit=first["photos"]["looked at"], batch=first["batch"],
        keep_signal=first["signals kept"], progress=progress,
    )  # fmt: skip
    plan = prepared(net, photos, first["layers"], loaded, options)
    merged, skipped = _merged(plan, works, {folder: key or {} for folder, key in keys.items()})
    work = Work(folder_of_all)
    start_atlas(folder_of_all)
    work.start(plan.key(), resume=resume)
    work.save_scan(merged, plan.batches, skipped)
    return finished(plan, work, folder_of_all, merged, skipped)


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
    return range(part * plan.batches // parts, (part + 1) * plan.batches // parts)
