"""What the tests share: the recorded values of the repository."""

import gzip
import json
import math
from pathlib import Path

import pytest

try:
    import torch

    # Tiny networks: threads would only wait for each other.
    torch.set_num_threads(1)
except ImportError:
    pass

GOLDENS = Path(__file__).parents[2] / "onecycle/tests/goldens"
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


@pytest.fixture(autouse=True)
def doctest_names(request):
    """Names in the examples of the documentation."""
    if "doctest_namespace" in request.fixturenames:
        import onecycle

        names = request.getfixturevalue("doctest_namespace")
        names["onecycle"] = onecycle
        names.update({name: getattr(onecycle, name) for name in onecycle.__all__})
        try:
            import torch
        except ImportError:
            return
        import onecycle.torch

        names["torch"] = torch
