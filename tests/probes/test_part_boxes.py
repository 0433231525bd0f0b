"""Parts of photos: read from tables and lists, and refused with what is wrong."""

import json
import math
from pathlib import Path

import pytest

from deconvnet import ArgumentError, Box
from deconvnet.probes import Part
from deconvnet.probes.part_boxes import box_of, matched, read_parts

HEAD = "photo,part,left,top,right,bottom\n"
NOSE = Part("a.jpg", "nose", 1, 2, 5, 8)


@pytest.mark.parametrize(
    "content",
    [
        HEAD + "a.jpg,nose,1,2,5,8\n",
        "part;bottom;right;note;photo;left;top\nnose;8;5;x;a.jpg;1;2\n",
        "\ufeffPhoto, part , left,top,right,bottom\r\na.jpg, nose ,1.0,2,5,8\r\n",
    ],
)
def test_a_table_has_its_columns_in_any_order(content, tmp_path: Path):
    (tmp_path / "parts.csv").write_text(content, encoding="utf-8")
    assert read_parts(tmp_path / "parts.csv") == (NOSE,)


def test_json_is_a_list_of_objects(tmp_path: Path):
    (tmp_path / "parts.json").write_text(json.dumps([vars(NOSE), vars(NOSE)]), encoding="utf-8")
    assert read_parts(str(tmp_path / "parts.json")) == (NOSE, NOSE)
    assert read_parts([NOSE]) == (NOSE,)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "it is empty"),
        ("a.csv", HEAD, "parts is empty"),
        ("a.csv", "photo,part,left,top,right\na,b,1,2,3\n", "does not name one column 'bottom'"),
        ("a.csv", HEAD + "a,nose,1,two,5,8\n", "row 2: top is 'two' and not a number"),
        ("a.csv", HEAD + "a,nose,1,2\n", "row 2 has 4 columns"),
        ("a.csv", HEAD + "a,nose,5,2,1,8\n", "row 2: 'nose' of 'a' is empty: left 5 has to be below right 1"),
        ("a.csv", HEAD + "a,nose,nan,2,1,8\n", "row 2: left is a number of pixels"),
        ("a.csv", HEAD + " ,nose,1,2,5,8\n", "row 2: photo is an empty text"),
        ("a.csv", b"\xff\xd8\xff", "not UTF-8"),
        ("a.json", "[{}]", "missing required field"),
        ("a.json", "{", "JSON|truncated"),
        ("a.json", '[{"photo":"a","part":"b","left":1,"top":"2","right":3,"bottom":4}]', "Expected `float`"),
    ],
)
def test_what_is_not_a_table_of_parts_is_said(name, content, words, tmp_path: Path):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArgumentError, match=words):
        read_parts(tmp_path / name)


def test_a_file_that_is_not_there_and_other_things_are_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match=r"cannot read parts=.*No such file"):
        read_parts(tmp_path / "no.csv")
    for wrong in ([("a", "nose", 1, 2, 3, 4)], 5, []):
        with pytest.raises(ArgumentError, match=r"parts is a file, or a list of Part|parts is empty"):
            read_parts(wrong)  # type: ignore[arg-type]


def test_a_box_is_rounded_outward_and_lies_in_the_photo():
    assert box_of(Part("a", "b", 0.4, 1.6, 2.2, 4), (4, 5)) == Box((1, 0), (4, 3))
    for wrong in (Part("a", "b", -1, 0, 2, 2), Part("a", "b", 0, 0, 6, 2), Part("a", "b", 0, 0, 2, 5)):
        with pytest.raises(ArgumentError, match="lies outside the photo, which is 5 pixels wide and 4 high"):
            box_of(wrong, (4, 5))
    with pytest.raises(ArgumentError, match="right is a number of pixels; got inf"):
        Part("a", "b", 0, 0, math.inf, 2)


@pytest.mark.parametrize("photo", ["dir/a.jpg", "a.jpg", "a", "dir/a"])
def test_a_photo_is_named_by_as_much_of_its_end_as_is_needed(photo):
    part = Part(photo, "nose", 0, 0, 1, 1)
    assert matched([part], ["x/dir/b.jpg", "x/dir/a.jpg"]) == {"nose": {1: part}}


def test_a_sample_is_named_with_or_without_its_prefix():
    for name in ("sample:chelsea", "chelsea"):
        part = Part(name, "nose", 0, 0, 1, 1)
        assert matched([part], ["sample:rocket", "sample:chelsea"]) == {"nose": {1: part}}


def test_photos_that_cannot_be_told_and_parts_that_stand_twice_are_refused():
    with pytest.raises(ArgumentError, match=r"could be 'x/a.jpg' or 'y/a.jpg': name its folder"):
        matched([NOSE], ["x/a.jpg", "y/a.jpg"])
    with pytest.raises(ArgumentError, match=r"'a.jpg', which is not among the photos: 'b', 'c', 'd' and 1 more"):
        matched([NOSE], ["b", "c", "d", "e"])
    with pytest.raises(ArgumentError, match=r"'nose' of 'a.jpg' stands twice"):
        matched([NOSE, NOSE], ["a.jpg"])
