"""`deconvnet compare`: the same units, two ways."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._types import Box
from deconvnet.cli import options as o
from deconvnet.cli.app import app
from deconvnet.cli.files import in_a_name, places
from deconvnet.cli.project import unit_rows

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet
    from deconvnet.photos.photo import Photo
    from deconvnet.photos.preprocess import Preprocess
    from deconvnet.results.comparison import Comparison
    from deconvnet.results.reconstruction import Reconstruction

RULES = get_args(get_args(o.Rules)[0])
WEIGHTS = (".safetensors", ".pt", ".pth")
KINDS = (
    f"a rule set ({', '.join(RULES)}) or a file of weights ({', '.join(WEIGHTS)}), with the network of --model; or a "
    "network, as in --model."
)


@dataclass(frozen=True)
class Way:
    """What A or B names: a network, and a rule set by name."""

    side: str
    text: str
    model: o.ModelFlags
    rules: str

    def __str__(self) -> str:
        weights = [] if self.model.weights is None else [self.model.weights.name]
        return f"{self.side}: {', '.join([Path(self.model.model).name, *weights, self.rules])}"

    @contextmanager
    def told(self) -> Iterator[None]:
        """Faults inside say which of the two they are about."""
        try:
            yield
        except DeconvNetError as fault:
            raise type(fault)(f"{self.name}: {fault}") from fault

    @property
    def name(self) -> str:
        """What the user called it, for messages."""
        return f"{self.side} ({Path(self.text).name})"


@app.command()
@o.with_model_flags
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"One way: {KINDS}", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other way, as A.", show_default=False)],
    photo: o.Photo,
    layer: o.Layer,
    channel: Annotated[
        str,
        typer.Option("--channel", "-c", help="Feature maps: a number, 3,5,8, all, or top:16, the strongest of A."),
    ],
    position: o.Position = None,
    scale: Annotated[
        Literal["common", "own"],
        typer.Option(help="Draw a pair on one scale, or each picture on its own, as faint ones need."),
    ] = "common",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The sheet's file.", show_default="./NAME.LAYER.compare.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Carry the same units down two ways, side by side: two networks, two states of one, or two rule sets.

    The numbers say how alike the two signals are over the whole input: cosine (the signed signals), rank
    correlation (where they are strong), SSIM (their patterns), all up to 1, and how many times as strong B's is.
    Pictures of one photo are never quite unlike; docs/python.md tells how to read the numbers. --rules is the way
    down where A or B is no rule set.
    """
    (place,) = places([photo], output, f".{in_a_name(layer)}.compare.png", force)
    ways = [_way(side, text, flags, rules) for side, text in (("A", a), ("B", b))]
    if flags.weights is not None and flags not in [way.model for way in ways]:
        raise ArgumentError("--weights go with a rule set, and neither A nor B is one. Leave them out.")
    from deconvnet.photos.photo import load_photo
    from deconvnet.pictures.sheets import save_picture

    read = load_photo(photo)
    result, preprocess = _compared(ways, read, (layer, channel, position), smooth)
    scales = "one scale" if scale == "common" else "each on its own scale"
    title = "\n".join([f"layer {layer} on {read.name}, {scales}", *map(str, ways)])
    save_picture(result.sheet([read], preprocess, common=scale == "common", title=title), place, force=force)
    if as_json:
        report = {"photo": photo, "layer": layer, **_row(result, ways), "scale": scale,
                  "notes": list(result.notes), "file": str(place)}  # fmt: skip
        print(json.dumps(report, indent=2, allow_nan=False))
        return
    print("\n".join(_lines(result, ways)), "->", place)
    for note in result.notes:
        print(f"  note: {note}")


def _way(side: str, text: str, flags: o.ModelFlags, rules: str) -> Way:
    """What the text names: a rule set, a file of weights or a network."""
    if text in RULES:
        return Way(side, text, flags, text)
    if Path(text).suffix in WEIGHTS:
        return Way(side, text, replace(flags, weights=Path(text)), rules)
    if not Path(text).suffix and ":" not in text and text != "zfnet-mini":
        raise ArgumentError(f"{text!r} is none of what A and B can be: {KINDS}")
    return Way(side, text, replace(flags, model=text, weights=None), rules)


def _compared(
    ways: list[Way], photo: "Photo", units: tuple[str, str, str | None], smooth: str
) -> tuple["Comparison", "Preprocess"]:
    """The units carried down both ways, and how the photo was prepared."""
    from deconvnet.results.comparison import compare as compare_results

    layer, channel, position = units
    chosen: Any = o.channels(channel)
    where = o.numbers("--position", position, whole=True)
    models: dict[o.ModelFlags, LoadedModel] = {}  # two rule sets share theirs
    nets: dict[o.ModelFlags, DeconvNet] = {}
    results: list[Reconstruction] = []
    for way in ways:
        with way.told():
            models[way.model] = models.get(way.model) or way.model.load()
    _check_region(ways, [models[way.model].preprocess for way in ways], photo)
    for way in ways:
        loaded = models[way.model]
        with way.told():
            nets[way.model] = nets.get(way.model) or way.model.attach(loaded, smooth=smooth)
            x = loaded.preprocess.images(photo).to(loaded.example_input)
            results.append(nets[way.model].with_rules(way.rules).project(x, layer, channel=chosen, position=where))
        chosen = [unit.channel for unit in results[0].units]
    return compare_results(*results), models[ways[0].model].preprocess


def _check_region(ways: list[Way], prepared: list["Preprocess"], photo: "Photo") -> None:
    """Whether pixels of the two inputs lie at the same places of the photo.

    Raises:
        ArgumentError: they do not.
    """
    regions = [(p.box_in_photo(Box((0, 0), p.size), photo.size), p.size) for p in prepared]
    if regions[0] == regions[1]:
        return
    one, other = (
        f"{way.name} sees rows {box.low[0]} to {box.high[0]}, columns {box.low[1]} to {box.high[1]}, in {high}x{wide}"
        for way, (box, (high, wide)) in zip(ways, regions, strict=True)
    )
    remedy = "Give one of them the other's Preprocess, with FILE.py:FUNCTION."
    if regions[0][1] != regions[1][1]:
        remedy = "Give both one --size."
    raise ArgumentError(f"the two do not see the same part of the photo at the same size: {one}; {other}. {remedy}")


def _lines(result: "Comparison", ways: list[Way]) -> Iterator[str]:
    from deconvnet.results.reconstruction import caption

    for i in range(len(result)):
        for way, units in zip(ways, (result.a, result.b), strict=True):
            yield f"{way}; {caption(units.units[i], float(units.activations[i]))}"
        yield result.words(i)


def _row(result: "Comparison", ways: list[Way]) -> dict[str, Any]:
    """What is compared, and each pair with its numbers; None for those that have no meaning."""
    numbers = {name: getattr(result, name).tolist() for name in ("cosine", "rank_correlation", "ssim", "ratio")}
    pairs = [
        {"A": a, "B": b, **{name: None if math.isnan(values[i]) else values[i] for name, values in numbers.items()}}
        for i, (a, b) in enumerate(zip(unit_rows(result.a), unit_rows(result.b), strict=True))
    ]
    sides = {
        way.side: {
            "model": way.model.model,
            "weights": None if way.model.weights is None else str(way.model.weights),
            "rules": way.rules,
        }
        for way in ways
    }
    return {**sides, "pairs": pairs}
