"""Keras 3: `PlanSchedule` is a learning-rate schedule, `PlanCallback` also sets momentum and weight decay.

```python
plan = onecycle.OneCycle(0.4, momentum=None).plan(epochs=5, steps_per_epoch=400)
model.compile(keras.optimizers.SGD(onecycle.keras.PlanSchedule(plan), momentum=0.9), ..)
```
"""

from __future__ import annotations

from typing import Any

import keras

from ._native import Plan
from ._policy import Policy


class PlanSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The learning rates of a plan as a schedule, for every backend, compiled or not.

    It serialises with the model. After the end it holds the last rate, or starts again with
    `at_end="restart"`. A plan that sets momentum or weight decay is rejected: a schedule cannot apply them.
    """

    def __init__(self, plan: Plan | str) -> None:
        self.plan = Plan.from_json(plan) if isinstance(plan, str) else plan
        _, momentum, decay = self.plan.values_at(0)
        if momentum is not None or decay is not None:
            raise ValueError(
                "a schedule sets only the learning rate, but the plan sets momentum or weight decay: use a policy "
                "without them, such as OneCycle(.., momentum=None), or PlanCallback"
            )
        self._rates = [hyper.lr for hyper in self.plan]

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "int32")
        end = self.plan.ends_at
        index = step % end if self.plan.at_end == "restart" else keras.ops.clip(step, 0, end - 1)
        rates = keras.ops.convert_to_tensor(self._rates, dtype="float32")
        return keras.ops.take(rates, index)

    def get_config(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {"plan": self.plan.to_json()}


class PlanCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets learning rate, momentum (or beta 1) and weight decay before every update.

    Momentum and weight decay are plain attributes of Keras's optimizers. A compiled step reads them only
    once, so the backends TensorFlow and JAX need `model.compile(run_eagerly=True)`; otherwise it raises
    ValueError. `policy` is resolved for the whole `fit`. Construct the optimizer with a number as rate.
    """

    def __init__(self, policy: Policy, initial_step: int = 0) -> None:
        super().__init__()
        self.policy = policy
        self.plan: Plan | None = None
        self._step = initial_step

    def on_train_begin(self, logs: Any = None) -> None:
        """Resolves the policy."""
        # Keras sets both before it calls any method.
        assert self.params is not None and self.model is not None
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if steps is None:
            raise ValueError("the number of batches per epoch is not known: pass `steps_per_epoch` to `fit`")
        self.plan = self.policy.plan(epochs=epochs, steps_per_epoch=steps)
        _, momentum, decay = self.plan.values_at(0)
        if momentum is None and decay is None:
            return
        if keras.backend.backend() != "torch" and not self.model.run_eagerly:
            raise ValueError(
                f"the compiled step of the {keras.backend.backend()} backend does not see changes of momentum or weight "
                "decay: compile with run_eagerly=True, or use a policy without them, such as OneCycle(.., momentum=None)"
            )
        optimizer = self.model.optimizer
        if momentum is not None and not hasattr(optimizer, "momentum") and not hasattr(optimizer, "beta_1"):
            raise ValueError(
                f"the plan sets momentum, but {type(optimizer).__name__} has none: use a policy without momentum"
            )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the values of the update."""
        assert self.plan is not None and self.model is not None
        lr, momentum, decay = self.plan.values_at(self._step)
        optimizer = self.model.optimizer
        optimizer.learning_rate = lr
        if momentum is not None:
            setattr(optimizer, "momentum" if hasattr(optimizer, "momentum") else "beta_1", momentum)
        if decay is not None:
            optimizer.weight_decay = decay
        self._step += 1


__all__ = ["PlanCallback", "PlanSchedule"]
