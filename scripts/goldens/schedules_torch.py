"""Learning rates and momenta of `torch.optim.lr_scheduler`, in float64.

`lr[n]` and `momentum[n]` (beta1 of the Adam family) are what the optimizer holds at update n.
`momentum` is null if the scheduler does not change it. `after_last` is what a OneCycleLR leaves
behind when it is stepped after the last update too. `raises` holds configurations that PyTorch
refuses, with its message.
"""

import inspect
import math
import warnings

import torch
from torch.optim import lr_scheduler

from _goldens import read_cases, write_golden


def trapezoid(warmup, stable, decay, start_factor, end_factor, decay_shape, kind="trapezoid"):
    """The factor of the LambdaLR cases: linear warm-up, constant, decay to `end_factor`."""
    shapes = {"linear": lambda t: t, "cos": lambda t: (1 - math.cos(math.pi * t)) / 2, "1-sqrt": math.sqrt}

    def factor(n):
        if n < warmup:
            return start_factor + (1 - start_factor) * n / warmup
        if n < warmup + stable:
            return 1.0
        if n < warmup + stable + decay:
            return 1 + (end_factor - 1) * shapes[decay_shape]((n - warmup - stable) / decay)
        return end_factor

    return factor


def complete(name, kwargs):
    """The keyword arguments of a scheduler with PyTorch's defaults filled in."""
    parameters = list(inspect.signature(getattr(lr_scheduler, name)).parameters.values())[1:]
    return {p.name: kwargs.get(p.name, p.default) for p in parameters}


def scheduler(name, kwargs, optimizer):
    kwargs = dict(kwargs)
    if name == "LambdaLR":
        kwargs["lr_lambda"] = trapezoid(**kwargs["lr_lambda"])
    if name == "SequentialLR":
        kwargs["schedulers"] = [scheduler(s["class"], s["kwargs"], optimizer) for s in kwargs["schedulers"]]
    return getattr(lr_scheduler, name)(optimizer, **kwargs)


def in_use(group):
    return group["lr"], group["betas"][0] if "betas" in group else group.get("momentum")


def record(case):
    """Runs a case. Returns it with the recorded series, or with the message of the exception."""
    name, kwargs = case["class"], complete(case["class"], case["kwargs"])
    case = case | {"kwargs": kwargs, "tags": case.get("tags", [])}
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    message = lambda error: {"raises": f"{type(error).__name__}: {error}"}
    try:
        optimizer = getattr(torch.optim, case["optimizer"])([parameter], **case["optimizer_kwargs"])
        schedule = scheduler(name, kwargs, optimizer)
        group, series = optimizer.param_groups[0], []
        for n in range(case["steps"]):
            if n > 0:
                schedule.step()
            series.append(in_use(group))
            optimizer.step()
    except Exception as error:
        return case | message(error)
    cycles = kwargs.get("cycle_momentum", False)
    lr, momentum = zip(*series)
    case |= {"lr": lr, "momentum": momentum if cycles else None}
    if name == "OneCycleLR":
        try:
            schedule.step()
            lr, momentum = in_use(group)
            case["after_last"] = {"lr": lr, "momentum": momentum if cycles else None}
        except Exception as error:
            case["after_last"] = message(error)
    return case


warnings.simplefilter("ignore")
done = [record(case) for case in read_cases("schedules_torch")]
write_golden("onecycle", "schedules_torch", ["torch"], {
    "cases": [case for case in done if "raises" not in case],
    "raises": [case for case in done if "raises" in case],
})
