#!/usr/bin/env python3
"""Classifies image files with a network that `onecycle export` has written.

    python3 -m venv ~/onnx && ~/onnx/bin/pip install onnxruntime numpy pillow
    ~/onnx/bin/python classify.py model.onnx photo.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Classifier:
    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.classes = json.loads(metadata["classes"])
        self.channels = int(metadata["channels"])
        self.height, self.width = json.loads(metadata["image_size"])
        self.resize = metadata["resize"]
        self.background = tuple(json.loads(metadata["background"]))

    def read(self, path):
        """An image file as the network takes it: bytes [height, width, channels]."""
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
        behind = Image.new("RGBA", image.size, self.background)
        image = Image.alpha_composite(behind, image).convert("RGB")
        if self.resize == "crop":
            image = self.centre(image)
        if self.resize == "pad":
            image = self.padded(image)
        # Linear interpolation over the area of each new pixel, as in training.
        image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        image = image.convert("L" if self.channels == 1 else "RGB")
        return np.asarray(image).reshape(self.height, self.width, self.channels)

    def centre(self, image):
        """The largest part around the centre with the right ratio of height to width."""
        width = max(1, min(image.width, image.height * self.width // self.height))
        height = max(1, min(image.height, image.width * self.height // self.width))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def padded(self, image):
        """The whole image in the middle of the background."""
        scale = min(self.width / image.width, self.height / image.height)
        sides = [max(1, int(side * scale + 0.5)) for side in image.size]
        inner = image.resize(sides, Image.Resampling.BILINEAR)
        padded = Image.new("RGB", (self.width, self.height), self.background)
        padded.paste(inner, ((self.width - inner.width) // 2, (self.height - inner.height) // 2))
        return padded

    def probabilities(self, images):
        """One row per image, one column per class."""
        return self.session.run(["probabilities"], {"images": np.stack(images)})[0]


def main():
    model, *files = sys.argv[1:]
    classifier = Classifier(model)
    rows = classifier.probabilities([classifier.read(file) for file in files])
    for file, row in zip(files, rows):
        best = np.argsort(-row)[:3]
        print(f"{file}:", ", ".join(f"{classifier.classes[i]} {100 * row[i]:.1f} %" for i in best))


if __name__ == "__main__":
    main()
