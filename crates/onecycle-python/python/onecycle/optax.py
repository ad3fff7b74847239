"""optax: a plan as schedules, and an optimizer that follows it.

```python
plan = onecycle.OneCycle(0.4).plan(steps=2000)
optimizer = onecycle.optax.inject(plan, optax.sgd)        # learning rate and momentum
optimizer = optax.adam(onecycle.optax.schedule(plan))     # the learning rate alone
```
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from ._native import Plan


def _from_values(plan: Plan, values: Any) -> Callable[[Any], Any]:
    table = jnp.asarray([float(value) for value in values])
    end = plan.ends_at

    def schedule(count: Any) -> Any:
        index = count % end if plan.at_end == "restart" else jnp.clip(count, 0, end - 1)
        return table[index]

    return schedule


def schedule(plan: Plan) -> Callable[[Any], Any]:
    """The learning rate as a schedule: a function of the count, usable inside `jax.jit`.

    float32 unless JAX's 64-bit mode is on.
    """
    return _from_values(plan, plan.lr)


def momentum_schedule(plan: Plan) -> Callable[[Any], Any]:
    """The momentum as a schedule.

    Raises ValueError if the plan does not set it.
    """
    if plan.momentum is None:
        raise ValueError("the plan sets no momentum: use a policy that does, such as OneCycle")
    return _from_values(plan, plan.momentum)


def weight_decay_schedule(plan: Plan) -> Callable[[Any], Any]:
    """The weight decay as a schedule.

    Raises ValueError if the plan does not set it.
    """
    if plan.weight_decay is None:
        raise ValueError("the plan sets no weight decay: give the policy `weight_decay`")
    return _from_values(plan, plan.weight_decay)


def inject(plan: Plan, optimizer: Callable[..., Any], **arguments: Any) -> Any:
    """An optimizer whose learning rate, momentum (or b1) and weight decay follow the plan.

    It wraps `optimizer`, such as `optax.sgd` or `optax.adamw`, in `optax.inject_hyperparams`; `arguments` are
    its other arguments. The state has the present values under `hyperparams`.

    Raises ValueError if the plan sets a value that the optimizer does not take.
    """
    parameters = inspect.signature(optimizer).parameters
    arguments["learning_rate"] = schedule(plan)
    if plan.momentum is not None:
        name = next((name for name in ("momentum", "b1") if name in parameters), None)
        if name is None:
            raise ValueError(
                f"the plan sets momentum, but {optimizer.__name__} takes none: use a policy without momentum"
            )
        arguments[name] = momentum_schedule(plan)
    if plan.weight_decay is not None:
        if "weight_decay" not in parameters:
            raise ValueError(
                f"the plan sets weight decay, but {optimizer.__name__} takes none: omit it from the policy"
            )
        arguments["weight_decay"] = weight_decay_schedule(plan)
    return optax.inject_hyperparams(optimizer)(**arguments)


__all__ = ["inject", "momentum_schedule", "schedule", "weight_decay_schedule"]
