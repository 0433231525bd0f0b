"""Train the bundled network, `zfnet-mini`, and write its weights and card.

    python examples/train_zfnet_mini.py --data imagenette144 --out src/deconvnet/models/weights

The data is a folder `{train,val}/<wnid>_<label>/*.jpg` of photos of 144x144. One command, one seed.
The paper's recipe (Zeiler and Fergus 2013, section 3) where it can be followed: stochastic gradient
descent with momentum, dropout in the fully connected layers, random crops and flips, and every
convolution filter whose RMS exceeds a fixed radius scaled back to it after every update. What is of
today: batch norm while training, folded into the convolutions before the network is written, a
one-cycle learning rate, label smoothing, an average of the weights, bfloat16 products.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deconvnet.models.zfnet import ZFNET_MINI_INPUT_SIZE, zfnet_mini
from deconvnet.training import renormalise

SIZE = ZFNET_MINI_INPUT_SIZE
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# The paper's radius of 0.1 is for pixels in [-128, 128]. With batch norm behind every convolution the
# scale of a filter means nothing to the network, so the radius serves what the paper wants of it,
# that no filter dominates a layer: 0.1 is where a first-layer filter starts (He initialisation: 0.117).
FILTER_RADIUS = 0.1


def read_photos(folder: Path) -> tuple[Tensor, Tensor, list[str]]:
    """All photos of a split as (n, 3, 144, 144) uint8, their class indices, and the class names."""
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    files = [(f, i) for i, c in enumerate(classes) for f in sorted(c.glob("*.jpg"))]
    photos = np.stack([np.asarray(Image.open(f).convert("RGB")) for f, _ in files])
    labels = torch.tensor([i for _, i in files])
    names = [c.name.split("_", 1)[1].replace("_", " ") for c in classes]
    return torch.from_numpy(photos).permute(0, 3, 1, 2).contiguous(), labels, names


def normalise(photos: Tensor) -> Tensor:
    """RGB in 0..1 to zero mean and unit deviation per channel."""
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (photos - mean) / std


def augment(photos: Tensor, random: torch.Generator) -> Tensor:
    """Each photo through its own crop, stretch, flip, brightness, contrast and saturation."""
    n = len(photos)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=random) * (high - low) + low

    area, log_aspect = uniform(0.3, 1.0), uniform(-0.2877, 0.2877)  # aspect 3/4 to 4/3
    width = (area.sqrt() * (log_aspect / 2).exp()).clamp(max=1)
    height = (area.sqrt() * (-log_aspect / 2).exp()).clamp(max=1)
    flip = torch.where(torch.rand(n, generator=random) < 0.5, -1.0, 1.0)
    crop = torch.zeros(n, 2, 3)
    crop[:, 0, 0], crop[:, 0, 2] = width * flip, (1 - width) * uniform(-1, 1)
    crop[:, 1, 1], crop[:, 1, 2] = height, (1 - height) * uniform(-1, 1)
    grid = F.affine_grid(crop, [n, 3, SIZE, SIZE], align_corners=False)
    x = F.grid_sample(photos.float() / 255, grid, padding_mode="reflection", align_corners=False)
    x = x * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    centre = x.mean((1, 2, 3), keepdim=True)
    x = centre + (x - centre) * uniform(0.7, 1.3).view(-1, 1, 1, 1)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.6, 1.4).view(-1, 1, 1, 1)
    return normalise(x.clamp(0, 1))


def average_into(average: dict[str, Tensor], model: nn.Module, step: int) -> None:
    """Follow the model's weights and statistics with an exponential average of about 500 steps."""
    keep = min(0.998, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].mul_(keep).add_(value.float(), alpha=1 - keep)
        else:
            average[name].copy_(value)


def start(model: nn.Sequential) -> nn.Sequential:
    """The model with He's first weights, laid out for fast convolutions."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return model.to(memory_format=torch.channels_last)


def train(
    model: nn.Module, photos: Tensor, labels: Tensor, *, epochs: int, batch: int, rate: float, random: torch.Generator,
    check: Callable[[], float] | None = None, quiet: bool = False,
) -> dict[str, Tensor]:  # fmt: skip
    """Train the model, print a line for each epoch unless `quiet`, and return the average of its weights.

    `check` gives the accuracy that every fifth line adds.
    """
    average = {name: value.clone() for name, value in model.state_dict().items()}
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0.0}],
        lr=rate,
        momentum=0.9,
        nesterov=True,
    )
    steps_per_epoch = len(photos) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps_per_epoch, pct_start=0.2)
    began, step = time.time(), 0
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for chosen in torch.randperm(len(photos), generator=random).split(batch):
            if len(chosen) < batch:
                continue
            x = augment(photos[chosen], random).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            renormalise(model, FILTER_RADIUS)
            average_into(average, model, step)
            total, step = total + loss.item(), step + 1
        if quiet:
            continue
        line = f"epoch {epoch} loss {total / steps_per_epoch:.4f} minutes {(time.time() - began) / 60:.1f}"
        if check is not None and epoch % 5 == 0:
            line += f" val {check():.4f}"
        print(line, flush=True)
    return average


def accuracy(model: nn.Module, photos: Tensor, labels: Tensor) -> float:
    """Top-1 on the centre crop, in float32."""
    model.eval()
    edge = (photos.shape[-1] - SIZE) // 2
    right = 0
    with torch.inference_mode():
        for x, y in zip(photos.split(200), labels.split(200), strict=True):
            crop = x[..., edge : edge + SIZE, edge : edge + SIZE].float() / 255
            right += int((model(normalise(crop)).argmax(1) == y).sum())
    return right / len(photos)


def fold_batch_norm(trained: nn.Sequential, plain: nn.Sequential) -> nn.Sequential:
    """The plain network, given the weights with which it computes what the trained one computes in eval."""
    layers = dict(trained.eval().named_children())
    with torch.no_grad():
        for name, module in plain.eval().named_children():
            if isinstance(module, nn.Conv2d):
                folded = fuse_conv_bn_eval(layers[name], layers[name.replace("conv", "bn")])
                module.load_state_dict(folded.state_dict())
            elif isinstance(module, nn.Linear):
                module.load_state_dict(layers[name].state_dict())
    return plain


def main() -> None:
    parser = argparse.ArgumentParser(description="Train zfnet-mini.")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and val/")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.08, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    photos, labels, names = read_photos(args.data / "train")
    val_photos, val_labels, _ = read_photos(args.data / "val")
    num_classes = len(names)

    model = start(zfnet_mini(num_classes, batch_norm=True))
    began = time.time()
    model.load_state_dict(
        train(
            model, photos, labels, epochs=args.epochs, batch=args.batch, rate=args.rate, random=random,
            check=lambda: accuracy(model, val_photos, val_labels),
        )
    )  # fmt: skip
    plain = fold_batch_norm(model, zfnet_mini(num_classes))
    crop = normalise(val_photos[:50, :, 8 : 8 + SIZE, 8 : 8 + SIZE].float() / 255)
    with torch.inference_mode():
        fold_error = float((plain(crop) - model(crop)).abs().max())
    half = {name: value.half().contiguous() for name, value in plain.state_dict().items()}
    plain.load_state_dict({name: value.float() for name, value in half.items()})
    top1 = accuracy(plain, val_photos, val_labels)
    per_class = {
        name: round(accuracy(plain, val_photos[val_labels == i], val_labels[val_labels == i]), 4)
        for i, name in enumerate(names)
    }
    card = {
        "format_version": 1,
        "model": "zfnet-mini",
        "parameters": sum(p.numel() for p in plain.parameters()),
        "labels": names,
        "preprocess": {"short_side": 160, "size": SIZE, "mean": MEAN, "std": STD},
        "data": "Imagenette (ten ImageNet classes) and domestic cats of the Asirra set; "
        f"{len(photos)} training photos of 144x144. The photos are not part of this project.",
        "recipe": f"python examples/train_zfnet_mini.py --epochs {args.epochs} --batch {args.batch} "
        f"--rate {args.rate} --seed {args.seed}",
        "minutes": round((time.time() - began) / 60, 1),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "fold_error": fold_error,
        "validation": {"photos": len(val_photos), "top1": round(top1, 4), "per_class": per_class},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(half, args.out / "zfnet-mini.safetensors")
    (args.out / "zfnet-mini.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["validation"], indent=2))


if __name__ == "__main__":
    main()
