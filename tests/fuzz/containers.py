"""Many photos in a tar, a Parquet file, a list or a folder, whole and damaged.

A whole one gives its photos, each with its own colour; of a damaged one none is missing without a word. A photo
outside, which nothing but a list of the user's own may name, is never read.
"""

import io
import os
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from deconvnet import DeconvNetError, open_photos
from fuzz import mutate
from fuzz.table import Fault

SECRET = (201, 7, 113)
_NAMES = (
    "a.png", "b.PNG", "deep/er/c.png", "with space.png", "new\nline.png", "katze 猫 é.png", "#comment.png", "a=b.png",
    "x" * 90 + ".png", "y" * 180 + ".png", "%20.png", "{a,b}.png", "*.png", "-o.png", "~.png", "a..png", "\udcff.png",
)  # fmt: skip


def attempt(random: Random, folder: Path) -> str:
    (folder / "outside").mkdir()
    (folder / "inside").mkdir()
    (folder / "outside" / "secret.png").write_bytes(photo(SECRET))
    return random.choice((_tar, _tar, _parquet, _parquet, _list, _folder))(random, folder / "inside")


def photo(colour: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), colour).save(buffer, "PNG")
    return buffer.getvalue()


def colours(random: Random) -> list[tuple[int, ...]]:
    """One for each photo."""
    return [(random.randrange(256), 10 * i, 250) for i in range(random.randint(1, 6))]


def read(source: object) -> list[tuple[int, ...] | None]:
    """The colour of each photo; None if it cannot be read.

    Raises:
        DeconvNetError: the source is refused.
    """
    photos = open_photos(source)
    seen: list[tuple[int, ...] | None] = []
    for i in range(len(photos)):
        try:
            pixels = photos.read(i).pixels
        except DeconvNetError:
            seen.append(None)
            continue
        seen.append(tuple(np.rint(255 * pixels[0, 0]).astype(int).tolist()))
        if seen[-1] == SECRET:
            raise Fault(f"a photo outside was read, as {photos.name(i)!r}")
    return seen


def compared(source: object, wanted: list[tuple[int, ...]], what: str, *, whole: bool, told: bool = True) -> str:
    """What came of reading a source.

    Args:
        source: as `open_photos` takes it.
        wanted: the colours of the photos in it.
        what: it is, for messages.
        whole: each photo has to be read.
        told: a photo that is missing has to be told.
    """
    try:
        seen = read(source)
    except DeconvNetError as error:
        if whole:
            raise Fault(f"{what} is refused: {error}") from error
        return "refused"
    if whole and seen != wanted:
        raise Fault(f"{what} gives {seen}, not {wanted}")
    if told and len(seen) < len(wanted):
        raise Fault(f"{what}: {len(wanted) - len(seen)} of {len(wanted)} photos are missing without a word")
    return "whole" if whole else "damaged, read"


_WAYS: dict[str, Callable[[Random, bytes], bytes]] = {
    "whole": lambda random, data: data,
    "cut": mutate.cut,
    "flipped": mutate.flipped,
    "any": mutate.mutated,
}


# ---- tar


def _tar(random: Random, folder: Path) -> str:
    form = random.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    wanted, names = colours(random), random.sample(_NAMES[:-1], len(_NAMES) - 1)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, colour in zip(names, wanted, strict=False):
            if random.random() < 0.2:
                tar.addfile(_misleading(random))
            short = name if form != tarfile.USTAR_FORMAT or len(name) < 100 else "z.png"
            if random.random() < 0.1:
                short = random.choice(("../", "/", "../outside/", "./")) + short  # only a name here
            member = tarfile.TarInfo(short)
            data = photo(colour)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    path, data = folder / "photos.tar", buffer.getvalue()
    way = random.choice(("whole", "cut", "flipped", "any"))
    path.write_bytes(_WAYS[way](random, data))
    # the headers of the plain format have sums; in the others the name of a photo can be changed unseen
    told = way == "cut" or (way == "flipped" and form == tarfile.USTAR_FORMAT)
    return compared(path, wanted, f"tar of format {form}, {way}", whole=way == "whole", told=told)


def _misleading(random: Random) -> tarfile.TarInfo:
    """A member that is not a file, though its name says so."""
    member = tarfile.TarInfo(random.choice(("link.png", "device.png", "folder.png")))
    member.type = random.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
    member.linkname = random.choice(("../outside/secret.png", str(Path("outside/secret.png").resolve()), "/dev/zero"))
    return member


# ---- Parquet


def _parquet(random: Random, folder: Path) -> str:
    wanted = colours(random)
    column, whole = _column(random, wanted, folder)
    table = pa.table({random.choice(("image", "img", "photo")): column})
    if random.random() < 0.4:
        table = table.append_column("label", pa.array(range(len(wanted))))
    if random.random() < 0.1:
        table = table.append_column(table.column_names[0], column)  # two of one name
        whole = False
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, row_group_size=random.choice((1, 2, 100)), use_dictionary=random.random() < 0.5,
        compression=random.choice(("none", "snappy", "zstd", "gzip")), write_page_checksum=random.random() < 0.3,
    )  # fmt: skip
    path, data = folder / random.choice(("photos.parquet", "train.PARQUET")), buffer.getvalue()
    way = random.choice(("whole", "whole", "cut", "any"))
    damaged = {
        "whole": lambda: data,
        "cut": lambda: mutate.cut(random, data),
        "any": lambda: mutate.mutated(random, data),
    }
    path.write_bytes(damaged[way]())
    return compared(path, wanted, f"Parquet of {column.type}, {way}", whole=whole and way == "whole", told=way != "any")


def _column(random: Random, wanted: list[tuple[int, ...]], folder: Path) -> tuple[pa.Array, bool]:
    """A column of photos, and whether each has to be read."""
    files = [photo(colour) for colour in wanted]
    kind = random.choice(
        ("struct", "struct", "binary", "large", "paths", "outside", "texts", "numbers", "nulls", "lists")
    )
    if kind in ("binary", "large"):
        return pa.array(files, pa.binary() if kind == "binary" else pa.large_binary()), True
    if kind == "struct":
        return pa.array([{"bytes": file, "path": f"{i}.png"} for i, file in enumerate(files)]), True
    if kind == "paths":
        for i, file in enumerate(files):
            (folder / f"{i}.png").write_bytes(file)
        return pa.array([{"bytes": None, "path": f"{i}.png"} for i in range(len(files))], _struct()), True
    if kind == "outside":
        return pa.array([{"bytes": None, "path": _way_out(random, folder)} for _ in files], _struct()), False
    if kind == "nulls":
        return pa.array([{"bytes": None, "path": None} for _ in files], _struct()), False
    if kind == "numbers":
        paths = [{"bytes": file, "path": i} for i, file in enumerate(files)]
        return pa.array(paths, pa.struct([("bytes", pa.binary()), ("path", pa.int64())])), False
    if kind == "lists":
        return pa.array([[file] for file in files], pa.list_(pa.binary())), False
    paths = [_way_out(random, folder) for _ in files]
    if random.random() < 0.5:
        return pa.array(paths), False
    return pa.array([{"bytes": path, "path": None} for path in paths]), False  # "bytes" that are a text


def _struct() -> pa.DataType:
    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _way_out(random: Random, folder: Path) -> str:
    """A path to the photo outside."""
    secret = folder.parent / "outside" / "secret.png"
    if not (folder / "link").exists():
        (folder / "link").symlink_to(secret.parent)
    return random.choice(
        (str(secret), "../outside/secret.png", f"file://{secret}", f"local://{secret}", "x/../../outside/secret.png",
         "~/" + os.path.relpath(secret, Path.home()), "./../outside/secret.png", f"simplecache::file://{secret}",
         str(secret).replace("/", "//"))
    )  # fmt: skip


# ---- lists and folders


def _list(random: Random, folder: Path) -> str:
    wanted = colours(random)
    names = [f"{i}{random.choice(('', ' ', 'é', '#', '%41'))}.png" for i in range(len(wanted))]
    for name, colour in zip(names, wanted, strict=True):
        (folder / name).write_bytes(photo(colour))
    lines = [random.choice((name, str(folder / name), f"./{name}")) for name in names]
    if random.random() < 0.3:
        lines.insert(random.randrange(len(lines) + 1), random.choice(("# a comment", "", "   ")))
    text = random.choice(("\n", "\r\n")).join(lines).encode(random.choice(("utf-8", "utf-8-sig")))
    whole = random.random() < 0.5
    path = folder / "list.txt"
    path.write_bytes(
        text if whole else mutate.mutated(random, text) + random.choice((b"", b"\n/dev/zero\n", b"\n\0\n"))
    )
    return compared(path, wanted, "list", whole=whole, told=False)


def _folder(random: Random, folder: Path) -> str:
    wanted = colours(random)
    names = random.sample(_NAMES, len(wanted))
    order = sorted(zip(names, wanted, strict=True))
    for name, colour in order:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(photo(colour))
    whole = random.random() < 0.4
    if not whole:
        random.choice((_fifo, _socket, _device, _circle, _dangling, _folder_as_photo))(folder / "0.png")
    try:
        seen = read(folder)
    except DeconvNetError as error:
        raise Fault(f"the folder of {names} is refused: {error}") from error
    missing = set(wanted) - set(seen)
    if missing or (whole and len(seen) != len(wanted)):
        raise Fault(f"the folder of {names} gives {seen}, not {wanted}")
    return "whole" if whole else "odd file, read"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # an absolute path may be too long


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _circle(path: Path) -> None:
    path.symlink_to(path)
    (path.parent / "circle").symlink_to(path.parent)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere.png")


def _folder_as_photo(path: Path) -> None:
    path.mkdir()
