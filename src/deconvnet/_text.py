"""Text files that people and their programs write: encodings, and tables with commas, semicolons or tabs."""

import codecs
import csv
from io import StringIO


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 as Excel and PowerShell write it, which begins with a mark.

    Raises:
        ValueError: it is neither.
    """
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ValueError(
            f"line {line} is not {encoding.upper().removesuffix('-SIG')} text; save the file as UTF-8"
        ) from fault
    if "\0" in text:
        raise ValueError("it holds binary data and not text; save the file as UTF-8")
    return text


def cells(text: str) -> list[list[str]]:
    """The cells of a table, by the first delimiter that cuts every row into as many.

    Raises:
        ValueError: its rows are not of one length.
    """
    tables = [rows for delimiter in ",;\t|" if (rows := _cut(text, delimiter))]
    if not tables:
        raise ValueError("it is not CSV: a quotation mark is not where one belongs")
    for rows in tables:
        if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            return rows
    rows = next((rows for rows in tables if len(rows[0]) > 1), tables[0])
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"row {i} has {len(row)} columns and row 1 has {len(rows[0])}; put what holds a comma in quotes"
            )
    return rows


def _cut(text: str, delimiter: str) -> list[list[str]]:
    """The cells; none where quotation marks say that this is not the delimiter."""
    try:
        return list(csv.reader(StringIO(text.rstrip("\r\n"), newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return []
