"""Logits, gradients and running statistics of the networks for photos, in float64.

Networks: `resnet18`, `resnet34` and `resnet50` of torchvision, `efficientnet_lite0` of timm, each with
ten classes, for two sizes of images. Weights, affine parameters, running statistics and images come
from `uniform()` of `train_parity`, which the test computes as well. The loss is the sum of the logits
times random slopes, so that its gradient does not depend on the logits.

Each network runs once in training mode and once, with the same numbers, in evaluation mode. Recorded
are the logits, the norm of the gradient of each parameter, the gradient of all parameters
(concatenated in the order of their names), that of the images, and after training the running
statistics. Of a long vector the file has the norm and 32 projections, see `train_parity`.

Numbers are drawn anew until float32 runs of PyTorch agree with the float64 run to 4e-5: with some
numbers, a pre-activation is so close to a kink of ReLU that one run passes its gradient and another
does not. `spread_float32` has the largest relative deviations of three float32 runs of PyTorch (plain, without
oneDNN, and from weights moved by one rounding error) from the float64 run.
"""

import math

import numpy as np
import timm
import torch
import torchvision

from _goldens import write_golden
from train_parity import concatenated, projections, uniform

BATCH, CLASSES = 2, 10
STABLE = 4e-5
# The first set of numbers to try, where our kernels lose more digits than PyTorch with an earlier one.
FIRST = {("efficientnet-lite0", (75, 51)): 20}
SIZES = [(64, 64), (75, 51)]
NETWORKS = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=CLASSES),
    "resnet34": lambda: torchvision.models.resnet34(num_classes=CLASSES),
    "resnet50": lambda: torchvision.models.resnet50(num_classes=CLASSES),
    "efficientnet-lite0": lambda: timm.create_model("efficientnet_lite0", num_classes=CLASSES),
}


def numbers_of(salt, key, shape):
    stream = f"{salt}.{key}"
    if len(shape) > 1:
        return uniform(stream, shape, math.sqrt(6 / math.prod(shape[1:])))
    if key.endswith("weight"):
        return 0.6 + uniform(stream, shape, 0.2)
    if key.endswith("running_var"):
        return 1.5 + uniform(stream, shape, 0.5)
    if key.endswith("running_mean"):
        return uniform(stream, shape, 0.5)
    # Far from 0 and 6, so that few pre-activations are within rounding of a kink.
    bias = uniform(stream, shape, 2)
    return bias + 2 * torch.sign(bias)


def run(network, salt, size, mode, dtype=torch.float64, nudge=None):
    model = NETWORKS[network]()
    state = {k: numbers_of(salt, k, tuple(v.shape)) for k, v in model.state_dict().items() if v.dim()}
    model.load_state_dict(state, strict=False)
    model.to(dtype).train(mode == "train")
    if nudge is not None:
        random = torch.Generator().manual_seed(nudge)
        with torch.no_grad():
            for weight in model.parameters():
                towards = torch.where(torch.rand(weight.shape, generator=random) < 0.5, -math.inf, math.inf)
                weight.copy_(torch.nextafter(weight, towards.to(dtype)))
    images = uniform(f"{salt}.images", (BATCH, 3, *size), math.sqrt(3)).to(dtype).requires_grad_()
    logits = model(images)
    (logits * uniform(f"{salt}.slopes", (BATCH, CLASSES), math.sqrt(3)).to(dtype)).sum().backward()
    gradients = {k: p.grad for k, p in model.named_parameters()}
    statistics = {k: b for k, b in model.named_buffers() if "running_" in k}
    return {
        "tensors": sorted(state),
        "logits": logits.detach().double().numpy().ravel(),
        "image_gradient": images.grad.double().numpy().ravel(),
        "gradient": concatenated(gradients),
        "gradient_norms": {k: float(g.double().norm()) for k, g in gradients.items()},
        "statistics": concatenated(statistics),
    }


VECTORS = ("logits", "image_gradient", "gradient", "statistics")


def deviations(got, want):
    return {key: float(np.linalg.norm(got[key] - want[key]) / np.linalg.norm(want[key])) for key in VECTORS}


def record(network, size, number=0):
    """The first set of numbers without a pre-activation so close to a kink that the float32 runs differ."""
    salt = f"{network}.{number}"
    case = {"network": network, "salt": salt, "size": size, "batch": BATCH}
    for mode in ("train", "eval"):
        want = run(network, salt, size, mode)
        single = [deviations(run(network, salt, size, mode, torch.float32, nudge), want) for nudge in (None, 1)]
        with torch.backends.mkldnn.flags(enabled=False):
            single.append(deviations(run(network, salt, size, mode, torch.float32), want))
        if max(max(one.values()) for one in single) > STABLE:
            print(network, size, mode, "differs with", salt, [one["gradient"] for one in single], flush=True)
            return record(network, size, number + 1)
        case["tensors"] = want["tensors"]
        vector = lambda x: {"norm": float(np.linalg.norm(x)), "projections": projections(x, 32)}
        case[mode] = {
            "logits": want["logits"].tolist(),
            "gradient_norms": want["gradient_norms"],
            **{key: vector(want[key]) for key in VECTORS[1:]},
            "spread_float32": {key: max(one[key] for one in single) for key in VECTORS},
        }
        print(network, size, mode, case[mode]["spread_float32"], flush=True)
    return case


def main():
    torch.set_num_threads(1)
    cases = [record(network, size, FIRST.get((network, size), 0)) for network in NETWORKS for size in SIZES]
    write_golden("onecycle-vision", "imagenet_parity", ["torch", "torchvision", "timm", "numpy"], {"cases": cases})


if __name__ == "__main__":
    main()
