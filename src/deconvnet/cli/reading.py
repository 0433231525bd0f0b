"""Several photos as one batch, for commands whose result is about all of them together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deconvnet._errors import DeconvNetError
from deconvnet.cli.network import Network, as_input
from deconvnet.cli.photos import PhotoInput
from deconvnet.cli.result import end, failure, of_photo
from deconvnet.cli.stderr import prints_on_stderr, say

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.photos.photo import Photo


@dataclass(frozen=True, eq=False)
class Batch:
    """The photos of a command that could be read.

    Attributes:
        inputs: those that were read, in order.
        indices: of these among all that were named.
        photos: as they were read.
        failed: those that could not be read, and why.
    """

    inputs: Sequence[PhotoInput]
    indices: Sequence[int]
    photos: Sequence["Photo"]
    failed: Sequence[tuple[PhotoInput, str]]

    @property
    def facts(self) -> dict[str, Any]:
        """Which photos were used, and which were not, for `--json`."""
        return {
            "photos": [photo.facts() for photo in self.inputs],
            "failed": [failure(**photo.facts(), error=why) for photo, why in self.failed],
        }

    def images(self, network: Network) -> "Tensor":
        """The network's input: (n, c, h, w), of its type and on its device."""
        import torch

        return torch.cat([as_input(network.loaded, photo) for photo in self.photos])

    def end(self, *, strict: bool) -> None:
        """End the command; as `result.end`."""
        named = any(photo.named for photo, _ in self.failed)
        end(used=len(self.inputs), failed=len(self.failed), named=named, strict=strict)


def without_nan(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table for `--json`, with None for what is not defined."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


@prints_on_stderr()
def read_batch(network: Network, inputs: Sequence[PhotoInput]) -> Batch:
    """Read all photos; one of several that cannot be read is reported on stderr, and the others go on.

    Raises:
        DeconvNetError: none could be read.
    """
    indices, photos, failed = list[int](), list["Photo"](), list[tuple[PhotoInput, str]]()
    for i, photo in enumerate(inputs):
        try:
            loaded = photo.load(network.loaded.preprocess)
            network.loaded.preprocess.levels(loaded)
        except (DeconvNetError, OSError) as error:
            if len(inputs) == 1:
                raise
            failed.append((photo, str(error)))
            say(of_photo(photo, error))
            continue
        indices.append(i)
        photos.append(loaded)
    if not photos:
        raise DeconvNetError(f"none of the {len(inputs)} photos can be used.")
    return Batch([inputs[i] for i in indices], indices, photos, failed)
