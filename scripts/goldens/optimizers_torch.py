"""Trajectories of `torch.optim` in float64: 40 updates of three tensors with given gradients.

Tensors are flattened row by row. `init` is their value before the first update; `gradients.usual`
is drawn from a normal distribution, and `gradients.hard` contains exact zeros and magnitudes from
1e-12 to 1e6. `lr[n]`, `momentum[n]` (beta1 of the Adam family) and `weight_decay` (one per tensor)
apply to update n, `kwargs` to all updates; `params[n]` is the result of update n.
`clip.total_norm[n]` is the norm over all three tensors before clipping to `max_norm`.
`final_state` is the optimizer's state after the last update.

```
SGD      g += wd w;  v = g at the first update with momentum > 0, else v = m v + (1 - dampening) g
         step = g + m v (nesterov) or v;  while momentum is 0: step = g, and v keeps its value
Adam     g += wd w;            a = b1 a + (1 - b1) g;  q = b2 q + (1 - b2) g^2
AdamW    w *= 1 - lr wd;       a and q as Adam
         w -= lr / (1 - b1^(n+1)) a / (sqrt(q) / sqrt(1 - b2^(n+1)) + eps);  amsgrad: the largest q so far
RMSprop  g += wd w;  q = alpha q + (1 - alpha) g^2;  centered: a = alpha a + (1 - alpha) g, root of q - a^2
         step = g / (sqrt(q) + eps);  momentum > 0: v = m v + step, step = v
```
If beta1 varies, PyTorch raises the *current* beta1 to the power n + 1 for its bias correction. The
exact correction would be the product of all beta1 so far.
"""

import torch

from _goldens import write_golden

STEPS = 40
SHAPES = [(3,), (2, 4), (2, 3, 2, 2)]

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)


def hard(shape):
    sign, exponent, kept = torch.randn(shape).sign(), torch.rand(shape) * 18 - 12, torch.rand(shape) > 0.1
    return sign * 10**exponent * kept


INIT = [torch.randn(shape) for shape in SHAPES]
GRADIENTS = {kind: [[draw(shape) for shape in SHAPES] for _ in range(STEPS)]
             for kind, draw in (("usual", torch.randn), ("hard", hard))}
RANDOM_MOMENTUM = [round(0.5 + 0.4 * torch.rand(()).item(), 3) for _ in range(STEPS)]
RANDOM_LR = [round(10 ** (-4 + 2 * torch.rand(()).item()), 6) for _ in range(STEPS)]


def one_cycle(max_lr, **kwargs):
    """The learning rates and momenta of a OneCycleLR over all updates."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, STEPS, **kwargs)
    series = []
    for _ in range(STEPS):
        series.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return {"lr": [lr for lr, _ in series], "momentum": [momentum for _, momentum in series]}


def case(name, optimizer, lr=None, momentum=0.9, wd=0.0, gradients="usual", max_norm=None, cycle=None, **kwargs):
    series = lambda value: value if isinstance(value, list) else [value] * STEPS
    if optimizer == "SGD":
        kwargs = {"dampening": 0, "nesterov": False} | kwargs
    elif optimizer == "RMSprop":
        kwargs = {"alpha": 0.99, "eps": 1e-8, "centered": False} | kwargs
    else:
        kwargs = {"eps": 1e-8, "amsgrad": False, "beta2": 0.999} | kwargs
    return {
        "name": name, "optimizer": optimizer, "kwargs": kwargs, "gradients": gradients,
        "weight_decay": wd if isinstance(wd, list) else [wd] * 3, "max_norm": max_norm,
    } | (cycle or {"lr": series(lr), "momentum": series(momentum)})


CASES = [
    case("sgd_plain", "SGD", 0.0578, 0.0),
    case("sgd_plain_wd", "SGD", 0.167, 0.0, 0.000695),
    case("sgd_momentum", "SGD", 0.018),
    case("sgd_momentum_wd", "SGD", 0.147, 0.987, 0.0123),
    case("sgd_nesterov", "SGD", 0.0318, nesterov=True),
    case("sgd_nesterov_wd", "SGD", 0.117, 0.867, 0.000433, nesterov=True),
    case("sgd_dampening", "SGD", 0.173, 0.9, 0.00113, dampening=0.1),
    case("sgd_wd_per_tensor", "SGD", 0.104, 0.9, [0.0, 0.0211, 0.00632]),
    case("sgd_hard_gradients", "SGD", 1e-6, 0.9, 0.000244, "hard"),
    case("sgd_momentum_random", "SGD", 0.0193, RANDOM_MOMENTUM, 0.00359),
    case("sgd_nesterov_momentum_random", "SGD", 0.0213, RANDOM_MOMENTUM, 0.0242, nesterov=True),
    case("sgd_momentum_off_on", "SGD", 0.145, [0.0] * 5 + [0.9] * 35, 0.00644),
    case("sgd_momentum_on_off_on", "SGD", 0.0601, [0.9] * 10 + [0.0] * 5 + [0.9] * 25, 0.00173),
    case("sgd_onecycle_0", "SGD", wd=0.0288, cycle=one_cycle(0.0105, pct_start=0.45)),
    case("sgd_onecycle_1", "SGD", wd=0.00154, cycle=one_cycle(0.061, anneal_strategy="linear")),
    case("sgd_nesterov_onecycle", "SGD", wd=0.00314, nesterov=True,
         cycle=one_cycle(0.163, anneal_strategy="linear", max_momentum=0.97)),
    case("adam_constant", "Adam", 0.00104),
    case("adam_constant_coupled_wd", "Adam", 0.00473, 0.9, 0.00069, beta2=0.99),
    case("adam_amsgrad", "Adam", 0.00187, 0.9, 0.0138, amsgrad=True),
    case("adam_hard_gradients", "Adam", 0.00919, 0.9, 0.000363, "hard"),
    case("adam_rates_random", "Adam", RANDOM_LR, 0.9, 0.00324),
    case("adam_onecycle_coupled_wd_0", "Adam", wd=0.000526, cycle=one_cycle(0.00896)),
    case("adam_onecycle_coupled_wd_1", "Adam", wd=0.000327, beta2=0.99,
         cycle=one_cycle(0.0115, anneal_strategy="linear")),
    case("adamw_constant", "AdamW", 0.0088, 0.9, 0.01),
    case("adamw_constant_eps", "AdamW", 0.0165, 0.893, 0.0728, beta2=0.99, eps=1e-5),
    case("adamw_hard_gradients", "AdamW", 0.0125, 0.9, 0.036, "hard"),
    case("adamw_wd_per_tensor", "AdamW", 0.00659, 0.9, [0.0, 0.1, 0.275]),
    case("adamw_onecycle_0", "AdamW", wd=0.136,
         cycle=one_cycle(0.00773, div_factor=10.0, anneal_strategy="linear", max_momentum=0.97)),
    case("adamw_onecycle_1", "AdamW", wd=0.0491,
         cycle=one_cycle(0.0194, pct_start=0.45, anneal_strategy="linear", three_phase=True)),
    case("adamw_onecycle_2", "AdamW", wd=0.201, beta2=0.99, cycle=one_cycle(0.0188, div_factor=10.0)),
    case("rmsprop", "RMSprop", 0.0152, 0.0),
    case("rmsprop_wd_momentum", "RMSprop", 0.0062, 0.9, 0.00644, alpha=0.95),
    case("rmsprop_centered", "RMSprop", 0.0111, 0.771, 0.000292, centered=True),
    case("clip_sgd_momentum", "SGD", 0.138, 0.9, 0.00522, max_norm=5.91),
    case("clip_always_adamw", "AdamW", 0.00209, 0.9, 0.05, max_norm=1.12),
    case("clip_never_sgd", "SGD", 0.103, max_norm=100.0),
    case("clip_hard_gradients", "SGD", 0.0228, 0.9, gradients="hard", max_norm=1.0),
]


def flat(tensors):
    return [tensor.detach().flatten().tolist() for tensor in tensors]


def record(case):
    """Runs a case. Returns it with the trajectory."""
    kwargs, max_norm = dict(case["kwargs"]), case.pop("max_norm")
    beta2 = kwargs.pop("beta2", None)
    of_step = lambda m: {"momentum": m} if beta2 is None else {"betas": (m, beta2)}
    params = [torch.nn.Parameter(tensor.clone()) for tensor in INIT]
    groups = [{"params": [param], "weight_decay": wd} for param, wd in zip(params, case["weight_decay"])]
    optimizer = getattr(torch.optim, case["optimizer"])(groups, **of_step(case["momentum"][0]), **kwargs)
    norms, trajectory = [], []
    for lr, momentum, gradients in zip(case["lr"], case["momentum"], GRADIENTS[case["gradients"]]):
        for group in optimizer.param_groups:
            group |= {"lr": lr} | of_step(momentum)
        for param, gradient in zip(params, gradients):
            param.grad = gradient.clone()
        if max_norm is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(params, max_norm).item())
        optimizer.step()
        trajectory.append(flat(params))
    states = [optimizer.state[param] for param in params]
    return case | {
        "clip": None if max_norm is None else {"max_norm": max_norm, "total_norm": norms},
        "params": trajectory,
        "final_state": {key: flat(state[key] for state in states)
                        for key, value in states[0].items() if key != "step" and value is not None},
    }


write_golden("onecycle-burn", "optimizers_torch", ["torch"], {
    "shapes": SHAPES,
    "init": flat(INIT),
    "gradients": {kind: [flat(step) for step in steps] for kind, steps in GRADIENTS.items()},
    "cases": [record(case) for case in CASES],
})
