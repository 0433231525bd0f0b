"""What is each layer worth to a linear classifier that has few photos? The paper's Tables 4 and 7 in small.

    python examples/depth.py --data imagenette144/val --short-side 144
    python examples/depth.py --data imagenette144/val --model torchvision:squeezenet1_1 --scratch-draws 0

The network stays as it is, and a linear SVM and a softmax (scikit-learn) learn from what a layer gives for 15 and 30
photos of each class; both are measured on up to 50 others, as the mean of the classes' accuracies, over five draws.
Beside them stands a network of the same kind that is trained from scratch on the same photos, by the recipe of
`train_zfnet_mini.py` on its crops of 128x128.

The paper does not say how it makes features of large layers: here a layer of more than 9,216 numbers, which is what
the paper's layer 5 has, is averaged over the finest grid with no more than those. Nor does it give the classifiers'
settings: C is chosen among five by cross-validation on the training photos. `--data` is a folder `<class>/*.jpg` of
photos of one size; choose photos that the network did not learn from.
"""

import argparse
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from train_zfnet_mini import accuracy, read_photos, start, train

from deconvnet import DeconvNet, LoadedModel, load_model, watch_activations, zfnet_mini
from deconvnet.ways import main_layers

try:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import LinearSVC
except ImportError:
    raise SystemExit("This example needs scikit-learn: pip install scikit-learn") from None

LARGEST = 9216  # numbers of a layer, as in the paper's layer 5
TESTED = 50  # photos of a class, at most, as in the paper
SETTINGS = {"C": [0.01, 0.1, 1.0, 10.0, 100.0]}
PAPER_DEPTH = (44.8, 66.2, 72.3, 76.6, 86.2, 85.5)  # Table 7, SVM on layers 1 to 5 and 7, 30 photos of each class
PAPER_SCRATCH = {15: "; in the paper 83.8 and 22.8", 30: "; in the paper 86.5 and 46.5"}  # Table 4
CLASSIFIERS = {"SVM": LinearSVC(max_iter=20_000), "softmax": LogisticRegression(max_iter=5000)}

Rows = NDArray[np.float32]


def pooled(values: Tensor) -> Rows:
    """The maps of a layer as rows of at most `LARGEST` numbers, averaged over a grid where there are more."""
    values = values.float()
    if values.ndim == 4 and values[0].numel() > LARGEST:
        grid = max(1, math.isqrt(LARGEST // values.shape[1]))
        values = adaptive_avg_pool2d(values, (min(grid, values.shape[2]), min(grid, values.shape[3])))
    return values.flatten(1).numpy().copy()  # the values are lent


def features(loaded: LoadedModel, photos: Tensor, layers: Sequence[str]) -> dict[str, Rows]:
    """Of each layer one row for every photo, from one pass; no more than 32 photos' maps are held at a time."""
    net = DeconvNet(loaded.model, loaded.example_input)
    rows: dict[str, list[Rows]] = {name: [] for name in layers or main_layers(net, loaded.example_input)}

    def keep(name: str, values: Tensor) -> None:
        rows[name].append(pooled(values))

    for batch in photos.split(32):
        x = loaded.preprocess.images([photo.permute(1, 2, 0).numpy() for photo in batch])
        watch_activations(net, x, list(rows), keep)
    return {name: np.concatenate(batches) for name, batches in rows.items()}


def draw(labels: NDArray[np.int64], few: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The photos to learn from, `few` of each class, and up to 50 others of each class."""
    random = np.random.default_rng(seed)
    mixed = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    if (fewest := min(map(len, mixed))) <= few:
        raise SystemExit(f"{few} photos of each class are to be learned from, but one class has {fewest}.")
    return np.concatenate([m[:few] for m in mixed]), np.concatenate([m[few : few + TESTED] for m in mixed])


def reduced(train_rows: Rows, test_rows: Rows, *, unit_length: bool) -> tuple[Rows, Rows]:
    """The same rows in the few directions in which the training rows differ, which is all a linear classifier uses."""
    if unit_length:
        train_rows, test_rows = (r / np.linalg.norm(r, axis=1)[:, None].clip(1e-12) for r in (train_rows, test_rows))
    mean = train_rows.mean(0)
    directions = np.linalg.svd(train_rows - mean, full_matrices=False)[2]
    first, second = ((rows - mean) @ directions.T for rows in (train_rows, test_rows))
    scale = np.linalg.norm(first, axis=1).mean().clip(1e-12)
    return first / scale, second / scale


def score(model: Any, rows: tuple[Rows, Rows], learned: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The mean of the classes' accuracies, in percent, with the C that is best in cross-validation."""
    fitted = GridSearchCV(model, SETTINGS, cv=3).fit(rows[0], learned)
    return 100 * float(balanced_accuracy_score(true, fitted.predict(rows[1])))


def classified(
    rows: Rows, labels: NDArray[np.int64], few: int, draws: int, *, unit_length: bool
) -> dict[str, list[float]]:
    """What each kind of classifier scores on one layer, in every draw."""
    scores: dict[str, list[float]] = {kind: [] for kind in CLASSIFIERS}
    for seed in range(draws):
        learn, test = draw(labels, few, seed)
        both = reduced(rows[learn], rows[test], unit_length=unit_length)
        for kind, model in CLASSIFIERS.items():
            scores[kind].append(score(model, both, labels[learn], labels[test]))
    return scores


class FirstScores(nn.Module):
    """A network's first `number` scores, to train one of many classes on few."""

    def __init__(self, model: nn.Module, number: int) -> None:
        super().__init__()
        self.model, self.number = model, number

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[:, : self.number]


def scratch(args: argparse.Namespace, model: nn.Module, photos: Tensor, labels: Tensor, few: int, seed: int) -> float:
    """Accuracy in percent of a network of the same kind that has learned from the same few photos only."""
    learn, test = draw(labels.numpy(), few, seed)
    number = int(labels.max()) + 1
    torch.manual_seed(seed)
    bundled = args.model == "zfnet-mini"  # whose recipe has batch norm
    kind = zfnet_mini(number, batch_norm=True) if bundled else FirstScores(copy.deepcopy(model), number)
    fresh = start(kind.requires_grad_(True))
    average = train(
        fresh, photos[learn], labels[learn], epochs=args.scratch_epochs, batch=min(16, len(learn)),
        rate=args.rate, random=torch.Generator().manual_seed(seed), quiet=True,
    )  # fmt: skip
    fresh.load_state_dict(average)
    each = [accuracy(fresh, photos[test][labels[test] == i], labels[test][labels[test] == i]) for i in range(number)]
    return 100 * float(np.mean(each))


def mean_and_deviation(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1 if len(values) > 1 else 0):.1f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well linear classifiers do on each layer, with few photos.")
    parser.add_argument("--data", type=Path, required=True, help="folder <class>/*.jpg of photos of one size")
    parser.add_argument("--model", default="zfnet-mini", help="model spec")
    parser.add_argument("--weights", help="file of weights")
    parser.add_argument("--size", help="height and width of the network's input")
    parser.add_argument("--mean", help="of each channel")
    parser.add_argument("--std", help="of each channel")
    parser.add_argument("--short-side", type=int, help="resize photos to this before the centre is cut out")
    parser.add_argument("--layers", nargs="+", default=(), help="names; without them the rectified main layers")
    parser.add_argument("--few", type=int, nargs="+", default=(15, 30), help="photos of each class to learn from")
    parser.add_argument("--draws", type=int, default=5, help="times that photos are drawn")
    parser.add_argument("--unit-length", action="store_true", help="scale the features of each photo to unit length")
    parser.add_argument("--scratch-draws", type=int, default=3, help="networks trained from scratch; 0: none")
    parser.add_argument("--scratch-epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, default=0.02, help="highest learning rate, from scratch")
    args = parser.parse_args()
    if min(args.few) < 3 or args.draws < 1:
        parser.error("--few takes 3 or more, for the cross-validation, and --draws 1 or more.")
    if not any(args.data.glob("*/*.jpg")):
        parser.error(f"{str(args.data)!r} holds no photos. Give a folder <class>/*.jpg.")
    return args


def main() -> None:
    args = arguments()
    loaded = load_model(args.model, weights=args.weights, size=args.size, mean=args.mean, std=args.std)
    if args.short_side is not None:
        loaded = replace(loaded, preprocess=replace(loaded.preprocess, short_side=args.short_side))
    photos, labels, names = read_photos(args.data)
    columns = [(kind, few) for kind in CLASSIFIERS for few in args.few]
    print(f"{len(names)} classes, {args.draws} draws; percent, mean ± standard deviation\n")
    print(f"| layer | numbers | {' | '.join(f'{kind}, {few} photos' for kind, few in columns)} |")
    print(f"|---|---|{'---|' * len(columns)}")
    depth = []
    for name, rows in features(loaded, photos, args.layers).items():
        scores = {
            few: classified(rows, labels.numpy(), few, args.draws, unit_length=args.unit_length) for few in args.few
        }
        cells = [mean_and_deviation(scores[few][kind]) for kind, few in columns]
        print(f"| {name} | {rows.shape[1]:,} | {' | '.join(cells)} |", flush=True)
        depth.append(float(np.mean(scores[args.few[-1]]["SVM"])))
    if len(set(depth)) > 1:
        ours, paper = (float(spearmanr(range(len(row)), row).statistic) for row in (depth, PAPER_DEPTH))
        print(f"\nAccuracy rises with depth: rank correlation {ours:.2f}, in the paper {paper:.2f}")
    for few in args.few if args.scratch_draws else ():
        trained = [scratch(args, loaded.model, photos, labels, few, seed) for seed in range(args.scratch_draws)]
        frozen = mean_and_deviation(scores[few]["softmax"])
        ours = f"{frozen} on the last layer, {mean_and_deviation(trained)} from scratch"
        print(f"{few} photos: {ours}{PAPER_SCRATCH.get(few, '')}", flush=True)


if __name__ == "__main__":
    main()
