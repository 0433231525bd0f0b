"""`deconvnet compare`: the same units, carried down in two ways."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._types import Box
from deconvnet.cli import options as o
from deconvnet.cli.figure import FORMATS, FigureFlags
from deconvnet.cli.files import in_file_name, picture_paths, save_in_folder
from deconvnet.cli.network import as_input
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.project import unit_facts
from deconvnet.cli.result import Result, counted, print_each
from deconvnet.cli.stderr import prints_on_stderr

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
    f"a rule set ({', '.join(RULES)}) or a weights file ({', '.join(WEIGHTS)}), both with the network of --model; or a "
    "network, as in --model."
)


@dataclass(frozen=True)
class Side:
    """One side of the comparison, A or B: a network, and a rule set by name."""

    letter: str
    text: str
    model: o.ModelFlags
    rules: str

    def __str__(self) -> str:
        weights = [] if self.model.weights is None else [self.model.weights.name]
        return f"{self.letter}: {', '.join([Path(self.model.model).name, *weights, self.rules])}"

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Name the side in the messages of errors raised inside."""
        try:
            yield
        except DeconvNetError as error:
            raise type(error)(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """What the user called it, for messages."""
        return f"{self.letter} ({Path(self.text).name})"

    @property
    def facts(self) -> dict[str, str | None]:
        """The network and the rules, for `--json`."""
        weights = None if self.model.weights is None else str(self.model.weights)
        return {"model": self.model.model, "weights": weights, "rules": self.rules}


@o.with_flags
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"One side: {KINDS}", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The other side, as for A.", show_default=False)],
    photos: o.Photos,
    layer: o.Layer,
    channel: Annotated[
        str, typer.Option(*o.CHANNEL, help="Feature maps: 3,5,8, or 0-15; all; or top:16 for the strongest of A.")
    ],
    position: o.Position = None,
    scale: Annotated[
        Literal["common", "own"],
        typer.Option(help="Scale of the pictures: common to a pair, or each picture's own, for faint ones."),
    ] = "common",
    output: Annotated[
        str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.LAYER.compare.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Carry the same units down in two ways, side by side: two networks, two checkpoints, or two rule sets.

    The numbers say how alike the two signals are over the whole input: cosine (the signed signals), rank
    correlation (where they are strong) and SSIM (their patterns), each at most 1, and how many times as strong B's is.
    Even unrelated units give similar pictures of one photo; docs/python.md explains how to read the numbers. --rules
    applies to a side that is not a rule set. A photo that cannot be used is reported, and the others go on.
    """
    inputs = open_inputs(photos, reading)
    paths = picture_paths(inputs, output, f".{in_file_name(layer)}.compare.png", force=force)
    sides = [_side(letter, text, flags) for letter, text in (("A", a), ("B", b))]
    if flags.weights is not None and flags not in [side.model for side in sides]:
        raise ArgumentError("--weights belongs to a rule set, and neither A nor B is one. Drop it.")
    index, channels = o.parse_numbers("--position", position, whole=True), o.feature_maps(channel)
    networks = _Networks.load(sides)

    def draw(photo: PhotoInput, path: Path) -> Result:
        read = networks.read(photo)
        loaded_photo = read[0]
        result = _compare(networks, read, layer, channels, index)
        scales = "one scale" if scale == "common" else "each on its own scale"
        title = "\n".join([f"layer {layer} on {loaded_photo.name}, {scales}", *map(str, sides)])
        preprocess = networks.loaded[0].preprocess
        sheet = result.sheet([loaded_photo], preprocess, common=scale == "common", **figure.layout(title))
        save_in_folder(sheet, path, force=force)
        notes = [*preprocess.notes(loaded_photo), *result.notes]
        facts = {"layer": layer, "pairs": _pairs(result), "notes": notes, "file": str(path)}
        first = f"{photo.name}: {counted(len(result), 'pair')} of units of {layer} -> {path}"
        return Result("\n".join([first, *_lines(result, sides)]), facts)

    shared = {side.letter.lower(): side.facts for side in sides} | {"scale": scale}
    print_each(inputs, paths, draw, shared=shared, as_json=as_json, strict=reading.strict)


def _side(letter: str, text: str, flags: o.ModelFlags) -> Side:
    """The side that the text names: a rule set, a weights file or a network."""
    if text in RULES:
        return Side(letter, text, flags, text)
    if Path(text).suffix in WEIGHTS:
        return Side(letter, text, replace(flags, weights=Path(text)), flags.rules)
    if not Path(text).suffix and ":" not in text and text != "zfnet-mini":
        raise ArgumentError(f"{text!r} is not a valid A or B, which is {KINDS}")
    return Side(letter, text, replace(flags, model=text, weights=None), flags.rules)


@dataclass(frozen=True, eq=False)
class _Networks:
    """The networks of both sides. Two rule sets share one; a deconvnet is attached when it is needed first."""

    sides: Sequence[Side]
    loaded: Sequence["LoadedModel"]
    nets: dict[o.ModelFlags, "DeconvNet"] = field(default_factory=dict)

    @classmethod
    @prints_on_stderr()
    def load(cls, sides: Sequence[Side]) -> "_Networks":
        """The models that the sides name."""
        models: dict[o.ModelFlags, LoadedModel] = {}
        for side in sides:
            with side.naming_errors():
                models[side.model] = models.get(side.model) or side.model.load()
        return cls(sides, [models[side.model] for side in sides])

    def read(self, photo: PhotoInput) -> list["Photo"]:
        """A photo as the network of each side takes it."""
        prepared = [loaded.preprocess for loaded in self.loaded]
        photos = {preprocess: photo.load(preprocess) for preprocess in dict.fromkeys(prepared)}
        return [photos[preprocess] for preprocess in prepared]

    def net(self, i: int) -> "DeconvNet":
        """The deconvnet of a side, with its rules."""
        side = self.sides[i]
        self.nets[side.model] = self.nets.get(side.model) or side.model.attach(self.loaded[i])
        return self.nets[side.model].with_rules(side.rules)


def _compare(networks: _Networks, read: Sequence["Photo"], layer: str, channels: Any, position: Any) -> "Comparison":
    """The units carried down on both sides."""
    from deconvnet.results.comparison import compare as compare_results

    _check_region(networks.sides, [loaded.preprocess for loaded in networks.loaded], read[0])
    results: list[Reconstruction] = []
    for i, side in enumerate(networks.sides):
        with side.naming_errors():
            x = as_input(networks.loaded[i], read[i])
            results.append(networks.net(i).project(x, layer, channel=channels, position=position))
        channels = [unit.channel for unit in results[0].units]
    return compare_results(*results)


def _check_region(sides: Sequence[Side], prepared: Sequence["Preprocess"], photo: "Photo") -> None:
    """Raise unless the same pixels of the two inputs show the same part of the photo.

    Raises:
        ArgumentError: they do not.
    """
    if len({len(p.size) for p in prepared}) > 1:
        raise ArgumentError("one of A and B takes images and the other volumes: compare networks that take the same.")
    regions = [(p.box_in_photo(Box((0,) * len(p.size), p.size), photo.size), p.size) for p in prepared]
    if regions[0] == regions[1]:
        return
    if photo.is_volume:
        a, b = ("x".join(map(str, size)) for _, size in regions)
        raise ArgumentError(f"{sides[0].name} takes {a} voxels and {sides[1].name} {b}. Give both the same --size.")
    a, b = (
        f"{side.name} sees rows {box.low[0]} to {box.high[0]}, columns {box.low[1]} to {box.high[1]}, as {high}x{wide}"
        for side, (box, (high, wide)) in zip(sides, regions, strict=True)
    )
    remedy = "Give both the same Preprocess, with FILE.py:FUNCTION."
    if regions[0][1] != regions[1][1]:
        remedy = "Give both the same --size."
    raise ArgumentError(f"A and B do not see the same part of the photo at the same size: {a}; {b}. {remedy}")


def _lines(result: "Comparison", sides: Sequence[Side]) -> Iterator[str]:
    from deconvnet.results.reconstruction import caption

    for i in range(len(result)):
        for side, units in zip(sides, (result.a, result.b), strict=True):
            yield f"  {side}; {caption(units.units[i], float(units.activations[i]))}"
        yield f"  {result.words(i)}"


def _pairs(result: "Comparison") -> list[dict[str, Any]]:
    """Each pair with its measures; None for one that is not defined."""
    measures = {name: getattr(result, name).tolist() for name in ("cosine", "rank_correlation", "ssim", "ratio")}
    return [
        {"a": a, "b": b, **{name: None if math.isnan(values[i]) else values[i] for name, values in measures.items()}}
        for i, (a, b) in enumerate(zip(unit_facts(result.a), unit_facts(result.b), strict=True))
    ]
