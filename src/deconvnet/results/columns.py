"""Units and boxes as the columns of a table."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Int
from torch import Tensor

from deconvnet._types import Unit

Columns = dict[str, list[Any]]


def unit_columns(units: Sequence[Unit], axes: int) -> Columns:
    """`layer`, `channel`, the position (`y` and `x` of an image), `image`, and `name` where one has any; else None.

    Args:
        units: a row each.
        axes: of the input; layers with more have more columns.
    """
    names = _names(max([axes, *(len(unit.position or ()) for unit in units)]))
    positions: Columns = {name: [] for name in names}
    for unit in units:
        position = unit.position or ()
        for name, index in zip(names, (*[None] * (len(names) - len(position)), *position), strict=True):
            positions[name].append(index)
    return {
        "layer": [unit.layer for unit in units],
        "channel": [unit.channel for unit in units],
        **positions,
        "image": [unit.image for unit in units],
        **({"name": [unit.name or None for unit in units]} if any(unit.name for unit in units) else {}),
    }


def box_columns(boxes: Int[Tensor, "m 2 d"]) -> Columns:
    """The low corner of each box and its high one, not included: `y0`, `x0`, `y1` and `x1` of an image."""
    names = [f"{name}{end}" for end in (0, 1) for name in _names(boxes.shape[2])]
    return dict(zip(names, boxes.flatten(1).T.tolist(), strict=True))


def _names(axes: int) -> tuple[str, ...]:
    """Of spatial axes."""
    return ("z", "y", "x")[3 - axes :] if axes <= 3 else tuple(f"axis{i}_" for i in range(axes))
