#!/usr/bin/env python3
"""Time of a scheduler step: onecycle.torch.Scheduler against PyTorch's OneCycleLR, with 1 and 50 groups.

    python benches/python_scheduler.py

Alternating repetitions of `timeit`; prints the minimum of each in microseconds. The goal is half of the time of
OneCycleLR.
"""

import timeit
import warnings

import torch
from torch.optim.lr_scheduler import OneCycleLR

import onecycle
from onecycle.torch import Scheduler

STEPS = 2000
REPETITIONS = 15


def optimizer(groups):
    parameters = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def main():
    warnings.simplefilter("ignore")
    length = 10 * STEPS * REPETITIONS
    plan = onecycle.OneCycle(0.8).plan(steps=length)
    index = timeit.repeat(lambda: plan.at(1234), number=100_000, repeat=5)
    arrays = timeit.repeat(lambda: onecycle.OneCycle(0.8).plan(steps=10_000).lr, number=20, repeat=5)
    print(
        f"torch {torch.__version__}; plan.at(step) {min(index) * 10:.2f} us; plan and 10 000 rates {min(arrays) / 20 * 1e3:.2f} ms"
    )
    for groups in (1, 50):
        theirs = OneCycleLR(optimizer(groups), 0.8, total_steps=length)
        ours = Scheduler(optimizer(groups), plan)
        times = {"OneCycleLR": [], "Scheduler": []}
        for _ in range(REPETITIONS):
            times["OneCycleLR"].append(timeit.timeit(theirs.step, number=STEPS))
            times["Scheduler"].append(timeit.timeit(ours.step, number=STEPS))
        best = {name: min(values) / STEPS * 1e6 for name, values in times.items()}
        ratio = best["Scheduler"] / best["OneCycleLR"]
        print(
            f"{groups:2} groups: OneCycleLR {best['OneCycleLR']:.2f} us, Scheduler {best['Scheduler']:.2f} us, ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
