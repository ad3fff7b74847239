#!/usr/bin/env python3
"""fastai's `fine_tune` on the folder of photos that `onecycle fit --pretrained` is measured on.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch torchvision timm fastai safetensors
    onecycle weights get efficientnet-lite0
    ~/venv/bin/python benches/fine_tune_with_fastai.py photos/ --size 128 --epochs 2

`photos/` has a folder `train` and a folder `test` with one folder per class each. The network is timm's
`tf_efficientnet_lite0` with the weights of `onecycle weights get efficientnet-lite0`. As in fastai's
documentation: batch size 64 (`--batch`), `aug_transforms`, one epoch of the head, then `--epochs` of all
layers, with the default rates. Prints one line of JSON: accuracy on the test images after the last epoch,
and the seconds from the first image to that result, without imports.
"""

import argparse
import importlib.metadata
import json
import pathlib
import time

import torch
from fastai.vision import all as fastai
from timm_weights import fill, weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=pathlib.Path)
    default = pathlib.Path.home() / ".cache/onecycle/weights/efficientnet-lite0.safetensors"
    parser.add_argument("--weights", type=pathlib.Path, default=default)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of all layers")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0 for PyTorch's default")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    fastai.set_seed(args.seed, reproducible=True)
    begin = time.perf_counter()
    loaders = fastai.ImageDataLoaders.from_folder(
        args.photos,
        train="train",
        valid="test",
        bs=args.batch,
        item_tfms=fastai.Resize(args.size),
        batch_tfms=fastai.aug_transforms(),
        num_workers=0,
    )
    learner = fastai.vision_learner(
        loaders, "tf_efficientnet_lite0", pretrained=False, normalize=False, metrics=fastai.accuracy
    )
    loaders.add_tfms([fastai.Normalize.from_stats([0.5] * 3, [0.5] * 3)], "after_batch")
    body = {name: value for name, value in weights(args.weights).items() if not name.startswith("classifier")}
    fill(learner.model[0].model, body)
    # As vision_learner does for a pretrained network.
    learner.freeze()
    with learner.no_bar():
        learner.fine_tune(args.epochs)
    result = {
        "accuracy": float(learner.recorder.values[-1][2]),
        "loss": float(learner.recorder.values[-1][1]),
        "seconds": round(time.perf_counter() - begin, 1),
        "epochs": args.epochs,
        "size": args.size,
        "batch": args.batch,
        "fastai": importlib.metadata.version("fastai"),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
