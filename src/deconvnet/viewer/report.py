"""A report: what a network sees in some photos, as one page to click through and to hand on."""

import html
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import get_args, get_origin

from deconvnet._checks import as_list, callback, escaped, file_path, flag, instance, short, whole_number
from deconvnet._errors import ArgumentError, DeconvNetError, NotFiniteError, PhotoError
from deconvnet._files import check_writable, write_whole
from deconvnet._memory import in_bytes
from deconvnet._version import __version__
from deconvnet.capture.untouched import unwrap
from deconvnet.models.load import LoadedModel
from deconvnet.network import DeconvNet, attached
from deconvnet.photos.photo import PhotoLike
from deconvnet.viewer.look import look, name_of, shown_layers
from deconvnet.viewer.pages import ClassView, LayerView, PageView, PhotoView, page_html
from deconvnet.viewer.repeat import flags, setup, title
from deconvnet.viewer.views import PhotoPart, photo_part
from deconvnet.viewer.ways import lesson

SUFFIXES = (".html", ".htm")

_MOST_MAPS = 10_000
_MOST_PHOTOS = 100_000
_COUNT_BYTES = 64  # that say how many photos there are
_STRONG = 8  # maps of a layer that count as strong in a photo
_COMPARED = 24  # of these, maps that every photo shows: those that are strong in the most photos
_PHOTO_TYPES = tuple(get_origin(kind) or kind for kind in get_args(PhotoLike))


@dataclass(frozen=True, eq=False)
class Report:
    """A page about some photos.

    Attributes:
        html: the page, which needs nothing else.
        path: where it was written; None if nowhere.
        left_out: photos that could not be used, each with the reason; the page is about the others.
        left_out_indices: which of the photos given these are.
        notes: what a reader of the pictures should know.
        units: how many units the page shows.
        units_left_out: how many more there would be without the limit on its size.
    """

    html: str
    path: Path | None
    left_out: tuple[tuple[str, str], ...] = ()
    left_out_indices: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    units: int = 0
    units_left_out: int = 0

    def __repr__(self) -> str:
        return f"<Report of {len(self.html) / 1e6:.2g} MB{'' if self.path is None else f' in {str(self.path)!r}'}>"

    def _repr_html_(self) -> str:
        """The page in a frame of a notebook, kept apart from the notebook's own."""
        style = "width:100%;height:80vh;border:1px solid #999"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{html.escape(self.html)}"></iframe>'


def report(
    net: DeconvNet,
    photos: PhotoLike | Iterable[PhotoLike],
    path: str | Path | None = None,
    *,
    loaded: LoadedModel,
    layers: Sequence[str] | str | None = None,
    maps: int = 48,
    page_size: str | int = "10MB",
    force: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Report:
    """One self-contained page: the likeliest classes of each photo, and units of every layer with their steps.

    Args:
        net: the network and the way down.
        photos: one or several, as `load_photo` takes them. One that cannot be used is left out and listed in the
            result.
        path: the page's file, .html; None to write no file, as for a notebook.
        loaded: how photos become the network's input, and what its classes are called; its model is the network.
        layers: those whose units are shown; by default the rectified ones on the way to the class, of a block only
            its output, sixteen of them if there are more, without those that do not respond.
        maps: maximum number of feature maps of each layer. The strongest are shown, and more units of the strongest;
            besides these, maps that the classes rest on and maps that are strong in the other photos.
        page_size: maximum size of the page, such as "10MB" or a number of bytes. It is shared among the photos;
            where it does not hold everything, each layer shows the same number of units, and `notes` says how many
            were left out.
        force: replace an existing file.
        progress: called with the share that is done, 0 to 1, every now and then.

    Raises:
        ArgumentError: the page size does not hold the classes and one unit of each layer, a named layer's activations
            are nowhere above zero or it lies above the classes, no photos, another network, or the file cannot be
            written there.
        PhotoError, NotFiniteError: none of the photos can be used; the error is that of the first.
        LayerNotFoundError, UnsupportedOperationError, MemoryBudgetError: as `DeconvNet.project`.
        DeconvNetError: the disk refused.
    """
    page_path = None if path is None else file_path("path", path)
    if page_path is not None:
        check_writable(page_path, SUFFIXES, force=flag("force", force))
    callback("progress", progress)
    maps = whole_number("maps", maps, most=_MOST_MAPS)
    photo_list, named = listed(photos), _checked_layers(net, loaded, layers)
    loaded.preprocess.check_images("a report page")
    names = shown_layers(net, loaded, named)
    page = PageView(
        title(net, loaded), net.rules.name, setup(net, loaded), flags(net, loaded), __version__, lesson(net.rules), ()
    )
    room = in_bytes(page_size, "page_size") - len(page_html(page).encode()) - _COUNT_BYTES
    elsewhere = _strong_maps(net, loaded, photo_list, names)

    def part_of(photo: PhotoLike, room: int, photos: int, report_progress: Callable[[float], None]) -> PhotoPart:
        photo_look = look(net, loaded, photo, names, named=named is not None)
        return photo_part(photo_look, page, maps, room, photos, elsewhere, report_progress)

    parts, errors = _parts(photo_list, part_of, room, progress)
    views = [part.view for part in parts]
    text = page_html(replace(page, photos=tuple(views)))
    if page_path is not None:
        write_whole(page_path, lambda file: file.write(text.encode()))
    left_out = tuple((escaped(name_of(photo_list[i])), escaped(str(error))) for i, error in errors.items())
    units, missing = sum(part.units for part in parts), sum(part.left_out for part in parts)
    notes = _size_notes(parts, len(text.encode()), page_size) + _notes(views)
    return Report(text, page_path, left_out, tuple(errors), notes, units, missing)


def _parts(
    photos: Sequence[PhotoLike],
    part_of: Callable[[PhotoLike, int, int, Callable[[float], None]], PhotoPart],
    room: int,
    progress: Callable[[float], object] | None,
) -> tuple[list[PhotoPart], dict[int, DeconvNetError]]:
    """Each photo's part of the page, and by index the errors of those that cannot be used.

    Args:
        photos: all of them.
        part_of: called with a photo, the bytes left, how many photos share them, and what to report progress to.
        room: bytes for all of them.
        progress: as in `report`.

    Raises:
        PhotoError, NotFiniteError: none can be used.
    """
    parts: list[PhotoPart] = []
    errors: dict[int, DeconvNetError] = {}
    for i, photo in enumerate(photos):

        def report_progress(share: float, done: int = i) -> None:
            if progress is not None:
                progress((done + share) / len(photos))

        try:
            parts.append(part_of(photo, room, len(photos) - i, report_progress))
            room -= parts[-1].size
        except (PhotoError, NotFiniteError) as error:
            errors[i] = error
            report_progress(1.0)
    if not parts:
        raise errors[0]
    return parts, errors


def _strong_maps(
    net: DeconvNet, loaded: LoadedModel, photos: Sequence[PhotoLike], layers: Sequence[str]
) -> dict[str, list[int]]:
    """Feature maps that are strong in some photo, by layer: every photo shows them, so that they can be compared."""
    strong = {name: Counter[int]() for name in layers}
    if len(photos) < 2:
        return {}
    for photo in photos:
        try:
            x = loaded.preprocess.images([photo]).to(loaded.example_input)
            activations = net.activations(x, layers)
        except (PhotoError, NotFiniteError):
            continue  # told where its part of the page is made
        for name, values in activations.items():
            peaks = values[0].reshape(len(values[0]), -1).amax(1)
            strong[name].update(peaks.argsort(descending=True, stable=True)[:_STRONG].tolist())
    return {name: [channel for channel, _ in photos_of.most_common(_COMPARED)] for name, photos_of in strong.items()}


def _size_notes(parts: Sequence[PhotoPart], size: int, page_size: str | int) -> tuple[str, ...]:
    """What was left out for the page's size, if anything was."""
    left_out, units = sum(part.left_out for part in parts), sum(part.units for part in parts)
    if not left_out:
        return ()
    enough = math.ceil((size + sum(part.missing for part in parts)) * 1.1 / 1e5) / 10
    return (
        f"page size: {left_out:,} of {left_out + units:,} units were left out, the weakest of each layer, to keep the "
        f"page within {page_size if isinstance(page_size, str) else f'{page_size / 1e6:.2g} MB'}. A page of about "
        f"{enough:g} MB holds all.",
    )


def listed(photos: PhotoLike | Iterable[PhotoLike]) -> list[PhotoLike]:
    """One photo or several, as a list.

    Raises:
        ArgumentError: there are none, or too many.
    """
    if isinstance(photos, _PHOTO_TYPES):
        return [photos]
    if not isinstance(photos, Iterable):
        raise ArgumentError(f"photos is one photo or several, as load_photo takes them; got {short(photos)}.")
    photo_list = list(islice(photos, _MOST_PHOTOS + 1))
    if not photo_list:
        raise ArgumentError("no photos in the list. Give at least one.")
    if len(photo_list) > _MOST_PHOTOS:
        raise ArgumentError(f"more than {_MOST_PHOTOS:,} photos, which one page cannot show. An atlas can.")
    return photo_list


def _checked_layers(net: DeconvNet, loaded: LoadedModel, layers: Sequence[str] | str | None) -> list[str] | None:
    """The layers that the user named; None for the main ones.

    Raises:
        ArgumentError: an argument is wrong.
    """
    instance("net", net, DeconvNet)
    if unwrap(instance("loaded", loaded, LoadedModel).model) is not net.model:
        raise ArgumentError("loaded holds another network than net: attach DeconvNet(loaded.model, ...).")
    attached(net).check_labels(loaded.labels)
    if layers is None:
        return None
    names = [layers] if isinstance(layers, str) else as_list(layers)
    if not names or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"layers is one name or several, or None for the main layers; got {short(layers)}.")
    return names


def _notes(views: Sequence[PhotoView]) -> tuple[str, ...]:
    """Each note once, with the layers that it is about."""
    layers: dict[str, list[str]] = {}
    for view in views:
        parts: list[PhotoView | ClassView | LayerView] = [view, *view.classes, *view.layers]
        for part in parts:
            for note in part.notes:
                layers.setdefault(note, []).extend([part.name] if isinstance(part, LayerView) else [])
    return tuple(f"{', '.join(dict.fromkeys(about))}: {note}" if about else note for note, about in layers.items())
