"""Steps of alternating directions that read and write each feature map once, by kernels of Triton.

Imported only where Triton is. PyTorch's own operations give the same numbers but for rounding, and go through memory
two to three times as often. Each number of a result is one thread's, which adds in one order, so that results repeat
to the bit.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
from torch import Tensor

_BLOCK = 1024
_VARYING = "length blocks width height maps of_image of_map of_row of_column".split()


def reflected(v: Float[Tensor, "n m h w"], limit: Float[Tensor, "..."], *, nonneg: bool) -> Float[Tensor, "n m h w"]:
    """V - 2U, where U is what shrinking takes from V.

    Args:
        v: the state V, contiguous.
        limit: what shrinking takes at most, of any shape that broadcasts to V's.
        nonneg: maps may not be negative.
    """
    out = torch.empty_like(v)
    _launch(v, out, limit, nonneg=nonneg)
    return out


def move(
    v: Float[Tensor, "n m h w"], seen: Float[Tensor, "n m h w"], limit: Tensor, relaxation: float, *, nonneg: bool
) -> None:
    """V += relaxation * (seen - U), in place.

    Args:
        v, limit, nonneg: as for `reflected`.
        seen: A'z.
        relaxation: by which steps are longer.
    """
    _launch(v, seen.contiguous(), limit, relaxation, nonneg=nonneg)


def mixed(maps: Complex[Tensor, "n m p q"], spectrum: Complex[Tensor, "m c p q"]) -> Complex[Tensor, "n c p q"]:
    """Maps times filters in Fourier space, summed over the maps."""
    (n, m, p, q), c = maps.shape, spectrum.shape[1]
    out = maps.new_empty(n, c, p, q)
    length = p * q
    blocks = triton.cdiv(length, _BLOCK)
    parts = [torch.view_as_real(x.contiguous().resolve_conj()) for x in (maps, spectrum, out)]
    _on_device(maps, lambda: _mix[(n * c * blocks,)](*parts, length, blocks, m, c, BLOCK=_BLOCK, SUM=_sum(parts[0])))
    return out


def move_and_look(
    v: Float[Tensor, "n m h w"], seen: Float[Tensor, "n m h w"], limit: Tensor, relaxation: float, *, nonneg: bool
) -> tuple[Float[Tensor, "5 n"], Float[Tensor, " n"]]:
    """Move as `move` does; of each image five sums of squares, and the largest value of what is seen.

    Returns:
        The squares of seen - U, of the codes V - U, of both together, of what the codes moved by, and of U; and the
        largest value of `seen`, in magnitude, or above zero where maps may not be negative.
    """
    blocks = triton.cdiv(v[0].numel(), _BLOCK)
    parts = v.new_empty(len(v), blocks, 6)
    _launch(v, seen.contiguous(), limit, relaxation, parts, nonneg=nonneg)
    return parts[..., :5].sum(1).transpose(0, 1), parts[..., 5].amax(1).clamp(min=0)


def _launch(
    v: Tensor,
    other: Tensor,
    limit: Tensor,
    relaxation: float | None = None,
    sums: Tensor | None = None,
    *,
    nonneg: bool,
) -> None:
    (n, m, h, w), length = v.shape, v[0].numel()
    blocks = triton.cdiv(length, _BLOCK)
    strides = limit.expand_as(v).stride()
    _on_device(v, lambda: _shrink[(n * blocks,)](
        v, other, limit, v if sums is None else sums, length, blocks, w, h, m, *strides,
        RELAXATION=relaxation, LOOKS=sums is not None, NONNEG=nonneg, VARIES=any(strides[1:]),
        BLOCK=_BLOCK, WIDE=length >= 2**31 - _BLOCK, SUM=_sum(v),
    ))  # fmt: skip


def _on_device(like: Tensor, launch: Callable[[], Any]) -> None:
    with torch.cuda.device(like.device) if like.device.type == "cuda" else nullcontext():
        launch()


def _sum(like: Tensor) -> Any:
    return tl.float64 if like.dtype == torch.float64 else tl.float32


@triton.jit
def _clipped(value, most, NONNEG: tl.constexpr):
    """What shrinking takes; NaN stays."""
    taken = tl.minimum(value, most, propagate_nan=tl.PropagateNan.ALL)
    if not NONNEG:
        taken = tl.maximum(taken, -most, propagate_nan=tl.PropagateNan.ALL)
    return taken


@triton.jit(do_not_specialize=_VARYING)
def _shrink(
    v, other, limit, sums, length, blocks, width, height, maps, of_image, of_map, of_row, of_column,
    RELAXATION: tl.constexpr, LOOKS: tl.constexpr, NONNEG: tl.constexpr, VARIES: tl.constexpr,
    BLOCK: tl.constexpr, WIDE: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """V += relaxation * (other - U), with six numbers of each block on the way; or other = V - 2U."""
    image = (tl.program_id(0) // blocks).to(tl.int64)
    index = (tl.program_id(0) % blocks).to(tl.int64 if WIDE else tl.int32) * BLOCK + tl.arange(0, BLOCK)
    here = index < length
    value = tl.load(v + image * length + index, here, other=0)
    if VARIES:
        at = index // (width * height) % maps * of_map + index // width % height * of_row + index % width * of_column
        most = tl.load(limit + image * of_image + at, here, other=0)
    else:
        most = tl.load(limit + image * of_image)
    taken = _clipped(value, most, NONNEG)
    if RELAXATION is not None:
        seen = tl.load(other + image * length + index, here, other=0)
        step = seen - taken
        after = value + tl.full((BLOCK,), RELAXATION, SUM) * step
        tl.store(v + image * length + index, after, here)
        if LOOKS:
            codes = value - taken
            moved = after - _clipped(after, most, NONNEG) - codes
            to = sums + tl.program_id(0).to(tl.int64) * 6
            tl.store(to, tl.sum(step * step))
            tl.store(to + 1, tl.sum(codes * codes))
            tl.store(to + 2, tl.sum((codes + step) * (codes + step)))
            tl.store(to + 3, tl.sum(moved * moved))
            tl.store(to + 4, tl.sum(taken * taken))
            tl.store(to + 5, tl.max(seen if NONNEG else tl.abs(seen)))
    else:
        tl.store(other + image * length + index, value - 2 * taken, here)


@triton.jit(do_not_specialize=["length", "blocks", "maps", "channels"])
def _mix(
    source, spectrum, out, length, blocks, maps, channels, BLOCK: tl.constexpr, SUM: tl.constexpr
):  # fmt: skip
    """Fill `out`, (n, c, length): the sum over m of source (n, m, length) times spectrum (m, c, length), complex."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    index = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    here, image, channel = index < length, row // channels, row % channels
    real, imaginary = tl.zeros([BLOCK], SUM), tl.zeros([BLOCK], SUM)
    for i in range(maps):
        value = source + 2 * ((image * maps + i) * length + index)
        factor = spectrum + 2 * ((channel + i * channels) * length + index)
        a, b = tl.load(value, here, other=0), tl.load(value + 1, here, other=0)
        x, y = tl.load(factor, here, other=0), tl.load(factor + 1, here, other=0)
        real += a * x - b * y
        imaginary += a * y + b * x
    where = out + 2 * (row * length + index)
    tl.store(where, real, here)
    tl.store(where + 1, imaginary, here)
