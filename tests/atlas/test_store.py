"""Signals and strips on disk: read back as they were written, under names that any file system takes."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.atlases import (
    FLAT,
    LAYER,
    SKIPPED,
    files,
    little_atlas,
    stats_columns,
    top_columns,
)

from deconvnet import ArgumentError, AtlasError, DeconvNetError
from deconvnet._folders import make_folder
from deconvnet.atlas.manifest import write_manifest
from deconvnet.atlas.reader import Atlas
from deconvnet.atlas.store import (
    Signals,
    check_no_atlas,
    read_signals,
    safe_name,
    strip_path,
    write_signals,
    write_strip,
)
from deconvnet.atlas.tables import write_skipped, write_stats, write_top


@settings(deadline=None)
@given(scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e9, 1e30]), seed=st.integers(0, 9))
def test_signals_of_any_strength_come_back_to_half_precision(tmp_path_factory, scale, seed):
    folder = tmp_path_factory.mktemp("signals")
    windows = np.random.default_rng(seed).normal(size=(3, 2, 5, 4)).astype(np.float32) * np.float32(scale)
    windows[1] = 0
    low = np.array([[-1, 2], [0, 0], [5, -7]])
    write_signals(folder, "a", Signals.of(windows, low))
    read = read_signals(folder, "a", 3)
    for i, window in enumerate(windows):
        assert np.abs(read.window(i) - window).max() <= 1e-3 * np.abs(window).max()
    assert np.array_equal(read.low, low)


def test_the_same_rows_and_pictures_give_the_same_bytes(made, tmp_path):
    little_atlas(tmp_path / "again", keep_signal=True)
    assert files(tmp_path / "again") == files(made[0])


def original(name: str) -> str:
    """A safe name's layer, letter by letter; the slow way back."""
    read = bytearray()
    while name:
        if name[0] == "=":
            read += bytes.fromhex(name[1:3])
            name = name[3:]
        elif name[0] == "!":
            read += name[1].upper().encode()
            name = name[2:]
        else:
            read += name[0].encode()
            name = name[1:]
    return read.decode()


@settings(deadline=None)
@given(layer=st.text(max_size=9) | st.text("aA=!./#_-", max_size=30))
@example("aux.conv")
@example("..")
@example("CON")
@example("")
def test_safe_names_can_be_read_back_and_are_allowed_everywhere(layer):
    name = safe_name(layer)
    assert original(name) == layer
    assert re.fullmatch(r"[a-z0-9._=!-]+", name)
    assert name[0] != "." and name[-1] != "."
    assert not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", name.split(".")[0])


@settings(deadline=None)
@given(one=st.text("aAbB/", min_size=100, max_size=400), other=st.text("aAbB/", min_size=100, max_size=400))
@example("a" * 300, "a" * 301)
@example("a" * 119 + "A", "A" * 200)
def test_long_names_stay_apart_and_short(one, other):
    assert len(safe_name(one)) <= 120
    assert (safe_name(one) == safe_name(other)) == (one == other)
    assert original(safe_name(one)) == one if "==" not in safe_name(one) else len(safe_name(one)) == 120


def test_layers_whose_names_differ_in_case_alone_have_folders_of_their_own(tmp_path):
    layers = [replace(LAYER, name=name) for name in ("Conv", "conv", "!conv", "conv/", "conv=2f")]
    for i, layer in enumerate(layers):
        write_strip(tmp_path, layer, 0, "signal", Image.new("RGB", (8, 8), (i, i, i)))
    folders = [path.name.casefold() for path in (tmp_path / "pictures").iterdir()]
    assert len(set(folders)) == len(layers)


@pytest.mark.parametrize("kind", ["signal", "patch"])
def test_pictures_that_are_missing_or_damaged_are_named(folder, kind):
    path = strip_path(folder, "relu1", 0, kind)
    whole = path.read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(AtlasError, match=rf"0\.{kind}\.webp' is damaged"):
            Atlas.open(folder).picture("relu1", 0)
    Image.new("RGB", (24, 24)).save(path)
    with pytest.raises(AtlasError, match=r"it has 24 x 24 pixels, and 24 x 216 belong there"):
        Atlas.open(folder).picture("relu1", 0)
    path.unlink()
    with pytest.raises(AtlasError, match=rf"0\.{kind}\.webp' is missing"):
        Atlas.open(folder).picture("relu1", 0)


def test_signals_that_are_missing_or_damaged_are_named(folder):
    path = folder / "signals" / "relu1.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(AtlasError, match=r"relu1\.safetensors' is damaged"):
        Atlas.open(folder).signals("relu1")
    path.unlink()
    with pytest.raises(AtlasError, match="does not hold signals of 'relu1'"):
        Atlas.open(folder).signals("relu1")


def test_strips_of_other_sizes_are_refused(tmp_path):
    for image in (
        Image.new("RGB", (8, 9)),
        Image.new("RGB", (12, 8)),
        Image.new("L", (8, 8)),
        Image.new("RGB", (0, 8)),
    ):
        with pytest.raises(ArgumentError, match="a row of RGB squares of 8 pixels"):
            write_strip(tmp_path, LAYER, 0, "patch", image)
    with pytest.raises(ArgumentError, match="'a' has 2 feature maps; got channel 2"):
        write_strip(tmp_path, LAYER, 2, "patch", Image.new("RGB", (8, 8)))


def test_strips_that_webp_cannot_hold_are_refused_before_any_work(made):
    wide = replace(made[1].layers[0], tile=2000)
    with pytest.raises(ArgumentError, match="k is at most 8 with layer 'relu1', whose tiles are 2000 pixels wide"):
        replace(made[1], layers=(wide,))


def test_signals_of_other_shapes_are_refused():
    good = Signals.of(np.ones((2, 3, 4, 4)), np.zeros((2, 2), int))
    with pytest.raises(ArgumentError, match="float16 windows"):
        replace(good, windows=good.windows.astype(np.float64))
    with pytest.raises(ArgumentError, match="one scale and one corner for each window"):
        replace(good, scale=good.scale[:1])


def test_an_atlas_that_is_there_is_kept(folder):
    before = files(folder)
    with pytest.raises(ArgumentError, match=r"holds an atlas already\. Give another folder"):
        check_no_atlas(folder)
    assert files(folder) == before


WRITERS = {
    "manifest": lambda folder, made: write_manifest(folder, made),
    "top": lambda folder, made: write_top(folder, [LAYER, FLAT], 2, top_columns()),
    "stats": lambda folder, made: write_stats(folder, [LAYER, FLAT], stats_columns()),
    "skipped": lambda folder, made: write_skipped(folder, [SKIPPED]),
    "strip": lambda folder, made: write_strip(folder, LAYER, 0, "signal", Image.new("RGB", (8, 8))),
    "signals": lambda folder, made: write_signals(
        folder, "a", Signals.of(np.ones((1, 3, 2, 2)), np.zeros((1, 2), int))
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_disk_or_a_folder_that_cannot_be_written_leaves_no_half_file(tmp_path, monkeypatch, made, writer, code):
    WRITERS[writer](tmp_path, made[1])
    before = files(tmp_path)

    class Full:
        def __init__(self, path: Path) -> None:
            self.file = path_open(path, "xb")

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            self.file.write(bytes(data)[:5])
            raise OSError(code, os.strerror(code))

    path_open = Path.open

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode != "xb":
            return path_open(path, mode, *rest, **options)
        if code == errno.ENOSPC:
            return Full(path)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DeconvNetError, match=rf"cannot write .*: .*{os.strerror(code)}"):
        WRITERS[writer](tmp_path, made[1])
    monkeypatch.undo()
    assert files(tmp_path) == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeconvNetError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "atlas")
    (tmp_path / "pictures").touch()
    with pytest.raises(DeconvNetError, match="cannot make the folder"):
        write_strip(tmp_path, LAYER, 0, "signal", Image.new("RGB", (8, 8)))
