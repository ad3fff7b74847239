"""fastai's `Learner`: fit with any policy, and a range test that leaves the learner unchanged.

```python
found = onecycle.fastai.range_test(learn)
onecycle.fastai.fit(learn, 5, onecycle.OneCycle(found.lr_max))
```
"""

from __future__ import annotations

from typing import Any

from fastai.callback.core import Callback

from ._native import LossCurve, LrSweep, Plan
from ._native import RangeTest as _RangeTest
from ._policy import Policy
from .torch import RangeTestResult, Snapshot
from .torch._data import endless


class PolicyCallback(Callback):  # type: ignore[misc]
    """Sets `lr`, `mom` and `wd` of every update to the values of a policy over the whole fit.

    Weight decay of biases and batch norm stays off where fastai turns it off. `lr_scales` has one factor per
    parameter group.
    """

    run_valid = False
    order = 60

    def __init__(self, policy: Policy, lr_scales: list[float] | None = None) -> None:
        super().__init__()
        self.policy = policy
        self.lr_scales = lr_scales
        self.plan: Plan | None = None

    def before_fit(self) -> None:
        """Resolves the policy for the fit."""
        self.plan = self.policy.plan(epochs=self.n_epoch, steps_per_epoch=len(self.dls.train))
        self._step = 0

    def before_batch(self) -> None:
        """Sets the values of the update."""
        assert self.plan is not None
        _set(self.opt, *self.plan.values_at(self._step), self.lr_scales)
        self._step += 1


def _set(
    optimizer: Any, lr: float, momentum: float | None, decay: float | None, scales: list[float] | None
) -> None:
    groups = len(optimizer.hypers)
    if scales is not None and len(scales) != groups:
        raise ValueError(f"`lr_scales` has {len(scales)} entries: expected {groups}, one per parameter group")
    optimizer.set_hyper("lr", [lr * scale for scale in scales or [1.0] * groups])
    for name, value in (("mom", momentum), ("wd", decay)):
        if value is not None:
            if name not in optimizer.hypers[0]:
                raise ValueError(f"the plan sets {name}, but the optimizer has none: omit it from the policy")
            optimizer.set_hyper(name, value)


def fit(
    learn: Any, n_epoch: int, policy: Policy, lr_scales: list[float] | None = None, cbs: Any = None
) -> Plan:
    """`learn.fit` with a policy. Returns the plan that was followed."""
    callback = PolicyCallback(policy, lr_scales)
    learn.fit(n_epoch, cbs=[callback, *(cbs or [])])
    assert callback.plan is not None
    return callback.plan


def range_test(learn: Any, sweep: LrSweep | None = None, plan: Plan | None = None) -> RangeTestResult:
    """A range test with the learner's model, optimizer, data and loss. Everything is unchanged afterwards.

    With `plan`, the test uses momentum and weight decay of the plan's peak.
    """
    created = learn.opt is None
    if created:
        learn.create_opt()
    optimizer = learn.opt
    test = _RangeTest(sweep, plan=plan)
    try:
        with Snapshot(learn.model, loaders=[learn.dls.train], others=[optimizer.state, *optimizer.hypers]):
            learn.model.train()
            batches = endless(learn.dls.train)
            while (hyper := test.next_hyper()) is not None:
                _set(optimizer, hyper.lr, hyper.momentum, hyper.weight_decay, None)
                batch = next(batches)
                inputs_of = getattr(
                    learn.dls, "n_inp", 1 if len(batch) == 1 else len(batch) - 1
                )  # as in Learner
                inputs, targets = batch[:inputs_of], batch[inputs_of:]
                loss = learn.loss_func(learn.model(*inputs), *targets)
                goes_on = test.record(float(loss.detach()))
                optimizer.zero_grad()
                loss.backward()
                if not goes_on:
                    break
                optimizer.step()
            batches.close()  # type: ignore[attr-defined]
    finally:
        if created:
            learn.opt = None
    curve: LossCurve = test.curve
    return RangeTestResult({"loss": [curve]})


__all__ = ["PolicyCallback", "fit", "range_test"]
