"""Tiles in blocks, as an atlas shows those of a feature map."""

import math

from PIL import Image, ImageDraw

_PALE, _FAINT = (236, 236, 236), (200, 200, 200)


def gap(tile: int) -> int:
    """Pixels between tiles of this side."""
    return max(1, tile // 24)


def laid_out(tiles: list[Image.Image], k: int, tile: int, across: int | None) -> Image.Image:
    """Tiles in a block that has room for k, white where there are fewer; `across` in a row, None for a square."""
    step = tile + gap(tile)
    across = across or math.isqrt(k - 1) + 1
    down = -(-k // across)
    block = Image.new("RGB", (across * step - gap(tile), down * step - gap(tile)), "white")
    for i, image in enumerate(tiles):
        block.paste(image, (i % across * step, i // across * step))
    return block


def empty_block(k: int, tile: int, across: int | None) -> Image.Image:
    """A block for a map that has nothing to show: pale and crossed out."""
    block = laid_out([], k, tile, across)
    draw = ImageDraw.Draw(block)
    right, bottom = block.width - 1, block.height - 1
    draw.rectangle((0, 0, right, bottom), _PALE, _FAINT, gap(tile))
    draw.line((0, 0, right, bottom), _FAINT, gap(tile))
    draw.line((0, bottom, right, 0), _FAINT, gap(tile))
    return block
