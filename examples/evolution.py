"""Watch the features of `zfnet-mini` while it trains (Zeiler and Fergus 2013, figure 4), and draw what was seen.

    python examples/evolution.py --out evolution
    python examples/evolution.py --out evolution --data imagenette144 --share 4 --epochs 8

Without `--data` the network learns to tell crops of twelve of scikit-image's photos apart, in a few minutes. With it,
the data is a folder as `train_zfnet_mini.py` takes it. The snapshots go to `OUT/snapshots`, the figures beside them.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage import data
from torch import Tensor, nn
from train_zfnet_mini import FILTER_RADIUS, SIZE, augment, normalise, read_photos

from deconvnet.models.zfnet import zfnet_mini
from deconvnet.training import Evolution, renormalise

PHOTOS = (
    "astronaut", "brick", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
    "immunohistochemistry", "motorcycle", "retina", "rocket",
)  # fmt: skip
CROPS, EDGE = 16, 144  # crops of each photo, and their length in pixels


def crops_of_photos(seed: int) -> tuple[Tensor, Tensor]:
    """Square crops of scikit-image's photos, (n, 3, 144, 144) uint8, and the photo that each is of."""
    random, crops = np.random.default_rng(seed), []
    for name in PHOTOS:
        photo = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
        image = Image.fromarray(photo).convert("RGB")
        for _ in range(CROPS):
            side = int(min(image.size) * random.uniform(0.35, 0.9))
            left, top = (int(random.integers(0, length - side + 1)) for length in image.size)
            crop = image.resize((EDGE, EDGE), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
            crops.append(np.asarray(crop))
    labels = torch.arange(len(PHOTOS)).repeat_interleave(CROPS)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous(), labels


class Centres:
    """The middle of every photo as the network takes it, in batches, without anything random."""

    def __init__(self, photos: Tensor) -> None:
        self._photos = photos

    def __iter__(self) -> Iterator[Tensor]:
        edge = (self._photos.shape[-1] - SIZE) // 2
        for batch in self._photos.split(64):
            yield normalise(batch[..., edge : edge + SIZE, edge : edge + SIZE].float() / 255)


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch zfnet-mini while it trains.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the snapshots and the figures")
    parser.add_argument("--data", type=Path, help="folder with train/")
    parser.add_argument("--share", type=int, default=1, help="take one photo in so many")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--maps", type=int, default=4, help="maps of each layer")
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    photos, labels = crops_of_photos(args.seed) if args.data is None else read_photos(args.data / "train")[:2]
    photos, labels = photos[:: args.share], labels[:: args.share]
    model = zfnet_mini(int(labels.max()) + 1, batch_norm=True)
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)  # as in the paper
    model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), args.rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    layers = [f"relu{i}" for i in range(1, 6)]
    epochs = [epoch for epoch in (1, 2, 3, 5, 8, 12, 20, 30, 40, 64) if epoch <= args.epochs]
    evolution = Evolution(
        model, Centres(photos), folder=args.out / "snapshots", layers=layers, maps=args.maps, epochs=epochs
    )

    start = time.time()
    for epoch in range(1, args.epochs + 1):
        model.train()
        right = 0
        for batch in torch.randperm(len(photos), generator=random).split(32):
            x = augment(photos[batch], random).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x)
            optimiser.zero_grad()
            F.cross_entropy(logits.float(), labels[batch]).backward()
            optimiser.step()
            scaled = renormalise(model, FILTER_RADIUS)
            right += int((logits.argmax(1) == labels[batch]).sum())
        evolution.after(epoch)
        print(f"epoch {epoch} right {right / len(photos):.3f} filters scaled {scaled} "
              f"minutes {(time.time() - start) / 60:.1f}", flush=True)  # fmt: skip

    snapshots = evolution.snapshots()
    snapshots.figure().save(args.out / "evolution.png", force=True)
    snapshots.convergence.figure().save(args.out / "convergence.png", force=True)
    print(snapshots.convergence.to_frame().to_string(float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
