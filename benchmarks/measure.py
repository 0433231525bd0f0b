"""What every benchmark needs: networks, photos, medians, and words for the machine."""

import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from skimage import data
from torch import Tensor, nn

from deconvnet import Preprocess

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from googlenet import googlenet

PREPROCESS = Preprocess(short_side=256, size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
WEIGHTS = {
    "SqueezeNet 1.1": "squeezenet1_1_caffe.fp16.safetensors",
    "GoogLeNet": "bvlc_googlenet.fp16.safetensors",
    "VGG-16": "vgg16_features_detecttumor.fp16.safetensors",
}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "AlexNet": torchvision.models.alexnet,
    "VGG-16": torchvision.models.vgg16,
    "ResNet-50": torchvision.models.resnet50,
    "SqueezeNet 1.1": torchvision.models.squeezenet1_1,
    "GoogLeNet": lambda: googlenet(nn.ReLU()),
}


def network(name: str, folder: Path | None) -> nn.Module:
    """A network in eval, with weights from `folder` where it has some, else random ones."""
    torch.manual_seed(0)
    model = MODELS[name]().eval().requires_grad_(False)
    if folder is not None and name in WEIGHTS:
        model.load_state_dict({k: w.float() for k, w in load_file(folder / "weights" / WEIGHTS[name]).items()},
                              strict=False)  # fmt: skip
    return model


def photo(folder: Path | None = None) -> Tensor:
    """One photo, (1, 3, 224, 224)."""
    return PREPROCESS.images([next(iter(sorted(folder.glob("imagenet1000/*.jpg")))) if folder else data.astronaut()])


def photos(count: int, folder: Path | None) -> Iterator[Tensor]:
    """Photos of a folder, or as many different crops of scikit-image's; (1, 3, 224, 224) each."""
    if folder is not None:
        yield from (PREPROCESS.images([path]) for path in sorted(folder.glob("imagenet1000/*.jpg"))[:count])
        return
    random = torch.Generator().manual_seed(0)
    images = [torch.from_numpy(image()) for image in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    for i in range(count):
        image = images[i % len(images)]
        top, left = (int(torch.randint(0, size - 256, (), generator=random)) for size in image.shape[:2])
        yield PREPROCESS.images([image[top : top + 256, left : left + 256].numpy()])


def median(run: Callable[[], Any], repeats: int = 5) -> float:
    """The median of several runs in seconds, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def difference(a: Tensor, b: Tensor) -> float:
    """`max|a - b| / max|b|`."""
    return float((a - b).abs().max() / b.abs().max())


def machine() -> str:
    """Processor, threads and versions."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}; {torch.get_num_threads()} thread(s); Python {platform.python_version()}, torch {torch.__version__}"


def table(header: list[str], rows: Iterator[list[str]]) -> None:
    """Print a Markdown table, each row as soon as it is measured."""
    for row in (header, ["---"] * len(header)):
        print("|", " | ".join(row), "|", flush=True)
    for row in rows:
        print("|", " | ".join(row), "|", flush=True)
