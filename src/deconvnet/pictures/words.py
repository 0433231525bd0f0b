"""Text as lines of a page. No torch here."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from deconvnet._checks import escaped
from deconvnet.pictures.fonts import length_of
from deconvnet.pictures.page import INK, Line, Page

_LEADING = 1.3
_MARKS = (";", ":", ",")  # where a caption is broken first, second, third


def words(text: str, width: int, size: int, *, colour: tuple[int, int, int] = INK, clauses: bool = False) -> Page:
    """The text, broken into lines that fit into `width`, from the left.

    Args:
        text: may have several paragraphs.
        width, size: of a line, and of the font, in pixels.
        colour: red, green, blue.
        clauses: break at punctuation before other words, so that each line of a caption says one thing.
    """
    paragraphs = [_plain_line(part) for part in text.strip().splitlines()]
    lines = [line for part in paragraphs for line in _lines(part, width, size, _MARKS if clauses else ())]
    leading = round(size * _LEADING)
    placed = tuple(
        Line(line, 0, i * leading + size, size, round(length_of(line, size)), colour) for i, line in enumerate(lines)
    )
    return Page(width, leading * len(lines) + size // 4, (), placed)


def _plain_line(text: str) -> str:
    """A line without what cannot stand in a file of text, such as control characters."""
    return " ".join("".join(" " if unicodedata.category(x) == "Cc" else x for x in escaped(text)).split())


def _lines(text: str, width: int, size: int, marks: Sequence[str]) -> Iterator[str]:
    """Lines that hold as many pieces of the text as fit."""
    line = ""
    for piece in _pieces(text, width, size, marks):
        longer = f"{line} {piece}".strip()
        if line and length_of(longer, size) > width:
            yield line
            longer = piece
        line = longer
    yield line


def _pieces(text: str, width: int, size: int, marks: Sequence[str]) -> Iterator[str]:
    """The text where it fits a line; else its clauses, else its words, and words that do not fit broken anywhere."""
    if length_of(text, size) <= width:
        yield text
    elif marks:
        for clause in re.split(rf"(?<={marks[0]})\s+", text):
            yield from _pieces(clause, width, size, marks[1:])
    elif " " in text:
        for word in text.split():
            yield from _pieces(word, width, size, ())
    else:
        start = 0
        for end in range(2, len(text) + 1):
            if length_of(text[start:end], size) > width:
                yield text[start : end - 1]
                start = end - 1
        yield text[start:]
