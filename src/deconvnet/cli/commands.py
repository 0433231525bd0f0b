"""The commands. Torch is imported when one of them runs, not before."""

import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError, NotFiniteError, PhotoError, TargetError
from deconvnet._version import __version__
from deconvnet.cli import options as o
from deconvnet.cli import say

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet

app = typer.Typer(
    name="deconvnet",
    help="See what a convolutional network responds to: Zeiler and Fergus's deconvnet on PyTorch networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DEMO = Path("deconvnet-demo.png")
PHOTO_HELP = "A photo's file, or sample:chelsea, sample:astronaut, sample:coffee, sample:rocket."
Photos = Annotated[list[str], typer.Argument(metavar="PHOTO...", help=PHOTO_HELP, show_default=False)]
Photo = Annotated[str, typer.Argument(metavar="PHOTO", help=PHOTO_HELP, show_default=False)]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"deconvnet {__version__}")
        raise typer.Exit


@app.callback()
def deconvnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See what a convolutional network responds to."""


@app.command()
@o.with_model_flags
def explain(
    photos: Photos,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="A class by name or number; CLASS,Y,X for networks that answer with a map.",
            show_default="the network's answer",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture's file; a folder for several photos.",
            show_default="./NAME.explain.png",
        ),
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Show what of a photo a class rests on: the photo beside the class carried down to the pixels.

    A photo that cannot be read is reported, the others go on, and the exit code is 1.
    """
    places = _places(photos, output, ".explain.png", force)
    loaded = flags.load()
    chosen = None if target is None else _target(loaded, target)
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    rows: list[dict[str, Any]] = []
    for photo, place in _progress(list(zip(photos, places, strict=True))):
        try:
            rows.append(_explain(net, loaded, photo, chosen, place, force))
        except (PhotoError, NotFiniteError) as fault:
            rows.append({"photo": photo, "error": str(fault)})
            say(fault)
        if not as_json and "error" not in rows[-1]:
            print(_explained(rows[-1]), flush=True)
    if as_json:
        print(json.dumps(rows, indent=2))
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def _target(loaded: "LoadedModel", text: str) -> int | tuple[int, int, int]:
    """A class, or a class and a place in a map."""
    place = re.fullmatch(r"(.+?),(\d+),(\d+)", text)
    if place is None or text in (loaded.labels or ()):
        return loaded.class_index(text)
    return loaded.class_index(place[1]), int(place[2]), int(place[3])


def _explain(
    net: "DeconvNet",
    loaded: "LoadedModel",
    photo: str,
    target: int | tuple[int, int, int] | None,
    place: Path,
    force: bool,
) -> dict[str, Any]:
    """Explain one photo and write its picture; what there is to say of it."""
    from deconvnet.picture import save_picture
    from deconvnet.preprocess import load_photo

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    chances = net.probabilities(x)[0]
    _check_target(target, tuple(chances.shape[1:]))
    result = net.explain(x, target)
    (unit,) = result.units
    for index in unit.position or ():
        chances = chances[:, index]
    chances = chances.flatten()
    answer, shown = int(chances.argmax()), unit.channel or 0
    label, chance = loaded.label(shown), float(chances[shown])
    title = f"{label}, {_percent(chance)}"
    if shown != answer:
        title += f"; the network's answer: {loaded.label(answer)}, {_percent(float(chances[answer]))}"
    picture = result.beside(read, loaded.preprocess, words=f"{label}, carried down ({net.rules.name})", title=title)
    save_picture(picture, place, force=force)
    return {
        "photo": photo,
        "class": shown,
        "label": label,
        "probability": chance,
        "answer": {"class": answer, "label": loaded.label(answer), "probability": float(chances[answer])},
        "rules": result.rules.name,
        "notes": list(result.notes),
        "file": str(place),
    }


def _check_target(target: int | tuple[int, int, int] | None, size: tuple[int, ...]) -> None:
    """Whether the target suits an answer of that size.

    Raises:
        TargetError: a map needs a place, and a list of classes has none.
    """
    if size and not isinstance(target, tuple):
        across = "x".join(map(str, size))
        raise TargetError(f"the network answers with maps of {across}: choose a class and a place, --target CLASS,Y,X.")
    if not size and isinstance(target, tuple):
        raise TargetError("the network's answer is no map and has no places: choose a class alone, --target CLASS.")


def _explained(row: dict[str, Any]) -> str:
    words = f"{row['photo']}: {row['label']}, {_percent(row['probability'])}"
    if row["class"] != row["answer"]["class"]:
        words += f" (the network's answer: {row['answer']['label']}, {_percent(row['answer']['probability'])})"
    return "\n".join([f"{words} -> {row['file']}", *(f"  note: {note}" for note in row["notes"])])


def _percent(chance: float) -> str:
    if chance < 0.0005:
        return "under 0.1 %"
    return f"{100 * chance:.1f} %" if chance < 0.1 else f"{100 * chance:.0f} %"


@app.command()
@o.with_model_flags
def project(
    photo: Photo,
    layer: Annotated[str, typer.Option("--layer", "-l", help="A layer's name, as deconvnet layers prints it.")],
    channel: Annotated[
        str, typer.Option("--channel", "-c", help="Feature maps: a number, 3,5,8, all, or top:16.")
    ] = "top:9",
    position: Annotated[
        str | None,
        typer.Option("--position", help="y,x of the units; each map's strongest by default.", show_default=False),
    ] = None,
    crop: Annotated[
        Literal["energy", "field", "none"],
        typer.Option(help="What a picture shows: where 99 % of its energy lies, the receptive field, or all."),
    ] = "energy",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The sheet's file.", show_default="./NAME.LAYER.png")
    ] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """Carry units of a layer down to the pixels: each reconstruction beside its patch of the photo."""
    in_a_name = re.sub(r"[^\w.#-]", "_", layer)
    (place,) = _places([photo], output, f".{in_a_name}.png", force)
    chosen = _channel(channel)
    where = o.numbers("--position", position, whole=True)
    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    from deconvnet.picture import save_picture
    from deconvnet.preprocess import load_photo

    read = load_photo(photo)
    x = loaded.preprocess.images(read).to(loaded.example_input)
    result = net.project(x, layer, channel=chosen, position=where)
    title = f"layer {layer} of {Path(loaded.spec).name} on {read.name} ({net.rules.name})"
    sheet = result.sheet([read], loaded.preprocess, crop=crop, title=title)
    save_picture(sheet, place, force=force)
    units = [
        {"channel": unit.channel, "position": unit.position, "activation": activation, "box": box}
        for unit, activation, box in zip(result.units, result.activations.tolist(), result.boxes.tolist(), strict=True)
    ]
    report = {"photo": photo, "layer": layer, "units": units, "rules": result.rules.name,
              "notes": list(result.notes), "file": str(place)}  # fmt: skip
    if as_json:
        print(json.dumps(report, indent=2))
        return
    print(f"{photo}: {len(units)} units of {layer} -> {place}")
    for note in result.notes:
        print(f"  note: {note}")


@app.command()
@o.with_model_flags
def layers(
    as_json: o.Json = False,
    rules: o.Rules = "deconvnet",
    smooth: o.Smooth = "refuse",
    *,
    flags: o.ModelFlags,
) -> None:
    """List a network's layers: names, shapes, receptive fields, and the way down through each."""
    loaded = flags.load()
    net = flags.attach(loaded, rules=rules, smooth=smooth)
    if as_json:
        print(json.dumps([vars(info) for info in net.layers.values()], indent=2))
    else:
        print(net)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture's file.")] = DEMO,
    force: o.Force = False,
    as_json: o.Json = False,
) -> None:
    """Explain a photo of a cat with the bundled network: a first look that fetches nothing."""
    again = force or output == DEMO  # the demo's own picture may be made anew
    (place,) = _places(["sample:chelsea"], output, ".explain.png", again)
    flags = o.ModelFlags()
    loaded = flags.load()
    row = _explain(flags.attach(loaded), loaded, "sample:chelsea", None, place, again)
    if as_json:
        print(json.dumps(row, indent=2))
        return
    print(
        f"The bundled network takes scikit-image's photo of a cat for: {row['label']}, "
        f"{_percent(row['probability'])}.\n"
        f"The picture is {place.resolve()}: left the photo as the network sees it, in the middle the class\n"
        "carried down to the pixels through the network's own filters, right the places in the photo\n"
        "where that signal is strong."
    )


def _channel(text: str) -> int | list[int] | str:
    """Feature maps as `project` takes them, which refuses what is none of its words."""
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        return text
    several = [int(number) for number in text.split(",")]
    return several[0] if len(several) == 1 else several


def _places(photos: list[str], output: Path | None, suffix: str, force: bool) -> list[Path]:
    """Where each photo's picture goes, checked before any work; photos of one name get numbers.

    Raises:
        ArgumentError: a folder is missing, a format is unknown, or a file is there already.
    """
    several = len(photos) > 1 or (output is not None and output.is_dir())
    folder = Path() if output is None else output if several else output.parent
    if not folder.is_dir():
        raise ArgumentError(f"-o {str(output)!r}: there is no folder {str(folder)!r}. Make it first.")
    names = _names(photos, suffix) if several or output is None else [output.name]
    _check_suffix(names[0])
    there = [folder / name for name in names if os.path.lexists(folder / name)]
    if there and not force:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise ArgumentError(f"{str(there[0])!r}{more} there already. Pass --force to overwrite, or -o another place.")
    return [folder / name for name in names]


def _names(photos: list[str], suffix: str) -> list[str]:
    """A file name for each photo's picture, no two alike on any disk."""
    names: dict[str, str] = {}
    for photo in photos:
        stem = Path(photo.removeprefix("sample:")).stem
        numbered = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
        name = next(name for name in numbered if name.casefold() not in names)
        names[name.casefold()] = name + suffix
    return list(names.values())


def _check_suffix(name: str) -> None:
    from deconvnet.picture import SUFFIXES

    if Path(name).suffix.lower() not in SUFFIXES:
        raise ArgumentError(f"{name!r} does not end in one of {', '.join(SUFFIXES)}.")


def _progress(items: list[Any]) -> Iterator[Any]:
    """The items, with a bar on stderr where there are several and someone watches."""
    from rich.console import Console
    from rich.progress import Progress

    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    # results that go to a file or a pipe must not be drawn into the bar
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        yield from bar.track(items, description="photos")
