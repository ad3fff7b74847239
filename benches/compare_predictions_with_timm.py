#!/usr/bin/env python3
"""Compares the predictions of a network image by image with those of timm for the same weights.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch timm safetensors pillow numpy
    onecycle fit --data photos/ --pretrained efficientnet-lite0 --out run
    ~/venv/bin/python benches/compare_predictions_with_timm.py run photos/test
    ~/venv/bin/python benches/compare_predictions_with_timm.py efficientnet-lite0 photos/test

The second folder has one folder per class. timm loads the run's `model.safetensors`, or the weights of `onecycle
weights get efficientnet-lite0` with ImageNet's 1000 classes. Both networks get the same
pixels: Pillow decodes the images, puts transparent ones on the run's background, cuts out the middle square
and resizes it. Prints one line of JSON: the number of images, of those with the same class, and the largest
difference of the highest probability; then how many have that class if `onecycle predict` reads the files
themselves, which it resizes without Pillow's rounding between rows and columns; for a run also the accuracies. Names
every image with another class than timm's, and ends with an error if there is one.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import timm
import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from timm_weights import fill, weights


def imagenet(path):
    """timm's `tf_efficientnet_lite0` with ImageNet's classes, and what the guide says about its images."""
    network = timm.create_model("tf_efficientnet_lite0")
    fill(network, weights(path))
    repository = pathlib.Path(__file__).resolve().parents[1]
    names = repository / "crates/onecycle-vision/src/weights/imagenet_classes.txt"
    return network.eval(), {
        "classes": [line.split(maxsplit=1)[1] for line in names.read_text().splitlines()],
        "shape": {"width": 224, "height": 224},
        "statistics": {"mean": [0.5] * 3, "std": [0.5] * 3},
        "resize": "crop",
        "background": [255] * 3,
    }


def load(path):
    """timm's network with the weights of a run, and what the file says about its images."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["onecycle"])
        state = {name: file.get_tensor(name) for name in file.keys()}
    network = timm.create_model(about["model"].replace("-", "_"), num_classes=len(about["classes"]))
    fill(network, state)
    return network.eval(), about


def prepare(path, about):
    """The part of an image that the network receives, in its size."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")
    ground = Image.new("RGBA", image.size, (*about["background"], 255))
    image = Image.alpha_composite(ground, image).convert("RGB")
    shape = about["shape"]
    if about["resize"] != "crop":
        raise SystemExit(f'this comparison knows resize = "crop" only, not {about["resize"]}')
    return ImageOps.fit(image, (shape["width"], shape["height"]), Image.Resampling.BILINEAR)


def normalised(image, about):
    """Channels, height, width."""
    mean, std = (numpy.float32(about["statistics"][name]) for name in ("mean", "std"))
    values = (numpy.asarray(image, dtype=numpy.float32) / 255 - mean) / std
    return torch.from_numpy(values).permute(2, 0, 1)


def predictions(command, model, images):
    """What `onecycle predict` says about each file: its path below `images`, class, and probability."""
    words = [command, "predict", model, images, "--format", "jsonl", "--tta", "image"]
    said = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        found = json.loads(line)
        yield pathlib.Path(found["image"]).relative_to(images), found["class"], found["probability"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="folder of a run, or efficientnet-lite0")
    parser.add_argument("images", type=pathlib.Path)
    default = pathlib.Path.home() / ".cache/onecycle/weights/efficientnet-lite0.safetensors"
    parser.add_argument("--weights", type=pathlib.Path, default=default, help="of efficientnet-lite0")
    parser.add_argument("--onecycle", default="onecycle", help="the command")
    args = parser.parse_args()
    is_run = args.model.is_dir()
    network, about = load(args.model / "model.safetensors") if is_run else imagenet(args.weights)
    classes = about["classes"]
    files = {path: label for path, label, _ in predictions(args.onecycle, args.model, args.images)}
    different, alike, largest, right, theirs_right = 0, 0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        prepared = pathlib.Path(folder)
        for path in files:
            # The whole name, because `a.png` and `a.jpg` can lie in one folder.
            copy = prepared / f"{path}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            prepare(args.images / path, about).save(copy)
        for path, label, ours in predictions(args.onecycle, args.model, prepared):
            with torch.inference_mode(), Image.open(prepared / path) as image:
                theirs = network(normalised(image, about)[None]).softmax(1)[0]
            largest = max(largest, abs(ours - float(theirs.max())))
            name = classes[int(theirs.argmax())]
            alike += label == files[path.with_suffix("")]
            right += label == path.parent.name
            theirs_right += name == path.parent.name
            if name != label:
                different += 1
                print(f"{path}: {label} {ours:.4f}, timm {name} {theirs.max():.4f}", file=sys.stderr)
    result = {
        "images": len(files),
        "same_class": len(files) - different,
        "largest_difference": round(largest, 6),
        "same_class_from_files": alike,
        "timm": timm.__version__,
        "torch": torch.__version__,
    }
    if is_run:
        result["accuracy"] = right / len(files)
        result["accuracy_of_timm"] = theirs_right / len(files)
        result["accuracy_from_files"] = sum(label == path.parent.name for path, label in files.items()) / len(files)
    print(json.dumps(result))
    if different:
        raise SystemExit(f"{different} images have another class")


if __name__ == "__main__":
    main()
