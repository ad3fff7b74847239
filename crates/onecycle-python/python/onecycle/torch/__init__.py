"""Schedules, range tests and training for PyTorch 1.13 and later.

| name | purpose |
|---|---|
| `Scheduler` | an `LRScheduler` that follows a plan |
| `range_test` | a range test of a model, an optimizer and a loader; leaves everything unchanged |
| `RangeTest` | the same for any loop |
| `find_peak` | the search for the peak by short cycles |
| `fit_one_cycle` | trains a model with one cycle, in one line |
| `evaluate` | mean loss and accuracy over a loader |
| `Snapshot` | the state of a training, to restore and to compare |
"""

from ._data import evaluate
from ._find import PeakSearch, find_peak
from ._fit import FitResult, fit_one_cycle
from ._range_test import RangeTest, RangeTestResult, range_test
from ._scheduler import Scheduler
from ._state import CannotRestore, RestoreError, Snapshot

__all__ = [
    "CannotRestore",
    "FitResult",
    "PeakSearch",
    "RangeTest",
    "RangeTestResult",
    "RestoreError",
    "Scheduler",
    "Snapshot",
    "evaluate",
    "find_peak",
    "fit_one_cycle",
    "range_test",
]
