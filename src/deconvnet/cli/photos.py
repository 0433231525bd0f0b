"""The photos that a command works on: files, samples, and what folders, lists, patterns, shards and URLs hold."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from deconvnet._errors import DeconvNetError
from deconvnet.cli.options import PhotoFlags
from deconvnet.cli.stderr import prints_on_stderr

if TYPE_CHECKING:
    from deconvnet.photos.photo import Photo
    from deconvnet.photos.preprocess import Preprocess
    from deconvnet.photos.sets import PhotoSet

SAMPLE = "sample:"

_ENDINGS = re.compile(r"\.(txt|parquet|tgz|tar(\.(gz|bz2|xz|zst))?)\Z", re.IGNORECASE)  # of lists and shards
_SIGNS = "*?[{"  # of patterns


@dataclass(frozen=True, eq=False)
class PhotoInput:
    """One photo that a command works on.

    Attributes:
        name: as the user gave it; of a photo in a source, its name there, as in an atlas.
        source: the argument that it comes from.
        load: reads and decodes it as a preprocessing says, or raises what is wrong with it.
        named: whether the argument names this photo alone.
        path: of its file, or a sample, as `load_photo` takes it; None of a photo in a source.
    """

    name: str
    source: str
    load: Callable[["Preprocess"], "Photo"]
    named: bool
    path: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and name without suffix, for the names of pictures."""
        from deconvnet.photos.files import split_page

        name, page = split_page(self.name.removeprefix(SAMPLE))
        path = PurePath(name)
        stem = path.stem if page is None else f"{path.stem}#{page}"
        return (*(() if self.named else source_parts(self.source)), *_parts(path.parent), stem)

    def facts(self) -> dict[str, str]:
        """Which photo it is, for `--json`."""
        return {"photo": self.name, "source": self.source}


@prints_on_stderr()
def open_inputs(arguments: Sequence[str], flags: PhotoFlags) -> list[PhotoInput]:
    """The photos of all arguments, in order. A source that cannot be opened stands as one photo that cannot be read."""
    return [photo for argument in arguments for photo in _inputs(argument, flags)]


def photo_input(photo: str) -> PhotoInput:
    """A photo by its path, or a sample."""
    return PhotoInput(photo, photo, lambda preprocess: preprocess.read(photo), named=True, path=photo)


def source_parts(source: str) -> tuple[str, ...]:
    """Folders and name of a source, for the names of files; none of a pattern or URL."""
    if "://" in source or any(sign in source for sign in _SIGNS):
        return ()
    *folders, name = _parts(PurePath(source)) or ("",)
    return tuple(filter(None, (*folders, _ENDINGS.sub("", name))))


def _inputs(argument: str, flags: PhotoFlags) -> list[PhotoInput]:
    from deconvnet.photos.sets import open_photos

    try:
        if not is_source(argument) and flags.suffix is None:
            return [photo_input(argument)]
        photos = open_photos(argument, **flags.options)
    except DeconvNetError as error:
        return [PhotoInput(argument, argument, partial(_raise, error), named=True)]
    return [PhotoInput(photos.name(i), argument, partial(_read, photos, i), named=False) for i in range(len(photos))]


def _read(photos: "PhotoSet", i: int, preprocess: "Preprocess") -> "Photo":
    from deconvnet.photos.photo import warn_of_dark

    photo = photos.read(i, reading=preprocess.reading)
    warn_of_dark([photo])
    return photo


def is_source(argument: str) -> bool:
    """Whether an argument is a folder, list, pattern, shard or URL, rather than a photo that may exist."""
    from deconvnet.photos import files

    if argument.startswith(SAMPLE):
        return False
    if files.is_url(argument) or files.is_folder(argument) or _ENDINGS.search(argument):
        return True
    return any(sign in argument for sign in _SIGNS) and not files.is_there(argument)


def _raise(error: DeconvNetError, preprocess: "Preprocess") -> "Photo":
    raise error


def _parts(path: PurePath) -> tuple[str, ...]:
    return tuple(part for part in path.parts if part not in (path.anchor, ".", ".."))
