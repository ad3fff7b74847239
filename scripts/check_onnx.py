#!/usr/bin/env python3
"""Compares exported networks with ONNX Runtime. scripts/check_onnx.sh runs it.

    python3 scripts/check_onnx.py cases FOLDER
    python3 scripts/check_onnx.py pictures FOLDER
    python3 scripts/check_onnx.py trained ONECYCLE RUN MODEL PICTURES
    python3 scripts/check_onnx.py browser MODEL PICTURE
    python3 scripts/check_onnx.py guide

`cases` reads what the example `onnx_cases` has written: files, images, and the logits that onecycle
computes for them. `pictures` draws PNG files of many sizes and kinds in three class folders.
`trained` compares `onecycle predict` with `examples/onnx/classify.py`, which reads the pictures with
Pillow. `browser` opens `examples/onnx/index.html` in Chromium with onnxruntime-web from npm, for a
picture of the network's size. `guide` checks that the programs shown in docs/guide/export.md are those of examples/onnx.
The exit code is 1 if anything differs by more than the tolerance.
"""

import functools
import html
import http.server
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples/onnx"))

# Largest difference of a logit, or of the logarithm of a probability, for the same pixels.
LOGITS = 1e-4
# Largest difference of a probability if Pillow scales the picture instead of onecycle.
SCALED = 0.005


def cases(folder):
    import numpy as np
    import onnx
    import onnxruntime

    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}")
    files, largest = sorted(folder.glob("*.onnx")), 0.0
    for file in files:
        onnx.checker.check_model(onnx.load(file), full_check=True)
        session = onnxruntime.InferenceSession(file)
        images = session.get_inputs()[0]
        assert (images.name, images.type, images.shape[0]) == ("images", "tensor(uint8)", "batch")
        pixels = np.fromfile(file.with_suffix(".images"), np.uint8).reshape(-1, *images.shape[1:])
        expected = np.fromfile(file.with_suffix(".logits"), np.float32).reshape(len(pixels), -1)
        logits, probabilities = session.run(["logits", "probabilities"], {"images": pixels})
        assert logits.shape == expected.shape, file
        difference = abs(logits - expected).max()
        # The number of images is free.
        alone = session.run(["logits"], {"images": pixels[-1:]})[0]
        difference = max(difference, abs(alone - expected[-1:]).max())
        assert difference <= LOGITS, f"{file}: logits differ by {difference}"
        softmax = np.exp(expected.astype(float))
        softmax /= softmax.sum(1, keepdims=True)
        assert abs(probabilities - softmax).max() <= LOGITS, file
        largest = max(largest, float(difference))
    assert len(files) >= 64, f"only {len(files)} cases"
    print(f"{len(files)} networks, largest difference of a logit {largest:.2e}")


def pictures(folder):
    """Red discs, green squares and blue triangles on coloured gradients: 32 to 300 pixels, some with
    transparency, some without colour."""
    from PIL import Image, ImageDraw

    draw = random.Random(1)
    for channel, shape in enumerate(("disc", "square", "triangle")):
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            size = width, height = [draw.randint(40, 300) for _ in range(2)]
            # A third has the size of the network.
            size = width, height = (32, 32) if number % 3 == 0 else size
            colour = lambda: tuple(draw.randint(0, 255) for _ in range(3))
            fill = tuple(draw.randint(*((180, 255) if i == channel else (0, 90))) for i in range(3))
            tint = Image.new("RGB", size, colour())
            image = Image.composite(tint, Image.new("RGB", size, colour()), Image.linear_gradient("L").resize(size))
            pen, radius = ImageDraw.Draw(image), min(size) * draw.uniform(0.25, 0.45)
            x, y = width / 2, height / 2
            if shape == "disc":
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
            elif shape == "square":
                pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=fill)
            else:
                pen.regular_polygon((x, y, radius), 3, rotation=draw.randint(0, 119), fill=fill)
            if number % 4 == 1:
                image.putalpha(Image.radial_gradient("L").resize(size))
            elif number % 4 == 2:
                image = image.convert("L")
            image.save(folder / shape / f"{number}.png")


def trained(onecycle, run, model, folder):
    import numpy as np
    import PIL
    from PIL import Image
    from classify import Classifier

    files = sorted(folder.rglob("*.png"))
    command = [onecycle, "predict", run, *files, "--format", "json", "--top", "1000"]
    predictions = json.loads(subprocess.check_output(command))
    classifier = Classifier(model)
    rows = classifier.probabilities([classifier.read(file) for file in files]).astype(float)
    same, scaled, classes = 0.0, 0.0, 0
    for file, row, ours in zip(files, rows, predictions, strict=True):
        probabilities = dict(ours["all"])
        expected = np.array([probabilities[name] for name in classifier.classes])
        if Image.open(file).size == (classifier.width, classifier.height):
            logits = classifier.session.run(["logits"], {"images": classifier.read(file)[None]})[0][0]
            log_softmax = logits - np.log(np.exp(logits.astype(float)).sum())
            same = max(same, abs(log_softmax - np.log(expected)).max())
        else:
            scaled = max(scaled, abs(row - expected).max())
        classes += classifier.classes[row.argmax()] == ours["class"]
    print(
        f"{model.name}: {classes} of {len(files)} pictures in the same class; largest difference "
        f"{same:.2e} of a log-probability for pictures of the network's size, "
        f"{scaled:.2e} of a probability for scaled ones (Pillow {PIL.__version__})"
    )
    assert classes == len(files) and same <= LOGITS and scaled <= SCALED


def browser(model, picture):
    from classify import Classifier

    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call(["npm", "install", "--silent", "onnxruntime-web"], cwd=folder)
        package = pathlib.Path(folder, "node_modules/onnxruntime-web/package.json")
        version = json.loads(package.read_text())["version"]
        for source, name in ((ROOT / "examples/onnx/index.html", "index.html"), (model, "model.onnx"), (picture, "it.png")):
            shutil.copy(source, pathlib.Path(folder, name))
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
        handler.log_message = lambda *_: None
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/index.html?image=it.png"
            chromium = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
            chromium += ["--virtual-time-budget=600000", "--dump-dom", url]
            page = subprocess.check_output(chromium, stderr=subprocess.DEVNULL, text=True, timeout=300)
            server.shutdown()
    shown = html.unescape(re.search(r'<pre id="result">(.*?)</pre>', page, re.S)[1])
    shown = [re.fullmatch(r"(\S+) %  (.*)", line).groups() for line in shown.splitlines()]
    classifier = Classifier(model)
    row = classifier.probabilities([classifier.read(picture)])[0]
    expected = dict(zip(classifier.classes, row))
    difference = max(abs(float(percent) / 100 - expected[name]) for percent, name in shown)
    print(f"onnxruntime-web {version}: {shown}, largest difference of a probability {difference:.1e}")
    # The page shows two digits after the point.
    assert len(shown) == len(classifier.classes) and difference < 1e-4


def guide():
    """Every block of a program in the guide must be part of its file."""
    text = (ROOT / "docs/guide/export.md").read_text()
    files = {"python": "classify.py", "html": "index.html", "js": "index.html", "c": "classify.c", "rust": "src/lib.rs"}
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.S)
    shown = [(files[language], block) for language, block in blocks if language in files]
    assert {file for file, _ in shown} >= {"classify.py", "index.html", "classify.c"}, shown
    for file, block in shown:
        flat = lambda code: " ".join(code.split())
        assert flat(block) in flat((ROOT / "examples/onnx" / file).read_text()), f"{file} lacks:\n{block}"
    print(f"{len(shown)} blocks of the guide are parts of examples/onnx")


def main():
    what, *paths = sys.argv[1:]
    checks = {"cases": cases, "pictures": pictures, "trained": trained, "browser": browser, "guide": guide}
    checks[what](*map(pathlib.Path, paths))


if __name__ == "__main__":
    main()
