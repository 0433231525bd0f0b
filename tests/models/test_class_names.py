"""Names of classes, out of the files in which people have them."""

import json
from pathlib import Path

import pytest

from deconvnet import ArgumentError
from deconvnet.models.class_names import check_label_count, read_class_names


def written(folder: Path, name: str, content: str | bytes | list | dict) -> Path:
    if isinstance(content, list | dict):
        content = json.dumps(content)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


PETS = ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "cat\ndog"),
        ("a.txt", "\ufeffcat\r\n dog \r\n\r\n"),
        ("a.txt", "\ufeffcat\ndog\n".encode("utf-16-le")),
        ("a.names", "cat\ndog\n"),
        ("a.csv", "name\ncat\ndog\n"),
        ("a.csv", "cat\ndog\n"),
        ("a.csv", "cat,0\ndog,1\n"),
        ("a.csv", "class_id,class\n1,dog\n0,cat\n"),
        ("a.csv", ",label\n1,dog\n0,cat\n"),
        ("a.csv", '"idx";"name"\n1;"dog"\n0;"cat"\n'),
        ("a.csv", "name,photos\ncat,500\ndog,300\n"),
        ("a.csv", "synset,label,file,index\nn2,dog,d.jpg,1\nn1,cat,c.jpg,0\n"),
        ("a.tsv", "\ufeff1\tdog\n0\tcat\n"),
        ("A.CSV", "nr,tier\n0,cat\n1,dog\n"),
        ("a.json", ["cat", "dog"]),
        ("a.json", {"1": "dog", "0": "cat"}),
        ("a.json", {"dog": 1, "cat": 0}),
        ("a.json", {"0": ["n02123045", "cat"], "1": ["n02085620", "dog"]}),
        ("a.json", {"architectures": [], "id2label": {"0": "cat", "1": "dog"}}),
    ],
)
def test_names_are_read_in_the_order_of_the_classes(name, content, tmp_path):
    assert read_class_names(written(tmp_path, name, content)) == PETS


def test_a_column_can_be_named_by_its_header_or_counted_where_there_is_none(tmp_path):
    table = written(tmp_path, "a.csv", "id,english,deutsch\n0,cat,Katze\n1,dog,Hund\n")
    assert read_class_names(f"{table}:deutsch") == ("Katze", "Hund")
    bare = written(tmp_path, "b.csv", "cat,Katze\ndog,Hund\n")
    assert read_class_names(f"{bare}:1") == ("Katze", "Hund")
    odd = written(tmp_path, "c.csv:deutsch", "cat\ndog\n")
    assert read_class_names(odd) == PETS, "a file of that whole name is meant itself"


def test_names_of_digits_are_names(tmp_path):
    assert read_class_names(written(tmp_path, "a.csv", "label\n7\n3\n")) == ("7", "3")
    assert read_class_names(written(tmp_path, "a.txt", "0\n1\n")) == ("0", "1")


def test_names_may_hold_commas_and_other_scripts(tmp_path):
    assert read_class_names(written(tmp_path, "a.txt", "tench, Tinca tinca\n金魚\n")) == ("tench, Tinca tinca", "金魚")
    assert read_class_names(written(tmp_path, "a.csv", '0,"tench, Tinca\n tinca"\n1,金魚\n'))[0] == "tench, Tinca tinca"


def test_names_that_two_classes_share_are_read():
    assert read_class_names(["crane", "crane"]) == ("crane", "crane")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", "it is empty"),
        ("a.txt", "cat\n\ndog", "line 2 is empty, but every class needs a name"),
        ("a.txt", b"cat\nch\xe2t\n", "line 2 is not UTF-8 text; save the file as UTF-8"),
        ("a.txt", b"\xff\xfec\x00a", "line 1 is not UTF-16 text"),
        ("a.txt", b"c\0a\0t\0", "it holds binary data and not text"),
        ("a.csv", "name\n", "it has a header and no names"),
        ("a.csv", "0,cat\n1,dog, big\n", "row 2 has 3 columns and row 1 has 2; put what holds a comma in quotes"),
        ("a.csv", "0,cat\n1,\n", "the name in row 2 is empty"),
        ("a.csv", "id,name\n0,cat\n0,dog\n", "column 'id': index 0 stands twice, for 'cat' and for 'dog'"),
        (
            "a.csv",
            "id,name\n1,cat\n2,dog\n",
            "column 'id': index 0 missing: there are 2 names with indices from 1 to 2",
        ),
        ("a.csv", "name,rank\ncat,1\ndog,0\n", "whether column 'rank' counts the classes is not clear: call it index"),
        ("a.csv", "photos,name\n9,cat\n7,dog\n", "whether column 'photos' counts the classes is not clear"),
        ("a.csv", "7,cat\n9,dog\n", "column 0: index 0, 1 missing"),
        (
            "a.csv",
            "wnid,name,label\nn1,cat,Cat\nn2,dog,Dog\n",
            "not clear; its columns are wnid, name, label, and FILE",
        ),
        (
            "a.csv",
            "n1,cat\nn2,dog\n",
            r"not clear; its columns are 0 \('n1' ...\), 1 \('cat' ...\), and FILE.csv:COLUMN",
        ),
        ("a.csv", 'name\n"cat\ndog\n', "it is not CSV"),
        ("a.json", "{", "it is not JSON"),
        ("a.json", "[" * 9999, "it is nested too deeply|not JSON"),
        ("a.json", [], "JSON class names are a list"),
        ("a.json", "3", "JSON class names are a list"),
        ("a.json", ["cat", 3], "name 1 is 3 and not a name"),
        ("a.json", {"0": "cat", "2": "dog"}, "index 1 missing"),
        ("a.json", '{"0": "cat", "0": "dog"}', "'0' stands twice, for 'cat' and for 'dog'"),
        ("a.json", {"0": "cat", "00": "dog"}, "index 0 stands twice"),
        ("a.json", {"cat": 0, "dog": 0}, "index 0 stands twice"),
        ("a.json", {"cat": 0, "dog": True}, "JSON class names are a list"),
        ("a.json", {"0": ["cat", "Felis"]}, "class 0 is .* and not a name"),
    ],
)
def test_a_file_with_a_fault_is_told_what_it_is(name, content, words, tmp_path):
    path = written(tmp_path, name, content)
    with pytest.raises(ArgumentError, match=rf"cannot read labels='.*{name}': .*({words}).* Give a text file"):
        read_class_names(path)


def test_a_column_that_is_not_there_is_told(tmp_path):
    table = written(tmp_path, "a.csv", "id,name\n0,cat\n")
    with pytest.raises(ArgumentError, match=r"does not have one column 'names'; its columns are id, name"):
        read_class_names(f"{table}:names")
    with pytest.raises(ArgumentError, match=r"there is no file of that name"):
        read_class_names(f"{tmp_path / 'b.csv'}:name")
    with pytest.raises(ArgumentError, match=r"there is no file of that name"):
        read_class_names(tmp_path)


def test_bundled_labels_are_in_class_order():
    imagenet = read_class_names("imagenet")
    assert len(imagenet) == 1000
    assert (imagenet[0], imagenet[285], imagenet[999]) == ("tench", "Egyptian cat", "toilet tissue")
    assert len(read_class_names("imagenette")) == 11


def test_a_wrong_count_says_both_and_shows_the_first_names():
    check_label_count(PETS, {2, 7})
    check_label_count(PETS, ())
    check_label_count(None, {2})
    with pytest.raises(
        ArgumentError, match=r"hold 3 names for 1 class; they begin with 'name', 'cat', 'dog'\. Give one"
    ):
        check_label_count(("name", *PETS), {1})
    with pytest.raises(ArgumentError, match=r"2 names for 3 or 1,000 classes"):
        check_label_count(PETS, {1000, 3})
