"""Results come back from their folders as they were, or not at all."""

import json
import shutil
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from support.classifier import class_maps, images
from support.saved import results
from torch import Tensor

import deconvnet
from deconvnet import ArgumentError, DeconvNetError, Preprocess, Reconstruction, ResponsibleMaps, Unit
from deconvnet._arrays import read_tensors, write_tensors
from deconvnet.opening import _KINDS
from deconvnet.results import saved
from deconvnet.results.saved import ARRAYS, MANIFEST, Savable, read_result

OLD = Path(__file__).parent / "saved"
EXAMPLES = {
    "Comparison": "<Comparison of a and b: 4 pairs of units>",
    "Correspondence": "<Correspondence: corner, middle in 2 photos at '4'>",
    "Diagnosis": "<Diagnosis of '0': 4 filters of 3x5x5 over 3 photos>",
    "EffectiveFields": "<EffectiveFields: 4 15 pixels wide>",
    "Invariance": "<Invariance: 3 photos, translation, scale, rotation at '1', '4'>",
    "Occlusion": "<Occlusion: 8x8 at 3x3 positions on 28x28, 1 map of layer '4', 1 class>",
    "QuickTrust": "<QuickTrust: 4 units of layer '4'>",
    "Reconstruction": "<Reconstruction: 4 units of layer '1' on 1x8x8, rules: deconvnet>",
    "Responsible": "<Responsible: 4 units of layer '1' that the classes of 2 images rest on, rules: deconvnet>",
    "ResponsibleMaps": "<ResponsibleMaps: 4 maps of '1' over 2 photos>",
    "Snapshot": "<Snapshot after epoch 1: 2 maps of '1'>",
    "Snapshots": "<Snapshots of '1' after epochs 1, 2>",
    "Steps": "<Steps of map 1 at row 0, column 1: activation 1.47 of '2', 4 of them>",
    "Trust": "<Trust: 3 measures of map 9 at row 5, column 6 of 4, deconvnet>",
}  # what the stored results say of themselves
every_kind = pytest.mark.parametrize("kind", ["Reconstruction", "Responsible", "Steps", "Comparison"])


@pytest.fixture(scope="module")
def live() -> dict[str, Savable]:
    return results()


@pytest.fixture
def folder(live: dict[str, Savable], tmp_path: Path) -> Path:
    return live["Reconstruction"].save(tmp_path / "folder")


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype and torch.equal(a.nan_to_num(7), b.nan_to_num(7))
    elif is_dataclass(a):
        for each in fields(a):
            assert_same(getattr(a, each.name), getattr(b, each.name))
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for items in zip(a, b, strict=True):
            assert_same(*items)
    else:
        assert a == b


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@every_kind
def test_a_result_comes_back_as_it_was_and_is_saved_again_with_the_same_bytes(live, kind: str, tmp_path: Path):
    folder = live[kind].save(tmp_path / "new" / "folder")
    assert folder == tmp_path / "new" / "folder" and set(contents(folder)) == {MANIFEST, ARRAYS}
    back = deconvnet.open(folder)
    assert_same(back, live[kind])
    assert contents(back.save(tmp_path / "again")) == contents(folder)


@every_kind
def test_an_opened_result_does_what_the_live_one_does(live, kind: str, tmp_path: Path):
    before, back = live[kind], deconvnet.open(live[kind].save(tmp_path / "folder"))
    for result, name in ((before, "a.png"), (back, "b.png")):
        assert result.save(tmp_path / name) == tmp_path / name
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert list(back.to_frame()) == list(before.to_frame()) and str(back.to_frame()) == str(before.to_frame())
    assert back.notes == before.notes and len(back) == len(before) and repr(back) == repr(before)
    photo, preprocess = np.zeros((9, 9), np.float32), Preprocess((8, 8), 8, (0.5,), (0.5,), channels=1)
    drawn = {
        "Reconstruction": lambda r: r.sheet([photo, photo], preprocess),
        "Responsible": lambda r: r.beside(photo, preprocess, image=1),
        "Steps": lambda r: r.figure(),
        "Comparison": lambda r: r.sheet([photo, photo], preprocess),
    }[kind]
    assert drawn(back).image().tobytes() == drawn(before).image().tobytes()


def test_what_version_1_wrote_is_opened():
    r, steps, responsible, comparison = (
        deconvnet.open(OLD / "version-1" / kind) for kind in ("Reconstruction", "Steps", "Responsible", "Comparison")
    )
    assert r.units[1] == Unit("1", 2, r.units[1].position, 0) and r.input_size == (8, 8)
    assert r.windows.shape == (4, 1, 3, 3) and r.made_with.deconvnet == "0.1.0" and r.rules.name == "deconvnet"
    assert [step.layer for step in steps] == ["2", "1", "0", "the pixels"]
    assert steps[1].offsets is not None and steps[1].error == pytest.approx(0.527, abs=1e-3)
    assert len(responsible) == 4 and responsible.notes[0] == "The softmax at the output was skipped."
    assert comparison.names == ("a", "b") and len(comparison) == 4
    assert torch.equal(comparison.a.windows, r.windows) and torch.equal(comparison.b.windows, responsible.units.windows)


@pytest.mark.parametrize("kind", _KINDS)
def test_of_every_kind_an_example_is_stored_and_opened_and_saved_again(kind: str, tmp_path: Path):
    stored = OLD / "version-1" / kind
    opened = deconvnet.open(stored)
    assert type(opened).__name__ == kind
    assert repr(opened) == EXAMPLES[kind]
    again = deconvnet.open(opened.save(tmp_path / "again"))
    assert_same(again, opened)


def test_an_older_version_is_read_step_by_step(folder: Path, live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two versions from now: a field has another name, then a note is new."""

    def renamed(manifest: dict[str, Any]) -> dict[str, Any]:
        content = dict(manifest["result"])
        return {**manifest, "result": {**content, "signals": content.pop("windows")}}

    @dataclass(frozen=True, eq=False)
    class Later(Savable):
        signals: Float[Tensor, "m c *window"]
        note: str

    monkeypatch.setattr(saved, "FORMAT_VERSION", 3)
    noted = {1: renamed, 2: lambda manifest: {**manifest, "result": {**manifest["result"], "note": "old"}}}
    monkeypatch.setattr(saved, "_OLDER", noted)
    later = read_result(folder, lambda kind: Later)
    assert isinstance(later, Later) and later.note == "old"
    assert torch.equal(later.signals, live["Reconstruction"].windows)


def test_a_newer_version_and_an_unknown_kind_are_refused_with_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch):
    changed(folder, kind="Dream", deconvnet="0.9.1")
    with pytest.raises(DeconvNetError, match=r"holds a 'Dream', unknown .* Install deconvnet 0\.9\.1, .* pip"):
        deconvnet.open(folder)
    changed(folder, format_version=2, result="in another form")
    words = r"result\.json' has format_version 2, .* up to 1\. Install deconvnet 0\.9\.1, which wrote it"
    with pytest.raises(DeconvNetError, match=words):
        deconvnet.open(folder)


def changed(folder: Path, **values: Any) -> None:
    """A folder written properly that says something else."""
    manifest = json.loads((folder / MANIFEST).read_text())
    text = json.dumps({**manifest, **values}, indent=2)
    write_tensors(folder / ARRAYS, text, read_tensors(folder / ARRAYS)[1])
    (folder / MANIFEST).write_text(text)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("windows", "boxes", "Expected `Float"),
        ("windows", "none", "does not hold 'none'"),
        ("windows", ["windows"], r"does not hold \['windows'\]"),
        ("units", [], "0 units have activations, windows and boxes"),
        ("units", [{"layer": 3}], r"\$\.units\[0\]\.layer"),
        ("rules", {"unpool": "somehow"}, r"Invalid enum value 'somehow' - at `\$\.rules\.unpool`"),
        ("input_size", [8, -8], "input_size"),
        ("input_size", [8], "boxes"),
        ("input_size", [2**40, 8], "input_size"),
        ("facts", None, r"got `null` - at `\$\.facts`"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_damaged(folder: Path, field: str, value: Any, words: str):
    changed(folder, result={**json.loads((folder / MANIFEST).read_text())["result"], field: value})
    with pytest.raises(DeconvNetError, match=rf"result\.json' is damaged: .*{words}.* Save the result again"):
        deconvnet.open(folder)


def test_shapes_that_do_not_go_together_are_damage(folder: Path):
    text, tensors = read_tensors(folder / ARRAYS)
    write_tensors(folder / ARRAYS, text, {**tensors, "windows": tensors["windows"][:, :, :2]})
    with pytest.raises(DeconvNetError, match=r"result\.json' is damaged: .*boxes"):
        deconvnet.open(folder)


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-5],
        lambda data: data[: len(data) // 2],
        lambda data: data + b" ",
        lambda data: data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
        lambda data: data.replace(b'"channel', b'"chanmel', 1).replace(b'channel\\"', b'chanmel\\"', 1),
        lambda data: b"[]",
        lambda data: b"[" * 100_000,
        lambda data: b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage):
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(DeconvNetError, match=r"(result\.json|arrays\.safetensors)' is damaged: "):
        deconvnet.open(folder)


def test_files_of_two_results_are_not_mixed(folder: Path, live, tmp_path: Path):
    shutil.copy(live["Steps"].save(tmp_path / "steps") / ARRAYS, folder)
    with pytest.raises(DeconvNetError, match=r"result\.json' is damaged: it is not what arrays\.safetensors was"):
        deconvnet.open(folder)
    (folder / ARRAYS).unlink()
    with pytest.raises(DeconvNetError, match=r"damaged: arrays\.safetensors, which belongs to it, is missing"):
        deconvnet.open(folder)


def test_only_a_result_is_replaced_and_only_with_force(folder: Path, live, tmp_path: Path):
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"result\.json' already exists\. Replace it .*force=True"):
        live["Steps"].save(folder)
    live["Steps"].save(folder, force=True)
    assert deconvnet.open(folder).unit == live["Steps"].unit
    assert (folder / "mine.txt").read_text() == "mine"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    live["Steps"].save(foreign)  # empty
    (foreign / MANIFEST).write_text('{"kind": "of somebody else"}')
    for force in (False, True):
        with pytest.raises(ArgumentError, match=r"is not empty: it holds .*result\.json.* Give a new folder"):
            live["Steps"].save(foreign, force=force)
    assert (foreign / MANIFEST).read_text() == '{"kind": "of somebody else"}'


def test_what_an_interruption_left_is_saved_again(folder: Path, live):
    (folder / MANIFEST).unlink()
    with pytest.raises(DeconvNetError, match="nothing that deconvnet saved"):
        deconvnet.open(folder)
    assert len(deconvnet.open(live["Reconstruction"].save(folder))) == 4


def test_the_ending_tells_a_picture_from_a_folder(live, tmp_path: Path):
    result = live["Reconstruction"]
    with Image.open(result.save(tmp_path / "a.PNG")) as image:
        assert min(image.size) > 0
    with pytest.raises(ArgumentError, match=r"a\.pgn' does not end in one of \.png.* folder, whose name does not end"):
        result.save(tmp_path / "a.pgn")
    with pytest.raises(ArgumentError, match=r"whole belong to pictures, and .*folder' is a folder"):
        live["Steps"].save(tmp_path / "folder", whole=True)
    assert live["Steps"].save(tmp_path / "steps.png", whole=True).is_file()
    for name in ("a.pdf", "a.svg"):
        assert result.save(tmp_path / name, title="four units", dpi=72).stat().st_size > 1000
    (tmp_path / "a.made").mkdir()
    for name in ("layer-0.5", "a.made"):
        assert isinstance(deconvnet.open(result.save(tmp_path / name)), Reconstruction)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_every_type_of_number_and_views_of_one_memory_come_back(live, dtype: torch.dtype, tmp_path: Path):
    result = live["Reconstruction"]
    narrow = replace(result, windows=result.windows.to(dtype).transpose(2, 3), activations=result.activations.to(dtype))
    assert_same(deconvnet.open(narrow[1:3].save(tmp_path / "folder")), narrow[1:3])


def test_a_result_of_no_units_comes_back(live, tmp_path: Path):
    none = deconvnet.open(live["Reconstruction"][:0].save(tmp_path / "folder"))
    assert len(none) == 0 and none.full().shape == (0, 1, 8, 8)


def test_a_new_kind_of_result_needs_its_fields_alone(tmp_path: Path):
    @dataclass(frozen=True)
    class Part:
        name: str
        amounts: tuple[float, ...]

    @dataclass(frozen=True, eq=False)
    class Occlusion(Savable):
        drops: Float[Tensor, "rows columns"]
        parts: tuple[Part, ...]
        seen: frozenset[int]
        best: Unit | None = None

    result = Occlusion(torch.rand(2, 3), (Part("eye", (0.1, 0.2)),), frozenset({3, 1}))
    assert_same(read_result(result.save(tmp_path / "folder"), {"Occlusion": Occlusion}.get), result)
    with pytest.raises(ArgumentError, match=r"Occlusion cannot be drawn\. To save it, give a folder"):
        result.save(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match=r"cannot be saved: .*JSON compliant"):
        replace(result, parts=(Part("eye", (float("nan"),)),)).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_manifest_is_for_people_and_holds_no_place(folder: Path, live):
    text = (folder / MANIFEST).read_text(encoding="ascii")
    manifest = json.loads(text)
    assert text.startswith('{\n  "format_version": 1,\n') and str(Path.home()) not in text
    assert manifest["notes"] == list(live["Reconstruction"].notes)
    assert manifest["result"]["made_with"] == {"deconvnet": deconvnet.__version__, "torch": torch.__version__}


def test_what_many_photos_rest_on_comes_back(tmp_path: Path):
    shares = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    maps = ResponsibleMaps("conv", ("a.jpg", "b/c.jpg"), (3, None), shares, (("d.jpg", "it is empty"),), ("a note",))
    again = deconvnet.open(maps.save(tmp_path / "folder"))
    assert_same(again, maps)
    assert again.to_frame()["mean_share"].tolist() == [0.375, 0.625]
    with pytest.raises(ArgumentError, match="was made without examples"):
        maps.save(tmp_path / "a.png")


def test_classes_of_maps_keep_their_outlines_and_counts(tmp_path: Path):
    result = class_maps().explain(images(2))
    again = deconvnet.open(result.save(tmp_path / "folder"))
    assert_same(again, result)
    assert again.masks is not None
    for i, one in enumerate(again):
        assert one.masks is not None and torch.equal(one.masks[0], again.masks[i])
    assert tuple(count for one in again for count in one.facts.everywhere) == again.facts.everywhere != ()
