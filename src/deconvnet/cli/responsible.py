"""`deconvnet responsible`: the units that a class rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deconvnet._checks import whole_number
from deconvnet.cli import options as o
from deconvnet.cli.classes import answer_words, check_single, check_targets, class_facts, class_words
from deconvnet.cli.figure import FORMATS, FigureFlags
from deconvnet.cli.files import output_paths, picture_paths, save_in_folder
from deconvnet.cli.network import Network, open_network
from deconvnet.cli.photos import PhotoInput, open_inputs
from deconvnet.cli.progress import progress
from deconvnet.cli.project import unit_facts
from deconvnet.cli.result import Result, counted, end, failure, of_photo, print_each, print_result
from deconvnet.cli.stderr import prints_on_stderr, say
from deconvnet.pictures.numbers import percent

_MOST_NAMED = 3  # of the answers, in a title

if TYPE_CHECKING:
    from deconvnet.photos.photo import Photo
    from deconvnet.photos.preprocess import Preprocess
    from deconvnet.results.responsible import Responsible
    from deconvnet.results.responsible_maps import ResponsibleMaps


@o.with_flags
def responsible(
    photos: o.Photos,
    target: o.Target = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            "-l",
            help=o.LAYER_HELP,
            show_default="the last rectified maps on the way to the class",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of units at most; with --sum, of feature maps.")] = 9,
    per_map: Annotated[
        int, typer.Option("--per-map", help="Number of units of a feature map at most; 0 for any number.", min=0)
    ] = 1,
    add_up: Annotated[
        bool,
        typer.Option("--sum", help="The feature maps that the class rests on over all photos; drawn with -o alone."),
    ] = False,
    output: Annotated[str | None, o.output(f"{FORMATS} A folder for several photos.", "./NAME.responsible.png")] = None,
    force: o.Force = False,
    as_json: o.Json = False,
    *,
    figure: FigureFlags,
    reading: o.PhotoFlags,
    flags: o.ModelFlags,
) -> None:
    """Show the units of a layer that a class rests on: where they lie in the photo, and the picture of each.

    They are the units with the largest product of activation and signal of the class. A share is relative to the sum
    of all products above zero on the layer. --sum adds the shares up over photos, by feature map; with -o it draws the
    strongest maps, each by its strongest unit in the photo where its share is the largest. A photo that cannot
    be used is reported, and the others go on.
    """
    check_single(target)
    inputs = open_inputs(photos, reading)
    if add_up:
        whole_number("-k", k, least=1)
        path = None if output is None else output_paths(["maps"], output, ".responsible.png", force=force)[0]
        drawing = None if path is None else _Drawing(path, figure, force)
        network = open_network(flags, target)
        _print_sum(network, inputs, layer, k, drawing, as_json=as_json, strict=reading.strict)
        return
    paths = picture_paths(inputs, output, ".responsible.png", force=force)
    network = open_network(flags, target)

    def draw(photo: PhotoInput, path: Path) -> Result:
        return _draw(network, photo, path, figure, layer=layer, k=k, per_map=per_map, force=force)

    print_each(inputs, paths, draw, shared=network.facts, as_json=as_json, strict=reading.strict)


def _draw(
    network: Network,
    photo: PhotoInput,
    path: Path,
    figure: FigureFlags,
    *,
    layer: str | None,
    k: int,
    per_map: int,
    force: bool,
) -> Result:
    """Write the picture of one photo."""
    loaded, net = network.loaded, network.net
    loaded_photo, x = network.read(photo)
    probabilities = net.probabilities(x)[0]
    check_targets(network.targets, tuple(probabilities.shape[1:]))
    result = net.responsible(x, network.target, layer=layer, k=k, per_map=per_map)
    facts = class_facts(loaded, probabilities, result.classes, alone=network.classes_alone)
    title = f"{class_words(facts)}: units of {result.layer} that it rests on ({net.rules.name})"
    title += answer_words(facts, "; {}")
    save_in_folder(result.beside(loaded_photo, loaded.preprocess, **figure.layout(title)), path, force=force)
    units = _unit_facts(result)
    return Result(
        f"{photo.name}: {class_words(facts)}{answer_words(facts, ' ({})')}: {_words(units, result.layer)} -> {path}",
        {
            **facts,
            "layer": result.layer,
            "units": units,
            "notes": network.notes(loaded_photo, result),
            "file": str(path),
        },
    )


def _unit_facts(result: "Responsible") -> list[dict[str, Any]]:
    columns = zip(result.signals.tolist(), result.contributions.tolist(), result.shares.tolist(), strict=True)
    return [
        {**facts, "signal": signal, "contribution": contribution, "share": share}
        for facts, (signal, contribution, share) in zip(unit_facts(result.units), columns, strict=True)
    ]


def _words(units: list[dict[str, Any]], layer: str) -> str:
    from deconvnet.results.responsible import CONTRIBUTIONS

    share = percent(sum(unit["share"] for unit in units))
    return f"{counted(len(units), 'unit')} of {layer} with {share} of {CONTRIBUTIONS}"


@dataclass(frozen=True, eq=False)
class _Loading(Sequence["Photo"]):
    """Photos, each decoded when it is asked for."""

    inputs: Sequence[PhotoInput]
    preprocess: "Preprocess"
    notes: dict[str, None] = field(default_factory=dict)  # of those that were decoded, each once

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, i: Any) -> Any:
        photo = self.inputs[i].load(self.preprocess)
        self.notes.update(dict.fromkeys(self.preprocess.notes(photo)))
        return photo


@dataclass(frozen=True)
class _Drawing:
    """Where a figure goes, and how it looks."""

    path: Path
    figure: FigureFlags
    force: bool

    def draw(self, network: Network, result: "ResponsibleMaps", inputs: Sequence[PhotoInput], title: str) -> None:
        """Write the strongest maps of a result, whose photos are named by their indices among the inputs."""
        preprocess, used = network.loaded.preprocess, [inputs[int(index)] for index in result.photos]
        drawn = set() if result.examples is None else {unit.image for unit in result.examples.units}
        photos = [photo.load(preprocess) if i in drawn else photo.name for i, photo in enumerate(used)]
        named = replace(result, photos=tuple(photo.name for photo in used))
        layout = self.figure.layout(f"{title} ({network.net.rules.name})")
        save_in_folder(named.sheet(photos, preprocess, **layout), self.path, force=self.force)


def _print_sum(
    network: Network,
    inputs: Sequence[PhotoInput],
    layer: str | None,
    k: int,
    drawing: _Drawing | None,
    *,
    as_json: bool,
    strict: bool,
) -> None:
    """Print the feature maps that the class rests on over all photos, and draw them."""
    from deconvnet.over_photos import responsible_maps
    from deconvnet.results.responsible import CONTRIBUTIONS

    loading = _Loading(inputs, network.loaded.preprocess)
    with progress(quiet=len(inputs) < 2, lines=True) as report_progress, prints_on_stderr():
        result = responsible_maps(
            network.net, loading, network.target, layer, loaded=network.loaded,
            examples=0 if drawing is None else k,
            progress=lambda done, total: report_progress("photos", done, total, ""),
        )  # fmt: skip
    skipped = [(inputs[int(index)], why.removeprefix(f"cannot read '{index}': ")) for index, why in result.skipped]
    for photo, why in skipped:
        say(of_photo(photo, why))
    classes = sorted(set(result.answers))
    more = f" and {len(classes) - _MOST_NAMED} more" if len(classes) > _MOST_NAMED else ""
    what = "the network's answers" if network.target is None else ", ".join(classes[:_MOST_NAMED]) + more
    maps = [{"channel": channel, "share": share} for channel, share in result.strongest(k)]
    facts = {
        **network.facts, "layer": result.layer, "classes": classes, "maps": maps, "used": len(result),
        "failed": [failure(**photo.facts(), error=why) for photo, why in skipped],
        "notes": [*loading.notes, *result.notes],
    }  # fmt: skip
    title = f"{what} in {counted(len(result), 'photo')}: maps of {result.layer}"
    lines = [f"{title}, each with its share of {CONTRIBUTIONS}"]
    if drawing is not None:
        drawing.draw(network, result, inputs, title)
        facts["file"], lines[0] = str(drawing.path), f"{lines[0]} -> {drawing.path}"
    lines += [f"  map {channel}: {percent(share)}" for channel, share in result.strongest(k)]
    print_result(Result("\n".join(lines), facts), as_json=as_json)
    end(used=len(result), failed=len(skipped), named=any(photo.named for photo, _ in skipped), strict=strict)
