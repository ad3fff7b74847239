"""Twelve steps of airbench94 (Jordan 2024, arXiv:2404.00498) on random images, in float64.

They check at once what the ResNets of `train_parity` do not have: a convolution of even size with
fixed weights, GELU, max pools of odd sides, batch norm without scale and with its own epsilon and
momentum, label smoothing, Nesterov momentum, parameter groups, and a bias that stops learning.

Network, groups and units follow the original: the loss is summed over the batch, the rate is per
image, the decay of a group is divided by its rate. The program under test uses mean losses and
converts. Weights, images and labels come from `uniform()` and `random_bits()` of `train_parity`.

`spread_float32` has the largest relative deviations of three float32 runs of PyTorch (plain, without
oneDNN, and from weights moved by one rounding error) from the float64 run.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from _goldens import write_golden
from train_parity import projections, random_bits, uniform

STEPS, BATCHES, BATCH, BIAS_STEPS = 12, 4, 32, 6
LR, DECAY, MOMENTUM, BIAS_FACTOR = 11.5, 0.0153, 0.85, 64.0
KILOSTEP = 1024 * (1 + 1 / (1 - MOMENTUM))


class Group(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        norm = lambda: nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm()
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), norm()
        self.norm1.weight.requires_grad_(False), self.norm2.weight.requires_grad_(False)

    def forward(self, x):
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Airbench94(nn.Module):
    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        self.group1, self.group2, self.group3 = Group(24, 64), Group(64, 256), Group(256, 256)
        self.fc = nn.Linear(256, 10, bias=False)

    def forward(self, x):
        x = self.group3(self.group2(self.group1(F.gelu(self.whiten(x)))))
        return self.fc(F.max_pool2d(x, 3).flatten(1)) / 9


def run(factors, dtype=torch.float64, nudge=None):
    model = Airbench94()
    random = torch.Generator().manual_seed(nudge or 0)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.copy_(uniform(f"airbench.{key}", tuple(weight.shape), 1 / math.sqrt(weight[0].numel())))
            elif key.endswith("bias"):
                weight.zero_()
        model.to(dtype)
        for weight in model.parameters():
            if nudge is not None:
                towards = torch.where(torch.rand(weight.shape, generator=random) < 0.5, -math.inf, math.inf)
                weight.copy_(torch.nextafter(weight, towards.to(dtype)))
    images = [uniform(f"images.{k}", (BATCH, 3, 32, 32), math.sqrt(3)).to(dtype) for k in range(BATCHES)]
    labels = [torch.from_numpy((random_bits(f"labels.{k}", BATCH) % 10).astype(np.int64)) for k in range(BATCHES)]
    lr, biases = LR / KILOSTEP, LR / KILOSTEP * BIAS_FACTOR
    decay = DECAY * BATCH / KILOSTEP
    trained = [(k, p) for k, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        [
            {"params": [p for k, p in trained if "norm" in k], "lr": biases, "weight_decay": decay / biases},
            {"params": [p for k, p in trained if "norm" not in k], "lr": lr, "weight_decay": decay / lr},
        ],
        lr=lr, momentum=MOMENTUM, nesterov=True,
    )

    def evaluate():
        with torch.no_grad():
            return model.eval()(images[0]).double().flatten().tolist()

    concatenated = lambda tensors: np.concatenate(
        [tensors[key].detach().double().flatten().numpy() for key in sorted(tensors)])
    seen = {"initial_eval_logits": evaluate(), "loss": []}
    model.train()
    for step in range(STEPS):
        model.whiten.bias.requires_grad_(step < BIAS_STEPS)
        for group, base in zip(optimizer.param_groups, (biases, lr)):
            group["lr"] = base * factors[step]
        loss = F.cross_entropy(model(images[step % BATCHES]), labels[step % BATCHES],
                               label_smoothing=0.2, reduction="none").sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if step == 0:
            seen["first_gradient_norms"] = {k: p.grad.double().norm().item() / BATCH for k, p in trained}
        optimizer.step()
        seen["loss"].append(loss.item() / BATCH)
    parameters = concatenated({key: p for key, p in model.named_parameters()})
    statistics = concatenated({key: b for key, b in model.named_buffers() if "running_" in key})
    return seen | {"final_eval_logits": evaluate(), "parameters": parameters, "statistics": statistics}


def deviations(got, want):
    l2 = lambda key: float(np.linalg.norm(np.array(got[key]) - want[key]) / np.linalg.norm(want[key]))
    keys = ["loss", "initial_eval_logits", "final_eval_logits", "parameters", "statistics"]
    gradients = [abs(got["first_gradient_norms"][k] / v - 1) for k, v in want["first_gradient_norms"].items()]
    return {key: l2(key) for key in keys} | {"first_gradient_norms": max(gradients)}


def main():
    factors = np.interp(np.arange(STEPS), [0, 3, STEPS - 1], [0.2, 1, 0.07]).tolist()
    want = run(factors)
    runs = [run(factors, torch.float32), run(factors, torch.float32, nudge=1)]
    with torch.backends.mkldnn.flags(enabled=False):
        runs.append(run(factors, torch.float32))
    spread = [deviations(got, want) for got in runs]
    vector = lambda x: {"norm": float(np.linalg.norm(x)), "projections": projections(x)}
    content = {key: want[key] for key in ("loss", "initial_eval_logits", "final_eval_logits", "first_gradient_norms")}
    content |= {"factors": factors, "parameters": vector(want["parameters"]), "statistics": vector(want["statistics"])}
    content["spread_float32"] = {key: max(one[key] for one in spread) for key in spread[0]}
    write_golden("onecycle-vision", "airbench_parity", ["torch", "numpy"], content)


if __name__ == "__main__":
    main()
