"""Callbacks for Lightning 2: `OneCycle` trains with a policy, `LrRangeTest` makes a range test before it.

```python
trainer = lightning.Trainer(max_epochs=5, callbacks=[onecycle.lightning.OneCycle(onecycle.OneCycle(0.4))])
```

Use them instead of a scheduler in `configure_optimizers`. They work with `lightning` and with
`pytorch_lightning`, and with automatic optimization of one optimizer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import _policies
from ._native import LrSweep, Plan
from ._policy import Policy
from .torch import RangeTestResult, Scheduler
from .torch import range_test as _range_test


def _callback_class() -> type[Any]:
    """The Callback of the package that the program imported: the two have separate classes."""
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning import Callback
    else:
        try:
            from lightning.pytorch import Callback  # type: ignore[no-redef,assignment,unused-ignore]
        except ImportError:
            from pytorch_lightning import Callback
    return Callback  # type: ignore[no-any-return,unused-ignore]


_Callback: Any = _callback_class()


class LrRangeTest(_Callback):  # type: ignore[misc]
    """Makes a range test before the training and leaves model, optimizer and random streams unchanged.

    | attribute after the test | content |
    |---|---|
    | `result` | the curves and suggestions, a `RangeTestResult` |
    | `lr_max` | the suggested peak, or `None` |

    `options` are those of `onecycle.torch.range_test`, such as `seeds=3` or `weight_decays=[1e-4, 1e-3]`.
    `self.log` has no effect during the test.
    """

    def __init__(self, sweep: LrSweep | None = None, **options: Any) -> None:
        self.sweep = sweep
        self.options = options
        self.result: RangeTestResult | None = None

    @property
    def lr_max(self) -> float | None:
        """The suggested peak; `None` before the test, or if the verdict is not `ok`."""
        return None if self.result is None else self.result.lr_max

    def run(self, trainer: Any, module: Any, plan: Plan | None = None) -> RangeTestResult:
        """Makes the test now."""
        if not module.automatic_optimization or len(trainer.optimizers) != 1:
            raise ValueError(
                "the range test needs automatic optimization with one optimizer: use onecycle.torch.RangeTest in your own loop"
            )
        precision = trainer.precision_plugin

        def loss(model: Any, batch: Any) -> Any:
            output = model.training_step(batch, 0)
            return output["loss"] if isinstance(output, dict) else output

        silent = {name: module.__dict__.get(name) for name in ("log", "log_dict")}
        for name in silent:
            object.__setattr__(module, name, lambda *args, **kwargs: None)
        try:
            self.result = _range_test(
                module,
                trainer.optimizers[0],
                trainer.train_dataloader,
                batch_loss=loss,
                sweep=self.sweep,
                plan=plan,
                autocast=precision.forward_context,
                accumulation=trainer.accumulate_grad_batches,
                **self.options,
            )
        finally:
            for name, value in silent.items():
                if value is None:
                    object.__delattr__(module, name)
                else:
                    object.__setattr__(module, name, value)
        return self.result

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Makes the test, unless the training is resumed."""
        if self.result is None and trainer.global_step == 0:
            self.run(trainer, pl_module)


class OneCycle(_Callback):  # type: ignore[misc]
    """Sets learning rate, momentum and weight decay of every update to the values of a policy.

    The length of the run is Lightning's `trainer.estimated_stepping_batches`. The callback has no state: the
    values follow `trainer.global_step`, so a resumed training continues with the right ones.

    | parameter | default | purpose |
    |---|---|---|
    | `policy` | | a policy; or a function from a peak to a policy, with `find` |
    | `find` | none | an `LrRangeTest` that gives the peak |
    | `lr_scales` | 1 | factor on the rate per parameter group |

    Raises ValueError if `find` gives no rate, or if `configure_optimizers` returns a scheduler too.
    """

    def __init__(
        self,
        policy: Policy | Callable[[float], Policy] = _policies.OneCycle,
        *,
        find: LrRangeTest | None = None,
        lr_scales: Any = None,
    ) -> None:
        if isinstance(policy, Policy) == (find is not None):
            raise ValueError("give a policy, or a function from a peak to a policy together with `find`")
        self.policy = policy
        self.find = find
        self.lr_scales = lr_scales
        self.scheduler: Scheduler | None = None
        self._lr_max: float | None = None

    @property
    def plan(self) -> Plan | None:
        """The plan of the run, once it has begun."""
        return None if self.scheduler is None else self.scheduler.plan

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Resolves the policy."""
        if trainer.lr_scheduler_configs:
            raise ValueError(
                "`configure_optimizers` returns a scheduler, which would overwrite the policy: return only the optimizer"
            )
        if len(trainer.optimizers) != 1:
            raise ValueError(
                f"there are {len(trainer.optimizers)} optimizers: use onecycle.torch.Scheduler for each of them"
            )
        policy = self.policy
        if not isinstance(policy, Policy):
            if self._lr_max is None:
                assert self.find is not None
                found = self.find.result or self.find.run(trainer, pl_module, policy(0.1).plan(steps=100))
                if found.lr_max is None:
                    raise ValueError(
                        f"the range test gives no rate ({found.suggestion.verdict}): {found.suggestion.advice}"
                    )
                self._lr_max = found.lr_max
            policy = policy(self._lr_max)
        steps = trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError(
                "the length of the run is not known: set `max_steps`, or `max_epochs` with a loader that has a length"
            )
        self.scheduler = Scheduler(
            trainer.optimizers[0], policy.plan(steps=int(steps)), self.lr_scales, step=trainer.global_step
        )

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Sets the values of the next update."""
        if self.scheduler is not None and trainer.global_step != self.scheduler.last_epoch:
            self.scheduler.step(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """The peak that was found."""
        return {"lr_max": self._lr_max}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the peak that was found."""
        self._lr_max = state_dict["lr_max"]


__all__ = ["LrRangeTest", "OneCycle"]
