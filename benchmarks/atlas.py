"""The atlas: the scan beside a bare loop, the whole beside a loop over Captum, and how both grow.

    python benchmarks/atlas.py                     # random weights, crops of scikit-image's photos
    python benchmarks/atlas.py --data FOLDER       # weights and photos of a folder
    python benchmarks/atlas.py --data FOLDER --whole 1000   # VGG-16 features.22, beside Captum; long
    python benchmarks/atlas.py --workers 0 1 2              # photos a second, here and on Ray

The bare loop is what a user writes: decode, preprocess, run the same layers at the same batch size. Captum's side of
the whole is that loop, with `NeuronDeconvolution` on batches of nine for some of the maps, multiplied.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from captum.attr import NeuronDeconvolution
from measure import PREPROCESS, machine, network, table
from PIL import Image
from skimage import data
from torch import nn

from deconvnet import DeconvNet, LoadedModel, load_model, open_photos
from deconvnet._folders import held
from deconvnet.atlas.build import build_atlas, scan_photos
from deconvnet.atlas.options import MOST_AT_ONCE as BATCH
from deconvnet.atlas.options import prepare
from deconvnet.atlas.store import NAMES
from deconvnet.atlas.unfinished import Unfinished
from deconvnet.engine.layers import rectifiers
from deconvnet.network import attached

MAPS = 20


def crops(folder: Path, count: int) -> Path:
    """As many different JPEG files, cut from scikit-image's photos."""
    random = torch.Generator().manual_seed(0)
    images = [Image.fromarray(image()) for image in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    for i in range(count):
        image = images[i % 4]
        left, top = (int(torch.randint(0, length - 256, (), generator=random)) for length in image.size)
        image.crop((left, top, left + 256, top + 256)).save(folder / f"{i:05}.jpg", quality=92)
    return folder


def bare(photos: Any, count: int, loaded: LoadedModel, layers: nn.Module) -> float:
    """Seconds for a loop that decodes, preprocesses and runs some layers."""
    began = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, count, BATCH):
            read = [photos.read(i) for i in range(first, min(first + BATCH, count))]
            layers(loaded.preprocess.images(read))
    return time.perf_counter() - began


def scan(net: DeconvNet, loaded: LoadedModel, photos: Any, layers: Sequence[str], **options: Any) -> float:
    """Seconds for the scan."""
    build = prepare(attached(net), photos, layers, 9, loaded, {"batch": BATCH, **options})
    with tempfile.TemporaryDirectory() as folder, held(Path(folder), NAMES) as held_folder:
        Unfinished(Path(folder)).start(held_folder, build.key(), resume=False)
        began = time.perf_counter()
        scan_photos(build, held_folder, range(build.count))
        return time.perf_counter() - began


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
            for _ in range(3):
                loops.append(bare(photos, count, loaded, part))
                ours.append(scan(net, loaded, photos, layers, workers=workers, limit=count))
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
                seconds = scan(
                    net, loaded, repeated, rectifiers(attached(net).own_graph()), workers=number, engine=engine
                )
                yield [engine, str(number), f"{seconds:.1f}", f"{count / seconds:.0f}"]


def whole(folder: Path | None, photos: Any, count: int) -> Iterator[list[str]]:
    """VGG-16's features.22: the whole atlas, beside the loop that a user of Captum writes."""
    loaded = LoadedModel(network("VGG-16", folder), PREPROCESS)
    net = DeconvNet(loaded.model, loaded.example_input)
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        atlas = build_atlas(
            net, photos, ["features.22"], out=Path(out) / "atlas", loaded=loaded, workers=1, limit=count
        )
        ours = time.perf_counter() - began
        tops = [atlas.top("features.22", channel) for channel in range(0, 512, 512 // MAPS)][:MAPS]
    forward = bare(photos, min(count, 8 * BATCH), loaded, loaded.model.features[:23]) * count / min(count, 8 * BATCH)
    peer = NeuronDeconvolution(loaded.model, loaded.model.features[22])
    began = time.perf_counter()
    for channel, top in zip(range(0, 512, 512 // MAPS), tops, strict=False):
        for activation in top:
            x = loaded.preprocess.images(photos.read(activation.index))
            peer.attribute(x, (channel, *activation.position))
    captum = forward + (time.perf_counter() - began) * 512 / MAPS
    yield ["VGG-16", "features.22", str(count), f"{ours:.0f}", f"{captum:.0f}", f"{captum / ours:.1f}"]


def growth(photos: Any, counts: Sequence[int]) -> Iterator[list[str]]:
    """Time for each photo and peak memory, at several numbers of photos."""
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    for count in counts:
        repeated = open_photos(Repeated(photos, count))
        with tempfile.TemporaryDirectory() as out:
            began = time.perf_counter()
            build_atlas(net, repeated, ["relu5"], out=Path(out) / "atlas", loaded=loaded, workers=1)
            seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield [str(count), f"{1e3 * seconds / count:.2f}", f"{peak:.0f}"]


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
    parser.add_argument("--whole", type=int, help="photos of the whole atlas, beside Captum")
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="numbers of workers, such as 0 1 2")
    parser.add_argument("--growth", type=int, nargs="*", default=[], help="numbers of photos, such as 1000 10000")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        need = max(given.photos, given.whole or 0)
        photos = open_photos(given.data / "imagenet1000" if given.data else crops(Path(folder), need))
        print(machine())
        if given.whole:
            table(["network", "layer", "photos", "atlas s", "Captum s", "times faster"],
                  whole(given.data, photos, given.whole))  # fmt: skip
        elif given.workers:
            table(["engine", "workers", "s", "photos a second"], workers(photos, given.photos, given.workers))
        elif given.growth:
            table(["photos", "ms a photo", "peak MB"], growth(photos, given.growth))
        else:
            table(["network", "layers", "workers", "bare loop s", "scan s", "ratio"],
                  scans(given.data, photos, given.photos))  # fmt: skip


if __name__ == "__main__":
    main()
