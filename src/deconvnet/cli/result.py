"""What a command prints at the end: text followed by notes, or one JSON object; and its exit code."""

import json
from collections.abc import Callable, Mapping, Sequence
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
from deconvnet._version import __version__
from deconvnet.cli.photos import PhotoInput
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
    """

    words: str
    facts: dict[str, Any]


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result as words with its notes, or as JSON."""
    if as_json:
        _print_json(result.facts)
    else:
        notes = (f"  note: {note}" for note in result.facts.get("notes", ()))
        print(escaped("\n".join([result.words, *notes])), flush=True)


def print_drawn(draw: Callable[[], Result], *, as_json: bool) -> None:
    """Print the result of a command; what the model prints meanwhile goes to stderr.

    Args:
        draw: does the work.
        as_json: print JSON in place of words.
    """
    with prints_on_stderr():
        result = draw()
    print_result(result, as_json=as_json)


def print_each(
    photos: Sequence[PhotoInput],
    paths: Sequence[Path],
    draw: Callable[[PhotoInput, Path], Result],
    *,
    shared: Mapping[str, Any],
    as_json: bool,
    strict: bool,
) -> None:
    """Draw the picture of each photo and print its result; JSON comes as one object at the end.

    A photo that cannot be used, or whose picture cannot be written, is reported on stderr and in the JSON, and the
    others go on. What the model prints goes to stderr.

    Args:
        photos: to draw.
        paths: where the pictures go.
        draw: (photo, path) -> the result, after the picture is written.
        shared: what the JSON says of the run.
        as_json: print JSON in place of words.
        strict: as in `end`.

    Raises:
        typer.Exit: as `end`, after the last photo.
        CaptureError, LayerNotFoundError, TargetError, UnsupportedOperationError: what holds for all photos.
    """
    rows: list[dict[str, Any]] = []
    failed: list[PhotoInput] = []
    failures: list[dict[str, Any]] = []
    with progress(quiet=len(photos) < 2) as report_progress:
        for i, (photo, path) in enumerate(zip(photos, paths, strict=True)):
            report_progress("photos", i, len(photos), could_not(len(failed)))
            try:
                with prints_on_stderr():
                    result = draw(photo, path)
            except _OF_ALL:
                raise
            except (DeconvNetError, OSError) as error:
                failed.append(photo)
                failures.append(failure(**photo.facts(), error=error))
                say(error if len(photos) == 1 else of_photo(photo, error))
                continue
            rows.append({**photo.facts(), **result.facts})
            if not as_json:
                print_result(result, as_json=False)
        report_progress("photos", len(photos), len(photos), could_not(len(failed)))
    if as_json:
        _print_json({**shared, "photos": rows, "failed": failures})
    end(used=len(rows), failed=len(failed), named=any(photo.named for photo in failed), strict=strict)


def of_photo(photo: PhotoInput, error: object) -> str:
    """Why one of several photos could not be used, with its name."""
    reason, name = str(error), escaped(photo.name)
    return reason if name in reason else f"{name}: {reason}"


def failure(photo: str, source: str, error: object) -> dict[str, str]:
    """A photo that could not be used, as every command's JSON lists it under "failed"."""
    return {"photo": photo, "source": source, "error": str(error)}


def end(*, used: int, failed: int, named: bool, strict: bool) -> None:
    """End the command with 1 if photos failed that should not have.

    Args:
        used: how many photos could be used.
        failed: how many could not.
        named: whether the command line names one of these itself, not only a source that holds it.
        strict: none may fail.

    Raises:
        typer.Exit: with 1, if one was named, all failed, or any did and `strict` is given.
    """
    if failed and (strict or named or not used):
        raise typer.Exit(1)


def could_not(failed: int) -> str:
    """How many photos could not be used, for progress; "" if none."""
    return f"{failed} could not be used" if failed else ""


def counted(count: int, what: str) -> str:
    """How many there are, in words.

    Example:
        >>> counted(1, "photo"), counted(12345, "photo")
        ('1 photo', '12,345 photos')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _print_json(facts: Mapping[str, Any]) -> None:
    print(json.dumps(printable({"version": __version__, **facts}), indent=2, allow_nan=False))
