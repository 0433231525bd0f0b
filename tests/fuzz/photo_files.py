"""Random photos as files of every format that Pillow, tifffile or the few lines of `png.py` write."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import tifffile
from PIL import Image

from fuzz import png

_ROUNDED = 1.5 / 255  # how far off a pixel may be that was rounded to 8 bits once or twice


@dataclass(frozen=True)
class PhotoFile:
    """A file that holds a photo.

    Attributes:
        data: its bytes.
        suffix: of its name.
        what: its format and mode, for messages.
        expected: (h, w, 1 or 3) pixels from 0 to 1; None where the format loses some.
        common: everyone's photos are such files, so it has to be read.
        tolerance: how far a pixel may be off.
    """

    data: bytes
    suffix: str
    what: str
    expected: np.ndarray | None = None
    common: bool = False
    tolerance: float = _ROUNDED


def written(random: Random) -> PhotoFile:
    """A file of any format."""
    return random.choice((_by_pillow, _by_pillow, _by_pillow, _png, _png, _tiff, _tiff, _odd))(random)


# ---- pixels


def noise(random: Random, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Random pixels of a whole range, smooth enough that a transposition or a negative is seen."""
    generator = np.random.default_rng(random.randrange(2**32))
    kind = np.dtype(dtype)
    ramp = np.linspace(0.1, 0.7, int(np.prod(shape)), dtype=np.float64).reshape(shape)
    values = np.clip(ramp + 0.3 * generator.random(shape), 0, 1)
    if kind.kind == "f":
        return values.astype(kind)
    return np.rint(values * np.iinfo(kind).max).astype(kind)


def size(random: Random) -> tuple[int, int]:
    return tuple(random.choice((1, 2, 3, 7, 8, 16, 17, 31, 64, 100)) for _ in range(2))


def over_white(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) from grey or colour with opacity behind it; 0 to 1."""
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] in (2, 4):
        colour, opacity = pixels[..., :-1], pixels[..., -1:]
        return colour * opacity + 1 - opacity
    return pixels


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera that held the photo this way meant (EXIF, tag 274)."""
    turned = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[:, ::-1],
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p.swapaxes(0, 1)[::-1],
    }
    return turned.get(orientation, lambda p: p)(pixels)


# ---- Pillow

# format, suffix, modes that keep their pixels, modes that lose some, options to draw from
_TIFF = [{"compression": name} for name in (None, "tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate")]
_PILLOW: tuple[tuple[str, str, str, str, list[dict]], ...] = (
    ("PNG", ".png", "1 L LA P RGB RGBA I;16", "", [{}, {"optimize": True}, {"compress_level": 0}]),
    ("TIFF", ".tif", "1 L LA P RGB RGBA I;16 F", "CMYK YCbCr LAB I", _TIFF),
    ("TIFF", ".tiff", "1", "", [{"compression": name} for name in ("group3", "group4", "tiff_ccitt")]),
    ("TIFF", ".tif", "", "L RGB CMYK YCbCr", [{"compression": "jpeg"}]),
    ("WEBP", ".webp", "L RGB RGBA", "", [{"lossless": True, "exact": True}]),
    ("WEBP", ".webp", "", "L RGB RGBA", [{}, {"quality": 1}, {"method": 0}]),
    ("BMP", ".bmp", "1 L P RGB", "RGBA", [{}]),  # whether the fourth byte is opacity is not said
    ("GIF", ".gif", "L P", "1 RGB RGBA", [{}, {"interlace": 1}, {"comment": b"x" * 300}]),
    ("PPM", ".ppm", "1 L RGB I;16", "I", [{}]),
    ("JPEG", ".jpg", "", "1 L RGB CMYK YCbCr", [{}, {"progressive": True}, {"quality": 5}, {"subsampling": 2}]),
    ("JPEG2000", ".jp2", "L LA RGB RGBA", "I;16 YCbCr", [{}]),
    ("JPEG2000", ".j2k", "", "L RGB", [{"irreversible": True, "quality_layers": [20]}]),
    ("AVIF", ".avif", "", "L RGB RGBA", [{"speed": 10}]),
    ("TGA", ".tga", "1 L LA P RGB RGBA", "", [{}, {"compression": "tga_rle"}]),
    ("ICO", ".ico", "", "RGB RGBA", [{}, {"bitmap_format": "bmp"}]),
    ("ICNS", ".icns", "", "RGBA", [{}]),
    ("PCX", ".pcx", "1 L P RGB", "", [{}]),
    ("SGI", ".sgi", "L RGB RGBA", "", [{}]),
    ("DDS", ".dds", "L LA RGB RGBA", "", [{}]),
    ("IM", ".im", "", "1 L LA P RGB RGBA I F CMYK YCbCr", [{}]),
    ("QOI", ".qoi", "RGB RGBA", "", [{}]),
    ("MSP", ".msp", "1", "", [{}]),
    ("SPIDER", ".spi", "", "F", [{}]),
    ("XBM", ".xbm", "", "1", [{}]),
    ("BLP", ".blp", "", "P", [{}]),
    ("EPS", ".eps", "", "L RGB CMYK", [{}]),
)
_EVERYONES = {"PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG", "JPEG2000", "AVIF"}
_ORIENTED = {"PNG", "TIFF", "WEBP", "JPEG"}
_UNUSUAL = {"I", "F", "LAB", "I;16"}


def _by_pillow(random: Random) -> PhotoFile:
    form, suffix, exact, lossy, options = random.choice(_PILLOW)
    mode = random.choice((exact + " " + lossy).split())
    image, expected = pillow_image(random, mode)
    keep = dict(random.choice(options))
    orientation = 1
    if form in _ORIENTED and random.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = orientation = random.randint(1, 8)
        exif[0x010E] = "text" * random.choice((1, 100))
        keep["exif"] = exif if form == "TIFF" else exif.tobytes()
    if form in ("GIF", "PNG", "TIFF", "WEBP") and random.random() < 0.1:
        keep.update(save_all=True, append_images=[image.copy()])
    pages = form == "TIFF" and "save_all" in keep  # which of them is meant is asked
    buffer = io.BytesIO()
    try:
        image.save(buffer, form, **keep)
    except Exception:  # Pillow writes no such file, for example of this size
        return written(random)
    expected = None if expected is None or mode not in exact.split() else upright(expected, orientation)
    what = f"{form} {mode} {image.size} {keep.get('compression', '')} orientation {orientation}"
    return PhotoFile(
        buffer.getvalue(), suffix, what, expected, form in _EVERYONES and mode not in _UNUSUAL and not pages
    )


def pillow_image(random: Random, mode: str) -> tuple[Image.Image, np.ndarray | None]:
    """An image of a mode, and its pixels as they are to be read: None where that is for the format to say."""
    shape = size(random)
    if mode == "1":
        pixels = noise(random, shape, np.uint8) > 128
        return Image.fromarray(pixels), pixels.astype(float)[..., None]
    if mode == "P":
        return _palette(random, shape)
    if mode in ("I;16", "I", "F"):
        pixels = noise(random, shape, {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])
        if mode == "I":
            return Image.fromarray(pixels), None
        return Image.fromarray(pixels), over_white(pixels / (65535 if mode == "I;16" else 1))
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = noise(random, (*shape, bands) if bands > 1 else shape, np.uint8)
    image = Image.frombytes(mode, (shape[1], shape[0]), pixels.tobytes())
    return image, over_white(pixels / 255) if mode in ("L", "LA", "RGB", "RGBA") else None


def _palette(random: Random, shape: tuple[int, int]) -> tuple[Image.Image, np.ndarray]:
    colours = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (256, 3), dtype=np.uint8)
    pixels = noise(random, shape, np.uint8)
    image = Image.fromarray(pixels, "L")
    image.putpalette(colours.tobytes())
    return image, colours[pixels] / 255


# ---- PNG


def _png(random: Random) -> PhotoFile:
    """Every colour type and depth that PNG has, interlaced or not."""
    colour, depth = random.choice([(kind, depth) for kind, depths in png.DEPTHS.items() for depth in depths])
    bands, top = png.BANDS[colour], 2**depth - 1
    shape = size(random)
    pixels = np.rint(noise(random, (*shape, bands), np.float64) * top).astype(np.uint16)
    extra: list[tuple[bytes, bytes]] = []
    if colour == png.PALETTE:
        colours = np.random.default_rng(random.randrange(2**32)).integers(0, 256, (top + 1, 3), dtype=np.uint8)
        expected = colours[pixels[..., 0]] / 255
        extra.append((b"PLTE", colours.tobytes()))
    else:
        expected = over_white(pixels / top)
    if colour in (png.GREY, png.COLOUR) and random.random() < 0.3:  # one colour is transparent: white
        clear = pixels[random.randrange(shape[0]), random.randrange(shape[1])]
        extra.append((b"tRNS", b"".join(int(value).to_bytes(2, "big") for value in clear)))
        expected = np.where((pixels == clear).all(-1, keepdims=True), 1.0, expected)
    elif colour == png.PALETTE and random.random() < 0.3:
        opacity = np.random.default_rng(random.randrange(2**32)).integers(0, 256, top + 1, dtype=np.uint8)
        extra.append((b"tRNS", opacity.tobytes()))
        expected = over_white(np.concatenate([expected, opacity[pixels] / 255], 2))
    if random.random() < 0.2:
        extra.append((b"eXIf", random.randbytes(random.choice((0, 1, 8, 40)))))  # broken, which is no reason to refuse
    interlaced = random.random() < 0.3
    data = png.encoded(pixels, colour, depth, interlaced, extra)
    chunks = " ".join(name.decode() for name, _ in extra)
    what = f"PNG colour type {colour}, {depth} bits, {shape} {'interlaced' if interlaced else ''} {chunks}"
    return PhotoFile(data, ".png", what, expected, common=True)


# ---- TIFF


def _tiff(random: Random) -> PhotoFile:
    """Every kind of numbers and layout that tifffile writes."""
    dtype = random.choice((np.uint8, np.uint8, np.uint16, np.uint16, np.uint32, np.int8, np.int16, np.float16,
                           np.float32, np.float64))  # fmt: skip
    kind = random.choice(("minisblack", "miniswhite", "rgb", "rgba", "planar", "pages"))
    shape = size(random)
    layouts: dict[str, tuple[tuple[int, ...], dict]] = {
        "minisblack": (shape, {}),
        "miniswhite": (shape, {}),
        "rgb": ((*shape, 3), {}),
        "rgba": ((*shape, 4), {"extrasamples": ["unassalpha"]}),
        "planar": ((3, *shape), {"planarconfig": "separate"}),
        "pages": ((3, *shape), {}),
    }
    of_array, options = layouts[kind]
    pixels = noise(random, of_array, dtype)
    photometric = {"rgba": "rgb", "planar": "rgb", "pages": "minisblack"}.get(kind, kind)
    orientation = random.choice((1, 1, 1, 3, 5, 6, 7, 8))
    order = random.choice("<>")
    options |= random.choice(({}, {"compression": "zlib"}, {"rowsperstrip": 3}, {"tile": (16, 16)}))
    options |= random.choice(({}, {"bigtiff": True}))
    buffer = io.BytesIO()
    try:
        tifffile.imwrite(
            buffer, pixels, photometric=photometric, byteorder=order, metadata=None,
            extratags=[(274, "H", 1, orientation, True)], **options,
        )  # fmt: skip
    except Exception:  # tifffile writes no such file
        return written(random)
    unit = pixels.astype(float) / (1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max)
    first = {"planar": np.moveaxis(unit, 0, -1), "pages": unit[0], "miniswhite": 1 - unit}.get(kind, unit)
    expected = upright(over_white(first), orientation)
    what = f"TIFF {np.dtype(dtype)} {kind} {shape} {order} {sorted(options)} orientation {orientation}"
    common = dtype == np.uint8 and kind in ("minisblack", "rgb", "rgba") and "bigtiff" not in options
    tolerance = 2e-3 if dtype == np.float16 else _ROUNDED
    return PhotoFile(buffer.getvalue(), ".tif", what, expected, common, tolerance)


# ---- what is not quite a photo


def _odd(random: Random) -> PhotoFile:
    makers: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: random.randbytes(random.choice((1, 100, 5000))),
        lambda: b"P6 99999 99999 255\n" + bytes(100),
        lambda: b"P5 2 2 65535\n" + bytes(range(8)),
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda: _bomb(random),
        lambda: written(random).data + written(random).data,
        lambda: (first := written(random).data)[: len(first) // 2] + written(random).data,
    )
    return PhotoFile(random.choice(makers)(), random.choice((".png", ".jpg", ".tif", ".webp")), "an odd file")


def _bomb(random: Random) -> bytes:
    """A small file of many pixels: one grey, in a mode that takes much memory."""
    side = random.choice((3000, 6000, 9000))
    return png.blank(side, random.choice((png.GREY, png.COLOUR, png.COLOUR_OPAQUE)), random.choice((8, 16)))
