"""The flags that every command shares, and what they become."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deconvnet._errors import ArgumentError

if TYPE_CHECKING:
    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet

PANEL = "Model"
HELP = (
    "zfnet-mini (bundled), torchvision:NAME, timm:NAME (with @random for no weights), FILE.pt2, or "
    "FILE.py:FUNCTION. The last two are your own code and can run code."
)


@dataclass(frozen=True)
class ModelFlags:
    """The flags that say which network, and on what."""

    model: Annotated[str, typer.Option("--model", "-m", help=HELP, rich_help_panel=PANEL)] = "zfnet-mini"
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights: safetensors, or a checkpoint of tensors.", rich_help_panel=PANEL),
    ] = None
    size: Annotated[
        str | None, typer.Option(help="Input size: 224, or 240,320 (height, width).", rich_help_panel=PANEL)
    ] = None
    mean: Annotated[str | None, typer.Option(help="Mean per channel: 0.485,0.456,0.406.", rich_help_panel=PANEL)] = None
    std: Annotated[
        str | None, typer.Option(help="Deviation per channel: 0.229,0.224,0.225.", rich_help_panel=PANEL)
    ] = None
    channels: Annotated[int | None, typer.Option(help="Channels of the input: 1 or 3.", rich_help_panel=PANEL)] = None
    labels: Annotated[
        str | None,
        typer.Option(help="Class names: a file, one a line; or imagenet, imagenette.", rich_help_panel=PANEL),
    ] = None
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps ...", rich_help_panel=PANEL)] = None
    output_name: Annotated[
        str | None, typer.Option(help="Which of several outputs holds the classes.", rich_help_panel=PANEL)
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory budget, such as 2GB.",
            show_default="a quarter of what is free",
            rich_help_panel=PANEL,
        ),
    ] = None

    def load(self) -> "LoadedModel":
        """The model that the flags name."""
        from deconvnet.models.load import load_model

        return load_model(
            self.model,
            weights=self.weights,
            size=numbers("--size", self.size, whole=True),
            mean=numbers("--mean", self.mean),
            std=numbers("--std", self.std),
            channels=self.channels,
            labels=self.labels,
            device=self.device,
        )

    def attach(self, loaded: "LoadedModel", **options: Any) -> "DeconvNet":
        """A deconvnet on the loaded model."""
        from deconvnet.network import DeconvNet

        output, memory = self.output_name, self.memory
        return DeconvNet(loaded.model, loaded.example_input, output=output, memory=memory, **options)


def with_model_flags(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of `ModelFlags` as flags of its own, in place of its parameter `flags`."""
    names = [field.name for field in fields(ModelFlags)]
    own = inspect.signature(command, eval_str=True)
    expanded = inspect.signature(ModelFlags, eval_str=True).parameters.values()
    kept = [parameter for name, parameter in own.parameters.items() if name != "flags"]

    @wraps(command)
    def expanding(**values: Any) -> None:
        flags = ModelFlags(**{name: values.pop(name) for name in names})
        command(**values, flags=flags)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *expanded)]
    vars(expanding)["__signature__"] = own.replace(parameters=parameters)
    expanding.__annotations__ = {p.name: p.annotation for p in parameters}
    return expanding


Rules = Annotated[Literal["deconvnet", "guided", "gradient"], typer.Option(help="The way down.", case_sensitive=False)]
Smooth = Annotated[
    Literal["refuse", "rectify", "gradient"],
    typer.Option(help="Activations that are no rectifiers: refuse, treat as rectifiers, or differentiate."),
]
PHOTO_HELP = "A photo's file, or sample:chelsea, sample:astronaut, sample:coffee, sample:rocket."
Photos = Annotated[list[str], typer.Argument(metavar="PHOTO...", help=PHOTO_HELP, show_default=False)]
Photo = Annotated[str, typer.Argument(metavar="PHOTO", help=PHOTO_HELP, show_default=False)]
Layer = Annotated[str, typer.Option("--layer", "-l", help="A layer's name, as deconvnet layers prints it.")]
Position = Annotated[
    str | None,
    typer.Option("--position", help="y,x of the units; each map's strongest by default.", show_default=False),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="CLASS",
        help="A class by name or number; CLASS,Y,X for networks that answer with a map.",
        show_default="the network's answer",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files.")]


def numbers(flag: str, text: str | None, *, whole: bool = False) -> Any:
    """Numbers separated by commas; one alone as it is; None for None.

    Raises:
        ArgumentError: something else.
    """
    if text is None:
        return None
    try:
        several = tuple((int if whole else float)(part) for part in text.split(","))
    except ValueError:
        raise ArgumentError(f"{flag} takes numbers separated by commas; got {text!r}.") from None
    return several[0] if whole and len(several) == 1 else several


def channels(text: str) -> int | list[int] | str:
    """Feature maps as `project` takes them, which refuses what is none of its words."""
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        return text
    several = [int(number) for number in text.split(",")]
    return several[0] if len(several) == 1 else several
