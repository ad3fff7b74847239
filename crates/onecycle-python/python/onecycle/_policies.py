"""Every policy as a class with keyword arguments.

Written by scripts/write_python_policies.py from the Rust structs. Do not edit.

All classes also take `weight_decay` and, unless they set it themselves, `momentum` (a number, a list of
points and values, or a curve), `batch_size`, and `at_end` (`"hold"`, `"error"` or `"restart"`). See
`onecycle.Policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Sequence_
from typing import Any, Literal

from ._policy import AtEnd, BatchSize, Curve, Momentum, Policy, Span

__all__ = [
    "OneCycle",
    "Clr",
    "PiecewiseConstant",
    "Constant",
    "Step",
    "Exponential",
    "Polynomial",
    "Cosine",
    "CosineRestarts",
    "Linear",
    "Warmup",
    "WarmupStableDecay",
    "FlatCosine",
    "Trapezoid",
    "Sequence",
    "Product",
    "TorchOneCycle",
    "TorchCyclic",
    "TorchMultiStep",
    "TorchStep",
    "TorchExponential",
    "TorchCosineAnnealing",
    "TorchCosineAnnealingWarmRestarts",
    "TorchLinear",
    "TorchPolynomial",
    "TorchConstant",
    "TorchSequential",
    "TorchTrapezoid",
    "OptaxCosineOnecycle",
    "OptaxLinearOnecycle",
    "OptaxWarmupCosineDecay",
    "OptaxCosineDecay",
    "OptaxSgdr",
    "OptaxPiecewiseConstant",
    "OptaxPiecewiseInterpolate",
    "OptaxPolynomial",
    "OptaxLinear",
    "OptaxExponentialDecay",
    "OptaxJoin",
    "OptaxConstant",
    "FastaiOneCycle",
    "FastaiV1OneCycle",
    "FastaiFlatCos",
    "FastaiSgdr",
    "FastaiCombinedCos",
    "FastaiCombineScheds",
]


class OneCycle(Policy):
    r"""The 1cycle policy. The learning rate rises linearly to a peak, falls back by the same path, and
    drops far below its start for the last epochs (Smith's *annihilation*). Momentum moves the
    opposite way.

    With `T` steps, the fraction `f` of them annihilation, and `L = floor(T (1 - f) / 2)`:

    ::

        lr(n) = min + (max - min) n / L                           0  <= n <= L       up
                max - (max - min) (n - L) / L                     L  <= n <= 2L      down
                min - (min - final) (n - 2L) / (T - 1 - 2L)       2L <= n <= T - 1   annihilation
        momentum(n): high -> low -> high, then high

    so that `lr(0) = min`, `lr(L) = max`, `lr(2L) = min` and `lr(T - 1) = final` exactly. With
    `shape` cosine, half cosine waves replace the straight lines.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr_max` | | peak, from a range test | above 0, no upper limit |
    | `lr_min` | `lr_max / div` | first rate | 0 to `lr_max` |
    | `div` | 10.0 | alternative to `lr_min` | at least 1; 3 to 20 are common |
    | `lr_final` | `lr_min / 100` | last rate, at the end of the annihilation | 0 to `lr_min` |
    | `annihilation` | `0.1` | length of the last phase | shorter than the run; 10 % to 15 % |
    | `momentum` | `(0.95, 0.85)` | opposite to the learning rate | 0 to below 1; `0.9`, `None` |
    | `shape` | `"linear"` | shape of all legs | `"linear"`, `"cosine"` |

    **Very short runs.** With 3 or more steps the peak is reached (`L` is at least 1). If the three
    phases do not fit (`2L >= T - 1`), the second leg goes straight to `lr_final` at `T - 1`. A run
    of two steps is `lr_min`, `lr_final`; a run of one step is `lr_min`.

    Source: L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1" (2018,
    arXiv:1803.09820), section 4.2; Smith & Topin, "Super-Convergence" (2018, arXiv:1708.07120),
    section 4. The ratios of the annihilation are from S. Gugger's notebook on it.

    >>> len(OneCycle(0.8).plan(steps=100))
    100
    """

    kind = "one_cycle"
    __slots__ = ()

    lr_max: float
    lr_min: float | None
    div: float | None
    lr_final: float | None
    annihilation: Span
    momentum: Momentum
    shape: Literal["linear", "cosine"]

    def __init__(
        self,
        lr_max: float,
        *,
        lr_min: float | None = None,
        div: float | None = None,
        lr_final: float | None = None,
        annihilation: Span = 0.1,
        momentum: Momentum = (0.95, 0.85),
        shape: Literal["linear", "cosine"] = "linear",
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr_max": lr_max,
                "lr_min": lr_min,
                "div": div,
                "lr_final": lr_final,
                "annihilation": annihilation,
                "momentum": momentum,
                "shape": shape,
            },
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Clr(Policy):
    r"""Cyclical learning rates: the rate moves linearly between two bounds in repeated cycles.

    With `U` and `D` steps up and down, `c = floor(n / (U + D))` the number of the cycle and `k =
    n - c (U + D)` the step in it:

    ::

        s(n)  = k / U                   0 <= k <= U
                1 - (k - U) / D         U <= k <  U + D
        lr(n) = min + (max - min) s(n) d(n)
        d(n)  = 1 (triangular), 2^-c (triangular2), gamma^n (exp_range)

    If momentum is cycled, it mirrors the learning rate. The run may end anywhere in a cycle.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr_min` | | lower bound | 0 to `lr_max` |
    | `lr_max` | | upper bound | above 0 |
    | `step_size` | | length of the rise | 2 to 10 epochs in the paper |
    | `step_size_down` | `step_size` | length of the fall | |
    | `mode` | `"triangular"` | how the amplitude changes | `"triangular"`, `"triangular2"`, `"exp_range"` |
    | `gamma` | 1.0 | factor per step for `"exp_range"` | above 0, at most 1 |
    | `momentum` | `None` | opposite to the learning rate | `(high, low)`, `0.9`, `None` |

    Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017,
    arXiv:1506.01186), section 3.

    >>> len(Clr(0.1, 0.5, "10%").plan(steps=100))
    100
    """

    kind = "clr"
    __slots__ = ()

    lr_min: float
    lr_max: float
    step_size: Span
    step_size_down: Span | None
    mode: Literal["triangular", "triangular2", "exp_range"]
    gamma: float | None
    momentum: Momentum

    def __init__(
        self,
        lr_min: float,
        lr_max: float,
        step_size: Span,
        *,
        step_size_down: Span | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float | None = None,
        momentum: Momentum = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr_min": lr_min,
                "lr_max": lr_max,
                "step_size": step_size,
                "step_size_down": step_size_down,
                "mode": mode,
                "gamma": gamma,
                "momentum": momentum,
            },
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class PiecewiseConstant(Policy):
    r"""A learning rate for each of several intervals: `lr(n) = v_i` for `b_i <= n < b_(i+1)`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `values` | | points and rates, `[("0ep", 0.35), (0.6, 0.035)]` | points increase from 0; rates at least 0 |

    Points beyond the end of the run are ignored. Source: He et al., "Deep Residual Learning"
    (2016), section 4.2: 0.1, divided by 10 at 32k and 48k of 64k steps.

    >>> len(PiecewiseConstant([(0, 0.1), ("50%", 0.01)]).plan(steps=100))
    100
    """

    kind = "piecewise_constant"
    __slots__ = ()

    values: Sequence_[tuple[Span, float]]

    def __init__(
        self,
        values: Sequence_[tuple[Span, float]],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "values": values,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Constant(Policy):
    r"""A constant learning rate: `lr(n) = lr`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | learning rate | at least 0 |

    Source: the method of Robbins & Monro (1951) without its decay. It is the baseline of every
    comparison.

    >>> len(Constant(0.1).plan(steps=100))
    100
    """

    kind = "constant"
    __slots__ = ()

    lr: float

    def __init__(
        self,
        lr: float,
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Step(Policy):
    r"""A drop by a factor at regular intervals: `lr(n) = lr gamma^floor(n / every)`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate | at least 0 |
    | `every` | | span between drops | at least one step |
    | `gamma` | 0.1 | factor per drop | above 0, at most 1 |

    Source: Caffe's `step`, used in the papers before CLR.

    >>> len(Step(0.1, "30%").plan(steps=100))
    100
    """

    kind = "step"
    __slots__ = ()

    lr: float
    every: Span
    gamma: float

    def __init__(
        self,
        lr: float,
        every: Span,
        *,
        gamma: float = 0.1,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "every": every,
                "gamma": gamma,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Exponential(Policy):
    r"""Exponential decay: the same factor at every step, given by the last rate or by the factor.

    ::

        lr(n) = lr (lr_final / lr)^(n / (T - 1))      with lr_final
                lr gamma^(n / every)                  with gamma

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate | above 0 |
    | `lr_final` | | last rate, reached exactly; alternative to `gamma` | above 0 |
    | `gamma` | | factor per `every`; alternative to `lr_final` | above 0, at most 1 |
    | `every` | `"1st"` | span over which the rate changes by `gamma` | above 0 |

    Source: the exponential schedules of Senior et al. (2013), section 3. With `lr_final` above `lr`
    it is the sweep of a range test.

    >>> len(Exponential(0.1, lr_final=0.001).plan(steps=100))
    100
    """

    kind = "exponential"
    __slots__ = ()

    lr: float
    lr_final: float | None
    gamma: float | None
    every: Span

    def __init__(
        self,
        lr: float,
        *,
        lr_final: float | None = None,
        gamma: float | None = None,
        every: Span = "1st",
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "lr_final": lr_final,
                "gamma": gamma,
                "every": every,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Polynomial(Policy):
    r"""Polynomial decay, a power of the remaining fraction of the run: `lr(n) = lr_final + (lr -
    lr_final) (1 - n / (T - 1))^power`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate | at least 0 |
    | `lr_final` | 0.0 | last rate, reached exactly | at least 0 |
    | `power` | 1.0 | 1 is linear, 2 ends flat, 0.9 is common for segmentation | above 0 |

    A run of one step uses `lr`. Source: Caffe's `poly`; Chen et al., "DeepLab" (2017), section 4.1.

    >>> len(Polynomial(0.4, power=2.0).plan(steps=100))
    100
    """

    kind = "polynomial"
    __slots__ = ()

    lr: float
    lr_final: float
    power: float

    def __init__(
        self,
        lr: float,
        *,
        lr_final: float = 0.0,
        power: float = 1.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "lr_final": lr_final,
                "power": power,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Cosine(Policy):
    r"""Half a cosine wave over the whole run: `lr(n) = lr + (lr_final - lr) (1 - cos(pi n / (T - 1))) /
    2`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate | at least 0 |
    | `lr_final` | 0.0 | last rate, reached exactly | at least 0 |

    A run of one step uses `lr`. Source: Loshchilov & Hutter, "SGDR" (2017, arXiv:1608.03983),
    equation 5, without restarts.

    >>> len(Cosine(0.4).plan(steps=100))
    100
    """

    kind = "cosine"
    __slots__ = ()

    lr: float
    lr_final: float

    def __init__(
        self,
        lr: float,
        *,
        lr_final: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "lr_final": lr_final,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class CosineRestarts(Policy):
    r"""Cosine annealing with warm restarts.

    Cycle `c` starts at step `b_c` and takes `P_c = period * period_mult^c` steps. With `k = n -
    b_c`:

    ::

        lr(n) = lr_min + (lr - lr_min) decay^c (1 + cos(pi k / P_c)) / 2

    A cycle would reach `lr_min` at the step at which the next one restarts. Only the last step of
    the run, if it ends a cycle, reaches it.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate of the first cycle | `lr_min` and above |
    | `lr_min` | 0.0 | floor | 0 to `lr` |
    | `period` | | length of the first cycle | at least one step |
    | `period_mult` | 1 | factor on the length of each next cycle | whole, at least 1 |
    | `decay` | 1.0 | factor on the height of each next cycle | above 0, at most 1 |

    Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017,
    arXiv:1608.03983), equation 5 and section 4 (`T_0`, `T_mult`).

    >>> len(CosineRestarts(0.4, 25).plan(steps=100))
    100
    """

    kind = "cosine_restarts"
    __slots__ = ()

    lr: float
    period: Span
    lr_min: float
    period_mult: int
    decay: float

    def __init__(
        self,
        lr: float,
        period: Span,
        *,
        lr_min: float = 0.0,
        period_mult: int = 1,
        decay: float = 1,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "lr_min": lr_min,
                "period": period,
                "period_mult": period_mult,
                "decay": decay,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Linear(Policy):
    r"""Linear decay (or warm-up) over the whole run: `lr(n) = lr + (lr_final - lr) n / (T - 1)`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | first rate | at least 0 |
    | `lr_final` | 0.0 | last rate, reached exactly | at least 0; above `lr` for a warm-up |

    A run of one step uses `lr`. Source: the linear decay of Goyal et al. (2017) and Devlin et al.
    (2019); compared with others by Defazio et al., "When, why and how much?" (2023).

    >>> len(Linear(0.4).plan(steps=100))
    100
    """

    kind = "linear"
    __slots__ = ()

    lr: float
    lr_final: float

    def __init__(
        self,
        lr: float,
        *,
        lr_final: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "lr_final": lr_final,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Warmup(Policy):
    r"""Gradual warm-up before any other policy, with the learning rate scaled by the batch size.

    With `k` the run's batch size over `reference_batch`, `s` the scale (1, `k` or `sqrt(k)`, by
    `scaling`) and `W` steps of warm-up:

    ::

        lr(n) = s then(0) (start_factor + (1 - start_factor) n / W)      0 <= n <  W
                s then(n - W)                                            W <= n

    The other policy runs over the rest of the run. During the warm-up its momentum keeps its first
    value.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `over` | | length of the warm-up | shorter than the run; 5 epochs in the paper |
    | `then` | | the policy that follows | any |
    | `start_factor` | `1 / s` if the rate is scaled up, else 0.1 | first rate, relative to the rate after the warm-up | 0 to 1 |
    | `scaling` | `"none"` | scaling of the learning rate by the batch size | `"none"`, `"linear"`, `"sqrt"` |
    | `reference_batch` | | batch size for which the rates of `then` were chosen | at least 1; required for scaling |

    Source: Goyal et al., "Accurate, Large Minibatch SGD" (2017, arXiv:1706.02677), section 2.

    >>> len(Warmup("10%", Step(0.1, "30%")).plan(steps=100))
    100
    """

    kind = "warmup"
    __slots__ = ()

    over: Span
    then: Policy
    start_factor: float | None
    scaling: Literal["none", "linear", "sqrt"]
    reference_batch: int | None

    def __init__(
        self,
        over: Span,
        then: Policy,
        *,
        start_factor: float | None = None,
        scaling: Literal["none", "linear", "sqrt"] = "none",
        reference_batch: int | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "over": over,
                "then": then,
                "start_factor": start_factor,
                "scaling": scaling,
                "reference_batch": reference_batch,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class WarmupStableDecay(Policy):
    r"""Warm-up, plateau, decay (WSD). The plateau can be prolonged at will, and a short decay at the
    end brings the gain.

    With `W` steps of warm-up, `D` steps of decay, and `B = T - 1 - D`:

    ::

        lr(n) = lr_start + (lr - lr_start) n / W             0 <= n <= W
                lr                                           W <= n <= B
                lr + (lr_final - lr) g((n - B) / D)          B <= n <= T - 1
        g(t)  = t (linear), (1 - cos(pi t)) / 2 (cosine), sqrt(t) (sqrt)

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | rate of the plateau | at least 0 |
    | `warmup` | `0.05` | length of the warm-up | 0 for none |
    | `decay` | `0.2` | length of the decay | 0 for none; 10 % to 20 % in the papers |
    | `lr_start` | 0.0 | first rate | 0 to `lr` |
    | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |
    | `shape` | `"linear"` | shape of the decay | `"linear"`, `"cosine"`, `"sqrt"` |

    In runs of a few steps the decay keeps its last step and the warm-up is shortened. A run of one
    step uses `lr`. Source: Hu et al., "MiniCPM" (2024, arXiv:2404.06395), section 4; `sqrt`:
    Haegele et al. (2024, arXiv:2405.18392), section 3.

    >>> len(WarmupStableDecay(0.4).plan(steps=100))
    100
    """

    kind = "warmup_stable_decay"
    __slots__ = ()

    lr: float
    warmup: Span
    decay: Span
    lr_start: float
    lr_final: float
    shape: Literal["linear", "cosine", "sqrt"]

    def __init__(
        self,
        lr: float,
        *,
        warmup: Span = 0.05,
        decay: Span = 0.2,
        lr_start: float = 0.0,
        lr_final: float = 0.0,
        shape: Literal["linear", "cosine", "sqrt"] = "linear",
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "warmup": warmup,
                "decay": decay,
                "lr_start": lr_start,
                "lr_final": lr_final,
                "shape": shape,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FlatCosine(Policy):
    r"""A plateau, then half a cosine wave. With a plateau of `F` steps, `lr(n) = lr` up to `F`, then
    `lr + (lr_final - lr) (1 - cos(pi (n - F) / (T - 1 - F))) / 2`.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | rate of the plateau | at least 0 |
    | `flat` | `0.75` | length of the plateau | shorter than the run |
    | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |

    A run of one step uses `lr`. Made for optimizers that need no warm-up. Source: fastai's
    `fit_flat_cos`; `FastaiFlatCos` reproduces it to the bit.

    >>> len(FlatCosine(0.4).plan(steps=100))
    100
    """

    kind = "flat_cosine"
    __slots__ = ()

    lr: float
    flat: Span
    lr_final: float

    def __init__(
        self,
        lr: float,
        *,
        flat: Span = 0.75,
        lr_final: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "flat": flat,
                "lr_final": lr_final,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Trapezoid(Policy):
    r"""Linear warm-up, plateau, linear decay. Without a plateau it is a triangle.

    ::

        lr(n) = lr_start + (lr - lr_start) n / W             0 <= n <= W
                lr                                           W <= n <= B = T - 1 - D
                lr + (lr_final - lr) (n - B) / D             B <= n <= T - 1

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `lr` | | rate of the plateau | at least 0 |
    | `warmup` | `0.1` | length of the warm-up | |
    | `decay` | `0.3` | length of the decay | |
    | `lr_start` | 0.0 | first rate | 0 to `lr` |
    | `lr_final` | 0.0 | last rate, reached exactly | 0 to `lr` |

    In runs of a few steps the decay keeps its last step and the warm-up is shortened. A run of one
    step uses `lr`. Source: Xing et al., "A Walk with SGD" (2018, arXiv:1802.08770), section 5; the
    triangle: airbench (Jordan, 2024, arXiv:2404.00498).

    >>> len(Trapezoid(0.4).plan(steps=100))
    100
    """

    kind = "trapezoid"
    __slots__ = ()

    lr: float
    warmup: Span
    decay: Span
    lr_start: float
    lr_final: float

    def __init__(
        self,
        lr: float,
        *,
        warmup: Span = 0.1,
        decay: Span = 0.3,
        lr_start: float = 0.0,
        lr_final: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "warmup": warmup,
                "decay": decay,
                "lr_start": lr_start,
                "lr_final": lr_final,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Sequence(Policy):
    r"""Policies one after the other.

    ::

        lr(n) = p_i(n - b_i)      b_i <= n < b_(i+1)

    A part that sets no momentum keeps the previous value (or the first value that is set). Steps
    after the last part keep its last value. Parts that round to no step in a short run are skipped.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `parts` | | lengths and policies | at least one |

    Source: `schedule_phases` of fastai, `SequentialLR` of PyTorch, `join_schedules` of optax. Here
    the parts meet on whole steps.

    >>> len(Sequence([("25%", Linear(0.0, lr_final=0.4)), Cosine(0.4)]).plan(steps=100))
    100
    """

    kind = "sequence"
    __slots__ = ()

    parts: Sequence_[Policy | tuple[Span | None, Policy]]

    def __init__(
        self,
        parts: Sequence_[Policy | tuple[Span | None, Policy]],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "parts": parts,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class Product(Policy):
    r"""The product of policies. Usually the first gives a learning rate and the others are factors
    without a unit.

    ::

        lr(n) = p_1(n) p_2(n) ...

    At most one of them may set momentum.

    | parameter | default | purpose | range |
    |---|---|---|---|
    | `of` | | the policies | at least one |

    Source: PyTorch's `ChainedScheduler`, with its updates replaced by a plain product.

    >>> len(Product([Linear(0.4), Step(1.0, 10, gamma=0.5)]).plan(steps=100))
    100
    """

    kind = "product"
    __slots__ = ()

    of: Sequence_[Policy]

    def __init__(
        self,
        of: Sequence_[Policy],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "of": of,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchOneCycle(Policy):
    r"""`OneCycleLR`, PyTorch's variant of the 1cycle policy.

    With `T = total_steps`, `p = pct_start`, `initial = max_lr / div_factor`, `min = initial /
    final_div_factor`:

    | two phases | up to step | lr | momentum |
    |---|---|---|---|
    | up | `p T - 1` | initial to max | max to base |
    | annihilation | `T - 1` | max to min | base to max |

    | three phases | up to step | lr | momentum |
    |---|---|---|---|
    | up | `p T - 1` | initial to max | max to base |
    | down | `2 p T - 2` | max to initial | base to max |
    | annihilation | `T - 1` | initial to min | max to max |

    **Where it misses the peak:** phases end at fractions of a step, and a step belongs to the first
    phase whose end is not before it. Unless `p T` is a whole number, no step falls on the peak, and
    the rate turns below `max_lr` (by up to 12 % in runs of ten steps). With `p T` between 0 and 1
    the run starts on the way down. With three phases and `p` above 0.5 it never reaches `min`.
    `OneCycle` always reaches peak and final value.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `max_lr` | | peak | at least 0 |
    | `total_steps` | | length; or set `epochs` and `steps_per_epoch` | at least 1 |
    | `pct_start` | 0.3 | fraction of the run until the peak | 0 to 1 |
    | `anneal_strategy` | cos | shape of all phases | cos, linear |
    | `cycle_momentum` | true | whether to set momentum (or beta1) | |
    | `base_momentum`, `max_momentum` | 0.85, 0.95 | bounds of momentum | 0 to 1 |
    | `div_factor` | 25 | `max_lr` / initial rate | above 0 |
    | `final_div_factor` | 1e4 | initial rate / last rate | above 0 |
    | `three_phase` | false | whether to fall as slowly as it rose, then annihilate | |

    The preset defines its own length. Past `total_steps`, PyTorch first extrapolates (upwards, or
    below 0) and then raises an exception; here `at_end` decides. A phase without
    length, where PyTorch divides by zero (`p T = 1`), is an error. Source: PyTorch 2.15,
    `torch.optim.lr_scheduler.OneCycleLR`.

    >>> len(TorchOneCycle(0.1, total_steps=100).plan(steps=100))
    100
    """

    kind = "torch_one_cycle"
    __slots__ = ()

    max_lr: float
    total_steps: int | None
    epochs: int | None
    steps_per_epoch: int | None
    pct_start: float
    anneal_strategy: Literal["cos", "linear"]
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float
    div_factor: float
    final_div_factor: float
    three_phase: bool

    def __init__(
        self,
        max_lr: float,
        *,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "max_lr": max_lr,
                "total_steps": total_steps,
                "epochs": epochs,
                "steps_per_epoch": steps_per_epoch,
                "pct_start": pct_start,
                "anneal_strategy": anneal_strategy,
                "cycle_momentum": cycle_momentum,
                "base_momentum": base_momentum,
                "max_momentum": max_momentum,
                "div_factor": div_factor,
                "final_div_factor": final_div_factor,
                "three_phase": three_phase,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchCyclic(Policy):
    r"""`CyclicLR`, PyTorch's cyclical learning rates.

    With `total = up + down`, `r = up / total`, `c = floor(1 + n / total)` and `x = 1 + n / total -
    c`:

    ::

        s           = x / r                      x <= r
                      (x - 1) / (r - 1)          else
        lr(n)       = base_lr + (max_lr - base_lr) s d
        momentum(n) = max_momentum - (max_momentum - base_momentum) s d
        d           = 1 (triangular), 2^-(c - 1) (triangular2), gamma^n (exp_range)

    Because `n / total` is rounded, peaks are reached only to within a few units in the last place.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `base_lr`, `max_lr` | | bounds | at least 0 |
    | `step_size_up` | 2000 | steps of the rise | at least 1 |
    | `step_size_down` | `step_size_up` | steps of the fall | at least 1 |
    | `mode` | triangular | how the amplitude changes | triangular, triangular2, exp_range |
    | `gamma` | 1 | factor per step for exp_range | above 0, at most 1 |
    | `cycle_momentum` | true | whether to set momentum (or beta1) | |
    | `base_momentum`, `max_momentum` | 0.8, 0.9 | bounds of momentum | 0 to 1 |

    `scale_fn` is not supported; without it, `scale_mode` has no effect. Source: PyTorch 2.15,
    `torch.optim.lr_scheduler.CyclicLR`.

    >>> len(TorchCyclic(0.1, 0.5).plan(steps=100))
    100
    """

    kind = "torch_cyclic"
    __slots__ = ()

    base_lr: float
    max_lr: float
    step_size_up: int
    step_size_down: int | None
    mode: Literal["triangular", "triangular2", "exp_range"]
    gamma: float
    scale_fn: str | None
    scale_mode: str | None
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        *,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: str | None = None,
        scale_mode: str | None = None,
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "base_lr": base_lr,
                "max_lr": max_lr,
                "step_size_up": step_size_up,
                "step_size_down": step_size_down,
                "mode": mode,
                "gamma": gamma,
                "scale_fn": scale_fn,
                "scale_mode": scale_mode,
                "cycle_momentum": cycle_momentum,
                "base_momentum": base_momentum,
                "max_momentum": max_momentum,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchMultiStep(Policy):
    r"""`MultiStepLR`: `lr(n) = lr(n - 1) gamma^k`, where `k` is how often `n` occurs in the milestones.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `milestones` | | steps in any order; a repeated step counts repeatedly | |
    | `gamma` | 0.1 | factor per drop | at least 0 |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.MultiStepLR`.

    >>> len(TorchMultiStep([30, 60], lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_multi_step"
    __slots__ = ()

    milestones: Sequence_[int]
    lr: float | None
    gamma: float

    def __init__(
        self,
        milestones: Sequence_[int],
        *,
        lr: float | None = None,
        gamma: float = 0.1,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "milestones": milestones,
                "gamma": gamma,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchStep(Policy):
    r"""`StepLR`: `lr(n) = lr(n - 1) gamma` if `n` is a multiple of `step_size`, otherwise `lr(n - 1)`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `step_size` | | steps between drops | at least 1 |
    | `gamma` | 0.1 | factor per drop | at least 0 |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.StepLR`.

    >>> len(TorchStep(30, lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_step"
    __slots__ = ()

    step_size: int
    lr: float | None
    gamma: float

    def __init__(
        self,
        step_size: int,
        *,
        lr: float | None = None,
        gamma: float = 0.1,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "step_size": step_size,
                "gamma": gamma,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchExponential(Policy):
    r"""`ExponentialLR`: `lr(n) = lr(n - 1) gamma`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `gamma` | | factor per step | at least 0 |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.ExponentialLR`.

    >>> len(TorchExponential(0.99, lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_exponential"
    __slots__ = ()

    gamma: float
    lr: float | None

    def __init__(
        self,
        gamma: float,
        *,
        lr: float | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "gamma": gamma,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchCosineAnnealing(Policy):
    r"""`CosineAnnealingLR`: the rate follows half cosine waves between `lr` and `eta_min`, down and up
    again, `T_max` steps each.

    The closed form is `eta_min + (lr - eta_min) (1 + cos(pi n / T_max)) / 2`. It is computed as

    ::

        lr(n) = (1 + cos(pi n / T_max)) / (1 + cos(pi (n - 1) / T_max)) (lr(n - 1) - eta_min) + eta_min
                lr(n - 1) + (lr - eta_min) (1 - cos(pi / T_max)) / 2
                    if n - 1 - T_max is a multiple of 2 T_max

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `T_max` | | steps down | at least 1 |
    | `eta_min` | 0 | minimum | at least 0 |

    A run of `T_max` steps does not reach the minimum, which belongs to step `T_max`. Source:
    PyTorch 2.15, `torch.optim.lr_scheduler.CosineAnnealingLR`.

    >>> len(TorchCosineAnnealing(100, lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_cosine_annealing"
    __slots__ = ()

    T_max: int
    lr: float | None
    eta_min: float

    def __init__(
        self,
        T_max: int,
        *,
        lr: float | None = None,
        eta_min: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "T_max": T_max,
                "eta_min": eta_min,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchCosineAnnealingWarmRestarts(Policy):
    r"""`CosineAnnealingWarmRestarts`: half cosine waves from `lr` towards `eta_min`, each `T_mult`
    times as long as the one before.

    `lr(n) = eta_min + (lr - eta_min) (1 + cos(pi k / T_i)) / 2` at step `k` of a cycle of `T_i`
    steps.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `T_0` | | steps of the first cycle | at least 1 |
    | `T_mult` | 1 | factor on the length of each next cycle | at least 1 |
    | `eta_min` | 0 | minimum | at least 0 |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.

    >>> len(TorchCosineAnnealingWarmRestarts(25, lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_cosine_annealing_warm_restarts"
    __slots__ = ()

    T_0: int
    lr: float | None
    T_mult: int
    eta_min: float

    def __init__(
        self,
        T_0: int,
        *,
        lr: float | None = None,
        T_mult: int = 1,
        eta_min: float = 0.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "T_0": T_0,
                "T_mult": T_mult,
                "eta_min": eta_min,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchLinear(Policy):
    r"""`LinearLR`: a straight line from `lr start_factor` to `lr end_factor` over `total_iters` steps,
    then constant.

    ::

        lr(0) = lr start
        lr(n) = lr(n - 1) (1 + (end - start) / (total start + (n - 1) (end - start)))      n <= total

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `start_factor` | 1/3 | first factor | above 0, at most 1 |
    | `end_factor` | 1 | last factor | 0 to 1 |
    | `total_iters` | 5 | steps of the transition | |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.LinearLR`.

    >>> len(TorchLinear(lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_linear"
    __slots__ = ()

    lr: float | None
    start_factor: float
    end_factor: float
    total_iters: int

    def __init__(
        self,
        *,
        lr: float | None = None,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "start_factor": start_factor,
                "end_factor": end_factor,
                "total_iters": total_iters,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchPolynomial(Policy):
    r"""`PolynomialLR`: `lr (1 - n / total_iters)^power`, then 0, computed as `lr(n) = lr(n - 1) ((1 -
    n / total) / (1 - (n - 1) / total))^power`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `total_iters` | 5 | steps until 0 | at least 1 |
    | `power` | 1 | exponent | above 0 |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.PolynomialLR`.

    >>> len(TorchPolynomial(lr=0.1, total_iters=100).plan(steps=100))
    100
    """

    kind = "torch_polynomial"
    __slots__ = ()

    lr: float | None
    total_iters: int
    power: float

    def __init__(
        self,
        *,
        lr: float | None = None,
        total_iters: int = 5,
        power: float = 1.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "total_iters": total_iters,
                "power": power,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchConstant(Policy):
    r"""`ConstantLR`: `lr factor` for `total_iters` steps, then `lr`, computed by dividing by `factor`
    again.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `factor` | 1/3 | factor of the first steps | above 0, at most 1 |
    | `total_iters` | 5 | number of steps with the factor | |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.ConstantLR`.

    >>> len(TorchConstant(lr=0.1).plan(steps=100))
    100
    """

    kind = "torch_constant"
    __slots__ = ()

    lr: float | None
    factor: float
    total_iters: int

    def __init__(
        self,
        *,
        lr: float | None = None,
        factor: float = 1 / 3,
        total_iters: int = 5,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "factor": factor,
                "total_iters": total_iters,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchSequential(Policy):
    r"""`SequentialLR`: several schedulers of one optimizer, one after the other.

    Scheduler `i` takes over at `milestones[i - 1]`. There it jumps to its own step 0 in closed
    form; after that it follows its own recursion.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `schedulers` | | schedulers, tagged by `kind`; their own `lr` is omitted or equal | at least one |
    | `milestones` | | steps at which the next scheduler takes over | increasing; one fewer than schedulers |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.SequentialLR`.

    >>> len(TorchSequential(0.1, [TorchLinear(total_iters=5), TorchCosineAnnealing(95)], [5]).plan(steps=100))
    100
    """

    kind = "torch_sequential"
    __slots__ = ()

    lr: float
    schedulers: Sequence_[Policy]
    milestones: Sequence_[int]

    def __init__(
        self,
        lr: float,
        schedulers: Sequence_[Policy],
        milestones: Sequence_[int],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "schedulers": schedulers,
                "milestones": milestones,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class TorchTrapezoid(Policy):
    r"""`LambdaLR` with the usual function for warm-up, plateau and decay.

    With `W`, `S` and `D` steps of warm-up, plateau and decay, the factors `s` and `e`, and `t =
    (n - W - S) / D`:

    ::

        lr(n) / lr = s + (1 - s) n / W        n < W
                     1                        n < W + S
                     1 + (e - 1) g(t)         n < W + S + D
                     e                        else

    **Where it misses its end:** a run of `W + S + D` steps ends one step before `e`.
    `WarmupStableDecay` reaches its last rate.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | the optimizer's learning rate | at least 0 |
    | `warmup`, `stable`, `decay` | | steps of each phase | |
    | `start_factor`, `end_factor` | 0 | first and last factor | at least 0 |
    | `decay_shape` | linear | shape of the decay | linear, cos, 1-sqrt |

    Source: PyTorch 2.15, `torch.optim.lr_scheduler.LambdaLR`, which multiplies `lr` by the value of
    the function.

    >>> len(TorchTrapezoid(0.1, 10, 60, 30).plan(steps=100))
    100
    """

    kind = "torch_trapezoid"
    __slots__ = ()

    lr: float
    warmup: int
    stable: int
    decay: int
    start_factor: float
    end_factor: float
    decay_shape: Literal["linear", "cos", "1-sqrt"]

    def __init__(
        self,
        lr: float,
        warmup: int,
        stable: int,
        decay: int,
        *,
        start_factor: float = 0.0,
        end_factor: float = 0.0,
        decay_shape: Literal["linear", "cos", "1-sqrt"] = "linear",
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "warmup": warmup,
                "stable": stable,
                "decay": decay,
                "start_factor": start_factor,
                "end_factor": end_factor,
                "decay_shape": decay_shape,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxCosineOnecycle(Policy):
    r"""`cosine_onecycle_schedule`: half a cosine wave up until `int(pct_start T)`, another one down
    until `T`, then constant.

    The values are `peak_value / div_factor`, `peak_value` and `peak_value / (div_factor
    final_div_factor)`. Each is computed from the one before by multiplication, so the peak is
    reached up to one ulp.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `transition_steps` | | total number of steps `T` | at least 1 |
    | `peak_value` | | peak | at least 0 |
    | `pct_start` | 0.3 | fraction of the steps until the peak | 0 to 1 |
    | `div_factor` | 25 | peak / first rate | above 0 |
    | `final_div_factor` | 1e4 | first / last rate | above 0 |

    The last rate belongs to step `T`, which a run of `T` steps does not reach. `int` truncates:
    0.29 of 100 is 28. If `int(pct_start T)` is 0, the schedule starts at the peak; if `pct_start`
    is 1, it has no peak. Source: optax 0.2.8, `optax.cosine_onecycle_schedule`.

    >>> len(OptaxCosineOnecycle(100, 0.5).plan(steps=100))
    100
    """

    kind = "optax_cosine_onecycle"
    __slots__ = ()

    transition_steps: int
    peak_value: float
    pct_start: float
    div_factor: float
    final_div_factor: float

    def __init__(
        self,
        transition_steps: int,
        peak_value: float,
        *,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "transition_steps": transition_steps,
                "peak_value": peak_value,
                "pct_start": pct_start,
                "div_factor": div_factor,
                "final_div_factor": final_div_factor,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxLinearOnecycle(Policy):
    r"""`linear_onecycle_schedule`: straight lines up until `int(pct_start T)`, down until
    `int(pct_final T)`, and further down until `T`.

    The values are `peak_value / div_factor`, the peak, the first value again, and that value
    divided by `final_div_factor`. Each is computed from the one before by multiplication.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `transition_steps` | | total number of steps `T` | at least 1 |
    | `peak_value` | | peak | at least 0 |
    | `pct_start` | 0.3 | end of the rise | 0 to 1 |
    | `pct_final` | 0.85 | end of the fall | 0 to 1 |
    | `div_factor` | 25 | peak / first rate | above 0 |
    | `final_div_factor` | 1e4 | first / last rate | above 0 |

    The last rate belongs to step `T`, which a run of `T` steps does not reach. As in optax, equal
    boundaries are merged and the later factor applies, and boundaries in the wrong order are
    sorted; both change the shape. Source: optax 0.2.8, `optax.linear_onecycle_schedule`.

    >>> len(OptaxLinearOnecycle(100, 0.5).plan(steps=100))
    100
    """

    kind = "optax_linear_onecycle"
    __slots__ = ()

    transition_steps: int
    peak_value: float
    pct_start: float
    pct_final: float
    div_factor: float
    final_div_factor: float

    def __init__(
        self,
        transition_steps: int,
        peak_value: float,
        *,
        pct_start: float = 0.3,
        pct_final: float = 0.85,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "transition_steps": transition_steps,
                "peak_value": peak_value,
                "pct_start": pct_start,
                "pct_final": pct_final,
                "div_factor": div_factor,
                "final_div_factor": final_div_factor,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxWarmupCosineDecay(Policy):
    r"""`warmup_cosine_decay_schedule`: a straight line from `init_value` to `peak_value`, then
    `OptaxCosineDecay` to `end_value`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value`, `peak_value` | | first and highest rate | at least 0 |
    | `warmup_steps` | | steps of the warm-up | fewer than `decay_steps` |
    | `decay_steps` | | total number of steps, including the warm-up | |
    | `end_value` | 0 | last rate | at least 0 |
    | `exponent` | 1 | exponent of the cosine wave | above 0 |

    Source: optax 0.2.8, `optax.warmup_cosine_decay_schedule`.

    >>> len(OptaxWarmupCosineDecay(0.0, 0.4, 10, 100).plan(steps=100))
    100
    """

    kind = "optax_warmup_cosine_decay"
    __slots__ = ()

    init_value: float
    peak_value: float
    warmup_steps: int
    decay_steps: int
    end_value: float
    exponent: float

    def __init__(
        self,
        init_value: float,
        peak_value: float,
        warmup_steps: int,
        decay_steps: int,
        *,
        end_value: float = 0.0,
        exponent: float = 1.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "peak_value": peak_value,
                "warmup_steps": warmup_steps,
                "decay_steps": decay_steps,
                "end_value": end_value,
                "exponent": exponent,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxCosineDecay(Policy):
    r"""`cosine_decay_schedule`: `init ((1 - alpha) ((1 + cos(pi n / decay_steps)) / 2)^exponent +
    alpha)`, then constant.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value` | | first rate | at least 0 |
    | `decay_steps` | | steps of the decay | at least 1 |
    | `alpha` | 0 | last rate, relative to the first | at least 0 |
    | `exponent` | 1 | exponent of the cosine wave | above 0 |

    Source: optax 0.2.8, `optax.cosine_decay_schedule`.

    >>> len(OptaxCosineDecay(0.4, 100).plan(steps=100))
    100
    """

    kind = "optax_cosine_decay"
    __slots__ = ()

    init_value: float
    decay_steps: int
    alpha: float
    exponent: float

    def __init__(
        self,
        init_value: float,
        decay_steps: int,
        *,
        alpha: float = 0.0,
        exponent: float = 1.0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "decay_steps": decay_steps,
                "alpha": alpha,
                "exponent": exponent,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxSgdr(Policy):
    r"""`sgdr_schedule`: several `OptaxWarmupCosineDecay`s one after the other, each for its `decay_steps`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `cosine_kwargs` | | the arguments of each cycle | at least one |

    Source: optax 0.2.8, `optax.sgdr_schedule`.

    >>> len(OptaxSgdr([dict(init_value=0.0, peak_value=0.4, warmup_steps=5, decay_steps=50)]).plan(steps=100))
    100
    """

    kind = "optax_sgdr"
    __slots__ = ()

    cosine_kwargs: Sequence_[Mapping[str, Any]]

    def __init__(
        self,
        cosine_kwargs: Sequence_[Mapping[str, Any]],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "cosine_kwargs": cosine_kwargs,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxPiecewiseConstant(Policy):
    r"""`piecewise_constant_schedule`: `init_value`, multiplied by each scale from its boundary on.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value` | | first rate | at least 0 |
    | `boundaries_and_scales` | none | pairs of step and factor, in any order | factors at least 0 |

    Source: optax 0.2.8, `optax.piecewise_constant_schedule`.

    >>> len(OptaxPiecewiseConstant(0.4, boundaries_and_scales={50: 0.1}).plan(steps=100))
    100
    """

    kind = "optax_piecewise_constant"
    __slots__ = ()

    init_value: float
    boundaries_and_scales: Sequence_[tuple[int, float]] | Mapping[int, float]

    def __init__(
        self,
        init_value: float,
        *,
        boundaries_and_scales: Sequence_[tuple[int, float]] | Mapping[int, float] = (),
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "boundaries_and_scales": boundaries_and_scales,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxPiecewiseInterpolate(Policy):
    r"""`piecewise_interpolate_schedule`: interpolates between values, each the one before times its
    scale; then constant.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `interpolate_type` | | interpolation between the boundaries | linear, cosine |
    | `init_value` | | first rate | at least 0 |
    | `boundaries_and_scales` | none | pairs of step and factor, in any order | factors at least 0 |

    With a boundary at step 0 the schedule starts at that boundary's value. Source: optax 0.2.8,
    `optax.piecewise_interpolate_schedule`.

    >>> len(OptaxPiecewiseInterpolate("linear", 0.1, boundaries_and_scales={50: 4.0, 99: 0.5}).plan(steps=100))
    100
    """

    kind = "optax_piecewise_interpolate"
    __slots__ = ()

    interpolate_type: Literal["linear", "cosine"]
    init_value: float
    boundaries_and_scales: Sequence_[tuple[int, float]] | Mapping[int, float]

    def __init__(
        self,
        interpolate_type: Literal["linear", "cosine"],
        init_value: float,
        *,
        boundaries_and_scales: Sequence_[tuple[int, float]] | Mapping[int, float] = (),
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "interpolate_type": interpolate_type,
                "init_value": init_value,
                "boundaries_and_scales": boundaries_and_scales,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxPolynomial(Policy):
    r"""`polynomial_schedule`: `(init - end) (1 - k / transition_steps)^power + end`, with `k` the steps
    since `transition_begin`, at most `transition_steps`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value`, `end_value` | | first and last rate | at least 0 |
    | `power` | | exponent | above 0 |
    | `transition_steps` | | steps of the transition; with 0 the rate stays at `init_value`, as in optax | |
    | `transition_begin` | 0 | first step of the transition; a negative value counts as 0, as in optax | |

    Source: optax 0.2.8, `optax.polynomial_schedule`.

    >>> len(OptaxPolynomial(0.4, 0.0, 2.0, 100).plan(steps=100))
    100
    """

    kind = "optax_polynomial"
    __slots__ = ()

    init_value: float
    end_value: float
    power: float
    transition_steps: int
    transition_begin: int

    def __init__(
        self,
        init_value: float,
        end_value: float,
        power: float,
        transition_steps: int,
        *,
        transition_begin: int = 0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "end_value": end_value,
                "power": power,
                "transition_steps": transition_steps,
                "transition_begin": transition_begin,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxLinear(Policy):
    r"""`linear_schedule`: `OptaxPolynomial` with power 1.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value`, `end_value` | | first and last rate | at least 0 |
    | `transition_steps` | | steps of the transition; with 0 the rate stays at `init_value`, as in optax | |
    | `transition_begin` | 0 | first step of the transition; a negative value counts as 0, as in optax | |

    Source: optax 0.2.8, `optax.linear_schedule`.

    >>> len(OptaxLinear(0.0, 0.4, 100).plan(steps=100))
    100
    """

    kind = "optax_linear"
    __slots__ = ()

    init_value: float
    end_value: float
    transition_steps: int
    transition_begin: int

    def __init__(
        self,
        init_value: float,
        end_value: float,
        transition_steps: int,
        *,
        transition_begin: int = 0,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "end_value": end_value,
                "transition_steps": transition_steps,
                "transition_begin": transition_begin,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxExponentialDecay(Policy):
    r"""`exponential_decay`: `init decay_rate^(k / transition_steps)`, with `k` the steps since
    `transition_begin`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `init_value` | | first rate | at least 0 |
    | `transition_steps` | | steps over which the rate falls by `decay_rate` | at least 1 |
    | `decay_rate` | | factor | above 0 |
    | `transition_begin` | 0 | first step of the decay; a negative value counts as 0, as in optax | |
    | `staircase` | false | whether to fall at once after every `transition_steps` | |
    | `end_value` | none | lower bound if `decay_rate` is below 1, otherwise upper bound | at least 0 |

    A `decay_rate` or a number of steps of 0, for which optax returns a constant, is an error.
    Source: optax 0.2.8, `optax.exponential_decay`.

    >>> len(OptaxExponentialDecay(0.4, 50, 0.25).plan(steps=100))
    100
    """

    kind = "optax_exponential_decay"
    __slots__ = ()

    init_value: float
    transition_steps: int
    decay_rate: float
    transition_begin: int
    staircase: bool
    end_value: float | None

    def __init__(
        self,
        init_value: float,
        transition_steps: int,
        decay_rate: float,
        *,
        transition_begin: int = 0,
        staircase: bool = False,
        end_value: float | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "init_value": init_value,
                "transition_steps": transition_steps,
                "decay_rate": decay_rate,
                "transition_begin": transition_begin,
                "staircase": staircase,
                "end_value": end_value,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxJoin(Policy):
    r"""`join_schedules`: `lr(n) = s_i(n - boundaries[i - 1])`, each schedule from its boundary on.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `schedules` | | schedules, tagged by `kind` | at least one |
    | `boundaries` | | steps at which the next schedule takes over | increasing; one fewer than schedules |

    Source: optax 0.2.8, `optax.join_schedules`.

    >>> len(OptaxJoin([OptaxLinear(0.0, 0.4, 10), OptaxConstant(0.4)], [10]).plan(steps=100))
    100
    """

    kind = "optax_join"
    __slots__ = ()

    schedules: Sequence_[Policy]
    boundaries: Sequence_[int]

    def __init__(
        self,
        schedules: Sequence_[Policy],
        boundaries: Sequence_[int],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "schedules": schedules,
                "boundaries": boundaries,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class OptaxConstant(Policy):
    r"""`constant_schedule`: `lr(n) = value`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `value` | | learning rate | at least 0 |

    Source: optax 0.2.8, `optax.constant_schedule`.

    >>> len(OptaxConstant(0.1).plan(steps=100))
    100
    """

    kind = "optax_constant"
    __slots__ = ()

    value: float

    def __init__(
        self,
        value: float,
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "value": value,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiOneCycle(Policy):
    r"""`Learner.fit_one_cycle` of fastai v2: half a cosine wave from `lr_max / div` up to `lr_max`,
    then another one down to `lr_max / div_final`. Momentum moves the opposite way.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr_max` | | peak | at least 0 |
    | `div` | 25 | peak / first rate | above 0 |
    | `div_final` | 1e5 | peak / last rate | above 0 |
    | `pct_start` | 0.25 | fraction of the run until the peak | 0 to 1 |
    | `moms` | `[0.95, 0.85, 0.95]` | momentum at the start, the peak and the end | 0 to 1 |
    | `n_epoch` | 1 | epochs of the fit | divides the number of steps |

    **Where it misses:** a fit ends before position 1, so its last rate is above `lr_max /
    div_final`. The peak falls on a step only if `pct_start` times the number of steps is whole (and
    float32 rounding agrees). Source: fastai 2.8.12, `fastai.callback.schedule.fit_one_cycle`.

    >>> len(FastaiOneCycle(0.5).plan(steps=100))
    100
    """

    kind = "fastai_one_cycle"
    __slots__ = ()

    lr_max: float
    div: float
    div_final: float
    pct_start: float
    moms: tuple[float, float, float]
    n_epoch: int | None

    def __init__(
        self,
        lr_max: float,
        *,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        moms: tuple[float, float, float] = (0.95, 0.85, 0.95),
        n_epoch: int | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr_max": lr_max,
                "div": div,
                "div_final": div_final,
                "pct_start": pct_start,
                "moms": moms,
                "n_epoch": n_epoch,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiV1OneCycle(Policy):
    r"""`fit_one_cycle` of fastai v1: half a cosine wave up over `a = int(T pct_start)` steps, then
    another one down over the rest.

    ::

        lr(n) = cos(lr_max / div_factor, lr_max, n / a)                   n <= a
                cos(lr_max, lr_max / final_div, (n - a) / (T - a))        n >  a
        cos(s, e, t) = e + (s - e) / 2 (cos(pi t) + 1)

    Momentum moves the opposite way. The last rate belongs to step `T`, which a run of `T` steps
    does not reach.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr_max` | | peak | at least 0 |
    | `moms` | `[0.95, 0.85]` | momentum at the ends and at the peak | 0 to 1 |
    | `div_factor` | 25 | peak / first rate | above 0 |
    | `pct_start` | 0.3 | fraction of the run until the peak | 0 to 1 |
    | `final_div` | `div_factor * 1e4` | peak / last rate | above 0 |

    A run so short that `a` is 0, where fastai divides by zero, is an error. Source: fastai 1.0.61,
    `fastai.callbacks.one_cycle.OneCycleScheduler`. The tests check the formula by hand; they have
    no recorded values of fastai v1.

    >>> len(FastaiV1OneCycle(0.5).plan(steps=100))
    100
    """

    kind = "fastai_v1_one_cycle"
    __slots__ = ()

    lr_max: float
    moms: tuple[float, float]
    div_factor: float
    pct_start: float
    final_div: float | None

    def __init__(
        self,
        lr_max: float,
        *,
        moms: tuple[float, float] = (0.95, 0.85),
        div_factor: float = 25.0,
        pct_start: float = 0.3,
        final_div: float | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr_max": lr_max,
                "moms": moms,
                "div_factor": div_factor,
                "pct_start": pct_start,
                "final_div": final_div,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiFlatCos(Policy):
    r"""`Learner.fit_flat_cos`: `lr` for the first `pct_start` of the run, then half a cosine wave to
    `lr / div_final`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `lr` | | rate of the plateau | at least 0 |
    | `div_final` | 1e5 | first / last rate | above 0 |
    | `pct_start` | 0.75 | fraction of the plateau | 0 to 1 |
    | `n_epoch` | 1 | epochs of the fit | divides the number of steps |

    Source: fastai 2.8.12, `fastai.callback.schedule.fit_flat_cos`.

    >>> len(FastaiFlatCos(0.4).plan(steps=100))
    100
    """

    kind = "fastai_flat_cos"
    __slots__ = ()

    lr: float
    div_final: float
    pct_start: float
    n_epoch: int | None

    def __init__(
        self,
        lr: float,
        *,
        div_final: float = 1e5,
        pct_start: float = 0.75,
        n_epoch: int | None = None,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "lr": lr,
                "div_final": div_final,
                "pct_start": pct_start,
                "n_epoch": n_epoch,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiSgdr(Policy):
    r"""`Learner.fit_sgdr`: half cosine waves from `lr_max` to 0, each `cycle_mult` times as long as the
    one before.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `n_cycles` | | number of cycles | at least 1 |
    | `cycle_len` | | epochs of the first cycle | at least 1 |
    | `lr_max` | | peak | at least 0 |
    | `cycle_mult` | 2 | factor on the length of each next cycle | at least 2 |

    The run has `cycle_len (cycle_mult^n_cycles - 1) / (cycle_mult - 1)` epochs. fastai divides by
    zero here if `cycle_mult` is 1; this preset returns an error
    (`CosineRestarts` supports equal cycles). **Where it misses:** because
    positions are float32, a restart can come one step late, with a rate of about 0. Source: fastai
    2.8.12, `fastai.callback.schedule.fit_sgdr`.

    >>> len(FastaiSgdr(2, 1, 0.4).plan(steps=99))
    99
    """

    kind = "fastai_sgdr"
    __slots__ = ()

    n_cycles: int
    cycle_len: int
    lr_max: float
    cycle_mult: int

    def __init__(
        self,
        n_cycles: int,
        cycle_len: int,
        lr_max: float,
        *,
        cycle_mult: int = 2,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "n_cycles": n_cycles,
                "cycle_len": cycle_len,
                "lr_max": lr_max,
                "cycle_mult": cycle_mult,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiCombinedCos(Policy):
    r"""`combined_cos`: half a cosine wave from `start` to `middle` over the first `pct` of the run,
    then another one to `end`.

    `lr(n)` is the value at position `n / T`, so the last step of a run does not reach `end`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `pct` | | fraction of the first half wave | 0 to 1 |
    | `start`, `middle`, `end` | | values | at least 0 |

    With `pct` 1, fastai returns NaN at position 1; here the value is `end`. Source: fastai 2.8.12,
    `fastai.callback.schedule.combined_cos`.

    >>> len(FastaiCombinedCos(0.25, 0.02, 0.5, 0.0).plan(steps=100))
    100
    """

    kind = "fastai_combined_cos"
    __slots__ = ()

    pct: float
    start: float
    middle: float
    end: float

    def __init__(
        self,
        pct: float,
        start: float,
        middle: float,
        end: float,
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "pct": pct,
                "start": start,
                "middle": middle,
                "end": end,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )


class FastaiCombineScheds(Policy):
    r"""`combine_scheds`: annealers one after the other, each for its fraction of the run.

    `lr(n)` is the value at position `n / T`.

    | argument | default | purpose | range |
    |---|---|---|---|
    | `pcts` | | fractions of the run | at least 0; their sum is 1 |
    | `scheds` | | one `Annealer` per fraction: `{ func = "SchedLin", args = { start = 0.1, end = 0.5 } }` | |

    fastai requires a sum of exactly 1.0 and so rejects ten times 0.1; here the sum may differ from
    1 by rounding. Source: fastai 2.8.12, `fastai.callback.schedule.combine_scheds`.

    >>> len(FastaiCombineScheds([1.0], [dict(func="SchedLin", args=dict(start=0.4, end=0.0))]).plan(steps=100))
    100
    """

    kind = "fastai_combine_scheds"
    __slots__ = ()

    pcts: Sequence_[float]
    scheds: Sequence_[Mapping[str, Any]]

    def __init__(
        self,
        pcts: Sequence_[float],
        scheds: Sequence_[Mapping[str, Any]],
        *,
        momentum: Curve | None = None,
        weight_decay: Curve | None = None,
        batch_size: BatchSize | None = None,
        at_end: AtEnd = "hold",
    ) -> None:
        self._set(
            {
                "pcts": pcts,
                "scheds": scheds,
            },
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            at_end=at_end,
        )
