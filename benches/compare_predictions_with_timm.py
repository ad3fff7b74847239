#!/usr/bin/env python3
"""Compares the predictions of a run image by image with those of timm for the same weights.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch timm safetensors pillow numpy
    onecycle fit --data photos/ --pretrained efficientnet-lite0 --out run
    ~/venv/bin/python benches/compare_predictions_with_timm.py run photos/test

The second folder has one folder per class. timm loads the run's `model.safetensors`. Both networks get the same
pixels: Pillow decodes the images, puts transparent ones on the run's background, cuts out the middle square
and resizes it. Prints one line of JSON: the number of images, of those with the same class, the largest
difference of a probability, both accuracies, and what `onecycle predict` finds in the files themselves, where it
resizes without Pillow's rounding between rows and columns. Names every image with another class, and ends with an
error if there is one.
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


def load(path):
    """timm's network with the weights of a run, and what the file says about its images."""
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["onecycle"])
        state = {name: file.get_tensor(name) for name in file.keys()}
    name = about["model"].replace("-", "_")
    network = timm.create_model(name, num_classes=len(about["classes"]))
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise SystemExit(f"{path}: parameters that do not fit timm's {name}: {wrong}")
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


def predictions(command, run, images, classes):
    """What `onecycle predict` says about each file: its path below `images`, class, and probabilities."""
    words = [command, "predict", run, images, "--format", "jsonl", "--top", len(classes)]
    said = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        found = json.loads(line)
        probabilities = dict(found["all"])
        path = pathlib.Path(found["image"]).relative_to(images)
        yield path, found["class"], torch.tensor([probabilities[name] for name in classes])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--onecycle", default="onecycle", help="the command")
    args = parser.parse_args()
    network, about = load(args.run / "model.safetensors")
    classes = about["classes"]
    files = {path: label for path, label, _ in predictions(args.onecycle, args.run, args.images, classes)}
    different, largest, right, theirs_right = 0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        prepared = pathlib.Path(folder)
        for path in files:
            # The whole name, because `a.png` and `a.jpg` can lie in one folder.
            copy = prepared / f"{path}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            prepare(args.images / path, about).save(copy)
        for path, label, ours in predictions(args.onecycle, args.run, prepared, classes):
            with torch.inference_mode(), Image.open(prepared / path) as image:
                theirs = network(normalised(image, about)[None]).softmax(1)[0]
            largest = max(largest, float((ours - theirs).abs().max()))
            name = classes[int(theirs.argmax())]
            right += label == path.parent.name
            theirs_right += name == path.parent.name
            if name != label:
                different += 1
                print(f"{path}: {label} {ours.max():.4f}, timm {name} {theirs.max():.4f}", file=sys.stderr)
    result = {
        "images": len(files),
        "same_class": len(files) - different,
        "largest_difference": round(largest, 6),
        "accuracy": right / len(files),
        "accuracy_of_timm": theirs_right / len(files),
        "accuracy_from_files": sum(label == path.parent.name for path, label in files.items()) / len(files),
        "timm": timm.__version__,
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    if different:
        raise SystemExit(f"{different} images have another class")


if __name__ == "__main__":
    main()
