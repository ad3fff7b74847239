#!/usr/bin/env python3
"""Writes some classes of CIFAR-10 as a folder of photos, for `onecycle fit --data photos/ --pretrained`.

    python benches/cifar10_photos.py cifar-10-binary.tar.gz photos/ airplane automobile bird cat --train 50

The first images of each class, 32 x 32 pixels, as PNG files: `--train` per class from the training files in
their order, `--test` per class from the test file. Needs Pillow.
"""

import argparse
import pathlib
import tarfile

from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
# A label and the three channels of an image.
RECORD = 1 + 3 * 32 * 32


def records(archive, names):
    """Label and image of each record of some files, in their order."""
    members = {pathlib.PurePath(member.name).name: member for member in archive.getmembers()}
    for name in names:
        content = memoryview(archive.extractfile(members[name]).read())
        for start in range(0, len(content), RECORD):
            planes = (content[start + 1 + 1024 * i :][:1024] for i in range(3))
            channels = [Image.frombytes("L", (32, 32), plane) for plane in planes]
            yield content[start], Image.merge("RGB", channels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("classes", nargs="+", choices=CLASSES)
    parser.add_argument("--train", type=int, default=800, help="training images per class")
    parser.add_argument("--test", type=int, default=200, help="test images per class")
    args = parser.parse_args()
    wanted = {CLASSES.index(name): name for name in args.classes}
    parts = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    with tarfile.open(args.archive) as archive:
        for part, names in parts.items():
            left = {label: getattr(args, part) for label in wanted}
            for label, image in records(archive, names):
                if left.get(label, 0) == 0:
                    continue
                folder = args.folder / part / wanted[label]
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / f"{getattr(args, part) - left[label]:04}.png")
                left[label] -= 1


if __name__ == "__main__":
    main()
