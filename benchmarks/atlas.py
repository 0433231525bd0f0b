"""The atlas: the scan beside a bare loop, the whole beside the loops that users write, and how both grow.

    python benchmarks/atlas.py                     # random weights, crops of scikit-image's photos
    python benchmarks/atlas.py --data FOLDER       # weights and photos of a folder
    python benchmarks/atlas.py --data FOLDER --whole 1000   # VGG-16 features.22, beside both peers; long
    python benchmarks/atlas.py --workers 0 1 2              # photos a second, here and on Ray

The bare loop is what a user writes: decode, preprocess, run the same layers, with as many workers of a `DataLoader`.
Both peers' side of the whole is that loop, with Captum's `NeuronDeconvolution` one by one, or the ten lines on the nine
photos of a map at once, for some of the maps, multiplied.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import PREPROCESS, crop_files, machine, network, seconds, table, wait
from peers import captum_units, carried, up_to
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deconvnet import Atlas, DeconvNet, LoadedModel, Preprocess, Unit, load_model, open_photos
from deconvnet._folders import held
from deconvnet.atlas.build import build_atlas, scan_photos
from deconvnet.atlas.options import MOST_AT_ONCE as BATCH
from deconvnet.atlas.options import Build, prepare
from deconvnet.atlas.store import NAMES
from deconvnet.atlas.unfinished import Unfinished
from deconvnet.engine.layers import rectifiers
from deconvnet.network import attached

MAPS = 20


class Prepared(Dataset[Tensor]):
    """Some photos of a set, each as the network takes it."""

    def __init__(self, photos: Any, indices: Sequence[int], prepare: Preprocess) -> None:
        self.photos, self.indices, self.prepare = photos, indices, prepare

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Tensor:
        return self.prepare.images(self.photos.read(self.indices[i]))[0]


def read_ahead(
    photos: Any, indices: Sequence[int], prepare: Preprocess, batch: int, workers: int, *, pinned: bool = False
) -> Iterable[Tensor]:
    """Batches of photos, decoded and preprocessed by workers, or here where there are none."""
    return DataLoader(Prepared(photos, indices, prepare), batch, num_workers=workers, pin_memory=pinned)


def bare(batches: Iterable[Tensor], forward: Callable[[Tensor], Tensor], device: str = "cpu") -> float:
    """Seconds for a loop that reads batches and runs some layers."""

    def run() -> None:
        with torch.inference_mode():
            for x in batches:
                forward(x.to(device, non_blocking=True))

    return seconds(run)


def build_of(net: DeconvNet, loaded: LoadedModel, photos: Any, layers: Sequence[str], **options: Any) -> Build:
    """An atlas that is to be scanned."""
    return prepare(net, photos, layers, 9, loaded, options)  # type: ignore[arg-type]


def scan(build: Build) -> float:
    """Seconds for the scan."""
    with tempfile.TemporaryDirectory() as folder, held(Path(folder), NAMES) as held_folder:
        Unfinished(Path(folder)).start(held_folder, build.key(), resume=False)
        return seconds(lambda: scan_photos(build, held_folder, build.pick.indices(len(build.photos))))


def whole_atlas(
    net: DeconvNet, loaded: LoadedModel, photos: Any, layers: Sequence[str], out: Path, **options: Any
) -> tuple[Atlas, dict[str, float]]:
    """All of an atlas, and the seconds of each of its stages, the first of which begins with the call."""
    marks: dict[str, float] = {}

    def progress(stage: str, done: int, of: int, failed: int) -> None:
        if stage not in marks:
            wait()
            marks[stage] = time.perf_counter()

    began = time.perf_counter()
    atlas = build_atlas(net, photos, layers, out=out, loaded=loaded, progress=progress, **options)
    wait()
    ends = [*list(marks.values())[1:], time.perf_counter()]
    begins = [began, *ends]
    return atlas, {stage: end - begin for stage, begin, end in zip(marks, begins, ends, strict=False)}


def scans(folder: Path | None, photos: Any, count: int) -> Iterator[list[str]]:
    """The scan of all rectifiers below the last pooling, beside the bare loop."""
    squeezenet, mini = LoadedModel(network("SqueezeNet 1.1", folder), PREPROCESS), load_model("zfnet-mini")
    for name, loaded, part in (
        ("SqueezeNet 1.1", squeezenet, squeezenet.model.features),
        ("zfnet-mini", mini, mini.model[:12]),
    ):
        net = DeconvNet(loaded.model, loaded.example_input)
        inside, modules = {id(module) for module in part.modules()}, dict(loaded.model.named_modules())
        layers = [name for name in rectifiers(attached(net).own_graph()) if id(modules[name]) in inside]
        for workers in (0, 1):
            loops, ours = [], []
            build = build_of(net, loaded, photos, layers, workers=workers, limit=count, batch=BATCH)
            for _ in range(3):
                loops.append(bare(read_ahead(photos, range(count), loaded.preprocess, BATCH, workers), part))
                ours.append(scan(build))
            loop, our = sorted(loops)[1], sorted(ours)[1]
            yield [name, str(len(layers)), str(workers), f"{loop:.1f}", f"{our:.1f}", f"{our / loop:.2f}"]


def workers(photos: Any, count: int, numbers: Sequence[int]) -> Iterator[list[str]]:
    """Photos a second that zfnet-mini's scan takes, by workers that read photos here, or run the network on Ray."""
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    repeated = open_photos(Repeated(photos, count))
    for engine in ("local", "ray"):
        for number in numbers:
            if engine == "local" or number:
                layers = rectifiers(attached(net).own_graph())
                taken = scan(build_of(net, loaded, repeated, layers, workers=number, engine=engine, batch=BATCH))
                yield [engine, str(number), f"{taken:.1f}", f"{count / taken:.0f}"]


def whole(folder: Path | None, photos: Any, count: int) -> Iterator[list[str]]:
    """VGG-16's features.22: the whole atlas, beside the loops that users of Captum and of PyTorch write."""
    loaded, layer = LoadedModel(network("VGG-16", folder), PREPROCESS), "features.22"
    net = DeconvNet(loaded.model, loaded.example_input)
    with tempfile.TemporaryDirectory() as out:
        atlas, stages = whole_atlas(net, loaded, photos, [layer], Path(out) / "atlas", workers=1, limit=count)
        channels = range(0, 512, 512 // MAPS)[:MAPS]
        tops = {channel: [(top.index, top.position) for top in atlas.top(layer, channel)] for channel in channels}
        tops = {channel: top for channel, top in tops.items() if top}  # a map may be dead
    ours, forward, few = sum(stages.values()), up_to(loaded.model, layer), min(count, 8 * BATCH)
    scanned = count / few * bare(read_ahead(photos, range(few), loaded.preprocess, BATCH, 1), forward)

    def images(top: list[tuple[int, Any]]) -> Tensor:
        return loaded.preprocess.images([photos.read(index) for index, _ in top])

    def lines() -> None:
        for channel, top in tops.items():
            carried(forward, images(top), torch.tensor([(channel, *position) for _, position in top]))

    def one_by_one() -> None:
        for channel, top in tops.items():
            for index, position in top:
                captum_units(loaded.model, layer, images([(index, position)]), [Unit(layer, channel, position, 0)])()

    peers = [scanned + seconds(run) * 512 / MAPS for run in (lines, one_by_one)]
    yield ["VGG-16", layer, str(count), *(f"{taken:.0f}" for taken in (ours, *peers)),
           *(f"{taken / ours:.1f}" for taken in peers)]  # fmt: skip


def growth(photos: Any, counts: Sequence[int]) -> Iterator[list[str]]:
    """Time for each photo and peak memory, at several numbers of photos."""
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    for count in counts:
        repeated = open_photos(Repeated(photos, count))
        with tempfile.TemporaryDirectory() as out:
            _, stages = whole_atlas(net, loaded, repeated, ["relu5"], Path(out) / "atlas", workers=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield [str(count), f"{1e3 * sum(stages.values()) / count:.2f}", f"{peak:.0f}"]


class Repeated:
    """Photos over and over, as many as are asked for."""

    def __init__(self, photos: Any, count: int) -> None:
        self.photos, self.count = photos, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        return self.photos.read(i % len(self.photos))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with weights/ and imagenet1000/")
    parser.add_argument("--photos", type=int, default=256, help="photos of the scan")
    parser.add_argument("--whole", type=int, help="photos of the whole atlas, beside both peers")
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="numbers of workers, such as 0 1 2")
    parser.add_argument("--growth", type=int, nargs="*", default=[], help="numbers of photos, such as 1000 10000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        need = max(given.photos, given.whole or 0)
        photos = open_photos(given.data / "imagenet1000" if given.data else crop_files(Path(folder), need))
        print(machine())
        if given.whole:
            header = ["network", "layer", "photos", "atlas s", "ten lines s", "Captum s",
                      "times faster than the ten lines", "than Captum"]  # fmt: skip
            table(header, whole(given.data, photos, given.whole))
        elif given.workers:
            table(["engine", "workers", "s", "photos a second"], workers(photos, given.photos, given.workers))
        elif given.growth:
            table(["photos", "ms a photo", "peak MB"], growth(photos, given.growth))
        else:
            table(["network", "layers", "workers", "bare loop s", "scan s", "ratio"],
                  scans(given.data, photos, given.photos))  # fmt: skip


if __name__ == "__main__":
    main()
