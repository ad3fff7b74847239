#!/usr/bin/env python3
"""Loads a run's model.safetensors into PyTorch and measures its test accuracy again.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch safetensors numpy
    ~/venv/bin/python scripts/check_with_pytorch.py runs/NAME [--data data/fashion-mnist]

The networks are defined again here in PyTorch's own layers, so that the two programs share only
the file. `load_state_dict(strict=True)` fails on any name or shape that differs. The exit code is 1
if the accuracy differs from the one in the run's summary.json by more than one image. One image is
allowed because the programs sum in different orders, so two nearly equal logits may swap.
"""

import argparse
import gzip
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = None
        if stride != 1 or cin != cout:
            self.shortcut = nn.ModuleDict(
                {"conv": nn.Conv2d(cin, cout, 1, stride, bias=False), "bn": nn.BatchNorm2d(cout)}
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut["bn"](self.shortcut["conv"](x))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, blocks, channels, stem_stride, cin, classes):
        super().__init__()
        c1, c2, c3 = channels
        self.conv1 = nn.Conv2d(cin, c1, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        stage = lambda a, b, s: nn.Sequential(*[Block(a if i == 0 else b, b, s if i == 0 else 1) for i in range(blocks)])
        self.stage1, self.stage2, self.stage3 = stage(c1, c1, 1), stage(c1, c2, 2), stage(c2, c3, 2)
        self.fc = nn.Linear(c3, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(x.mean((2, 3)))


class LeNet5(nn.Module):
    def __init__(self, cin, height, width, classes):
        super().__init__()
        side = lambda n: (n // 2 - 4) // 2
        self.conv1 = nn.Conv2d(cin, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side(height) * side(width), 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class CaffeLeNet(nn.Module):
    def __init__(self, cin, height, width, classes):
        super().__init__()
        side = lambda n: ((n - 4) // 2 - 4) // 2
        self.conv1, self.conv2 = nn.Conv2d(cin, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(50 * side(height) * side(width), 500), nn.Linear(500, classes)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Mlp(nn.Module):
    def __init__(self, pixels, classes):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(pixels, 256), nn.Linear(256, 128), nn.Linear(128, classes)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class ConvNet(nn.Module):
    def __init__(self, batch_norm, cin, classes):
        super().__init__()
        for i, (a, b) in enumerate([(cin, 16), (16, 32), (32, 64)], 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, 3, padding=1, bias=not batch_norm))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b) if batch_norm else nn.Identity())
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc(F.relu(self.bn3(self.conv3(x))).mean((2, 3)))


class ConvNormRelu(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class ResNet9(nn.Module):
    def __init__(self, cin, classes):
        super().__init__()
        self.prep, self.layer1 = ConvNormRelu(cin, 64), ConvNormRelu(64, 128)
        self.residual1 = nn.Sequential(ConvNormRelu(128, 128), ConvNormRelu(128, 128))
        self.layer2, self.layer3 = ConvNormRelu(128, 256), ConvNormRelu(256, 512)
        self.residual3 = nn.Sequential(ConvNormRelu(512, 512), ConvNormRelu(512, 512))
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(self.layer1(self.prep(x)), 2)
        x = x + self.residual1(x)
        x = F.max_pool2d(self.layer2(x), 2)
        x = F.max_pool2d(self.layer3(x), 2)
        x = x + self.residual3(x)
        return self.fc(x.amax((2, 3))) * 0.125


class Airbench94(nn.Module):
    """As in Jordan's airbench94: batch norms have a fixed scale, the last layer has no bias."""

    class Group(nn.Module):
        def __init__(self, cin, cout):
            super().__init__()
            norm = lambda: nn.BatchNorm2d(cout, eps=1e-12, momentum=0.4)
            self.conv1, self.norm1 = nn.Conv2d(cin, cout, 3, padding=1, bias=False), norm()
            self.conv2, self.norm2 = nn.Conv2d(cout, cout, 3, padding=1, bias=False), norm()

        def forward(self, x):
            x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
            return F.gelu(self.norm2(self.conv2(x)))

    def __init__(self, cin, classes):
        super().__init__()
        self.whiten = nn.Conv2d(cin, 8 * cin, 2)
        self.group1, self.group2, self.group3 = self.Group(8 * cin, 64), self.Group(64, 256), self.Group(256, 256)
        self.fc = nn.Linear(256, classes, bias=False)
        for name, weight in self.named_parameters():
            fixed = name == "whiten.weight" or "norm" in name and name.endswith("weight")
            weight.requires_grad_(not fixed)

    def forward(self, x):
        x = self.group3(self.group2(self.group1(F.gelu(self.whiten(x)))))
        return self.fc(x.amax((2, 3))) / 9


class PhotoBlock(nn.Module):
    """A basic or bottleneck block with torchvision's names."""

    def __init__(self, cin, width, stride, bottleneck):
        super().__init__()
        cout = 4 * width if bottleneck else width
        windows = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        channels = [cin, width, width, cout] if bottleneck else [cin, width, cout]
        for i, (kernel, step) in enumerate(windows):
            conv = nn.Conv2d(channels[i], channels[i + 1], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
        self.layers, self.downsample = len(windows), None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = x
        for i in range(1, self.layers + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.layers else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class PhotoResNet(nn.Module):
    """resnet18, resnet34 or resnet50 with torchvision's names."""

    def __init__(self, blocks, bottleneck, cin, classes):
        super().__init__()
        self.conv1, self.bn1, channels = nn.Conv2d(cin, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), 64
        for i, count in enumerate(blocks):
            layer, width = [], 64 << i
            for block in range(count):
                layer.append(PhotoBlock(channels, width, 2 if i and not block else 1, bottleneck))
                channels = 4 * width if bottleneck else width
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class MobileBlock(nn.Module):
    """A block of EfficientNet-Lite with timm's names; without expansion it has no `conv_pwl`."""

    def __init__(self, cin, cout, kernel, stride, expansion):
        super().__init__()
        width = cin * expansion
        conv = lambda a, b, k=1, s=1, groups=1: nn.Conv2d(a, b, k, s, k // 2, groups=groups, bias=False)
        window = conv(width, width, kernel, stride, width)
        if expansion == 1:
            self.conv_dw, self.conv_pw = window, conv(width, cout)
            self.names = ["conv_dw", "conv_pw"]
        else:
            self.conv_pw, self.conv_dw, self.conv_pwl = conv(cin, width), window, conv(width, cout)
            self.names = ["conv_pw", "conv_dw", "conv_pwl"]
        for i, name in enumerate(self.names, 1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(getattr(self, name).out_channels))
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        y = x
        for i, name in enumerate(self.names, 1):
            y = getattr(self, f"bn{i}")(getattr(self, name)(y))
            y = F.relu6(y) if i < len(self.names) else y
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """With timm's names."""

    STAGES = ((1, 16, 3, 1), (2, 24, 3, 2), (2, 40, 5, 2), (3, 80, 3, 2), (3, 112, 5, 1), (4, 192, 5, 2), (1, 320, 3, 1))

    def __init__(self, cin, classes):
        super().__init__()
        self.conv_stem, self.bn1 = nn.Conv2d(cin, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)
        stages, channels = [], 32
        for i, (count, cout, kernel, stride) in enumerate(self.STAGES):
            blocks = []
            for block in range(count):
                blocks.append(MobileBlock(channels, cout, kernel, 1 if block else stride, 6 if i else 1))
                channels = cout
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x):
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x))))
        return self.classifier(F.relu6(self.bn2(self.conv_head(x))).mean((2, 3)))


# Blocks per layer, and whether they are bottlenecks.
PHOTO_RESNETS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
}


def views(x, tta):
    """The views of test-time augmentation with their weights."""
    yield {"image": 1, "mirror": 0.5, "mirror_and_shift": 0.25}[tta], x
    if tta == "image":
        return
    yield {"mirror": 0.5, "mirror_and_shift": 0.25}[tta], x.flip(3)
    if tta == "mirror_and_shift":
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        height, width = x.shape[2:]
        for moved in (padded[:, :, :height, :width], padded[:, :, 2:, 2:]):
            yield 0.125, moved
            yield 0.125, moved.flip(3)


def build(card, weights):
    shape, classes = card["shape"], len(card["classes"])
    cin, name = shape["channels"], card["model"]
    if name == "resnet-small":
        channels = [len(weights[f"stage{s}.0.conv2.weight"]) for s in (1, 2, 3)]
        return ResNet(1, channels, 2, cin, classes)
    if name == "airbench94":
        return Airbench94(cin, classes)
    if name == "efficientnet-lite0":
        return EfficientNetLite0(cin, classes)
    if name in PHOTO_RESNETS:
        return PhotoResNet(*PHOTO_RESNETS[name], cin, classes)
    if name == "resnet9":
        return ResNet9(cin, classes)
    if name.startswith("resnet"):
        return ResNet((int(name[6:]) - 2) // 6, (16, 32, 64), 1, cin, classes)
    if name == "lenet5":
        return LeNet5(cin, shape["height"], shape["width"], classes)
    if name == "lenet-caffe":
        return CaffeLeNet(cin, shape["height"], shape["width"], classes)
    if name == "mlp":
        return Mlp(cin * shape["height"] * shape["width"], classes)
    return ConvNet(name == "convnet", cin, classes)


def read_idx(path):
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    rank = raw[3]
    dims = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(dims)


def test_set(folder):
    """Test images [count, channels, height, width] and labels of an IDX or CIFAR-10 folder."""
    cifar = folder / "test_batch.bin"
    if cifar.exists():
        rows = np.frombuffer(cifar.read_bytes(), np.uint8).reshape(-1, 3073)
        return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
    find = lambda stem: next(p for p in sorted(folder.iterdir()) if p.name.startswith(stem))
    return read_idx(find("t10k-images"))[:, None], read_idx(find("t10k-labels"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data/fashion-mnist"))
    args = parser.parse_args()

    with safe_open(args.run / "model.safetensors", "pt") as file:
        card = json.loads(file.metadata()["onecycle"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    model = build(card, weights).eval()
    # PyTorch's batch norms also count batches; the count is not used in evaluation.
    counts = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
    model.load_state_dict(weights | counts, strict=True)

    summary = json.loads((args.run / "summary.json").read_text())
    tta = summary.get("tta", "image")
    images, labels = test_set(args.data)
    mean = torch.tensor(card["statistics"]["mean"]).view(1, -1, 1, 1)
    std = torch.tensor(card["statistics"]["std"]).view(1, -1, 1, 1)
    correct = 0
    with torch.no_grad():
        for at in range(0, len(images), 500):
            batch = (torch.from_numpy(images[at : at + 500].copy()).float() / 255 - mean) / std
            mean_of_views = sum(weight * model(view).softmax(1) for weight, view in views(batch, tta))
            correct += int((mean_of_views.argmax(1).numpy() == labels[at : at + 500]).sum())

    ours = summary["test_accuracy"]
    theirs = correct / len(images)
    print(f"test accuracy: onecycle {100 * ours:.2f} %, PyTorch {torch.__version__} {100 * theirs:.2f} %")
    sys.exit(abs(ours - theirs) * len(images) > 1.5)


if __name__ == "__main__":
    main()
