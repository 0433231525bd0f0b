"""A photo with numbered boxes on it."""

from collections.abc import Iterator, Sequence
from functools import partial

from PIL import Image, ImageDraw, ImageFont

from deconvnet._types import Box

# Light enough for black numbers, and distinct to the colour-blind (after Okabe and Ito); then from the start again.
_COLOURS = ((255, 255, 255), (230, 159, 0), (86, 180, 233), (240, 228, 66), (204, 121, 167), (0, 190, 140),
            (255, 120, 80), (185, 185, 185), (140, 165, 255))  # fmt: skip
_BLACK = (0, 0, 0)
_FONT_SIZE, _PAD = 15, 3
_STOPS = 24  # positions along a box's border where its number may stand

_Corners = tuple[int, int, int, int]  # left, top, right, bottom; the last two excluded


def numbered(photo: Image.Image, boxes: Sequence[Box], labels: Sequence[int] | None = None) -> Image.Image:
    """The photo with thin boxes, each with its number on its border; RGB of the photo's size.

    Numbers do not cover each other, as far as there is room. Every box has a black edge, so that it is visible on any
    photo, and the colour of its number.

    Args:
        photo: any mode.
        boxes: low and high (row, column) in the photo's pixels; what lies outside is cut off.
        labels: numbers of the boxes, 1 or more; by default from 1.
    """
    labels = range(1, len(boxes) + 1) if labels is None else labels
    drawn = photo.convert("RGB")
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(_FONT_SIZE)
    frames = [_frame(box, drawn.size) for box in boxes]
    colours = [_COLOURS[(label - 1) % len(_COLOURS)] for label in labels]
    for (left, top, right, bottom), colour in reversed(list(zip(frames, colours, strict=True))):  # the first on top
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_BLACK, width=4)
        draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=colour, width=2)
    tags: list[_Corners] = []
    for label, frame, colour in zip(labels, frames, colours, strict=True):
        width = round(font.getlength(str(label))) + 2 * _PAD
        positions = list(_positions(frame, (width, _FONT_SIZE + _PAD), drawn.size))
        tags.append(next((tag for tag in positions if not any(map(partial(_touch, tag), tags))), positions[0]))
        left, top, right, bottom = tags[-1]
        draw.rectangle((left, top, right - 1, bottom - 1), fill=colour, outline=_BLACK)
        draw.text(((left + right) / 2, (top + bottom) / 2), str(label), _BLACK, font, anchor="mm")
    return drawn


def _frame(box: Box, size: tuple[int, int]) -> _Corners:
    """The part of a box inside a photo of (width, height), large enough for its lines."""
    (top, left), (bottom, right) = box.low, box.high
    width, height = size
    left, top = max(min(left, width - 6), 0), max(min(top, height - 6), 0)
    return left, top, max(min(right, width), left + 6), max(min(bottom, height), top + 6)


def _positions(frame: _Corners, tag: tuple[int, int], size: tuple[int, int]) -> Iterator[_Corners]:
    """Where a tag may stand: on the corners of a frame, then all along its border, inside the photo."""
    left, top, right, bottom = frame
    shares = [i / _STOPS for i in range(1, _STOPS)]
    points: list[tuple[float, float]] = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for share in shares:
        x, y = left + share * (right - left), top + share * (bottom - top)
        points += [(x, top), (x, bottom), (left, y), (right, y)]
    for x, y in points:
        low = [
            round(min(max(middle - length / 2, 0), most - length))
            for middle, length, most in zip((x, y), tag, size, strict=True)
        ]
        yield low[0], low[1], low[0] + tag[0], low[1] + tag[1]


def _touch(a: _Corners, b: _Corners) -> bool:
    """Whether two tags overlap or touch."""
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
