"""What a command prints at the end: text followed by notes, or JSON; and its exit code."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from deconvnet._checks import escaped, printable
from deconvnet._errors import (
    CaptureError,
    DeconvNetError,
    LayerNotFoundError,
    TargetError,
    UnsupportedOperationError,
)
from deconvnet.cli.progress import progress
from deconvnet.cli.stderr import prints_on_stderr, say

_OF_ALL = (CaptureError, LayerNotFoundError, TargetError, UnsupportedOperationError)  # no photo could be better

ALREADY_FINISHED = "  it was already finished"


@dataclass(frozen=True)
class Result:
    """What a command prints, as text and as JSON.

    Attributes:
        words: for people, one line or more.
        facts: for `--json`. What stands under "notes" is printed under the words, too.
        failed: some of the photos could not be used, so the exit code is 1.
    """

    words: str
    facts: dict[str, Any]
    failed: bool = False


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result as words with its notes, or as JSON.

    Raises:
        typer.Exit: with 1, if the result has failed.
    """
    if as_json:
        _print_json(result.facts)
    else:
        notes = (f"  note: {note}" for note in result.facts.get("notes", ()))
        print(escaped("\n".join([result.words, *notes])), flush=True)
    if result.failed:
        raise typer.Exit(1)


def print_drawn(draw: Callable[[], Result], *, as_json: bool) -> None:
    """Print the result of a command; what the model prints meanwhile goes to stderr.

    Args:
        draw: does the work.
        as_json: print JSON in place of words.

    Raises:
        typer.Exit: with 1, if the result has failed.
    """
    with prints_on_stderr():
        result = draw()
    print_result(result, as_json=as_json)


def print_each(
    photos: Sequence[str], paths: Sequence[Path], draw: Callable[[str, Path], Result], *, as_json: bool
) -> None:
    """Draw the picture of each photo and print its result; JSON comes as one list at the end.

    A photo that cannot be used, or whose picture cannot be written, is reported on stderr and in the JSON, and the
    others go on. What the model prints goes to stderr.

    Args:
        photos: as the user gave them.
        paths: where the pictures go.
        draw: (photo, path) -> the result, after the picture is written.
        as_json: print JSON in place of words.

    Raises:
        typer.Exit: with 1, after the last photo, if one could not be used.
        CaptureError, LayerNotFoundError, TargetError, UnsupportedOperationError: what holds for all photos.
    """
    facts: list[dict[str, Any]] = []
    with progress(quiet=len(photos) < 2) as report_progress:
        for i, (photo, path) in enumerate(zip(photos, paths, strict=True)):
            report_progress("photos", i, len(photos), "")
            try:
                with prints_on_stderr():
                    result = draw(photo, path)
            except _OF_ALL:
                raise
            except (DeconvNetError, OSError) as error:
                facts.append({"photo": photo, "error": str(error)})
                say(error)
                continue
            facts.append(result.facts)
            if not as_json:
                print_result(result, as_json=False)
        report_progress("photos", len(photos), len(photos), "")
    if as_json:
        _print_json(facts)
    if any("error" in row for row in facts):
        raise typer.Exit(1)


def _print_json(facts: object) -> None:
    print(json.dumps(printable(facts), indent=2, allow_nan=False))
