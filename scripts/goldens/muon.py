"""Trajectories of Muon in float64: 12 updates of three tensors with given gradients.

Muon (Jordan et al. 2024) as in the documentation of `onecycle_burn::optim::Muon`, written down here
with singular values instead of matrix products: the Newton-Schulz iteration maps each singular value s
of X to 3.4445 s - 4.7750 s^3 + 2.0315 s^5 and keeps the singular vectors. `rest` is the optimizer of
the vector, and in the last case of the tall matrix, too.

The script compares a case with `torch.optim.Muon`, which iterates in bfloat16.
"""

import torch

from _goldens import write_golden

STEPS = 12
SHAPES = {"vector": (3,), "tall": (5, 2), "filters": (4, 3, 2, 2)}

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
INIT = {name: torch.randn(shape) for name, shape in SHAPES.items()}
GRADIENTS = [{name: torch.randn(shape) for name, shape in SHAPES.items()} for _ in range(STEPS)]
LR = [0.02 + 0.01 * n for n in range(STEPS)]


def orthogonalised(x, iterations):
    u, s, v = torch.linalg.svd(x / (x.norm() + 1e-7), full_matrices=False)
    for _ in range(iterations):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ torch.diag(s) @ v


class Muon:
    def __init__(self, param, momentum, nesterov, iterations, normalise_weights, weight_decay):
        self.__dict__.update(locals())
        self.velocity = torch.zeros_like(param)

    def step(self, lr, gradient):
        p, m = self.param, self.momentum
        self.velocity = m * self.velocity + gradient
        step = gradient + m * self.velocity if self.nesterov else self.velocity
        step = orthogonalised(step.reshape(len(p), -1), self.iterations)
        if self.normalise_weights:
            p *= len(p) ** 0.5 / (p.norm() + 1e-7)
        p *= 1 - lr * self.weight_decay
        rows, columns = step.shape
        p -= lr * max(1, rows / columns) ** 0.5 * step.reshape(p.shape)


class Torch:
    def __init__(self, param, kind, **options):
        self.param = torch.nn.Parameter(param)
        self.optimizer = getattr(torch.optim, kind)([self.param], **options)

    def step(self, lr, gradient):
        self.optimizer.param_groups[0]["lr"] = lr
        self.param.grad = gradient.clone()
        self.optimizer.step()


CASES = [
    {"name": "defaults", "except": [], "rest": {"kind": "SGD", "momentum": 0.9},
     "momentum": 0.95, "nesterov": True, "iterations": 5, "normalise_weights": False, "weight_decay": 0.0},
    {"name": "decay", "except": [], "rest": {"kind": "SGD", "momentum": 0.85, "nesterov": True, "weight_decay": 0.01},
     "momentum": 0.9, "nesterov": False, "iterations": 5, "normalise_weights": False, "weight_decay": 0.3},
    {"name": "unit rows, last layer by AdamW", "except": ["tall"], "rest": {"kind": "AdamW", "weight_decay": 0.0},
     "momentum": 0.6, "nesterov": True, "iterations": 3, "normalise_weights": True, "weight_decay": 0.0},
]


def record(case):
    muon = {key: case[key] for key in ("momentum", "nesterov", "iterations", "normalise_weights", "weight_decay")}
    rules = {}
    for name, value in INIT.items():
        own = name != "vector" and name not in case["except"]
        rules[name] = Muon(value.clone(), **muon) if own else Torch(value.clone(), **case["rest"])
    trajectory = []
    for lr, gradients in zip(LR, GRADIENTS):
        for name, rule in rules.items():
            rule.step(lr, gradients[name])
        trajectory.append({name: rule.param.detach().flatten().tolist() for name, rule in rules.items()})
    return case | {"params": trajectory}


def compare_with_torch():
    """`torch.optim.Muon` averages gradients instead of adding them up, which changes no direction."""
    ours = Muon(INIT["tall"].clone(), 0.95, True, 5, False, 0.0)
    theirs = torch.nn.Parameter(INIT["tall"].clone())
    optimizer = torch.optim.Muon([theirs], lr=LR[0], weight_decay=0.0, momentum=0.95, nesterov=True)
    for lr, gradients in zip(LR, GRADIENTS):
        optimizer.param_groups[0]["lr"] = lr
        theirs.grad = gradients["tall"].clone()
        optimizer.step()
        ours.step(lr, gradients["tall"])
    moved = (ours.param - INIT["tall"]).norm()
    apart = (ours.param - theirs.detach()).norm() / moved
    print(f"relative distance from torch.optim.Muon (bfloat16) after {STEPS} updates: {apart:.4f}")
    assert apart < 0.03


compare_with_torch()
flat = lambda tensors: {name: tensor.flatten().tolist() for name, tensor in tensors.items()}
write_golden("onecycle-burn", "muon", ["torch"], {
    "shapes": SHAPES,
    "init": flat(INIT),
    "gradients": [flat(step) for step in GRADIENTS],
    "lr": LR,
    "cases": [record(case) for case in CASES],
})
