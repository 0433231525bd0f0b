"""`deconvnet atlas` and `deconvnet atlas-merge`: the strongest activations of every feature map over a data set."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.network import open_network
from deconvnet.cli.progress import ReportProgress, progress
from deconvnet.cli.result import ALREADY_FINISHED

if TYPE_CHECKING:
    from deconvnet.atlas.options import Options
    from deconvnet.atlas.reader import Atlas

_STAGES = {"scan": "photos scanned", "project": "batches of top activations projected", "write": "layers written"}

Out = Annotated[  # a text, because an empty one would be the current folder as a path
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder of the atlas: new, empty, or unfinished (with --resume).",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option("--workers", help="Number of processes that read photos.", min=0)]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        "-l",
        help=f"{o.LAYER_HELP} Repeat the flag for several layers.",
        show_default="all rectifiers",
    ),
]
K = Annotated[int, typer.Option("-k", help="Number of activations kept for each feature map.", min=1)]
ScanWorkers = Annotated[
    int,
    typer.Option("--workers", help="Number of processes that read photos; with Ray, that run the network.", min=0),
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Scan on this machine or on Ray; the result is the same.")
]
RayAddress = Annotated[
    str | None,
    typer.Option("--ray-address", help="Address host:port of a Ray cluster.", show_default="a local one"),
]
Shard = Annotated[
    str | None,
    typer.Option("--shard", help="Scan only part i of n, written i/n, from 0/64 to 63/64; see atlas-merge."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Random seed of the sample.", show_default="0", min=0, max=o.MOST_SEED),
]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Number of photos in each forward pass.", show_default="up to 8", min=1)
]
KeepSignal = Annotated[bool, typer.Option("--keep-signal", help="Also keep the signed signals.")]


@o.with_model_flags
def atlas(
    photos: o.PhotoSet,
    output: Out,
    layer: Layers = None,
    k: K = 9,
    workers: ScanWorkers = 1,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    shard: Shard = None,
    resume: o.Resume = False,
    take_over: o.TakeOver = False,
    limit: o.Limit = None,
    sample: o.Sample = None,
    seed: Seed = None,
    batch: Batch = None,
    keep_signal: KeepSignal = False,
    allow_outside: o.AllowOutside = False,
    suffix: o.Suffix = None,
    quiet: o.Quiet = False,
    *,
    flags: o.ModelFlags,
) -> None:
    """Build an atlas: the strongest activations of every feature map over many photos, each beside its patch.

    A photo that cannot be read is listed in the atlas and does not stop the run. After any interruption, --resume
    continues, and the result is that of an uninterrupted run. A finished atlas of the same options stays as it is.
    """
    from deconvnet.atlas.build import build_atlas
    from deconvnet.atlas.jobs import scan_shard
    from deconvnet.atlas.manifest import is_atlas

    part = None if shard is None else _shard(shard)
    network = open_network(flags)
    layers = "all" if layer is None or layer == ["all"] else layer
    with progress(quiet=quiet, lines=True) as report_progress:
        options: Options = {
            "workers": workers, "engine": engine, "ray_address": ray_address, "limit": limit, "sample": sample,
            "seed": seed, "batch": batch, "memory": flags.memory, "keep_signal": keep_signal,
            "allow_outside": allow_outside, "suffix": suffix, "progress": partial(_report_stage, report_progress),
        }  # fmt: skip
        if part is not None:
            scanned = scan_shard(
                network.net, photos, layers, k, shard=part, out=output, loaded=network.loaded, resume=resume,
                take_over=take_over, **options,
            )  # fmt: skip
            print(f"part {shard} of {photos} -> {output}")
            if not scanned:
                print(ALREADY_FINISHED)
            return
        was_finished = is_atlas(Path(output))
        built = build_atlas(
            network.net, photos, layers, k, out=output, loaded=network.loaded, resume=resume, take_over=take_over,
            **options,
        )  # fmt: skip
    _print(built, was_finished)


@o.with_model_flags
def atlas_merge(
    shards: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of all parts.")],
    output: Out,
    photos: Annotated[str, typer.Option("--photos", help="Photos, as given for the parts.", show_default="required")],
    workers: Workers = 1,
    allow_outside: o.AllowOutside = False,
    suffix: o.Suffix = None,
    resume: o.Resume = False,
    take_over: o.TakeOver = False,
    quiet: o.Quiet = False,
    *,
    flags: o.ModelFlags,
) -> None:
    """Merge the parts that `deconvnet atlas --shard` scanned into one atlas: the same as if scanned at once.

    The network and the photos must be given again, because nothing that a folder names is ever loaded.
    """
    from deconvnet.atlas.jobs import merge_shards
    from deconvnet.atlas.manifest import is_atlas

    network = open_network(flags)
    was_finished = is_atlas(Path(output))
    with progress(quiet=quiet, lines=True) as report_progress:
        merged = merge_shards(
            network.net, photos, shards, out=output, loaded=network.loaded, workers=workers,
            allow_outside=allow_outside, suffix=suffix, resume=resume, take_over=take_over,
            progress=partial(_report_stage, report_progress),
        )  # fmt: skip
    _print(merged, was_finished)


def _shard(text: str) -> tuple[int, int]:
    from deconvnet.atlas.manifest import SHARD

    match = SHARD.fullmatch(text)
    if match is None:
        raise ArgumentError(f"--shard takes i/n, such as 3/64, of nine digits at most; got {text!r}.")
    return int(match[1]), int(match[2])


def _print(atlas: "Atlas", was_finished: bool) -> None:
    counts = atlas.manifest.counts
    dead = sum(stats.dead for layer in atlas.layers for stats in atlas.stats(layer))
    print(f"{len(atlas)} feature maps in {len(atlas.layers)} layers, {counts.photos} photos -> {atlas.folder}")
    if was_finished:
        print(ALREADY_FINISHED)
    if dead:
        print(f"  {dead} maps respond to none of the photos")
    if counts.skipped:
        print(f"  {counts.skipped} photos could not be read: skipped.parquet says why")


def _report_stage(report_progress: ReportProgress, stage: str, done: int, total: int, skipped: int) -> None:
    """Report the progress of `build_atlas` in words."""
    report_progress(_STAGES[stage], done, total, f"{skipped} could not be read" if skipped else "")
