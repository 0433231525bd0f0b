"""The flags of `deconvnet learn`: which network learns, and how."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer

from deconvnet._errors import ArgumentError
from deconvnet.cli.options import parse_numbers

if TYPE_CHECKING:
    from deconvnet.learn.net import AdaptiveDeconvNet
    from deconvnet.learn.photos import Prepare

_ITERATIONS, _STEPS = 30, 10  # as `learn_photos` has them


@dataclass(frozen=True)
class NetFlags:
    """The flags that say which network learns, and what its photos are like."""

    maps: Annotated[str, typer.Option(help="Number of feature maps in each layer, from the lowest.")] = "15,50"
    kernel: Annotated[
        str, typer.Option("--filter", help="Side of the filters in pixels, for all layers or for each.")
    ] = "7"
    pool: Annotated[str, typer.Option(help="Height, width and number of neighbouring maps to pool over; or none.")] = (
        "3,3,2"
    )
    lam: Annotated[
        str, typer.Option(help="Weight of sparsity, for all layers or for each; lambda in the papers is 1/lam.")
    ] = "0.5"
    boundary: Annotated[
        Literal["valid", "circular", "zero"], typer.Option(help="How filters meet the border of an image.")
    ] = "valid"
    size: Annotated[int, typer.Option(help="Longer side in pixels to which photos are resized.", min=16)] = 150
    colour: Annotated[bool, typer.Option("--colour", help="Learn from colour instead of grey.")] = False
    device: Annotated[str | None, typer.Option(help="Device: cpu, cuda, cuda:1, mps ...", show_default="cpu")] = None

    @property
    def channels(self) -> int:
        """Of the photos."""
        return 3 if self.colour else 1

    def net(self, seed: int) -> "AdaptiveDeconvNet":
        """The network with its first filters."""
        from deconvnet.learn.net import AdaptiveDeconvNet
        from deconvnet.models.load import usable_device

        maps = parse_numbers("--maps", self.maps, whole=True)
        net = AdaptiveDeconvNet.of(
            (maps,) if isinstance(maps, int) else maps,
            channels=self.channels,
            kernel=parse_numbers("--filter", self.kernel, whole=True),
            pool=None if self.pool == "none" else parse_numbers("--pool", self.pool, whole=True),
            lam=parse_numbers("--lam", self.lam),
            boundary=self.boundary,
            seed=seed,
        )
        return net if self.device is None else net.to(usable_device(self.device))

    def prepare(self, value_range: str | None) -> "Prepare":
        """How photos become its input."""
        from deconvnet.learn.photos import Prepare

        return Prepare(self.size, self.channels, value_range=parse_numbers("--range", value_range))


class Training(TypedDict):
    """The options of `learn_photos` that say how to learn."""

    epochs: int | tuple[int, ...]
    batch: int
    update_by: Literal["online", "conjugate"]
    solver: Literal["auto", "dr", "fista", "ista"]
    max_iter: int
    steps: int


@dataclass(frozen=True)
class TrainingFlags:
    """The flags that say how to learn."""

    epochs: Annotated[str, typer.Option(help="Passes over the photos, for all layers or for each.")] = "1"
    batch: Annotated[int, typer.Option(help="Photos in each update.", min=1)] = 4
    update: Annotated[
        Literal["online", "conjugate"],
        typer.Option(help='How filters are updated ("conjugate": as in the paper).'),
    ] = "online"
    solver: Annotated[
        Literal["auto", "dr", "fista", "ista"],
        typer.Option(help='Solver for the feature maps ("ista": as in the paper).'),
    ] = "auto"
    iterations: Annotated[
        int | None, typer.Option(help="Maximum iterations of the solver.", min=1, show_default=str(_ITERATIONS))
    ] = None
    steps: Annotated[int | None, typer.Option(help='Steps of the solver "ista".', min=1, show_default=str(_STEPS))] = (
        None
    )

    @property
    def options(self) -> Training:
        """What `learn_photos` takes.

        Raises:
            ArgumentError: one is not for the solver.
        """
        if self.solver == "ista" and self.iterations is not None:
            raise ArgumentError("--iterations does not apply to --solver ista. Use --steps.")
        if self.solver != "ista" and self.steps is not None:
            raise ArgumentError(
                f"--steps does not apply to --solver {self.solver}. Use --iterations, or --solver ista."
            )
        return {
            "epochs": parse_numbers("--epochs", self.epochs, whole=True),
            "batch": self.batch,
            "update_by": self.update,
            "solver": self.solver,
            "max_iter": self.iterations or _ITERATIONS,
            "steps": self.steps or _STEPS,
        }
