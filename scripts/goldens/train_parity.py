"""Twelve SGD steps of ResNet-8 and ResNet-20 on random images, in float64.

They check a whole training step at once: convolution, batch norm, loss, their gradients, weight
decay, a momentum that changes at each step, running statistics and evaluation mode.

Model: He et al. 2016, section 4.2, depth 6n + 2 (n = 1 and 3), input [32, 3, 32, 32]; projection
shortcuts (1x1 convolution and batch norm) where the shape changes. Step k trains on batch k mod 4.
`loss[k]` and `grad_norm[k]` (before weight decay) belong to step k, `weight_norms[name][k]` follows
its update. Weights and images come from `uniform()`, which the test computes as well.

A float32 run is compared with the float64 numbers, within `tolerance_float32`: four times the
largest deviation of five float32 runs of PyTorch (plain, without oneDNN, and from three sets of
weights moved by one rounding error), but at least 1e-5. The deviations come from pre-activations so
close to zero that one run passes their gradient and another does not.

Whole tensors are not stored: of a vector x (all tensors concatenated in the order of their names)
the file has the norm and 256 projections, sums over x with random signs. The root mean square of the
projections of a difference is an estimate of its norm, with a standard error of 4.4 %.

With the argument `--mistakes` the script instead checks that the float32 tolerances notice training
steps with one thing wrong, and prints which quantities do. It writes nothing then.
"""

import math
import sys
from collections import OrderedDict
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from _goldens import write_golden

STEPS, BATCHES, BATCH = 12, 4, 32
PROJECTIONS = 256


def random_bits(stream, count):
    """SplitMix64, with the 64-bit FNV-1a hash of the stream's name as its seed."""
    seed = 0xCBF29CE484222325
    for byte in stream.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(stream, shape, bound):
    """Float32 numbers in [-bound, bound), from the upper 24 bits; only the product is rounded."""
    unit = (random_bits(stream, math.prod(shape)) >> np.uint64(40)).astype(np.float32) * np.float32(2**-23) - 1
    return torch.from_numpy((unit * np.float32(bound)).reshape(shape))


def projections(x, count=PROJECTIONS):
    signs = lambda k: np.unpackbits(
        random_bits(f"projection.{k}", -(-len(x) // 64)).astype("<u8").view(np.uint8), bitorder="little"
    )[: len(x)]
    return [float(x[bits == 1].sum() - x[bits == 0].sum()) for bits in map(signs, range(count))]


class BatchNorm(nn.BatchNorm2d):
    """With `biased`, one of the mistakes: the running variance takes the biased variance."""

    def __init__(self, channels, biased=False, **kwargs):
        super().__init__(channels, **kwargs)
        self.biased = biased

    def forward(self, x):
        before = self.running_var.clone()
        y = super().forward(x)
        if self.biased and self.training:
            count = x.numel() / x.shape[1]
            self.running_var.data.copy_(before * 0.9 + (self.running_var - before * 0.9) * (count - 1) / count)
        return y


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), norm(outputs)
        projection = OrderedDict(conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False), bn=norm(outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(projection)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet(blocks, norm):
    stage = lambda i, o, s: nn.Sequential(*[Block(o if b else i, o, 1 if b else s, norm) for b in range(blocks)])
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, 16, 3, 1, 1, bias=False), bn1=norm(16), relu=nn.ReLU(),
        stage1=stage(16, 16, 1), stage2=stage(16, 32, 2), stage3=stage(32, 64, 2),
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, 10),
    ))


def one_cycle(max_lr):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr, STEPS, pct_start=0.5, anneal_strategy="linear", div_factor=10, final_div_factor=100)
    series = []
    for _ in range(STEPS):
        series.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return [list(column) for column in zip(*series)]


def concatenated(tensors):
    return np.concatenate([tensors[name].detach().double().flatten().numpy() for name in sorted(tensors)])


def run(name, blocks, lr, momentum, dtype=torch.float64, nudge=None, norm={}, **sgd):
    """Trains the twelve steps. `nudge` is the seed for moving each weight by one rounding error."""
    model = resnet(blocks, partial(BatchNorm, **norm))
    random = torch.Generator().manual_seed(nudge or 0)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.dim() > 1 or key == "fc.bias":
                # He et al. 2015, by fan out, for convolutions; PyTorch's default 1 / sqrt(64) for fc.
                bound = 0.125 if key.startswith("fc") else math.sqrt(6 / weight[:, 0].numel())
                weight.copy_(uniform(f"{name}.{key}", tuple(weight.shape), bound))
        model.to(dtype)
        for weight in model.parameters():
            if nudge is not None:
                towards = torch.where(torch.rand(weight.shape, generator=random) < 0.5, -math.inf, math.inf)
                weight.copy_(torch.nextafter(weight, towards.to(dtype)))
    images = [uniform(f"images.{k}", (BATCH, 3, 32, 32), math.sqrt(3)).to(dtype) for k in range(BATCHES)]
    labels = [torch.from_numpy((random_bits(f"labels.{k}", BATCH) % 10).astype(np.int64)) for k in range(BATCHES)]
    optimizer = torch.optim.SGD(model.parameters(), **({"weight_decay": 5e-4, "momentum": 0.9} | sgd))

    def evaluate():
        with torch.no_grad():
            return model.eval()(images[0]).double().numpy()

    weights = {key: p for key, p in model.named_parameters() if p.dim() > 1}
    statistics = {key: b for key, b in model.named_buffers() if "running_" in key}
    norm_of = lambda tensor: tensor.detach().double().norm().item()
    seen = {"loss": [], "grad_norm": [], "initial_eval_logits": evaluate(), "weight_norms": {key: [] for key in weights}}
    model.train()
    for k in range(STEPS):
        optimizer.param_groups[0].update(lr=lr[k], momentum=momentum[k])
        logits = model(images[k % BATCHES])
        loss = F.cross_entropy(logits, labels[k % BATCHES])
        optimizer.zero_grad()
        loss.backward()
        gradients = concatenated({key: p.grad for key, p in model.named_parameters()})
        seen["loss"].append(loss.item())
        seen["grad_norm"].append(float(np.linalg.norm(gradients)))
        if k == 0:
            seen |= {"first_train_logits": logits.detach().double().numpy(), "first_gradients": gradients}
            seen["first_statistics_norms"] = {key: norm_of(b) for key, b in statistics.items()}
        optimizer.step()
        for key, weight in weights.items():
            seen["weight_norms"][key].append(norm_of(weight))
    return seen | {
        "final_eval_logits": evaluate(),
        "final_parameters": concatenated(dict(model.named_parameters())),
        "final_statistics": concatenated(statistics),
    }


def deviations(got, want):
    l2 = lambda key: float(np.linalg.norm(got[key] - want[key]) / np.linalg.norm(want[key]))
    relative = lambda a, b: np.abs(np.array(a) - np.array(b)) / np.abs(np.array(b))
    worst = lambda key: max(float(relative(got[key][name], want[key][name]).max()) for name in want[key])
    return {
        "loss_per_step": relative(got["loss"], want["loss"]).tolist(),
        "grad_norm_per_step": relative(got["grad_norm"], want["grad_norm"]).tolist(),
        "first_train_logits_l2": max(l2("first_train_logits"), l2("initial_eval_logits")),
        "first_gradients_l2": l2("first_gradients"),
        "first_statistics_norms_worst": worst("first_statistics_norms"),
        "weight_norms_worst": worst("weight_norms"),
        "final_parameters_l2": l2("final_parameters"),
        "final_statistics_l2": l2("final_statistics"),
        "final_eval_logits_l2": l2("final_eval_logits"),
    }


def widest(runs):
    """Per quantity the largest deviation; per step the largest up to that step."""
    largest = {key: np.max([one[key] for one in runs], axis=0) for key in runs[0]}
    return {key: np.maximum.accumulate(v).tolist() if v.ndim else float(v) for key, v in largest.items()}


def tolerance(spread):
    digits = lambda x: float(f"{max(1e-5, 4 * x):.1e}")
    return {key: list(map(digits, v)) if isinstance(v, list) else digits(v) for key, v in spread.items()}


def mistakes(lr, momentum):
    late = lambda series: series[:1] + series[:-1]
    return {
        "no_weight_decay": {"weight_decay": 0},
        "nesterov": {"nesterov": True},
        "dampening_0.1": {"dampening": 0.1},
        "momentum_not_cycled": {"momentum": [0.9] * STEPS},
        "schedule_one_step_late": {"lr": late(lr), "momentum": late(momentum)},
        "bn_eps_1e-3": {"norm": {"eps": 1e-3}},
        "bn_momentum_0.9": {"norm": {"momentum": 0.9}},
        "bn_running_var_biased": {"norm": {"biased": True}},
    }


def record(name, blocks, max_lr):
    lr, momentum = one_cycle(max_lr)
    off = lambda **kwargs: deviations(run(name, blocks, **({"lr": lr, "momentum": momentum} | kwargs)), want)
    want = run(name, blocks, lr, momentum)
    single = [off(dtype=torch.float32, nudge=nudge) for nudge in (None, 1, 2, 3)]
    with torch.backends.mkldnn.flags(enabled=False):
        single.append(off(dtype=torch.float32))
    allowed = tolerance(widest(single))
    if "--mistakes" in sys.argv:
        for mistake, kwargs in mistakes(lr, momentum).items():
            wrong = off(**kwargs)
            exceeds = [key for key in wrong if np.any(np.array(wrong[key]) > np.array(allowed[key]))]
            print(name, mistake, exceeds)
            assert exceeds, "goes unnoticed"
        return None
    spread64 = off(nudge=1)
    for vector in ("first_gradients", "final_parameters", "final_statistics"):
        want[vector] = {"norm": float(np.linalg.norm(want[vector])), "projections": projections(want[vector])}
    logits = {key: want[key].tolist() for key in want if key.endswith("logits")}
    weights = [key for key in resnet(blocks, BatchNorm).state_dict() if not key.endswith("num_batches_tracked")]
    return {"name": name, "blocks": blocks, "tensors": sorted(weights), "lr": lr, "momentum": momentum} | want | logits | {
        "float64_spread": spread64, "float32_spread": widest(single), "tolerance_float32": allowed}


def main():
    torch.set_num_threads(1)
    models = [record("resnet8", 1, 0.03149), record("resnet20", 3, 0.01037)]
    if "--mistakes" not in sys.argv:
        write_golden("onecycle-vision", "train_parity", ["torch", "numpy"], {"models": models})


if __name__ == "__main__":
    main()
