"""Directions in a layer's feature maps, found by NMF, and their atlas: what each of them responds to.

    python examples/directions.py PHOTOS -o directions
    python examples/directions.py PHOTOS --model torchvision:googlenet --layer inception4c --count 32 -o directions

Photos are run through the network, and of each the layer's activations at some positions are kept: a row of numbers
for each position, all 0 or more behind a rectifier. Non-negative matrix factorisation (scikit-learn) writes all rows as
sums of a few, the directions. What comes of it is directions.safetensors, which the commands take as --directions, and
an atlas.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from deconvnet import Atlas, DeconvNet, LoadedModel, build_atlas, load_model, open_photos
from deconvnet.photos.batches import batches

try:
    from sklearn.decomposition import NMF
except ImportError:
    raise SystemExit("This example needs scikit-learn: pip install scikit-learn") from None

BATCH = 16


def rows_of(net: DeconvNet, loaded: LoadedModel, photos: object, layer: str, positions: int, seed: int) -> np.ndarray:
    """The activations at so many positions of each photo, drawn at random: a row for each position."""
    opened, random = open_photos(photos), np.random.default_rng(seed)
    found = []
    for part in batches(opened, np.arange(len(opened)), loaded.preprocess, min(BATCH, len(opened))):
        if not len(part.indices):
            continue
        x = part.images[torch.from_numpy(part.slots)].to(loaded.example_input)
        values = net.activations(x, layer)[layer].flatten(2).movedim(1, 2).cpu().numpy()  # (n, positions, maps)
        for image in values:
            at = random.choice(len(image), min(positions, len(image)), replace=False)
            found.append(image[at])
    return np.concatenate(found)


def directions_of(rows: np.ndarray, count: int, seed: int) -> torch.Tensor:
    """Directions that add up to the rows: (count, maps), each of length 1."""
    if (rows < 0).any():
        raise SystemExit("the layer has values below 0, which NMF does not take: choose one behind a rectifier.")
    factors = NMF(count, init="nndsvda", max_iter=400, random_state=seed).fit(rows.astype(np.float64)).components_
    lengths = np.linalg.norm(factors, axis=1, keepdims=True)
    return torch.from_numpy(factors / np.maximum(lengths, 1e-12)).float().contiguous()


def main(arguments: list[str] | None = None) -> Atlas:
    """Find directions, and make their atlas."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="folder of photos, or whatever else open_photos takes")
    parser.add_argument("--model", default="zfnet-mini")
    parser.add_argument("--weights", help="weights file of the model")
    parser.add_argument("--size", type=int, help="of the input, where the model does not say")
    parser.add_argument("--mean", type=float, nargs="+", help="of each input channel, where the model does not say")
    parser.add_argument("--std", type=float, nargs="+", help="the standard deviation of each")
    parser.add_argument("--layer", default="relu4")
    parser.add_argument("--count", type=int, default=16, help="number of directions")
    parser.add_argument("--positions", type=int, default=32, help="of each photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    given = parser.parse_args(arguments)
    loaded = load_model(given.model, weights=given.weights, size=given.size, mean=given.mean, std=given.std)
    net = DeconvNet(loaded.model, loaded.example_input, labels=loaded.labels)
    rows = rows_of(net, loaded, given.photos, given.layer, given.positions, given.seed)
    weight = directions_of(rows, given.count, given.seed)
    given.output.mkdir(parents=True)
    save_file({"weight": weight}, given.output / "directions.safetensors")
    hung = net.with_directions(given.layer, weight)
    atlas = build_atlas(hung, given.photos, ["directions"], out=given.output / "atlas", loaded=loaded)
    print(f"{len(weight)} directions of {given.layer} from {len(rows):,} positions -> {given.output}")
    return atlas


if __name__ == "__main__":
    main()
