#!/usr/bin/env python3
"""Writes pictures of a Debian package as a folder of classes, for `onecycle fit --data pictures/ --pretrained`.

    apt-get download tuxpaint-stamps-default openclipart-png
    for package in *.deb; do dpkg -x "$package" packages; done
    python benches/debian_pictures.py stamps packages/ pictures/     # photos
    python benches/debian_pictures.py clipart packages/ drawings/    # drawings

In the order of the file names, every fourth picture of a class is for testing. Transparent parts become white,
and sides of more than 256 pixels are made smaller. Needs Pillow.
"""

import argparse
import pathlib

from PIL import Image

SETS = {
    "stamps": (
        "usr/share/tuxpaint/stamps",
        ["animals/mammals", "animals/birds", "food/fruit", "plants/flowers", "town/houses"],
    ),
    "clipart": (
        "usr/share/openclipart/png",
        ["animals/mammals", "animals/birds", "animals/bugs", "food/fruit", "food/desserts", "food/beverages"],
    ),
}
# Some drawings of the package have 169 million pixels.
Image.MAX_IMAGE_PIXELS = None
LARGEST = 256
TEST_EVERY = 4


def picture(path):
    """A picture on white, at most LARGEST pixels wide and high."""
    with Image.open(path) as image:
        image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    result = white.convert("RGB")
    result.thumbnail((LARGEST, LARGEST))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("packages", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    root, classes = SETS[args.set]
    for name in classes:
        files = sorted((args.packages / root / name).rglob("*.png"))
        if not files:
            parser.error(f"{args.packages / root / name} has no pictures")
        for index, path in enumerate(files):
            part = "test" if index % TEST_EVERY == TEST_EVERY - 1 else "train"
            folder = args.folder / part / name.rpartition("/")[2]
            folder.mkdir(parents=True, exist_ok=True)
            picture(path).save(folder / f"{index:03}.png")


if __name__ == "__main__":
    main()
