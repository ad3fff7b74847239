"""The range test for PyTorch: `RangeTest` for any loop, `range_test` for the usual one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, cast

import torch

from .._native import Figure, Hyper, LossCurve, LrSweep, OverSeeds, Plan, Suggestion, draw, over_seeds
from .._native import RangeTest as _RangeTest
from ._data import choose_loss, device_of, endless, evaluate, loss_of, to_device, with_batch_size
from ._hyper import check_keys, decay_scales, set_momentum, set_value
from ._state import Snapshot, _several


class RangeTest:
    """A range test in your own loop: several optimizers, accumulation, mixed precision, closures, DDP.

    As a context manager it takes a `Snapshot` and restores it at the end: weights, buffers, gradients,
    optimizer state, training flags and all random streams, verified by one hash, also after an exception
    or Ctrl-C. Iterating gives the hyper-parameters of each update, already set in the optimizers. Call
    `record` with each loss, before the update. It returns whether the test continues.

    ```python
    with RangeTest([generator, critic], [opt_g, opt_c], loaders=loader, others=[scaler]) as test:
        batches = test.batches(loader)
        for hyper in test:
            loss = my_step(next(batches))     # forward, backward, optimizer.step()
            test.record(loss)
    print(test.curve.suggest())
    ```

    | parameter | default | purpose |
    |---|---|---|
    | `models`, `optimizers`, `loaders`, `others` | | the state to restore; see `Snapshot` |
    | `sweep` | 1e-5 to 10 in 150 steps | the learning rates |
    | `plan` | | tests with momentum, weight decay and batch size of the plan's peak |
    | `momentum`, `weight_decay` | the optimizer's | values during the test |
    | `lr_scales` | 1 | factor on the rate per group, over all optimizers in order |
    | `accumulation` | 1 | calls of `record` per update |
    | `warm_up` | 0 | updates at the first rate before the sweep |
    | `early_stop` | True | ends when the loss has clearly diverged |

    Under `torch.distributed`, `record` averages the loss over the processes, so that all of them stop at the
    same update.
    """

    def __init__(
        self,
        models: Any,
        optimizers: Any,
        loaders: Any = (),
        others: Any = (),
        *,
        sweep: LrSweep | None = None,
        plan: Plan | None = None,
        momentum: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
        lr_scales: Sequence[float] | None = None,
        accumulation: int = 1,
        warm_up: int = 0,
        early_stop: bool = True,
    ) -> None:
        self._state = (models, optimizers, loaders, others)
        self._optimizers = _several(optimizers, torch.optim.Optimizer)
        self._test = _RangeTest(
            sweep,
            plan=plan,
            warm_up=warm_up,
            accumulation=accumulation,
            early_stop=early_stop,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            seed=seed,
        )
        groups = sum(len(one.param_groups) for one in self._optimizers)
        self._lr_scales = [1.0] * groups if lr_scales is None else [float(scale) for scale in lr_scales]
        if len(self._lr_scales) != groups:
            raise ValueError(
                f"`lr_scales` has {len(self._lr_scales)} entries: expected {groups}, one per parameter group"
            )
        self._snapshot: Snapshot | None = None
        self._iterators: list[Any] = []

    def __enter__(self) -> RangeTest:
        self._snapshot = Snapshot(*self._state)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Worker processes of an unfinished pass must end before the loader's state is restored.
        for iterator in self._iterators:
            iterator.close()
        self._iterators.clear()
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            snapshot.restore()

    def __iter__(self) -> Iterator[Hyper]:
        if self._snapshot is None:
            raise RuntimeError("a range test changes the model: iterate inside `with RangeTest(..) as test:`")
        while (hyper := self._test.next_hyper()) is not None:
            self._set(hyper)
            yield hyper

    def batches(self, loader: Any) -> Iterator[Any]:
        """Endless passes over a loader, ended with the test."""
        iterator = endless(loader)
        self._iterators.append(iterator)
        return iterator

    def _set(self, hyper: Hyper) -> None:
        scales = iter(self._lr_scales)
        for optimizer in self._optimizers:
            check_keys(optimizer, hyper.momentum is not None, hyper.weight_decay is not None)
            factors = decay_scales(optimizer) if hyper.weight_decay is not None else []
            for index, group in enumerate(optimizer.param_groups):
                set_value(group, "lr", hyper.lr * next(scales))
                if hyper.momentum is not None:
                    set_momentum(group, hyper.momentum)
                if hyper.weight_decay is not None:
                    set_value(group, "weight_decay", hyper.weight_decay * factors[index])

    def record(self, loss: Any) -> bool:
        """Records the loss of a micro-batch, a number or a tensor, before its update.

        Returns whether the test continues. The update may be made in any case: it is undone at the end.
        """
        return self._test.record(_mean_over_processes(loss))

    def record_validation(self, loss: float | None = None, accuracy: float | None = None) -> None:
        """Records a validation after the last update; the accuracy is 0 to 1."""
        self._test.record_validation(loss, accuracy)

    @property
    def curve(self) -> LossCurve:
        """The curve recorded so far."""
        return self._test.curve

    @property
    def stop_reason(self) -> str | None:
        """Why the test ended: `finished`, `diverged`, `not_finite`; `None` if it has not."""
        return self._test.stop_reason


class RangeTestResult:
    """The curves of a range test: one per value of the overlay and seed."""

    def __init__(self, curves: dict[str, list[LossCurve]]) -> None:
        self.curves = curves

    @property
    def curve(self) -> LossCurve:
        """The first curve."""
        return next(iter(self.curves.values()))[0]

    def suggest(self, rule: Any = "one_cycle_max") -> dict[str, Suggestion | OverSeeds]:
        """The suggestion of a rule per value of the overlay, over all seeds."""
        return {
            name: curves[0].apply(rule) if len(curves) == 1 else over_seeds(curves, rule)
            for name, curves in self.curves.items()
        }

    @property
    def suggestion(self) -> Suggestion | OverSeeds:
        """The suggestion for the peak of one cycle, of the first value of the overlay."""
        return next(iter(self.suggest().values()))

    @property
    def lr_max(self) -> float | None:
        """The suggested peak; `None` unless the verdict is `ok`."""
        suggestion = self.suggestion
        return suggestion.lr if suggestion.verdict == "ok" else None

    def plot(self) -> Figure:
        """The curves over the learning rate; with several seeds their mean, and a band from lowest to highest."""
        lines, names, bands = [], [], []
        for name, curves in self.curves.items():
            if len(curves) == 1:
                lines.append(curves[0])
            else:
                length = min(len(curve) for curve in curves)
                lr = [float(value) for value in curves[0].lr[:length]]
                losses = list(zip(*(map(float, curve.loss[:length]) for curve in curves)))
                lines.append(LossCurve(lr, [sum(at) / len(at) for at in losses]))
                bands.append(
                    (
                        f"{name}, {len(curves)} seeds",
                        lr,
                        [min(at) for at in losses],
                        [max(at) for at in losses],
                    )
                )
            names.append(name)
        marks = [
            (one.lr, f"{name}: {one.lr:.2g}")
            for name, one in self.suggest().items()
            if one.lr and one.verdict == "ok"
        ]
        verdicts = ", ".join(dict.fromkeys(one.verdict for one in self.suggest().values()))
        return draw(lines, names, marks, f"Loss over the learning rate ({verdicts})", bands)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{'–' if one.lr is None else f'{one.lr:.3g}'}</td><td>{one.verdict}</td><td>{one.advice}</td></tr>"
            for name, one in self.suggest().items()
        )
        table = f"<table><tr><th></th><th>peak</th><th>verdict</th><th></th></tr>{rows}</table>"
        return f'<div style="max-width:34em">{self.plot().svg()}{table}</div>'

    def __repr__(self) -> str:
        return f"<RangeTestResult: {self.suggest()}>"


def range_test(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Any,
    loss: Any = None,
    *,
    batch_loss: Any = None,
    sweep: LrSweep | None = None,
    plan: Plan | None = None,
    valid: Any = None,
    validate_every: int = 0,
    weight_decays: Sequence[float] | None = None,
    momenta: Sequence[float] | None = None,
    batch_sizes: Sequence[int] | None = None,
    seeds: int = 1,
    accumulation: int = 1,
    warm_up: int = 0,
    early_stop: bool = True,
    scaler: Any = None,
    autocast: Any = None,
    lr_scales: Sequence[float] | None = None,
    others: Sequence[Any] = (),
) -> RangeTestResult:
    """Trains with growing learning rates and returns the loss curve. Leaves everything unchanged.

    Weights, buffers, gradients, optimizer state, training flags and all random streams are the same
    afterwards, verified by one hash. A loader whose state cannot be restored is rejected.

    | parameter | default | purpose |
    |---|---|---|
    | `model`, `optimizer` | | as in training |
    | `data` | | DataLoader or list of batches; repeated as needed |
    | `loss` | | function of output and target; batches are pairs |
    | `batch_loss` | | instead: function of model and batch, for any other batch |
    | `sweep` | `LrSweep(1e-5, 10, 150)` | learning rates |
    | `plan` | | tests with momentum and weight decay of the plan's peak |
    | `valid`, `validate_every` | none, 0 | loader for validation, and updates between validations |
    | `weight_decays`, `momenta`, `batch_sizes` | | one curve per value; only one of the three |
    | `seeds` | 1 | tests per value; they differ in data order and dropout. With 1, the present random streams are used |
    | `accumulation` | 1 | batches per update |
    | `warm_up` | 0 | updates at the first rate before the sweep |
    | `early_stop` | True | ends when the loss has clearly diverged |
    | `scaler`, `autocast` | | a GradScaler, and a function that returns a context for the forward pass |
    | `lr_scales` | 1 | factor on the rate per parameter group |
    | `others` | | more objects with state, such as an EMA of the weights |

    >>> inputs = torch.randn(64, 2)
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> found = range_test(model, optimizer, [(inputs, inputs.sum(1, keepdim=True))], torch.nn.functional.mse_loss)
    >>> found.suggestion.verdict
    'ok'
    """
    loss = choose_loss(loss, batch_loss)
    overlays = {"weight decay": weight_decays, "momentum": momenta, "batch size": batch_sizes}
    given = {name: list(values) for name, values in overlays.items() if values is not None}
    if len(given) > 1:
        raise ValueError(f"give one of weight_decays, momenta and batch_sizes, not {len(given)} of them")
    parameter, values = next(iter(given.items()), ("", [None]))
    if not values:
        raise ValueError(f"the list of values for {parameter} is empty")
    if validate_every and valid is None:
        raise ValueError("`validate_every` needs `valid`, a loader for validation")
    if seeds < 1:
        raise ValueError(f"`seeds` is {seeds}: expected at least 1")
    curves: dict[str, list[LossCurve]] = {}
    for value in values:
        loader = with_batch_size(data, cast(int, value)) if parameter == "batch size" else data
        for seed in range(seeds):
            test = RangeTest(
                model,
                optimizer,
                [loader] if valid is None else [loader, valid],
                [*others, *([] if scaler is None else [scaler])],
                sweep=sweep,
                plan=plan,
                weight_decay=value if parameter == "weight decay" else None,
                momentum=value if parameter == "momentum" else None,
                batch_size=getattr(loader, "batch_size", None),
                seed=seed if seeds > 1 else None,
                lr_scales=lr_scales,
                accumulation=accumulation,
                warm_up=warm_up,
                early_stop=early_stop,
            )
            with test:
                if seeds > 1:
                    _seed_everything(seed, loader)
                _drive(
                    test,
                    model,
                    optimizer,
                    loader,
                    loss,
                    scaler,
                    autocast,
                    valid,
                    validate_every,
                    accumulation,
                )
            name = "loss" if value is None else f"{parameter} {value:g}"
            curves.setdefault(name, []).append(test.curve)
    return RangeTestResult(curves)


def _drive(
    test: RangeTest,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: Any,
    loss: Any,
    scaler: Any,
    autocast: Any,
    valid: Any,
    validate_every: int,
    accumulation: int,
) -> None:
    """The usual training loop, inside a range test."""
    device = device_of(model)
    batches = test.batches(loader)
    model.train()
    for update, _ in enumerate(test):
        optimizer.zero_grad()
        goes_on = True
        for _ in range(accumulation):
            batch = to_device(next(batches), device)
            with contextlib.nullcontext() if autocast is None else autocast():
                value = loss_of(model, batch, loss)
            goes_on = test.record(value)
            scaled = value / accumulation
            (scaled if scaler is None else scaler.scale(scaled)).backward()
        if not goes_on:
            break
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        if validate_every and (update + 1) % validate_every == 0:
            test.record_validation(*evaluate(model, valid, loss))


def _seed_everything(seed: int, loader: Any) -> None:
    import random

    from ._state import _is_generator, _reachable

    torch.manual_seed(seed)
    random.seed(seed)
    for one in _reachable(loader):
        if _is_generator(one) and isinstance(one, torch.Generator):
            one.manual_seed(seed)


def _mean_over_processes(loss: Any) -> float:
    value = float(loss.detach()) if isinstance(loss, torch.Tensor) else float(loss)
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return value
    device = torch.device("cpu")
    if distributed.get_backend() == "nccl":
        device = torch.device("cuda", torch.cuda.current_device())
    total = torch.tensor(value if math.isfinite(value) else math.nan, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return float(total) / int(distributed.get_world_size())
