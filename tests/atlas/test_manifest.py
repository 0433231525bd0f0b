"""The manifest comes back as it was; what says something else is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.atlases import network

import deconvnet
from deconvnet import ArgumentError, AtlasError
from deconvnet.atlas.manifest import MANIFEST, read_manifest, write_manifest
from deconvnet.atlas.reader import Atlas


def test_a_manifest_comes_back_as_it_was(made):
    assert read_manifest(made[0]) == made[1]
    loaded = network()[0]
    assert deconvnet.Preprocess(**made[1].preprocess) == loaded.preprocess
    assert deconvnet.RuleSet(**made[1].rules).name == "deconvnet"


def test_a_manifest_says_its_version_first_and_no_place(made):
    text = (made[0] / MANIFEST).read_text(encoding="ascii")
    assert text.startswith('{\n  "format_version": 1,\n')
    assert str(made[0]) not in text and str(Path.home()) not in text


def test_two_layers_of_one_name_are_refused(made):
    with pytest.raises(ArgumentError, match="each name once"):
        replace(made[1], layers=made[1].layers[:1] * 2)


def test_a_newer_format_is_refused_with_what_to_do(folder):
    data = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({"format_version": 2, "layers": "in a new way"}))
    with pytest.raises(AtlasError, match=r"manifest\.json' has format_version 2, .* pip install --upgrade deconvnet"):
        Atlas.open(folder)
    (folder / MANIFEST).write_text(json.dumps({**data, "added": "later"}))
    assert len(Atlas.open(folder)) == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("k"), "missing required field `k`"),
        (lambda m: m.pop("format_version"), "missing required field `format_version`"),
        (lambda m: m.update(format_version="1"), r"Expected `int`, got `str` - at `\$\.format_version`"),
        (lambda m: m.update(layers=[]), "at least one layer"),
        (lambda m: m["layers"][0].update(channels="3"), r"got `str` - at `\$\.layers\[0\]\.channels`"),
        (lambda m: m["layers"][0].update(tile=0), r"Expected `int` >= 1 - at `\$\.layers\[0\]\.tile`"),
        (lambda m: m["layers"][1].update(name="relu1"), "each name once"),
        (lambda m: m.update(k=True), r"Expected `int`, got `bool` - at `\$\.k`"),
        (lambda m: m.update(model=None), r"Expected `object`, got `null` - at `\$\.model`"),
    ],
)
def test_a_manifest_that_says_something_else_is_damaged(folder, change, words):
    data = json.loads((folder / MANIFEST).read_text())
    change(data)
    (folder / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(AtlasError, match=rf"manifest\.json' is damaged: .*{words}.* build it anew"):
        Atlas.open(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b'{"format_version": 1', b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_damaged(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(AtlasError, match=r"manifest\.json' is damaged"):
        Atlas.open(folder)


def test_a_manifest_that_json_cannot_hold_is_refused(made, tmp_path):
    for wrong in (float("nan"), Path("a")):
        with pytest.raises(ArgumentError, match="what JSON cannot"):
            write_manifest(tmp_path, replace(made[1], rules={"a": wrong}))
    assert list(tmp_path.iterdir()) == []
