"""`Policy`, the base of all policies, and `Custom`, a policy made of curves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from . import _native
from ._native import Plan

# A length or a point of the run. An integer or "500st" means steps, "13ep" epochs, "50000sa" samples; a
# float from 0 to 1 or "10%" is a fraction of the run.
Span = int | float | str
# One hyper-parameter over the run: a number, a list of `(point, value)` (each value applies from its
# point on), or a dictionary such as {"curve": "ramp", "from": 0.1, "to": 0.0, "shape": "cosine"}.
Curve = float | Sequence[tuple[Span, float]] | Mapping[str, Any]
# Samples per batch: a number, or a list of `(point, size)`.
BatchSize = int | Sequence[tuple[Span, int]]
# `(high, low)`: high while the learning rate is low; a number; None leaves it to the optimizer.
Momentum = float | tuple[float, float] | None
# After the last step: keep the last values, raise ValueError, or start again.
AtEnd = Literal["hold", "error", "restart"]

_Self = TypeVar("_Self", bound="Policy")


class Policy:
    """Learning rate, momentum, weight decay and batch size over a run.

    The base of all policies; see the subclasses for their parameters. `plan` resolves a policy for a run
    of known length. Parameters are checked at construction: a wrong one raises ValueError with its name,
    its value and its range.

    >>> policy = OneCycle(0.8, annihilation="13ep", weight_decay=1e-4)
    >>> plan = policy.plan(epochs=95, samples=50_000, batch_size=512)
    >>> plan.steps, plan.at(4018).lr
    (9310, 0.8)
    """

    __slots__ = ("_native",)
    _native: _native.Policy
    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[Policy]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            Policy._kinds[cls.kind] = cls

    def _set(self, parameters: Mapping[str, Any], **shared: Any) -> None:
        preset = {"kind": self.kind}
        for name, value in parameters.items():
            if value is None and name == "momentum":
                preset[name] = "none"
            elif value is not None:
                preset[name] = _plain(value, name)
        others = {name: _plain(value, name) for name, value in shared.items() if value is not None}
        try:
            self._native = _native.Policy.build(preset, **others)
        except ValueError as error:
            raise _named(error, preset, others) from None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the preset, with defaults; lengths as text such as "13ep"."""
        preset = dict(self._native.preset() or {})
        preset.pop("kind", None)
        return preset

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            if name in (parameters := self.parameters):
                return parameters[name]
            if name in (shared := self._native.to_dict()):
                return shared[name]
            # Optional parameters that were not given are not stored.
            if name in type(self).__init__.__annotations__:
                return None
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def length(self) -> int | None:
        """Number of steps, if the policy has a length of its own, such as `total_steps` of OneCycleLR."""
        return self._native.length

    def plan(
        self,
        steps: int | None = None,
        *,
        epochs: float | None = None,
        samples: int | None = None,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        drop_last: bool = False,
    ) -> Plan:
        """Resolves the policy for a run.

        Give `steps` (updates of the optimizer), or `epochs` with either `samples` and `batch_size` or
        `steps_per_epoch`. With accumulation, count updates, not batches. `drop_last` says that an
        incomplete batch at the end of an epoch is dropped. A policy with a length of its own needs no
        argument.

        Raises ValueError if a length does not fit the run, or if a unit is not defined.
        """
        if steps is not None and epochs is not None:
            raise ValueError("`steps` and `epochs` are mutually exclusive: omit one of them")
        if steps is None and epochs is None:
            steps = self.length
            if steps is None:
                raise ValueError("`steps` is missing: give the length of the run, `steps` or `epochs`")
        run: dict[str, Any] = {
            "length": f"{float(epochs)}ep" if epochs is not None else _whole("steps", steps)
        }
        counts = {"samples": samples, "batch_size": batch_size, "steps_per_epoch": steps_per_epoch}
        run.update({name: _whole(name, value) for name, value in counts.items() if value is not None})
        run["drop_last"] = bool(drop_last)
        return Plan.resolve(self._native, run)

    def to_dict(self) -> dict[str, Any]:
        """The policy as in a configuration file's JSON form."""
        return dict(self._native.to_dict())

    def to_json(self) -> str:
        """The policy as JSON. Numbers read back to the same bits."""
        return self._native.to_json()

    @staticmethod
    def from_dict(form: Mapping[str, Any]) -> Policy:
        """Reads a policy that `to_dict` wrote, or the keys of a `[policy]` table with its `kind`."""
        if "kind" in form:
            return wrap(_native.Policy.build({key: _plain(value, key) for key, value in form.items()}))
        return wrap(_native.Policy.from_dict(dict(form)))

    @staticmethod
    def from_json(text: str) -> Policy:
        """Reads a policy that `to_json` wrote."""
        return Policy.from_dict(json.loads(text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self._native == other._native

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_unpickle, (self._native.preset(), self._shared()))

    def _shared(self) -> dict[str, Any] | None:
        try:
            return dict(self._native.to_dict())
        except ValueError:  # a scheduler of PyTorch without the optimizer's rate
            return None

    def __repr__(self) -> str:
        shared = self._shared() or {}
        given = self.parameters | {
            k: v for k, v in shared.items() if k != "preset" and (k, v) != ("at_end", "hold")
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class Custom(Policy):
    """A policy made of curves.

    `lr` is a number, a list of `(point, value)`, or a dictionary:

    | `curve` | keys |
    |---|---|
    | `"ramp"` | `from`, `to`, `shape` (`"linear"`, `"cosine"`, `"exponential"`, `{"polynomial": 2.0}`, `"sqrt"`) |
    | `"sequence"` | `parts`: a list of `[length, curve]` |
    | `"repeat"` | `of`, `period`, `decay` (default 1), `floor` (default 0) |
    | `"product"` | `of`: a list of curves |

    >>> ramp = {"curve": "ramp", "from": 0.0, "to": 0.4}
    >>> Custom(ramp, weight_decay=5e-4).plan(steps=5).at(2).lr
    0.2
    """

    __slots__ = ()

    def __init__(
        self,
        lr: Curve,
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        curves = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "batch_size": batch_size}
        given = {name: _plain(value, name) for name, value in curves.items() if value is not None}
        self._native = _native.Policy.build(**given, at_end=at_end)


def _named(error: ValueError, preset: dict[str, Any], others: dict[str, Any]) -> ValueError:
    """The error with the name of the parameter. A value of the wrong type gives an error without it."""
    message = str(error)
    for parameters in (preset, others):
        for name in parameters:
            if name == "kind" or f"`{name}`" in message:
                continue
            without = {key: value for key, value in parameters.items() if key != name}
            try:
                _native.Policy.build(
                    *((without,) if parameters is preset else (preset,)),
                    **(others if parameters is preset else without),
                )
            except ValueError as other:
                if str(other) == message:
                    continue
            if (
                message.startswith(("invalid type", "invalid value", "unknown variant", "invalid length"))
                or "is not a span" in message
            ):
                return ValueError(f"`{name}`: {message}")
    return error


def wrap(native: _native.Policy) -> Policy:
    """The object of the right class for a native policy."""
    kind = native.kind
    policy = object.__new__(Custom if kind is None else Policy._kinds[kind])
    policy._native = native
    return policy


def _unpickle(preset: dict[str, Any] | None, form: dict[str, Any] | None) -> Policy:
    return wrap(_native.Policy.build(preset) if form is None else _native.Policy.from_dict(form))


def _plain(value: Any, name: str) -> Any:
    """A value as dictionaries, lists, numbers and strings."""
    if isinstance(value, Policy):
        if value._shared() is not None:
            extras = {
                key
                for key, item in value.to_dict().items()
                if key != "preset" and (key, item) != ("at_end", "hold")
            }
            if value.kind == "" or extras:
                what = ", ".join(sorted(extras))
                raise ValueError(f"a policy inside `{name}` sets {what}: set it on the outer policy")
        preset = value._native.preset()
        if preset is None:
            raise ValueError(f"a policy inside `{name}` is made of curves: use a preset")
        return dict(preset)
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            return [[_plain(key, name), _plain(item, name)] for key, item in value.items()]
        return {key: _plain(item, name) for key, item in value.items()}
    if name == "parts" and isinstance(value, Iterable):
        return [_part(part) for part in value]
    if callable(value):
        return repr(value)
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # a number of numpy or torch
        return value.item()
    if isinstance(value, Iterable):
        return [_plain(item, name) for item in value]
    raise ValueError(f"`{name}` is {value!r}: expected a number, a text, a list or a policy")


def _part(part: Any) -> Any:
    """A part of a Sequence: `(length, policy)`, or a policy for the rest of the run."""
    if isinstance(part, Policy):
        return {"policy": _plain(part, "parts")}
    if isinstance(part, Mapping):
        return _plain(part, "part")
    span, policy = part
    form = {"policy": _plain(policy, "parts")}
    return form if span is None else form | {"span": _plain(span, "span")}


def _whole(name: str, value: Any) -> int:
    try:
        number = int(value.__index__())
    except AttributeError:
        raise ValueError(f"`{name}` is {value!r}: expected a whole number") from None
    if number < 0:
        raise ValueError(f"`{name}` is {number}: expected a number of at least 0")
    return number
