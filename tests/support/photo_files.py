"""Photos that are unlike each other, and the files that hold them."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import skimage.data
from PIL import Image

from deconvnet.photos.photo import load_photo
from deconvnet.photos.sets import PhotoSet

SAMPLES: list[Any] = [getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]


def picture(i: int) -> Image.Image:
    """A photo unlike that of any other number."""
    return Image.fromarray(SAMPLES[i % 4]).resize((40 + i, 30))


def encoded(i: int, form: str = "png") -> bytes:
    data = io.BytesIO()
    picture(i).save(data, form)
    return data.getvalue()


def is_photo(photos: PhotoSet, i: int, number: int) -> bool:
    return bool((photos.read(i).pixels == load_photo(picture(number)).pixels).all())


def names(photos: PhotoSet) -> list[str]:
    return [photos.name(i) for i in range(len(photos))]


def folder_of(where: Path, *files: str) -> Path:
    for i, name in enumerate(files):
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(encoded(i))
    return where


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def table_of(path: Path, rows: list[Any], column: str = "image", **options: Any) -> Path:
    pq.write_table(pa.table({column: rows, "label": list(range(len(rows)))}), path, **options)
    return path
