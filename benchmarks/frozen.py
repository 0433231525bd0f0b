"""Behaviour frozen: what the public API gives for many networks, stored, and compared with what another version gives.

    python benchmarks/frozen.py store FOLDER                # of the version that is on PYTHONPATH or installed
    python benchmarks/frozen.py compare OLD NEW             # a table of the differences; exit code 1 if there are any

Before the inside of the package is rewritten, `store` with the old code; afterwards `store` with the new code into
another folder, and `compare`. The networks are those of the tests (tests/networks.py or tests/support/networks, of
the folder that `--tests` names: take the same for both sides) and, where the environment variable DECONVNET_DATA names
a folder with weights, trained ones. There are activations, layers, reconstructions on every path and under many rule
sets, explained classes, responsible units, steps, messages of errors; and the bytes of atlases, learned networks,
pictures and reports.

Every result has a name, "network | layer | call | field". Arrays of more than `LARGEST` numbers are stored as a hash
and a sample; all else is stored whole. `--only WORDS` runs, or compares, the parts whose names hold these words (see
`--list`); `compare --tolerance 1e-5` lets numbers differ by so much of the largest. Everything is seeded and runs in
one thread, so on one machine two runs of one version are equal to the last bit.
"""

import argparse
import dataclasses
import difflib
import hashlib
import importlib
import inspect
import json
import math
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import deconvnet
from deconvnet import DeconvNet, DeconvNetWarning, Preprocess, RuleSet, Unit, learn

LARGEST, SAMPLED = 60_000, 10_000  # numbers of an array
LONGEST = 100_000  # characters of a text file that is stored as a text too
MEMORY = "1GB"  # so that batches do not depend on what is free
NAMED = ("deconvnet", "guided", "gradient")
OPTIONS = {
    "unpool centre": RuleSet(unpool="centre"),
    "unpool average": RuleSet(unpool="average"),
    "overlap max": RuleSet(overlap="max"),
    "guided, overlap max": RuleSet(forward_mask=True, overlap="max"),
    "lrn divisor": RuleSet(lrn="divisor"),
    "lrn gradient": RuleSet(lrn="gradient"),
    "gates product": RuleSet(gates="product"),
}
SMOOTH = {
    "smooth rectify": RuleSet(smooth="rectify"),
    "smooth gradient": RuleSet(smooth="gradient"),
    "gradient, smooth gradient": RuleSet(
        forward_mask=True, backward_rectify=False, lrn="gradient", gates="product", smooth="gradient"
    ),
}

# Calls that have another name, or other arguments, in another version: the new one first.


def project(net: DeconvNet, x: Tensor, layer: str, *, route: str | None = None, **options: Any) -> Any:
    if route is not None:
        options["route" if "route" in inspect.signature(net.project).parameters else "path"] = route
    return net.project(x, layer, **options)


def costs(net: DeconvNet, layer: str, **options: Any) -> str:
    if hasattr(deconvnet, "costs"):
        return str(deconvnet.costs(net, layer, **options))
    return net.plan(layer, **options)


def way_down(net: DeconvNet, x: Tensor, layer: str | None) -> str:
    if not hasattr(deconvnet, "way_down"):
        return words_of(net.way_down(x, layer))
    try:
        return words_of(deconvnet.way_down(net, layer, x))
    except TypeError:
        return words_of(deconvnet.way_down(net, layer))


def layers_of(net: DeconvNet, x: Tensor) -> Any:
    if hasattr(net, "layers_of"):
        return net.layers_of(x)
    from deconvnet.network import layers_of

    return layers_of(net, x)


def report(*args: Any, **options: Any) -> Any:
    size = "page_size" if "page_size" in inspect.signature(deconvnet.report).parameters else "budget"
    return deconvnet.report(*args, **options, **{size: "1MB"})


def as_seen(preprocess: Any, photo: Any) -> Any:
    return preprocess.as_seen(photo) if hasattr(preprocess, "as_seen") else preprocess.shown(photo)


def watch_activations(net: DeconvNet, x: Tensor, layers: Any, watch: Any) -> None:
    if hasattr(deconvnet, "watch_activations"):
        deconvnet.watch_activations(net, x, layers, watch)
    else:
        net.activations(x, layers, watch=watch)


def words_of(way: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(f"{name}: {above}: {how}" for name, undone in way.items() for above, how in undone.items())


def zoo(tests: Path) -> tuple[list[Any], list[Any]]:
    """The tests' networks, and those among them that are not made of rectifiers."""
    sys.path.insert(0, str(tests))
    module = importlib.import_module("networks" if (tests / "networks.py").is_file() else "support.networks")
    return module.NETWORKS, module.SMOOTH_NETWORKS


# What is stored.


class Stored:
    """The results of one part: texts, and arrays whose bytes lie one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.index: dict[str, Any] = {}
        self.data = bytearray()
        self.places: dict[str, int] = {}

    def add(self, key: Sequence[str], value: Any) -> None:
        """A result and all that it is made of."""
        for field, leaf in leaves(value):
            *call, last = [*key, *field]
            name = " | ".join([self.name, *call, last])
            assert name not in self.index, name
            self.index[name] = ["text", leaf] if isinstance(leaf, str) else self._array(leaf)

    def call(self, key: Sequence[str], function: Callable[[], Any]) -> Any:
        """What a call gives, or the error that it ends in."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                result = function()
            except Exception as fault:
                self.add([*key, "raises"], f"{type(fault).__name__}: {fault}")
                if not isinstance(fault, deconvnet.DeconvNetError):
                    print("!", self.name, key, "".join(traceback.format_exception_only(fault)), flush=True)
                return None
        if result is not None:
            self.add(key, result)
        if words := [str(one.message) for one in told if issubclass(one.category, DeconvNetWarning)]:
            self.add([*key, "warnings"], "\n".join(words))
        return result

    def _array(self, value: Tensor | np.ndarray) -> list[Any]:
        kind = str(value.dtype).removeprefix("torch.")
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype is torch.bfloat16 else value).numpy()
        shape, flat = list(value.shape), np.ascontiguousarray(value).reshape(-1)
        key = hashlib.sha256(flat.tobytes()).hexdigest()[:32]
        if flat.size > LARGEST:
            flat = np.ascontiguousarray(flat[:: flat.size // SAMPLED | 1])
        if key not in self.places:
            self.places[key] = len(self.data)
            self.data += flat.tobytes() + bytes(-flat.nbytes % 16)
        return ["array", kind, shape, key, flat.dtype.str, self.places[key], flat.size]

    def save(self, folder: Path) -> None:
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower())[:60]
        path = folder / f"{words}-{zlib.crc32(self.name.encode()):08x}.npz"
        index = np.frombuffer(json.dumps(self.index).encode(), np.uint8)
        np.savez_compressed(path, index=index, data=np.frombuffer(bytes(self.data), np.uint8))


def leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The texts and arrays that a result is made of, each with its name inside the result."""
    if isinstance(value, Tensor | np.ndarray):
        yield (), value
    elif isinstance(value, Image.Image | float):
        yield (), np.asarray(value)
    elif isinstance(value, bytes):
        yield (), f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()}"
    elif isinstance(value, Unit):
        yield (), f"{value.layer} {value.channel} {value.position} {value.image}"
    elif isinstance(value, RuleSet):
        yield (), value.name
    elif isinstance(value, nn.Module):
        yield from leaves(dict(value.state_dict()))
    elif isinstance(value, Mapping) and value:
        yield ("names",), "\n".join(map(str, value))
        for name, one in value.items():
            yield from (((str(name), *field), leaf) for field, leaf in leaves(one))
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.name != "facts"]
        if hasattr(value, "facts"):
            names.append("notes")  # the facts in words
        for name in names:
            yield from (((name, *field), leaf) for field, leaf in leaves(getattr(value, name)))
    elif isinstance(value, list | tuple) and any(holds_more(one) for one in value):
        yield ("length",), str(len(value))
        for i, one in enumerate(value):
            yield from (((str(i), *field), leaf) for field, leaf in leaves(one))
    elif isinstance(value, list | tuple):
        yield (), "\n".join(str(next(leaves(one))[1]) for one in value)
    else:
        yield (), str(value)


def holds_more(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray | Image.Image | Mapping | float) or (
        dataclasses.is_dataclass(value) and not isinstance(value, Unit | RuleSet)
    )


# Networks.


def random_of(*words: object) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(" ".join(map(str, words)).encode()))


def spread(names: Sequence[str], count: int) -> list[str]:
    """The first, the last, and some between them."""
    names = list(dict.fromkeys(names))
    if len(names) <= count:
        return names
    return [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]


def listed(name: str, layer: str, shape: Sequence[int], count: int) -> list[Unit]:
    """Some units of a layer, of any images."""
    random = random_of(name, layer, "units")

    def below(size: int) -> int:
        return int(torch.randint(0, size, (), generator=random))

    return [
        Unit(layer, below(shape[1]), tuple(below(size) for size in shape[2:]), below(shape[0])) for _ in range(count)
    ]


@dataclasses.dataclass
class Case:
    """A network and what is asked of it.

    Attributes:
        name: of the network.
        model: in eval mode.
        x: two images.
        layers: those that are started from; with maps.
        output: as `DeconvNet` takes it.
        smooth: whether it has activations that are no rectifiers.
        units: so many of each layer and image.
        whole: whether the rarer calls are made too.
        named, options: rule sets.
    """

    name: str
    model: nn.Module
    x: Tensor
    layers: Sequence[str] | None = None
    output: Any = None
    smooth: bool = False
    units: int = 4
    whole: bool = True
    named: Sequence[str] = NAMED
    options: Mapping[str, RuleSet] = dataclasses.field(default_factory=lambda: OPTIONS)


def freeze(to: Stored, case: Case) -> None:
    """All that is asked of a network."""
    x = case.x
    net = DeconvNet(case.model, x[:1], output=case.output, memory=MEMORY)
    to.add(["", "str"], str(net))
    to.add(["", "repr"], repr(net))
    for name, info in net.layers.items():
        to.add([name, "layers"], info)
    values = {}
    for name in net.layers:
        values[name] = (to.call([name, "activations"], partial(net.activations, x, name)) or {}).get(name)
    watched: list[str] = []
    watch_activations(net, x, list(net.layers), lambda name, values: watched.append(f"{name} {tuple(values.shape)}"))
    to.add(["", "watched activations"], "\n".join(watched))
    scores = to.call(["classes", "scores"], lambda: net.scores(x))
    to.call(["classes", "probabilities"], lambda: net.probabilities(x))
    started = list(values) if case.layers is None else case.layers
    chosen = spread([name for name in started if values.get(name) is not None and values[name].ndim > 1], 4)
    sets: dict[str, Any] = {name: name for name in case.named}
    for rules in sets:
        other = net.with_rules(rules)
        for layer in chosen:
            freeze_layer(to, case, other, rules, layer, values[layer], list(values))
        freeze_classes(to, case, other, rules, scores, chosen)
    for words, rules in {**case.options, **(SMOOTH if case.smooth else {})}.items():
        other = net.with_rules(rules)
        to.add(["", f"str ({words})"], str(other))
        for layer in chosen[-2:]:
            count = min(case.units, values[layer].shape[1])
            to.call([layer, f"project ({words})"], partial(project, other, x, layer, channel=f"top:{count}"))
            to.call(
                [layer, f"project position=all ({words})"],
                partial(project, other, x, layer, channel=count - 1, position="all"),
            )
        to.call(["classes", f"explain ({words})"], partial(other.explain, x, target_of(scores)))
    if case.whole and zlib.crc32(case.name.encode()) % 4 == 0:
        larger = F.pad(x, [1, 2] * (x.ndim - 2), mode="constant", value=0.5) if x.ndim > 2 else x
        to.call(["", "layers_of larger"], lambda: layers_of(net, larger))
        layer = chosen[-1]
        to.call([layer, "project larger"], lambda: project(net, larger, layer, channel=0))
        to.call(["classes", "explain larger"], lambda: net.explain(larger, target_of(scores)))


def freeze_layer(
    to: Stored, case: Case, net: DeconvNet, rules: str, layer: str, values: Tensor, names: Sequence[str]
) -> None:
    """Ways down from a layer under one rule set."""
    x, shape = case.x, values.shape
    count, last = min(case.units, shape[1]), shape[1] - 1
    middle = tuple(size // 2 for size in shape[2:])
    below = names[names.index(layer) // 2]
    own = torch.randn(shape, generator=random_of(case.name, layer), dtype=torch.float64).to(values)
    few = listed(case.name, layer, shape, 2 * case.units)

    def call(words: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return to.call([layer, f"{words} ({rules})"], partial(function, *args, **options))

    call("costs", costs, net, layer)
    call("way_down", way_down, net, x, layer)
    for route in ("auto", "windowed", "dense"):
        found = call(f"project {route}", project, net, x, layer, channel=f"top:{count}", route=route)
        call(f"project units, {route}", project, net, x, layer, units=few, route=route)
    call("project position=all", project, net, x, layer, channel=[0, last], position="all")
    call("project to", project, net, x, layer, channel=f"top:{count}", to=below)
    call("project start=signal", project, net, x, layer, start=own)
    call("steps", net.steps, x[:1], layer)
    if not case.whole or rules != "deconvnet":
        return
    call("costs to", costs, net, layer, to=below)
    call("project one", project, net, x, layer, channel=[0, last], position=middle, start="one")
    call("project all", project, net, x, layer, channel="all")
    call("project one image", project, net, x[1:], layer, channel=f"top:{count}")
    call("project units to", project, net, x, layer, units=few, to=below)
    call("project start=signal to", project, net, x, layer, start=own, to=below)
    call("project little memory", project, net, x, layer, channel="all", memory="60KB")
    call("project no such map", project, net, x, layer, channel=shape[1] + 3)
    call("project no map", project, net, x, layer)
    call("steps to", net.steps, x[1:], layer, channel=last, position=middle, to=below)
    call("watched", watched, net, x, layer, channel=f"top:{count}")
    call("watched units", watched, net, x, layer, units=few)
    if found is not None and len(found) and x.ndim == 4 and found.windows.shape[1] in (1, 3):
        call("picture", partial(found.picture, 0))
        call("picture linear", partial(found.picture, len(found) - 1, crop="none", scale="linear"))
        call("picture field", partial(found.picture, 0, crop="field"))
        call("png", found._repr_png_)
    if found is not None:
        call("magnitude", found.magnitude)
        call("compare", deconvnet.compare, found, net.project(x, layer, channel=f"top:{count}", start="one"))


def watched(net: DeconvNet, x: Tensor, layer: str, **options: Any) -> dict[str, Any]:
    """What is told on the way down, by layer."""
    told: dict[str, list[Any]] = defaultdict(list)

    def watch(name: str, numbers: Tensor, signal: Tensor, low: Tensor) -> None:
        told[name].append((torch.as_tensor(numbers).clone(), signal.clone(), torch.as_tensor(low).clone()))

    net.project(x, layer, watch=watch, **options)
    return {
        name: {
            "numbers": torch.cat([numbers for numbers, _, _ in calls]),
            "low": torch.cat([low.reshape(len(numbers), -1) for numbers, _, low in calls]),
            "signals": torch.cat([signal.flatten() for _, signal, _ in calls]),
        }
        for name, calls in told.items()
    }


def target_of(scores: Tensor | None) -> Any:
    """The last class; of maps of classes, in the middle."""
    if scores is None or scores.ndim < 2:
        return None
    last = scores.shape[1] - 1
    return last if scores.ndim == 2 else (last, *(size // 2 for size in scores.shape[2:]))


def freeze_classes(
    to: Stored, case: Case, net: DeconvNet, rules: str, scores: Tensor | None, layers: Sequence[str]
) -> None:
    """Classes under one rule set."""
    x, target = case.x, target_of(scores)
    likeliest = None if scores is None or scores.ndim == 2 else target

    def call(words: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return to.call(["classes", f"{words} ({rules})"], partial(function, *args, **options))

    call("way_down", way_down, net, x, None)
    call("explain", net.explain, x)
    call("steps", net.steps, x[:1], target=likeliest)
    for k in (1, 3):
        call(f"responsible k={k}", net.responsible, x, likeliest, k=k)
    for layer in layers[-2:]:
        call(f"responsible of {layer}", net.responsible, x, likeliest, layer, 1)
    if scores is None or scores.ndim < 2:
        return
    last = scores.shape[1] - 1
    call("explain fixed", net.explain, x, target)
    call("explain activation", net.explain, x, target, start="activation")
    call("responsible fixed", net.responsible, x, target, k=1)
    if not case.whole or rules != "deconvnet":
        return
    call("steps fixed", net.steps, x[1:], target=target)
    call("explain to", net.explain, x, target, to=layers[0])
    call("explain no such class", net.explain, x, last + 5)
    call("explain another kind of target", net.explain, x, (0, 0, 0))
    if scores.ndim == 2:
        call("explain several", net.explain, x, targets=[last, 0])
        call("explain all", net.explain, x, targets="all")
    else:
        mask = torch.rand(scores.shape, generator=random_of(case.name, "mask")) > 0.5
        call("explain mask", net.explain, x, mask)
        call("responsible mask", net.responsible, x, mask, k=1)


def of_zoo(network: Any, *, smooth: bool, dtype: torch.dtype = torch.float64) -> Case:
    case = Case(
        network.name, network.model().to(dtype), network.images(2).to(dtype), network.layers, network.output, smooth
    )
    return case if dtype is torch.float64 else dataclasses.replace(case, named=NAMED[:2], options={})


# Trained networks.


class Residual(nn.Module):
    """Two convolutions and a shortcut without weights (He et al. 2016, option A)."""

    def __init__(self, below: int, maps: int) -> None:
        super().__init__()
        self.more = maps - below
        self.conv1 = nn.Conv2d(below, maps, 3, 2 if self.more else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(maps)

    def forward(self, x: Tensor) -> Tensor:
        way = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(way + x)


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Residual(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Residual(16, 32), *(Residual(32, 32) for _ in range(2)))
        self.layer3 = nn.Sequential(Residual(32, 64), *(Residual(64, 64) for _ in range(2)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def pictures(side: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Two photos that ship with scikit-image, as a network takes them."""
    prepare = Preprocess(size=(side, side), short_side=side, mean=tuple(mean), std=tuple(std))
    images = prepare.images(["sample:chelsea", "sample:astronaut"])
    return images if len(mean) == 3 else images.mean(1, keepdim=True)


def fitted(model: nn.Module, path: Path, *, strict: bool = True) -> nn.Module:
    from safetensors.torch import load_file

    weights = {name: one.float() if one.is_floating_point() else one for name, one in load_file(path).items()}
    model.load_state_dict(weights, strict=strict)
    return model.eval().requires_grad_(False)


def trained(data: Path) -> dict[str, Callable[[], Case]]:
    """Networks with weights of the folder."""
    spec = importlib.util.spec_from_file_location("nets_of_data", data / "nets.py")
    nets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nets)
    small, half = data / "weights" / "small", ((0.5,) * 3, (0.5,) * 3)
    natural = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def large(name: str, path: str, side: int, layers: Sequence[str], make: Callable[[], nn.Module]) -> Case:
        torch.manual_seed(0)
        model = fitted(make(), data / "weights" / path, strict=False)
        options = {name: OPTIONS[name] for name in ("unpool centre", "overlap max", "lrn divisor")}
        return Case(
            name, model, pictures(side, *natural), layers, units=2, whole=False, named=NAMED[::2], options=options
        )

    def torchvision(name: str) -> nn.Module:
        return getattr(importlib.import_module("torchvision.models"), name)(weights=None)

    def digits() -> Case:
        photos = np.load(data / "mnist_subset.npz")
        first = next(photos[name] for name in photos.files if photos[name].ndim > 2)
        x = torch.from_numpy(first[:2].reshape(2, 1, 28, 28).astype(np.float32))
        x = (x / max(float(x.max()), 1.0) - 0.1307) / 0.3081
        return Case("LeNet, digits", fitted(nets.MnistLeNet(), small / "mnist_lenet.safetensors"), x, units=2)

    def cifar(
        name: str, model: nn.Module, path: str, mean: Sequence[float], std: Sequence[float], whole: bool = True
    ) -> Case:
        return Case(name, fitted(model, small / f"{path}.safetensors"), pictures(32, mean, std), units=2, whole=whole)

    return {
        "LeNet, digits": digits,
        "Caffe's CIFAR-10 quick": lambda: cifar(
            "Caffe's CIFAR-10 quick", nets.CaffeCifar10Quick(), "cifar10_quick_caffe", (0.0,) * 3, (1.0,) * 3
        ),
        "LeNet, CIFAR-10": lambda: cifar("LeNet, CIFAR-10", nets.CifarLeNet(), "cifar_lenet_captum", *half),
        "ResNet-20": lambda: cifar("ResNet-20", ResNet20(), "cifar_resnet20_akamaster", *natural, whole=False),
        "SqueezeNet 1.1": lambda: large(
            "SqueezeNet 1.1",
            "squeezenet1_1_caffe.fp16.safetensors",
            160,
            ("features.1", "features.5", "features.9", "features.12"),
            lambda: torchvision("squeezenet1_1"),
        ),
        "GoogLeNet": lambda: large(
            "GoogLeNet",
            "bvlc_googlenet.fp16.safetensors",
            112,
            ("pool1", "relu2", "i3b", "i4d"),
            nets.BVLCGoogLeNet,
        ),
        "VGG-16 trunk": lambda: large(
            "VGG-16 trunk",
            "vgg16_features_detecttumor.fp16.safetensors",
            64,
            ("features.3", "features.15", "features.22", "features.29"),
            lambda: torchvision("vgg16").features,
        ),
    }


# Files.


def photos(folder: Path, count: int = 24) -> list[Path]:
    """Photos of stripes, spots and noise, in several sizes."""
    folder.mkdir()
    for i in range(count):
        random = np.random.default_rng(i)
        height, width = (int(side) for side in random.integers(100, 170, 2))
        y, x = np.mgrid[:height, :width]
        stripes = (x * (i % 5) + y * (i % 7 - 3)) // 8 % 2 * 120
        middle = random.integers(0, 60, 2)
        spots = ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 400 + 40 * i) * 100
        noise = random.integers(0, 36, (height, width, 3))
        tint = random.integers(0, 2, 3)
        pixels = (stripes[..., None] * tint + spots[..., None] * (1 - tint) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def files(to: Stored, key: Sequence[str], folder: Path) -> None:
    """The bytes of every file of a folder, and the words of texts."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    to.add([*key, "files"], "\n".join(path.relative_to(folder).as_posix() for path in paths))
    for path in paths:
        content = path.read_bytes()
        to.add([*key, path.relative_to(folder).as_posix(), "bytes"], content)
        if path.suffix in (".json", ".csv", ".html") and len(content) < LONGEST:
            to.add([*key, path.relative_to(folder).as_posix(), "words"], content.decode())


def atlas(to: Stored, loaded: Any, layers: Sequence[str], count: int, k: int, **options: Any) -> None:
    """Built at once, and of two shards."""
    photos(Path("photos"), count)
    net = DeconvNet(loaded.model, loaded.example_input, memory=MEMORY)
    asked = {"loaded": loaded, "batch": 4, **options}
    made = to.call(
        ["", "build_atlas"], lambda: str(deconvnet.build_atlas(net, "photos", layers, k, out="whole", **asked))
    )
    if made is None:
        return
    files(to, ["", "build_atlas"], Path("whole"))
    read = deconvnet.Atlas.open("whole")
    for layer in layers:
        to.call([layer, "costs"], partial(costs, net, layer))
        to.call([layer, "stats"], lambda layer=layer: list(map(str, read.stats(layer))))
        to.call([layer, "top"], lambda layer=layer: list(map(str, read.top(layer, 0))))
        to.call([layer, "picture"], lambda layer=layer: read.picture(layer, 0))
    to.call(["", "find"], lambda: list(map(str, read.find(image="00"))))
    for part in range(2):
        deconvnet.scan_shard(net, "photos", layers, k, shard=(part, 2), out=f"part{part}", **asked)
        files(to, ["", f"scan_shard {part}"], Path(f"part{part}"))
    deconvnet.merge_shards(net, "photos", ["part0", "part1"], out="merged", loaded=loaded)
    files(to, ["", "merge_shards"], Path("merged"))


def atlas_in_windows(to: Stored) -> None:
    atlas(to, deconvnet.load_model("zfnet-mini"), ["relu1", "relu2"], 24, 2, keep_signal=True)


def atlas_on_whole_maps(to: Stored) -> None:
    atlas(to, deconvnet.load_model("zfnet-mini"), ["relu5", "fc7"], 8, 2)


def pictures_and_pages(to: Stored) -> None:
    loaded = deconvnet.load_model("zfnet-mini")
    chosen: list[Any] = ["sample:chelsea", "sample:astronaut"]
    net, x = DeconvNet(loaded.model, loaded.example_input, memory=MEMORY), loaded.preprocess.images(chosen)
    found = net.project(x, "relu3", channel="top:4")
    one = net.explain(x[:1])
    out = Path("out")
    out.mkdir()
    found.save(out / "several.png")
    one.save(out / "one.png")
    found.sheet(chosen, loaded.preprocess, title="A sheet").save(out / "sheet.png")
    found.sheet(chosen, loaded.preprocess, crop="field", scale="linear").save(out / "sheet of fields.png")
    one.beside(chosen[0], loaded.preprocess).save(out / "beside.png")
    net.responsible(x, k=4).beside(chosen[1], loaded.preprocess, 1, title="Responsible").save(out / "responsible.png")
    net.steps(x[:1], "relu3").figure(title="Steps").save(out / "steps.png")
    net.steps(x[1:]).figure(as_seen(loaded.preprocess, chosen[1])).save(out / "steps of a class.png")
    guided = net.with_rules("guided").project(x, "relu3", units=found.units)
    both = deconvnet.compare(found, guided, names=("deconvnet", "guided"))
    both.sheet(chosen, loaded.preprocess).save(out / "compared.png")
    files(to, ["pictures"], out)
    for path in sorted(out.iterdir()):
        to.add(["pictures", path.name, "pixels"], Image.open(path))
    for rules in NAMED[:2]:
        page = report(net.with_rules(rules), chosen[:1], f"{rules}.html", loaded=loaded, maps=6)
        to.add(["pages", rules, "notes"], page.notes)
        to.add(["pages", rules, "bytes"], Path(f"{rules}.html").read_bytes())
        to.add(["pages", rules, "words"], re.sub(r"data:[^\"')]+", "data:", page.html))


def learned(to: Stored) -> None:
    photos(Path("photos"), 8)
    kinds: dict[str, dict[str, Any]] = {
        "2011": {"lam": 0.3},
        "zero boundary": {"lam": (0.3, 0.5), "boundary": "zero"},
        "2010": {"lam": 0.3, "pool": None, "target": "below"},
    }
    for words, options in kinds.items():
        net = learn.AdaptiveDeconvNet.of([3, 4], **{"kernel": 3, "pool": (2, 2, 2), "seed": 1, **options})
        told: list[str] = []
        found = to.call(
            [words, "learn_photos"],
            lambda net=net, words=words, told=told: learn.learn_photos(
                deconvnet.open_photos("photos"), net, out=words, prepare=learn.Prepare(24), epochs=[2, 1], batch=3,
                max_iter=6, progress=lambda one: told.append(str(one)),
            ).net,
        )  # fmt: skip
        if found is None:
            continue
        files(to, [words, "learn_photos"], Path(words))
        opened = learn.Learned.open(words)
        images = opened.images("photos/00.png")
        for solver in ("auto", "fista", "ista"):
            codes = to.call([words, f"infer {solver}"], partial(found.infer, images, solver=solver, max_iter=8))
        codes = found.infer(images, max_iter=8)
        for layer in (1, 2):
            to.call([words, f"reconstruct {layer}"], partial(found.reconstruct, codes, layer=layer))
            to.call([words, f"pixel_filters {layer}"], partial(learn.pixel_filters, found, layer))
            to.call([words, f"draw_filters {layer}"], partial(learn.draw_filters, opened, layer))
        to.call([words, "parts"], partial(learn.parts, found, codes, keep=(3,)))
        to.call([words, "draw_reconstructions"], partial(learn.draw_reconstructions, opened, "photos/00.png"))
        to.call([words, "draw_parts"], partial(learn.draw_parts, opened, "photos/00.png"))
        for boundary, solver in (("circular", "dr"), ("valid", "fista"), ("zero", "fista")):
            to.call(
                [words, f"sparse_code {boundary} {solver}"],
                partial(
                    learn.sparse_code, images, learn.pixel_filters(found, 1), lam=0.2, boundary=boundary, solver=solver
                ),
            )
    for form in ("2010", "2011"):
        to.call(["", f"LocalContrastNorm {form}"], lambda form=form: learn.LocalContrastNorm(form).normalise(images))


FILES: dict[str, Callable[[Stored], None]] = {
    "atlas in windows": atlas_in_windows,
    "atlas on whole maps": atlas_on_whole_maps,
    "pictures and pages": pictures_and_pages,
    "learned": learned,
}

# The commands.


def parts(tests: Path) -> dict[str, Callable[[Stored], None]]:
    """All that can be stored, by name."""
    found: dict[str, Callable[[Stored], None]] = {}
    rectifying, smooth = zoo(tests)
    for network in [*rectifying, *smooth]:
        found[network.name] = lambda to, network=network: freeze(to, of_zoo(network, smooth=network in smooth))
    for network, dtype in ((one, dtype) for one in rectifying[3:6] for dtype in (torch.float32, torch.bfloat16)):
        name = f"{network.name}, {str(dtype).removeprefix('torch.')}"
        found[name] = lambda to, network=network, dtype=dtype: freeze(to, of_zoo(network, smooth=False, dtype=dtype))
    data = os.environ.get("DECONVNET_DATA")
    if data:
        for name, make in trained(Path(data)).items():
            found[name] = lambda to, make=make: freeze(to, make())
    else:
        print("DECONVNET_DATA is not set: no trained networks", flush=True)
    return {**found, **FILES}


def store(folder: Path, tests: Path, only: str) -> None:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"deconvnet {deconvnet.__version__} of {Path(deconvnet.__file__).parent}", flush=True)
    began = time.perf_counter()
    chosen = {name: run for name, run in parts(tests.resolve()).items() if only in name}
    for number, (name, run) in enumerate(chosen.items(), 1):
        start, to = time.perf_counter(), Stored(name)
        torch.manual_seed(0)
        here = Path.cwd()
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)  # so that paths in files are the same
            try:
                to.call(["", "all"], partial(run, to))
            finally:
                os.chdir(here)
        to.save(folder)
        seconds = time.perf_counter() - start
        print(f"{number}/{len(chosen)} {name}: {len(to.index)} results, {seconds:.1f} s", flush=True)
    print(f"{time.perf_counter() - began:.0f} s", flush=True)


class Opened:
    """The results that lie in a folder."""

    def __init__(self, folder: Path, only: str) -> None:
        self.index: dict[str, Any] = {}
        self._data: dict[str, np.ndarray] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as file:
                index = json.loads(file["index"].tobytes())
                name = next(iter(index)).partition(" | ")[0] if index else ""
                if index and only in name:
                    self.index.update(index)
                    self._data[name] = file["data"]
        if not self.index:
            sys.exit(f"nothing is stored in {folder}" + (f" of {only!r}" if only else ""))

    def array(self, key: str) -> np.ndarray:
        _, _, _, _, dtype, place, size = self.index[key]
        data = self._data[key.partition(" | ")[0]]
        return np.frombuffer(data, np.dtype(dtype), size, place) if size else data[:0]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """max|a - b| / max|b|; NaN equals NaN."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        off, most = np.abs(np.where(same, 0, a - b)).max(initial=0), np.abs(b).max(initial=0)
    return 0.0 if not off else float(off / most) if most and not math.isnan(off) and not math.isinf(most) else math.inf


VERDICTS = ("equal", "close", "differs", "shape", "kind", "missing", "extra")


def verdict(old: Opened, new: Opened, key: str, tolerance: float) -> tuple[str, float, str]:
    """How a result differs, by how much, and what to print of it."""
    if key not in new.index:
        return "missing", math.inf, ""
    if key not in old.index:
        return "extra", math.inf, new.index[key][1] if new.index[key][0] == "text" else ""
    a, b = old.index[key], new.index[key]
    if a[0] != b[0]:
        return "kind", math.inf, f"{a[:3]} → {b[:3]}"[:400]
    if a[0] == "text":
        if a[1] == b[1]:
            return "equal", 0.0, ""
        lines = difflib.unified_diff(a[1].splitlines(), b[1].splitlines(), "old", "new", lineterm="", n=0)
        return "differs", math.inf, "\n".join(line[:300] for line in list(lines)[2:10])
    if a[1:3] != b[1:3]:
        return "shape", math.inf, f"{a[1]} {a[2]} → {b[1]} {b[2]}"
    if a[3] == b[3]:
        return "equal", 0.0, ""
    off = distance(new.array(key), old.array(key))
    sampled = " (of a sample)" if math.prod(a[2]) > LARGEST else ""
    return ("close" if off <= tolerance else "differs"), off, f"max|new - old| / max|old| = {off:.3g}{sampled}"


def kind_of(key: str) -> str:
    """What results are counted under: the call without its rule set, and the field without numbers."""
    _, _, call, *fields = f"{key} | ".split(" | ")[:-1]
    words = call.partition(" (")[0].split()[0]
    if words == "activations":
        return words
    return " ".join([words, *[part for part in fields if not part.isdecimal()][-1:]])[:60]


def compare(old: Path, new: Path, tolerance: float, only: str, shown: int) -> int:
    a, b = Opened(old, only), Opened(new, only)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    found: list[tuple[str, float, str, str]] = []
    close = 0.0
    for key in dict.fromkeys([*a.index, *b.index]):
        words, off, told = verdict(a, b, key, tolerance)
        counts[kind_of(key)][words] += 1
        if words == "close":
            close = max(close, off)
        elif words != "equal":
            found.append((words, off, key, told))
    total = sum(counts.values(), Counter[str]())
    for one, other, words in ((a, b, "missing"), (b, a, "extra")):
        for part in dict.fromkeys(key.partition(" | ")[0] for key in one.index):
            if not any(key.startswith(f"{part} | ") for key in other.index):
                print(f"all of {part!r} is {words}")
    width = max(map(len, counts))
    print("field".ljust(width), *(word.rjust(8) for word in VERDICTS))
    for kind, numbers in sorted(counts.items()):
        if set(numbers) != {"equal"}:
            print(kind.ljust(width), *(str(numbers[word] or "").rjust(8) for word in VERDICTS))
    print("all".ljust(width), *(str(total[word]).rjust(8) for word in VERDICTS))
    if total["close"]:
        print(f"the worst of those within the tolerance: {close:.3g}")
    seen: Counter[tuple[str, str]] = Counter()
    for words, _, key, told in sorted(found, key=lambda one: (VERDICTS.index(one[0]), -one[1])):
        group = (words, kind_of(key))
        seen[group] += 1
        if seen[group] <= shown:
            print(f"\n{words}: {key}", *([told] if told else []), sep="\n    ")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    storing = commands.add_parser("store")
    storing.add_argument("folder", type=Path)
    storing.add_argument("--tests", type=Path, default=Path(__file__).parents[1] / "tests")
    storing.add_argument("--list", action="store_true", help="name the parts and end")
    comparing = commands.add_parser("compare")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    comparing.add_argument("--tolerance", type=float, default=0.0)
    comparing.add_argument("--shown", type=int, default=3, help="differences of each kind that are printed")
    for command in (storing, comparing):
        command.add_argument("--only", default="", metavar="WORDS")
    asked = parser.parse_args()
    if asked.command == "compare":
        return compare(asked.old, asked.new, asked.tolerance, asked.only, asked.shown)
    torch.set_num_threads(1)
    if asked.list:
        print(*parts(asked.tests.resolve()), sep="\n")
    else:
        store(asked.folder, asked.tests, asked.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
