"""One picture for each of several photos."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from deconvnet._errors import NotFiniteError, PhotoError
from deconvnet.cli import say
from deconvnet.cli.progress import watched


def each_photo(
    photos: list[str],
    files: list[Path],
    draw: Callable[[str, Path], dict[str, Any]],
    words: Callable[[dict[str, Any]], str],
    as_json: bool,
) -> None:
    """Draw each photo's picture and print what there is to say of it, with its notes.

    Args:
        photos: as the user gave them.
        files: where the pictures go.
        draw: (photo, file) -> a row of the report, with "notes".
        words: a row for people.
        as_json: all rows at the end, in place of words.

    Raises:
        typer.Exit: with 1, after all, where a photo could not be used; it is told.
    """
    rows: list[dict[str, Any]] = []
    for photo, place in watched(list(zip(photos, files, strict=True))):
        try:
            rows.append(draw(photo, place))
        except (PhotoError, NotFiniteError) as fault:
            rows.append({"photo": photo, "error": str(fault)})
            say(fault)
        if not as_json and "error" not in rows[-1]:
            print("\n".join([words(rows[-1]), *(f"  note: {note}" for note in rows[-1]["notes"])]), flush=True)
    if as_json:
        print(json.dumps(rows, indent=2, allow_nan=False))
    if any("error" in row for row in rows):
        raise typer.Exit(1)
