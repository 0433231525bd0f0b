"""Damaged shards are told, what they name stays below them, and a changed photo is never taken for the old one."""

import io
import os
import pickle
import re
import socket
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.photo_files import encoded, folder_of, is_photo, names, picture, table_of, tar_of

from deconvnet._errors import ArgumentError, PhotoError
from deconvnet.photos import files
from deconvnet.photos.batches import batches
from deconvnet.photos.photo import load_photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import open_photos

# ---- damaged tars


@pytest.fixture
def ten(tmp_path: Path) -> tuple[Path, bytes, int]:
    """A tar of ten photos of one size, its bytes, and what each photo takes of them."""
    path = tar_of(tmp_path / "s.tar", {f"{i}.png": encoded(0) for i in range(10)})
    return path, path.read_bytes(), 512 + -(-len(encoded(0)) // 512) * 512


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cut in a header", "the header at byte {at}, behind '2.png', is cut off"),
        ("cut in a photo", "unexpected end of data"),
        ("cut between members", "it ends at byte {at}, behind '2.png', without the two blocks of zeros"),
        ("one block of zeros", "it ends at byte {at}, behind '2.png', without the two blocks of zeros"),
        ("a byte of a header", "the header at byte {at}, behind '2.png', is damaged"),
        ("a header zeroed", "it ends at byte {at}, behind '2.png', without the two blocks of zeros"),
        ("a header and more zeroed", "there is more behind the end at byte {at}, behind '2.png'"),
        ("all the end cut off", "it ends at byte {end}, behind '9.png', without the two blocks of zeros"),
        ("two tars joined", "there is more behind the end at byte {end}, behind '9.png'"),
    ],
)
def test_a_damaged_tar_is_refused_and_says_where(ten: tuple[Path, bytes, int], kind: str, words: str) -> None:
    path, whole, step = ten
    at, end = 3 * step, 10 * step
    path.write_bytes({
        "cut in a header": whole[: at + 100],
        "cut in a photo": whole[: at - 600],
        "cut between members": whole[:at],
        "one block of zeros": whole[:at] + bytes(512),
        "a byte of a header": whole[: at + 5] + b"\xff" + whole[at + 6 :],
        "a header zeroed": whole[:at] + bytes(512) + whole[at + 512 :],
        "a header and more zeroed": whole[:at] + bytes(1024) + whole[at + 1024 :],
        "all the end cut off": whole[:end],
        "two tars joined": whole + whole,
    }[kind])  # fmt: skip
    with pytest.raises(PhotoError, match=rf"cannot read the shard 's\.tar': .*{words.format(at=at, end=end)}"):
        open_photos(path)
    path.write_bytes(whole)
    assert len(open_photos(path)) == 10


def test_a_damaged_tar_behind_a_url_is_refused_too(ten: tuple[Path, bytes, int]) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/cut/s.tar", ten[1][: 3 * ten[2]])
    with pytest.raises(PhotoError, match="without the two blocks of zeros"):
        open_photos("memory://cut/s.tar")
    memory.store.clear()


def test_random_damage_of_a_shard_ends_in_our_own_errors(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tar = tar_of(tmp_path / "s.tar", {f"{i}.png": encoded(i) for i in range(3)}).read_bytes()
    table = table_of(tmp_path / "s.parquet", [encoded(i) for i in range(3)]).read_bytes()
    for i in range(200):
        data, suffix = ((bytearray(tar), "tar"), (bytearray(table), "parquet"))[i % 2]
        for _ in range(3):
            data[random.integers(512) if i % 2 == 0 else -random.integers(1, 600)] = random.integers(256)
        path = tmp_path / f"d{i}.{suffix}"
        path.write_bytes(bytes(data))
        try:
            photos = open_photos(path)
            for k in range(len(photos)):
                photos.read(k)
        except (PhotoError, ArgumentError) as fault:
            assert "_io." not in str(fault), fault


# ---- members of tars


def test_hidden_files_and_folders_are_left_out_of_tars_as_out_of_folders(tmp_path: Path) -> None:
    members = ["./a.png", ".b.png", "d/.c.png", ".d/e.png", "d/.f/g.png", "d/h.png", "__MACOSX/._i.png"]
    photos = open_photos(tar_of(tmp_path / "a.tar", {name: encoded(i) for i, name in enumerate(members)}))
    assert names(photos) == ["./a.png", "d/h.png"] and is_photo(photos, 1, 5)


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Samples of a photo, a mask, another mask and a label."""
    members = {}
    for i in range(3):
        members |= {f"d/{i}.seg.png": encoded(3), f"d/{i}.png": encoded(i), f"d/{i}.mask.png": encoded(4)}
        members |= {f"d/{i}.json": b"{}"}
    return tar_of(tmp_path / "a.tar", members)


def test_a_sample_with_several_photos_asks_which(masked: Path) -> None:
    words = (
        r"'a\.tar' holds several photos of the name 'd/0', 'd/0\.seg\.png' and 'd/0\.png'.*suffix='\*\.png' "
        r"\(--suffix '\*\.png'\) takes both, and '\.seg\.png' or '\.png' one of them"
    )
    with pytest.raises(ArgumentError, match=words):
        open_photos(masked)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a.jpg", "a.seg.png", "*"), ("a.jpg", "a.mask.jpg", "*.jpg"), ("a.image.png", "a.mask.png", "*.png"),
        ("a.jpg", "a.png", "*"), ("a.v1.jpg", "a.v2.png", "*"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_sample_of_several_photos_is_so(tmp_path: Path, one: str, other: str, both: str) -> None:
    path = tar_of(tmp_path / "a.tar", {one: encoded(0), other: encoded(1), "b.jpg": encoded(2), "b.txt": b""})
    with pytest.raises(ArgumentError, match=rf"suffix='{re.escape(both)}'.* takes both"):
        open_photos(path)
    assert names(open_photos(path, suffix=both))[:2] == [one, other]
    for name in (one, other):
        chosen = names(open_photos(path, suffix=name[1:]))
        assert name in chosen and not {one, other} <= set(chosen)
    assert names(open_photos(path, suffix="*")) == [one, other, "b.jpg"]


def test_names_that_differ_in_digits_and_dots_alone_are_photos_of_their_own(tmp_path: Path) -> None:
    members = [
        "a/img.v1.jpg",
        "a/img.v2.jpg",
        "a/img.v10.JPG",
        "trip.2020.01.png",
        "trip.2020.02.png",
        "b.jpg",
        "b..jpg",
        "b.1.jpg",
    ]
    path = tar_of(tmp_path / "a.tar", {name: encoded(i) for i, name in enumerate(members)})
    assert names(open_photos(path)) == members
    assert names(open_photos(path, suffix="*.jpg")) == [name for name in members if name.lower().endswith("jpg")]


@pytest.mark.parametrize(("suffix", "number"), [(".mask.png", 4), ("mask.png", 4), (".SEG.png", 3), (".png", None)])
def test_photos_of_a_sample_are_chosen_by_suffix(masked: Path, suffix: str, number: int | None) -> None:
    photos = open_photos(masked, suffix=suffix)
    ending = suffix.lower().lstrip(".")
    assert names(photos) == [f"d/{i}.{ending}" for i in range(3)]
    assert all(is_photo(photos, i, i if number is None else number) for i in range(3))


def test_a_suffix_is_the_end_of_the_name_where_dots_do_not_part_samples(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "a.tar", {f"img.{i:03d}.png": encoded(i) for i in range(3)} | {"b.txt": b""})
    assert names(open_photos(path, suffix=".png")) == [f"img.{i:03d}.png" for i in range(3)]
    with pytest.raises(PhotoError, match="no photos"):
        open_photos(path, suffix=".jpg")


def test_a_suffix_is_for_tars_alone_and_is_a_text(masked: Path, tmp_path: Path) -> None:
    folder_of(tmp_path / "f", "a.png")
    for source in (tmp_path / "f", [picture(0)], table_of(tmp_path / "a.parquet", [encoded(0)])):
        with pytest.raises(ArgumentError, match=r"suffix='\.png' chooses among the files in tar shards"):
            open_photos(source, suffix=".png")
    for suffix in (3, "", ".", " ", "**", "*.", "a*.png", "d/.png", True, b".png"):
        with pytest.raises(ArgumentError, match="suffix is a text such as"):
            open_photos(masked, suffix=suffix)  # type: ignore[arg-type]  # that is the test


# ---- reading tables


def opened_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that are opened from here on."""
    opened: list[str] = []
    table = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda source, **more: opened.append(str(source)) or table(source, **more))
    return opened


def test_each_thread_opens_each_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = open_photos(table_of(tmp_path / "a.parquet", [encoded(i) for i in range(12)], row_group_size=3))
    opened, threads = opened_by(monkeypatch), 8
    together = threading.Barrier(threads)

    def read_all(_: int) -> bool:
        right = []
        for i in range(12):
            together.wait(10)
            right.append(is_photo(photos, i, i))
        return all(right)

    with ThreadPoolExecutor(threads) as pool:
        assert all(pool.map(read_all, range(threads)))
    assert len(opened) == threads * 4


def test_a_table_behind_a_url_is_closed_when_it_is_done_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    table_of(tmp_path / "a.parquet", [encoded(i) for i in range(8)], row_group_size=1)
    memory.pipe("/closed/a.parquet", (tmp_path / "a.parquet").read_bytes())
    handed: list[Any] = []
    open_file = files.open_file

    def noted(location: str) -> Any:
        handed.append(io.BytesIO(open_file(location).read()))  # kept here, so that only closing closes it
        return handed[-1]

    monkeypatch.setattr(files, "open_file", noted)
    photos = open_photos("memory://closed/a.parquet")
    assert all(is_photo(photos, i, i) for i in range(8))
    assert len(handed) > 8 and sum(not file.closed for file in handed) <= 4
    memory.store.clear()


@pytest.mark.parametrize("kind", ["bytes", "struct"])
def test_photos_in_a_table_are_held_against_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    large = [bytes(2**20)] * 3
    cells: list[Any] = large if kind == "bytes" else [{"bytes": data, "path": "a.png"} for data in large]
    small: list[Any] = [encoded(0) if kind == "bytes" else {"bytes": encoded(0), "path": "b.png"}]
    table_of(tmp_path / "a.parquet", cells, compression="zstd", use_dictionary=False)
    table_of(tmp_path / "b.parquet", small * 20 + cells[:1], compression="zstd")
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "500KB")
    opened, mixed = open_photos(tmp_path / "a.parquet"), open_photos(tmp_path / "b.parquet")
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("it was read"))
    assert "a photo in its row group has at least 0.00105 GB, and the limit is 0.0005 GB" in caught(opened, 1)
    monkeypatch.undo()
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "500KB")
    assert "it has 0.00105 GB, and the limit is 0.0005 GB" in caught(mixed, 20) and is_photo(mixed, 19, 0)


def test_a_table_with_a_path_longer_than_any_is_refused(tmp_path: Path) -> None:
    rows = [{"bytes": encoded(0), "path": "a.png"}] * 3 + [{"bytes": encoded(0), "path": "x" * 500_000}] * 30
    path = table_of(tmp_path / "a.parquet", rows, dictionary_pagesize_limit=2**20)
    assert path.stat().st_size < 10**5
    with pytest.raises(PhotoError, match=r"'a\.parquet': row 3 has a path of 500000 characters"):
        open_photos(path)


# ---- what shards and lists may name


def row(path: str | None, data: bytes | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A photo outside the folder "shards", to which a link there leads."""
    (tmp_path / "shards").mkdir()
    folder_of(tmp_path, "secret.png", "shards/set/own.png")
    (tmp_path / "shards" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "shards" / "out").symlink_to(tmp_path)
    (tmp_path / "shards" / "near.png").symlink_to("set/own.png")
    return tmp_path / "secret.png"


def test_a_table_names_only_files_below_its_folder(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(secret.parent))
    outside = [
        str(secret), f"file://{secret}", "../secret.png", "set/../../secret.png", "~/secret.png", "link.png",
        "out/secret.png", "http://localhost/secret.png", "memory://secret.png", "a\0b.png", "..\\secret.png",
    ]  # fmt: skip
    inside = ["set/own.png", "./set/own.png", "near.png", str(secret.parent / "shards" / "set" / "own.png")]
    shards = secret.parent / "shards"
    photos = open_photos(table_of(shards / "t.parquet", [row(path) for path in outside + inside]))
    for i, path in enumerate(outside):
        with pytest.raises(PhotoError, match=r"outside the folder.*allow_outside=True|no such file"):
            photos.read(i)
        assert "outside" in caught(photos, i) or path[0] == "~" or "\\" in path
    assert all(photos.read(i).size == (30, 41) for i in range(len(outside), len(photos)))
    trusted = open_photos(shards / "t.parquet", allow_outside=True)
    assert all(trusted.read(i).size == (30, 40) for i in range(7))


@pytest.mark.parametrize("value", ["no", "False", 1, 0, None])
def test_allow_outside_is_true_or_false(secret: Path, value: Any) -> None:
    with pytest.raises(ArgumentError, match="allow_outside is True or False; got"):
        open_photos([secret], allow_outside=value)


def test_what_is_open_already_comes_back_and_takes_no_options(masked: Path) -> None:
    photos = open_photos(masked, suffix=".png")
    assert open_photos(photos) is photos
    for options in ({"suffix": ".png"}, {"allow_outside": True}):
        with pytest.raises(ArgumentError, match="open already, so allow_outside and suffix belong to"):
            open_photos(photos, **options)  # type: ignore[arg-type]  # one of the two


def caught(photos: Any, i: int) -> str:
    with pytest.raises(PhotoError) as fault:
        photos.read(i)
    return str(fault.value)


def test_bytes_that_are_not_bytes_open_no_file(secret: Path) -> None:
    for text in (str(secret), f"file://{secret}"):
        table_of(secret.parent / "t.parquet", [{"bytes": text, "path": "x.png"}])
        with pytest.raises(
            ArgumentError, match=r"'t\.parquet' has image\.bytes of type string. Bytes have to be binary"
        ):
            open_photos(secret.parent / "t.parquet")
        with pytest.raises(ArgumentError, match="its 'bytes' are of type str"):
            open_photos([{"image": {"bytes": text}}])


def test_a_list_behind_a_url_names_only_what_lies_below_it(secret: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/set/a.png", encoded(1))
    memory.pipe("/other/b.png", encoded(2))
    lines = [
        str(secret), f"file://{secret}", "../other/b.png", "~/x.png", "memory://other/b.png", "memory://set/../other/b.png",
        "%2e%2e/other/b.png", "x::memory://other/b.png", "http://localhost/x.png", "/other/b.png",
    ]  # fmt: skip
    for line in lines:
        memory.pipe("/set/list.txt", f"a.png\n{line}\n".encode())
        with pytest.raises(PhotoError, match=r"cannot read the list 'memory://set/list\.txt'.*outside the folder"):
            open_photos("memory://set/list.txt")
    memory.pipe("/set/list.txt", f"a.png\n{lines[4]}\nmemory://set/a.png\n".encode())
    photos = open_photos("memory://set/list.txt", allow_outside=True)
    assert is_photo(photos, 0, 1) and is_photo(photos, 1, 2) and is_photo(photos, 2, 1)
    pq.write_table(
        pa.table({"image": [row("a.png"), row("../other/b.png"), row(str(secret))]}), secret.parent / "t.parquet"
    )
    memory.put(str(secret.parent / "t.parquet"), "/set/t.parquet")
    photos = open_photos("memory://set/t.parquet")
    assert is_photo(photos, 0, 1) and "outside" in caught(photos, 1) and "outside" in caught(photos, 2)
    memory.store.clear()


def test_a_list_on_this_machine_names_any_path_or_url(secret: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/other/b.png", encoded(2))
    (secret.parent / "shards" / "l.txt").write_text(f"{secret}\n../secret.png\nmemory://other/b.png\nfile://{secret}")
    photos = open_photos(secret.parent / "shards" / "l.txt")
    assert [is_photo(photos, i, number) for i, number in enumerate((0, 0, 2, 0))] == [True] * 4
    memory.store.clear()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"image": [{"bytes": b"a", "path": 3}]}), r"image\.path of type int64. A path has to be a string"),
        (pa.table([[b"a"], [b"b"]], names=["image", "image"]), "2 columns named 'image'"),
        (
            pa.Table.from_arrays([pa.array([{"bytes": b"a"}]), pa.array([3])], names=["image", "image"]),
            "2 columns named 'image'",
        ),
    ],
)
def test_a_table_of_odd_columns_is_refused_by_name(tmp_path: Path, table: Any, words: str) -> None:
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ArgumentError, match=words):
        open_photos(tmp_path / "a.parquet")


# ---- files that are not files


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with a photo, a pipe, a socket and a link to a device that has no end."""
    folder = folder_of(tmp_path / "p", "a.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)
        server.bind("s.png")
        os.chdir(here)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_what_is_not_a_regular_file_is_refused_wherever_it_is_named(odd: Path) -> None:
    (odd / "l.txt").write_text("pipe.png\ns.png\nzero.png\n/dev/zero\n/dev/tty")
    table = table_of(odd / "t.parquet", [row(name) for name in ("pipe.png", "s.png", "a.png")])
    for photos in (open_photos(odd), open_photos(odd / "l.txt"), open_photos(table)):
        for i, name in enumerate(names(photos)):
            if name == "a.png":
                assert is_photo(photos, i, 0)
            else:
                assert "it is not a regular file." in caught(photos, i)
    for name in ("pipe.png", "s.png", "zero.png"):
        with pytest.raises(PhotoError, match=rf"{name}': it is not a regular file"):
            load_photo(odd / name)
        with pytest.raises(PhotoError, match=rf"{name}': it is not a regular file"):
            open_photos(odd / name)
    for suffix in ("tar", "parquet"):
        os.mkfifo(odd / f"only.{suffix}")
        with pytest.raises(PhotoError, match="not a regular file"):
            open_photos([odd / f"only.{suffix}"])


# ---- the file as it is now


def test_a_table_written_anew_gives_its_new_photos(tmp_path: Path) -> None:
    path = table_of(tmp_path / "a.parquet", [encoded(0), encoded(1)])
    before = open_photos(path)
    assert is_photo(before, 0, 0)
    table_of(path, [encoded(2), encoded(3)])
    after = open_photos(path)
    assert is_photo(after, 0, 2) and is_photo(after, 1, 3) and after.fingerprint != before.fingerprint
    assert is_photo(before, 0, 2)
    table_of(tmp_path / "b.parquet", [encoded(4), encoded(5)])
    os.replace(tmp_path / "b.parquet", path)
    assert is_photo(open_photos(path), 1, 5) and is_photo(after, 1, 5)
    table_of(path, [encoded(6)] * 3)
    assert "its table has changed since it was opened" in caught(after, 0)
    assert [is_photo(open_photos(path), i, 6) for i in range(3)] == [True] * 3
    table_of(path, [encoded(7)])
    assert "has changed" in caught(after, 1) and is_photo(open_photos(path), 0, 7)


def test_a_table_behind_a_url_written_anew_gives_its_new_photos(tmp_path: Path) -> None:
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    for number in (0, 1):
        memory.pipe("/set/a.parquet", table_of(tmp_path / "a.parquet", [encoded(number)]).read_bytes())
        assert is_photo(open_photos("memory://set/a.parquet"), 0, number)
    memory.store.clear()


def test_a_photo_that_is_read_again_is_the_same_or_an_error_that_names_it(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.bmp")
    tar_of(tmp_path / "a.tar", {"a.bmp": (tmp_path / "a.bmp").read_bytes()})
    table_of(tmp_path / "a.parquet", [row("a.bmp", (tmp_path / "a.bmp").read_bytes())])
    sets = [open_photos(tmp_path / name) for name in ("a.bmp", "a.tar", "a.parquet")]
    digests = [photos.read(0).digest for photos in sets]
    assert len(set(digests)) == 1 and digests[0]
    assert [photos.read(0, digests[0]).name for photos in sets] == ["a.bmp"] * 3
    Image.new("RGB", (9, 9), "blue").save(tmp_path / "a.bmp")
    tar_of(tmp_path / "a.tar", {"a.bmp": (tmp_path / "a.bmp").read_bytes()})
    table_of(tmp_path / "a.parquet", [row("a.bmp", (tmp_path / "a.bmp").read_bytes())])
    for photos in sets:
        with pytest.raises(PhotoError, match=r"'a\.bmp' has changed since it was read first"):
            photos.read(0, digests[0])
        with pytest.raises(PhotoError, match=r"'a\.bmp' has changed since it was read first"):
            photos.check_unchanged(0, digests[0])
        photos.check_unchanged(0, photos.read(0).digest)


def test_fingerprints_tell_other_photos_of_the_same_names_and_sizes(tmp_path: Path) -> None:
    def write(colour: str) -> list[str]:
        for i in range(3):
            Image.new("RGB", (9, 9), colour).save(tmp_path / f"{i}.bmp")
        data = {f"{i}.bmp": (tmp_path / f"{i}.bmp").read_bytes() for i in range(3)}
        sources = [tmp_path, tar_of(tmp_path / "a.tar", data), table_of(tmp_path / "a.parquet", list(data.values()))]
        return [open_photos(source).fingerprint for source in sources]

    red, blue = write("red"), write("blue")
    assert all(one != two for one, two in zip(red, blue, strict=True)) and write("red") == red


def test_stamps_follow_the_time_at_which_files_were_written(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    first = open_photos(tmp_path)
    os.utime(tmp_path / "a.png", (1, 1))
    second = open_photos(tmp_path)
    assert first.fingerprint == second.fingerprint and first.stamp != second.stamp
    assert open_photos([picture(0)]).stamp == "" and pickle.loads(pickle.dumps(second)).stamp == second.stamp


def test_digests_come_with_the_batches_for_any_number_of_workers(tmp_path: Path) -> None:
    photos = open_photos(folder_of(tmp_path, *(f"{i}.png" for i in range(7))))
    (tmp_path / "3.png").write_bytes(b"words")
    prepare = Preprocess((8, 8), 8, (0.0,) * 3, (1.0,) * 3)
    for workers in (0, 2):
        for batch in batches(photos, range(7), prepare, 4, workers=workers):
            assert batch.digests.dtype == np.uint64 and 3 not in batch.indices
            assert batch.digests.tolist() == [photos.read(i).digest for i in batch.indices]


def test_a_data_set_that_changes_its_photos_at_random_is_seen() -> None:
    class Turning(list[Any]):
        def __getitem__(self, i: Any) -> Any:
            self.append(None)
            return np.full((4, 4), len(self), np.uint8)

    with pytest.raises(ArgumentError, match="photo '0' is another one than when the set was opened"):
        open_photos(Turning([1, 2])).check_repeatable()
    open_photos([picture(0)]).check_repeatable()


def test_a_file_that_grows_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "holes.png", "wb") as file:
        file.truncate(10**12)
    with pytest.raises(PhotoError, match=r"it has 1e\+03 GB, and the limit is 1 GB"):
        load_photo(tmp_path / "holes.png")
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "10KB")
    path = tar_of(tmp_path / "a.tar", {"a.png": bytes(20_000), "b.png": encoded(1)})
    assert "the limit is 1e-05 GB" in caught(open_photos(path), 0) and is_photo(open_photos(path), 1, 1)
    memory: Any = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/big/a.png", bytes(20_000))
    assert "the limit is 1e-05 GB" in caught(open_photos("memory://big/a.png"), 0)
    monkeypatch.setenv("DECONVNET_LARGEST_PHOTO", "much")
    with pytest.raises(ArgumentError, match="DECONVNET_LARGEST_PHOTO is a number of bytes or a size such as"):
        load_photo(tmp_path / "a.tar")
    memory.store.clear()


def test_reading_photos_imports_no_tifffile_unless_there_is_one(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    program = (
        "import sys; from deconvnet.photos.sets import open_photos\n"
        f"open_photos({str(tmp_path)!r}).read(0); assert 'tifffile' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_member_with_holes_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, len(encoded(0))
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(encoded(0)))
    with pytest.raises(PhotoError, match=r"a\.tar': .*(holes|invalid|damaged)"):
        open_photos(tmp_path / "a.tar")
