"""Text in lines: none longer than there is room for, and no letter lost."""

from itertools import pairwise

import pytest

from deconvnet.pictures.words import words

LONG = "features.denseblock4.denselayer16.conv2.relu#2 channel 1023 of an image with a long name"


@pytest.mark.parametrize("clauses", [False, True])
@pytest.mark.parametrize("text", [LONG, "y" * 90, "one two three", "a: b, c; d e f: g"])
def test_every_letter_is_in_a_line_that_fits(text: str, clauses: bool) -> None:
    block = words(text, 60, 12, clauses=clauses)
    assert "".join(line.text for line in block.lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.width <= 60 for line in block.lines)
    assert all(other.base - one.base >= 15 for one, other in pairwise(block.lines))
    assert block.height >= block.lines[-1].base + 3


def test_clauses_stay_together_and_short_ones_share_a_line() -> None:
    lines = words("relu2: 128 maps; pool2 undone; map 26", 200, 12, clauses=True).lines
    assert [line.text for line in lines] == ["relu2: 128 maps; pool2 undone;", "map 26"]


def test_control_characters_and_names_that_are_not_utf_8_can_be_written_to_a_file() -> None:
    (line,) = words("a\0b\x1b c \udcff", 500, 12).lines
    assert line.text == "a b c \\xff"
