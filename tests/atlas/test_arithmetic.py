"""How an atlas is computed: always repeatable, and in the precision that its manifest names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.backends import cudnn
from torch.utils._python_dispatch import TorchDispatchMode

from deconvnet import DeconvNet, DeconvNetError, LoadedModel, Preprocess, build_atlas, responsible_maps
from deconvnet.atlas.reader import Atlas


class Settings(TorchDispatchMode):
    """Notes the settings at every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(func):
            self.seen.append((cudnn.conv.fp32_precision == "tf32", cudnn.deterministic))
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    ).eval()
    return LoadedModel(model, Preprocess((14, 14), 14, (0.5,) * 3, (0.5,) * 3))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for i in range(5):
        pixels = torch.randint(0, 256, (16, 16, 3), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
    return folder


def built(net: DeconvNet, photos: Path, out: Path, loaded: LoadedModel, **options: Any) -> Atlas:
    return build_atlas(net, photos, ["1", "4"], k=2, out=out, loaded=loaded, **options)


def test_every_pass_of_an_atlas_is_exact_and_repeatable(loaded: LoadedModel, photos: Path, tmp_path: Path):
    net = DeconvNet(loaded.model, loaded.example_input)
    built(net, photos, tmp_path / "captured", loaded)
    with Settings() as settings:
        atlas = built(net, photos, tmp_path / "atlas", loaded)
    assert len(settings.seen) > 4 and set(settings.seen) == {(False, True)}
    assert atlas.manifest.precision == "float32" and not cudnn.deterministic


def test_every_pass_over_photos_is_exact(loaded: LoadedModel, photos: Path):
    net = DeconvNet(loaded.model, loaded.example_input)
    with Settings() as settings:
        responsible_maps(net, photos, layer="4", loaded=loaded, batch=5, examples=2)
    assert len(settings.seen) > 3 and set(settings.seen) == {(False, False)}


def test_an_atlas_in_half_precision_says_so_and_is_not_continued_in_another(
    loaded: LoadedModel, photos: Path, tmp_path: Path
):
    half = DeconvNet(loaded.model, loaded.example_input, precision="bfloat16")
    atlas = built(half, photos, tmp_path / "atlas", loaded)
    exact = built(DeconvNet(loaded.model, loaded.example_input), photos, tmp_path / "exact", loaded)
    assert (atlas.manifest.precision, exact.manifest.precision) == ("bfloat16", "float32")
    ours, truth = ([top.activation for c in range(5) for top in each.top("4", c)[:1]] for each in (atlas, exact))
    assert ours == pytest.approx(truth, rel=2e-2) and ours != truth
    assert built(half, photos, tmp_path / "atlas", loaded, resume=True).manifest == atlas.manifest
    with pytest.raises(DeconvNetError, match="precision"):
        built(DeconvNet(loaded.model, loaded.example_input), photos, tmp_path / "atlas", loaded, resume=True)
