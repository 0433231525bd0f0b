"""Building an atlas: scan all photos, carry the winners down, write what was found."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet._errors import PhotoError
from deconvnet.atlas.manifest import is_atlas
from deconvnet.atlas.plan import Engine, Options, Plan, Progress, prepared
from deconvnet.atlas.project import project_winners
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import atlas_folder, start_atlas
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.atlas.unfinished import Work
from deconvnet.atlas.winner_memory import KeptWinners
from deconvnet.atlas.winners import winners
from deconvnet.atlas.write import write_atlas
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.batches import Job, Skipped, batches

_SAVE_SECONDS, _SAVE_PHOTOS = 60, 1000


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
        out: folder of the atlas; made if need be. One that holds anything else is refused.
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
        progress: called with a stage ("scan", "project", "write"), how much of how much is done, and in a scan how
            many photos could not be read.

    Returns:
        The finished atlas.

    Raises:
        ArgumentError: wrong arguments; `out` holds an atlas, or an unfinished one without `resume`, or one of
            something else, or files that are not of an atlas.
        PhotoError: no photos, or none that can be read. Single ones that cannot be are listed in the atlas.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    options = Options(
        k=k, workers=workers, engine=engine, ray_address=ray_address, limit=limit, batch=batch, memory=memory,
        keep_signal=keep_signal, progress=progress,
    )  # fmt: skip
    folder = atlas_folder(out)
    plan, work = prepared(net, photos, layers, loaded, options), Work(folder)
    if resume and is_atlas(folder) and work.is_left():
        work.remove()  # all but this was done
        return Atlas.open(folder)
    start_atlas(folder)
    work.start(plan.key(), resume=resume)
    keep = plan.kept if plan.kept is not None and plan.kept.pays(plan.count) else None
    scan, skipped = scanned(plan, work, range(plan.batches), keep)
    return finished(plan, work, folder, scan, skipped)


def scanned(plan: Plan, work: Work, numbers: range, keep: KeptWinners | None = None) -> tuple[Scan, list[SkippedPhoto]]:
    """The scan of some of the batches, from where it was left, saved now and then; here winners can be kept."""
    scan, done, skipped = work.load_scan(plan.layers, plan.k)
    left = numbers[done:]
    indices = np.arange(left.start * plan.batch, min(left.stop * plan.batch, plan.count)) if left else np.arange(0)
    saved, unsaved = time.monotonic(), 0
    total = min(numbers.stop * plan.batch, plan.count) - numbers.start * plan.batch
    plan.tell("scan", min(done * plan.batch, total), total, len(skipped))
    with closing(_scanning(plan, scan, indices, keep)) as scanning:
        for not_read in scanning:
            skipped += [SkippedPhoto(i, plan.photos.name(i), reason) for i, reason in not_read]
            done += 1
            unsaved += plan.batch
            plan.tell("scan", min(done * plan.batch, total), total, len(skipped))
            if unsaved >= _SAVE_PHOTOS or time.monotonic() - saved > _SAVE_SECONDS:
                work.save_scan(scan, done, skipped)
                saved, unsaved = time.monotonic(), 0
    work.save_scan(scan, done, skipped)
    return scan, skipped


def _scanning(
    plan: Plan, scan: Scan, indices: NDArray[np.int64], keep: KeptWinners | None
) -> Generator[Skipped, None, None]:
    """Adds batch after batch to the scan, and says of each which photos could not be read."""
    if plan.options.engine == "ray":
        from deconvnet.atlas.ray_engine import scanning_on_ray

        job = Job(plan.photos, indices, plan.loaded.preprocess, plan.batch)
        yield from scanning_on_ray(
            scan, plan.net, plan.loaded, job, workers=plan.options.workers, address=plan.options.ray_address
        )
        return
    like = plan.loaded.example_input
    for read in batches(plan.photos, indices, plan.loaded.preprocess, plan.batch, workers=plan.options.workers):
        scan.add(plan.net, read.images.to(like), read.slots.tolist(), read.indices.tolist(), keep)
        yield read.skipped


def finished(plan: Plan, work: Work, folder: Path, scan: Scan, skipped: Sequence[SkippedPhoto]) -> Atlas:
    """The atlas, once all photos are scanned: the winners carried down, and all that was found written."""
    if len(skipped) == plan.count:
        raise PhotoError(f"none of the {plan.count} photos can be read; the first: {skipped[0].reason}")
    found = winners(scan)
    with work.tiles() as tiles:
        project_winners(plan, tiles, found, scan)
        write_atlas(plan, tiles, folder, scan, found, skipped)
    work.remove()
    return Atlas.open(folder)
