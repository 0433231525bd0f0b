"""Do pictures work better where there is a clear distinction? And does covering what they show silence their units?

    python benchmarks/distinction.py --data FOLDER                 # weights/ and imagenet1000/ are in it
    python benchmarks/distinction.py --data FOLDER --networks      # occlusion margins of four networks and their twins

Units are drawn with fixed seeds from photos that are spread over the folder: of each, at its strongest position, one of
the sixteen maps that are strongest in that photo. How well a picture works is the margin by which it tells, better than
edges or the centre, where covering the photo reduces the unit (`deconvnet.probes.causal_check`). p is of 10,000
permutations of the units within their layers, the interval of 2,000 bootstrap samples.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from frozen import ResNet20, fitted
from measure import PREPROCESS, machine, network, table
from scipy.stats import rankdata
from torch import Tensor, nn

from deconvnet import DeconvNet, Preprocess
from deconvnet.probes.causal_check import occlusion_margin
from deconvnet.probes.distinctness import MAP, MARGIN, PICTURE, SHARE, distinction
from deconvnet.probes.pictured import Others, Pictured
from deconvnet.probes.random_twin import random_twin

LAYERS = {
    "SqueezeNet 1.1": ("features.7", "features.12"),
    "VGG-16": ("features.15", "features.29"),
    "GoogLeNet": ("i4a", "i5b"),
    "ResNet-20": ("layer2.2", "layer3.2"),
}
_STRONGEST, _RESAMPLES = 16, 10_000


def units(net: DeconvNet, images: Iterator[Tensor], layers: Sequence[str], count: int) -> Iterator[Pictured]:
    """So many units, the layers in turn, each of another photo."""
    random = np.random.default_rng(0)
    for i, x in zip(range(count), images, strict=False):
        pictures = net.project(x, layers[i % len(layers)], channel=f"top:{_STRONGEST}")
        alive = [j for j in range(len(pictures)) if pictures.activations[j] > 0]
        if alive:
            yield Pictured.of(net, x, pictures[int(random.choice(alive))], Others(x[:0], "none"))


def photos_of(folder: Path, preprocess: Preprocess, count: int, skip: int = 0) -> Iterator[Tensor]:
    """As many photos, evenly spaced."""
    paths = sorted(folder.glob("imagenet1000/*.jpg"))
    for path in paths[skip :: max(1, len(paths) // count)][:count]:
        yield preprocess.images([path])


def measured(pictured: Pictured) -> dict[str, Any]:
    """A unit's occlusion margin, and its distinctness."""
    margin, distinct = occlusion_margin(pictured), distinction(pictured)
    return {
        "layer": pictured.unit.layer, "channel": pictured.unit.channel, "occlusion": margin.value,
        "words": margin.words, **dict(margin.details), **dict(distinct.details),
    }  # fmt: skip


def rank_correlation(a: np.ndarray, b: np.ndarray, layers: np.ndarray) -> float:
    """Spearman's, of ranks within each layer, so that what differs between layers does not count."""
    ranks = [np.concatenate([_ranks(values[layers == layer]) for layer in np.unique(layers)]) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = rankdata(values)
    scaled: np.ndarray = (ranks - ranks.mean()) / max(ranks.std(), 1e-12)
    return scaled


def with_chance(
    a: np.ndarray, b: np.ndarray, layers: np.ndarray, resamples: int = _RESAMPLES
) -> tuple[float, float, tuple[float, float]]:
    """The rank correlation, its two-sided p, and the interval that holds 95 % of bootstrap samples."""
    random, value = np.random.default_rng(0), rank_correlation(a, b, layers)
    groups = [np.flatnonzero(layers == layer) for layer in np.unique(layers)]
    left = np.concatenate([_ranks(a[group]) for group in groups])
    right = [_ranks(b[group]) for group in groups]
    shuffled = [np.concatenate([random.permutation(each) for each in right]) for _ in range(resamples)]
    as_far = sum(abs(np.corrcoef(left, each)[0, 1]) >= abs(value) for each in shuffled)
    samples = []
    for _ in range(resamples // 5):
        chosen = np.concatenate([random.choice(group, len(group)) for group in groups])
        samples.append(rank_correlation(a[chosen], b[chosen], layers[chosen]))
    low, high = np.quantile(samples, (0.025, 0.975)).tolist()
    return value, (1 + as_far) / (1 + resamples), (low, high)


def claim(rows: Sequence[dict[str, Any]], resamples: int = _RESAMPLES) -> Iterator[list[str]]:
    """A line for each number that says how clear a distinction is."""
    for name in (SHARE, PICTURE, MAP, MARGIN):
        used = [row for row in rows if row["occlusion"] is not None and name in row]
        if not used:
            continue
        layers = np.array([row["layer"] for row in used])
        columns = [np.array([row[key] for row in used]) for key in (name, "occlusion")]
        value, p, (low, high) = with_chance(*columns, layers, resamples)
        apart = [
            rank_correlation(*(c[layers == layer] for c in columns), layers[layers == layer])
            for layer in np.unique(layers)
        ]
        yield [name, str(len(used)), f"{value:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{p:.4f}",
               ", ".join(f"{each:+.2f}" for each in apart)]  # fmt: skip


def of_network(rows: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    """A line for each layer: its units' margins."""
    for layer in dict.fromkeys(row["layer"] for row in rows):
        some = [row for row in rows if row["layer"] == layer and row["occlusion"] is not None]
        if not some:
            continue
        medians = [
            np.median([row.get(key, np.nan) for row in some]) for key in ("occlusion", "picture", "edges", "centre")
        ]
        above = np.mean([row["occlusion"] > 0 for row in some])
        beyond = np.mean([row["p"] < 0.05 for row in some])
        yield [layer, str(len(some)), *(f"{value:+.2f}" for value in medians), f"{above:.0%}", f"{beyond:.0%}"]


def of_images(name: str, folder: Path) -> tuple[nn.Module, Preprocess]:
    """A network with its weights, and what reads photos for it."""
    if name != "ResNet-20":
        return network(name, folder), PREPROCESS
    return fitted(ResNet20(), folder / "weights" / "small" / "cifar_resnet20_akamaster.safetensors"), CIFAR


CIFAR = Preprocess(short_side=32, size=(32, 32), mean=PREPROCESS.mean, std=PREPROCESS.std)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with weights/ and imagenet1000/")
    parser.add_argument("--networks", action="store_true", help="compare networks with their random twins")
    parser.add_argument("--only", nargs="*", default=tuple(LAYERS), help="these networks")
    parser.add_argument("--units", type=int, help="how many; 200, and 20 for each of several networks")
    parser.add_argument("--log", type=Path, help="write a line of JSON for each unit")
    given = parser.parse_args()
    print(machine())
    if given.networks:
        header = ["network", "layer", "units", "margin", "picture", "edges", "centre", "above 0", "p < 0.05"]
        table(header, _networks(given.data, given.only, given.units or 20, given.log))
        return
    name = "SqueezeNet 1.1"
    rows = list(
        _rows(of_images(name, given.data), given.data, LAYERS[name], given.units or 200, given.log, lambda net: net)
    )
    header = ["distinctness", "units", "rank correlation", "95 %", "p", ", ".join(LAYERS[name])]
    table(header, claim(rows))
    table(["layer", "units", "margin", "picture", "edges", "centre", "above 0", "p < 0.05"], of_network(rows))


def _networks(folder: Path, names: Sequence[str], count: int, log: Path | None) -> Iterator[list[str]]:
    for name in names:
        for kind, turn in (("", lambda net: net), (", random twin", random_twin)):
            rows = list(_rows(of_images(name, folder), folder, LAYERS[name], count, log, turn))
            for line in of_network(rows):
                yield [name + kind, *line]


def _rows(
    loaded: tuple[nn.Module, Preprocess], folder: Path, layers: Sequence[str], count: int, log: Path | None,
    turned: Callable[[DeconvNet], DeconvNet],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    model, preprocess = loaded
    net = turned(DeconvNet(model, torch.zeros(1, 3, *preprocess.size)))
    for pictured in units(net, photos_of(folder, preprocess, count), layers, count):
        row = measured(pictured)
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
        yield row


if __name__ == "__main__":
    main()
