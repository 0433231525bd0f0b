"""An atlas as a static site: its pages, tables and pictures in a folder, to open from a disk or to host anywhere.

All is made beside the present site, in the folder of unfinished files, and then put in its place; `site.json` is
written last and says which files are of the site. Nothing else in the folder is ever changed. No torch is imported.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from deconvnet._checks import callback, flag, instance
from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet._files import check_new, is_file, is_folder, read_json, sync_together, write_whole
from deconvnet._folders import Held, held, make_folder, result_folder
from deconvnet._version import __version__
from deconvnet.atlas.reader import Atlas
from deconvnet.viewer.addresses import FOLDERS, NETWORK, SEARCH
from deconvnet.viewer.atlas_files import atlas_files
from deconvnet.viewer.atlas_views import AtlasViews

FORMAT_VERSION = 1
MANIFEST = "site.json"
REMEDY = "Give a new folder."

_KEY, _NEW, _OLD = "site", "new", "old"  # in the folder of unfinished files
_NAMES = (MANIFEST, NETWORK, SEARCH, *FOLDERS)  # of all that a site has in its folder
_OF_DESKTOPS = (".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Site:
    """A site of an atlas that was written.

    Attributes:
        folder: where it lies; its first page is index.html.
        pages: how many it has.
        pictures: how many strips of pictures it has.
        bytes: of all its files.
    """

    folder: Path
    pages: int
    pictures: int
    bytes: int


class _Head(msgspec.Struct):
    """What the manifests of all versions begin with."""

    format_version: Annotated[int, Meta(ge=1)]
    deconvnet: str
    files: tuple[str, ...]


def write_site(
    atlas: Atlas,
    folder: str | Path,
    *,
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Site:
    """Write an atlas as a static site: a page for the network, each layer, each feature map and each photo.

    It needs no server: open its index.html, or copy the folder to any host. It loads nothing from outside the folder.
    The addresses of its pages follow from the names of layers and photos, and stay when the atlas is built again.

    Args:
        atlas: what is shown.
        folder: of the site; it must be new, empty, or hold a site.
        force: replace the site in the folder, if there is one. Files of yours beside it stay.
        progress: called with the share that is done, 0 to 1, every now and then.

    Returns:
        Where it lies, and how large it is.

    Raises:
        ArgumentError: there is a site already and `force` is not given, the folder holds anything else, or a file of
            yours lies where the site's belong.
        AtlasError: a picture of the atlas is missing or damaged; nothing is written then.
        DeconvNetError: the disk refused.
    """
    views = AtlasViews(instance("atlas", atlas, Atlas))
    report_progress = callback("progress", progress) or (lambda _: None)
    target = result_folder(folder, key=_KEY, is_result=_is_site)
    check_new([] if flag("force", force) else [target / MANIFEST])
    is_new = not is_folder(target)
    try:
        with held(target, ()) as run:
            site = _written(views, run, report_progress)
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                target.rmdir()
    return site


def _written(views: AtlasViews, run: Held, report_progress: Callable[[float], object]) -> Site:
    """The site, made and put in its place."""
    old, new = run.unfinished / _OLD, run.unfinished / _NEW
    write_whole(run.unfinished / _KEY, lambda file: file.write(b""))
    try:
        for left in (old, new):
            _remove_folder(left)
        _check_ours(run.folder, claimed=run.claimed)
        site = _write_files(views, run.folder, new, report_progress)
        _publish(run)
    except BaseException:
        if not run.claimed:  # else the next run goes on with what lies there
            _remove_folder(new)
            run.remove_unfinished([_KEY])
        raise
    for left in (old, new):
        _remove_folder(left)
    run.remove_unfinished([_KEY])
    return site


def _is_site(folder: Path) -> bool:
    """Whether a folder holds a site, of any version."""
    try:
        return is_file(folder / MANIFEST) and bool(_manifest(folder).files)
    except DeconvNetError:
        return False


def _manifest(folder: Path) -> _Head:
    return read_json(folder / MANIFEST, _Head, REMEDY)


def _check_ours(folder: Path, *, claimed: bool) -> None:
    """Raise unless all that lies where the site's files belong is of a site, or of a run that was killed.

    Raises:
        ArgumentError: a file of the user's lies there.
    """
    if claimed:
        return
    ours = {*_manifest(folder).files, MANIFEST} if _is_site(folder) else set()
    foreign = next((path for path in _files_of(folder) if path not in ours), None)
    if foreign is not None:
        raise ArgumentError(
            f"{str(folder / foreign)!r} is not of the site that is to be replaced. Move it elsewhere, or give a new "
            "folder for the site."
        )


def _files_of(folder: Path) -> Iterator[str]:
    """What lies where a site's files belong, by its path in the folder, without what a desktop leaves in folders."""
    for name in _NAMES:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            for parent, _, files in os.walk(path):
                below = Path(parent).relative_to(folder)
                yield from ((below / file).as_posix() for file in files if file not in _OF_DESKTOPS)
        elif os.path.lexists(path):
            yield name


def _write_files(views: AtlasViews, folder: Path, new: Path, report_progress: Callable[[float], object]) -> Site:
    """Write all files of a site into a folder, wait for the disk, and count them.

    Args:
        views: of the atlas.
        folder: where the site will lie.
        new: where it is written.
        report_progress: told the share that is done.
    """
    pages = pictures = size = 0
    names = []
    for address, content, share in _contents(views):
        _write(new / address, content)
        pages += address.endswith(".html")
        pictures += address.endswith(".webp")
        size += len(content)
        names.append(address)
        report_progress(share)
    manifest = msgspec.json.encode(_Head(FORMAT_VERSION, __version__, tuple(sorted(names))))
    write_whole(new / MANIFEST, lambda file: file.write(manifest), sync=False)
    sync_together(new, [new / name for name in (*names, MANIFEST)])
    return Site(folder, pages, pictures, size + len(manifest))


def _contents(views: AtlasViews) -> Iterator[tuple[str, bytes, float]]:
    """Each file of a site: its path, what it holds, and the share of the work that is done after it."""
    files = atlas_files(views)
    for done, (address, content) in enumerate(files.items()):
        data = content()
        if data is not None:
            yield address, data, done / (len(files) - 1)


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    write_whole(path, lambda file: file.write(content), sync=False)


def _publish(run: Held) -> None:
    """Put a new site in the place of the old one: its manifest goes first and comes last.

    Raises:
        DeconvNetError: the disk refused, or another run has taken the folder.
    """
    run.claim()
    old, new = run.unfinished / _OLD, run.unfinished / _NEW
    make_folder(old)
    try:
        for name in _NAMES:
            if os.path.lexists(run.folder / name):
                os.replace(run.folder / name, old / name)
        for name in reversed(_NAMES):
            if os.path.lexists(new / name):
                os.replace(new / name, run.folder / name)
    except OSError as fault:
        raise DeconvNetError(f"cannot write the site in {str(run.folder)!r}: {fault}.") from fault
    sync_together(run.folder, ())


def _remove_folder(folder: Path) -> None:
    """Remove a folder of unfinished files that this module made, with all that is in it.

    Raises:
        DeconvNetError: the disk refused.
    """
    try:
        if os.path.lexists(folder):
            shutil.rmtree(folder)
    except OSError as fault:
        raise DeconvNetError(f"cannot remove unfinished files in {str(folder)!r}: {fault}.") from fault
