"""The examples are scripts that import each other; here are photos for them, of three plain colours with noise."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

COLOURS = {"n01_red": (200, 60, 60), "n02_green": (60, 200, 60), "n03_dark_blue": (40, 40, 120)}


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/` and `val/` with eight photos of each class, 144x144."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split in ("train", "val"):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for i in range(8):
                pixels = np.clip(colour + random.normal(0, 30, (144, 144, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.jpg")
    return folder
