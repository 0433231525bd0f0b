"""Building an atlas: scan all photos, carry the top units down, write the result."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from deconvnet._checks import flag, keywords
from deconvnet._errors import PhotoError
from deconvnet._files import is_folder
from deconvnet._folders import Held, Saves, check_resumed, has_unfinished, held
from deconvnet.atlas.manifest import is_atlas, key_of
from deconvnet.atlas.options import Build, Options, prepare
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.scan import Scan
from deconvnet.atlas.store import NAMES, atlas_folder, check_no_atlas, signals_folder
from deconvnet.atlas.tables import SkippedPhoto
from deconvnet.atlas.top_memory import TopMemory
from deconvnet.atlas.top_pictures import draw_top_units
from deconvnet.atlas.top_trust import measure_top_units
from deconvnet.atlas.unfinished import Unfinished
from deconvnet.atlas.write import write_atlas
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet
from deconvnet.photos.batches import Job, Skipped, batches

_SAVE_SECONDS = 5


def build_atlas(
    net: DeconvNet,
    photos: Any,
    layers: Sequence[str] | str = "all",
    k: int = 9,
    *,
    out: str | Path,
    loaded: LoadedModel,
    resume: bool = False,
    take_over: bool = False,
    **options: Unpack[Options],
) -> Atlas:
    """What every feature map of some layers looks for, over a set of photos (figure 2 of the paper).

    Of each feature map the k top activations over all photos, one of each photo, carried down alone, beside their
    patches; and statistics. One forward pass over all photos; one more over those that hold a top activation, unless
    what their ways down need could be kept of the first.

    Args:
        net: the network, and the way down.
        photos: a folder, list, tar shards, Parquet, URL, `Dataset` or sequence; see `open_photos`.
        layers: names; "all" for the output of every rectifier.
        k: activations kept of each feature map.
        out: folder of the atlas; made if need be. One that holds anything else is refused.
        loaded: how photos become the network's input.
        resume: go on with what an interrupted run left in `out`; the result is that of an uninterrupted run. A
            finished atlas of the same options is returned as it is.
        take_over: take the place of a run on another machine that has not ended properly; only where it is known to be
            gone. A killed run on this machine is recognised and replaced with a warning.
        workers: processes that read photos and draw pictures, 0 (the default) or more. On Ray, which reads photos
            wherever it has room, processes that run the network, each on one core or GPU; 0 is one.
        engine: "local" (the default), or "ray" to scan on Ray Data (the extra `ray`). The result is the same.
        ray_address: host:port of a Ray cluster, "auto" for the one of this machine. Otherwise the one in use, or in
            the environment variable RAY_ADDRESS, or else one that is started for the scan, on this machine alone.
        allow_outside, suffix: as in `open_photos`.
        limit: use at most this many photos, evenly spaced in the set, which often lies class by class.
        sample: use at most this many photos, drawn at random, in place of `limit`.
        seed: of the sample; 0 if none is given.
        batch: photos in each forward pass. It is part of the result's last bits, so it is the same for all of it;
            by default as many as `memory` allows, 8 at most on a CPU and 64 on an accelerator.
        memory: for a batch, such as "2GB" (the default).
        keep_signal: keep the signed signals as well, in half precision.
        trust: `probes.twins`, to measure what pictures rest on: how alike they are to those of another unit at the same
            position, and of the same unit in another photo. `Atlas.trust` has it.
        trust_samples: top activations of each map that are measured, evenly spaced over their ranks; 3 by default.
        progress: called with a stage ("scan", "project", "trust", "write"), how much of how much is done, and in a scan
            how many photos could not be read.

    Returns:
        The finished atlas.

    Raises:
        ArgumentError: wrong arguments, or a `trust` that returns something else; `out` holds an atlas or an unfinished
            one, without `resume` or of other options, or files that are not of an atlas; or another run is at work in
            it.
        AtlasError: what an interrupted run left is damaged.
        PhotoError: no photos, or none that can be read; if only some cannot be, the atlas lists them. Or a photo that
            has changed when it is read again, for its pictures or to go on with an interrupted scan.
        LayerNotFoundError, UnsupportedOperationError, NotFiniteError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    keywords("build_atlas", options, Options.__annotations__)
    folder, resume = atlas_folder(out), flag("resume", resume)
    build = prepare(net, photos, layers, k, loaded, options)
    if resume and is_atlas(folder):
        return finished_atlas(build, folder, take_over=take_over)
    check_no_atlas(folder)
    with held(folder, NAMES, take_over=take_over) as held_folder:
        unfinished = Unfinished(folder)
        unfinished.start(held_folder, build.key(), resume=resume)
        memory = TopMemory.of(build.attached, build.layers, build.k)
        beside_scan = memory if memory is not None and memory.pays(build.count) else None
        scan, skipped, _ = scan_photos(build, held_folder, build.pick.indices(len(build.photos)), beside_scan)
        return finish_atlas(build, held_folder, scan, skipped, memory)


def scan_photos(
    build: Build, held_folder: Held, of_scan: NDArray[np.int64], memory: TopMemory | None = None
) -> tuple[Scan, list[SkippedPhoto], bool]:
    """The scan of these photos, resumed and saved now and then; what could not be read; whether any photo was left.

    Args:
        build: what is built.
        held_folder: of the atlas, where the scan is saved.
        of_scan: indices of the photos.
        memory: filled beside the scan.
    """
    unfinished = Unfinished(held_folder.folder)
    device = build.loaded.device if build.engine == "local" else "cpu"
    scan, done, skipped = unfinished.load_scan(build.layers, build.k, of_scan, build.batch, device)
    scan.digests.check(build.photos)
    count, photos = len(of_scan), of_scan[done * build.batch :]
    build.report_progress("scan", count - len(photos), count, len(skipped))
    if done and not len(photos):
        return scan, skipped, False
    saves = Saves(_SAVE_SECONDS)

    def save() -> None:
        scan.check()
        unfinished.save_scan(held_folder, scan, done, skipped)

    with closing(_scan(build, scan, photos, memory)) as skipped_of_batches:
        for skipped_of_batch in skipped_of_batches:
            skipped += [SkippedPhoto(i, build.photos.name(i), reason) for i, reason in skipped_of_batch]
            done += 1
            build.report_progress("scan", min(done * build.batch, count), count, len(skipped))
            if saves.due:
                saves.save(save)
    save()
    return scan, skipped, True


def _scan(
    build: Build, scan: Scan, photos: NDArray[np.int64], memory: TopMemory | None
) -> Generator[Skipped, None, None]:
    """Add batch after batch to the scan, and yield of each the photos that could not be read."""
    if build.engine == "ray":
        from deconvnet.atlas.ray_engine import scan_on_ray

        job = Job(build.photos, photos, build.loaded.preprocess, build.batch)
        yield from scan_on_ray(scan, build, job)
        return
    remember = None if memory is None else memory.remember
    options: dict[str, Any] = {"workers": build.workers, "device": build.loaded.device}
    for batch in batches(build.photos, photos, build.loaded.preprocess, build.batch, **options):
        slots, indices = batch.slots.tolist(), batch.indices.tolist()
        scan.digests.add(indices, batch.digests)
        trace = scan.add(build.attached, batch.images.to(build.loaded.example_input), slots, indices, remember)
        if memory is not None and trace is not None:
            memory.fill(trace, scan.rankings, slots, indices)
        yield batch.skipped


def finish_atlas(
    build: Build, held_folder: Held, scan: Scan, skipped: Sequence[SkippedPhoto], memory: TopMemory | None
) -> Atlas:
    """The atlas of a whole scan: carry its top units down, write all files, remove the unfinished ones.

    Args:
        build: what is built.
        held_folder: of the atlas.
        scan: of all photos.
        skipped: photos that could not be read.
        memory: what the units' ways down need, if there is room for it.

    Raises:
        PhotoError: none of the photos can be read.
    """
    if len(skipped) == build.count:
        raise PhotoError(f"none of the {build.count} photos can be read; the first: {skipped[0].reason}")
    units, unfinished = scan.top_units(), Unfinished(held_folder.folder)
    with unfinished.tiles(held_folder) as tiles:
        draw_top_units(build, scan, units, memory, tiles)
        trust = measure_top_units(build, held_folder, scan, units) if build.trust_samples else None
        write_atlas(build, held_folder, scan, units, skipped, tiles, trust)
    unfinished.remove(held_folder)
    return Atlas.open(held_folder.folder)


def finished_atlas(build: Build, folder: Path, *, take_over: bool) -> Atlas:
    """The atlas that a folder already holds; what its run was killed before removing is removed.

    Raises:
        ArgumentError: it was built with other options, or another run is at work there.
    """
    atlas = Atlas.open(folder)
    before = key_of(atlas.manifest, keep_signal=is_folder(signals_folder(folder)))
    check_resumed(folder, asdict(before), asdict(build.key()), resume=True)
    if has_unfinished(folder):
        with held(folder, NAMES, take_over=take_over) as held_folder:
            Unfinished(folder).remove(held_folder)
    return atlas
