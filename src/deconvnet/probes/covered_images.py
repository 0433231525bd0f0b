"""An image with parts of it covered, one after the other, run through a network."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deconvnet.core.finite import all_finite, check_finite
from deconvnet.core.graph import Graph
from deconvnet.engine.attachment import Attachment
from deconvnet.probes.occluders import Occluders
from deconvnet.windows.changed import Changes
from deconvnet.windows.cost import RouteName
from deconvnet.windows.frames import Frames, whole_maps
from deconvnet.windows.kernels import moved

_CHUNK = 256 * 2**20  # bytes that what is worked on at a time may take: more would leave the processor's caches


class Covered:
    """The image with each of its parts covered, run through the network.

    Args:
        engine: the network.
        graph: its capture for the image.
        x: the image.
        filled: what stands in the covered parts.
        given: the parts.
        wanted: by name, the values that are noted, and which maps of them; None for all.
        before: by name, what the image gives as it is, as far as that has been computed.
        route: which steps run in windows.
    """

    def __init__(
        self, engine: Attachment, graph: Graph, x: Tensor, filled: Tensor, given: Occluders,
        wanted: Mapping[str, Tensor | None], before: Mapping[str, Tensor], route: RouteName = "auto",
    ) -> None:  # fmt: skip
        size, boxes = np.array(given.size), given.boxes.numpy()
        low, high = boxes[:, 0].clip(0), np.minimum(boxes[:, 1], size)
        self._changes = Changes(graph, engine.operations.rows, wanted, low, high, route)
        self._model, self._x, self._filled = engine.model, x, filled
        self._given = replace(given, shapes=given.shapes.to(x.device))
        self._source, self._before = graph.input.name, before

    def values(self, budget: int) -> Iterator[tuple[np.ndarray, dict[str, Tensor]]]:
        """Indices of positions, and what is asked for of each.

        Raises:
            NotFiniteError: NaN or infinity where a part is covered.
        """
        changes = self._changes
        batches = changes.batches(min(budget, _CHUNK) // self._x.element_size())
        unchanged = changes.unchanged(self._model, self._x, batches, self._before)
        for batch in batches:
            start = self._covered(batch.indices, batch.windows[self._source])
            values = changes.run(batch, self._model, start, unchanged)
            if not all(map(all_finite, values.values())):
                whole = whole_maps(len(batch.indices), self._given.size)
                covered = self._covered(batch.indices, whole)
                for i in range(len(covered)):
                    check_finite(changes.graph, self._model, covered[i : i + 1], frozenset(changes.wanted))
            yield batch.indices, values

    def _covered(self, indices: np.ndarray, at: Frames) -> Float[Tensor, "m c *window"]:
        """Windows of the image, each with its part covered."""
        x, filled = self._x[0], self._filled[0]
        covered = moved(self._x, whole_maps(1, self._given.size), at, np.zeros(len(indices), dtype=np.int64)).clone()
        for i, index in enumerate(indices.tolist()):
            here, mask = self._given.inside(index)
            part = tuple(slice(s.start - int(c), s.stop - int(c)) for s, c in zip(here, at.low[i], strict=True))
            every = (slice(None), *here)
            covered[i][(slice(None), *part)] = torch.where(mask, filled[every], x[every])
        return covered
