"""What commands on photos start with: a loaded model, its deconvnet, and photos as its input."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconvnet.cli.classes import Target, class_target
from deconvnet.cli.options import ModelFlags
from deconvnet.cli.photos import PhotoInput
from deconvnet.cli.stderr import prints_on_stderr

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.models.load import LoadedModel
    from deconvnet.network import DeconvNet
    from deconvnet.photos.photo import Photo


@dataclass(frozen=True, eq=False)
class Network:
    """A network as a command uses it.

    Attributes:
        loaded: the model with its preprocessing and labels.
        net: the deconvnet on it.
        targets: the classes that the user named; None alone for the predicted one.
    """

    loaded: "LoadedModel"
    net: "DeconvNet"
    targets: tuple[Target, ...] = (None,)

    @property
    def target(self) -> Target:
        """The only class of commands that take one."""
        (target,) = self.targets
        return target

    @cached_property
    def classes_alone(self) -> bool:
        """Whether the classes of a map do not compete for its positions."""
        from deconvnet.engine.classes import each_alone
        from deconvnet.network import attached

        engine = attached(self.net)
        return each_alone(engine.costs_of_classes(engine.own_graph())[1])

    @property
    def name(self) -> str:
        """What the user called it, without folders."""
        return Path(self.loaded.spec).name

    def notes(self, photo: "Photo", *results: Any) -> list[str]:
        """What a reader should know of how a photo became the input, and of results."""
        return [*self.loaded.preprocess.notes(photo), *(note for result in results for note in result.notes)]

    @property
    def facts(self) -> dict[str, str]:
        """Which network it is, and the way down, for `--json`."""
        return {"model": self.loaded.spec, "rules": self.net.rules.name}

    def read(self, photo: PhotoInput) -> tuple["Photo", "Tensor"]:
        """A photo, and the network's input made of it: (1, c, h, w), of its type and on its device.

        Raises:
            PhotoError: the photo cannot be read.
        """
        loaded_photo = photo.load(self.loaded.preprocess)
        return loaded_photo, as_input(self.loaded, loaded_photo)


@prints_on_stderr()
def open_network(flags: ModelFlags, targets: Sequence[str] | None = None) -> Network:
    """Load the model that the flags name, and attach the deconvnet.

    Raises:
        TargetError: not a class of the network; raised before the capture, which takes longer.
        DeconvNetError: as `load_model` and `DeconvNet`.
    """
    loaded = flags.load()
    named = tuple(class_target(loaded, target) for target in targets or ())
    return Network(loaded, flags.attach(loaded), named or (None,))


def as_input(loaded: "LoadedModel", photo: "Photo") -> "Tensor":
    """The network's input for a photo: (1, c, h, w), of its type and on its device."""
    return loaded.preprocess.images(photo).to(loaded.example_input)
