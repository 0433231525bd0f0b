"""Pictures as files: whole or not there, and the same bytes each time."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deconvnet._errors import ArgumentError, DeconvNetError
from deconvnet.pictures.files import SUFFIXES, save_picture


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def levels(image: Image.Image) -> "np.ndarray[Any, Any]":
    return np.asarray(image).astype(int)


def solid(width: int, height: int, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_is_saved_in_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    image = noise()
    save_picture(image, tmp_path / f"a{suffix.upper()}")
    with Image.open(tmp_path / f"a{suffix.upper()}") as read:
        difference = np.abs(levels(read.convert("RGB")) - levels(image))
    assert difference.max() <= (60 if suffix in (".jpg", ".jpeg") else 0)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix.upper()}"]


def test_the_same_signal_gives_the_same_bytes_and_no_metadata(tmp_path: Path) -> None:
    image = noise()
    tagged = image.copy()
    tagged.info = {"dpi": (72, 72), "icc_profile": b"x", "comment": "made today"}
    tagged.getexif()[0x0132] = "2020:01:01 00:00:00"
    for suffix in SUFFIXES:
        save_picture(image, tmp_path / f"a{suffix}")
        save_picture(tagged, tmp_path / f"b{suffix}")
        data = (tmp_path / f"a{suffix}").read_bytes()
        assert data == (tmp_path / f"b{suffix}").read_bytes()
    png = (tmp_path / "a.png").read_bytes()
    assert not any(chunk in png for chunk in (b"tIME", b"tEXt", b"eXIf", b"iCCP", b"pHYs"))


def test_a_picture_that_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_picture(solid(3, 3), str(path))
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match=r"a\.png' already exists\. Replace it \(--force, force=True\)"):
        save_picture(solid(4, 4), path)
    assert path.read_bytes() == before
    save_picture(solid(4, 4), path, force=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["a", "a.gif", "a.pdf", ".png", "a.png.txt"])
def test_a_suffix_without_a_format_is_refused_with_those_that_have_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"does not end in one of \.png, \.webp, \.jpg"):
        save_picture(solid(3, 3), tmp_path / name)


def test_folders_that_are_missing_or_in_the_way_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"the folder .*nowhere.* does not exist"):
        save_picture(solid(3, 3), tmp_path / "nowhere" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ArgumentError, match=r"folder\.png' is a folder"):
        save_picture(solid(3, 3), tmp_path / "folder.png", force=True)


@pytest.mark.parametrize("step", ["save", "replace"])
@pytest.mark.parametrize(
    ("fault", "raised"),
    [(OSError(28, "No space left on device"), DeconvNetError), (KeyboardInterrupt(), None)],
)
def test_a_failed_write_leaves_nothing_behind_and_the_old_picture_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    fault: BaseException,
    raised: type[BaseException] | None,
) -> None:
    path = tmp_path / "a.png"
    save_picture(solid(3, 3), path)
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise fault

    owner: Any = Image.Image if step == "save" else os
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(raised or type(fault)) as caught:
        save_picture(solid(4, 4), path, force=True)
    if raised:
        assert "a.png" in str(caught.value) and "No space left" in str(caught.value)
        assert not isinstance(caught.value, ArgumentError)
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before


def test_a_size_that_the_format_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeconvNetError, match=r"cannot write .*a\.webp"):
        save_picture(Image.new("RGB", (20000, 1)), tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []
