"""Annealers and combined schedules of fastai, and the hyper-parameters of real fits.

`values[i]` is `func(**args)(pos[i])`. `lr[n]` and `momentum[n]` of a fit are what fastai's recorder
saw at batch n; `momentum` is null if the fit does not change it. `raises` holds configurations that
fastai refuses, with its message.

Annealers take float64 positions. Combined schedules work in float32:
`edges = cumsum(float32([0] + pcts))` and `p = float32(pos)`; the phase is the last i with
`p >= edges[i]`, but at most the last phase; `(p - edges[i]) / (edges[i + 1] - edges[i])`, still in
float32, is widened to float64 for the annealer. A fit asks for position `epoch / epochs` at the
first batch of an epoch, and adds `1 / (batches * epochs)` per batch.
"""

import torch
from fastai.callback import schedule
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD, Adam

from _goldens import read_cases, write_golden

POSITIONS = [n / 100 for n in range(101)]


def annealer(func, args):
    args = dict(args)
    if func == "combine_scheds":
        args["scheds"] = [annealer(inner["func"], inner["args"]) for inner in args["scheds"]]
    return getattr(schedule, func)(**args)


def fit(case):
    """Trains a linear model on constant data; only the schedule matters."""
    batches = case.get("batches_per_epoch", 1)
    data = DataLoader([(torch.zeros(1), torch.zeros(1))] * batches, bs=1)
    optimizer = {"SGD": SGD, "Adam": Adam}[case["optimizer"]]
    learner = Learner(DataLoaders(data, data), torch.nn.Linear(1, 1), torch.nn.MSELoss(), opt_func=optimizer)
    with learner.no_bar(), learner.no_logging():
        getattr(learner, case["method"])(**case["kwargs"])
    hyper = learner.recorder.hps
    return {"epochs": learner.n_epoch, "lr": hyper["lr"], "momentum": hyper.get("mom")}


def record(case):
    """Runs a case. Returns it with the recorded series, or with the message of the exception."""
    try:
        if "method" in case:
            return case | fit(case)
        function = annealer(case["func"], case["args"])
        return case | {"pos": POSITIONS, "values": [float(function(pos)) for pos in POSITIONS]}
    except Exception as error:
        return case | {"raises": f"{type(error).__name__}: {error}".removesuffix(": ")}


done = [record(case) for case in read_cases("schedules_fastai")]
kept = [case for case in done if "raises" not in case]
write_golden("onecycle", "schedules_fastai", ["fastai", "fastcore", "torch"], {
    "annealers": [case for case in kept if case.get("func", "").startswith("Sched")],
    "combined": [case for case in kept if case.get("func", "").startswith("combine")],
    "fits": [case for case in kept if "method" in case],
    "raises": [case for case in done if "raises" in case],
})
