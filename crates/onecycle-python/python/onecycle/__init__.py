"""The 1cycle policy, learning-rate schedules and the learning-rate range test.

A policy states learning rate, momentum and weight decay over a run; a plan is a policy resolved for a run,
a pure function of the step:

>>> import onecycle
>>> plan = onecycle.OneCycle(lr_max=0.8, weight_decay=1e-4).plan(steps=1000)
>>> plan.at(450)
Hyper(lr 0.8, momentum 0.85, weight decay 0.0001)
>>> len(plan), plan.peak_step, plan[-1].lr
(1000, 450, 0.0008)

| subject | names |
|---|---|
| policies of the literature | `OneCycle`, `Clr`, `Cosine`, `Warmup`, `WarmupStableDecay`, `Sequence`, ... |
| schedules of other libraries, to the last bit | `TorchOneCycle`, `TorchCyclic`, `OptaxCosineOnecycle`, `FastaiOneCycle`, ... |
| any curve | `Custom` |
| range test | `LossCurve`, `RangeTest`, `LrSweep`, `over_seeds`, `CycleSearch` |
| PyTorch | `onecycle.torch`: `Scheduler`, `RangeTest`, `range_test`, `find_peak`, `fit_one_cycle` |
| other libraries | `onecycle.lightning`, `onecycle.huggingface`, `onecycle.fastai`, `onecycle.timm`, `onecycle.keras`, `onecycle.optax` |

Every error is a ValueError that names the value and the remedy.
"""

from . import _policies, rules
from ._native import (
    CycleSearch,
    Figure,
    Hyper,
    LossCurve,
    LrSweep,
    OverSeeds,
    Phase,
    Plan,
    RangeTest,
    Suggestion,
    Suggestions,
    draw,
    over_seeds,
)
from ._policies import *  # noqa: F403
from ._policy import Custom, Policy
from ._version import __version__

__all__ = [
    "Custom",
    "CycleSearch",
    "Figure",
    "Hyper",
    "LossCurve",
    "LrSweep",
    "OverSeeds",
    "Phase",
    "Plan",
    "Policy",
    "RangeTest",
    "Suggestion",
    "Suggestions",
    "__version__",
    "draw",
    "over_seeds",
    "rules",
]
__all__ += _policies.__all__
