"""`Snapshot`: the complete state of a training, to restore in place and to compare by one hash."""

from __future__ import annotations

import collections
import copy
import hashlib
import io
import random
import sys
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any

import torch

# Largest list, dictionary or array of a dataset that counts as state and not as data, in elements.
_MOST_STATE = 4096
_PLAIN = (int, float, complex, str, bytes, bool, type(None))


class CannotRestore(ValueError):
    """Something whose state cannot be restored. The message names it and says what to do."""


class RestoreError(RuntimeError):
    """The state after restoring differs from the state before."""


class _Value:
    """A saved value: tensors and containers are restored in place, so references to them stay valid."""

    def __init__(self, value: Any, seen: dict[int, _Value] | None = None) -> None:
        self.value = value
        self.children: Any = None
        seen = {} if seen is None else seen
        if isinstance(value, torch.Tensor):
            self.kind = "tensor"
            with torch.no_grad():
                self.children = value.detach().clone()
            self.requires_grad = value.requires_grad
            self.grad = _Value(value.grad, seen) if value.is_leaf and value.grad is not None else None
        elif id(value) in seen:
            self.kind = "other"
        elif isinstance(value, (dict, MutableMapping)):
            seen[id(value)] = self
            self.kind = "dict"
            self.children = [(key, _Value(item, seen)) for key, item in value.items()]
        elif isinstance(value, (list, collections.deque)):
            seen[id(value)] = self
            self.kind = "list"
            self.children = [_Value(item, seen) for item in value]
        elif isinstance(value, tuple):
            self.kind = "tuple"
            self.children = [_Value(item, seen) for item in value]
        elif isinstance(value, (set, bytearray)):
            self.kind = "copy"
            self.children = copy.copy(value)
        elif type(value).__module__ == "numpy" and type(value).__name__ == "ndarray":
            self.kind = "array"
            self.children = value.copy()
        elif _is_generator(value):
            self.kind = "random"
            self.children = _random_state(value)
        elif isinstance(value, torch.optim.Optimizer):
            seen[id(value)] = self
            self.kind = "object"
            self.children = _Value(vars(value), seen)
        else:
            self.kind = "other"

    def restore(self) -> Any:
        value, children = self.value, self.children
        if self.kind == "tensor":
            with torch.no_grad():
                if (
                    value.shape == children.shape
                    and value.dtype == children.dtype
                    and value.device == children.device
                ):
                    value.data.copy_(children)
                else:  # moved or resized in place
                    value.data = children.clone()
            if value.is_leaf:
                value.requires_grad_(self.requires_grad)
                value.grad = None if self.grad is None else self.grad.restore()
        elif self.kind == "dict":
            items = [(key, item.restore()) for key, item in children]
            value.clear()
            for key, item in items:
                value[key] = item
        elif self.kind == "list":
            items = [item.restore() for item in children]
            value.clear()
            value.extend(items)
        elif self.kind == "tuple":
            for item in children:
                item.restore()
        elif self.kind == "copy":
            value.clear()
            value.update(children) if isinstance(value, set) else value.extend(children)
        elif self.kind == "array":
            value[...] = children
        elif self.kind == "random":
            _set_random_state(value, children)
        elif self.kind == "object":
            children.restore()
        return value


class Snapshot:
    """The state of models, optimizers, loaders, everything else of a training, and all random streams.

    It covers parameters, all buffers, gradients, training flags, plain attributes of modules, the
    optimizers' state, the random streams of torch (CPU, CUDA, MPS), numpy and `random`, and generators and
    counters in loaders, samplers and datasets. `restore` puts everything back in place. `digest` is the
    SHA-256 hash of all of it. As a context manager it restores at the end, also after an exception or
    Ctrl-C, and raises RestoreError if the hash differs.

    | parameter | purpose |
    |---|---|
    | `models` | a module or several |
    | `optimizers` | an optimizer or several |
    | `loaders` | a DataLoader, a sampler, or any iterable over batches, or several |
    | `others` | anything else with state: a GradScaler, a scheduler, an EMA of the weights |

    Raises CannotRestore for a loader whose state cannot be restored: persistent workers, a one-shot
    iterator, or a dataset that holds an open iterator or file.
    """

    def __init__(
        self,
        models: Any = (),
        optimizers: Any = (),
        loaders: Any = (),
        others: Any = (),
    ) -> None:
        self._models = _several(models, torch.nn.Module)
        self._optimizers = _several(optimizers, torch.optim.Optimizer)
        self._loaders = [loaders] if _is_loader(loaders) else list(loaders)
        self._others = list(others) if isinstance(others, (list, tuple)) else [others]
        for loader in self._loaders:
            check_loader(loader)
        self._modules: list[tuple[torch.nn.Module, bool, _Value]] = []
        for model in self._models:
            for module in model.modules():
                own = {key: value for key, value in vars(module).items() if key not in _MODULE_INTERNALS}
                own |= {key: vars(module)[key] for key in ("_parameters", "_buffers", "_modules")}
                shallow = {key: value for key, value in own.items() if key != "_modules"}
                self._modules.append((module, module.training, _Value(shallow)))
        self._structure = [(module, dict(module._modules)) for module, _, _ in self._modules]
        self._optimizer_values = [_Value(_optimizer_parts(one)) for one in self._optimizers]
        self._states = [_LoaderState(loader) for loader in self._loaders]
        self._other_values = [
            _Value(vars(one)) if hasattr(one, "__dict__") else _Value(one) for one in self._others
        ]
        self._random = _global_random_state()
        self._hashes: dict[str, str] = {name: _hash(part) for name, part in self._parts()}
        self._before = self.digest()

    def restore(self) -> None:
        """Puts everything back, in place. Raises RestoreError if the hash then differs."""
        for module, children in self._structure:
            module._modules.clear()
            module._modules.update(children)
        for module, training, value in self._modules:
            attributes = {key for key, _ in value.children}
            for key in [
                key
                for key in vars(module)
                if key not in attributes and key not in _MODULE_INTERNALS | {"_modules"}
            ]:
                del vars(module)[key]
            vars(module).update((key, item.restore()) for key, item in value.children)
            module.training = training
        for one, saved in zip(self._optimizers, self._optimizer_values):
            _restore_optimizer(one, saved)
        for state in self._states:
            state.restore()
        for other, saved in zip(self._others, self._other_values):
            if hasattr(other, "__dict__"):
                kept = {key for key, _ in saved.children}
                for key in [key for key in vars(other) if key not in kept]:
                    del vars(other)[key]
                vars(other).update((key, item.restore()) for key, item in saved.children)
            else:
                saved.restore()
        _set_global_random_state(self._random)
        if self.digest() != self._before:
            raise RestoreError(f"the state differs after restoring: {self._differing()}")

    def digest(self) -> str:
        """SHA-256 of the present state, as hexadecimal digits."""
        hasher = hashlib.sha256()
        for name, part in self._parts():
            hasher.update(f"{name} {_hash(part)}".encode())
        return hasher.hexdigest()

    @property
    def before(self) -> str:
        """The hash when the snapshot was taken."""
        return self._before

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for model in self._models:
            for name, module in model.named_modules():
                label = f"module {name or type(module).__name__}"
                yield f"{label}: training flag", module.training
                for key, value in vars(module).items():
                    if key not in _MODULE_INTERNALS and key != "_modules":
                        yield f"{label}: {key}", value
        for one in self._optimizers:
            yield f"optimizer {type(one).__name__}", _optimizer_parts(one)
        for state in self._states:
            yield f"loader {state.name}", state.parts()
        for other in self._others:
            yield type(other).__name__, vars(other) if hasattr(other, "__dict__") else other
        yield "random streams", _global_random_state()

    def _differing(self) -> str:
        now = {name: _hash(part) for name, part in self._parts()}
        names = [name for name in {**self._hashes, **now} if self._hashes.get(name) != now.get(name)]
        return ", ".join(names)

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


_MODULE_INTERNALS = frozenset(
    key for key in vars(torch.nn.Module()) if key not in ("training", "_parameters", "_buffers", "_modules")
) | {"training", "_compiled_call_impl"}


def _optimizer_parts(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """State, groups and plain attributes. Hooks and the wrapped `step` are no state."""
    plain = {
        key: value
        for key, value in vars(optimizer).items()
        if key not in ("state", "param_groups")
        and isinstance(value, (*_PLAIN, torch.optim.Optimizer, torch.Tensor))
    }
    return {"state": optimizer.state, "param_groups": optimizer.param_groups, "attributes": plain}


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: _Value) -> None:
    parts = dict(saved.children)
    optimizer.state = parts["state"].restore()
    optimizer.param_groups = parts["param_groups"].restore()
    kept = parts["attributes"]
    names = {key for key, _ in kept.children}
    for key in _optimizer_parts(optimizer)["attributes"]:
        if key not in names:
            delattr(optimizer, key)
    for key, item in kept.children:
        vars(optimizer)[key] = item.restore()


class _LoaderState:
    """Counters and generators in a loader, its samplers, its dataset and the dataset's transforms."""

    def __init__(self, loader: Any) -> None:
        self.name = type(getattr(loader, "dataset", loader)).__name__
        self.objects = list(_reachable(loader))
        self.names = [frozenset() if _is_generator(one) else frozenset(vars(one)) for one in self.objects]
        self.values = [_Value(part) for part in map(_state_of, self.objects)]

    def parts(self) -> list[Any]:
        return [_state_of(one) for one in self.objects]

    def restore(self) -> None:
        for one, names, value in zip(self.objects, self.names, self.values):
            if _is_generator(one):
                value.restore()
            else:
                for key in [key for key in vars(one) if key not in names]:
                    del vars(one)[key]
                vars(one).update((key, item.restore()) for key, item in value.children)


def _state_of(one: Any) -> Any:
    if _is_generator(one):
        return one
    return {key: value for key, value in vars(one).items() if _is_small(value)}


def _is_small(value: Any, depth: int = 0) -> bool:
    """Whether an attribute of a dataset counts as state: images and labels do not."""
    if isinstance(value, _PLAIN):
        return not isinstance(value, (str, bytes)) or len(value) <= _MOST_STATE
    if isinstance(value, torch.Tensor):
        return int(value.numel()) <= _MOST_STATE
    if type(value).__module__ == "numpy" and hasattr(value, "size"):
        return int(value.size) <= _MOST_STATE
    if isinstance(value, (list, tuple, set, collections.deque)):
        return len(value) <= _MOST_STATE and depth < 3 and all(_is_small(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return (
            len(value) <= _MOST_STATE
            and depth < 3
            and all(_is_small(item, depth + 1) for item in value.values())
        )
    return False


def _reachable(loader: Any) -> Iterator[Any]:
    """The loader and the objects below it that may have state, each once."""
    seen: set[int] = set()
    waiting = [(loader, 0)]
    while waiting:
        one, depth = waiting.pop()
        if id(one) in seen or isinstance(one, (torch.Tensor, torch.nn.Module, type, *_PLAIN)) or depth > 6:
            continue
        seen.add(id(one))
        if _is_generator(one):
            yield one
        elif isinstance(one, (list, tuple)):
            if len(one) <= _MOST_STATE:
                waiting.extend((item, depth + 1) for item in one)
        elif isinstance(one, dict):
            if len(one) <= _MOST_STATE:
                waiting.extend((item, depth + 1) for item in one.values())
        elif (
            hasattr(one, "__dict__")
            and not callable(getattr(one, "__code__", None))
            and not isinstance(one, _MODULE_TYPE)
        ):
            yield one
            waiting.extend((item, depth + 1) for item in vars(one).values())


_MODULE_TYPE = type(sys)


def _is_loader(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) or (
        len(value) > 0 and isinstance(value[0], (list, tuple, dict, torch.Tensor))
    )


def check_loader(loader: Any) -> None:
    """Rejects a loader whose state cannot be restored.

    Raises CannotRestore with the name of what cannot be restored, and advice.
    """
    advice = "pass a DataLoader or a list of batches"
    if iter_is_self(loader):
        raise CannotRestore(f"{type(loader).__name__} can be read only once: {advice}")
    if getattr(loader, "num_workers", 0) and getattr(loader, "persistent_workers", False):
        raise CannotRestore(
            "the DataLoader keeps its workers (persistent_workers=True), and their state cannot be restored: "
            "pass a loader with persistent_workers=False for the range test"
        )
    for one in _reachable(loader):
        if _is_generator(one) or one is loader:
            continue
        for key, value in vars(one).items():
            if isinstance(value, io.IOBase) or (iter_is_self(value) and not _is_generator(value)):
                raise CannotRestore(
                    f"the attribute `{key}` of {type(one).__name__} is an open {type(value).__name__}, whose position "
                    f"cannot be restored: open it in `__iter__`, or {advice}"
                )


def iter_is_self(value: Any) -> bool:
    """Whether a value is an iterator, such as a generator or an open file."""
    return hasattr(type(value), "__next__") and hasattr(type(value), "__iter__")


def _several(value: Any, kind: type) -> list[Any]:
    several = [value] if isinstance(value, kind) else list(value)
    for one in several:
        if not isinstance(one, kind):
            raise TypeError(f"{type(one).__name__} is not a {kind.__name__}")
    return several


def _is_generator(value: Any) -> bool:
    """Whether a value is a random stream of torch, numpy or Python."""
    if isinstance(value, (torch.Generator, random.Random)):
        return True
    return type(value).__module__.startswith("numpy.random") and type(value).__name__ in (
        "Generator",
        "RandomState",
    )


def _random_state(stream: Any) -> Any:
    if isinstance(stream, torch.Generator):
        return stream.get_state()
    if isinstance(stream, random.Random):
        return stream.getstate()
    if type(stream).__name__ == "RandomState":
        return stream.get_state()
    return copy.deepcopy(stream.bit_generator.state)


def _set_random_state(stream: Any, state: Any) -> None:
    if isinstance(stream, torch.Generator):
        stream.set_state(state)
    elif isinstance(stream, random.Random):
        stream.setstate(state)
    elif type(stream).__name__ == "RandomState":
        stream.set_state(state)
    else:
        stream.bit_generator.state = copy.deepcopy(state)


def _global_random_state() -> dict[str, Any]:
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    mps = getattr(torch, "mps", None)
    backend = getattr(torch.backends, "mps", None)
    if mps is not None and backend is not None and backend.is_available():
        state["mps"] = mps.get_rng_state()
    if "numpy.random" in sys.modules:
        state["numpy"] = sys.modules["numpy.random"].get_state()
    return state


def _set_global_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state:
        torch.mps.set_rng_state(state["mps"])
    if "numpy" in state:
        sys.modules["numpy.random"].set_state(state["numpy"])


def _hash(part: Any) -> str:
    hasher = hashlib.sha256()
    _feed(hasher, part)
    return hasher.hexdigest()


def _feed(hasher: Any, value: Any, seen: frozenset[int] = frozenset()) -> None:
    """Adds a value to the hash: kind, shape and every byte."""
    if id(value) in seen:
        hasher.update(b"again")
        return
    if isinstance(value, torch.Tensor):
        hasher.update(
            f"tensor {tuple(value.shape)} {value.dtype} {value.device} {value.requires_grad}".encode()
        )
        hasher.update(tensor_bytes(value))
        if value.is_leaf and value.grad is not None:
            hasher.update(b"grad")
            _feed(hasher, value.grad, seen)
    elif isinstance(value, (dict, MutableMapping)):
        hasher.update(f"dict {len(value)}".encode())
        for key, item in value.items():
            _feed(hasher, key, seen | {id(value)})
            _feed(hasher, item, seen | {id(value)})
    elif isinstance(value, (list, tuple, collections.deque)):
        hasher.update(f"{type(value).__name__} {len(value)}".encode())
        for item in value:
            _feed(hasher, item, seen | {id(value)})
    elif isinstance(value, (set, frozenset)):
        hasher.update(f"set {sorted(map(repr, value))}".encode())
    elif isinstance(value, _PLAIN):
        hasher.update(f"{type(value).__name__} {value!r}".encode())
    elif type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
        hasher.update(f"array {value.shape} {value.dtype}".encode() + value.tobytes())
    elif _is_generator(value):
        _feed(hasher, _random_state(value), seen)
    elif isinstance(value, torch.optim.Optimizer):
        _feed(hasher, _optimizer_parts(value), seen | {id(value)})
    else:
        # Objects without a known state, such as functions: which object it is must not change.
        hasher.update(f"object {type(value).__name__} {id(value)}".encode())


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor's values."""
    if tensor.is_sparse or tensor.is_quantized:
        buffer = io.BytesIO()
        torch.save(tensor.detach().cpu(), buffer)
        return buffer.getvalue()
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel() == 0:
        return b""
    flat = flat.view(torch.uint8)
    try:
        return bytes(flat.numpy().tobytes())
    except RuntimeError:  # without numpy
        return bytes(flat.tolist())
