"""The site of an atlas that the documents show: zfnet-mini over crops of scikit-image's photos.

    python examples/atlas_site.py -o build/site

Fetches nothing, and takes some minutes. `make site` runs it.
"""

import argparse
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import skimage.data
from PIL import Image

from deconvnet import DeconvNet, build_atlas, load_model, write_site

PHOTOS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket")
ACROSS = {2: 0.5, 4: 0.25}  # crops across each photo: the side of each, as a share of the photo's shorter side


def write_crops(folder: Path) -> None:
    """Write square crops of each photo, of two sizes."""
    for name in PHOTOS:
        photo = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
        for across, share in ACROSS.items():
            side = round(share * min(photo.size))
            for row, column in itertools.product(range(across), repeat=2):
                left, top = ((length - side) * step // (across - 1)
                             for length, step in zip(photo.size, (column, row), strict=True))  # fmt: skip
                crop = photo.crop((left, top, left + side, top + side))
                crop.save(folder / f"{name} {across}x{across}, row {row + 1}, column {column + 1}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="build/site", help="folder of the site")
    parser.add_argument("--layers", nargs="+", default="all", help="of the atlas; default: all rectifiers")
    options = parser.parse_args()
    loaded = load_model("zfnet-mini")
    net = DeconvNet(loaded.model, loaded.example_input)
    with TemporaryDirectory() as scratch:
        photos, folder = Path(scratch) / "crops of scikit-image's photos", Path(scratch) / "atlas"
        photos.mkdir()
        write_crops(photos)
        atlas = build_atlas(net, str(photos), options.layers, out=folder, loaded=loaded)
        print(write_site(atlas, options.output, force=True))


if __name__ == "__main__":
    main()
