"""Photos are found wherever they are, and come in the same batches however many processes read them."""

import io
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support.photo_files import SAMPLES, encoded, folder_of, is_photo, names, picture, table_of, tar_of

from deconvnet._errors import ArgumentError, DeconvNetError, PhotoError
from deconvnet.photos import content, sets
from deconvnet.photos.batches import Batch, batches
from deconvnet.photos.files import in_braces
from deconvnet.photos.photo import load_photo
from deconvnet.photos.preprocess import Preprocess
from deconvnet.photos.sets import PhotoSet, open_photos

RAW = Preprocess((16, 16), 16, (0.0,) * 3, (1.0,) * 3)


# ---- folders


def test_a_folder_gives_its_photos_by_relative_name_and_in_the_same_order_everywhere(tmp_path: Path) -> None:
    folder_of(tmp_path, "b/2.png", "a.png", "B.PNG", "b/10.png", "é.png", ".hidden.png", ".cache/x.png")
    (tmp_path / "b" / "labels.csv").write_text("not a photo")
    photos = open_photos(tmp_path)
    assert names(photos) == ["B.PNG", "a.png", "b/10.png", "b/2.png", "é.png"]
    assert [is_photo(photos, i, number) for i, number in enumerate((2, 1, 3, 0, 4))] == [True] * 5
    assert photos.read(3).name == "b/2.png"


def test_a_folder_is_followed_through_links_but_not_in_circles(tmp_path: Path) -> None:
    folder_of(tmp_path / "real", "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "back").symlink_to(tmp_path / "set")
    assert names(open_photos(tmp_path / "set")) == ["linked/a.png"]


def test_the_fingerprint_follows_names_and_sizes_but_neither_place_nor_time(tmp_path: Path) -> None:
    one, two = (folder_of(tmp_path / name, "a.png", "b.png") for name in ("one", "two"))
    os.utime(two / "a.png", (1, 1))
    first = open_photos(one).fingerprint
    assert first == open_photos(two).fingerprint and int(first, 16)
    (two / "a.png").write_bytes(encoded(7))
    assert open_photos(two).fingerprint != first
    (one / "a.png").rename(one / "c.png")
    assert open_photos(one).fingerprint != first


def test_a_pattern_picks_files(tmp_path: Path) -> None:
    folder_of(tmp_path, "x/1.png", "y/2.png", "y/3.jpg")
    assert names(open_photos(f"{tmp_path}/*/*.png")) == ["x/1.png", "y/2.png"]
    assert names(open_photos(f"{tmp_path}/y/?.*")) == ["2.png", "3.jpg"]
    assert names(open_photos(f"{tmp_path}/{{y/3.jpg,x/1.png}}")) == ["y/3.jpg", "x/1.png"]
    assert names(open_photos(f"{tmp_path}/x/1.png")) == ["1.png"]


def test_a_name_with_signs_of_a_pattern_is_a_name_if_it_is_there(tmp_path: Path) -> None:
    folder_of(tmp_path, "a[1].png", "{b}/*.png")
    assert is_photo(open_photos(tmp_path / "a[1].png"), 0, 0)
    assert is_photo(open_photos(tmp_path / "{b}"), 0, 1)


def test_a_name_that_is_no_utf_8_is_readable(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        with open(path, "wb") as file:
            file.write(encoded(0))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    photos = open_photos(tmp_path)
    assert names(photos) == [r"caf\xe9.png"] and is_photo(photos, 0, 0)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "no file or folder '.*nowhere'"),
        ("empty", r"no photos in '.*empty': no \.jpg.*no \.tar or \.parquet"),
        ("*.jpg", r"no photos in '.*\*\.jpg'"),
        ("list.txt", r"no photos in '.*list\.txt': it is empty"),
        ("latin.txt", r"cannot read the list '.*latin\.txt'.*utf-8"),
        ("none.tar", r"no photos in '.*none\.tar'"),
        ("s-{0..1}.tar", r"cannot read the shard 's-0\.tar': no such file"),
        ("words.tar", r"cannot read the shard 'words\.tar'.*whole tar, not compressed"),
        ("words.parquet", r"cannot read the shard 'words\.parquet'.*whole Parquet"),
        ("none.parquet", r"no photos in '.*none\.parquet'"),
    ],
)
def test_where_there_are_no_photos_it_is_said_why(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("# nothing\n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.jpg")
    (tmp_path / "words.tar").write_text("words" * 1000)
    (tmp_path / "words.parquet").write_text("words")
    tar_of(tmp_path / "none.tar", {"a.json": b"{}"})
    table_of(tmp_path / "none.parquet", pa.array([], pa.binary()))
    with pytest.raises(PhotoError, match=words):
        open_photos(tmp_path / source)


def test_a_folder_that_may_not_be_read_is_told_rather_than_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path, "a.png", "b/c.png")
    scan = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PhotoError, match=r"cannot read the folder '.*b': Permission denied"):
        open_photos(tmp_path)


def test_numbers_in_braces_count_with_their_zeros() -> None:
    assert in_braces("s-{008..010}.tar") == ["s-008.tar", "s-009.tar", "s-010.tar"]
    assert in_braces("{x,y}{1..2}") == ["x1", "x2", "y1", "y2"]
    with pytest.raises(ArgumentError, match=r"\{3\.\.1\}.*counts downwards"):
        in_braces("s-{3..1}.tar")


# ---- lists


def test_a_list_names_photos_beside_itself_in_its_order(tmp_path: Path) -> None:
    folder_of(tmp_path, "set/a.png", "set/b c.png", "other/d.png")
    lines = ["# chosen by hand", "", "  set/b c.png  ", "set/a.png", str(tmp_path / "other" / "d.png"), "set/gone.png"]
    (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8-sig")
    photos = open_photos(tmp_path / "list.txt")
    assert names(photos) == ["set/b c.png", "set/a.png", "other/d.png", "set/gone.png"]
    assert is_photo(photos, 0, 1) and is_photo(photos, 2, 2)
    with pytest.raises(PhotoError, match=r"cannot read 'set/gone\.png': no such file"):
        photos.read(3)


def test_a_python_list_of_paths_is_such_a_list_too(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png")
    photos = open_photos([tmp_path / "b.png", str(tmp_path / "a.png"), tmp_path / "b.png"])
    assert names(photos) == ["b.png", "a.png", "b.png#2"] and is_photo(photos, 2, 1)


def test_names_are_made_unique_without_taking_another_ones(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "a.png#2")
    lines = ["a.png"] * 3 + ["a.png#2"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert names(open_photos(tmp_path / "list.txt")) == ["a.png", "a.png#3", "a.png#4", "a.png#2"]


@pytest.mark.parametrize(
    ("paths", "right"),
    [
        (["/data/train/a/1.jpg", "/data/train/b/1.jpg", "/far/2.jpg"], ["a/1.jpg", "b/1.jpg", "2.jpg"]),
        (["/data/train/a/1.jpg", "/data/train/b/1.jpg", "/nowhere.jpg"], ["a/1.jpg", "b/1.jpg", "nowhere.jpg"]),
        (["/home/ann/a/1.jpg", "/mnt/b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["/home/ann/a/1.jpg", "/mnt/a/1.jpg", "/far/2.jpg"], ["ann/a/1.jpg", "mnt/a/1.jpg", "2.jpg"]),
        (["/1.jpg", "/a/1.jpg"], ["1.jpg", "a/1.jpg"]),
        (["/a/1.jpg", "/b/2.jpg", "/a/1.jpg"], ["1.jpg", "2.jpg", "1.jpg#2"]),
    ],
)
def test_photos_from_several_places_keep_the_folders_that_distinguish_them(paths: list[str], right: list[str]) -> None:
    assert names(open_photos(paths)) == right


def test_no_name_and_no_reason_tells_the_users_folders(tmp_path: Path) -> None:
    photos = open_photos([tmp_path / "gone.png", "memory://elsewhere/x.png", "memory://b.png?token=secret"])
    assert names(photos) == ["gone.png", "x.png", "b.png"]
    for i in (0, 1):
        with pytest.raises(PhotoError, match="no such file") as caught:
            photos.read(i)
        assert str(tmp_path) not in str(caught.value) and "elsewhere" not in str(caught.value)


# ---- tar shards


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards; the second has no photo."""
    for number, members in enumerate(({"k1.png": 4, "k0.png": 5}, {}, {"k1.png": 6, "d/k9.PNG": 7})):
        photos = {name: encoded(i) for name, i in members.items()}
        extra = {"k1.json": b"{}", "._k1.png": b"from a Mac"}
        tar_of(tmp_path / f"s-{number:02d}.tar", extra | photos)
    return tmp_path


@pytest.mark.parametrize("source", ["s-{00..02}.tar", "s-*.tar", "."])
def test_shards_give_their_photos_shard_by_shard(shards: Path, source: str) -> None:
    photos = open_photos(shards / source)
    assert names(photos) == ["s-00/k1.png", "s-00/k0.png", "s-02/k1.png", "s-02/d/k9.PNG"]
    assert all(is_photo(photos, i, 4 + i) for i in (3, 0, 2, 1))


def test_one_shard_alone_names_its_members_as_they_are(shards: Path) -> None:
    photos = open_photos(shards / "s-00.tar")
    assert names(photos) == ["k1.png", "k0.png"] and is_photo(photos, 1, 5)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_links_in_a_tar_do_not_shift_what_follows(tmp_path: Path, form: int) -> None:
    long = "folder/" * (12 if form == tarfile.USTAR_FORMAT else 40) + "é.png"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, long
        tar.addfile(link)
        for i, name in enumerate((long, "b.png")):
            member = tarfile.TarInfo(name)
            member.size = len(encoded(i))
            tar.addfile(member, io.BytesIO(encoded(i)))
    photos = open_photos(tmp_path / "a.tar")
    assert names(photos) == [long, "b.png"] and is_photo(photos, 0, 0) and is_photo(photos, 1, 1)


@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_shard_that_is_cut_off_is_refused_by_name(shards: Path, share: float) -> None:
    data = (shards / "s-02.tar").read_bytes().rstrip(b"\0")
    (shards / "s-02.tar").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(PhotoError, match=r"cannot read the shard 's-02\.tar': unexpected end of data"):
        open_photos(shards / "s-*.tar")


def test_compressed_shards_are_refused_with_what_to_do(shards: Path) -> None:
    (shards / "s-03.tar.gz").write_bytes(b"")
    for source in (shards, shards / "s-03.tar.gz"):
        with pytest.raises(ArgumentError, match=r"'s-03\.tar\.gz' is compressed.*Unpack it"):
            open_photos(source)


# ---- Parquet


def as_hugging_face(*numbers: int) -> list[dict[str, Any]]:
    return [{"bytes": encoded(i), "path": f"p{i}.png"} for i in numbers]


def test_a_table_as_hugging_face_writes_it_gives_its_photos(tmp_path: Path) -> None:
    table_of(tmp_path / "train-0.parquet", as_hugging_face(*range(40)), row_group_size=17)
    table_of(tmp_path / "train-1.parquet", [*as_hugging_face(40), {"bytes": encoded(41), "path": None}])
    photos = open_photos(tmp_path)
    assert names(photos)[::40] == ["train-0/p0.png", "train-1/p40.png"] and photos.name(41) == "train-1/1"
    assert all(is_photo(photos, i, i) for i in (*range(42), 3, 17, 16, 41, 0))


def test_a_table_may_hold_plain_bytes_under_any_name(tmp_path: Path) -> None:
    photos = open_photos(table_of(tmp_path / "a.parquet", [encoded(0), encoded(1), None], column="jpeg"))
    assert names(photos) == ["0", "1", "2"] and is_photo(photos, 1, 1)
    with pytest.raises(PhotoError, match="cannot read '2': there is none"):
        photos.read(2)


def test_a_table_may_name_files_beside_itself(tmp_path: Path) -> None:
    folder_of(tmp_path / "set", "x.png")
    photos = open_photos(table_of(tmp_path / "a.parquet", [{"bytes": None, "path": "set/x.png"}, *as_hugging_face(3)]))
    assert names(photos) == ["x.png", "p3.png"] and is_photo(photos, 0, 0) and is_photo(photos, 1, 3)


def test_a_table_without_a_clear_column_of_photos_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"no column.*text \(string\), label \(int64\).*Name the one.*'image'"):
        open_photos(table_of(tmp_path / "a.parquet", ["words"], column="text"))
    pq.write_table(pa.table({"left": [b"a"], "right": [b"b"]}), tmp_path / "b.parquet")
    with pytest.raises(ArgumentError, match=r"several columns.*left \(binary\), right \(binary\)"):
        open_photos(tmp_path / "b.parquet")
    table_of(tmp_path / "c.parquet", [b"a"])
    with pytest.raises(ArgumentError, match=r"'c\.parquet' has its photos in 'image', but the others in 'photo'"):
        open_photos([table_of(tmp_path / "0.parquet", [b"a"], column="photo"), tmp_path / "c.parquet"])


# ---- what may be wrong with one photo


def test_a_broken_photo_is_told_when_it_is_read_and_harms_no_other(tmp_path: Path) -> None:
    whole = encoded(1, "jpeg")
    broken = {"cut.jpg": whole[:-40], "empty.jpg": b"", "good.jpg": whole, "words.jpg": b"words"}
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
    tar = open_photos(tar_of(tmp_path / "a.tar", broken))
    table = open_photos(table_of(tmp_path / "a.parquet", [{"bytes": d, "path": n} for n, d in broken.items()]))
    for photos in (open_photos(tmp_path), tar, table):
        assert photos.read(2).size == (30, 41)
        for i, words in ((0, "cut.jpg' is damaged or cut off"), (1, "empty.jpg': it is empty"), (3, "not an image")):
            with pytest.raises(PhotoError, match=words) as caught:
                photos.read(i)
            assert " at 0x" not in str(caught.value) and str(tmp_path) not in str(caught.value)


# ---- URLs


@pytest.fixture
def memory() -> Iterator[Any]:
    filesystem = pytest.importorskip("fsspec").filesystem("memory")
    yield filesystem
    filesystem.store.clear()


def test_urls_give_what_paths_give(tmp_path: Path, memory: Any, shards: Path) -> None:
    folder_of(tmp_path / "set", "b/2.png", "a.png", ".x.png")
    (tmp_path / "set" / "list.txt").write_text("b/2.png\nmemory://all/set/a.png")
    table_of(tmp_path / "t.parquet", as_hugging_face(1, 2))
    memory.put(str(tmp_path), "/all", recursive=True)
    sources = ("set", "set/*.png", "set/list.txt", "s-{00..02}.tar", "s-*.tar", "s-00.tar", "t.parquet", "set/b/2.png")
    for source in sources:
        here, there = open_photos(tmp_path / source), open_photos(f"memory://all/{source}")
        if source == "set/list.txt":
            assert names(there) == ["b/2.png", "a.png"]
        else:
            assert names(there) == names(here)
            assert source == "set/b/2.png" or there.fingerprint == here.fingerprint
        for i in range(len(here)):
            np.testing.assert_array_equal(there.read(i).pixels, here.read(i).pixels)
    url = f"file://{tmp_path.as_posix()}/set"
    assert names(open_photos(url)) == names(open_photos(tmp_path / "set"))


def test_a_url_that_leads_nowhere_is_refused(memory: Any) -> None:
    with pytest.raises(PhotoError, match="no file or folder 'memory://nothing'"):
        open_photos("memory://nothing")
    with pytest.raises(PhotoError, match="cannot open nosuch://: Protocol not known"):
        open_photos("nosuch://bucket/a")


def test_a_missing_driver_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.txt").write_text("a.png\ns3://bucket/a.png")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    pytest.importorskip("fsspec")
    for source in ("s3://bucket/photos", tmp_path / "list.txt"):
        with pytest.raises(PhotoError, match=r"cannot open s3://: Install s3fs.*a package for each kind"):
            open_photos(source)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(PhotoError, match=r"s3:// needs the package fsspec\. Install 'deconvnet\[remote\]'"):
        open_photos("s3://bucket/photos")


def test_fsspec_and_datasets_are_imported_by_those_who_use_them_only(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png")
    program = (
        "import sys; from deconvnet.photos.sets import open_photos\n"
        f"open_photos({str(tmp_path)!r}).read(0); assert not {{'fsspec', 'datasets'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# ---- data sets and sequences


class Rows(torch.utils.data.Dataset[Any]):
    def __init__(self, make: Callable[[int], Any], length: int = 5) -> None:
        self.make, self.length = make, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


def with_label(i: int) -> tuple[Any, int]:
    return picture(i), i


def in_dictionary(i: int) -> dict[str, Any]:
    return {"label": i, "image": np.asarray(picture(i))}


def as_tensor(i: int) -> torch.Tensor:
    return torch.from_numpy(np.array(picture(i))).permute(2, 0, 1)


@pytest.mark.parametrize("make", [picture, encoded, with_label, in_dictionary, as_tensor])
def test_a_map_style_dataset_may_give_photos_in_many_ways(make: Callable[[int], Any]) -> None:
    for photos in (open_photos(Rows(make)), open_photos([make(i) for i in range(5)])):
        assert names(photos) == ["0", "1", "2", "3", "4"] and all(is_photo(photos, i, i) for i in range(5))
        assert photos.read(3).name == "3"


def test_paths_from_a_dataset_and_samples_are_read(tmp_path: Path) -> None:
    folder_of(tmp_path, *(f"{i}.png" for i in range(5)))
    assert is_photo(open_photos(Rows(lambda i: (str(tmp_path / f"{i}.png"), i))), 2, 2)
    assert open_photos(["sample:chelsea", picture(3)]).read(0).size == (300, 451)


def test_a_batch_of_photos_is_a_sequence_of_them_and_a_single_photo_is_not() -> None:
    batch = np.stack([SAMPLES[2][:50, :60], SAMPLES[3][:50, :60]])
    np.testing.assert_array_equal(open_photos(batch).read(1).pixels, load_photo(batch[1]).pixels)
    with pytest.raises(ArgumentError, match="ndarray is not a source of photos with 3 axes"):
        open_photos(SAMPLES[0])


class Stream(torch.utils.data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return map(picture, range(3))


def fails_in_the_middle(i: int) -> Any:
    if i == 3:
        raise KeyError(f"no row {object()} in {io.BytesIO()}")
    return (None, {"depth": 1}, picture(2), 0, np.full((3, 3), 255.0))[i]


def test_whatever_a_dataset_raises_or_gives_instead_of_a_photo_is_that_photos_fault() -> None:
    photos = open_photos(Rows(fails_in_the_middle))
    assert is_photo(photos, 2, 2)
    for i, words in (
        (0, "cannot read '0': there is none"),
        (1, "cannot read '1': it has no 'image', but 'depth'"),
        (3, "cannot read '3': KeyError: 'no row <object object> in the file'"),
        (4, "cannot read '4': .*from 255 to 255, but 0 to 1"),
    ):
        with pytest.raises(PhotoError, match=words):
            photos.read(i)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "NoneType is not a source of photos. Give a path"),
        ({"train": [1], "test": [2]}, "it is a dictionary. Give one of its values: 'train', 'test'"),
        ((picture(i) for i in range(2)), "generator.*one after another.*by index.*map-style"),
        (Stream(), "Stream.*one after another.*map-style"),
        ([1, 2, 3], "neither the first, nor the middle.*cannot be made from int"),
        (picture(0), "Image is not a source of photos"),
    ],
)
def test_what_is_no_source_of_photos_is_refused_with_what_to_do(source: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        open_photos(source)


class NoLength(Rows):
    def __len__(self) -> int:
        raise RuntimeError("the length is behind a login")


def test_more_photos_than_memory_can_list_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"the length is at most \d+ here, as each photo takes 100 bytes"):
        open_photos(range(10**12))


def test_a_length_that_is_not_known_is_told() -> None:
    with pytest.raises(ArgumentError, match=r"length of the NoLength is not known: RuntimeError: .* behind a login"):
        open_photos(NoLength(picture))


def needs_memory(i: int) -> Any:
    raise MemoryError


def test_a_photo_that_does_not_fit_in_memory_is_that_photos_fault() -> None:
    with pytest.raises(ArgumentError, match="'0': MemoryError: it does not fit in memory"):
        open_photos(Rows(needs_memory))


@pytest.mark.parametrize("kind", ["folder", "table", "images", "arrays"])
def test_the_first_photo_is_read_once_to_open_a_set_and_once_to_see_that_it_stays(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: Any = {"images": Rows(picture), "arrays": Rows(as_tensor)}.get(kind)
    if source is None:
        rows = [encoded(i) for i in range(5)]
        folder_of(tmp_path / "f", *(f"{i}.png" for i in range(5)))
        source = tmp_path / "f" if kind == "folder" else table_of(tmp_path / "a.parquet", rows)
    read: list[int] = []
    content_of = content.content_of

    def counted(fetch: Any, name: str) -> object:
        read.append(fetch.args[-1])
        return content_of(fetch, name)

    monkeypatch.setattr(content, "content_of", counted)
    monkeypatch.setattr(sets, "content_of", counted)
    photos = open_photos(source)
    assert sorted(read) == [0, len(photos) // 2, len(photos) - 1]
    photos.check_repeatable()
    assert read.count(0) == 2 and len(read) == 4


@pytest.mark.parametrize("source", [[], (), Rows(picture, 0)])
def test_nothing_is_refused(source: Any) -> None:
    with pytest.raises(PhotoError, match="no photos in"):
        open_photos(source)


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(ArgumentError, match=r"'.*a\.zip' is not a source of photos\. Give a folder"):
        open_photos(tmp_path / "a.zip")


def test_data_sets_of_one_class_and_length_have_fingerprints_of_their_own() -> None:
    assert open_photos(Rows(picture)).fingerprint == open_photos(Rows(picture)).fingerprint
    assert open_photos(Rows(picture)).fingerprint != open_photos(Rows(lambda i: picture(i + 1))).fingerprint
    assert open_photos(Rows(picture, 4)).fingerprint != open_photos(Rows(picture, 5)).fingerprint


def test_a_hugging_face_dataset_gives_its_image_column(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"photo": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"photo": [*as_hugging_face(0, 1), {"bytes": b"words", "path": "w.png"}], "label": [0, 1, 2]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    for given in (dataset, dataset.with_format("torch"), pickle.loads(pickle.dumps(dataset))):
        photos = open_photos(given)
        assert len(photos) == 3 and is_photo(photos, 1, 1)
        with pytest.raises(PhotoError, match="cannot read '2': it is not an image that Pillow knows"):
            photos.read(2)
    turned = dataset.with_transform(lambda rows: {"photo": [image.rotate(180) for image in rows["photo"]]})
    np.testing.assert_array_equal(open_photos(turned).read(1).pixels[::-1, ::-1], load_photo(picture(1)).pixels)
    with pytest.raises(ArgumentError, match=r"the Dataset has no column.*label \(Value\)"):
        open_photos(dataset.select_columns(["label"]))
    with pytest.raises(ArgumentError, match=r"IterableDataset.*one after another"):
        open_photos(dataset.to_iterable_dataset())
    dataset.to_parquet(tmp_path / "a.parquet")
    assert names(open_photos(tmp_path / "a.parquet")) == ["p0.png", "p1.png", "w.png"]


# ---- sending


@pytest.mark.parametrize("kind", ["folder", "shards", "table", "dataset", "sequence"])
def test_a_set_of_photos_can_be_sent_and_is_small(tmp_path: Path, kind: str) -> None:
    many = [f"photo-{i:05d}.png" for i in range(2000)]
    if kind == "folder":
        for name in many:
            (tmp_path / name).write_bytes(encoded(0)) if name.endswith("0.png") else (tmp_path / name).touch()
    sources: dict[str, Any] = {
        "folder": tmp_path,
        "shards": tar_of(tmp_path / "a.tar", dict.fromkeys(many, encoded(0))) if kind == "shards" else None,
        "table": table_of(tmp_path / "a.parquet", [encoded(0)] * 2000) if kind == "table" else None,
        "dataset": Rows(picture),
        "sequence": ["sample:chelsea", picture(1)],
    }
    photos = open_photos(sources[kind])
    sent = pickle.dumps(photos)
    again = pickle.loads(sent)
    assert len(again) == len(photos) and again.fingerprint == photos.fingerprint and names(again) == names(photos)
    np.testing.assert_array_equal(again.read(0).pixels, photos.read(0).pixels)
    assert len(sent) < 250 * len(photos) + 10_000


# ---- batches


@pytest.fixture
def mixed(tmp_path: Path) -> PhotoSet:
    """Eleven photos, of which 2 and 7 are broken."""
    folder_of(tmp_path, *(f"{i:02d}.png" for i in range(11)))
    (tmp_path / "02.png").write_bytes(b"words")
    (tmp_path / "07.png").write_bytes(encoded(7)[:300])
    return open_photos(tmp_path)


def test_batches_say_which_slot_is_which_photo_and_leave_the_others_zero(mixed: PhotoSet) -> None:
    order = [10, 2, 0, 7, 5, 5, 1]
    first, second = batches(mixed, order, RAW, 4)
    assert first.indices.tolist() == [10, 0] and first.slots.tolist() == [0, 2]
    assert second.indices.tolist() == [5, 5, 1] and second.slots.tolist() == [0, 1, 2]
    assert [index for index, _ in first.skipped] == [2, 7] and second.skipped == ()
    assert "02.png': it is not an image" in first.skipped[0][1]
    for batch in (first, second):
        assert batch.images.shape == (4, 3, 16, 16) and batch.images.dtype == torch.float32
        assert batch.indices.dtype == batch.slots.dtype == np.int64
        torch.testing.assert_close(
            batch.images[batch.slots], RAW.images([mixed.read(i) for i in batch.indices]), rtol=0, atol=0
        )
        empty = sorted(set(range(4)) - set(batch.slots.tolist()))
        assert not batch.images[empty].any()


def same(one: Batch, two: Batch) -> bool:
    arrays = (one.indices == two.indices).all() and (one.slots == two.slots).all()
    return bool(arrays) and torch.equal(one.images, two.images) and one.skipped == two.skipped


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_are_the_same_for_any_number_of_workers(mixed: PhotoSet, workers: int) -> None:
    order = list(range(11)) * 3
    alone = list(batches(mixed, order, RAW, 4))
    together = list(batches(mixed, order, RAW, 4, workers=workers))
    assert len(alone) == len(together) == 9 and all(map(same, alone, together))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_larger_than_what_a_worker_reads_at_a_time_hold_photos_of_any_depth(workers: int) -> None:
    """Pieces of 8 and 16 bits, mixed ones, and one with a photo that cannot be read."""
    photos: list[Any] = [np.asarray(picture(i)) for i in range(27)]
    for deep in (9, 10, 25):
        photos[deep] = photos[deep].astype(np.uint16) * 257
    photos[18] = np.zeros((0, 0, 3), np.uint8)
    opened = open_photos(photos)
    got = list(batches(opened, range(27), RAW, 20, workers=workers))
    assert [len(batch.images) for batch in got] == [20, 20]
    assert [index for batch in got for index, _ in batch.skipped] == [18]
    for batch in got:
        expected = torch.zeros(20, 3, 16, 16)
        expected[batch.slots] = RAW.images([opened.read(i) for i in batch.indices])
        assert torch.equal(batch.images, expected)


@pytest.mark.parametrize("kind", ["table", "shards", "dataset"])
def test_workers_read_tables_shards_and_datasets_alike(tmp_path: Path, kind: str) -> None:
    photos = {f"{i}.png": encoded(i) for i in range(30)}
    source: Any = Rows(picture, 30)
    if kind == "table":
        source = table_of(tmp_path / "a.parquet", list(photos.values()), row_group_size=11)
    if kind == "shards":
        source = tar_of(tmp_path / "a.tar", photos)
    opened = open_photos(source)
    opened.read(3)  # what it keeps open here must not disturb the workers
    got = zip(batches(opened, range(30), RAW, 4), batches(opened, range(30), RAW, 4, workers=3), strict=True)
    assert all(same(one, two) for one, two in got)


def test_a_photo_too_elongated_for_the_network_is_skipped_too(tmp_path: Path) -> None:
    Image.new("L", (50_000, 1)).save(tmp_path / "a.png")
    large = Preprocess((64, 64), 64, (0.0,) * 3, (1.0,) * 3)
    (batch,) = batches(open_photos(tmp_path), [0], large, 2)
    assert batch.indices.size == 0 and "'a.png' is too elongated" in batch.skipped[0][1]


def test_no_photos_asked_for_give_no_batch(mixed: PhotoSet) -> None:
    assert list(batches(mixed, [], RAW, 4, workers=2)) == list(batches(mixed, [], RAW, 4)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"indices": [0, 11]}, "indices from 0 to 11, but the photos are 0 to 10"),
        ({"indices": [-1]}, "indices from -1 to -1"),
        ({"indices": [0.5]}, r"whole numbers in a row, not float64 of shape \(1,\)"),
        ({"indices": [[1]]}, r"whole numbers in a row, not int64 of shape \(1, 1\)"),
        ({"size": 0}, "size is a whole number, 1 or more; got 0"),
        ({"workers": -1}, "workers is a whole number, 0 or more; got -1"),
    ],
)
def test_arguments_are_refused_before_anything_is_read(mixed: PhotoSet, options: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        batches(**({"photos": mixed, "indices": [0], "prepare": RAW, "size": 4} | options))


def dies_at_the_end(i: int) -> Any:
    if i == 9 and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return picture(i)


def children() -> list[int]:
    """Processes that were begun from here, but for Python's own and the browser of other tests."""
    others = re.compile("resource_tracker|playwright")
    return [child.pid for child in psutil.Process().children() if not others.search(" ".join(child.cmdline()))]


def test_a_killed_worker_is_told_and_the_batches_before_it_are_kept() -> None:
    got = []
    with pytest.raises(DeconvNetError, match=r"ended with exit code -9.*out of memory.*workers=0"):
        for batch in batches(open_photos(Rows(dies_at_the_end, 40)), range(40), RAW, 4, workers=2):
            got.append(batch)
    assert [batch.indices[0] for batch in got] == [0, 4]
    assert children() == []


def test_a_worker_killed_in_the_middle_of_handing_over_is_told(mixed: PhotoSet) -> None:
    stream = batches(mixed, [0] * 640, RAW, 64, workers=1)  # more than a pipe holds
    next(stream)
    time.sleep(0.5)
    os.kill(children()[0], signal.SIGKILL)
    with pytest.raises(DeconvNetError, match="ended with exit code -9"):
        list(stream)


class RunsOut(Preprocess):
    def levels(self, photo: Any) -> Any:
        raise MemoryError("no room")


def test_what_fails_in_a_worker_is_told_with_its_traceback() -> None:
    prepare = RunsOut(RAW.size, RAW.short_side, RAW.mean, RAW.std)
    with pytest.raises(DeconvNetError, match=r"(?s)reads photos failed.*in levels.*MemoryError: no room"):
        list(batches(open_photos(Rows(picture)), range(5), prepare, 4, workers=2))


def test_a_reader_that_stops_early_leaves_no_process_behind(mixed: PhotoSet) -> None:
    stream = batches(mixed, list(range(11)) * 50, RAW, 4, workers=2)
    next(stream)
    assert len(children()) == 2
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert children() == []


@pytest.mark.sampled(every=2)
def test_reading_leaves_files_threads_and_random_state_as_they_were(mixed: PhotoSet) -> None:
    list(batches(mixed, range(11), RAW, 4, workers=2))
    descriptors, threads, state = len(os.listdir("/dev/fd")), torch.get_num_threads(), torch.get_rng_state()
    for _ in range(20):
        list(batches(mixed, range(11), RAW, 4, workers=2))
    kept = list(batches(mixed, [1] * 300, RAW, 1, workers=2))
    assert len(kept) == 300 and len(os.listdir("/dev/fd")) == descriptors
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


PROGRAM = """
import sys
from deconvnet.photos.batches import batches
from deconvnet.photos.sets import open_photos
from deconvnet.photos.preprocess import Preprocess
if __name__ == "__main__":
    photos = open_photos(["sample:chelsea"] * 100)
    preprocess = Preprocess((16, 16), 16, (0.0,) * 3, (1.0,) * 3)
    for batch in batches(photos, list(range(100)) * 1000, preprocess, 2, workers=2):
        print("batch", flush=True)
"""


@pytest.mark.sampled(every=4)
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process_behind(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "run.py").write_text(PROGRAM)
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )  # fmt: skip
    assert run.stdout is not None
    run.stdout.readline()
    workers = psutil.Process(run.pid).children()
    if how is signal.SIGINT:
        os.killpg(run.pid, how)  # as the terminal does
    else:
        run.send_signal(how)
    _, words = run.communicate(timeout=20)
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert len(gone) == 2 and not alive
    assert words.count(b"Traceback") == (1 if how is signal.SIGINT else 0), words.decode()


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("s-{0..999999999}.tar", "stands for 1000000000 paths; at most 1000000 are allowed"),
        (
            "s-{0..99999999999999999999999999}.tar",
            "stands for 100000000000000000000000000 paths; at most 1000000 are allowed",
        ),
        ("{0..9999}-{0..9999}.tar", "stands for more than 1000000 paths; at most 1000000 are allowed"),
        ("{3..1}.tar", "counts downwards"),
    ],
)
def test_patterns_that_stand_for_too_many_paths_are_refused_at_once(pattern, words, monkeypatch):
    if "more than" in words:
        monkeypatch.setattr("deconvnet.photos.files._MOST_PATHS", 10_000)
        words = words.replace("1000000", "10000")
    with pytest.raises(ArgumentError, match=words):
        in_braces(pattern)
