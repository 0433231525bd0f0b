"""Odd values, and how every public function is called well: a new public name needs a line in `good_calls`."""

import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

import deconvnet
from deconvnet import (
    Atlas,
    Box,
    Comparison,
    DeconvNet,
    Figure,
    LayerInfo,
    LoadedModel,
    OperationTable,
    Plot,
    Preprocess,
    Reconstruction,
    Report,
    Responsible,
    ResponsibleMaps,
    RuleSet,
    StepDown,
    Steps,
    Unit,
    captum_api,
    learn,
    probes,
    training,
)

SIZE = 12
MODEL_FILE = """
from torch import nn
from deconvnet import LoadedModel, Preprocess
def make():
    prepare = Preprocess((12, 12), 12, (0.5,) * 3, (0.5,) * 3)
    return LoadedModel(nn.Sequential(nn.Conv2d(3, 5, 12), nn.Flatten()), prepare)
"""


def odd_values() -> dict[str, Any]:
    """What nobody should pass, or only where it is meant, by a name for messages."""
    shape = (1, 3, SIZE, SIZE)
    values = [
        None, -1, 0, 10**30, 1.5, float("nan"), float("inf"), 1j, Fraction(1, 2), True, ..., slice(None), int, object(),
        "", "x", "all", "top:0", "0,1", "\udcff", "\ud800", "a\0b", "x" * 300, b"x", Path("no-such"), (i for i in ()),
        [], {}, set(), (1, 2), [10**6] * 100_000, ["x", None], [[]], {"x": 1}, lambda *_: 0, nn.ReLU(),
        Unit("0", 1.5, "x", None), Box((1.5, None), "x"), np.int64(1), np.uint8(0), np.float32(0.5), np.bool_(True),
        np.array(1), np.array([0, 1]), np.array([]), np.array(["x"]), np.array(1j), np.zeros((SIZE, SIZE, 3), object),
        torch.tensor(1), torch.tensor(0.5), torch.tensor(True), torch.zeros(0), torch.tensor([0, 1]), torch.zeros(2, 2),
        torch.zeros(shape, device="meta"), torch.zeros(shape).to_sparse(), torch.zeros(shape, dtype=torch.complex64),
        torch.full(shape, float("nan")), torch.zeros(shape, dtype=torch.float16), torch.zeros(shape, dtype=torch.bool),
    ]  # fmt: skip
    return {f"{i}: {_name(value)}": value for i, value in enumerate(values)}


def _name(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:60].replace("\n", " ")


@dataclass(frozen=True)
class Call:
    """A good call: what is called, and its arguments; those that are used up or changed come from functions.

    Attributes:
        function: what is called.
        arguments: by name; every argument without a default.
        fresh: by name, makers of arguments.
        no_more_than: arguments where a whole number above this is right, and takes long.
    """

    function: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fresh: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    no_more_than: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, **replaced: Any) -> Any:
        arguments = {**self.arguments, **{name: make() for name, make in self.fresh.items()}, **replaced}
        listed = [
            p.name for p in _parameters(self.function).values() if p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY)
        ]
        positional = [arguments.pop(name) for name in listed if name in arguments]
        return self.function(*positional, **arguments)

    def names(self) -> list[str]:
        """The names of all arguments."""
        names: list[str] = []
        for parameter in _parameters(self.function).values():
            options = get_args(parameter.annotation) if parameter.kind == parameter.VAR_KEYWORD else ()
            names += options[0].__annotations__ if options else [parameter.name]
        return names

    def unknown(self) -> list[str]:
        """The arguments that a call needs and this one lacks."""
        needed = [
            p.name for p in _parameters(self.function).values() if p.default is p.empty and p.kind < p.VAR_KEYWORD
        ]
        return [name for name in needed if name not in {*self.arguments, *self.fresh}]


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def public_names() -> Iterator[str]:
    """Every public function and class of the package and those in it, and their public methods."""
    for package in (deconvnet, captum_api, learn, probes, training):
        prefix = "" if package is deconvnet else package.__name__.removeprefix("deconvnet.") + "."
        for name in package.__all__:
            value = getattr(package, name)
            if not callable(value) or (isinstance(value, type) and issubclass(value, BaseException | Warning)):
                continue
            yield prefix + name
            if isinstance(value, type):
                yield from (f"{prefix}{name}.{member}" for member in _methods(value))


def _methods(kind: type) -> Iterator[str]:
    ours = [vars(base) for base in reversed(kind.__mro__) if base.__module__.startswith("deconvnet.")]
    for name, member in {name: member for members in ours for name, member in members.items()}.items():
        is_method = isinstance(member, classmethod | staticmethod) or inspect.isfunction(member)
        if name.startswith("on_"):  # called by a trainer of Lightning, and by nobody else
            continue
        if is_method and (not name.startswith("_") or name in ("__call__", "__getitem__")):
            yield name


def good_calls(folder: Path) -> dict[str, Call]:
    """How every public function is called well, in the current folder, by name.

    Args:
        folder: for what the calls read.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 5))
    loaded = LoadedModel(model, Preprocess((SIZE, SIZE), SIZE, (0.5,) * 3, (0.25,) * 3), tuple("abcde"))
    net = DeconvNet(model, loaded.example_input)
    photo = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE + 1, 3), np.uint8)
    x = loaded.preprocess.images(photo)
    return {
        **_of_networks(net, loaded, x, photo, folder),
        **_of_results(net, loaded, x, photo, folder),
        **_of_diagnosis(net, loaded, x),
        **_of_moved_and_covered(net, loaded, x, photo),
        **_of_occlusion(net, loaded, x),
        **_of_trust(net, x),
        **_of_atlases(net, loaded, photo, folder),
        **_of_learning(photo, folder),
        **_of_training(net, x, folder),
        **_of_captum_api(model, x),
    }


def _of_networks(
    net: DeconvNet, loaded: LoadedModel, x: torch.Tensor, photo: np.ndarray, folder: Path
) -> dict[str, Call]:
    (folder / "model.py").write_text(MODEL_FILE, encoding="utf-8")
    prepare = loaded.preprocess
    box = Box((0, 0), (4, 4))
    return {
        "Box": Call(Box, {"low": (0, 0), "high": (4, 4)}),
        "Box.overlap": Call(box.overlap, {"size": (8, 8)}),
        "Unit": Call(Unit, {"layer": "0", "channel": 0, "position": (0, 0), "image": 0}),
        "LayerInfo": Call(LayerInfo, vars(net.layers["0"])),
        "RuleSet": Call(RuleSet),
        "OperationTable": Call(OperationTable),
        "OperationTable.rule": Call(OperationTable().rule, {"names": "aten.x"}),
        "OperationTable.remove": Call(_removing, {"names": "aten.x"}),
        "rule": Call(OperationTable().rule, {"names": "aten.x"}),  # that of the shared table would stay
        "DeconvNet": Call(DeconvNet, {"model": nn.Conv2d(3, 2, 3), "example_input": x}),
        "DeconvNet.with_directions": Call(net.with_directions, {"layer": "1", "weight": torch.ones(2, 4)}),
        "DeconvNet.with_rules": Call(net.with_rules, {"rules": "guided"}),
        "DeconvNet.layer": Call(net.layer, {"layer": "0"}),
        "DeconvNet.activations": Call(net.activations, {"x": x, "layers": ["0"]}),
        "DeconvNet.scores": Call(net.scores, {"x": x}),
        "DeconvNet.probabilities": Call(net.probabilities, {"x": x}),
        "DeconvNet.project": Call(net.project, {"x": x, "layer": "0", "channel": 1}),
        "DeconvNet.explain": Call(net.explain, {"x": x}),
        "DeconvNet.steps": Call(net.steps, {"x": x}),
        "DeconvNet.responsible": Call(net.responsible, {"x": x, "k": 1}),
        "costs": Call(deconvnet.costs, {"net": net, "layer": "0"}),
        "way_down": Call(deconvnet.way_down, {"net": net}),
        "watch_activations": Call(
            deconvnet.watch_activations, {"net": net, "x": x, "layers": ["0"], "watch": lambda *_: 0}
        ),
        "load_model": Call(deconvnet.load_model, {"spec": f"{folder / 'model.py'}:make"}),
        "LoadedModel": Call(LoadedModel, {"model": loaded.model, "preprocess": prepare}),
        "LoadedModel.label": Call(loaded.label, {"index": 0}),
        "LoadedModel.class_index": Call(loaded.class_index, {"name_or_index": 0}),
        "zfnet": Call(_on_meta(deconvnet.zfnet)),
        "zfnet_mini": Call(_on_meta(deconvnet.zfnet_mini)),
        "load_photo": Call(deconvnet.load_photo, {"photo": photo}),
        "open_photos": Call(deconvnet.open_photos, {"source": [photo]}),
        "Preprocess": Call(Preprocess, vars(prepare)),
        "Preprocess.read": Call(prepare.read, {"photo": photo}),
        "Preprocess.images": Call(prepare.images, {"photos": [photo]}),
        "Preprocess.image": Call(prepare.image, {"photo": deconvnet.load_photo(photo)}),
        "Preprocess.levels": Call(prepare.levels, {"photo": deconvnet.load_photo(photo)}),
        "Preprocess.inputs": Call(prepare.inputs, {"levels": torch.zeros(1, 3, SIZE, SIZE)}),
        "Preprocess.seen": Call(prepare.seen, {"photo": photo}),
        "Preprocess.check_images": Call(prepare.check_images, {"what": "a page"}),
        "Preprocess.notes": Call(prepare.notes, {"photo": deconvnet.load_photo(photo)}),
        "Preprocess.as_seen": Call(prepare.as_seen, {"photo": photo}),
        "Preprocess.box_in_photo": Call(prepare.box_in_photo, {"box": box, "photo_size": (SIZE, SIZE)}),
        "Preprocess.box_in_input": Call(prepare.box_in_input, {"box": box, "photo_size": (SIZE, SIZE)}),
        "Preprocess.patch": Call(prepare.patch, {"photo": photo, "box": box}),
    }


def _removing(*names: str) -> None:
    table = OperationTable()
    table.rule("aten.x")(lambda call, signal: signal)
    table.remove(*names)


def _on_meta(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose tensors hold no values: a large network takes no time."""

    def on_meta(*args: Any, **kwargs: Any) -> Any:
        with torch.device("meta"):
            return function(*args, **kwargs)

    on_meta.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return on_meta


def _of_results(
    net: DeconvNet, loaded: LoadedModel, x: torch.Tensor, photo: np.ndarray, folder: Path
) -> dict[str, Call]:
    result, steps = net.project(x, "0", channel=[0, 1]), net.steps(x)
    responsible, comparison = net.responsible(x, k=1), deconvnet.compare(result, result)
    figure, plot = result.sheet(), Plot(lambda figure: figure.text(0.5, 0.5, "x"), 1, 1, 40)
    maps = deconvnet.responsible_maps(net, [photo], loaded=loaded, examples=1)
    of_photo = {"photo": photo, "preprocess": loaded.preprocess}
    of_photos = {"photos": [photo], "preprocess": loaded.preprocess}
    save = {"path": "result.png", "force": True}
    return {
        "open": Call(deconvnet.open, {"folder": result.save(folder / "result")}),
        "Reconstruction": Call(Reconstruction, vars(result)),
        "Reconstruction.full": Call(result.full),
        "Reconstruction.whole": Call(result.whole, {"i": 0}),
        "Reconstruction.magnitude": Call(result.magnitude),
        "Reconstruction.picture": Call(result.picture),
        "Reconstruction.box": Call(result.box, {"i": 0}),
        "Reconstruction.sheet": Call(result.sheet, of_photos),
        "Reconstruction.beside": Call(result.beside, of_photo),
        "Reconstruction.__getitem__": Call(result.__getitem__, {"index": 0}),
        "Reconstruction.to_frame": Call(result.to_frame),
        "Reconstruction.save": Call(result.save, save),
        "Figure": Call(Figure, vars(figure)),
        "Figure.image": Call(figure.image),
        "Figure.save": Call(figure.save, {"path": "figure.png", "force": True}),
        "Plot": Call(Plot, vars(plot)),
        "Plot.image": Call(plot.image),
        "Plot.save": Call(plot.save, {"path": "plot.png", "force": True}),
        "Comparison": Call(Comparison, vars(comparison)),
        "Comparison.words": Call(comparison.words),
        "Comparison.box": Call(comparison.box, {"i": 0}),
        "Comparison.sheet": Call(comparison.sheet, of_photos),
        "Comparison.to_frame": Call(comparison.to_frame),
        "Comparison.save": Call(comparison.save, save),
        "compare": Call(deconvnet.compare, {"a": result, "b": result}),
        "Responsible": Call(Responsible, vars(responsible)),
        "Responsible.beside": Call(responsible.beside, of_photo),
        "Responsible.__getitem__": Call(responsible.__getitem__, {"index": 0}),
        "Responsible.to_frame": Call(responsible.to_frame),
        "Responsible.save": Call(responsible.save, save),
        "responsible_maps": Call(deconvnet.responsible_maps, {"net": net, "photos": [photo], "loaded": loaded}),
        "ResponsibleMaps": Call(ResponsibleMaps, vars(maps)),
        "ResponsibleMaps.strongest": Call(maps.strongest),
        "ResponsibleMaps.sheet": Call(maps.sheet, of_photos),
        "ResponsibleMaps.to_frame": Call(maps.to_frame),
        "ResponsibleMaps.save": Call(maps.save, {"path": "maps", "force": True}),
        "StepDown": Call(StepDown, vars(steps[0])),
        "Steps": Call(
            Steps, {name: getattr(steps, name) for name in ("unit", "activation", "steps", "rules", "facts")}
        ),
        "Steps.__getitem__": Call(steps.__getitem__, {"index": 0}),
        "Steps.figure": Call(steps.figure),
        "Steps.to_frame": Call(steps.to_frame),
        "Steps.save": Call(steps.save, save),
        "render": Call(deconvnet.render, {"signal": x[0]}),
        "Report": Call(Report, {"html": "", "path": None}),
        "bench": Call(deconvnet.bench, {"net": net, "photos": photo, "loaded": loaded}),
        "report": Call(deconvnet.report, {"net": net, "photos": photo, "loaded": loaded, "maps": 1, "layers": ["0"]}),
    }


def _of_diagnosis(net: DeconvNet, loaded: LoadedModel, x: torch.Tensor) -> dict[str, Call]:
    asked = {"net": net, "photos": x, "loaded": loaded, "fields": ["1"]}
    diagnosis, fields = probes.diagnose(**asked), probes.effective_fields(net, x, "1", units=2)
    return {
        "probes.Aliasing": Call(probes.Aliasing, {"share": 0.5, "smooth": 0.5}),
        "probes.Diagnosis": Call(probes.Diagnosis, {"layer": "0", "filters": diagnosis.filters}),
        "probes.Diagnosis.aliasing": Call(diagnosis.aliasing),
        "probes.Diagnosis.figure": Call(diagnosis.figure),
        "probes.Diagnosis.save": Call(diagnosis.save, {"path": "diagnosis", "force": True}),
        "probes.Diagnosis.to_frame": Call(diagnosis.to_frame),
        "probes.EffectiveField": Call(probes.EffectiveField, vars(fields[0])),
        "probes.EffectiveFields": Call(
            probes.EffectiveFields, {name: getattr(fields, name) for name in ("fields", "rules", "images")}
        ),
        "probes.EffectiveFields.__getitem__": Call(fields.__getitem__, {"index": 0}),
        "probes.EffectiveFields.figure": Call(fields.figure),
        "probes.EffectiveFields.save": Call(fields.save, {"path": "fields", "force": True}),
        "probes.EffectiveFields.to_frame": Call(fields.to_frame),
        "probes.diagnose": Call(probes.diagnose, asked),
        "probes.effective_fields": Call(probes.effective_fields, {"net": net, "x": x, "layers": ["1"], "units": 2}),
    }


def _of_moved_and_covered(net: DeconvNet, loaded: LoadedModel, x: torch.Tensor, photo: np.ndarray) -> dict[str, Call]:
    few = probes.Transforms((0, 1), (1,), (0, 90))
    moved = probes.invariance(net, x, transforms=few)
    part = {"photo": "a", "part": "eye", "left": 1, "top": 1, "right": 5, "bottom": 5}
    parts = [probes.Part(**{**part, "photo": name}) for name in ("a", "b")]
    asked = {"net": net, "photos": [photo, photo[::-1]], "parts": parts, "loaded": loaded, "names": ["a", "b"]}
    covered = probes.correspondence(**asked, placements=1)
    return {
        "probes.Transforms": Call(probes.Transforms, vars(few)),
        "probes.invariance": Call(probes.invariance, {"net": net, "x": x, "transforms": few}),
        "probes.Curve": Call(probes.Curve, vars(moved.curve("scale", moved.layers[0]))),
        "probes.Responses": Call(probes.Responses, vars(moved.responses[0])),
        "probes.Invariance": Call(probes.Invariance, vars(moved)),
        "probes.Invariance.__getitem__": Call(moved.__getitem__, {"kind": "scale"}),
        "probes.Invariance.relative": Call(moved.relative, {"kind": "scale"}),
        "probes.Invariance.curve": Call(moved.curve, {"kind": "scale", "layer": moved.layers[0]}),
        "probes.Invariance.share_kept": Call(moved.share_kept, {"kind": "scale"}),
        "probes.Invariance.rows": Call(moved.rows),
        "probes.Invariance.to_frame": Call(moved.to_frame),
        "probes.Invariance.figure": Call(moved.figure),
        "probes.Invariance.save": Call(moved.save, {"path": "invariance", "force": True}),
        "probes.Part": Call(probes.Part, part),
        "probes.PartChanges": Call(probes.PartChanges, vars(covered.parts[0])),
        "probes.correspondence": Call(probes.correspondence, asked, no_more_than={"placements": 2}),
        "probes.Correspondence": Call(probes.Correspondence, vars(covered)),
        "probes.Correspondence.rows": Call(covered.rows),
        "probes.Correspondence.table": Call(covered.table),
        "probes.Correspondence.to_frame": Call(covered.to_frame),
        "probes.Correspondence.figure": Call(covered.figure),
        "probes.Correspondence.save": Call(covered.save, {"path": "correspondence", "force": True}),
    }


def _of_occlusion(net: DeconvNet, loaded: LoadedModel, x: torch.Tensor) -> dict[str, Call]:
    asked = {"net": net, "x": x, "size": 5, "stride": 4, "layer": "1", "preprocess": loaded.preprocess}
    occlusion = probes.occlude(**asked)
    return {
        "probes.occlude": Call(probes.occlude, asked),
        "probes.Occlusion": Call(probes.Occlusion, vars(occlusion)),
        "probes.Occlusion.label": Call(occlusion.label, {"index": 0}),
        "probes.Occlusion.on_grid": Call(occlusion.on_grid, {"values": occlusion.scores}),
        "probes.Occlusion.on_pixels": Call(occlusion.on_pixels, {"values": occlusion.scores[:, 0]}),
        "probes.Occlusion.to_frame": Call(occlusion.to_frame),
        "probes.Occlusion.figure": Call(occlusion.figure),
        "probes.Occlusion.save": Call(occlusion.save, {"path": "occlusion", "force": True}),
    }


def _of_trust(net: DeconvNet, x: torch.Tensor) -> dict[str, Call]:
    result = net.project(x, "2", channel="top:1")
    asked = {"net": net, "x": x, "result": result, "measures": "edges", "draws": 1}
    trusted, quick = probes.trust(**asked), probes.quick_trust(net, x, result)
    return {
        "probes.trust": Call(probes.trust, asked, no_more_than={"draws": 2}),
        "probes.Trust": Call(probes.Trust, vars(trusted)),
        "probes.Trust.__getitem__": Call(trusted.__getitem__, {"name": "edges"}),
        "probes.Trust.text": Call(trusted.text),
        "probes.Trust.figure": Call(trusted.figure),
        "probes.Trust.to_frame": Call(trusted.to_frame),
        "probes.Trust.save": Call(trusted.save, {"path": "trust", "force": True}),
        "probes.Measure": Call(probes.Measure, vars(trusted["edges"])),
        "probes.Null": Call(probes.Null, {"name": "noise", "draws": (0.5, 1.0)}),
        "probes.Null.side": Call(probes.Null("noise", (0.0, 1.0)).side, {"value": 0.5}),
        "probes.quick_trust": Call(probes.quick_trust, {"net": net, "x": x, "result": result}),
        "probes.twins": Call(probes.twins, {"net": net, "x": x, "units": [result.units[0]], "others": [0]}),
        "probes.Twins": Call(probes.Twins, {"other_channel": 1, "other_unit": 0.5, "other_image": None}),
        "probes.QuickTrust": Call(probes.QuickTrust, vars(quick)),
        "probes.QuickTrust.line": Call(quick.line),
        "probes.QuickTrust.facts": Call(quick.facts),
        "probes.QuickTrust.to_frame": Call(quick.to_frame),
        "probes.QuickTrust.save": Call(quick.save, {"path": "quick", "force": True}),
    }


def _of_atlases(net: DeconvNet, loaded: LoadedModel, photo: np.ndarray, folder: Path) -> dict[str, Call]:
    out = iter(f"atlas-{i}" for i in range(10**6))
    of_photos = {"net": net, "photos": [photo], "layers": ["0"], "k": 1}
    common = {**of_photos, "loaded": loaded}
    processes = {"workers": 0, "shard": 0}
    deconvnet.scan_shard(**common, shard=(0, 1), out=folder / "shard")
    atlas = deconvnet.build_atlas(**common, out=folder / "atlas", keep_signal=True, trust=probes.twins)
    merged = {"net": net, "photos": [photo], "shards": [folder / "shard"], "loaded": loaded}
    return {
        "build_atlas": Call(deconvnet.build_atlas, common, {"out": lambda: next(out)}, processes),
        "scan_shard": Call(deconvnet.scan_shard, {**common, "shard": (0, 1)}, {"out": lambda: next(out)}, processes),
        "merge_shards": Call(deconvnet.merge_shards, merged, {"out": lambda: next(out)}, processes),
        "Atlas": Call(Atlas, {name: vars(atlas)[name] for name in _parameters(Atlas)}),
        "Atlas.open": Call(Atlas.open, {"folder": folder / "atlas"}),
        "Atlas.__getitem__": Call(atlas.__getitem__, {"index": 0}),
        "Atlas.to_frame": Call(atlas.to_frame),
        "Atlas.trust": Call(atlas.trust, {"layer": "0", "channel": 0}),
        "Atlas.top": Call(atlas.top, {"layer": "0", "channel": 0}),
        "Atlas.stats": Call(atlas.stats, {"layer": "0"}),
        "Atlas.picture": Call(atlas.picture, {"layer": "0", "channel": 0}),
        "Atlas.blocks": Call(atlas.blocks, {"layer": "0", "channel": 0}),
        "Atlas.sheet": Call(atlas.sheet, {"layer": "0", "dpi": 40}),
        "Atlas.signals": Call(atlas.signals, {"layer": "0"}),
        "Atlas.find": Call(atlas.find, {"image": "0"}),
        "Atlas.photos": Call(atlas.photos),
        "Atlas.skipped": Call(atlas.skipped),
        "Site": Call(deconvnet.Site, {"folder": folder / "site", "pages": 1, "pictures": 1, "bytes": 1}),
        "write_site": Call(deconvnet.write_site, {"atlas": atlas}, {"folder": lambda: f"site-{next(out)}"}),
    }


def _of_training(net: DeconvNet, x: torch.Tensor, folder: Path) -> dict[str, Call]:
    def new_folder() -> str:
        return tempfile.mkdtemp(dir=".")

    evolution = training.Evolution(net, x, folder=folder / "evolution", layers={"1": [0, 1]}, epochs=None)
    evolution.after(1)
    evolution.after(2)
    snapshots = evolution.snapshots()
    model = nn.Conv2d(3, 2, 3)
    return {
        "training.renormalise": Call(training.renormalise, {"model": model}),
        "training.RenormaliseCallback": Call(training.RenormaliseCallback),
        "training.Evolution": Call(
            training.Evolution, {"model": net, "photos": x, "layers": ["1"]}, {"folder": new_folder}
        ),
        "training.Evolution.after": Call(evolution.after, {"epoch": 1}, no_more_than={"epoch": 10**9}),
        "training.Evolution.snapshots": Call(evolution.snapshots),
        "training.Evolution.latest": Call(evolution.latest),
        "training.EvolutionCallback": Call(training.EvolutionCallback, {"photos": x, "folder": "evolution"}),
        "training.Snapshots": Call(training.Snapshots, {"snapshots": snapshots[:], "missed": (), "notes": ()}),
        "training.Snapshots.__getitem__": Call(snapshots.__getitem__, {"index": 0}),
        "training.Snapshots.figure": Call(snapshots.figure),
        "training.Snapshots.to_frame": Call(snapshots.to_frame),
        "training.Snapshots.save": Call(snapshots.save, {"path": "snapshots.png", "force": True}),
        "training.Snapshot": Call(training.Snapshot, vars(snapshots[0])),
        "training.Snapshot.figure": Call(snapshots[0].figure),
        "training.Snapshot.to_frame": Call(snapshots[0].to_frame),
        "training.Snapshot.save": Call(snapshots[0].save, {"path": "snapshot.png", "force": True}),
        "training.LayerSnapshot": Call(training.LayerSnapshot, vars(snapshots[0].layers[0])),
        "training.LayerSnapshot.picture": Call(snapshots[0].layers[0].picture, {"m": 0}),
        "training.Convergence": Call(training.Convergence, vars(snapshots.convergence)),
        "training.Convergence.figure": Call(snapshots.convergence.figure),
        "training.Convergence.to_frame": Call(snapshots.convergence.to_frame),
    }


def _of_captum_api(model: nn.Module, x: torch.Tensor) -> dict[str, Call]:
    of_class, of_unit = {"inputs": x, "target": 1}, {"inputs": x, "neuron_selector": (1, 2, 3)}
    window = {"sliding_window_shapes": (3, 4, 4), "strides": 4}
    calls: dict[str, Call] = {}
    for name in ("Deconvolution", "GuidedBackprop"):
        kind = getattr(captum_api, name)
        calls[name] = Call(kind, {"model": model})
        calls[f"{name}.attribute"] = Call(kind(model).attribute, of_class)
    for name in ("NeuronDeconvolution", "NeuronGuidedBackprop"):
        kind = getattr(captum_api, name)
        calls[name] = Call(kind, {"model": model, "layer": model[1]})
        calls[f"{name}.attribute"] = Call(kind(model, model[1]).attribute, of_unit)
    calls["Occlusion"] = Call(captum_api.Occlusion, {"forward_func": model})
    calls["Occlusion.attribute"] = Call(captum_api.Occlusion(model).attribute, {**of_class, **window})
    return {f"captum_api.{name}": call for name, call in calls.items()}


def _of_learning(photo: np.ndarray, folder: Path) -> dict[str, Call]:
    def network() -> learn.AdaptiveDeconvNet:
        return learn.AdaptiveDeconvNet.of([2], kernel=3, pool=None)

    images = torch.rand(1, 1, 16, 16)
    net, out = network(), iter(f"learned-{i}" for i in range(10**6))
    codes = net.infer(images, max_iter=2)
    prepare, photos = learn.Prepare(16), deconvnet.open_photos([photo])
    learned = learn.learn_photos(photos, network(), out=folder / "learned", prepare=prepare, max_iter=1)
    filters = net.layers[0].filters.detach()
    norm, layer = learn.LocalContrastNorm(), net.layers[0]
    contrast = norm.normalise(images)[1]
    in_layer = {"layer": 1, "below": codes, "geometries": net.geometries((16, 16))}
    of_layer, of_codes = codes[1], codes[1].solution
    few, of_net = {"max_iter": 1}, {"net": net}
    calls = {
        "AdaptiveDeconvNet": Call(learn.AdaptiveDeconvNet, {"layers": [layer]}),
        "AdaptiveDeconvNet.of": Call(learn.AdaptiveDeconvNet.of, {"maps": [2], "kernel": 3}),
        "AdaptiveDeconvNet.extra_repr": Call(net.extra_repr),
        "AdaptiveDeconvNet.geometries": Call(net.geometries, {"size": (16, 16)}),
        "AdaptiveDeconvNet.infer": Call(net.infer, {"images": images, **few}),
        "AdaptiveDeconvNet.linear": Call(net.linear, in_layer),
        "AdaptiveDeconvNet.painted": Call(net.painted, {**in_layer, "maps": images}),
        "AdaptiveDeconvNet.pulled_up": Call(net.pulled_up, {**in_layer, "images": images}),
        "AdaptiveDeconvNet.reconstruct": Call(net.reconstruct, {"codes": codes}),
        "DeconvLayer": Call(learn.DeconvLayer, {"channels": 1, "maps": 2}),
        "DeconvLayer.normalise": Call(layer.normalise),
        "DeconvLayer.extra_repr": Call(layer.extra_repr),
        "singles_and_doubles": Call(learn.singles_and_doubles, {"channels": 2}),
        "Codes": Call(learn.Codes, vars(codes)),
        "Codes.__getitem__": Call(codes.__getitem__, {"layer": 1}),
        "Codes.of": Call(codes.of, {"image": 0}),
        "LayerCodes": Call(learn.LayerCodes, vars(of_layer)),
        "LayerCodes.of": Call(of_layer.of, {"rows": torch.tensor([0])}),
        "Solution": Call(learn.Solution, vars(of_codes)),
        "Solution.of": Call(of_codes.of, {"rows": torch.tensor([0])}),
        "LocalContrastNorm": Call(learn.LocalContrastNorm),
        "LocalContrastNorm.forward": Call(norm.forward, {"images": images}),
        "LocalContrastNorm.normalise": Call(norm.normalise, {"images": images}),
        "LocalContrastNorm.inverse": Call(norm.inverse, {"normalised": images, "contrast": contrast}),
        "Prepare": Call(learn.Prepare),
        "Prepare.image": Call(prepare.image, {"photo": deconvnet.load_photo(photo)}),
        "Prepare.levels": Call(prepare.levels, {"photo": deconvnet.load_photo(photo)}),
        "Prepare.inputs": Call(prepare.inputs, {"levels": torch.zeros(1, 1, 16, 16)}),
        "Progress": Call(learn.Progress, dict.fromkeys(_parameters(learn.Progress), 0)),
        "Learned": Call(learn.Learned, vars(learned)),
        "Learned.open": Call(learn.Learned.open, {"folder": folder / "learned"}),
        "Learned.skipped": Call(learned.skipped),
        "Learned.images": Call(learned.images, {"photo": photo}),
        "draw_filters": Call(learn.draw_filters, {"learned": learned, "layer": 1}),
        "draw_parts": Call(learn.draw_parts, {"learned": learned, "photo": photo, **few}),
        "draw_reconstructions": Call(learn.draw_reconstructions, {"learned": learned, "photo": photo, **few}),
        "fit": Call(learn.fit, {"loader": [images], **few}, {"net": network}),
        "partial_fit": Call(learn.partial_fit, {"images": images, **few}, {"net": network}),
        "learn_photos": Call(
            learn.learn_photos, {"photos": photos, "prepare": prepare, **few},
            {"net": network, "out": lambda: next(out)}, {"workers": 0},
        ),
        "load_net": Call(learn.load_net, {"path": folder / "learned" / "learned.safetensors"}),
        "save_net": Call(learn.save_net, {**of_net, "path": "net.safetensors"}),
        "parts": Call(learn.parts, {**of_net, "codes": codes}),
        "pixel_filters": Call(learn.pixel_filters, of_net),
        "sparse_code": Call(learn.sparse_code, {"images": images, "filters": filters, "lam": 0.2, **few}),
    }  # fmt: skip
    return {f"learn.{name}": call for name, call in calls.items()}
