"""Windows moved and added: slice by slice on a CPU, which then reads memory in order, all at once elsewhere."""

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from deconvnet._devices import sent
from deconvnet._errors import DeconvNetWarning
from deconvnet.windows.arrivals import Part
from deconvnet.windows.frames import Frames, whole_maps

# "copied": a slice for each unit; "gathered": one indexing for all; "fused": one kernel of Triton that also unpools,
# adds and rectifies. All give the same numbers.
Method = Literal["copied", "gathered", "fused"]


@cache
def method_on(device: torch.device) -> Method:
    """How windows are moved on a device."""
    if device.type == "cpu":
        return "copied"
    if device.type != "cuda" or find_spec("triton") is None:
        return "gathered"
    failure = _triton_fails(device)
    if failure is None:
        return "fused"
    warnings.warn(
        f"Triton does not work on {device}: {failure}. Its kernels are left out, which takes longer; results are the "
        "same.",
        DeconvNetWarning,
        stacklevel=2,
    )
    return "gathered"


def _triton_fails(device: torch.device) -> str | None:
    """The first line of what Triton says when it is tried, as where there is no C compiler; None where it works."""
    try:
        from deconvnet.windows.fused import joined

        at = whole_maps(1, (1, 1))
        joined([Part(torch.ones(1, 1, 1, 1, device=device), at)], at)
    except Exception as fault:
        return (str(fault).strip() or type(fault).__name__).splitlines()[0]
    return None


def moved(
    source: Shaped[Tensor, "n c *before"],
    at: Frames,
    to: Frames,
    rows: Int[np.ndarray, " m"] | None = None,
    *,
    fill: float = 0,
) -> Shaped[Tensor, "m c *after"]:
    """The windows `to` of what lies in the windows `at`.

    Args:
        source: one window for each of `at`.
        at: where they lie.
        to: what is wanted.
        rows: for each window wanted, the index of the one that it is taken from; its own by default.
        fill: stands where there is none.
    """
    shifts = to.low - (at.low if rows is None else at.low[rows])
    alike = rows is None and not (shifts != shifts[0]).any()
    if alike and to.size == at.size and not shifts[0].any():
        return source
    if not alike and method_on(source.device) != "copied":
        return _gathered(source, at, to, rows, fill)
    inside = not (shifts < 0).any() and not (shifts + np.array(to.size) > np.array(at.size)).any()
    shape = (len(shifts), source.shape[1], *to.size)
    result = source.new_empty(shape) if inside else source.new_full(shape, fill)
    for i, (here, there) in _shared(shifts, at.size, to.size, alike=alike):
        row = i if rows is None else int(rows[i])
        result[(i, slice(None), *there)] = source[(row, slice(None), *here)]
    return result


def pasted(
    changed: Shaped[Tensor, "m c *before"],
    at: Frames,
    whole: Shaped[Tensor, "1 c *map"],
    to: Frames,
    *,
    fill: float = 0,
) -> Shaped[Tensor, "m c *after"]:
    """The windows `to` of one map, each with a part of it replaced.

    Args:
        changed: the parts, one for each window.
        at: where they lie.
        whole: the map.
        to: what is wanted.
        fill: stands where the map has ended.
    """
    if at.same_as(to):
        return changed
    size, rows = tuple(whole.shape[2:]), np.zeros(len(to.low), dtype=np.int64)
    if method_on(whole.device) != "copied":
        values, inside = _gather(changed, at, to, None)
        return torch.where(inside, values, _gathered(whole, whole_maps(1, size), to, rows, fill))
    result = _empty_like(whole, (len(rows), whole.shape[1], *to.size))
    if (to.low < 0).any() or (to.high > np.array(size)).any():
        result.fill_(fill)
    shifts, covers = to.low - at.low, (to.size == at.size)
    for i, (here, there) in _shared(to.low, size, to.size, alike=False):
        if not covers or shifts[i].any():
            result[i][(slice(None), *there)] = whole[0][(slice(None), *here)]
    for i, (here, there) in _shared(shifts, at.size, to.size, alike=False):
        result[i][(slice(None), *there)] = changed[i][(slice(None), *here)]
    return result


def added(parts: Sequence[Part], to: Frames) -> Float[Tensor, "m c *after"]:
    """The sum of several parts, each in windows of its own, in the windows `to`, which hold them all."""
    covering = next((i for i, part in enumerate(parts) if part.frames.same_as(to)), 0)
    first, rest = parts[covering], (*parts[:covering], *parts[covering + 1 :])
    total = moved(first.signal, first.frames, to)
    if rest and total is first.signal and not first.own:
        total = total + rest[0].signal if rest[0].frames.same_as(to) else total.clone()
        rest = rest[1:] if rest[0].frames.same_as(to) else rest
    for part in rest:
        shifts = to.low - part.frames.low
        alike = not (shifts != shifts[0]).any()
        if not alike and method_on(total.device) != "copied":
            total += _gathered(part.signal, part.frames, to, None, 0)
            continue
        for i, (here, there) in _shared(shifts, part.frames.size, to.size, alike=alike):
            total[(i, slice(None), *there)] += part.signal[(i, slice(None), *here)]
    return total


def _gathered(source: Tensor, at: Frames, to: Frames, rows: Int[np.ndarray, " m"] | None, fill: float) -> Tensor:
    """As `moved`, for all units by one indexing, whose indices are worked out on the device."""
    values, inside = _gather(source, at, to, rows)
    return values.masked_fill_(~inside, fill)


def _gather(
    source: Tensor, at: Frames, to: Frames, rows: Int[np.ndarray, " m"] | None
) -> tuple[Tensor, Bool[Tensor, "m 1 *after"]]:
    """What is gathered, and where it is what was asked for: elsewhere there is none."""
    device, axes = source.device, range(len(to.size))
    row = torch.arange(len(to.low), device=device) if rows is None else sent(rows, device)
    shift = to.low_on(device) - (at.low_on(device) if rows is None else at.low_on(device)[row])
    indices, inside = [row.view(-1, *[1] * (len(axes) + 1))], torch.ones((), dtype=torch.bool, device=device)
    indices.append(torch.arange(source.shape[1], device=device).view(-1, *[1] * len(axes)))
    for i in axes:
        pixel = shift[:, i, None] + torch.arange(to.size[i], device=device)
        laid = (len(row), 1, *(to.size[i] if other == i else 1 for other in axes))
        inside = inside & ((pixel >= 0) & (pixel < at.size[i])).view(laid)
        indices.append(pixel.clamp(0, at.size[i] - 1).view(laid))
    return source[tuple(indices)], inside


def _empty_like(source: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Memory for maps that lie in it as those of `source` do."""
    together = source.ndim == 4 and source.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if together else torch.contiguous_format
    return torch.empty(shape, dtype=source.dtype, device=source.device, memory_format=layout)


Slices = tuple[slice, ...]


def _shared(
    shifts: np.ndarray, before: Sequence[int], after: Sequence[int], *, alike: bool
) -> Iterator[tuple[int | slice, tuple[Slices, Slices]]]:
    """Yields the overlapping slices of each source/target window pair, or one pair for all where they are alike."""
    for i, shift in enumerate(shifts[:1].tolist() if alike else shifts.tolist()):
        here, there = zip(*map(_common, shift, before, after), strict=True)
        yield slice(None) if alike else i, (here, there)


def _common(shift: int, before: int, after: int) -> tuple[slice, slice]:
    """What a window of one length shares with another that begins `shift` later: as seen from each."""
    first, last = max(shift, 0), min(shift + after, before)
    last = max(first, last)
    return slice(first, last), slice(first - shift, last - shift)
