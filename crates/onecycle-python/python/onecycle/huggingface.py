"""Hugging Face's `Trainer`: train with a policy, and make a range test.

```python
trainer = transformers.Trainer(model, args, train_dataset=data)
found = onecycle.huggingface.range_test(trainer)
onecycle.huggingface.use_policy(trainer, onecycle.OneCycle(found.lr_max))
trainer.train()
```

`Trainer` saves and restores the scheduler with its checkpoints. With Accelerate alone, pass a `Scheduler` to
`accelerator.prepare`; it steps once per process unless `step_scheduler_with_optimizer=False` or
`split_batches=True`, so resolve the plan for that many steps.
"""

from __future__ import annotations

from typing import Any

from ._policy import Policy
from .torch import RangeTestResult, Scheduler
from .torch import range_test as _range_test


def use_policy(trainer: Any, policy: Policy, lr_scales: Any = None) -> None:
    """Makes a Trainer follow a policy over its whole run, instead of `args.lr_scheduler_type`.

    Raises ValueError if the trainer was constructed with a scheduler.
    """
    if trainer.lr_scheduler is not None:
        raise ValueError(
            "the Trainer already has a scheduler: construct it without one, or pass it a onecycle.torch.Scheduler"
        )

    def create_scheduler(num_training_steps: int, optimizer: Any = None) -> Any:
        if trainer.lr_scheduler is None:
            optimizer = trainer.optimizer if optimizer is None else optimizer
            trainer.lr_scheduler = Scheduler(
                _inner(optimizer), policy.plan(steps=num_training_steps), lr_scales
            )
            trainer._created_lr_scheduler = True
        return trainer.lr_scheduler

    trainer.create_scheduler = create_scheduler


def range_test(trainer: Any, **options: Any) -> RangeTestResult:
    """A range test with the Trainer's model, optimizer, data and loss. `options` as in `onecycle.torch.range_test`.

    Model, optimizer and random streams are unchanged afterwards.
    """
    created = trainer.optimizer is None
    if created:
        trainer.create_optimizer()
    optimizer = _inner(trainer.optimizer)
    try:
        return _range_test(
            trainer.model,
            optimizer,
            trainer.get_train_dataloader(),
            batch_loss=lambda model, batch: trainer.compute_loss(model, trainer._prepare_inputs(batch)),
            accumulation=trainer.args.gradient_accumulation_steps,
            autocast=trainer.compute_loss_context_manager,
            **options,
        )
    finally:
        if created:
            trainer.optimizer = None


def _inner(optimizer: Any) -> Any:
    """The optimizer of PyTorch inside Accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


__all__ = ["range_test", "use_policy"]
