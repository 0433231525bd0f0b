"""The flags that commands share, and what they become."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import typer

from deconvnet._errors import ArgumentError

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet

PANEL = "Model"
MOST_PHOTOS = 2**53 - 1
MOST_SEED = 2**32 - 1
_MOST_MAPS = 10**6
MODEL_HELP = (
    "zfnet-mini (bundled), torchvision:NAME, timm:NAME (append @random for random weights, ?num_classes=N for your "
    "own), FILE.pt2, FILE.py:FUNCTION, or PACKAGE.MODULE:FUNCTION. The last three are your own code and can run code."
)

Rules = Annotated[
    Literal["deconvnet", "guided", "gradient"], typer.Option(help="Rule set for the way down.", case_sensitive=False)
]
Smooth = Annotated[
    Literal["refuse", "rectify", "gradient"] | None,
    typer.Option(
        help="Activations other than ReLU: refuse them, treat them as ReLU, or differentiate them.",
        show_default="refuse; gradient with --rules gradient",
    ),
]


ValueRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW,HIGH",
        help="Values that are black and white in the photos: 0,4095 for 12 bits in 16; -1000,400 for CT numbers.",
        show_default="what each file says, or its type",
        rich_help_panel=PANEL,
    ),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Let .parquet files, and lists behind a URL, name files outside their own folder.",
    ),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--suffix",
        help="Suffix of the photo in each sample of .tar shards, such as .jpg or .mask.png; * for all of them.",
        show_default="the only photo",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with exit code 1 if any photo cannot be used.")]


class Reading(TypedDict):
    """The options of `open_photos`."""

    allow_outside: bool
    suffix: str | None


@dataclass(frozen=True)
class PhotoFlags:
    """The flags that say how photos are read, and what follows if one cannot be."""

    allow_outside: AllowOutside = False
    suffix: Suffix = None
    strict: Strict = False

    @property
    def options(self) -> Reading:
        """What `open_photos` takes, and whatever opens photos through it."""
        return {"allow_outside": self.allow_outside, "suffix": self.suffix}


_flag = partial(typer.Option, rich_help_panel=PANEL)


@dataclass(frozen=True)
class ModelFlags:
    """The flags that say which network is looked at, and by which rules."""

    rules: Rules = "deconvnet"
    smooth: Smooth = None
    model: Annotated[str, _flag("--model", "-m", help=MODEL_HELP)] = "zfnet-mini"
    weights: Annotated[
        Path | None,
        _flag(
            help="Weights file: safetensors, or a checkpoint. FILE:KEY names one of several sets of weights in it.",
            show_default="the model's own",
        ),
    ] = None
    size: Annotated[str | None, _flag(help="Input size: 224; 240,320 (height, width); or 32,96,96 for volumes.")] = None
    mean: Annotated[str | None, _flag(help="Mean of each input channel: 0.485,0.456,0.406.")] = None
    std: Annotated[str | None, _flag(help="Standard deviation of each input channel: 0.229,0.224,0.225.")] = None
    input_channels: Annotated[
        int | None,
        _flag(help="Number of input channels: 1 (grey), 3 (colour), or as many as arrays in .npy or TIFF files hold."),
    ] = None
    value_range: ValueRange = None
    labels: Annotated[
        str | None,
        _flag(
            help="Class names: a file (text with a name per line, CSV, or JSON), imagenet, or imagenette. "
            "FILE.csv:COLUMN names a column.",
        ),
    ] = None
    device: Annotated[str | None, _flag(help="Device: cpu, cuda, cuda:1, mps ...")] = None
    precision: Annotated[
        Literal["float16", "bfloat16", "tf32", "float32", "float64"] | None,
        _flag(
            help="Type of the numbers, whatever that of the weights. tf32 is float32 whose products a GPU may shorten.",
            show_default="that of the weights, never shortened",
        ),
    ] = None
    deterministic: Annotated[
        bool, _flag("--deterministic", help="Use algorithms that give the same bits every time on a GPU.")
    ] = False
    class_output: Annotated[str | None, _flag(help="Name or index of the output that holds the class scores.")] = None
    memory: Annotated[
        str | None, _flag(help="Memory budget, such as 2GB.", show_default="a quarter of what is free")
    ] = None
    directions: Annotated[
        Path | None,
        _flag(
            help="File of directions in the maps of the layer --at, safetensors with weight and bias: they become the "
            "feature maps of a layer called directions.",
            show_default="none",
        ),
    ] = None
    at: Annotated[str | None, _flag("--at", help="Layer that the directions are of.", show_default="none")] = None

    def load(self) -> "LoadedModel":
        """The model that the flags name."""
        from deconvnet.models.load import load_model

        return load_model(
            self.model,
            weights=self.weights,
            size=parse_numbers("--size", self.size, whole=True),
            mean=parse_numbers("--mean", self.mean),
            std=parse_numbers("--std", self.std),
            channels=self.input_channels,
            value_range=parse_numbers("--range", self.value_range),
            labels=self.labels,
            device=self.device,
        )

    def attach(self, loaded: "LoadedModel") -> "DeconvNet":
        """A deconvnet on the loaded model, with the directions if there are any.

        Raises:
            ArgumentError: one of --directions and --at without the other, or directions that are not the layer's.
        """
        from deconvnet.models.direction_file import read_directions
        from deconvnet.network import DeconvNet

        if (self.directions is None) != (self.at is None):
            raise ArgumentError("--directions and --at go together: a file, and the layer that they are of.")
        net = DeconvNet(
            loaded.model,
            loaded.example_input,
            rules=self.rules,
            smooth=self.smooth,
            output=self.class_output,
            memory=self.memory,
            labels=loaded.labels,
            precision=self.precision,
            deterministic=self.deterministic,
        )
        if self.directions is None or self.at is None:
            return net
        weight, bias = read_directions(self.directions)
        return net.with_directions(self.at, weight, bias)


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of dataclasses, such as `PhotoFlags` and `ModelFlags`, as flags of its own.

    They stand where the parameters of these types stand.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}

    @wraps(command)
    def with_groups(**values: Any) -> None:
        flags = {name: group(**{f.name: values.pop(f.name) for f in fields(group)}) for name, group in groups.items()}
        command(**values, **flags)

    flags_of = {name: inspect.signature(group, eval_str=True).parameters.values() for name, group in groups.items()}
    each = [p for parameter in parameters for p in flags_of.get(parameter.name, (parameter,))]
    expanded = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in each]
    vars(with_groups)["__signature__"] = inspect.Signature(expanded)
    with_groups.__annotations__ = {p.name: p.annotation for p in expanded}
    return with_groups


PHOTO_HELP = "Photo file, or sample:chelsea, sample:astronaut, sample:coffee or sample:rocket."
LAYER_HELP = "Layer name, as printed by deconvnet layers."
PHOTOS_HELP = (
    f"{PHOTO_HELP.removesuffix('.')}; or a folder, a .txt list, a quoted pattern, .tar or .parquet shards, or a URL of "
    "any of these."
)
Photos = Annotated[list[str], typer.Argument(metavar="PHOTO", help=PHOTOS_HELP, show_default=False)]
PhotoSet = Annotated[
    str,
    typer.Argument(metavar="PHOTOS", help="Folder, .txt list, .tar or .parquet shards, or a URL of any of these."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        help="Use at most this many photos, evenly spaced in the set.",
        show_default="all",
        min=1,
        max=MOST_PHOTOS,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        help="Use at most this many photos, drawn at random with --seed.",
        show_default="all",
        min=1,
        max=MOST_PHOTOS,
    ),
]
Layer = Annotated[str, typer.Option("--layer", "-l", help=LAYER_HELP)]
CHANNEL = ("--channel", "--feature-map", "-c")
Position = Annotated[
    str | None,
    typer.Option("--position", help="Position y,x of the units.", show_default="the strongest of each feature map"),
]
_TARGET_HELP = (
    "Class name or index. Where the network outputs a map, it stands for all positions where the class wins, and "
    "CLASS,Y,X for one position. Of a detector it is the strongest answer of that class, and LEVEL,ANCHOR,CLASS,Y,X is "
    "one; * stands for any."
)
_TARGET: dict[str, Any] = {"metavar": "CLASS", "show_default": "the predicted class"}
Target = Annotated[list[str] | None, typer.Option("--target", "-t", help=_TARGET_HELP, **_TARGET)]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", help=f"{_TARGET_HELP} Repeat the flag for several classes.", **_TARGET),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run; a finished one stays as it is.")]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Take the place of a run on another machine that is known to be gone."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


def output(words: str, default: str) -> Any:
    """The flag that says where a picture goes; a text, because as a path an empty one would be the current folder.

    Args:
        words: help.
        default: where it goes otherwise, in words.
    """
    return typer.Option("--output", "-o", metavar="PATH", help=words, show_default=default)


def parse_numbers(flag: str, text: str | None, *, whole: bool = False) -> Any:
    """The numbers in a flag's text: a single number, a tuple of those separated by commas, or None for None.

    Args:
        flag: for messages.
        text: what the user gave.
        whole: take whole numbers only, as int; otherwise floats.

    Raises:
        ArgumentError: the text is something else.
    """
    if text is None:
        return None
    try:
        values = tuple((int if whole else float)(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(f"{flag} takes numbers separated by commas; got {text!r}.") from None
    return values if len(values) > 1 else values[0]


def feature_maps(text: str) -> int | list[int] | str:
    """Channels as `project` takes them: indices and ranges such as 0-15,47, each once and in the order given.

    Any other text comes back as it is, such as "all" or "top:16"; `project` refuses what it does not know.

    Raises:
        ArgumentError: too many, or a range that counts downwards.
    """
    if not re.fullmatch(r"\d{1,18}(-\d{1,18})?(,\d{1,18}(-\d{1,18})?)*", text):
        return text
    spans = [[int(end) for end in part.split("-")] for part in text.split(",")]
    for first, last in ((span[0], span[-1]) for span in spans):
        if first > last:
            raise ArgumentError(f"--channel {first}-{last} counts downwards. Give {last}-{first}.")
    if sum(span[-1] - span[0] + 1 for span in spans) > _MOST_MAPS:
        raise ArgumentError(f"--channel takes at most {_MOST_MAPS:,} feature maps; got {text!r}.")
    channels = list(dict.fromkeys(index for span in spans for index in range(span[0], span[-1] + 1)))
    return channels[0] if text.isdecimal() else channels


def feature_map(text: str | None) -> int | None:
    """A single channel; None for None.

    Raises:
        ArgumentError: the text is something else.
    """
    channels = None if text is None else feature_maps(text)
    if isinstance(channels, list) and len(channels) == 1:
        return channels[0]
    if isinstance(channels, list | str):
        raise ArgumentError(f"--channel takes one feature map here, such as 145; got {text!r}.")
    return channels
