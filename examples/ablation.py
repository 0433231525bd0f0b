"""Which layers of zfnet-mini matter? The paper's Table 3 in small: networks without some layers, trained alike.

    python examples/ablation.py --data imagenette144 --out ablation.json
    python examples/ablation.py --table ablation.json

Every variant is trained with the recipe of `train_zfnet_mini.py` and the same seed, for 20 epochs on every fourth
photo. What chance alone does is shown by the whole network with three seeds: a difference counts only if it exceeds
the range of their errors. Every run is written as soon as it is done, and runs that are in the file are not repeated;
all of them take one core about 40 minutes. The data is a folder as `train_zfnet_mini.py` takes it.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from train_zfnet_mini import SIZE, fold_batch_norm, normalise, read_photos, start, train

from deconvnet import zfnet_mini
from deconvnet._files import read_json, write_whole

REMEDY = "Give --out another file, or remove it."


class Variant(NamedTuple):
    """How a network differs from zfnet-mini, and what the paper found of the like."""

    name: str
    without: str = ""  # digits of the layers that are left out
    narrower: int = 1  # by which all widths are divided
    first: Mapping[str, tuple[int, int, int]] = MappingProxyType({})  # convolutions of another kernel, stride and pad
    paper: float | None = None  # points of top-1 error that the paper's network lost (Table 3)


VARIANTS = {
    "whole": Variant("whole"),
    "no-3-4": Variant("without 3, 4", without="34", paper=45.4 - 40.5),
    "no-6-7": Variant("without 6, 7", without="6", paper=44.8 - 40.5),
    "no-3-4-6-7": Variant("without 3, 4, 6, 7", without="346", paper=71.3 - 40.5),
    # the paper halves layers 6 and 7 only
    "half": Variant("half width", narrower=2, paper=41.7 - 40.5),
    "stride-4": Variant(
        "first layer 11x11, stride 4", first={"conv1": (11, 4, 5), "conv2": (5, 1, 2)}, paper=40.5 - 38.4
    ),
}
# variant, seed, and of how many photos one is learned from: all of them would take one core more than two hours
RUNS = [(key, 0, 4) for key in VARIANTS] + [("whole", seed, 4) for seed in (1, 2)]


class Run(msgspec.Struct, frozen=True):
    """One trained network: its errors in percent on the photos it learned from and on the others."""

    variant: str
    seed: int
    every: int
    parameters: int
    train_top1: float
    val_top1: float
    val_top5: float
    minutes: float


class Runs(msgspec.Struct):
    """What the file holds."""

    recipe: str
    runs: list[Run]
    format_version: int = 1


def build(variant: Variant, num_classes: int, *, batch_norm: bool) -> nn.Sequential:
    """zfnet-mini with layers left out, narrower, or with other first convolutions."""
    layers, width = nn.Sequential(), 3
    for name, module in zfnet_mini(num_classes, batch_norm=batch_norm).named_children():
        if name[-1] in variant.without:
            continue
        if isinstance(module, nn.Conv2d):
            above = module.out_channels // variant.narrower
            shape = variant.first.get(name, (module.kernel_size[0], module.stride[0], module.padding[0]))
            module, width = nn.Conv2d(width, above, *shape), above
        elif isinstance(module, nn.BatchNorm2d):
            module = nn.BatchNorm2d(width)
        elif isinstance(module, nn.Flatten):
            width *= 4 * 4
        elif isinstance(module, nn.Linear):
            above = num_classes if name == "fc7" else module.out_features // variant.narrower
            module, width = nn.Linear(width, above), above
        layers.add_module(name, module)
    return layers


def errors(model: nn.Module, photos: Tensor, labels: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 errors in percent, on the centre crop in float32."""
    model.eval()
    edge = (photos.shape[-1] - SIZE) // 2
    wrong = torch.zeros(2)
    with torch.inference_mode():
        for x, y in zip(photos.split(200), labels.split(200), strict=True):
            logits = model(normalise(x[..., edge : edge + SIZE, edge : edge + SIZE].float() / 255))
            hits = logits.topk(min(5, logits.shape[1])).indices == y[:, None]
            wrong += torch.stack([~hits[:, 0], ~hits.any(1)]).sum(1)
    top1, top5 = (100 * wrong / len(photos)).tolist()
    return round(top1, 2), round(top5, 2)


def run(args: argparse.Namespace, key: str, seed: int, every: int) -> Run:
    """Train one network as `train_zfnet_mini.py` does, and measure it."""
    began = time.time()
    torch.manual_seed(seed)
    photos, labels, names = read_photos(args.data / "train")
    photos, labels = photos[::every], labels[::every]
    model = start(build(VARIANTS[key], len(names), batch_norm=True))
    random = torch.Generator().manual_seed(seed)
    average = train(model, photos, labels, epochs=args.epochs, batch=args.batch, rate=args.rate, random=random)
    model.load_state_dict(average)
    val_photos, val_labels, _ = read_photos(args.data / "val")
    plain = fold_batch_norm(model, build(VARIANTS[key], len(names), batch_norm=False))
    if args.weights and seed == 0:
        args.weights.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in plain.state_dict().items()}
        save_file(weights, args.weights / f"{key}.safetensors")
    parameters = sum(p.numel() for p in plain.parameters())
    train_top1, _ = errors(plain, photos, labels)
    minutes = round((time.time() - began) / 60, 1)
    return Run(key, seed, every, parameters, train_top1, *errors(plain, val_photos, val_labels), minutes)


def table(runs: list[Run]) -> str:
    """Our errors beside the paper's direction, in Markdown."""
    chance = [row.val_top1 for row in runs if row.variant == "whole"]
    rows = {row.variant: row for row in runs if row.seed == 0}
    spread = max(chance) - min(chance) if len(chance) == 3 else None
    lines = [
        "| network | parameters | training top-1 | validation top-1 | top-5 | against whole | paper | direction |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, variant in VARIANTS.items():
        if (row := rows.get(key)) is None:
            continue
        cells = [variant.name, f"{row.parameters:,}", *map(str, (row.train_top1, row.val_top1, row.val_top5))]
        if key == "whole" or "whole" not in rows or variant.paper is None:
            cells += ["", "", ""]
        else:
            change = row.val_top1 - rows["whole"].val_top1
            cells += [f"{change:+.1f}", f"{variant.paper:+.1f}", verdict(change, variant.paper, spread)]
        lines.append(f"| {' | '.join(cells)} |")
    if spread is not None:
        three = ", ".join(map(str, chance))
        lines += ["", f"Spread: three seeds gave {three}, a range of {spread:.1f} points."]
    return "\n".join(lines)


def verdict(change: float, paper: float, spread: float | None) -> str:
    """Whether a difference goes the paper's way, and by more than chance gives."""
    if spread is None:
        return "spread not measured yet"
    if abs(change) <= spread:
        return "within the spread"
    return "as in the paper" if (change > 0) == (paper > 0) else "against the paper"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train zfnet-mini without some of its layers.")
    parser.add_argument("--data", type=Path, help="folder with train/ and val/")
    parser.add_argument("--out", type=Path, help="JSON file of the results; runs it already holds are left out")
    parser.add_argument("--weights", type=Path, help="folder for the weights of the variants, batch norm folded in")
    parser.add_argument("--table", type=Path, help="only print the table of this JSON file")
    parser.add_argument("--part", type=int, choices=range(len(RUNS)), help="only this run")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.08, help="highest learning rate")
    args = parser.parse_args()
    if args.table:
        print(table(read_json(args.table, Runs, REMEDY).runs))
        return
    if args.data is None or args.out is None:
        parser.error("give --data and --out, or --table")
    if not any(args.data.glob("train/*/*.jpg")):
        parser.error(f"{str(args.data)!r} holds no photos. Give a folder {{train,val}}/<wnid>_<label>/*.jpg.")
    recipe = f"--epochs {args.epochs} --batch {args.batch} --rate {args.rate}"
    done = Runs(recipe, [])
    if args.out.exists():
        done = read_json(args.out, Runs, REMEDY)
        if done.recipe != recipe:
            parser.error(f"{str(args.out)!r} was made with {done.recipe}, not with {recipe}. {REMEDY}")
    for i, (key, seed, every) in enumerate(RUNS):
        had = any((row.variant, row.seed, row.every) == (key, seed, every) for row in done.runs)
        if had or args.part not in (None, i):
            continue
        print(f"{VARIANTS[key].name}, seed {seed}, one photo in {every}", flush=True)
        done.runs.append(run(args, key, seed, every))
        write_whole(args.out, lambda file: file.write(msgspec.json.format(msgspec.json.encode(done)) + b"\n"))
    print(table(done.runs))


if __name__ == "__main__":
    main()
