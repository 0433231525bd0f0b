"""Typed values → one self-contained page of HTML. Nothing in it is loaded from anywhere, and no torch is imported."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from deconvnet._checks import escaped, printable
from deconvnet.viewer.rendering import render, static_text

STYLES = ("base.css", "report.css")
SCRIPTS = ("words", "dom", "source", "state", "lists", "photo", "pictures", "steps", "repeat", "page", "embedded")
"""The page's JavaScript, in the order in which it is read; each file says what it needs of those before it."""
_BENCH = (*SCRIPTS[:-1], "live", "compare", "classes", "brush", "marks", "bench")
BENCH_SCRIPTS = tuple(f"{name}.js" for name in (*_BENCH, "served"))
BENCH_STYLES = (*STYLES, "bench.css")


@dataclass(frozen=True)
class SwitchesView:
    """Where a max-pool's switches send a signal, in the part of its strongest map where it is strongest.

    Attributes:
        channel: the map.
        low: row and column of the part's first position.
        size: rows and columns of the part.
        picture: base64 of a WebP image of the signal there, a pixel for each position.
        lines: four numbers for each window that the signal comes through: twice the row and column of its middle, and
            the row and column of its maximum, all within the part.
    """

    channel: int
    low: tuple[int, int]
    size: tuple[int, int]
    picture: str
    lines: tuple[int, ...]


@dataclass(frozen=True)
class CellView:
    """A unit with its pictures.

    Attributes:
        position: index per spatial axis.
        activation: of the forward pass.
        box: top, left, bottom, right of its picture in input pixels; may reach past the border.
        picture: base64 of a WebP image.
        steps: base64 of a WebP image: a square tile for each of its layer's `down`, side by side.
        switches: for each of its layer's `down`, None where no max-pool is undone; those after the last are left out.
    """

    position: tuple[int, ...]
    activation: float
    box: tuple[int, int, int, int]
    picture: str
    steps: str
    switches: tuple[SwitchesView | None, ...]


@dataclass(frozen=True)
class MapView:
    """A feature map and those of its units that have pictures, the strongest first.

    Attributes:
        channel: its index.
        image: base64 of a WebP image of its activations, a pixel each; "" for a layer without spatial axes.
        cells: its units.
    """

    channel: int
    image: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class LayerView:
    """A layer.

    Attributes:
        name: as PyTorch's.
        size: of its maps, per spatial axis.
        channels: how many maps it has.
        alive: how many of them are above zero somewhere.
        field: of input pixels that a unit can reach, per axis.
        down: the layers that a signal passes on its way from here, this one first, as indices into the photo's
            `passed`.
        how: what brings a signal to each of these but the first, and to the pixels, as indices into the photo's
            `words`.
        notes: what a reader of the pictures should know.
        maps: those that are shown, the strongest first.
        left_out: how many units were left out for the page's size.
        trust: how alike the picture of the first unit is to what it should differ from, in words.
    """

    name: str
    size: tuple[int, ...]
    channels: int
    alive: int
    field: tuple[int, ...]
    down: tuple[int, ...]
    how: tuple[int, ...]
    notes: tuple[str, ...]
    maps: tuple[MapView, ...]
    left_out: int
    trust: str = ""


@dataclass(frozen=True)
class PassedView:
    """A layer that signals pass on their way down.

    Attributes:
        name: as PyTorch's.
        forward: base64 of a WebP image of its forward maps, all together.
    """

    name: str
    forward: str


@dataclass(frozen=True)
class OperationsView:
    """What brings a signal to a layer.

    Attributes:
        kind: the paper's operation if it is a single one: "unpool", "rectify" or "filter"; else "".
        lines: in words, such as "pool2: unpool by switches (sum)".
        losses: how well unpooling undoes each max-pool among them, in a sentence each.
    """

    kind: str
    lines: tuple[str, ...]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class ResponsibleView:
    """A unit that a class rests on.

    Attributes:
        layer: index into the photo's `layers`.
        channel: its feature map.
        position: index per spatial axis.
        share: of all contributions above zero on its layer, 0 to 1.
    """

    layer: int
    channel: int
    position: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class ClassView:
    """A class carried down.

    Attributes:
        index: of the class.
        label: its name.
        in_full: the name also says where it stands, as that of a detector's answer.
        target: as it is written on the command line.
        probability: 0 to 1.
        position: y, x for networks that output a map; empty otherwise.
        share: of the positions of such a map where this class is the likeliest; None otherwise.
        box: as in `CellView`; the whole input for networks that do not output a map.
        outline: top, left, bottom and right of the pixels that it starts from; None where these are not known.
        picture: as in `CellView`.
        steps: as in `CellView`.
        switches: as in `CellView`.
        down: as in `LayerView`, without the class itself.
        how: as in `LayerView`, also to the first.
        notes: as in `LayerView`.
        responsible: the units of each layer that it rests on, the one of largest contribution first.
        trust: as in `LayerView`, of its picture.
    """

    index: int
    label: str
    in_full: bool
    target: str
    probability: float
    position: tuple[int, ...]
    share: float | None
    box: tuple[int, int, int, int]
    outline: tuple[int, int, int, int] | None
    picture: str
    steps: str
    switches: tuple[SwitchesView | None, ...]
    down: tuple[int, ...]
    how: tuple[int, ...]
    notes: tuple[str, ...]
    responsible: tuple[ResponsibleView, ...]
    trust: str = ""


@dataclass(frozen=True)
class PhotoView:
    """A photo and everything that is shown of it.

    Attributes:
        name: of its file.
        source: its name in the reproduction snippet; "" for what is not a file.
        image: base64 of a WebP image of what the network sees of it.
        whole: base64 of a small WebP image of the whole photo; "" where the network sees all of it.
        seen: top, left, bottom, right of what the network sees, as shares of the whole photo.
        input_size: height and width of the network's input.
        classes: the likeliest first.
        passed: the layers in the order of the way down.
        words: what is undone on the ways down, each once.
        layers: in the network's order.
        notes: what a reader should know of this photo.
    """

    name: str
    source: str
    image: str
    whole: str
    seen: tuple[float, float, float, float]
    input_size: tuple[int, int]
    classes: tuple[ClassView, ...]
    passed: tuple[PassedView, ...]
    words: tuple[OperationsView, ...]
    layers: tuple[LayerView, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class PageView:
    """A page.

    Attributes:
        model: the network's name.
        rules: the rule set's name.
        setup: lines of Python that make `net` and `loaded`.
        flags: command-line flags for the network and the rules; None where there are none that could name them.
        version: of this package.
        lesson: what the operations "unpool", "rectify" and "filter" do under these rules, in a sentence each.
        photos: what the page is about.
    """

    model: str
    rules: str
    setup: str
    flags: str | None
    version: str
    lesson: dict[str, str]
    photos: tuple[PhotoView, ...] = field(repr=False)


def page_html(page: PageView) -> str:
    """The page, as one string of HTML that needs nothing else."""
    text = render(
        "report.html",
        page=page,
        bench=False,
        style=Markup("".join(map(static_text, STYLES))),
        script=Markup("\n".join(static_text(f"{name}.js") for name in SCRIPTS)),
        data=Markup(as_json(page)),
    )
    return escaped(text)


def bench_html(title: str, about: Mapping[str, object], *, beside: str = "", framed: bool = False) -> str:
    """The bench's page, which asks for what it shows.

    Args:
        title: the network's name.
        about: what the page is told of the network.
        beside: address of an atlas; "" for none.
        framed: a page that needs nothing else and asks what is around its frame; otherwise it asks its server.
    """
    style = Markup("".join(map(static_text, BENCH_STYLES))) if framed else ""
    script = Markup("\n".join(static_text(f"{name}.js") for name in (*_BENCH, "framed"))) if framed else ""
    text = render(
        "bench.html", bench=True, beside=beside, framed=framed, title=title, data=Markup(as_json(about)),
        scripts=BENCH_SCRIPTS, styles=BENCH_STYLES, style=style, script=script,
    )  # fmt: skip
    return escaped(text)


def as_json(value: object) -> str:
    """A dataclass, or words, as JSON that may stand inside a script element, whatever its strings hold."""
    text = json.dumps(value, default=_fields, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _fields(view: Any) -> dict[str, object]:
    """A dataclass's fields, words as they can be printed."""
    return {name: printable(value) if _has_words(value) else value for name, value in vars(view).items()}


def _has_words(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, tuple) and any(isinstance(part, str) for part in value[:1]))


def length(values: Sequence[object]) -> int:
    """Bytes that dataclasses or words take in a page."""
    return sum(len(as_json(value)) + 1 for value in values)
