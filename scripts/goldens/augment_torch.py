"""Augmentations of torchvision on small images of bytes: TrivialAugmentWide's operations at three
strengths, ColorJitter's adjustments, bilinear rotation and resized crops.

`images` has three images `[channel, row, column]`; `strengths` the strengths of TrivialAugmentWide.
A case names its image, operation and value, and has the resulting bytes.
"""

import torch
import torchvision.transforms.functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import TrivialAugmentWide, _apply_op

from _goldens import write_golden

torch.set_num_threads(1)
torch.manual_seed(0)


def image(channels, height, width):
    """A smooth gradient with noise; the values of a channel do not cover the whole range."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = []
    for channel in range(channels):
        smooth = 90 + 60 * torch.sin(0.31 * x + channel) + 40 * torch.cos(0.23 * y - 2 * channel)
        planes.append((smooth + 25 * torch.rand(height, width)).clamp(0, 255).to(torch.uint8))
    return torch.stack(planes)


images = {"colour": image(3, 19, 16), "grey": image(1, 20, 17)}
images["flat"] = torch.stack([images["colour"][0], torch.full((19, 16), 77, dtype=torch.uint8), images["colour"][2] // 3])
cases = []


def add(name, operation, value, result):
    cases.append({"image": name, "operation": operation, "value": value, "result": result.flatten().tolist()})


space = TrivialAugmentWide()._augmentation_space(31)
for name, pixels in images.items():
    for operation, (magnitudes, signed) in space.items():
        chosen = [0.0] if magnitudes.ndim == 0 else [float(magnitudes[i]) for i in (7, 16, 30)]
        for magnitude in chosen:
            for sign in (1, -1) if signed else (1,):
                result = _apply_op(pixels, operation, sign * magnitude, InterpolationMode.NEAREST, None)
                add(name, operation, sign * magnitude, result)
for name in ("colour", "flat"):
    for factor in (0.0, 0.35, 1.0, 1.7, 2.6):
        add(name, "brightness", factor, F.adjust_brightness(images[name], factor))
        add(name, "contrast", factor, F.adjust_contrast(images[name], factor))
        add(name, "saturation", factor, F.adjust_saturation(images[name], factor))
    for turn in (-0.5, -0.13, 0.0, 0.2, 0.5):
        add(name, "hue", turn, F.adjust_hue(images[name], turn))
for angle in (-137.0, -20.0, 0.5, 30.0, 90.0):
    add("colour", "rotate", angle, F.rotate(images["colour"], angle, InterpolationMode.BILINEAR))
parts = [(0, 0, 19, 16), (3, 2, 9, 11), (10, 5, 1, 7), (0, 15, 19, 1)]
for top, left, height, width in parts:
    resized = F.resized_crop(images["colour"], top, left, height, width, [19, 16], antialias=True)
    add("colour", "resized_crop", [top, left, height, width], resized)
content = {
    "images": [{"name": name, "shape": list(p.shape), "pixels": p.flatten().tolist()} for name, p in images.items()],
    "strengths": [{"name": name, "values": m.tolist()} for name, (m, _) in space.items() if m.ndim > 0],
    "cases": cases,
}
write_golden("onecycle-vision", "augment_torch", ["torch", "torchvision"], content)
