"""`deconvnet atlas` and `deconvnet atlas-merge`: the strongest activations of every feature map over a data set."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.progress import ReportProgress, progress, resumable
from deconvnet.cli.result import ALREADY_FINISHED, Result, could_not, counted, end, failure, print_result
from deconvnet.cli.stderr import prints_on_stderr

if TYPE_CHECKING:
    from deconvnet.atlas.jobs import ScannedPart
    from deconvnet.atlas.options import Options
    from deconvnet.atlas.reader import Atlas
    from deconvnet.atlas.tables import SkippedPhoto

_STAGES = {
    "scan": "photos scanned",
    "project": "batches of top activations projected",
    "trust": "batches of photos whose pictures are compared",
    "write": "layers written",
}

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
Workers = Annotated[
    int, typer.Option("--workers", help="Number of processes that read photos and draw pictures.", min=0)
]
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
    typer.Option(
        "--workers",
        help="Number of processes that read photos and draw pictures; with Ray, that run the network.",
        min=0,
    ),
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
    int | None,
    typer.Option(
        "--batch",
        help="Number of photos in each forward pass.",
        show_default="up to 8 on a CPU, 64 on an accelerator",
        min=1,
    ),
]
Trust = Annotated[
    int | None,
    typer.Option(
        "--trust",
        metavar="N",
        help="Measure what pictures rest on, of N top activations of each feature map: how alike they are to those of "
        "another unit at the same position, and of the same unit in another photo.",
        show_default="not measured",
        min=1,
    ),
]
KeepSignal = Annotated[bool, typer.Option("--keep-signal", help="Also keep the signed signals.")]


@o.with_flags
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
    trust: Trust = None,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    *,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Build an atlas: the strongest activations of every feature map over many photos, each beside its patch.

    A photo that cannot be used is listed in the atlas and does not stop the run. After any interruption, --resume
    continues, and the result is that of an uninterrupted run. A finished atlas of the same options stays as it is.
    """
    from deconvnet.atlas.build import build_atlas
    from deconvnet.atlas.jobs import scan_shard
    from deconvnet.atlas.manifest import is_atlas

    part = None if shard is None else _shard(shard)
    with resumable():
        network = open_network(flags)
        layers = "all" if layer is None or layer == ["all"] else layer
        was_finished = is_atlas(Path(output))
        with progress(quiet=quiet, lines=True) as report_progress, prints_on_stderr():
            options: Options = {
                "workers": workers, "engine": engine, "ray_address": ray_address, "limit": limit, "sample": sample,
                "seed": seed, "batch": batch, "memory": flags.memory, "keep_signal": keep_signal, **_of_trust(trust),
                **reading.options, "progress": partial(_report_stage, report_progress),
            }  # fmt: skip
            if part is None:
                built = build_atlas(
                    network.net, photos, layers, k, out=output, loaded=network.loaded, resume=resume,
                    take_over=take_over, **options,
                )  # fmt: skip
                result = _atlas_result(built, photos, was_finished)
            else:
                scanned = scan_shard(
                    network.net, photos, layers, k, shard=part, out=output, loaded=network.loaded, resume=resume,
                    take_over=take_over, **options,
                )  # fmt: skip
                result = _part_result(scanned, photos, output, shard or "")
    _print(result, network, as_json=as_json, strict=reading.strict)


@o.with_flags
def atlas_merge(
    shards: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of all parts.")],
    output: Out,
    photos: Annotated[str, typer.Option("--photos", help="Photos, as given for the parts.", show_default="required")],
    workers: Workers = 1,
    resume: o.Resume = False,
    take_over: o.TakeOver = False,
    quiet: o.Quiet = False,
    as_json: o.Json = False,
    *,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Merge the parts that `deconvnet atlas --shard` scanned into one atlas: the same as if scanned at once.

    The network and the photos must be given again, because nothing that a folder names is ever loaded.
    """
    from deconvnet.atlas.jobs import merge_shards
    from deconvnet.atlas.manifest import is_atlas
    from deconvnet.probes.twin_cosines import twins

    with resumable():
        network = open_network(flags)
        was_finished = is_atlas(Path(output))
        with progress(quiet=quiet, lines=True) as report_progress, prints_on_stderr():
            merged = merge_shards(
                network.net, photos, shards, out=output, loaded=network.loaded, workers=workers, resume=resume,
                take_over=take_over, trust=twins, progress=partial(_report_stage, report_progress), **reading.options,
            )  # fmt: skip
    _print(_atlas_result(merged, photos, was_finished), network, as_json=as_json, strict=reading.strict)


def _of_trust(samples: int | None) -> "Options":
    """What measures pictures, which no atlas imports, and of how many."""
    if samples is None:
        return {}
    from deconvnet.probes.twin_cosines import twins

    return {"trust": twins, "trust_samples": samples}


def _shard(text: str) -> tuple[int, int]:
    from deconvnet.atlas.manifest import SHARD

    match = SHARD.fullmatch(text)
    if match is None:
        raise ArgumentError(f"--shard takes i/n, such as 3/64, of nine digits at most; got {text!r}.")
    return int(match[1]), int(match[2])


def _atlas_result(atlas: "Atlas", photos: str, was_finished: bool) -> Result:
    from deconvnet.results.facts import SAME_FOR_ALL

    trust = {name: atlas.trust(name) for name in atlas.layers}
    layers: list[dict[str, Any]] = [
        {
            "layer": name, "maps": info.channels, "dead": sum(stats.dead for stats in atlas.stats(name)),
            "trust": (of_layer := trust[name]) and of_layer.facts(),
        }
        for name, info in atlas.layers.items()
    ]  # fmt: skip
    used, dead = atlas.manifest.counts.photos, sum(layer["dead"] for layer in layers)
    maps, of = counted(len(atlas), "feature map"), counted(len(layers), "layer")
    lines = [f"{maps} in {of}, {counted(used, 'photo')} -> {atlas.folder}", *([ALREADY_FINISHED] * was_finished)]
    if dead:
        lines.append(f"  {counted(dead, 'map')} {'does' if dead == 1 else 'do'} not respond to any of the photos")
    lines += [f"  {name}: {of_layer.line()}" for name, of_layer in trust.items() if of_layer is not None]
    failed = _failures(photos, atlas.skipped())
    if failed:
        lines.append(f"  {counted(len(failed), 'photo')} could not be used: skipped.parquet says why")
    alike = [name for name, layer in atlas.layers.items() if layer.image_free]
    notes = [f"{', '.join(alike)}: {SAME_FOR_ALL}"] if alike else []
    facts = {"k": atlas.manifest.k, "layers": layers, "used": used, "failed": failed, "was_finished": was_finished,
             "notes": notes, "folder": str(atlas.folder)}  # fmt: skip
    return Result("\n".join(lines), facts)


def _part_result(part: "ScannedPart", photos: str, output: str, shard: str) -> Result:
    lines = [f"part {shard} of {photos} -> {output}", *([ALREADY_FINISHED] * part.was_finished)]
    failed = _failures(photos, part.skipped)
    if failed:
        lines.append(f"  {counted(len(failed), 'photo')} could not be used")
    facts = {"shard": shard, "used": part.photos, "failed": failed, "was_finished": part.was_finished,
             "folder": output}  # fmt: skip
    return Result("\n".join(lines), facts)


def _failures(photos: str, skipped: Iterable["SkippedPhoto"]) -> list[dict[str, str]]:
    return [failure(photo.image, photos, photo.reason) for photo in skipped]


def _print(result: Result, network: Network, *, as_json: bool, strict: bool) -> None:
    facts = {**network.facts, **result.facts}
    print_result(replace(result, facts=facts), as_json=as_json)
    end(used=facts["used"], failed=len(facts["failed"]), named=False, strict=strict)


def _report_stage(report_progress: ReportProgress, stage: str, done: int, total: int, skipped: int) -> None:
    """Report the progress of `build_atlas` in words."""
    report_progress(_STAGES[stage], done, total, could_not(skipped))
