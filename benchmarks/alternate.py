"""Two versions of the package side by side: the same work in alternating processes, and the ratio of their times.

    python benchmarks/alternate.py OLD/src NEW/src [--pairs 9] [--only WORDS]

Each process imports the package from one of the folders, does every work once to warm up and once more by the clock,
with one thread. Printed are the medians, and of the ratios new/old of the pairs the median and its interval: the
second smallest and the second largest of nine, between which the true median lies with 96 % confidence. A version
is slower where the interval lies above 1.03.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WORK = """
import json, sys, time, warnings
from pathlib import Path
from tempfile import TemporaryDirectory
import torch
from deconvnet import DeconvNet, build_atlas, load_model
from deconvnet import learn
warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.manual_seed(0)
random = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

def net_of(spec, **options):
    loaded = load_model(spec, **options)
    return loaded, DeconvNet(loaded.model, loaded.example_input), loaded.preprocess.images("sample:chelsea")

def vgg(layer, units):
    _, net, x = net_of("torchvision:vgg16@random", size=224, **random)
    return lambda: net.project(x, layer, channel=f"top:{units}")

def squeezenet(layer, units):
    _, net, x = net_of("torchvision:squeezenet1_1@random", size=224, **random)
    return lambda: net.project(x, layer, channel=f"top:{units}")

def one_class(spec):
    _, net, x = net_of(spec, size=224, **random)
    return lambda: net.explain(x)

def many_images():
    loaded, net, x = net_of("zfnet-mini")
    x = x.expand(16, -1, -1, -1).contiguous()
    return lambda: net.project(x, "relu3", channel="top:8")

def capture():
    loaded = load_model("torchvision:squeezenet1_1@random", size=224, **random)
    return lambda: DeconvNet(loaded.model, loaded.example_input)

def look_again():
    _, net, x = net_of("torchvision:resnet50@random", size=64, **random)
    return lambda: [net.activations(x, "layer1") for _ in range(10)]

def atlas():
    loaded, net, _ = net_of("zfnet-mini")
    photos = ["sample:astronaut", "sample:chelsea", "sample:coffee", "sample:rocket"] * 6
    def build():
        with TemporaryDirectory() as folder:
            build_atlas(net, photos, ["relu2", "relu4"], 4, out=Path(folder) / "atlas", loaded=loaded)
    return build

WORKS = {
    "VGG-16 features.15, 32 units": lambda: vgg("features.15", 32),
    "VGG-16 features.29, 8 units": lambda: vgg("features.29", 8),
    "SqueezeNet features.12, 32 units": lambda: squeezenet("features.12", 32),
    "ResNet-50, one class": lambda: one_class("torchvision:resnet50@random"),
    "SqueezeNet, one class": lambda: one_class("torchvision:squeezenet1_1@random"),
    "zfnet-mini relu3, 8 units of each of 16 images": many_images,
    "SqueezeNet, capture": capture,
    "ResNet-50, ten looks at layer1": look_again,
    "zfnet-mini, atlas of 24 photos": atlas,
}
name = sys.argv[1]
work = WORKS[name]()
work()
times = []
while len(times) < 3 or (sum(times) < 0.5 and len(times) < 50):
    began = time.perf_counter()
    work()
    times.append(time.perf_counter() - began)
print(json.dumps(sorted(times)[len(times) // 2]))
"""
NAMES = [
    line.strip().split('"')[1] for line in WORK[WORK.index("WORKS = {") :].splitlines() if line.startswith('    "')
]


def seconds(source: Path, name: str) -> float:
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WORK, name], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} with {source}:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    print(f"{'work':48} {'old':>9} {'new':>9} {'new/old':>8}  interval")
    for name in (name for name in NAMES if options.only in name):
        pairs = [pair(lambda source, name=name: seconds(source, name), options, turn) for turn in range(options.pairs)]
        old, new = zip(*pairs, strict=True)
        ratios = sorted(b / a for a, b in pairs)
        low, high = (ratios[1], ratios[-2]) if len(ratios) > 4 else (ratios[0], ratios[-1])
        slower = "  slower" if low > 1.03 else ""
        print(
            f"{name:48} {statistics.median(old):8.4f}s {statistics.median(new):8.4f}s "
            f"{statistics.median(ratios):8.3f}  {low:.3f} to {high:.3f}{slower}",
            flush=True,
        )


def pair(run: Callable[[Path], float], options: argparse.Namespace, turn: int) -> tuple[float, float]:
    """Both, the one first and then the other."""
    first, second = (options.old, options.new) if turn % 2 == 0 else (options.new, options.old)
    times = {first: run(first), second: run(second)}
    return times[options.old], times[options.new]


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"{time.perf_counter() - began:.0f} s")
