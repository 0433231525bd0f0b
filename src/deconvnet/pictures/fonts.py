"""Fonts that have the letters of a text: Pillow's own, and those of the system. No torch here."""

import re
import shutil
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import ImageFont, features

from deconvnet._errors import DeconvNetError, DeconvNetWarning

# Signs that mean the same in letters which every font has.
_SPELLINGS = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "−": "-", "→": "->", "•": "·", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "..."}
    | {"\xa0": " ", "\u202f": " ", "\u2009": " "}
)
_PLAIN = str.maketrans({"µ": "u", "μ": "u", "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe",
                        "Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i"})  # fmt: skip
_SUFFIXES = (".ttf", ".otf", ".ttc")
_UNLIKE_OURS = ("bold", "black", "heavy", "italic", "oblique", "light", "thin", "narrow", "condensed", "mono", "serif",
                "emoji", "math")  # fmt: skip
_FIRST = ("dejavusans", "notosans", "arial", "segoeui", "liberationsans")
_PLACEHOLDERS = ("lastresort", "adobeblank", "adobenotdef")  # fonts of boxes or blanks in place of all letters
_SECONDS = 10  # that a list of the system's fonts may take


@dataclass(frozen=True)
class Face:
    """A font without a size.

    Attributes:
        path: of its file; None for Pillow's own.
        index: which font of the file.
    """

    path: Path | None = None
    index: int = 0


OWN = Face()
_LACKING = Face(Path(), -1)  # in place of a font, for letters that none has
_warned: set[str] = set()  # letters that a warning has named


@dataclass(frozen=True)
class Run:
    """Text in one font."""

    text: str
    face: Face


def runs_of(text: str) -> list[Run]:
    """A text, in the fonts that have its letters.

    Pillow's own font knows ASCII and little more. Where it lacks a letter, the whole text is in a font of the system
    that has all letters, or each letter in one that has it. A letter that no font has is spelt in plain letters where
    it can be ("é" as "e"), or else as its code ("U+732B"), with one warning.

    Args:
        text: one line.
    """
    text = unicodedata.normalize("NFC", text.translate(_SPELLINGS))
    if all(map(_own_has, text)):
        return [Run(text, OWN)]
    letters = frozenset(letter for letter in text if not _is_blank(letter))
    face = _system_face(letters)
    if face:
        _check_direction(text)
        return [Run(text, face)]
    single = [run for letter in text for run in _run_of_letter(letter)]
    _warn_of([run.text for run in single if run.face is _LACKING])
    spelt = [
        Run(" ".join(map(_code, text)), OWN) if face is _LACKING else Run(text, face) for face, text in _joined(single)
    ]
    return [Run(text, face) for face, text in _joined(spelt)]


def _joined(runs: list[Run]) -> Iterator[tuple[Face, str]]:
    """Runs of one font as one."""
    for face, same in groupby(runs, lambda run: run.face):
        yield face, "".join(run.text for run in same)


def _run_of_letter(letter: str) -> Iterator[Run]:
    if _own_has(letter) or _is_blank(letter):
        yield Run(letter, OWN)
    elif face := _system_face(frozenset(letter)):
        _check_direction(letter)
        yield Run(letter, face)
    elif all(map(_own_has, plain := _plain(letter))):
        yield Run(plain, OWN)
    else:
        yield Run(letter, _LACKING)


@cache
def font_of(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The font in a size, in pixels.

    Raises:
        DeconvNetError: Pillow is built without FreeType.
    """
    if face.path is not None:
        return ImageFont.truetype(str(face.path), size, face.index)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise DeconvNetError("Pillow is built without FreeType, so it cannot write. Install Pillow's own wheel.")
    return font


def length_of(text: str, size: int) -> float:
    """How long a line of text is in a size, both in pixels."""
    return sum(font_of(run.face, size).getlength(run.text) for run in runs_of(text))


def own_font_file() -> bytes:
    """Pillow's own font, as a TrueType file."""
    held: Any = font_of(OWN, 12).path
    content: bytes = held.getvalue()
    return content


@cache
def _own_has(letter: str) -> bool:
    font = font_of(OWN, 12)
    return letter == " " or (letter.isprintable() and bytes(font.getmask(letter)) != bytes(font.getmask("\uffff")))


def _is_blank(letter: str) -> bool:
    """Whether a letter leaves no mark: spaces, and signs that only join or part others."""
    return letter.isspace() or unicodedata.category(letter) in ("Cf", "Cc")


def _plain(letter: str) -> str:
    """A letter without its accents, or spelt in several."""
    parts = unicodedata.normalize("NFKD", letter.translate(_PLAIN))
    return "".join(part for part in parts if not unicodedata.combining(part)) or letter


def _code(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def _warn_of(letters: list[str]) -> None:
    """Warn of letters that no font has, of each once."""
    new = [letter for letter in dict.fromkeys(letters) if letter not in _warned]
    if new:
        _warned.update(new)
        named = ", ".join(f"{letter!r} ({unicodedata.name(letter, 'without a name').lower()})" for letter in new)
        words = "their codes" if len(new) > 1 else "its code"
        warnings.warn(
            f"no font on this machine has {named}, so pictures show {words}, {' '.join(map(_code, new))}. "
            "Install a font that has such letters, such as one of Noto's.",
            DeconvNetWarning,
            stacklevel=2,
        )


@cache
def _check_direction(text: str) -> None:
    """Warn where letters run from right to left and Pillow cannot set them."""
    if any(unicodedata.bidirectional(x) in ("R", "AL") for x in text) and not features.check("raqm"):
        warnings.warn(
            f"Pillow on this machine lacks libraqm, so {text!r} is drawn from left to right.", DeconvNetWarning,
            stacklevel=2,
        )  # fmt: skip


@cache
def _system_face(letters: frozenset[str]) -> Face | None:
    """The font of the system that has all of the letters, and looks most like Pillow's own."""
    for face in sorted(_candidates(letters), key=_order):
        if not _plain_name(face).startswith(_PLACEHOLDERS) and letters <= _letters_of(face) and _can_be_drawn(face):
            return face
    return None


def _order(face: Face) -> tuple[int, int, int, str]:
    plain = _plain_name(face)
    unlike = sum(word in plain.replace("sansserif", "") for word in _UNLIKE_OURS)
    first = next((i for i, start in enumerate(_FIRST) if plain.startswith(start)), len(_FIRST))
    return unlike, first, face.index, str(face.path)


def _plain_name(face: Face) -> str:
    """The name of a font's file in small letters and digits alone."""
    return re.sub(r"[\W_]", "", face.path.stem.lower()) if face.path else ""


def _candidates(letters: frozenset[str]) -> list[Face]:
    """Fonts of the system that may have the letters."""
    listed = _listed_by_fontconfig(letters)
    if listed is not None:
        return [*listed, *_faces_below(_own_folders())]
    return _faces_below((*_own_folders(), *_system_folders()))


def _listed_by_fontconfig(letters: frozenset[str]) -> list[Face] | None:
    """What fontconfig says that has all letters; None without fontconfig."""
    command = shutil.which("fc-list")
    if command is None:
        return None
    codes = " ".join(sorted(f"{ord(letter):x}" for letter in letters))
    try:
        answer = subprocess.run(
            [command, f":charset={codes}", "--format", "%{file}\t%{index}\n"],
            capture_output=True, text=True, encoding="utf-8", errors="surrogateescape", timeout=_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition("\t") for line in answer.stdout.splitlines()]
    # above 16 bits stands the instance of a variable font
    return [Face(Path(path), int(index) & 0xFFFF) for path, _, index in rows if Path(path).suffix.lower() in _SUFFIXES]


def _own_folders() -> tuple[Path, ...]:
    """Folders of fonts that came with Python packages."""
    spec = find_spec("matplotlib")
    folders = spec.submodule_search_locations if spec else None
    return tuple(Path(folder) / "mpl-data" / "fonts" / "ttf" for folder in folders or ())


def _system_folders() -> tuple[Path, ...]:
    home = Path("~").expanduser()
    if sys.platform == "win32":
        return Path("C:/Windows/Fonts"), home / "AppData/Local/Microsoft/Windows/Fonts"
    if sys.platform == "darwin":
        return Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"
    return Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts"


@cache
def _faces_below(folders: tuple[Path, ...]) -> list[Face]:
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES]
    return [Face(path) for path in files]


@cache
def _letters_of(face: Face) -> frozenset[str]:
    """All letters of a font that is drawn in outlines; none for a file that is not such a font."""
    from fontTools.ttLib import TTFont, TTLibError

    assert face.path is not None
    try:
        with face.path.open("rb") as file, TTFont(file, fontNumber=face.index, lazy=True) as font:
            outlines = "glyf" in font or "CFF " in font
            return frozenset(map(chr, font.getBestCmap() or ())) if outlines else frozenset()
    except (OSError, TTLibError, ValueError, KeyError, AssertionError):
        return frozenset()


def _can_be_drawn(face: Face) -> bool:
    try:
        font_of(face, 12).getbbox("a")
    except (OSError, ValueError):
        return False
    return True
