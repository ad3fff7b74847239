"""Batches: endless passes over a loader, the device of a model, and other batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, RandomSampler


def endless(loader: Any) -> Iterator[Any]:
    """Passes over the loader without end. Distributed samplers get the number of the pass.

    Raises ValueError if the loader has no batches.
    """
    number = 0
    while True:
        sampler: Any = getattr(loader, "sampler", None)
        if number and hasattr(sampler, "set_epoch"):
            sampler.set_epoch(getattr(sampler, "epoch", 0) + 1)
        batches = 0
        for batch in loader:
            batches += 1
            yield batch
        if batches == 0:
            raise ValueError("the loader has no batches")
        number += 1


def device_of(model: torch.nn.Module) -> torch.device:
    """The device of the first parameter or buffer."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with all its tensors on the device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def with_batch_size(loader: Any, batch_size: int) -> Any:
    """A loader over the same data with another batch size.

    Raises ValueError for a loader that is no DataLoader, or whose batches come from a sampler of batches.
    """
    if not isinstance(loader, DataLoader) or loader.batch_size is None:
        raise ValueError(
            f"cannot change the batch size of {type(loader).__name__}: pass a DataLoader with `batch_size`, "
            "or make one range test per batch size"
        )
    options: dict[str, Any] = {
        "num_workers": loader.num_workers,
        "collate_fn": loader.collate_fn,
        "drop_last": loader.drop_last,
        "worker_init_fn": loader.worker_init_fn,
        "generator": loader.generator,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if not isinstance(loader.dataset, torch.utils.data.IterableDataset):
        options["sampler"] = loader.sampler
    return DataLoader(loader.dataset, batch_size=batch_size, **options)


def samples_of(loader: Any) -> int | None:
    """Samples per pass, if the loader knows."""
    try:
        if isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler):
            return len(loader.sampler)
        dataset: Any = loader.dataset
        return len(dataset)
    except (AttributeError, TypeError):
        return None


def batches_of(loader: Any) -> int:
    """Batches per pass.

    Raises ValueError if the loader does not know.
    """
    try:
        return len(loader)
    except TypeError:
        raise ValueError(
            f"{type(loader).__name__} has no length, so the run has no known number of steps: pass `steps_per_epoch`"
        ) from None


def loss_of(model: torch.nn.Module, batch: Any, loss: Any) -> torch.Tensor:
    """The loss of a batch: `loss(model(input), target)`, or `loss(model, batch)` if marked so."""
    if getattr(loss, "of_batch", False):
        return cast(torch.Tensor, loss(model, batch))
    if not isinstance(batch, (list, tuple)) or len(batch) != 2:
        raise ValueError(
            f"the batch is a {type(batch).__name__}, not a pair of input and target: pass "
            "`batch_loss=lambda model, batch: ...` instead of `loss`"
        )
    inputs, target = batch
    return cast(torch.Tensor, loss(model(inputs), target))


class BatchLoss:
    """A loss that takes the model and the whole batch."""

    of_batch = True

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        return cast(torch.Tensor, self.function(model, batch))


def choose_loss(loss: Any, batch_loss: Any) -> Any:
    """The loss function of the arguments `loss` and `batch_loss`."""
    if (loss is None) == (batch_loss is None):
        raise ValueError(
            "give either `loss`, a function of output and target, or `batch_loss`, of model and batch"
        )
    return loss if batch_loss is None else BatchLoss(batch_loss)


def evaluate(
    model: torch.nn.Module, loader: Any, loss: Any, most: int | None = None
) -> tuple[float, float | None]:
    """Mean loss over the samples, and the accuracy if targets are classes. The model's mode is kept."""
    modes = [(module, module.training) for module in model.modules()]
    device = device_of(model)
    total, correct, samples, classes = 0.0, 0, 0, True
    recording = torch.is_grad_enabled()
    model.eval()
    torch.set_grad_enabled(False)
    try:
        for number, batch in enumerate(loader):
            if most is not None and number >= most:
                break
            batch = to_device(batch, device)
            if getattr(loss, "of_batch", False):
                classes = False
                value, size = float(loss(model, batch)), 1
            else:
                inputs, target = batch
                output = model(inputs)
                value = float(loss(output, target))
                size = len(target) if hasattr(target, "__len__") else 1
                classes = classes and _are_classes(output, target)
                if classes:
                    correct += int((output.argmax(1) == target).sum())
            total += value * size
            samples += size
    finally:
        torch.set_grad_enabled(recording)
        for module, training in modes:
            module.training = training
    if samples == 0:
        raise ValueError("the validation loader has no batches")
    return total / samples, correct / samples if classes else None


def _are_classes(output: Any, target: Any) -> bool:
    return (
        isinstance(output, torch.Tensor)
        and isinstance(target, torch.Tensor)
        and output.ndim == 2
        and target.ndim == 1
        and not target.is_floating_point()
    )
