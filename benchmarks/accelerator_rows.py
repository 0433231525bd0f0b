"""The rows of `accelerator.py`: each a function that measures, after the results of both sides have been compared."""

import copy
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerator_plan import FEW, SCANS
from apart import in_words
from atlas import bare, build_of, read_ahead, scan, whole_atlas
from measure import (
    PREPROCESS,
    accelerator,
    copies_to_cpu,
    crop_files,
    crops,
    difference,
    differences,
    how_windows_move,
    machine,
    median,
    network,
    photo,
    photos,
    tf32,
)
from peers import TenLines, as_graph, captum_class, captum_units, class_lines, ten_lines, up_to
from torch import Tensor, nn

from deconvnet import DeconvNet, DeconvNetWarning, LoadedModel, Reconstruction, costs, open_photos
from deconvnet.learn import AdaptiveDeconvNet, LocalContrastNorm, Solution, fit, sparse_code
from deconvnet.learn.convolve import Boundary

Row = dict[str, Any]
ROUTES = ("auto", "windowed", "dense")
SAME, OTHER_SWITCH = 1e-3, 1e-4  # of the largest value: of half of the units; of one whose picture another maximum made
LAM, ITERATIONS, FILTERS = 0.1, 40, 32


@dataclass(frozen=True)
class Setting:
    """Where and on how much the rows are measured.

    Attributes:
        device: of PyTorch.
        folder: for photos and atlases.
        quick: everything tiny, to see whether it works.
    """

    device: str
    folder: Path
    quick: bool = False

    @property
    def side(self) -> int:
        return 64 if self.quick else 224

    def few(self, number: int, tiny: int) -> int:
        """The number, or the tiny one."""
        return tiny if self.quick else number

    def time(self, run: Callable[[], Any], repeats: int = 7) -> float:
        """Milliseconds; a run of a second is not repeated, for the comparison before it has warmed it up."""
        return 1e3 * median(run, repeats, most=0.0 if self.quick else 1.0, warm=3)


def machine_row(setting: Setting) -> Row:
    """What the figures were taken on."""
    return {
        "machine": machine(),
        "device": accelerator(setting.device),
        "windows": how_windows_move(setting.device),
        "CPU cores": os.cpu_count(),
        "TF32 while accuracy is measured": tf32(),
        "TF32 elsewhere": "off",
    }


def measured(row: Row, column: str, measure: Callable[[], float]) -> None:
    """Fill a column, or say under "left out" why not, so that nothing else of the row is lost."""
    try:
        row[column] = measure()
    except Exception as fault:
        row.setdefault("left out", {})[column] = in_words(fault)


@cache
def _model(setting: Setting, name: str) -> nn.Module:
    return network(name).to(setting.device)


@cache
def _net(setting: Setting, name: str, *, cuda_graphs: bool = False) -> DeconvNet:
    return DeconvNet(_model(setting, name), _photo(setting), cuda_graphs=cuda_graphs)


def as_graphs(setting: Setting, name: str, run: Callable[[DeconvNet], Reconstruction]) -> float:
    """Milliseconds of what a network is asked for, recorded and replayed, after it was compared."""
    net = _net(setting, name, cuda_graphs=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeconvNetWarning)  # which says why it cannot be recorded
        for _ in range(2):
            run(net)
    _check_same(run(net).full(), run(_net(setting, name)).full())
    return setting.time(partial(run, net), 20)


def _photo(setting: Setting) -> Tensor:
    return F.interpolate(photo(), size=(setting.side, setting.side)).to(setting.device)


def _double(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).double()


# Accuracy: against float64, with the flags for TF32 as PyTorch has them


def accuracy_of_units(setting: Setting, name: str, layer: str) -> Row:
    """Units of a layer, beside the ten lines in float64."""
    net, x = _net(setting, name), _photo(setting)
    ours = net.project(x, layer, channel=f"top:{setting.few(FEW, 4)}")
    rows = torch.tensor([(unit.channel, *unit.position) for unit in ours.units], device=x.device)
    truth, lines = (
        TenLines(up_to(model, layer), image, rows, "batched", 8)()
        for model, image in ((_double(net.model), x.double()), (net.model, x))
    )
    return _errors(ours.full(), lines, truth)


def accuracy_of_class(setting: Setting, name: str) -> Row:
    """A class, beside the ten lines in float64."""
    net, x = _net(setting, name), _photo(setting)
    truth = class_lines(_double(net.model), x.double(), 3)()
    return _errors(net.explain(x, 3).full(), class_lines(net.model, x, 3)(), truth)


def accuracy_of_scan(setting: Setting, name: str) -> Row:
    """All that a scan looks at, of a batch of photos, beside the network in float64."""
    net = _net(setting, name)
    x = torch.cat([F.interpolate(x, size=(setting.side, setting.side)) for x in photos(setting.few(8, 2))])
    x = x.to(setting.device)
    double, errors = _double(net.model), []
    for layer, maps in net.activations(x, SCANS[name]).items():
        with torch.no_grad():
            errors.append(differences(maps, up_to(double, layer, rectified=False)(x.double())))
    return _summary(torch.cat(errors))


def accuracy_of_coding(setting: Setting) -> Row:
    """The objective of each image, beside float64's after as many iterations."""
    images, filters = _coding_problem(setting)
    ours, truth = _coded(setting, images, filters), _coded(setting, images.double(), filters.double())
    objectives = [_objective(solution, images, filters) for solution in (ours, truth)]
    return _summary((objectives[0] - objectives[1]).abs() / objectives[1])


def _errors(ours: Tensor, lines: Tensor, truth: Tensor) -> Row:
    return {**_summary(differences(ours, truth)), "ten lines, largest": differences(lines, truth).max().item()}


def _summary(errors: Tensor) -> Row:
    return {"number": len(errors), "median": errors.median().item(), "largest": errors.max().item()}


# A class of one photo


def classes(setting: Setting, name: str, aim: float) -> Row:
    """One class: ours and the ten lines, both as CUDA graphs too, and Captum."""
    net, x, target = _net(setting, name), _photo(setting), 3
    ours, lines = partial(net.explain, x, target), class_lines(net.model, x, target)
    picture = lines()
    _check_same_class(net, x, target)
    row: Row = {"network": name, "aim": aim, "forward ms": setting.time(lambda: _no_grad(net.model, x), 20)}
    row["ours ms"], row["ten lines ms"] = setting.time(ours, 20), setting.time(lines, 20)
    row["ratio"] = row["ours ms"] / row["ten lines ms"]
    if x.is_cuda:
        measured(row, "ours, graphs ms", lambda: as_graphs(setting, name, lambda net: net.explain(x, target)))
        measured(row, "ten lines, graph ms", lambda: _lines_as_graph(setting, lines, picture))
    captum = captum_class(net.model, x, target)
    if captum is not None:
        row["Captum's picture"] = "the same" if difference(captum(), picture) < SAME else "another"
        measured(row, "Captum ms", lambda: setting.time(captum))
    return row


def _lines_as_graph(setting: Setting, lines: Callable[[], Tensor], picture: Tensor) -> float:
    replay, of_graph = as_graph(lines)
    replay()
    _check_same(of_graph, picture)
    return setting.time(replay, 20)


def _check_same_class(net: DeconvNet, x: Tensor, target: int) -> None:
    """In float64, for a single picture is another one where one switch differs."""
    model, x = copy.deepcopy(net.model).double(), x.double()
    _check_same(DeconvNet(model, x).explain(x, target).full(), class_lines(model, x, target)())


def _no_grad(model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        model(x)


def _check_same(ours: Tensor, theirs: Tensor) -> int:
    """How many pictures another switch made; raises where it is not a few."""
    errors = differences(ours, theirs)
    if not errors.median() < SAME:
        raise ValueError(f"not the same pictures: they differ by {errors.median():.1e} in the median")
    return int((errors > OTHER_SWITCH).sum())


# Units of a layer


def units(setting: Setting, name: str, layer: str, count: int, aim: float) -> Row:
    """Units of one photo: each route of ours, the ten lines, and a loop over Captum, timed on four and multiplied."""
    net, x = _net(setting, name), _photo(setting)
    count = setting.few(count, 6)
    runs = {route: partial(net.project, x, layer, channel=f"top:{count}", route=route) for route in ROUTES}
    listed = runs["dense"]().units
    lines = ten_lines(net.model, layer, x, listed)
    truth = lines()
    row: Row = {
        "network": name,
        "layer": layer,
        "units": count,
        "aim": aim,
        "forward ms": setting.time(lambda: net.activations(x, layer)),
        "ten lines ms": setting.time(lines),
        "ten lines": f"{lines.way}, {lines.chunk}",
        "in windows": _in_windows(net, layer),
        "other switch": 0,
    }
    for route, run in runs.items():
        measured(row, f"{route} ms", partial(_route, setting, row, run, truth))
    if x.is_cuda:
        asked = {"channel": f"top:{count}"}
        measured(row, "auto, graphs ms", lambda: as_graphs(setting, name, lambda net: net.project(x, layer, **asked)))
    captum = captum_units(net.model, layer, x, listed[:4])
    if captum is not None:
        measured(row, "Captum ms", lambda: setting.time(captum) * count / len(listed[:4]))
    return row | _ratios(row)


def _route(setting: Setting, row: Row, run: Callable[[], Reconstruction], truth: Tensor) -> float:
    row["other switch"] = max(row["other switch"], _check_same(run().full(), truth))
    return setting.time(run)


def _ratios(row: Row) -> Row:
    """How the times of a row are to each other, as far as these were measured."""
    if "auto ms" not in row:
        return {}
    best = min(row[f"{route} ms"] for route in ROUTES if f"{route} ms" in row)
    captum = {"Captum ratio": row["Captum ms"] / row["auto ms"]} if "Captum ms" in row else {}
    return {"ratio": row["ten lines ms"] / row["auto ms"], "auto beside best": row["auto ms"] / best, **captum}


def _in_windows(net: DeconvNet, layer: str) -> str:
    """How many of how many steps `auto` takes in windows, as `costs` says it."""
    match = re.search(r"\d+ of \d+(?= steps in windows)", str(costs(net, layer)))
    return match.group() if match else "none"


# Sparse coding


def coding(setting: Setting) -> Row:
    """Sparse coding of some images at once: time for each, its objective, and what goes to the CPU in an iteration."""
    images, filters = _coding_problem(setting)
    run = partial(_coded, setting, images, filters)
    solution = run()
    truth = _objective(_coded(setting, images.double(), filters.double()), images, filters).sum()
    iterations = setting.few(ITERATIONS, 4)
    copies, fewer = (
        copies_to_cpu(partial(_coded, setting, images, filters, number)) for number in (iterations, iterations // 2)
    )
    arrays = (solution.codes, images, filters)
    return {
        "images": len(images),
        "ms an image": setting.time(run) / len(images),
        "aim": 2,
        "arrays once, ms an image": setting.time(lambda: [array.clone() for array in arrays]) / len(images),
        "objective beside float64's": float(_objective(solution, images, filters).sum() / truth - 1),
        "copies to the CPU in an iteration": (copies - fewer) / (iterations - iterations // 2),
    }


def _coding_problem(setting: Setting) -> tuple[Tensor, Tensor]:
    side, count = setting.few(256, 32), setting.few(16, 2)
    grey = [torch.from_numpy(crop.copy()).float().mean(2)[:side, :side] / 255 for crop in crops(count)]
    images = LocalContrastNorm()(torch.stack(grey)[:, None])
    random = torch.Generator().manual_seed(0)
    filters = torch.randn(FILTERS, 1, 8, 8, generator=random)
    filters /= filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return images.to(setting.device), filters.to(setting.device)


def _coded(setting: Setting, images: Tensor, filters: Tensor, iterations: int | None = None) -> Solution:
    iterations = setting.few(ITERATIONS, 4) if iterations is None else iterations
    return sparse_code(images, filters, LAM, tol=0, max_iter=iterations)


def _objective(solution: Solution, images: Tensor, filters: Tensor) -> Tensor:
    """(n,) in float64, by Fourier transforms: the boundary is circular."""
    codes, size = solution.codes.double(), tuple(images.shape[2:])
    spectra = torch.fft.rfft2(codes) * torch.fft.rfft2(filters[:, 0].double(), s=size)
    residual = images[:, 0].double() - torch.fft.irfft2(spectra.sum(1), s=size)
    return 0.5 * residual.square().sum((1, 2)) + LAM * codes.abs().sum((1, 2, 3))


def learning(setting: Setting, boundary: Boundary) -> Row:
    """Updates of the filters of a layer by `fit`: time for each, and what goes to the CPU in one."""
    side, count, few = setting.few(150, 24), setting.few(16, 2), setting.few(4, 2)
    random = torch.Generator().manual_seed(0)
    batches = [torch.randn(few, 1, side, side, generator=random).to(setting.device) for _ in range(2 * count)]
    net = AdaptiveDeconvNet.of([setting.few(32, 3)], kernel=7, pool=None, boundary=boundary).to(setting.device)
    run = partial(fit, net, max_iter=setting.few(30, 3))
    copies, fewer = (copies_to_cpu(partial(run, batches[:number])) for number in (2 * count, count))
    return {
        "boundary": boundary,
        "images": few,
        "ms an update": setting.time(partial(run, batches[:count])) / count,
        "batch once, ms": setting.time(batches[0].clone),
        "copies to the CPU in an update": (copies - fewer) / count,
    }


# The atlas


def _loaded(setting: Setting, name: str) -> LoadedModel:
    size = (setting.side, setting.side)
    prepare = replace(PREPROCESS, short_side=setting.few(256, 72), size=size)
    return LoadedModel(_model(setting, name), prepare, device=torch.device(setting.device))


def _photo_files(setting: Setting) -> Any:
    """JPEG files of 300x400, as photos of data sets are, written once."""
    folder, done = setting.folder / "photos", setting.folder / "photos.done"
    if not done.exists():
        folder.mkdir(exist_ok=True)
        crop_files(folder, setting.few(1200, 6), (300, 400))
        done.touch()
    return open_photos(folder)


def atlas(setting: Setting, name: str, workers: int) -> Row:
    """All of an atlas, and how long each of its stages took."""
    count = setting.few(1000, 6)
    build = partial(whole_atlas, _net(setting, name), _loaded(setting, name), _photo_files(setting), SCANS[name])
    with tempfile.TemporaryDirectory(dir=setting.folder) as out:
        build(Path(out) / "warm", k=1, limit=setting.few(32, 2))
        _, stages = build(Path(out) / "atlas", k=setting.few(9, 1), limit=count, workers=workers)
    return {
        "network": name,
        "layers": ", ".join(SCANS[name]),
        "photos": count,
        "workers": workers,
        "aim": 9.8,
        "s": sum(stages.values()),
        **{f"{stage} s": taken for stage, taken in stages.items()},
    }


def scans(setting: Setting, name: str, workers: int) -> Row:
    """The scan's photos a second, beside a bare loop that decodes as many at a time, or 64, whichever is faster."""
    net, loaded = _net(setting, name), _loaded(setting, name)
    count = setting.few({0: 160, 8: 800, 15: 1200}.get(workers, 800), 6)
    source = _photo_files(setting)
    forward = up_to(loaded.model, SCANS[name][-1], rectified=False)
    scan(build_of(net, loaded, source, SCANS[name], limit=setting.few(32, 2)))
    build = build_of(net, loaded, source, SCANS[name], limit=count, workers=workers)
    ahead = partial(read_ahead, pinned=setting.device.startswith("cuda"))
    loops = {
        batch: count / bare(ahead(source, range(count), loaded.preprocess, batch, workers), forward, setting.device)
        for batch in dict.fromkeys((build.batch, setting.few(64, 3)))
    }
    ours = count / scan(build)
    best = max(loops, key=lambda batch: loops[batch])
    return {
        "network": name,
        "workers": workers,
        "photos": count,
        "batch": build.batch,
        "scan, photos a second": ours,
        "bare loop, photos a second": loops[best],
        "bare loop's batch": best,
        "ratio": ours / loops[best],
        "aim": 0.9,
    }
