"""Do the learned layers hold anything? Gabor fits of the first filters, and a linear classifier on the feature maps.

    python benchmarks/evidence.py --data FOLDER                 # mnist_subset.npz and imagenette144/ are in it
    python benchmarks/evidence.py --gabor learned/learned.safetensors --data FOLDER

Features are the magnitudes of a layer's maps, positive and negative apart, averaged over a grid of 4x4; the classifier
is scikit-learn's linear SVM. Beside them: raw pixels, the same network with its first random filters, and with filters
that are the centres of k-means on patches. Seeds are fixed.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine, table
from PIL import Image
from scipy.optimize import least_squares
from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from deconvnet.learn import AdaptiveDeconvNet, LocalContrastNorm, fit, load_net

Set = tuple[Tensor, np.ndarray]  # images and classes


def digits(folder: Path) -> tuple[Set, Set]:
    """5,000 and 1,000 digits of 28x28."""
    with np.load(folder / "mnist_subset.npz") as found:
        names = {name.lower().replace("_", ""): found[name] for name in found.files}

    def one(part: str) -> Set:
        x = next(value for name, value in names.items() if part in name and value.ndim > 1)
        y = next(value for name, value in names.items() if part in name and value.ndim == 1)
        return torch.tensor(x.reshape(len(x), 1, 28, 28) / (255 if x.max() > 1 else 1), dtype=torch.float32), y

    return one("train"), one("test")


def photos(folder: Path, train: int, test: int, size: int) -> tuple[Set, Set]:
    """Imagenette's ten classes, grey, contrast normalised; so many of each class."""
    norm = LocalContrastNorm()

    def one(part: str, count: int) -> Set:
        images, classes = [], []
        folders = sorted(p for p in (folder / "imagenette144" / part).iterdir() if "cat" not in p.name)
        for number, place in enumerate(folders):
            for path in sorted(place.glob("*.jpg"))[:count]:
                pixels = torch.from_numpy(np.asarray(Image.open(path).convert("L")).copy()).float()[None, None] / 255
                images.append(norm(interpolate(pixels, (size, size), mode="bilinear", antialias=True)))
                classes.append(number)
        return torch.cat(images), np.array(classes)

    return one("train", train), one("val", test)


def patches(images: Tensor, kernel: int, count: int) -> np.ndarray:
    """Random patches without their means, of unit norm; flat ones are left out."""
    random = np.random.default_rng(0)
    h, w = images.shape[2:]
    picks = [
        images[i, 0, y : y + kernel, x : x + kernel].flatten().numpy()
        for i, y, x in zip(
            random.integers(0, len(images), count), random.integers(0, h - kernel, count),
            random.integers(0, w - kernel, count), strict=True,
        )
    ]  # fmt: skip
    centred = np.stack(picks) - np.mean(picks, 1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    kept = norms > 0.2 * np.median(norms[norms > 0])
    return centred[kept] / norms[kept, None]


def k_means(images: Tensor, maps: int, kernel: int) -> Tensor:
    """The centres of k-means on patches, of unit norm."""
    centres = KMeans(maps, n_init=3, random_state=0).fit(patches(images, kernel, 20000)).cluster_centers_
    found = torch.tensor(centres, dtype=torch.float32).view(maps, 1, kernel, kernel)
    return found / found.flatten(1).norm(dim=1)[:, None, None, None]


def features(net: AdaptiveDeconvNet, images: Tensor, layer: int) -> np.ndarray:
    """Of each map the positive and the negative magnitudes, averaged over 4x4 fields."""
    found = []
    for some in images.split(50):
        z = net.infer(some, layer, max_iter=30, tol=1e-2)[layer].z
        found.append(adaptive_avg_pool2d(torch.cat([z.clamp(min=0), -z.clamp(max=0)], 1), 4).flatten(1))
    return torch.cat(found).numpy()


def accuracy(train: np.ndarray, test: np.ndarray, classes: np.ndarray, true: np.ndarray) -> float:
    """Of a linear SVM whose C is chosen on a fifth of what it learns from."""
    random = np.random.default_rng(0).permutation(len(train))
    held, rest = random[: len(train) // 5], random[len(train) // 5 :]

    def fitted(c: float, rows: np.ndarray) -> Any:
        return make_pipeline(StandardScaler(), LinearSVC(C=c, dual=False, tol=1e-3)).fit(train[rows], classes[rows])

    best = max((1e-4, 1e-3, 1e-2), key=lambda c: fitted(c, rest).score(train[held], classes[held]))
    return float(fitted(best, random).score(test, true))


def rows(name: str, train: Set, test: Set, build: dict[str, Any], learn_from: Tensor) -> Iterator[list[str]]:
    """One row for every kind of features."""
    (x, y), (u, v) = train, test
    small = (28, 28)
    flat = [interpolate(images, small, mode="area").flatten(1).numpy() for images in (x, u)]
    yield [name, "raw pixels", f"{flat[0].shape[1]}", f"{accuracy(flat[0], flat[1], y, v):.1%}"]
    for kind in ("random filters", "k-means", "learned"):
        net = AdaptiveDeconvNet.of(**build)
        layers = (1, 2)
        if kind == "learned":
            fit(net, list(learn_from.split(4)), epochs=(2, 1))
        elif kind == "k-means":
            own = net.layers[0]
            own.filters.data = k_means(learn_from, own.maps, own.kernel)
            layers = (1,)
        found = {layer: [features(net, images, layer) for images in (x, u)] for layer in layers}
        for layer, (a, b) in found.items():
            yield [name, f"{kind}, layer {layer}", str(a.shape[1]), f"{accuracy(a, b, y, v):.1%}"]
        if len(found) == 2:
            a, b = (np.concatenate([found[layer][i] for layer in found], 1) for i in (0, 1))
            yield [name, f"{kind}, layers 1 and 2", str(a.shape[1]), f"{accuracy(a, b, y, v):.1%}"]


def gabor_fit(filter_: np.ndarray) -> float:
    """R² of the best Gabor function: a Gaussian of any shape and place, times a cosine of any direction and phase."""
    k = len(filter_)
    y, x = np.mgrid[:k, :k] - (k - 1) / 2
    weight = filter_**2 / (filter_**2).sum()

    def missed(p: np.ndarray) -> np.ndarray:
        height, y0, x0, long, short, angle, frequency, phase = p
        u = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        v = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
        wave = np.cos(2 * np.pi * frequency * u + phase)
        return (height * np.exp(-0.5 * ((u / short) ** 2 + (v / long) ** 2)) * wave - filter_).ravel()

    low = [-np.inf, -k / 2, -k / 2, 0.4, 0.4, -np.inf, 0, -np.inf]
    high = [np.inf, k / 2, k / 2, k, k, np.inf, 0.5, np.inf]
    start = np.abs(filter_).max(), (weight * y).sum(), (weight * x).sum(), k / 4, k / 4
    costs = [
        least_squares(
            missed, [*start, angle, frequency, phase],
            bounds=(low, high), max_nfev=60,
        ).cost
        for angle in np.arange(4) * np.pi / 4 for frequency in (0.08, 0.16, 0.28) for phase in (0, np.pi / 2)
    ]  # fmt: skip
    return 1 - 2 * min(costs) / ((filter_ - filter_.mean()) ** 2).sum()


def gabor(net: AdaptiveDeconvNet, images: Tensor) -> Iterator[list[str]]:
    """The share of filters that a Gabor function fits with R² above 0.6: learned, random, and from k-means."""
    own = net.layers[0]
    random = AdaptiveDeconvNet.of([own.maps], kernel=own.kernel).layers[0].filters
    kinds = {"learned": own.filters, "random": random, "k-means": k_means(images, own.maps, own.kernel)}
    for kind, filters in kinds.items():
        found = [gabor_fit(one) for one in filters.detach()[:, 0].double().numpy()]
        share = np.mean(np.array(found) > 0.6)
        yield [kind, str(len(found)), f"{own.kernel}x{own.kernel}", f"{share:.0%}", f"{np.median(found):.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist_subset.npz and imagenette144/")
    parser.add_argument("--gabor", type=Path, help="the file of a learned network: fit Gabor functions to its filters")
    parser.add_argument("--set", choices=("digits", "photos"), nargs="*", default=("digits", "photos"))
    given = parser.parse_args()
    print(machine())
    if given.gabor:
        (images, _), _ = photos(given.data, 20, 1, 144)
        table(["filters", "maps", "size", "R² above 0.6", "median R²"], gabor(load_net(given.gabor), images))
        return
    header = ["data", "features", "numbers", "accuracy"]
    if "digits" in given.set:
        train, test = digits(given.data)
        build = {"maps": [16, 32], "kernel": 5, "pool": (2, 2, 2), "lam": (0.2, 0.4)}
        table(header, rows("digits", train, test, build, train[0][:1000]))
    if "photos" in given.set:
        train, test = photos(given.data, 150, 60, 64)
        build = {"maps": [15, 50], "kernel": 7, "pool": (3, 3, 2), "lam": (0.3, 0.6)}
        mixed = train[0][torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(0))]
        table(header, rows("photos", train, test, build, mixed[:1000]))


if __name__ == "__main__":
    main()
