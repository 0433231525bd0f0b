"""Pictures as files: written completely or not at all, without metadata. No torch here."""

from pathlib import Path

from PIL import Image

from deconvnet._checks import file_path, flag
from deconvnet._files import check_writable, write_whole

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_BEST = {"quality": 95, "subsampling": 0, "lossless": True}  # of JPEG and WebP; others ignore it
_WHITE = (255, 255, 255)


def save_picture(image: Image.Image, path: str | Path, *, dpi: int | None = None, force: bool = False) -> None:
    """Write the picture, completely or not at all, in the format that the suffix names.

    The bytes depend on the pixels alone: no time, place or other metadata. WebP is lossless.

    Args:
        image: any mode; transparency becomes white.
        path: ends in .png, .webp, .jpg, .jpeg, .tif, .tiff or .bmp.
        dpi: dots per inch, written in the file where the format has room for it; none if None.
        force: replace a file that is there already.

    Raises:
        ArgumentError: an unknown suffix, a missing folder, or a file that is there already.
        DeconvNetError: the disk refused, or the format cannot hold a picture of this size.
    """
    path = check_picture_path(path, force=force)
    kind = Image.registered_extensions()[path.suffix.lower()]
    options = _BEST if dpi is None else {**_BEST, "dpi": (dpi, dpi)}
    write_whole(path, lambda file: on_white(image).save(file, kind, **options))


def check_picture_path(path: str | Path, *, force: bool, formats: tuple[str, ...] = SUFFIXES) -> Path:
    """The path, if a picture may be written there; what is drawn for it is drawn after this.

    Args:
        path: of the file.
        force: it may be there already.
        formats: suffixes that it may have.

    Raises:
        ArgumentError: as `save_picture`.
    """
    picture = file_path("path", path)
    check_writable(picture, formats, force=flag("force", force))
    return picture


def on_white(image: Image.Image) -> Image.Image:
    """RGB without metadata."""
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (*_WHITE, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")
