"""What every benchmark needs: networks, photos, medians, and words for the machine."""

import math
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from skimage import data
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import Preprocess
from deconvnet.windows.kernels import method_on

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
    "GoogLeNet, batch norm": lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False),
}

OTHER_SWITCHES = 0.2
"""Of the largest value: what a picture may differ in float32 where rounding decides between maxima. More is a fault."""


def network(name: str, folder: Path | None = None) -> nn.Module:
    """A network in eval, with weights from `folder` where it has some, else random ones and statistics that fit."""
    torch.manual_seed(0)
    model = MODELS[name]().eval().requires_grad_(False)
    if folder is not None and name in WEIGHTS:
        model.load_state_dict({k: w.float() for k, w in load_file(folder / "weights" / WEIGHTS[name]).items()},
                              strict=False)  # fmt: skip
    else:
        fit_statistics(model)
    return model


def fit_statistics(model: nn.Module) -> None:
    """Give every batch norm the statistics of a few photos: with those it is made with, random weights explode."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = None  # plain means
    with torch.no_grad():
        model(torch.cat(list(photos(8))))
    for norm, momentum in zip(norms, before, strict=True):
        norm.eval()
        norm.momentum = momentum


def photo(folder: Path | None = None) -> Tensor:
    """One photo, (1, 3, 224, 224)."""
    return PREPROCESS.images([next(iter(sorted(folder.glob("imagenet1000/*.jpg")))) if folder else data.astronaut()])


def photos(count: int, folder: Path | None = None) -> Iterator[Tensor]:
    """Photos of a folder, or as many different crops of scikit-image's; (1, 3, 224, 224) each."""
    if folder is not None:
        yield from (PREPROCESS.images([path]) for path in sorted(folder.glob("imagenet1000/*.jpg"))[:count])
        return
    yield from (PREPROCESS.images([crop]) for crop in crops(count))


def crops(count: int, size: tuple[int, int] = (256, 256)) -> Iterator[np.ndarray]:
    """As many different crops of scikit-image's photos, of this height and width."""
    random = torch.Generator().manual_seed(0)
    images = [image() for image in (data.astronaut, data.chelsea, data.coffee, data.rocket)]
    for i in range(count):
        image = images[i % len(images)]
        top, left = (
            int(torch.randint(0, length - cut + 1, (), generator=random))
            for length, cut in zip(image.shape[:2], size, strict=True)
        )
        yield image[top : top + size[0], left : left + size[1]]


def crop_files(folder: Path, count: int, size: tuple[int, int] = (256, 256)) -> Path:
    """The same as JPEG files in a folder."""
    for i, crop in enumerate(crops(count, size)):
        Image.fromarray(crop).save(folder / f"{i:05}.jpg", quality=92)
    return folder


def wait() -> None:
    """Wait until an accelerator has done what it was given: a call returns before that."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def seconds(run: Callable[[], Any]) -> float:
    """What one run takes, all of its work on an accelerator included."""
    wait()
    began = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - began


def median(run: Callable[[], Any], repeats: int = 5, *, most: float = math.inf, warm: int = 1) -> float:
    """The median of several runs in seconds.

    Args:
        run: what is measured.
        repeats: how many runs at most; one at least.
        most: begin no further run once they have taken so many seconds together.
        warm: runs before, which are not counted; but one that takes longer than `most` is the only one.
    """
    for _ in range(warm):
        taken = seconds(run)
        if taken > most:
            return taken
    times = [seconds(run)]
    while len(times) < repeats and sum(times) < most:
        times.append(seconds(run))
    return statistics.median(times)


def difference(a: Tensor, b: Tensor) -> float:
    """`max|a - b| / max|b|`, in the type of b and where it is."""
    return float((a.to(b) - b).abs().max() / b.abs().max())


def differences(a: Tensor, b: Tensor) -> Tensor:
    """The same for each row: (n,)."""
    return (a.to(b) - b).abs().flatten(1).amax(1) / b.abs().flatten(1).amax(1)


def machine() -> str:
    """Processor, threads and versions."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}; {torch.get_num_threads()} thread(s); Python {platform.python_version()}, torch {torch.__version__}"


def accelerator(device: str) -> str:
    """The accelerator, and what its figures depend on."""
    if not device.startswith("cuda"):
        return device
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = "unknown"
    free, memory = (amount / 1e9 for amount in torch.cuda.mem_get_info(device))
    return (
        f"{torch.cuda.get_device_name(device)}, {free:.0f} of {memory:.0f} GB free; CUDA "
        f"{torch.version.cuda or torch.version.hip}, driver {driver}, cuDNN {torch.backends.cudnn.version()}"
    )


def how_windows_move(device: str) -> str:
    """By which kernels, and why not by our own: without a C compiler all is slower, and the results are the same."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        method = method_on(torch.device(device))
    return ": ".join([method, *(str(warning.message) for warning in told)])


def tf32() -> str:
    """Whether products of float32 may be rounded to TF32, in PyTorch's words: "none" leaves it off."""
    convolutions, products = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    return f"convolutions {convolutions}, matrix products {products}"


class _CopiesToCpu(TorchDispatchMode):
    """Counts what the CPU waits for: single values that it reads, and tensors that are copied to it."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name == "_local_scalar_dense":
            self.count += 1
        elif isinstance(result, Tensor) and name in ("_to_copy", "copy_"):
            sources = [tensor for tensor in args if isinstance(tensor, Tensor)]
            self.count += result.device.type == "cpu" != sources[-1].device.type
        return result


def copies_to_cpu(run: Callable[[], Any]) -> int:
    with _CopiesToCpu() as counter:
        run()
    return counter.count


def table(header: list[str], rows: Iterator[list[str]]) -> None:
    """Print a Markdown table, each row as soon as it is measured."""
    for row in (header, ["---"] * len(header)):
        print("|", " | ".join(row), "|", flush=True)
    for row in rows:
        print("|", " | ".join(row), "|", flush=True)
