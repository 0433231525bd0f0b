"""Every network of torchvision and of timm's families: right, refused with a sentence, or a fault.

    python benchmarks/coverage.py [--only WORDS] [--log coverage.jsonl] [--most 30] [--minutes 60]

Each network has random weights and statistics that fit them, and two random images. The rule set `gradient` is compared
with the network's own autograd, `deconvnet` with autograd that has the paper's way down in its backward, which knows
nothing of captured steps. In float32 up to 1e-5, else in float64 up to 1e-10. A fault is a wrong signal, or an error
that is not a `DeconvNetError`. With `--log` each row is added to a file as it is known, and networks that are in the
file already are left out.
"""

import argparse
import gc
import json
import sys
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deconvnet import DeconvNet, DeconvNetError
from deconvnet.network import attached as attached_to

TIMM = [
    "resnet10t", "resnetblur50", "ecaresnet50t", "seresnext26t_32x4d", "skresnet18", "resnest14d", "res2net50_14w_8s",
    "regnety_002", "mobilenetv2_050", "mobilenetv3_small_050", "efficientnet_lite0", "ghostnet_050", "repvgg_a0",
    "mobileone_s0", "ese_vovnet19b_slim", "dla46_c", "hrnet_w18_small", "dpn48b", "cspdarknet53", "resnetv2_50",
    "convnext_atto", "selecsls42b", "tf_efficientnet_b0", "starnet_s1", "xception41", "inception_v4", "nf_regnet_b0",
    "hgnetv2_b0", "lcnet_050", "tresnet_m",
    # a small one of every other family
    "beit_base_patch16_224", "halonet_h1", "mobileone_s1", "cait_xxs24_224", "coat_tiny", "convit_tiny",
    "convmixer_768_32", "cpubone_nano", "crossvit_tiny_240", "csatv2", "cs3darknet_focus_s", "cspnext_tiny",
    "davit_tiny", "deepseek_vit_412m", "deit_tiny_patch16_224", "densenet121", "dla34", "edgenext_xx_small",
    "efficientformer_l1", "efficientformerv2_s0", "tinynet_d", "efficientvim_m1", "efficientvit_b0",
    "efficientvit_m0", "eva02_base_patch14_224", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny",
    "gemma4_vit_167m", "hardcorenas_b", "hiera_tiny_224", "sam2_hiera_tiny", "iformer_t", "inception_next_atto",
    "inception_resnet_v2", "inception_v3", "lcnetv2_small", "levit_128", "lowformer_b0", "mambaout_femto",
    "coatnet_0_224", "poolformer_s12", "gmlp_ti16_224", "lcnet_035", "mobilenetv5_base", "mobilevit_xxs",
    "mvitv2_tiny", "naflexvit_base_patch16_siglip", "nasnetalarge", "nest_tiny", "nextvit_small", "pit_ti_224",
    "pnasnet5large", "pvt_v2_b0", "qwen3_vit_88m", "rdnet_tiny", "regnetx_002", "repghostnet_050", "repvit_m1",
    "res2next50", "resnetv2_18", "rexnet_100", "selecsls42", "legacy_seresnet18", "sequencer2d_s", "shvit_s1",
    "starnet_s050", "swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_224",
    "tiny_vit_5m_224", "tnt_s_legacy_patch16_224", "twins_svt_small", "vgg11", "visformer_tiny", "flexivit_small",
    "vit_base_r50_s16_224", "samvit_base_patch16_224", "vitamin_small_224", "volo_d1_224", "ese_vovnet19b_slim_dw",
    "legacy_xception", "xception41p", "xcit_nano_12_p8_224", "halonet26t", "vovnet39a", "xception",
    "xcit_nano_12_p16_224",
]  # fmt: skip
SIZES = (64, 96, 128, 224, 240, 256)
WIDE = 1e-5  # above it a network that amplifies float32's last bits is looked at in float64


def names() -> list[str]:
    """All of torchvision's networks for photos, clips and maps of classes, and one or more of every family of timm."""
    models = torchvision.models
    parts = (models, models.segmentation, models.video)
    return [f"torchvision:{name}" for part in parts for name in models.list_models(part)] + [f"timm:{n}" for n in TIMM]


def parameters(name: str) -> int:
    """How many weights a network has, without making them."""
    try:
        with torch.device("meta"):
            return sum(weight.numel() for weight in made(name).parameters())
    except Exception:  # some read numbers from their weights as they are made
        return 10**9


def made(name: str) -> nn.Module:
    """A network with random weights."""
    library, _, model = name.partition(":")
    options = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
    if model in torchvision.models.list_models(torchvision.models.segmentation):
        options["weights_backbone"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "torchvision":
            return torchvision.models.get_model(model, weights=None, **options)
        return timm.create_model(model, pretrained=False)


# the independent way down ---------------------------------------------------------------------------


class _Rectified(torch.autograd.Function):
    """A rectifier whose backward rectifies the signal and knows nothing of the way up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None]:
        return signal.clamp(min=0), None


class PaperWayDown(TorchFunctionMode):
    """While it is on, autograd goes down as DeconvNet does; only the input may require a gradient."""

    IN_PLACE = (torch.relu_, Tensor.relu_, F.relu_)
    RELUS = (F.relu, torch.relu, Tensor.relu, *IN_PLACE)
    CLAMPS = (F.relu6, F.hardtanh, F.hardtanh_, torch.clamp, Tensor.clamp, Tensor.clamp_)
    LARGER = (torch.max, torch.maximum, torch.fmax, Tensor.max, Tensor.maximum, Tensor.fmax)
    PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.mul_, Tensor.__imul__)

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in self.RELUS or (function in self.CLAMPS and self._from_zero(function, args, kwargs)):
            return self._rectified(function, args, kwargs)
        if function is F.local_response_norm:
            return args[0] + (function(args[0].detach(), *args[1:], **kwargs) - args[0]).detach()
        if function in self.LARGER and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            first = args[0].detach() >= args[1].detach()
            return args[0] * first + args[1] * ~first
        if function in self.PRODUCTS and len(args) == 2 and all(isinstance(a, Tensor) for a in args):
            args = self._gated(*args)
        return function(*args, **kwargs)

    @staticmethod
    def _from_zero(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
        if function is F.relu6:
            return True
        low = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("min_val"))
        return isinstance(low, int | float) and low == 0

    def _rectified(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
        x = args[0] if args else kwargs.pop("input")
        in_place = function in (*self.IN_PLACE, F.hardtanh_, Tensor.clamp_) or kwargs.get("inplace")
        with torch.no_grad():
            value = function(x.detach().clone(), *args[1:], **kwargs)
        if not in_place:
            return _Rectified.apply(x, value)
        return x.copy_(_Rectified.apply(x.clone(), value))

    @staticmethod
    def _gated(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """A factor with one value per map, expanded or not, is a constant if the other is a map."""
        if a.requires_grad and b.requires_grad and a.ndim == b.ndim > 2:
            single = [
                all(n == 1 or step == 0 for n, step in zip(one.shape[2:], one.stride()[2:], strict=True))
                for one in (a, b)
            ]
            if single[0] != single[1]:
                return (a.detach(), b) if single[0] else (a, b.detach())
        return a, b


# the networks ---------------------------------------------------------------------------------------


def network_of(name: str) -> tuple[nn.Module, Tensor]:
    """A network in eval with random weights and statistics that fit them, and two images or clips for it."""
    torch.manual_seed(zlib.crc32(name.encode()))
    model = made(name).requires_grad_(False).eval()
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():  # a head that begins at zero lets no signal down
            nn.init.normal_(weight, std=0.02)
    shapes = [(3, size, size) for size in SIZES] + [(3, 16, 112, 112), (3, 16, 224, 224)]
    shape = next((shape for shape in shapes if _runs(model, shape)), None)
    if shape is None:
        raise RuntimeError("it runs on none of the shapes that were tried")
    _settle(model, torch.randn(4, *shape))
    return model, torch.randn(2, *shape)


def _runs(model: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        model(torch.zeros(1, *shape))
    except Exception:  # too small, or of the wrong rank: each library says it in its own way
        return False
    return True


def _settle(model: nn.Module, images: Tensor) -> None:
    """Batch norm's statistics from images, its scales and shifts of all sizes, so that no layer is idle."""
    for norm in (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)):
        norm.momentum = 1.0
        norm.train()
        if norm.affine:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
    model(images)
    model.eval()


def scores_of(model: nn.Module, x: Tensor) -> Tensor:
    """Class scores, also of a model that returns several tensors by name."""
    output = model(x)
    return output["out"] if isinstance(output, dict) else output


def chosen(scores: Tensor) -> list[tuple[int, ...]]:
    """One score of each image: of the most likely class, in maps of classes in the middle."""
    middle = tuple(length // 2 for length in scores.shape[2:])
    return [(int(image[(slice(None), *middle)].argmax()), *middle) for image in scores]


def signal_at_input(model: nn.Module, x: Tensor, targets: list[tuple[int, ...]], *, paper: bool) -> Tensor:
    """What autograd brings down to the input from one score of each image."""
    leaf = x.clone().requires_grad_()
    if paper:
        with PaperWayDown():
            scores = scores_of(model, leaf + 0)
    else:
        scores = scores_of(model, leaf + 0)
    total = sum(scores[(image, *target)] for image, target in enumerate(targets))
    assert isinstance(total, Tensor)
    (signal,) = torch.autograd.grad(total, leaf)
    return signal


def error(ours: Tensor, truth: Tensor) -> float:
    """`max|a - b| / max|b|`."""
    assert ours.shape == truth.shape
    size = truth.abs().max().item()
    assert size > 0, "a signal that is zero everywhere proves nothing"
    return (ours - truth).abs().max().item() / size


def row_of(name: str) -> dict[str, Any]:
    """What became of a network: by rule set how far it is off, or the sentence with which it was refused."""
    model, x = network_of(name)
    facts: dict[str, Any] = {"name": name, "size": tuple(x.shape[1:]), "weights": parameters(name)}
    began = time.perf_counter()
    try:
        net = _attached(model, x)
        facts |= {
            "seconds": round(time.perf_counter() - began, 2),
            "steps": len(attached_to(net).captures.graph(x).steps),
        }
    except Exception as trouble:
        return {**facts, "capture": words(trouble)}
    facts |= _errors(net, model, x)
    if any(isinstance(value, float) and value > WIDE for value in (facts["gradient"], facts["deconvnet"])):
        model, x = model.double(), x.double()
        try:
            found = _errors(_attached(model, x), model, x)
        except Exception as trouble:
            return {**facts, "capture": words(trouble)}
        facts |= {f"{rules} in float64": value for rules, value in found.items()}
    return facts


def _attached(model: nn.Module, x: Tensor) -> DeconvNet:
    named = isinstance(model(x), dict)
    return DeconvNet(model, x, rules="gradient", smooth="gradient", output="out" if named else None)


def _errors(net: DeconvNet, model: nn.Module, x: Tensor) -> dict[str, float | str]:
    targets = chosen(scores_of(model, x))
    errors: dict[str, float | str] = {}
    for rules, smooth in (("gradient", "gradient"), ("deconvnet", "refuse")):
        try:
            explain = net.with_rules(rules, smooth=smooth).explain
            pictures = [
                explain(x, target if target[1:] else target[0], start="one").full()[i]
                for i, target in enumerate(targets)
            ]
            errors[rules] = error(torch.stack(pictures), signal_at_input(model, x, targets, paper=rules == "deconvnet"))
        except Exception as trouble:
            errors[rules] = words(trouble)
    return errors


def words(trouble: Exception) -> str:
    """A sentence of ours, or what came instead of one."""
    kind = "refused" if isinstance(trouble, DeconvNetError) else f"FOREIGN {type(trouble).__name__}"
    return f"{kind}: {' '.join(str(trouble).split())}"


def verdict(row: dict[str, Any], rules: str) -> str:
    """In one word what became of a network under a rule set."""
    value = row.get("capture", row.get(rules))
    if isinstance(value, str):
        return "FOREIGN" if value.startswith("FOREIGN") else "refused"
    wide = row.get(f"{rules} in float64", 0.0)
    return "right" if value <= WIDE or (isinstance(wide, float) and wide <= 1e-10) else "WRONG"


def line(row: dict[str, Any]) -> str:
    """A row for people: the verdicts, and the sentences behind those that are not right."""
    verdicts = [verdict(row, rules) for rules in ("gradient", "deconvnet")]
    said = dict.fromkeys(str(row[key]) for key in ("capture", "gradient", "deconvnet") if isinstance(row.get(key), str))
    if "WRONG" in verdicts:
        said |= dict.fromkeys(f"{key} {value}" for key, value in row.items() if key.startswith(("grad", "deco")))
    size, seconds = "x".join(map(str, row.get("size", ()))), row.get("seconds", 0)
    return f"{row['name']:48} {size:14} {seconds:6.1f}s {verdicts[0]:8} {verdicts[1]:8} {'; '.join(said)[:300]}"


def rows(wanted: list[str], done: set[str], until: float) -> Iterator[dict[str, Any]]:
    """The rows of the networks that are not done, one after the other, until the time is over."""
    for name in wanted:
        if name in done:
            continue
        if time.monotonic() > until:
            return
        try:
            yield row_of(name)
        except Exception as trouble:  # the network itself cannot be made or run
            yield {"name": name, "unusable": f"{type(trouble).__name__}: {trouble}"}
        gc.collect()


def main() -> None:
    """Print the table and what there is of each verdict; exit code 1 if anything is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only networks with this in their name")
    parser.add_argument("--log", type=Path, help="file of rows as JSON, one a line, that is added to")
    parser.add_argument("--most", type=float, default=float("inf"), help="only up to this many million weights")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no other network after that")
    options = parser.parse_args()
    sizes = {name: parameters(name) for name in names() if options.only in name}
    wanted = sorted((name for name in sizes if sizes[name] <= options.most * 1e6), key=lambda name: sizes[name])
    known = (
        [json.loads(text) for text in options.log.read_text().splitlines()]
        if options.log and options.log.exists()
        else []
    )
    all_rows = list(known)
    for row in rows(wanted, {row["name"] for row in known}, time.monotonic() + 60 * options.minutes):
        all_rows.append(row)
        print(f"{row['name']:48} {row['unusable'][:200]}" if "unusable" in row else line(row), flush=True)
        if options.log:
            with options.log.open("a") as file:
                file.write(json.dumps(row) + "\n")
    usable = [row for row in all_rows if "unusable" not in row]
    counts = Counter((rules, verdict(row, rules)) for row in usable for rules in ("gradient", "deconvnet"))
    print(f"{len(usable)} of {len(wanted)} networks")
    for (rules, word), count in sorted(counts.items()):
        print(f"{rules:10} {word:8} {count}")
    sys.exit(any(word in ("WRONG", "FOREIGN") for _, word in counts))


if __name__ == "__main__":
    main()
