"""What the tests share: the recorded values of the repository."""

import gzip
import json
import math
import os
from pathlib import Path

try:
    import torch

    # Tiny networks: threads would only wait for each other.
    torch.set_num_threads(1)
except ImportError:
    pass

# The scripts run a copy of the tests outside of the repository.
REPOSITORY = Path(os.environ.get("ONECYCLE_REPOSITORY", Path(__file__).parents[3]))
GOLDENS = REPOSITORY / "crates/onecycle/tests/goldens"
# For cos and pow, whose last bits depend on the C library, and for closed forms of recursions.
ROUNDING = 1e-12


def golden(name):
    with gzip.open(GOLDENS / f"{name}.json.gz", "rt") as file:
        return json.load(file)


def numbers(values):
    """Recorded numbers. Strict JSON has no NaN and no infinity: they are strings."""
    return [float(value) for value in values]


def assert_series(name, ours, theirs, tolerance):
    """Compares two series; `tolerance` is a share of the largest recorded magnitude."""
    ours, theirs = list(ours), numbers(theirs)
    assert len(ours) == len(theirs), name
    largest = max((abs(value) for value in theirs if math.isfinite(value)), default=0.0)
    for index, (mine, other) in enumerate(zip(ours, theirs)):
        same = mine == other or (math.isnan(mine) and math.isnan(other))
        assert same or abs(mine - other) <= tolerance * largest, f"{name}[{index}]: {mine!r} for {other!r}"
