"""What has come to a value, made its signal by one kernel of Triton: unpooled, added, cut at the border, rectified.

Imported only where Triton is. Maps have one or two spatial axes. All is read where it lies: the switches and masks of
a unit in the whole map of its image. Each number of the result is one thread's, which adds in one order, so that
results repeat to the bit.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from deconvnet.windows.arrivals import Part, Pooled, Remembered
from deconvnet.windows.frames import Frames

_BLOCK = 1024
_VARYING = """
    width height maps blocks
    part_unit part_map part_row part_column part_height part_width
    base_unit base_map base_row base_column base_height base_width
    switch_image switch_map switch_row switch_column switch_height switch_width
    mask_image mask_map mask_row mask_column mask_height mask_width
""".split()  # each value would otherwise have a kernel of its own compiled
_ANYWHERE = "out to rows part part_low base base_low switch switch_low mask mask_low".split()
# Where they begin in memory changes with the number of units, for what lies on a device was copied there together.


def joined(parts: Sequence[Part], to: Frames, *, rectify: bool = False, mask: Remembered | None = None) -> Tensor:
    """The sum of the parts in the windows `to`, which lie inside the map.

    Args:
        parts: at least one.
        to: what is wanted.
        rectify: whether the sum is rectified.
        mask: what it is multiplied with after that.
    """
    first = parts[0].signal
    total = first.new_empty(len(first), first.shape[1], *to.size)
    plain = [part for part in parts if part.pooled is None]
    pooled = [part for part in parts if part.pooled is not None]
    base, rest = (plain[0], [*plain[1:], *pooled]) if len(parts) > 1 and plain else (None, [*plain, *pooled])
    for i, part in enumerate(rest):
        last = i == len(rest) - 1
        _launch(total, to, part, base, rectify=rectify and last, mask=mask if last else None)
        base = Part(total, to)
    return total


def _launch(out: Tensor, to: Frames, part: Part, base: Part | None, *, rectify: bool, mask: Remembered | None) -> None:
    device, axes = out.device, len(to.size)
    pooled, switches = part.pooled, None if part.pooled is None else part.pooled.switches
    signal_at = part.frames if pooled is None else pooled.frames
    nothing = (out, out, *[0] * 6)  # for what is not read
    remembered = switches or mask
    length = out[0].numel()
    blocks = triton.cdiv(length, _BLOCK)
    height, width = (1, *to.size)[-2:]
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        _join[(len(out) * blocks,)](
            out, to.low_on(device), to.low_on(device) if remembered is None else remembered.rows,
            width, height, out.shape[1], blocks,
            *_described(part.signal, signal_at),
            *(nothing if base is None else _described(base.signal, base.frames)),
            *(nothing if switches is None else _described(switches.values, switches.frames)),
            *(nothing if mask is None else _described(mask.values.view(torch.uint8), mask.frames)),
            AXES=axes, BLOCK=_BLOCK, WIDE=length >= 2**31 - _BLOCK,
            SUM=tl.float64 if out.dtype == torch.float64 else tl.float32,
            ADDS=base is not None, RECTIFIES=rectify, MASKS=mask is not None,
            **_pooling(pooled),
        )  # fmt: skip


def _described(values: Tensor, at: Frames) -> tuple[Tensor | int, ...]:
    """A tensor of windows, their corners, strides and size, with two spatial axes."""
    strides, size = values.stride(), values.shape[2:]
    if len(size) == 1:
        return values, at.low_on(values.device), *strides[:2], 0, strides[2], 1, size[0]
    return values, at.low_on(values.device), *strides, *size


def _pooling(pooled: Pooled | None) -> dict[str, int | bool]:
    """The windows of a pooling with two spatial axes."""
    windows = [] if pooled is None else [tuple(map(int, window)) for window in pooled.windows]
    (down, above, below), (right, before, behind) = ([(1, 0, 0)] * (2 - len(windows)) + windows)[-2:]
    return {
        "UNPOOLS": pooled is not None, "LARGEST": pooled is not None and pooled.keeps_largest,
        "STEP_Y": down, "STEP_X": right, "PAD_Y": -above, "PAD_X": -before,
        "SPAN_Y": below - above + 1, "SPAN_X": behind - before + 1,
    }  # fmt: skip


@triton.jit
def _corner(low, unit, AXES: tl.constexpr):
    """First pixel of a unit's window: its row, zero where maps have one axis, and its column."""
    return tl.load(low + AXES * unit) * (AXES - 1), tl.load(low + AXES * unit + AXES - 1)


@triton.jit
def _read(values, start, channel, y, x, here, of_map, of_row, of_column, height, width):
    """The values at pixels of a window, zero outside of it, and which lie inside."""
    inside = here & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    where = start + channel.to(tl.int64) * of_map + y.to(tl.int64) * of_row + x * of_column
    return tl.load(values + where, inside, other=0), inside


@triton.jit(do_not_specialize=_VARYING, do_not_specialize_on_alignment=_ANYWHERE)
def _join(
    out, to, rows, width, height, maps, blocks,
    part, part_low, part_unit, part_map, part_row, part_column, part_height, part_width,
    base, base_low, base_unit, base_map, base_row, base_column, base_height, base_width,
    switch, switch_low, switch_image, switch_map, switch_row, switch_column, switch_height, switch_width,
    mask, mask_low, mask_image, mask_map, mask_row, mask_column, mask_height, mask_width,
    AXES: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr, SUM: tl.constexpr,
    ADDS: tl.constexpr, RECTIFIES: tl.constexpr, MASKS: tl.constexpr,
    UNPOOLS: tl.constexpr, LARGEST: tl.constexpr, STEP_Y: tl.constexpr, STEP_X: tl.constexpr,
    PAD_Y: tl.constexpr, PAD_X: tl.constexpr, SPAN_Y: tl.constexpr, SPAN_X: tl.constexpr,
):  # fmt: skip
    """Fill `out`, (m, c, height, width): [mask *] [rectified] ([base +] part, or the part unpooled by its switches)."""
    unit = tl.program_id(0) // blocks
    index = (tl.program_id(0) % blocks).to(tl.int64 if WIDE else tl.int32) * BLOCK + tl.arange(0, BLOCK)
    length = maps.to(tl.int64) * height * width
    here = index < length
    y, x, channel = index // width % height, index % width, index // (width * height)
    top, left = _corner(to, unit, AXES)
    y, x = y + top, x + left
    row = tl.load(rows + unit)
    part_top, part_left = _corner(part_low, unit, AXES)
    start = unit.to(tl.int64) * part_unit
    if UNPOOLS:
        switch_top, switch_left = _corner(switch_low, unit, AXES)
        highest = tl.zeros([BLOCK], SUM)
        lowest = tl.zeros([BLOCK], SUM)
        total = tl.zeros([BLOCK], SUM)
        for i in tl.static_range((SPAN_Y - 1) // STEP_Y + 1):
            for j in tl.static_range((SPAN_X - 1) // STEP_X + 1):
                # one of the pooling windows that may hold the pixel, and where in that window it lies
                pooled_y, pooled_x = (y + PAD_Y) // STEP_Y - i, (x + PAD_X) // STEP_X - j
                inner_y, inner_x = y + PAD_Y - pooled_y * STEP_Y, x + PAD_X - pooled_x * STEP_X
                holds = here & (inner_y < SPAN_Y) & (inner_x < SPAN_X)
                offset, held = _read(
                    switch, row * switch_image, channel, pooled_y - switch_top, pooled_x - switch_left, holds,
                    switch_map, switch_row, switch_column, switch_height, switch_width,
                )  # fmt: skip
                hit = held & (offset.to(tl.int32) == inner_y.to(tl.int32) * SPAN_X + inner_x.to(tl.int32))
                value, _ = _read(
                    part, start, channel, pooled_y - part_top, pooled_x - part_left, hit,
                    part_map, part_row, part_column, part_height, part_width,
                )  # fmt: skip
                value = value.to(SUM)
                if LARGEST:
                    highest = tl.maximum(highest, value, propagate_nan=tl.PropagateNan.ALL)
                    lowest = tl.minimum(lowest, value, propagate_nan=tl.PropagateNan.ALL)
                else:
                    total += value
        if LARGEST:
            total = tl.where(highest >= -lowest, highest, lowest)
    else:
        value, _ = _read(
            part, start, channel, y - part_top, x - part_left, here,
            part_map, part_row, part_column, part_height, part_width,
        )  # fmt: skip
        total = value.to(SUM)
    if ADDS:
        base_top, base_left = _corner(base_low, unit, AXES)
        value, _ = _read(
            base, unit.to(tl.int64) * base_unit, channel, y - base_top, x - base_left, here,
            base_map, base_row, base_column, base_height, base_width,
        )  # fmt: skip
        total = value.to(SUM) + total
    if RECTIFIES:
        total = tl.where(total < 0, 0.0, total)  # NaN stays, so that it is told
    if MASKS:
        mask_top, mask_left = _corner(mask_low, unit, AXES)
        open_, _ = _read(
            mask, row * mask_image, channel, y - mask_top, x - mask_left, here,
            mask_map, mask_row, mask_column, mask_height, mask_width,
        )  # fmt: skip
        total = total * open_.to(SUM)
    tl.store(out + unit.to(tl.int64) * length + index, total.to(out.dtype.element_ty), here)
