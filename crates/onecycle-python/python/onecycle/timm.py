"""timm's `Scheduler` interface: `step_update(num_updates)` follows a plan, `step(epoch)` does nothing.

```python
scheduler = onecycle.timm.PlanScheduler(optimizer, onecycle.OneCycle(0.4).plan(steps=updates))
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.scheduler.scheduler import Scheduler as _Base

from ._native import Plan
from .torch import Scheduler


class PlanScheduler(_Base):  # type: ignore[misc]
    """A plan as a scheduler of timm: it sets learning rate, momentum and weight decay of every group.

    timm's `lr_scale` of a group, as `param_groups_layer_decay` sets it, multiplies its rate.
    """

    def __init__(self, optimizer: Any, plan: Plan, lr_scales: Sequence[float] | None = None) -> None:
        if lr_scales is None:
            lr_scales = [float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups]
        super().__init__(optimizer, "lr", t_in_epochs=False)
        self._scheduler = Scheduler(optimizer, plan, lr_scales)

    def _get_lr(self, t: int) -> list[float]:
        lr = self._scheduler.plan.values_at(t)[0]
        return [lr * scale for scale in self._scheduler.lr_scales]

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Sets the values of update `num_updates`, counted from 0."""
        self._scheduler.step(num_updates)

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Does nothing: the plan counts updates."""

    def state_dict(self) -> dict[str, Any]:
        """The plan and the number of updates."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where `state_dict` was saved."""
        self._scheduler.load_state_dict(state_dict)


__all__ = ["PlanScheduler"]
