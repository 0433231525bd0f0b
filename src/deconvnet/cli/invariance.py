"""`deconvnet invariance`: features and answers as photos are moved, scaled and turned."""

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, PlotFlags
from deconvnet.cli.files import output_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import open_inputs
from deconvnet.cli.progress import progress
from deconvnet.cli.reading import Batch, read_batch, without_nan
from deconvnet.cli.result import Result, counted, print_result
from deconvnet.cli.stderr import prints_on_stderr
from deconvnet.pictures.numbers import percent, significant

if TYPE_CHECKING:
    from deconvnet.probes.invariance_curves import Invariance
    from deconvnet.probes.transforms import Transforms

_VALUES = "a list {}, a range LOW:HIGH:STEP, or none to leave them out."
_TRANSLATIONS = f"Translations in pixels: {_VALUES.format('-8,0,8')}"
_SCALES = f"Sizes relative to the photo: {_VALUES.format('1,1.5')}"
_ANGLES = f"Angles in degrees: {_VALUES.format('0,90')}"
_MOST_VALUES = 10_000


@o.with_flags
def invariance(
    photos: o.Photos,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="Class name or index of all photos, or one flag for each photo.",
            show_default="the predicted class of each",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help=f"{o.LAYER_HELP} Repeat the flag, from low to high.",
            show_default="the first that rectifies and the last hidden one",
        ),
    ] = None,
    translations: Annotated[
        str | None,
        typer.Option(
            help=_TRANSLATIONS,
            show_default="-60:60:4 at 224 pixels, in proportion",
        ),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(help=_SCALES, show_default="1:1.8:0.05"),
    ] = None,
    angles: Annotated[str | None, typer.Option(help=_ANGLES, show_default="0:350:10")] = None,
    direction: Annotated[
        Literal["vertical", "horizontal", "depth"], typer.Option(help="Direction of the translations.")
    ] = "vertical",
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Draw distances as they are, not relative to the photo's own features.")
    ] = False,
    output: Annotated[str | None, o.output(FORMATS, "./invariance.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: PlotFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show what stays the same as photos are moved, scaled and turned: features of a low and a high layer, the answer.

    As in figure 5 of the paper: the Euclidean distance between the features of the photo and of the transformed photo,
    and the probability of the class. What comes in from outside is filled with the mean pixel. All photos are in one
    figure; one that cannot be used is reported, and the others go on.
    """
    from deconvnet.probes.transforms import Transforms

    chosen = Transforms(
        _values("--translations", translations), _values("--scales", scales), _values("--angles", angles), direction
    )
    inputs = open_inputs(photos, reading)
    if target and len(target) not in (1, len(inputs)):
        raise ArgumentError(
            f"--target is given {len(target)} times for {counted(len(inputs), 'photo')}: give it once, or for each."
        )
    (path,) = output_paths(["invariance"], output, ".png", force=force)
    network = open_network(flags, target)
    batch = read_batch(network, inputs)
    result = _measured(network, batch, layer, chosen)
    save_in_folder(result.figure(relative=not absolute, **figure.options()), path, force=force)
    rows = [without_nan(row) for row in result.rows()]
    facts = {**network.facts, **batch.facts, "layers": result.layers, "numbers": rows,
             "notes": [*_notes(network, batch), *result.notes], "file": str(path)}  # fmt: skip
    lines = [f"{counted(len(result), 'photo')}: {' and '.join(result.layers)} -> {path}", *_lines(result)]
    print_result(Result("\n".join(lines), facts), as_json=as_json)
    batch.end(strict=reading.strict)


@prints_on_stderr()
def _measured(network: Network, batch: Batch, layers: Sequence[str] | None, transforms: "Transforms") -> "Invariance":
    from deconvnet.probes.feature_distances import invariance as measure

    targets = network.targets if len(network.targets) == 1 else [network.targets[i] for i in batch.indices]
    with progress(quiet=len(batch.photos) < 2) as report_progress:
        return measure(
            network.net, batch.images(network), list(targets) * (len(batch.photos) // len(targets)),
            layers=layers or None, transforms=transforms, preprocess=network.loaded.preprocess,
            names=[photo.name for photo in batch.photos],
            progress=lambda done, total: report_progress("transforms", done, total, ""),
        )  # fmt: skip


def _notes(network: Network, batch: Batch) -> list[str]:
    preprocess = network.loaded.preprocess
    return list(dict.fromkeys(note for photo in batch.photos for note in preprocess.notes(photo)))


def _lines(result: "Invariance") -> Iterator[str]:
    """Each kind of transform and layer in a line: the median over photos."""
    units = {"translation": " pixels", "scale": " away from 1", "rotation": " degrees"}
    median_of = "medians over the photos; " if len(result) > 1 else ""
    yield f"  {median_of}distances are relative to the length of a photo's own features"
    rows = list(result.rows())
    for kind in result.kinds:
        for layer in result.layers:
            of_layer = [row for row in rows if (row["kind"], row["layer"]) == (kind, layer)]
            mean, largest, flat, line = (
                _median(of_layer, name) for name in ("mean", "largest", "saturation", "linear_correlation")
            )
            if math.isnan(flat):
                yield f"  {kind}, {layer}: distance {significant(largest)}"
                continue
            yield (
                f"  {kind}, {layer}: distance {significant(mean)}, at most {significant(largest)}; 90 % of that from "
                f"{significant(flat)}{units[kind]} on; correlation with a straight line {line:.2f}"
            )
        share = percent(float(result.share_kept(kind).median()))
        yield f"  {kind}: the class keeps half its probability under {share} of the transforms"


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    values = [row[name] for row in rows if not math.isnan(row[name])]
    return median(values) if values else math.nan


def _values(flag: str, text: str | None) -> list[float] | None:
    """The values that a flag lists, or those of its range.

    Raises:
        ArgumentError: the text is something else.
    """
    if text is None or text == "none":
        return None if text is None else []
    if ":" not in text:
        values = o.parse_numbers(flag, text)
        return list(values) if isinstance(values, tuple) else [values]
    try:
        low, high, step = map(float, text.split(":"))
        count = math.floor((high - low) / step + 1e-9) + 1
    except (ValueError, ZeroDivisionError, OverflowError):
        count = 0
    if not 1 <= count <= _MOST_VALUES:
        raise ArgumentError(f"{flag} takes {_VALUES.format('-8,0,8').removesuffix('.')}; got {text!r}.")
    return [round(low + i * step, 9) for i in range(count)]
