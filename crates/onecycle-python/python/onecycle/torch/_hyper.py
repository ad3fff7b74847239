"""Sets learning rate, momentum and weight decay of an optimizer's parameter groups."""

from __future__ import annotations

from typing import Any

import torch

Group = dict[str, Any]

# Where a group keeps the factor on the plan's weight decay, so that a checkpoint of the optimizer has it.
_DECAY_SCALE = "onecycle_weight_decay_scale"


def number(value: Any) -> float:
    """A number or a tensor with one element."""
    return float(value)


def set_value(group: Group, key: str, value: float) -> None:
    """Sets a value; a tensor in place, because a captured CUDA graph reads its memory."""
    old = group[key]
    if isinstance(old, torch.Tensor):
        old.fill_(value)
    else:
        group[key] = value


def set_momentum(group: Group, momentum: float) -> None:
    """SGD's momentum, or the first beta of Adam and its relatives."""
    if "betas" in group:
        betas = group["betas"]
        if isinstance(betas[0], torch.Tensor):
            betas[0].fill_(momentum)
        else:
            group["betas"] = (momentum, *betas[1:])
    else:
        set_value(group, "momentum", momentum)


def check_keys(optimizer: torch.optim.Optimizer, momentum: bool, weight_decay: bool) -> None:
    """Rejects an optimizer that cannot use a value of the plan."""
    name = type(optimizer).__name__
    for group in optimizer.param_groups:
        if momentum and "momentum" not in group and "betas" not in group:
            raise ValueError(
                f"the plan sets momentum, but {name} has neither `momentum` nor `betas`: "
                "use a policy without momentum, such as OneCycle(.., momentum=None)"
            )
        if weight_decay and "weight_decay" not in group:
            raise ValueError(
                f"the plan sets weight decay, but {name} has none: omit `weight_decay` from the policy"
            )


def decay_scales(optimizer: torch.optim.Optimizer) -> list[float]:
    """Factors on the plan's weight decay: the groups keep their ratios, and 0 remains 0.

    If no group has a weight decay, the plan's applies to all.
    """
    groups = optimizer.param_groups
    missing = [group for group in groups if _DECAY_SCALE not in group]
    if missing:
        decays = [number(group.get("weight_decay", 0.0)) for group in groups]
        highest = max(decays, default=0.0)
        for group, decay in zip(groups, decays):
            if len(missing) == len(groups):
                group[_DECAY_SCALE] = decay / highest if highest > 0.0 else 1.0
            elif _DECAY_SCALE not in group:  # added later
                group[_DECAY_SCALE] = 0.0 if decay == 0.0 and highest > 0.0 else 1.0
    return [float(group[_DECAY_SCALE]) for group in groups]


def hyper_now(group: Group) -> tuple[float, float | None, float | None]:
    """The group's learning rate, momentum and weight decay."""
    momentum = group["betas"][0] if "betas" in group else group.get("momentum")
    decay = group.get("weight_decay")
    return (
        number(group["lr"]),
        None if momentum is None else number(momentum),
        None if decay is None else number(decay),
    )
