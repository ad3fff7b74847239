"""`find_peak`: the search for the peak of one cycle by short cycles, as `onecycle fit` makes it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from .. import rules
from .._native import CycleSearch, Figure, LossCurve, LrSweep, Suggestion
from .._policies import OneCycle
from .._policy import Policy
from ._data import choose_loss, device_of, endless, evaluate, loss_of, samples_of, to_device
from ._range_test import RangeTestResult, _seed_everything, range_test
from ._scheduler import Scheduler
from ._state import Snapshot

# As in `onecycle fit`: a short cycle is a fifth of the run, within these bounds.
_SHARE, _MIN_STEPS, _MAX_STEPS = 0.2, 100, 400
_SECOND_SEED = 1000
# With fewer samples to choose by, more rates are tried.
_FEW_SAMPLES, _MAX_CYCLES, _MAX_CYCLES_FEW, _PATIENCE_FEW = 200, 7, 12, 2
# Standard deviation over the samples of the difference between two losses, as a share of the untrained loss.
_DEVIATION = 0.1


class PeakSearch:
    """The short cycles, and the peak that they suggest."""

    def __init__(
        self, search: CycleSearch, test: RangeTestResult | None, steps: int, updates: int, seconds: float
    ) -> None:
        self.tried = search.tried
        self.suggestion: Suggestion = search.suggestion
        self.range_test = test
        self.cycle_steps = steps
        self.updates = updates
        self.seconds = seconds

    @property
    def lr_max(self) -> float | None:
        """The suggested peak; `None` if no cycle learned anything."""
        return self.suggestion.lr

    @property
    def verdict(self) -> str:
        """`ok`, or why there is no peak."""
        return self.suggestion.verdict

    def plot(self) -> Figure:
        """Held-out loss over the peak of the cycles."""
        from .._native import draw

        points = sorted((lr, loss) for lr, loss, _ in self.tried)
        curve = LossCurve([lr for lr, _ in points], [loss for _, loss in points])
        marks = [] if self.lr_max is None else [(self.lr_max, f"peak {self.lr_max:.2g}")]
        return draw([curve], ["held-out loss"], marks, "Held-out loss over the peak of short cycles")

    def __repr__(self) -> str:
        tried = ", ".join(f"{lr:.3g}: {loss:.3g}" for lr, loss, _ in self.tried)
        return f"<PeakSearch: {self.suggestion}; {self.cycle_steps} updates per cycle; tried {tried}>"


def find_peak(
    make_model: Callable[[], torch.nn.Module],
    make_optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer],
    train: Any,
    valid: Any,
    loss: Any = None,
    *,
    steps: int,
    batch_loss: Any = None,
    start: float | None = None,
    policy: Callable[[float], Policy] | None = None,
    cycle_steps: int | None = None,
    most: int | None = None,
    sweep: LrSweep | None = None,
    seed: int = 0,
    on_cycle: Callable[[float, float], None] | None = None,
) -> PeakSearch:
    """Searches the peak of one cycle: a range test, then a few short cycles compared by held-out loss.

    A range test makes a single update per rate, so with batch norm it misses the rates at which a cycle
    loses accuracy. Short cycles measure the policy itself. Random streams and the loaders are restored
    afterwards.

    | parameter | default | purpose |
    |---|---|---|
    | `make_model`, `make_optimizer` | | functions: a new model; the optimizer of a model |
    | `train`, `valid` | | loaders; `valid` holds samples that are not in `train` and not the test set |
    | `loss`, `batch_loss` | | as in `range_test` |
    | `steps` | | updates of the planned run |
    | `start` | from a range test | first peak |
    | `policy` | `OneCycle` | function from a peak to a policy |
    | `cycle_steps` | a fifth of `steps`, 100 to 400 | updates per cycle |
    | `most` | 7, or 12 below 200 held-out samples | largest number of cycles |
    | `on_cycle` | | called with peak and loss after each cycle |

    Source: the search is the crate's `CycleSearch`; its documentation has the formula.
    """
    loss = choose_loss(loss, batch_loss)
    begun = time.monotonic()
    if cycle_steps is None:
        cycle_steps = min(max(int(steps * _SHARE), _MIN_STEPS), _MAX_STEPS, steps)
    samples = samples_of(valid) or _FEW_SAMPLES
    few = samples < _FEW_SAMPLES
    updates = 0
    test = None
    with Snapshot(loaders=[train, valid]):
        model = _new(make_model, seed, train)
        untrained, _ = evaluate(model, valid, loss)
        if not math.isfinite(untrained):
            raise ValueError(f"the loss of the untrained model is {untrained}: check data and model")
        make_policy = policy or _default_policy(make_optimizer(model))
        if start is None:
            plan = make_policy(0.1).plan(steps=cycle_steps)
            test = range_test(
                model,
                make_optimizer(model),
                train,
                _as_loss(loss),
                batch_loss=_as_batch_loss(loss),
                sweep=sweep,
                plan=plan,
            )
            updates += len(test.curve)
            start = _start(test)
        search = CycleSearch(
            start,
            untrained,
            most or (_MAX_CYCLES_FEW if few else _MAX_CYCLES),
            patience=_PATIENCE_FEW if few else 1,
            resolution=abs(_DEVIATION * untrained) / math.sqrt(samples),
        )
        while (lr_max := search.next_lr_max) is not None:
            model = _new(make_model, seed + (_SECOND_SEED if search.is_second else 0), train)
            made, held_out = _cycle(
                model, make_optimizer(model), train, valid, loss, make_policy(lr_max).plan(steps=cycle_steps)
            )
            updates += made
            search.record(held_out)
            if on_cycle is not None:
                on_cycle(lr_max, held_out)
    return PeakSearch(search, test, cycle_steps, updates, time.monotonic() - begun)


def _new(make_model: Callable[[], torch.nn.Module], seed: int, train: Any) -> torch.nn.Module:
    _seed_everything(seed, train)
    return make_model()


def _cycle(model: Any, optimizer: Any, train: Any, valid: Any, loss: Any, plan: Any) -> tuple[int, float]:
    """One short cycle: its updates and its held-out loss, infinite if it diverged."""
    scheduler = Scheduler(optimizer, plan, lr_scales=None)
    device = device_of(model)
    batches = endless(train)
    model.train()
    try:
        for step in range(plan.steps):
            optimizer.zero_grad()
            value = loss_of(model, to_device(next(batches), device), loss)
            if not math.isfinite(float(value.detach())):
                return step, math.inf
            value.backward()
            optimizer.step()
            scheduler.step()
    finally:
        batches.close()  # type: ignore[attr-defined]
    held_out, _ = evaluate(model, valid, loss)
    return plan.steps, held_out if math.isfinite(held_out) else math.inf


def _default_policy(optimizer: torch.optim.Optimizer) -> Callable[[float], Policy]:
    """The paper's policy, without momentum for an optimizer that has none."""
    group = optimizer.param_groups[0]
    if "momentum" in group or "betas" in group:
        return OneCycle
    return lambda lr_max: OneCycle(lr_max, momentum=None)


def _start(test: RangeTestResult) -> float:
    """The rate of the range test; for a curve without a suggestion, a rate that the cycles can check."""
    curve = test.curve
    suggestion = curve.apply("one_cycle_max")
    if suggestion.lr is not None:
        return suggestion.lr
    if suggestion.verdict in ("too_short", "not_finite"):
        raise ValueError(f"the range test gives no rate ({suggestion.verdict}): {suggestion.advice}")
    if suggestion.verdict == "never_diverged":
        return float(curve.lr[-1])
    means = [float(mean) for mean in rules.running_mean("fastai", curve.loss)]
    finite = [(mean, float(lr)) for mean, lr in zip(means, curve.lr) if math.isfinite(mean)]
    return min(finite)[1]


def _as_loss(loss: Any) -> Any:
    return None if getattr(loss, "of_batch", False) else loss


def _as_batch_loss(loss: Any) -> Any:
    return loss.function if getattr(loss, "of_batch", False) else None
