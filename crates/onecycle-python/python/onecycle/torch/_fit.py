"""`fit_one_cycle`: trains a model with one cycle, with a run folder, checkpoints and exact resume."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .._native import Figure, Plan
from .._policy import Policy
from ._data import batches_of, choose_loss, device_of, evaluate, loss_of, to_device
from ._find import PeakSearch, _as_batch_loss, _as_loss, _default_policy, find_peak
from ._range_test import range_test
from ._scheduler import Scheduler
from ._state import _is_generator, _reachable

_KEPT = 2


class FitResult:
    """A finished training."""

    def __init__(
        self,
        model: torch.nn.Module,
        plan: Plan,
        epochs: list[dict[str, Any]],
        search: PeakSearch | None,
        folder: Path | None,
    ) -> None:
        self.model = model
        self.plan = plan
        self.epochs = epochs
        self.search = search
        self.folder = folder

    @property
    def lr_max(self) -> float:
        """The peak learning rate."""
        return self.plan[self.plan.peak_step].lr

    def plot(self) -> Figure:
        """The plan that was followed."""
        return self.plan.plot()

    def __repr__(self) -> str:
        last = self.epochs[-1] if self.epochs else {}
        shown = ", ".join(
            f"{key} {last[key]:.4g}"
            for key in ("train_loss", "val_loss", "val_accuracy")
            if last.get(key) is not None
        )
        return f"<FitResult: {len(self.epochs)} epochs, lr_max {self.lr_max:.3g}, {shown}>"


def fit_one_cycle(
    model: torch.nn.Module,
    train: Any,
    valid: Any = None,
    epochs: int = 5,
    lr_max: float | str = "auto",
    *,
    loss: Any = None,
    batch_loss: Any = None,
    optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer] | None = None,
    policy: Callable[[float], Policy] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[str], None] = True,
    max_grad_norm: float | None = None,
) -> FitResult:
    """Trains a model with the 1cycle policy, in place.

    | parameter | default | purpose |
    |---|---|---|
    | `model` | | a module, on its device |
    | `train`, `valid` | | loaders; `valid` chooses the peak and is evaluated after each epoch |
    | `epochs` | 5 | passes over `train` |
    | `lr_max` | `"auto"` | peak: a number; `"auto"` searches by short cycles of copies of the model (needs `valid`); `"range_test"` uses a range test alone |
    | `loss`, `batch_loss` | cross entropy | as in `range_test` |
    | `optimizer` | SGD, momentum 0.9, weight decay 1e-4 | function from a model to its optimizer |
    | `policy` | `OneCycle` | function from a peak to a policy |
    | `out` | | folder of the run. If it holds an unfinished run, the run continues |
    | `progress` | True | prints a line per epoch; or a function that takes the line |
    | `max_grad_norm` | | largest norm of the gradients |

    The folder has `steps.jsonl`, `epochs.jsonl`, `range_test.json` (`onecycle suggest` reads it),
    `summary.json`, `plan.json`, `plan.svg` and the trained `model.pt`, in the format of the command's run
    folders, and the two newest checkpoints. Files are always complete. A run that was stopped continues from
    its last finished epoch; on the CPU it ends with the same bits as an undisturbed run. For that, construct
    the same model and the same loaders again and use the same `out`.

    Raises ValueError if no rate can be found, and FloatingPointError if the loss is not finite.
    """
    if loss is None and batch_loss is None:
        loss = torch.nn.functional.cross_entropy
    loss = choose_loss(loss, batch_loss)
    make_optimizer = optimizer or (
        lambda one: torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    )
    if epochs < 1:
        raise ValueError(f"`epochs` is {epochs}: expected at least 1")
    say = (
        progress
        if callable(progress)
        else (lambda line: print(line, flush=True))
        if progress
        else (lambda line: None)
    )
    folder = None if out is None else Path(out)
    steps_per_epoch = batches_of(train)
    made = make_optimizer(model)
    make_policy = policy or _default_policy(made)
    checkpoint = None if folder is None else _newest(folder)
    search, chosen, searched = None, None, {}
    if checkpoint is not None:
        plan = Plan.from_json(checkpoint["scheduler"]["plan"])
        searched = checkpoint["search"]
        if plan.steps != epochs * steps_per_epoch:
            raise ValueError(
                f"{folder} holds a run of {plan.steps} steps, not of {epochs} epochs of {steps_per_epoch} steps: "
                "choose another folder for `out`"
            )
    else:
        chosen, search, curve = _choose(
            model, make_optimizer, make_policy, train, valid, loss, epochs * steps_per_epoch, lr_max, say
        )
        plan = make_policy(chosen).plan(epochs=epochs, steps_per_epoch=steps_per_epoch)
        if search is not None:
            searched = {"search_updates": search.updates, "search_seconds": search.seconds}
        if folder is not None:
            _begin(folder, plan, curve, model)
    scheduler = Scheduler(made, plan)
    record = _Record(folder)
    first, rows = 0, []
    if checkpoint is not None:
        first = _restore(checkpoint, model, made, scheduler, train, valid)
        rows = record.cut(scheduler.last_epoch, first)
        say(f"continues after epoch {first} of {epochs}")
    device = device_of(model)
    for epoch in range(first, epochs):
        begun = time.monotonic()
        if hasattr(getattr(train, "sampler", None), "set_epoch"):
            train.sampler.set_epoch(epoch)
        model.train()
        total, batches = 0.0, 0
        for batch in train:
            step = scheduler.last_epoch
            made.zero_grad()
            value = loss_of(model, to_device(batch, device), loss)
            number = float(value.detach())
            if not math.isfinite(number):
                raise FloatingPointError(
                    f"the loss is {number} at step {step} (lr {plan.at(step).lr:.3g}): lower `lr_max`, or use `max_grad_norm`"
                )
            value.backward()
            if max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
            made.step()
            hyper = plan.at(step)
            record.step(
                {
                    "step": step,
                    "epoch": epoch,
                    "lr": hyper.lr,
                    "momentum": hyper.momentum,
                    "weight_decay": hyper.weight_decay,
                    "batch_size": getattr(train, "batch_size", None),
                    "loss": number,
                }
            )
            scheduler.step()
            total, batches = total + number, batches + 1
        if batches != steps_per_epoch:
            raise ValueError(
                f"the loader gave {batches} batches instead of {steps_per_epoch}: its length is wrong"
            )
        val_loss, val_accuracy = (None, None) if valid is None else evaluate(model, valid, loss)
        last = plan.at(scheduler.last_epoch - 1)
        train_loss, seconds = total / batches, time.monotonic() - begun
        batch_size = getattr(train, "batch_size", None)
        row = {
            "epoch": epoch,
            "steps": scheduler.last_epoch,
            "train_loss": train_loss,
            "train_accuracy": None,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "generalisation_gap": None if val_loss is None else val_loss - train_loss,
            "lr": last.lr,
            "momentum": last.momentum,
            "seconds": seconds,
            "images_per_second": None if batch_size is None else batches * batch_size / seconds,
        }
        rows.append(row)
        record.epoch(row)
        if folder is not None:
            _save(folder, epoch + 1, model, made, scheduler, train, valid, searched)
        say(_line(row, epochs))
    if folder is not None:
        _finish(folder, model, rows, plan, searched)
    return FitResult(model, plan, rows, search, folder)


def _choose(
    model: Any,
    make_optimizer: Any,
    make_policy: Any,
    train: Any,
    valid: Any,
    loss: Any,
    steps: int,
    lr_max: Any,
    say: Any,
) -> tuple[float, PeakSearch | None, Any]:
    """The peak, the search, and the curve of its range test."""
    if isinstance(lr_max, (int, float)):
        return float(lr_max), None, None
    if lr_max == "range_test":
        plan = make_policy(0.1).plan(steps=steps)
        found = range_test(
            model, make_optimizer(model), train, _as_loss(loss), batch_loss=_as_batch_loss(loss), plan=plan
        )
        if found.lr_max is None:
            raise ValueError(
                f"the range test gives no rate ({found.suggestion.verdict}): {found.suggestion.advice}"
            )
        say(f"range test: peak {found.lr_max:.3g}")
        return found.lr_max, None, found.curve
    if lr_max != "auto":
        raise ValueError(f'`lr_max` is {lr_max!r}: expected a number, "auto" or "range_test"')
    if valid is None:
        raise ValueError(
            'lr_max="auto" needs `valid`, samples that are not in `train`: pass them, or lr_max="range_test"'
        )
    copies = 0

    def make_model() -> torch.nn.Module:
        nonlocal copies
        copies += 1
        fresh = copy.deepcopy(model)
        if copies > 1 and torch.initial_seed() >= _second_seed():
            for module in fresh.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        return fresh

    search = find_peak(
        make_model,
        make_optimizer,
        train,
        valid,
        _as_loss(loss),
        batch_loss=_as_batch_loss(loss),
        steps=steps,
        policy=make_policy,
        on_cycle=lambda peak, held_out: say(f"short cycle: peak {peak:.3g}, held-out loss {held_out:.4g}"),
    )
    if search.lr_max is None:
        raise ValueError(
            f"no short cycle learned anything ({search.verdict}): check data, model and loss, or pass `lr_max`"
        )
    say(f"peak {search.lr_max:.3g}")
    return search.lr_max, search, None if search.range_test is None else search.range_test.curve


def _second_seed() -> int:
    from ._find import _SECOND_SEED

    return _SECOND_SEED


def _line(row: dict[str, Any], epochs: int) -> str:
    parts = [f"epoch {row['epoch'] + 1}/{epochs}", f"train {row['train_loss']:.4f}"]
    if row["val_loss"] is not None:
        parts.append(f"valid {row['val_loss']:.4f}")
    if row["val_accuracy"] is not None:
        parts.append(f"accuracy {100 * row['val_accuracy']:.2f} %")
    return "  ".join([*parts, f"{row['seconds']:.1f} s"])


class _Record:
    """`steps.jsonl` and `epochs.jsonl`."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._waiting: list[str] = []

    def step(self, row: dict[str, Any]) -> None:
        if self._folder is not None:
            self._waiting.append(json.dumps(row))

    def epoch(self, row: dict[str, Any]) -> None:
        if self._folder is not None:
            _append(self._folder / "steps.jsonl", self._waiting)
            self._waiting = []
            _append(self._folder / "epochs.jsonl", [json.dumps(row)])

    def cut(self, steps: int, epochs: int) -> list[dict[str, Any]]:
        """Removes the lines after the checkpoint; returns the rows of the epochs."""
        assert self._folder is not None
        for name, count in (("steps.jsonl", steps), ("epochs.jsonl", epochs)):
            path = self._folder / name
            lines = path.read_text().splitlines()[:count]
            if len(lines) < count:
                raise ValueError(
                    f"{path} has {len(lines)} lines, but the checkpoint was saved after {count}: the folder is damaged"
                )
            write_file(path, "".join(line + "\n" for line in lines).encode())
        return [json.loads(line) for line in (self._folder / "epochs.jsonl").read_text().splitlines()]


def _append(path: Path, lines: list[str]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def write_file(path: Path, content: bytes) -> None:
    """Writes a file so that it is complete or absent: a temporary file, synced, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _torch_bytes(value: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _begin(folder: Path, plan: Plan, curve: Any, model: torch.nn.Module) -> None:
    if (folder / "summary.json").exists():
        raise ValueError(f"{folder} holds a finished run: choose another folder for `out`")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("steps.jsonl", "epochs.jsonl"):
        write_file(folder / name, b"")
    write_file(folder / "plan.json", plan.to_json().encode())
    plan.plot().save(folder / "plan.svg")
    if curve is not None:
        write_file(folder / "range_test.json", curve.to_json().encode())
    description = {
        "made_by": "onecycle.torch.fit_one_cycle",
        "torch": torch.__version__,
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    write_file(folder / "run.json", json.dumps(description, indent=2).encode())


def _random_states(loaders: list[Any]) -> dict[str, Any]:
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if "numpy.random" in sys.modules:
        name, keys, *rest = sys.modules["numpy.random"].get_state()
        state["numpy"] = [name, [int(key) for key in keys], *rest]
    state["loaders"] = [
        one.get_state()
        for loader in loaders
        for one in _reachable(loader)
        if _is_generator(one) and isinstance(one, torch.Generator)
    ]
    return state


def _set_random_states(state: dict[str, Any], loaders: list[Any]) -> None:
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "numpy" in state:
        import numpy

        name, keys, *rest = state["numpy"]
        numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    generators = [
        one
        for loader in loaders
        for one in _reachable(loader)
        if _is_generator(one) and isinstance(one, torch.Generator)
    ]
    if len(generators) != len(state["loaders"]):
        raise ValueError(
            f"the loaders have {len(generators)} random generators, the checkpoint has {len(state['loaders'])}: "
            "construct the loaders as in the first run"
        )
    for one, saved in zip(generators, state["loaders"]):
        one.set_state(saved)


def _given(train: Any, valid: Any) -> list[Any]:
    return [train] if valid is None else [train, valid]


def _save(
    folder: Path,
    epoch: int,
    model: Any,
    optimizer: Any,
    scheduler: Scheduler,
    train: Any,
    valid: Any,
    searched: dict[str, Any],
) -> None:
    content = _torch_bytes(
        {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "random": _random_states(_given(train, valid)),
            "search": searched,
        }
    )
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    path = checkpoints / f"epoch-{epoch:05}.pt"
    write_file(path, content)
    write_file(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    for old in sorted(checkpoints.glob("epoch-*.pt"))[:-_KEPT]:
        old.with_suffix(".sha256").unlink(missing_ok=True)
        old.unlink()


def _newest(folder: Path) -> dict[str, Any] | None:
    """The newest complete checkpoint of an unfinished run."""
    if (folder / "summary.json").exists():
        raise ValueError(f"{folder} holds a finished run: choose another folder for `out`")
    for path in sorted((folder / "checkpoints").glob("epoch-*.pt"), reverse=True):
        digest = path.with_suffix(".sha256")
        if digest.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest.read_text():
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu")
            return checkpoint
    return None


def _restore(
    checkpoint: dict[str, Any], model: Any, optimizer: Any, scheduler: Scheduler, train: Any, valid: Any
) -> int:
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    _set_random_states(checkpoint["random"], _given(train, valid))
    return int(checkpoint["epoch"])


def _finish(
    folder: Path, model: torch.nn.Module, rows: list[dict[str, Any]], plan: Plan, searched: dict[str, Any]
) -> None:
    write_file(folder / "model.pt", _torch_bytes(model.state_dict()))
    summary = {
        "epochs": len(rows),
        "steps": plan.steps,
        "lr_max": plan[plan.peak_step].lr,
        **{key: rows[-1][key] for key in ("train_loss", "val_loss", "val_accuracy")},
        "seconds": sum(row["seconds"] for row in rows),
        **searched,
    }
    write_file(folder / "summary.json", json.dumps(summary, indent=2).encode())
