"""Types of the extension module."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, Literal, final, overload

import numpy
import numpy.typing

from ._policy import Policy as PythonPolicy

Array = numpy.typing.NDArray[numpy.float64]
Verdict = Literal[
    "ok",
    "never_diverged",
    "no_descent",
    "too_noisy",
    "too_short",
    "not_finite",
    "no_answer",
    "seeds_disagree",
]
Signal = Literal["loss", "validation_loss", "validation_accuracy"]
RuleName = Literal[
    "one_cycle_max",
    "constant",
    "valley",
    "slide",
    "minimum",
    "steep",
    "torch_lr_finder",
    "ignite",
    "lightning",
]
Tool = Literal["fastai", "lightning", "torch_lr_finder", "ignite"]

class Policy:
    """A policy as the crate holds it."""

    @staticmethod
    def build(
        preset: dict[str, Any] | None = None,
        lr: Any = None,
        momentum: Any = None,
        weight_decay: Any = None,
        batch_size: Any = None,
        at_end: str = "hold",
    ) -> Policy: ...
    @staticmethod
    def from_json(text: str) -> Policy: ...
    @staticmethod
    def from_dict(form: dict[str, Any]) -> Policy: ...
    def to_json(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...
    def preset(self) -> dict[str, Any] | None: ...
    @property
    def kind(self) -> str | None: ...
    @property
    def length(self) -> int | None: ...

def kinds() -> list[str]: ...
def fastai_annealer(annealer: dict[str, Any], position: float) -> float: ...
def fastai_position(preset: dict[str, Any], position: float) -> float: ...

@final
class Hyper:
    """The hyper-parameters of one update. `None` means that the policy does not set the value."""

    def __init__(
        self,
        lr: float,
        momentum: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
    ) -> None: ...
    @property
    def lr(self) -> float:
        """Learning rate, at least 0."""
    @property
    def momentum(self) -> float | None:
        """SGD's momentum or Adam's beta1, 0 to below 1."""
    @property
    def weight_decay(self) -> float | None:
        """Weight decay, at least 0."""
    @property
    def batch_size(self) -> int | None:
        """Samples per batch, at least 1."""

@final
class HyperIter(Iterator[Hyper]):
    """Iterates over the hyper-parameters of all steps."""

    def __next__(self) -> Hyper: ...

@final
class Phase:
    """One leg of a plan."""

    @property
    def name(self) -> str:
        """Name, such as `up` or `annihilation`."""
    @property
    def first_step(self) -> int:
        """First step."""
    @property
    def last_step(self) -> int:
        """Last step."""
    @property
    def from_value(self) -> float:
        """Value at the first step."""
    @property
    def to_value(self) -> float:
        """Value towards which the phase moves. The next phase starts there."""

@final
class Plan:
    """A policy resolved for a run: a pure function from the step to its hyper-parameters.

    A plan has no state, so resuming a training needs only the step number. It can be indexed, sliced,
    iterated, compared, pickled and written as JSON.
    """

    @staticmethod
    def resolve(policy: Policy, run: dict[str, Any]) -> Plan:
        """Resolves a policy for a run; use the policy's method `plan`."""
    def at(self, step: int) -> Hyper:
        """The hyper-parameters of update `step`, counted from 0. Past the end, `at_end` decides; with
        `at_end="error"` it raises ValueError."""
    def values_at(self, step: int) -> tuple[float, float | None, float | None]:
        """Learning rate, momentum and weight decay of update `step`. Past the end it holds the last values
        (with `at_end="restart"` it starts again)."""
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> Hyper: ...
    @overload
    def __getitem__(self, index: slice) -> list[Hyper]: ...
    def __iter__(self) -> HyperIter: ...
    def __hash__(self) -> int: ...
    @property
    def steps(self) -> int:
        """Number of steps of the run."""
    @property
    def ends_at(self) -> int:
        """The step from which `at_end` applies: `steps`, or less if the policy has a shorter length of its own."""
    @property
    def at_end(self) -> Literal["hold", "error", "restart"]:
        """Behaviour after the last step."""
    @property
    def peak_step(self) -> int:
        """The first step with the highest learning rate."""
    @property
    def lr(self) -> Array:
        """Learning rates of all steps, `[steps]`: a numpy array, or an `array.array` without numpy."""
    @property
    def momentum(self) -> Array | None:
        """Momentum of all steps, `[steps]`; `None` if the plan does not set it."""
    @property
    def weight_decay(self) -> Array | None:
        """Weight decay of all steps, `[steps]`; `None` if the plan does not set it."""
    @property
    def batch_size(self) -> Array | None:
        """Samples per batch of all steps, `[steps]`; `None` if the plan does not set it."""
    @property
    def phases(self) -> list[Phase]:
        """The phases of the learning rate. They cover the run without gap or overlap."""
    def phases_of(self, parameter: Literal["lr", "momentum", "weight_decay", "batch_size"]) -> list[Phase]:
        """The phases of one hyper-parameter; empty if the plan does not set it."""
    def epoch_at(self, step: int) -> float | None:
        """Epochs completed before `step`; `None` if the run does not define its epochs."""
    def step_at(self, at: int | float | str) -> int:
        """The step at a point of the run, such as `"10%"` or `"3ep"`, rounded."""
    @property
    def policy(self) -> PythonPolicy:
        """The policy of the plan."""
    @property
    def run(self) -> dict[str, Any]:
        """The length of the run."""
    def to_json(self) -> str:
        """The plan as JSON: its policy and its run."""
    @staticmethod
    def from_json(text: str) -> Plan:
        """Reads a plan that `to_json` wrote. It compares equal to the original."""
    def plot(self) -> Figure:
        """The learning rate and, if the plan sets it, the momentum over the steps."""

@final
class Figure:
    """A picture that notebooks show."""

    def svg(self) -> str:
        """The picture as SVG."""
    def csv(self) -> str:
        """The data as CSV."""
    def save(self, path: str | PathLike[str]) -> None:
        """Writes the picture (`.svg`) or its data (`.csv`)."""

def draw(
    curves: Sequence[LossCurve],
    names: Sequence[str],
    marks: Sequence[tuple[float, str]] = ...,
    title: str = ...,
    bands: Sequence[
        tuple[str, Sequence[float] | Array, Sequence[float] | Array, Sequence[float] | Array]
    ] = ...,
) -> Figure:
    """Loss curves over the learning rate, with named rates as vertical lines. `bands` are areas: name, learning
    rates, lower and upper edge."""

@final
class Suggestion:
    """A rule's suggestion. Our own rules give a rate only with the verdict `ok`; the rules of other tools
    return whatever their originals return."""

    @property
    def lr(self) -> float | None:
        """The learning rate."""
    @property
    def verdict(self) -> Verdict:
        """Whether the suggestion can be trusted."""
    @property
    def advice(self) -> str:
        """What to do about the verdict."""

@final
class Suggestions:
    """The suggestions of all rules for one curve, by the name of the rule."""

    @property
    def verdict(self) -> Verdict:
        """The verdict on the curve for the peak of one cycle."""
    @property
    def advice(self) -> str:
        """What to do about the verdict."""
    @property
    def one_cycle_max(self) -> float | None:
        """The largest rate that can be the peak of one cycle; `None` unless the verdict is `ok`."""
    @property
    def constant(self) -> float | None:
        """A good constant rate; `None` if the curve does not show one."""
    @property
    def rules(self) -> dict[RuleName, Suggestion]:
        """The suggestions by the name of the rule."""
    def __getitem__(self, rule: RuleName) -> Suggestion: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[RuleName]: ...

@final
class LossCurve:
    """The raw losses of a range test, by learning rate.

    `lr[i]` is the rate of update `i`, `loss[i]` the training loss before it. Losses can be any number;
    NaN, infinite and negative ones are handled. `validation` has `(updates before it, loss, accuracy)`.
    """

    def __init__(
        self,
        lr: Sequence[float] | Array,
        loss: Sequence[float] | Array,
        *,
        validation: Sequence[tuple[int, float | None, float | None]] = ...,
        momentum: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> None: ...
    @property
    def lr(self) -> Array:
        """Learning rates in increasing order, `[updates]`."""
    @property
    def loss(self) -> Array:
        """Raw losses, `[updates]`."""
    @property
    def validation(self) -> list[tuple[int, float | None, float | None]]:
        """Validations: updates before each, its loss and its accuracy (0 to 1)."""
    @property
    def conditions(self) -> dict[str, float | int]:
        """Momentum, weight decay, batch size and seed of the test, as far as known."""
    def __len__(self) -> int: ...
    def suggest(self, signal: Signal = "loss") -> Suggestions:
        """The suggestions of all rules."""
    def apply(self, rule: RuleName = "one_cycle_max") -> Suggestion:
        """The suggestion of one rule."""
    def plot(self) -> Figure:
        """The curve over the learning rate, with our two suggestions."""
    def to_json(self) -> str:
        """The curve as JSON."""
    @staticmethod
    def from_json(text: str) -> LossCurve:
        """Reads a curve: `{"lr": [..], "loss": [..]}` is enough."""

@final
class OverSeeds:
    """The suggestions of one rule over several seeds."""

    @property
    def lr(self) -> float | None:
        """The median rate; `None` unless most seeds gave one."""
    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest suggested rate."""
    @property
    def verdict(self) -> Verdict:
        """`seeds_disagree` if the rates are more than a factor of 10 apart."""
    @property
    def advice(self) -> str:
        """What to do about the verdict."""
    @property
    def suggestions(self) -> int:
        """Seeds that gave a rate."""
    @property
    def seeds(self) -> int:
        """Number of seeds."""

def over_seeds(curves: Sequence[LossCurve], rule: RuleName = "one_cycle_max") -> OverSeeds:
    """Applies a rule to the curves of several seeds and combines the suggestions by their median."""

@final
class LrSweep:
    """The learning rates of a range test, from `start` to `end`. `tool` gives those of another tool."""

    def __init__(
        self,
        start: float = 1e-5,
        end: float = 10.0,
        num_steps: int = 150,
        *,
        spacing: Literal["exponential", "linear"] = "exponential",
        tool: Literal["onecycle", "fastai", "torch_lr_finder", "ignite"] = "onecycle",
    ) -> None: ...
    @property
    def lr(self) -> Array:
        """The rates, `[num_steps]`."""
    def __len__(self) -> int: ...

@final
class RangeTest:
    """Smith's LR range test as a state machine, for any loop and any framework.

    Call `next_hyper` for each update until it returns `None`, and `record` once per micro-batch. With
    `plan`, the test uses momentum, weight decay and batch size of the plan's peak.
    """

    def __init__(
        self,
        sweep: LrSweep | None = None,
        *,
        plan: Plan | None = None,
        warm_up: int = 0,
        accumulation: int = 1,
        early_stop: bool = True,
        momentum: float | None = None,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> None: ...
    def next_hyper(self) -> Hyper | None:
        """The hyper-parameters of the next update; `None` if the test is over."""
    def record(self, loss: float) -> bool:
        """Records the loss of a micro-batch, before its update. Returns whether the test continues."""
    def record_validation(self, loss: float | None = None, accuracy: float | None = None) -> None:
        """Records a validation after the last update."""
    def run(self, update: Callable[[Hyper], float]) -> LossCurve:
        """Makes the whole test. `update` makes one update and returns the loss before it."""
    @property
    def stop_reason(self) -> Literal["finished", "diverged", "not_finite"] | None:
        """Why the test ended; `None` if it has not."""
    @property
    def total_updates(self) -> int:
        """Updates in all, with the warm-up, if nothing stops the test early."""
    @property
    def recorded(self) -> int:
        """Recorded updates."""
    @property
    def accumulation(self) -> int:
        """Losses to record per update."""
    @property
    def curve(self) -> LossCurve:
        """The curve recorded so far."""

@final
class CycleSearch:
    """Searches the peak for one cycle by a few short cycles, compared by their held-out loss.

    Train a short cycle with the peak `next_lr_max`, `record` its held-out loss, and repeat until
    `next_lr_max` is `None`. `untrained` is the loss before any training.
    """

    def __init__(
        self, start: float, untrained: float, most: int = 8, *, patience: int = 1, resolution: float = 0.0
    ) -> None: ...
    @property
    def next_lr_max(self) -> float | None:
        """The peak of the next cycle; `None` if the search is over."""
    @property
    def is_second(self) -> bool:
        """Whether the next cycle repeats a peak and must start from other weights."""
    def record(self, loss: float) -> None:
        """Records the held-out loss of the cycle. A loss that is not finite means divergence."""
    @property
    def tried(self) -> list[tuple[float, float, int]]:
        """The cycles so far: peak, loss, number of cycles."""
    @property
    def suggestion(self) -> Suggestion:
        """The suggestion from the cycles so far."""

def rule_names() -> list[RuleName]:
    """Names of all rules, our own first."""

def verdict_advice(verdict: Verdict) -> str:
    """What to do about a verdict."""

def steepest(rule: RuleName, lr: Sequence[float] | Array, losses: Sequence[float] | Array) -> int | None:
    """The index that a tool's formula chooses, without its smoothing, stop and trimming."""

def running_mean(tool: Tool, losses: Sequence[float] | Array) -> Array:
    """The running mean that a tool applies to the losses."""
