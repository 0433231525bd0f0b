"""The engine: explaining a photo, and units of a layer, beside both peers; captures; memory; the first answer.

    python benchmarks/engine.py                    # random weights, scikit-image's photo
    python benchmarks/engine.py --data FOLDER      # weights and photos of a folder

One process, float32, the median of five runs, with one thread and with all. Pictures are compared before anything
is timed; Captum's are right for these three, which share no rectifier's input with a skip.
"""

import argparse
import copy
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import steps
import torch
import torchvision
from measure import OTHER_SWITCHES, difference, machine, median, network, photo, table
from peers import captum_class, captum_units, class_lines, ten_lines
from torch import Tensor, nn

from deconvnet import DeconvNet

EXPLAINED = ("SqueezeNet 1.1", "VGG-16", "ResNet-50")
LAYERS = {"SqueezeNet 1.1": "features.12", "VGG-16": "features.29", "ResNet-50": "layer3.5.relu"}
UNITS, TIMED = 32, 4


def agreed(name: str, folder: Path | None) -> tuple[Callable[[], object], ...]:
    """The forward pass of a photo, and its likeliest class explained by us, the ten lines and Captum, which agree.

    They are compared to all digits in float64: in float32 rounding decides between a few maxima, on each side its way.
    """
    model, x = network(name, folder), photo(folder)
    target = int(model(x).argmax())
    exact, in_full = copy.deepcopy(model).double(), x.double()
    for net, image, most in ((exact, in_full, 1e-9), (model, x, OTHER_SWITCHES)):
        ours, *peers = ways_to_explain(net, image, target)
        for peer in peers:
            assert difference(ours().full(), peer()) < most, "not the same picture"
    return partial(model, x), *ways_to_explain(model, x, target)


def ways_to_explain(model: nn.Module, x: Tensor, target: int) -> tuple[Callable[[], Any], ...]:
    """A class by us, the ten lines and Captum."""
    ours = partial(DeconvNet(model, x).explain, x, target)
    return ours, class_lines(model, x, target), captum_class(model, x, target)


def explained(folder: Path | None) -> Iterator[list[str]]:
    for name in EXPLAINED:
        times = [median(run) for run in agreed(name, folder)]
        _, ours, lines, captum = times
        yield [name, *(f"{1e3 * seconds:.0f}" for seconds in times), f"{ours / lines:.2f}", f"{ours / captum:.2f}"]


def units(folder: Path | None) -> Iterator[list[str]]:
    for name in EXPLAINED:
        model, x, layer = network(name, folder), photo(folder), LAYERS[name]
        net = DeconvNet(model, x)
        chosen = net.project(x, layer, channel=f"top:{UNITS}").units
        ours = median(partial(net.project, x, layer, channel=f"top:{UNITS}"))
        lines = median(ten_lines(model, layer, x, chosen))
        loop = UNITS / TIMED * median(captum_units(model, layer, x, chosen[:TIMED]))
        yield [name, layer, *(f"{1e3 * seconds:.0f}" for seconds in (ours, lines, loop)),
               f"{lines / ours:.1f}", f"{loop / ours:.1f}"]  # fmt: skip


MEASURED = """
import re, sys, torch
sys.path.insert(0, "benchmarks")
from measure import network, photo
from deconvnet import DeconvNet
def taken(what):
    return int(re.search(what + r":\\s*(\\d+) kB", open("/proc/self/status").read()).group(1))
x = photo()
net = DeconvNet(network("VGG-16", None), x)
net.project(x, "features.22", channel=0)
before = taken("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
net.project(x, "features.22", channel="all", start="one", memory=sys.argv[1])
print(1.024 * (taken("VmHWM") - before) / 1e3)
"""


def memory() -> Iterator[list[str]]:
    for budget in ("400MB", "800MB"):
        call = [sys.executable, "-c", MEASURED, budget]
        root = Path(__file__).parents[1]
        peak = float(subprocess.run(call, check=True, capture_output=True, text=True, cwd=root).stdout)
        yield ["VGG-16 features.22, all 512 maps", budget, f"{peak:.0f} MB"]


def captures() -> Iterator[list[str]]:
    slowest = (
        "densenet201",
        "efficientnet_b7",
        "regnet_y_32gf",
        "inception_v3",
        "convnext_large",
        "resnet152",
        "vgg19",
    )
    for name in slowest:
        model, x = torchvision.models.get_model(name, weights=None, **(
            {"init_weights": False} if name == "inception_v3" else {})).eval(), torch.zeros(1, 3, 224, 224)  # fmt: skip
        began = time.perf_counter()
        DeconvNet(model, x, rules="gradient", smooth="gradient")
        yield [name, f"{time.perf_counter() - began:.1f}"]


def command() -> Iterator[list[str]]:
    deconvnet = Path(sys.executable).with_name("deconvnet")
    for arguments in (["--help"], ["explain", "--help"]):
        call = partial(subprocess.run, [deconvnet, *arguments], check=True, capture_output=True)
        yield [" ".join(["deconvnet", *arguments]), f"{median(call):.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with weights/ and imagenet1000/")
    folder = parser.parse_args().data
    warnings.filterwarnings("ignore", module="captum")
    for threads in dict.fromkeys((1, os.cpu_count() or 1)):
        torch.set_num_threads(threads)
        print(f"\n{machine()}\n\nA class of one photo, ms:\n")
        header = ["network", "forward", "explain", "ten lines", "Captum", "beside the ten lines", "beside Captum"]
        table(header, explained(folder))
        print(f"\n{UNITS} units of one photo, ms:\n")
        faster = ["times faster than the ten lines", "than Captum"]
        table(["network", "layer", "project", "ten lines", "Captum", *faster], units(folder))
    print("\nThe Python of a step:\n")
    torch.set_num_threads(1)
    for device in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]:
        table(steps.HEADER, steps.rows(torch.device(device)))
    print("\nPeak memory:\n")
    table(["what", "budget", "taken"], memory())
    print("\nCapture, s:\n")
    table(["network", "seconds"], captures())
    print("\nThe command line, s:\n")
    table(["command", "seconds"], command())


if __name__ == "__main__":
    main()
