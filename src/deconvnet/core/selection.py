"""One forward pass, seen as a pass over some of its images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from deconvnet._devices import sent
from deconvnet.core.rules import Memory
from deconvnet.core.up import Trace


def of_images(trace: Trace, rows: Int[np.ndarray, " m"]) -> Trace:
    """The pass as one that had some of its images, any of them several times, as its batch.

    Only for networks that keep their images apart. What was remembered is selected when it is asked for; the values
    are left out.
    """
    return Trace(len(rows), {}, _Selected(trace.memory, rows, trace.images), trace.tensors)


@dataclass(frozen=True)
class _Selected(Mapping[str, Memory]):
    memory: Mapping[str, Memory]
    rows: Int[np.ndarray, " m"]
    images: int
    _sent: dict[torch.device, Int[Tensor, " m"]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Memory:
        return {key: self._of_images(tensor) for key, tensor in self.memory[name].items()}

    def get(self, name: str, default: Any = None) -> Any:
        """As of any mapping, but without an exception for the many steps that remember nothing."""
        return self[name] if name in self.memory else default

    def __iter__(self) -> Iterator[str]:
        return iter(self.memory)

    def __len__(self) -> int:
        return len(self.memory)

    def _of_images(self, memory: Tensor) -> Tensor:
        """What was remembered for each of the images; a view where all are the same one."""
        per_image = memory.view(self.images, len(memory) // self.images, *memory.shape[1:])
        if (self.rows == self.rows[0]).all():
            selected = per_image[int(self.rows[0])].unsqueeze(0).expand(len(self.rows), *per_image.shape[1:])
        else:
            selected = per_image[self._rows_on(memory.device)]
        return selected.flatten(0, 1) if per_image.shape[1] > 1 else selected.squeeze(1)

    def _rows_on(self, device: torch.device) -> Int[Tensor, " m"]:
        """The rows on a device, sent there once."""
        if device not in self._sent:
            self._sent[device] = sent(self.rows, device)
        return self._sent[device]
