"""Public functions called with several odd arguments at once.

Each works, or ends in an error of ours, or in Python's TypeError for an argument that is missing or unknown.
"""

import copy
import decimal
import fractions
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import (
    Atlas,
    Box,
    DeconvNet,
    DeconvNetError,
    Preprocess,
    RuleSet,
    Unit,
    captum_api,
    learn,
    probes,
    training,
)
from fuzz import runs

_PYTHONS_OWN = re.compile(r"missing \d+ required|unexpected keyword|positional argument|multiple values for")
_FOR_LONG = {"epochs", "max_iter", "steps"}  # a large number is a long run, which is what was asked for
_CALLED = {"watch", "progress", "up", "sees"}  # what a function of the user's raises is the user's
_WORKERS = (None, -1, 0, 0.5, float("nan"), "", "x", [], {})  # more processes would be a burden to the machine

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 1000, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), 1 + 2j,
    "", "x", "all", "top:0", "top:4", "top:99999999999", "top:x", "\0", "\udc80", "é" * 300, "1GB", "-1GB", "1e99GB",
    b"", b"x", [], [0], [0, 0], [-1], [None], ["x"], [[]], (), (0,), (1, 2, 3), (2**40, 2**40), {}, {"x": 1}, {1},
    range(3), range(10**12), object(), type, len, lambda *a, **k: None, slice(None), Ellipsis, NotImplemented,
    Path("nowhere"), Path("."), np.int64(1), np.int32(-1), np.uint8(0), np.float32(0.5), np.float64("nan"), np.array(1),
    np.array([0, 1]), np.zeros((0, 3)), np.array(["x"]), np.array([None]), np.bool_(True), torch.tensor(1),
    torch.tensor([0, 1]), torch.zeros(0), torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16, dtype=torch.long),
    torch.full((1, 3, 16, 16), float("nan")), torch.zeros(1, 3, 0, 16), torch.zeros(1, 3, 16, 16, dtype=torch.cfloat),
    torch.zeros(3, 16, 16), torch.zeros(1, 3, 16, 16, dtype=torch.half), torch.empty(1, 3, 16, 16, device="meta"),
    torch.zeros(1, 3, 16, 16).to_sparse(), torch.device("cpu"), torch.float32, fractions.Fraction(1, 2),
    decimal.Decimal("1"), Unit("1", 0, (0, 0), 0), Unit("x", None, None, -1), Box((0, 0), (2, 2)), Box((), ()),
    Box((5, 5), (1, 1)), RuleSet(), torch.nn.Identity(), Image.new("L", (2, 2)), Image.new("L", (0, 0)), ValueError(),
)  # fmt: skip


def prepare() -> None:
    runs.base()


def attempt(random: Random, folder: Path) -> str:
    name = random.choice(tuple(_calls()))
    function, usual = _calls()[name]
    arguments = {key: _fresh(random.choice(values)) for key, values in usual.items()}
    for key in random.sample(sorted(arguments), min(len(arguments), random.choice((0, 1, 2, 2, 3)))):
        arguments[key] = _odd(random, key)
    if random.random() < 0.03 and arguments:
        arguments.pop(random.choice(sorted(arguments)))
    if random.random() < 0.02:
        arguments["unknown"] = 1
    try:
        function(**arguments)
    except DeconvNetError:
        return "refused"
    except Exception as error:
        if isinstance(error, TypeError) and _PYTHONS_OWN.search(str(error)):
            return "refused"
        error.add_note(f"from {name}({', '.join(f'{key}={_shown(value)}' for key, value in arguments.items())})")
        raise
    return "success"


def _odd(random: Random, name: str) -> Any:
    while name != "workers":
        value = random.choice(ODD)
        long = name in _FOR_LONG and isinstance(value, int | float) and not value < 100
        if not long and not (name in _CALLED and callable(value)):
            return value
    return random.choice(_WORKERS)


def _fresh(value: Any) -> Any:
    """A network that learns is changed by it, so each try has its own."""
    return copy.deepcopy(value) if isinstance(value, learn.AdaptiveDeconvNet) else value


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)} {value.dtype}"
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


Usual = Mapping[str, tuple[Any, ...]]


@cache
def _calls() -> dict[str, tuple[Callable[..., Any], Usual]]:
    """What is called, and for each argument values that are usual."""
    return {
        **_of_networks(), **_of_occlusion(),
        **_of_trust(), **_of_diagnosis(), **_of_results(), **_of_photos(), **_of_atlases(),
        **_of_learning(), **_of_training(), **_of_captum_api(), **_of_moved_and_covered(),
    }  # fmt: skip


def _of_networks() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    layers, memory = ("1", "3", "0", net.model[3]), (None, "1GB", 10**9)
    project: Usual = {
        "x": (x, x[:1]), "layer": layers, "channel": (None, 0, [0, 1], "all", "top:1", {0: 1.0, 1: -0.5}),
        "position": (None, (1, 1), "all"), "units": (None,), "start": ("activation", "one"), "to": (None, "0"),
        "memory": memory, "route": ("auto", "dense", "windowed"), "watch": (None, print),
    }  # fmt: skip
    explain: Usual = {
        "x": (x[:1],),
        "target": (None, (0, 1, 1)),
        "targets": (None, [0]),
        "start": ("one", "activation"),
        "to": (None, "0"),
    }
    return {
        "DeconvNet": (DeconvNet, {
            "model": (net.model,), "example_input": (x,), "rules": ("deconvnet", "guided", RuleSet()),
            "smooth": (None, "refuse"), "output": (None,), "memory": memory, "precision": (None, "float16", "tf32"),
            "deterministic": (False, True), "cuda_graphs": (False,),
        }),
        "with_rules": (net.with_rules, {"rules": ("guided", RuleSet()), "smooth": (None, "gradient")}),
        "with_directions": (net.with_directions, {
            "layer": ("1",), "weight": (torch.ones(2, 4),), "bias": (None, [0.5, 1]), "rectify": (True, False),
            "name": ("d",),
        }),
        "layer": (net.layer, {"layer": layers}),
        "activations": (net.activations, {"x": (x,), "layers": (["1", "3"], "1")}),
        "scores": (net.scores, {"x": (x,)}),
        "probabilities": (net.probabilities, {"x": (x,)}),
        "project": (net.project, project),
        "project units": (net.project, {"x": (x,), "layer": ("1",), "units": ([Unit("1", 0, (1, 1), 0)],)}),
        "project start": (net.project, {"x": (x,), "layer": ("1",), "start": (net.activations(x, "1")["1"],)}),
        "explain": (net.explain, {**explain, "memory": memory, "watch": (None, print)}),
        "steps": (net.steps, {
            "x": (x[:1],), "layer": layers, "channel": (None, 0), "position": (None, (1, 1)), "target": (None,),
            "to": (None, "0"), "memory": memory,
        }),
        "responsible": (net.responsible, {
            "x": (x[:1],), "target": ((0, 1, 1), None), "layer": ("1", None), "k": (1, 2), "per_map": (None, 0, 1),
        }),
        "responsible_maps": (deconvnet.responsible_maps, {
            "net": (net,), "photos": (["sample:chelsea"],), "target": (None, [None]), "layer": ("1", None),
            "loaded": (loaded,), "batch": (1, 16), "workers": (0,), "progress": (None,), "examples": (0, 1),
        }),
        "costs": (deconvnet.costs, {"net": (net,), "layer": layers, "to": (None, "0")}),
        "way_down": (deconvnet.way_down, {"net": (net,), "layer": layers, "x": (None, x)}),
        "watch_activations": (deconvnet.watch_activations,
                              {"net": (net,), "x": (x,), "layers": (["1"],), "watch": (print,)}),
        "load_model": (deconvnet.load_model, {
            "spec": ("zfnet-mini",), "weights": (None,), "size": (None, 64), "mean": (None, 0.5), "std": (None, 0.5),
            "channels": (None, 3), "labels": (None,), "device": (None, "cpu"),
        }),
        "label": (loaded.label, {"index": (0, 1)}),
        "RuleSet": (RuleSet, {"forward_mask": (True,), "unpool": ("centre",), "overlap": ("max",)}),
        "zfnet_mini": (deconvnet.zfnet_mini, {"num_classes": (3,), "batch_norm": (True, False)}),
        "rule": (deconvnet.OperationTable().rule, {"words": ("mine",), "up": (None,), "pointwise": (None, True)}),
    }  # fmt: skip


def _of_diagnosis() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    diagnosis = probes.diagnose(net, x, fields=[])
    return {
        "diagnose": (
            probes.diagnose,
            {
                "net": (net,),
                "photos": (None, x, ["sample:chelsea"]),
                "loaded": (None, loaded),
                "layers": (None, ["0"], ["0", "3"]),
                "fields": (None, [], "1", ["1", "3"]),
                "batch": (1, 16),
                "limit": (None, 1),
                "progress": (None, print),
            },
        ),
        "effective_fields": (
            probes.effective_fields,
            {
                "net": (net,),
                "x": (x,),
                "layers": ("1", ["1", "3"]),
                "units": (1, 8),
                "seed": (0, 1),
            },
        ),
        "aliasing": (diagnosis.aliasing, {"stride": (None, 2, 4.0)}),
        "diagnosis figure": (diagnosis.figure, {"dpi": (40,), "title": ("", "x")}),
    }


def _of_occlusion() -> dict[str, tuple[Callable[..., Any], Usual]]:
    _, loaded = runs.network()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    net = deconvnet.DeconvNet(model, x)
    shapes = (None, np.ones((3, 3), bool), np.arange(256).reshape(16, 16) // 64, np.ones((1, 16, 16), bool))
    return {
        "occlude": (probes.occlude, {
            "net": (net,), "x": (x,), "size": (None, 5, (4, 6)), "stride": (None, 4, (3, 5)), "mask": shapes,
            "partial": (False, True), "fill": ("mean", "grey", "blur", 0.5, (0, 1, 2)),
            "preprocess": (loaded.preprocess, None), "layer": (None, "1"), "channel": (None, 0, [0, 1]),
            "targets": (None, [0, 2]), "memory": (None, "1GB"), "route": ("auto", "windowed", "dense"),
            "progress": (None, print),
        }),
    }  # fmt: skip


def _of_trust() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    common: Usual = {
        "net": (net,), "x": (x,), "result": (net.project(x, "3", channel=0)[0],), "others": (None, x.flip(0)),
        "preprocess": (None, loaded.preprocess), "seed": (0, 7), "memory": (None, "1GB"),
    }  # fmt: skip
    asked: Usual = {
        **common, "measures": ("edges", ["noise", "other images"], ["switches"]), "draws": (1, 2), "liked": (None, x),
        "percentile": (None, lambda unit, value: 50.0), "progress": (None, print),
    }  # fmt: skip
    units = [Unit("3", 0, (1, 1), 0), Unit("1", 1, (0, 2), 1)]
    pairs: Usual = {
        "net": (net,), "x": (x,), "units": (units,), "others": ([1, 0], [None, 0]), "seed": (0, 7),
        "memory": (None, "1GB"),
    }  # fmt: skip
    return {
        "trust": (probes.trust, asked), "quick_trust": (probes.quick_trust, common), "twins": (probes.twins, pairs),
    }  # fmt: skip


def _of_results() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    result, other = net.project(x, "3", channel=[0, 1]), net.with_rules("guided").project(x, "3", channel=[0, 1])
    compared, steps = deconvnet.compare(result, other), net.steps(x[:1], "3", channel=0)
    answer = net.responsible(x[:1], (0, 1, 1), "1", 2)
    photos, crops, scales = ["sample:chelsea", "sample:rocket"], ("energy", "field", "none"), ("logistic", "linear")
    preprocess, images, paths = (loaded.preprocess,), (photos,), ("a.png", Path("b.png"), "c.pdf", "d.svg")
    bools = True, False
    layouts: Usual = {"tile": (None, 40), "columns": (None, 2), "dpi": (96, 50), "title": ("", "a"), "text": bools}
    return {
        "render": (deconvnet.render, {"signal": (x[0],), "scale": scales, "limit": (None, 1.0)}),
        "picture": (result.picture, {"i": (0, 1), "crop": crops, "scale": scales}),
        "box": (result.box, {"i": (0, 1), "crop": crops}),
        "whole": (result.whole, {"i": (0, 1)}),
        "sheet": (result.sheet, {
            "photos": images, "preprocess": preprocess, "crop": crops, "arrange": ("grid",), **layouts,
        }),
        "beside": (result.beside, {
            "photo": (photos[0],), "preprocess": preprocess, "i": (0,), "words": ("",), **layouts,
        }),
        "figure image": (steps.figure().image, {"page": (0,)}),
        "figure save": (steps.figure().save, {"path": paths, "force": (False, True)}),
        "save": (result.save, {"path": (*paths, "folder"), "force": (False, True)}),
        "open": (deconvnet.open, {"folder": (runs.base() / "this" / "saved", runs.base() / "this" / "atlas")}),
        "item": (result.__getitem__, {"index": (0, slice(1))}),
        "responsible item": (answer.__getitem__, {"index": (0, slice(1))}),
        "compare": (deconvnet.compare, {"a": (result,), "b": (other, result), "names": (("A", "B"),)}),
        "comparison words": (compared.words, {"i": (0, 1)}),
        "comparison box": (compared.box, {"i": (0, 1), "crop": crops}),
        "comparison sheet": (compared.sheet, {
            "photos": images, "preprocess": preprocess, "common": bools, **layouts,
        }),
        "steps figure": (steps.figure, {"photo": (None,), "whole": bools, **layouts}),
        "steps save": (steps.save, {"path": paths, "force": (False, True)}),
        "responsible beside": (
            answer.beside, {"photo": (photos[0],), "preprocess": preprocess, "image": (None, 0), **layouts}
        ),
        "bench": (deconvnet.bench, {"net": (net,), "photos": (None, photos[:1], photos[0]), "loaded": (loaded,)}),
        "report": (deconvnet.report, {
            "net": (net,), "photos": (photos[:1], photos[0]), "path": ("r.html",), "loaded": (loaded,),
            "layers": (None, ["1"]), "maps": (1, 2), "page_size": ("10MB",), "force": (True,), "progress": (None,),
        }),
    }  # fmt: skip


def _of_moved_and_covered() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    few, x = probes.Transforms((0, 1), (1, 1.5), (0, 90)), torch.rand(1, 3, 16, 16)
    parts = [probes.Part(name, "eye", 10, 20, 90, 80) for name in ("chelsea", "rocket")]
    moved = probes.invariance(net, x, 0, layers="1", transforms=few)
    return {
        "Transforms": (probes.Transforms, {
            "translations": (None, (), (0, 2)), "scales": (None, (1, 1.2)), "angles": (None, (90,)),
            "direction": ("vertical", "horizontal"), "fill": (0.0, (0.0, 0.1, 0.2)),
        }),
        "invariance": (probes.invariance, {
            "net": (net,), "x": (x,), "target": (None, 0), "layers": (["1"], "1"), "transforms": (few,),
            "preprocess": (None, loaded.preprocess), "names": (None, ["a"]), "batch": (2, 16), "progress": (None,),
        }),
        "invariance curve": (moved.curve, {"kind": ("scale",), "layer": ("1",), "photo": (0,)}),
        "invariance figure": (moved.figure, {"relative": (True, False), "dpi": (40,), "title": ("", "a")}),
        "Part": (probes.Part, {
            "photo": ("a",), "part": ("eye",), "left": (0, 1.5), "top": (0,), "right": (9,), "bottom": (9,),
        }),
        "correspondence": (probes.correspondence, {
            "net": (net,), "photos": (["sample:chelsea", "sample:rocket"],), "parts": (parts,), "loaded": (loaded,),
            "layers": (["1"],), "names": (None, ["chelsea", "rocket"]), "placements": (1, 2), "seed": (0,),
            "progress": (None,),
        }),
    }  # fmt: skip


def _of_photos() -> dict[str, tuple[Callable[..., Any], Usual]]:
    preprocess = Preprocess((16, 16), 18, (0.5,) * 3, (0.25,) * 3)
    folder, box = runs.base() / "photos", Box((0, 0), (4, 4))
    photo = deconvnet.load_photo("sample:chelsea")
    opened = deconvnet.open_photos(folder)
    return {
        "load_photo": (deconvnet.load_photo, {"photo": ("sample:rocket", folder / "1.png", np.zeros((4, 4))),
                                               "value_range": (None, (0, 255)), "channels": (None, 4),
                                               "volume": (False, True)}),
        "Preprocess": (Preprocess, {
            "size": ((16, 16),), "short_side": (None, 18), "mean": ((0.5,) * 3,), "std": ((1.0,) * 3,),
            "channels": (3,), "scale": (1.0, 255.0), "interpolation": ("bilinear", "nearest"),
            "value_range": (None, (0, 255)),
        }),
        "preprocess read": (preprocess.read, {"photo": ("sample:chelsea",)}),
        "images": (preprocess.images, {"photos": (["sample:chelsea"], "sample:rocket")}),
        "box_in_photo": (preprocess.box_in_photo, {"box": (box,), "photo_size": ((300, 451), (5, 5))}),
        "as_seen": (preprocess.as_seen, {"photo": ("sample:chelsea",)}),
        "cut": (photo.cut, {"box": (box,)}),
        "open_photos": (deconvnet.open_photos, {"source": (folder, str(folder), [folder / "1.png"])}),
        "photos name": (opened.name, {"i": (0,)}),
        "photos read": (opened.read, {"i": (0,), "reading": (preprocess.reading,)}),
    }  # fmt: skip


def _of_atlases() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    this = runs.base() / "this"
    atlas = Atlas.open(this / "atlas")
    of_map: Usual = {"layer": ("1", "4"), "channel": (0, 1)}
    build: Usual = {
        "net": (net,), "photos": (runs.base() / "photos",), "layers": ("all", ["1"]), "k": (1, 2), "out": ("atlas",),
        "loaded": (loaded,), "resume": (False, True), "workers": (0,), "limit": (None, 3), "batch": (None, 2),
        "sample": (None,), "seed": (None,),
        "memory": ("1GB",), "keep_signal": (True, False), "progress": (None, print), "trust": (None, probes.twins),
        "trust_samples": (None,),
    }  # fmt: skip
    parts = [this / "part0", this / "part1"]
    return {
        "build_atlas": (deconvnet.build_atlas, build),
        "scan_shard": (deconvnet.scan_shard, {**build, "shard": ((0, 2), (1, 2))}),
        "merge_shards": (deconvnet.merge_shards, {
            "net": (net,), "photos": (runs.base() / "photos",), "shards": (parts,), "out": ("merged",),
            "loaded": (loaded,), "workers": (0,), "resume": (False, True), "progress": (None, print),
            "trust": (None, probes.twins),
        }),
        "Atlas.sheet": (atlas.sheet, {
            "layer": ("1",), "channels": (None, [0]), "arrange": ("grid", "rows"), "dpi": (50,), "columns": (None,),
        }),
        "Atlas.open": (Atlas.open, {"folder": (this / "atlas", str(this / "atlas"))}),
        "top": (atlas.top, of_map),
        "atlas picture": (atlas.picture, of_map),
        "blocks": (atlas.blocks, of_map),
        "stats": (atlas.stats, {"layer": ("1",)}),
        "signals": (atlas.signals, {"layer": ("1",)}),
        "atlas item": (atlas.__getitem__, {"index": (0, "1", ("1", 0), slice(2))}),
        "to_frame": (atlas.to_frame, {"table": ("top", "stats", "skipped"), "layer": (None, "1")}),
        "write_site": (deconvnet.write_site, {
            "atlas": (atlas,), "folder": ("site",), "force": (False, True), "progress": (None, print),
        }),
        "find": (atlas.find, {"image": ("1.png",)}),
    }  # fmt: skip


def _of_learning() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net = learn.AdaptiveDeconvNet.of((2, 2), kernel=3, pool=(2, 2, 2), lam=0.1)
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    codes, learned = net.infer(images, max_iter=3), learn.Learned.open(runs.base() / "this" / "learned")
    solving: Usual = {"solver": ("auto", "fista", "ista"), "tol": (1e-2,), "max_iter": (2,), "steps": (2,)}
    layer, path, photo = {"layer": (None, 1, 2)}, {"path": ("net.safetensors",)}, {"photo": ("sample:chelsea",)}
    contrast = learn.LocalContrastNorm()
    return {
        "AdaptiveDeconvNet.of": (learn.AdaptiveDeconvNet.of, {
            "maps": ((2, 2),), "channels": (1, 3), "kernel": (3, (3, 3)), "pool": (None, (2, 2, 2)), "lam": (0.1,),
            "boundary": ("valid", "zero", "circular"), "target": ("input", "below"), "seed": (0,),
        }),
        "AdaptiveDeconvNet": (learn.AdaptiveDeconvNet, {"layers": ([net.layers[0]],), "boundary": ("valid",)}),
        "DeconvLayer": (learn.DeconvLayer, {
            "channels": (1, 2), "maps": (2,), "kernel": (3,), "pool": (None, (2, 2, 1)), "lam": (0.1,), "p": (1.0, 0.8),
            "nonneg": (False, True), "connectivity": (None,), "generator": (None,),
        }),
        "infer": (net.infer, {"images": (images,), "upto": (None, 1), **solving}),
        "reconstruct": (net.reconstruct, {"codes": (codes,), **layer, "keep": (None, 3)}),
        "geometries": (net.geometries, {"size": ((20, 20),), "upto": (None, 1)}),
        "partial_fit": (learn.partial_fit, {"net": (net,), "images": (images,), **layer, **solving}),
        "fit": (learn.fit, {
            "net": (net,), "loader": ([images],), "epochs": (1, (1, 1)), "update_by": ("online",), **solving,
            "checkpoint": (None, "c.safetensors"), "resume": (False, True), "progress": (None, print),
        }),
        "learn_photos": (learn.learn_photos, {
            "photos": (deconvnet.open_photos(runs.base() / "photos"),), "net": (net,), "out": ("learned",),
            "prepare": (learn.Prepare(24),), "epochs": (1,), "batch": (4,), "limit": (None, 2), "sample": (None,),
            "seed": (0,), **solving, "workers": (0,), "resume": (False, True), "progress": (None, print),
        }),
        "sparse_code": (learn.sparse_code, {
            "images": (images,), "filters": (torch.ones(2, 1, 3, 3) / 3,), "lam": (0.1,),
            "boundary": ("valid", "circular", "zero"), "solver": ("auto", "dr", "fista"), "tol": (1e-2,),
            "max_iter": (3,), "nonneg": (False, True), "start": (None,),
        }),
        "Prepare": (learn.Prepare, {"size": (24,), "channels": (1, 3), "form": ("2011", "2010")}),
        "prepare image": (learned.prepare.image, {"photo": (deconvnet.load_photo("sample:chelsea"),)}),
        "LocalContrastNorm": (learn.LocalContrastNorm, {"form": ("2011",)}),
        "normalise": (contrast.normalise, {"images": (images,)}),
        "Learned.open": (learn.Learned.open, {"folder": (learned.folder,)}),
        "learned images": (learned.images, photo),
        "draw_filters": (learn.draw_filters, {"learned": (learned,), "layer": (1, 2)}),
        "draw_reconstructions": (learn.draw_reconstructions, {"learned": (learned,), **photo, "max_iter": (3,)}),
        "draw_parts": (learn.draw_parts, {"learned": (learned,), **photo, "max_iter": (3,)}),
        "pixel_filters": (learn.pixel_filters, {"net": (net,), **layer}),
        "parts": (learn.parts, {"net": (net,), "codes": (codes,), "image": (0, 1), **layer, "keep": ((2, 2),)}),
        "singles_and_doubles": (learn.singles_and_doubles, {"channels": (2, 3), "maps": (None, 3)}),
        "save_net": (learn.save_net, {"net": (net,), **path, "about": (None, {"x": 1})}),
        "load_net": (learn.load_net, {"path": (learned.folder / "learned.safetensors",)}),
    }  # fmt: skip


def _of_captum_api() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, _ = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    images: Usual = {"inputs": (x, (x,)), "target": (1, [0, 1], torch.tensor([0, 1]))}
    units: Usual = {"inputs": (x, (x,)), "neuron_selector": ((1, 2, 3), (slice(2), 1, 1))}
    return {
        "Deconvolution": (captum_api.Deconvolution(net.model).attribute, images),
        "GuidedBackprop": (captum_api.GuidedBackprop(net.model).attribute, images),
        "NeuronDeconvolution": (captum_api.NeuronDeconvolution(net.model, "1").attribute, units),
        "Captum's Occlusion": (captum_api.Occlusion(net.model).attribute, {
            **images, "sliding_window_shapes": ((3, 4, 4),), "strides": (4, (3, 4, 4)), "baselines": (None, 0.5),
        }),
    }  # fmt: skip


def _of_training() -> dict[str, tuple[Callable[..., Any], Usual]]:
    net, loaded = runs.network()
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    evolution = training.Evolution(net, x, layers={"1": [0, 1]}, folder=runs.base() / "evolution", resume=True)
    evolution.after(1)
    snapshots = evolution.snapshots()
    plots: Usual = {"columns": (None, 1), "dpi": (50,), "title": ("", "a")}
    return {
        "renormalise": (training.renormalise, {
            "model": (torch.nn.Conv2d(3, 4, 3),), "radius": (0.1, 1, {"": 0.2}),
        }),
        "Evolution": (training.Evolution, {
            "model": (net, net.model), "photos": (x, [x]), "folder": ("evolution",),
            "layers": (None, ["1"], {"1": [0]}), "maps": (2,), "seed": (0,), "epochs": (None, (1, 2)),
            "preprocess": (None,), "resume": (False, True),
        }),
        "Evolution photos": (training.Evolution, {
            "model": (net,), "photos": (["sample:chelsea"],), "folder": ("evolution",), "layers": (["1"],),
            "preprocess": (loaded.preprocess,),
        }),
        "after": (evolution.after, {"epoch": (1, 2), "step": (None, 5)}),
        "latest": (evolution.latest, {"before": (None, 2)}),
        "EvolutionCallback": (training.EvolutionCallback, {
            "photos": (x,), "folder": ("evolution",), "module": ("", "net"), "resume": (None, True), "layers": (["1"],),
        }),
        "snapshots item": (snapshots.__getitem__, {"index": (0, slice(1))}),
        "snapshots figure": (snapshots.figure, plots),
        "snapshot figure": (snapshots[0].figure, plots),
        "layer snapshot picture": (snapshots[0].layers[0].picture, {"m": (0, 1)}),
        "convergence figure": (snapshots.convergence.figure, {"dpi": (50,), "title": ("", "a")}),
    }  # fmt: skip
