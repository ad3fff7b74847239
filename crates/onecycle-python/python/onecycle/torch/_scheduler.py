"""`Scheduler`: a PyTorch scheduler that follows a plan."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.optim.lr_scheduler as lr_scheduler

from .._native import Plan
from ._hyper import Group, check_keys, decay_scales, number, set_momentum, set_value

# Public since PyTorch 2.0.
_Base: Any = getattr(lr_scheduler, "LRScheduler", None) or lr_scheduler._LRScheduler


class Scheduler(_Base):  # type: ignore[misc]
    """Sets learning rate, momentum and weight decay of every parameter group to the values of a plan.

    It is an `LRScheduler`: call `step` once per update, after `optimizer.step()`. Its state is the plan and
    one integer, so a restored scheduler cannot disagree with the plan. The values are set at construction,
    also in the middle of a run.

    | parameter | default | purpose |
    |---|---|---|
    | `optimizer` | | any optimizer of PyTorch |
    | `plan` | | from a policy's method `plan` |
    | `lr_scales` | 1 | factor on the plan's rate per group, at least 0 (0 freezes a group); `"from_optimizer"` keeps the ratios of the optimizer's rates |
    | `weight_decay_scales` | see below | factor on the plan's weight decay per group, at least 0 |
    | `step` | 0 | updates made so far |

    If the plan sets weight decay, groups keep the ratios of their weight decays; a group with 0, such as
    biases, keeps 0. If all have 0, all take the plan's. Tensors (`capturable=True`) are changed in place.

    After the last update the values stay. One step too many warns once; with `at_end="restart"` the plan
    starts again, with `at_end="error"` it raises ValueError. A group that is added later follows the plan
    too; if `lr_scales` was given, `step` raises until `lr_scales` has an entry for it.

    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> plan = onecycle.OneCycle(0.8).plan(steps=1000)
    >>> scheduler = onecycle.torch.Scheduler(optimizer, plan, step=450)
    >>> scheduler.get_last_lr()
    [0.8]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        plan: Plan,
        lr_scales: Sequence[float] | str | None = None,
        *,
        weight_decay_scales: Sequence[float] | None = None,
        step: int = 0,
    ) -> None:
        # The base class would call get_lr, wrap optimizer.step and overwrite the state of a resumed run.
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if not isinstance(plan, Plan):
            raise TypeError(
                f"`plan` is a {type(plan).__name__}: expected a Plan, such as OneCycle(0.1).plan(steps=1000)"
            )
        if step < 0:
            raise ValueError(f"`step` is {step}: expected a number of at least 0")
        self.optimizer = optimizer
        self.last_epoch = step
        self._step_count = step + 1
        self._get_lr_called_within_step = False
        self._is_initial = False
        self.verbose = False
        self._warned = False
        groups = optimizer.param_groups
        rates = [number(group.get("initial_lr", group["lr"])) for group in groups]
        if lr_scales is None and len(set(rates)) > 1:
            raise ValueError(
                f"the groups have different learning rates {rates}: pass `lr_scales`, one factor per group, "
                'or lr_scales="from_optimizer" to keep these ratios'
            )
        if isinstance(lr_scales, str):
            if lr_scales != "from_optimizer":
                raise ValueError(f'`lr_scales` is {lr_scales!r}: expected numbers or "from_optimizer"')
            lr_scales = [rate / max(rates) for rate in rates]
        for group, rate in zip(groups, rates):
            group.setdefault("initial_lr", rate)
        self.base_lrs = rates
        self._explicit = lr_scales is not None
        self._lr_scales = _scales("lr_scales", lr_scales, len(groups))
        self._given_decay_scales = weight_decay_scales is not None
        self._set_plan(plan)
        if weight_decay_scales is not None:
            self._decay_scales = _scales("weight_decay_scales", weight_decay_scales, len(groups))
        self._apply()

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._plan

    @property
    def lr_scales(self) -> list[float]:
        """Factors on the plan's rate, one per group. Assign a list after adding a group."""
        return list(self._lr_scales)

    @lr_scales.setter
    def lr_scales(self, scales: Sequence[float]) -> None:
        self._lr_scales = _scales("lr_scales", scales, len(self.optimizer.param_groups))
        self._explicit = True
        self._follow_groups()
        self._apply()

    def _set_plan(self, plan: Plan) -> None:
        _, momentum, decay = plan.values_at(0)
        check_keys(self.optimizer, momentum is not None, decay is not None)
        self._plan = plan
        self._end = plan.ends_at
        self._at_end = plan.at_end
        self._decay_scales = (
            decay_scales(self.optimizer) if decay is not None else [1.0] * len(self._lr_scales)
        )
        self._values_at = plan.values_at

    def _follow_groups(self) -> None:
        """Takes in groups that were added to the optimizer."""
        groups = self.optimizer.param_groups
        if len(self._lr_scales) != len(groups):
            if self._explicit:
                raise ValueError(
                    f"the optimizer has {len(groups)} groups, but `lr_scales` has {len(self._lr_scales)} entries: "
                    "assign `scheduler.lr_scales` one factor per group"
                )
            self._lr_scales = [1.0] * len(groups)
        for group in groups[len(self.base_lrs) :]:
            group.setdefault("initial_lr", number(group["lr"]))
            self.base_lrs.append(number(group["initial_lr"]))
        _, momentum, decay = self._values_at(0)
        check_keys(self.optimizer, momentum is not None, decay is not None)
        if decay is not None and not self._given_decay_scales:
            self._decay_scales = decay_scales(self.optimizer)
        else:
            self._decay_scales += [1.0] * (len(groups) - len(self._decay_scales))

    def _apply(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self._decay_scales) or len(groups) != len(self._lr_scales):
            self._follow_groups()
        lr, momentum, decay = self._values_at(self.last_epoch)
        for group, scale in zip(groups, self._lr_scales):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr * scale)
            else:
                group["lr"] = lr * scale
            if momentum is not None:
                set_momentum(group, momentum)
        if decay is not None:
            for group, scale in zip(groups, self._decay_scales):
                set_value(group, "weight_decay", decay * scale)

    def step(self, epoch: int | None = None) -> None:
        """Moves to the next update, or to update `epoch`, and sets its values."""
        step = self.last_epoch + 1 if epoch is None else int(epoch)
        if step > self._end and self._at_end != "restart":
            self._past_end(step)
        self.last_epoch = step
        self._step_count += 1
        self._apply()

    def _past_end(self, step: int) -> None:
        end = self._end
        if self._at_end == "error":
            self._plan.at(step)  # raises
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"step {step} is past the end of a plan of {end} steps: the last values are held. "
                "Call `step` once per update, and count updates, not batches or epochs",
                UserWarning,
                stacklevel=3,
            )

    def get_lr(self) -> list[float]:
        """The plan's rates of this update, one per group."""
        lr, _, _ = self._values_at(self.last_epoch)
        return [lr * scale for scale in self._lr_scales]

    def get_last_lr(self) -> list[float]:
        """The rates that are set, one per group."""
        return [number(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def _last_lr(self) -> list[float]:
        return self.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """The plan, as JSON, and the number of updates. `torch.load(.., weights_only=True)` reads it."""
        return {"plan": self._plan.to_json(), "step": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where `state_dict` was saved, with its plan, and sets the values of that update.

        If its plan is not the one of the constructor, it warns.
        """
        missing = {"plan", "step"} - set(state_dict)
        if missing:
            raise ValueError(
                f"the state has no {' and no '.join(sorted(missing))}: expected the state of a onecycle Scheduler, "
                f"found the keys {sorted(state_dict)}. For the state of another scheduler, construct this one with "
                "`step=` the number of updates made"
            )
        plan = Plan.from_json(state_dict["plan"])
        if plan != self._plan:
            warnings.warn(
                f"the state has another plan, {plan!r}, which replaces {self._plan!r}. To change the plan, "
                "construct the scheduler with the new plan and `step=` the number of updates made",
                UserWarning,
                stacklevel=2,
            )
            decay_scales_before = self._decay_scales
            self._set_plan(plan)
            if self._given_decay_scales:
                self._decay_scales = decay_scales_before
        self.last_epoch = int(state_dict["step"])
        self._step_count = self.last_epoch + 1
        self._apply()

    def __repr__(self) -> str:
        return f"Scheduler(step {self.last_epoch} of {self._plan!r})"


def _scales(name: str, scales: Sequence[float] | None, groups: int) -> list[float]:
    if scales is None:
        return [1.0] * groups
    values = [float(scale) for scale in scales]
    if len(values) != groups:
        raise ValueError(f"`{name}` has {len(values)} entries: expected {groups}, one per parameter group")
    for value in values:
        if not 0.0 <= value < float("inf"):
            raise ValueError(f"`{name}` has {value}: expected finite numbers of at least 0")
    return values


__all__ = ["Group", "Scheduler"]
