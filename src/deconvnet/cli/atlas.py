"""`deconvnet atlas` and `deconvnet atlas-merge`: what every feature map looks for, over a whole data set."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.progress import Tell, progress

if TYPE_CHECKING:
    from deconvnet.atlas.reader import Atlas

_STAGES = {"scan": "photos scanned", "project": "batches of winners carried down", "write": "layers written"}

Photos = Annotated[
    str, typer.Argument(metavar="PHOTOS", help="A folder, a .txt list, .tar or .parquet shards, or a URL of any.")
]
Out = Annotated[  # a text, because an empty one would be the current folder as a path
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="The atlas's folder: new, empty, or unfinished (--resume).",
        show_default=False,
    ),
]
Workers = Annotated[int, typer.Option("--workers", help="Processes that read photos.", min=0)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what an interrupted run left.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", "--layers", "-l", help="A layer; may be given again.", show_default="all rectifiers"),
]
K = Annotated[int, typer.Option("-k", help="Activations kept of each feature map.", min=1)]
ScanWorkers = Annotated[
    int, typer.Option("--workers", help="Processes that read photos; on Ray, that run the network.", min=0)
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Scan here or on Ray; the result is the same.")
]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="host:port of a Ray cluster.", show_default="one is started here")
]
Shard = Annotated[
    str | None, typer.Option("--shard", help="Scan only part i of n, as 0/64 ... 63/64; see atlas-merge.")
]
Limit = Annotated[int | None, typer.Option("--limit", help="Look at so many photos only.", min=1)]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Photos in each forward pass.", show_default="up to 8", min=1)
]
KeepSignal = Annotated[bool, typer.Option("--keep-signal", help="Keep the signed signals as well.")]


@app.command()
@o.with_model_flags
def atlas(
    photos: Photos,
    output: Out,
    layer: Layers = None,
    k: K = 9,
    workers: ScanWorkers = 1,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    shard: Shard = None,
    resume: Resume = False,
    limit: Limit = None,
    batch: Batch = None,
    keep_signal: KeepSignal = False,
    quiet: Quiet = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Build an atlas: of every feature map the strongest activations over many photos, each beside its patch.

    A photo that cannot be read is listed in the atlas and does not stop the run. After an interruption, of any
    kind, --resume goes on, and the result is that of an uninterrupted run.
    """
    from deconvnet.atlas.build import build_atlas
    from deconvnet.atlas.parts import scan_shard

    part = None if shard is None else _shard(shard)
    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    layers = "all" if layer is None or layer == ["all"] else layer
    with progress(quiet) as tell:
        options: dict[str, Any] = {
            "out": output, "loaded": loaded, "workers": workers, "engine": engine, "ray_address": ray_address,
            "resume": resume, "limit": limit, "batch": batch, "memory": flags.memory, "keep_signal": keep_signal,
            "progress": _told(tell),
        }  # fmt: skip
        if part is not None:
            scan_shard(net, photos, layers, k, shard=part, **options)
            print(f"part {shard} of {photos} -> {output}")
            return
        made = build_atlas(net, photos, layers, k, **options)
    _print(made)


@app.command("atlas-merge")
@o.with_model_flags
def atlas_merge(
    shards: Annotated[list[Path], typer.Argument(metavar="DIR...", help="The folders of all parts.")],
    output: Out,
    photos: Annotated[
        str, typer.Option("--photos", help="The photos, as for the parts.", show_default="has to be given")
    ],
    workers: Workers = 1,
    resume: Resume = False,
    quiet: Quiet = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Make the atlas of parts that `deconvnet atlas --shard` scanned: the same as if it were scanned at once.

    The network and the photos are given again, because nothing that a folder says is ever loaded.
    """
    from deconvnet.atlas.parts import merge_shards

    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    with progress(quiet) as tell:
        made = merge_shards(
            net, photos, shards, out=output, loaded=loaded, workers=workers, resume=resume, progress=_told(tell)
        )
    _print(made)


def _shard(text: str) -> tuple[int, int]:
    numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise ArgumentError(f"--shard takes i/n, such as 3/64; got {text!r}.")
    return int(numbers[0]), int(numbers[1])


def _print(made: "Atlas") -> None:
    counts = made.manifest.counts
    dead = sum(one.dead for layer in made.layers for one in made.stats(layer))
    print(f"{len(made)} feature maps in {len(made.layers)} layers, {counts.photos} photos -> {made.folder}")
    if dead:
        print(f"  {dead} maps respond to none of the photos")
    if counts.skipped:
        print(f"  {counts.skipped} photos could not be read: skipped.parquet says why")


def _told(tell: Tell | None) -> Callable[[str, int, int, int], None] | None:
    """What `build_atlas` tells of its progress, in words."""
    if tell is None:
        return None
    return lambda stage, done, total, skipped: tell(
        _STAGES[stage], done, total, f"{skipped} could not be read" if skipped else ""
    )
