"""Learning rates that fastai, torch-lr-finder, Ignite and Lightning suggest for range-test curves.

The curves themselves are data, and this script takes them from the file that it writes: `real_*`
were recorded from trainings of small networks on MNIST and Fashion-MNIST (`setup` says which),
`synthetic_*` were made up; `truth` is what is known about some of those. `lr[i]` was used for update
i, `loss[i]` is the raw loss before it, and no test stopped early.

All suggestions are computed in float64 by the peer's own code. `index` counts from 0 in the whole
curve; a peer that suggests nothing gives null or `raises`. A suggestion is `fragile` if a relative
change of the losses by 1e-12 changes it (ties, flat curves).

- fastai: `smoothed` is its loss meter. `lr_find` is the part that `lr_find()` looks at: smoothed, up
  to its own stop, without the first tenth of all points and the last 5. `all_smoothed` and `all_raw`
  are whole curves. Each view is `[from, to)`. The `lr` of `minimum` is a tenth of that at `index`.
- torch-lr-finder, Ignite: `all_raw` on the raw losses, `own` on their own smoothing up to their own
  stop, by replaying the losses through their range tests.
- Lightning: on the raw and on fastai's smoothed losses.

`sweeps`: the learning rates that each peer's own range test reports. Ignite's optimizer trains with
each of them one update later than reported (the first one twice).
"""

import contextlib
import io
import logging
import random
import warnings
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch
from fastai.callback import schedule as fastai
from fastai.learner import AvgSmoothLoss
from ignite.engine import Engine
from ignite.handlers import FastaiLRFinder
from pytorch_lightning.tuner.lr_finder import _LRFinder
from torch_lr_finder import LRFinder

from _goldens import read_golden, write_golden

torch.set_default_dtype(torch.float64)
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


def suggestion(lrs, suggest, scale=1):
    """What `suggest()` returns, as learning rate and index; or the exception's message."""
    try:
        lr = suggest()
    except Exception as error:
        return {"raises": f"{type(error).__name__}: {error}"}
    if lr is None:
        return None
    return {"lr": lr, "index": min(range(len(lrs)), key=lambda i: abs(lrs[i] - lr * scale))}


def fastai_smoothed(losses):
    meter = AvgSmoothLoss()
    meter.reset()
    meter.val = meter.val.double()
    smoothed = []
    for loss in losses:
        meter.accumulate(SimpleNamespace(loss=torch.tensor(loss)))
        smoothed.append(meter.value.item())
    return smoothed


def fastai_length(smoothed):
    """The number of points after which LRFinder stops: at the first one above 4 times the best."""
    best = float("inf")
    for i, loss in enumerate(smoothed):
        best = loss if loss < best else best
        if loss > 4 * best:
            return i + 1
    return len(smoothed)


def fastai_view(source, lrs, losses, begin, end):
    part, values = torch.tensor(lrs[begin:end]), torch.tensor(losses[begin:end])
    run = lambda function, losses, scale=1: suggestion(lrs, lambda: function(part, losses, len(lrs))[0], scale)
    return {
        "source": source, "from": begin, "to": end,
        "valley": run(fastai.valley, values.tolist()),  # compares only, and is much faster on a list
        "slide": run(fastai.slide, values),
        "minimum": run(fastai.minimum, values, scale=10),
        "steep": run(fastai.steep, values),
    }


def fastai_views(lrs, losses):
    smoothed = fastai_smoothed(losses)
    begin = len(lrs) // 10
    end = max(begin, fastai_length(smoothed) - 5)
    nan = [i for i in range(begin, end) if smoothed[i] != smoothed[i]]
    return {
        "smoothed": smoothed,
        "lr_find": fastai_view("smoothed", lrs, smoothed, begin, nan[0] if nan else end),
        "all_smoothed": fastai_view("smoothed", lrs, smoothed, 0, len(lrs)),
        "all_raw": fastai_view("raw", lrs, losses, 0, len(lrs)),
    }


def torch_lr_finder(losses, start_lr=1e-3, end_lr=1.0, mode="exp"):
    """Replays losses through the range test. Returns the learning rates and losses that it reports."""
    parameter, rest = torch.nn.Linear(1, 1), iter(losses)
    finder = LRFinder(parameter, torch.optim.SGD(parameter.parameters(), start_lr), None)
    finder._train_batch = lambda *_, **__: next(rest)
    loader = torch.utils.data.DataLoader([0])
    finder.range_test(loader, start_lr=start_lr, end_lr=end_lr, num_iter=len(losses), step_mode=mode)
    return finder.history


def ignite(losses, start_lr=1e-3, end_lr=1.0, mode="exp"):
    """As `torch_lr_finder`."""
    finder, optimizer = FastaiLRFinder(), torch.optim.SGD([torch.zeros(1, requires_grad=True)], start_lr)
    engine = Engine(lambda engine, _: losses[engine.state.iteration - 1])
    test = {"num_iter": len(losses), "start_lr": start_lr, "end_lr": end_lr, "step_mode": mode}
    with finder.attach(engine, {"optimizer": optimizer}, **test) as trainer:
        trainer.run([0] * len(losses))
    return finder.get_results()


def own_test(run, key, suggest, lrs, losses):
    """A peer's own range test on the curve, with the suggestion under `key`."""
    try:
        smoothed = run(losses)["loss"]
    except Exception as error:
        return {"raises": f"{type(error).__name__}: {error}"}
    return {"smoothed": smoothed, key: suggestion(lrs, lambda: suggest(lrs[: len(smoothed)], smoothed))}


def torch_lr_finder_suggestion(lrs, losses):
    finder = LRFinder.__new__(LRFinder)
    finder.history = {"lr": lrs, "loss": losses}
    return finder.plot(ax=MagicMock())[1]


def ignite_suggestion(lrs, losses):
    finder = FastaiLRFinder()
    finder._history = {"lr": lrs, "loss": losses}
    return finder.lr_suggestion()


def lightning_suggestion(lrs, losses):
    finder = _LRFinder("exponential", lrs[0], lrs[-1], len(lrs))
    finder.results = {"lr": lrs, "loss": losses}
    return finder.suggestion()


def peers(lrs, losses):
    def raw_and_own(run, key, suggest):
        raw = suggestion(lrs, lambda: suggest(lrs, losses))
        return {"all_raw": {key: raw}, "own": own_test(run, key, suggest, lrs, losses)}

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        by_fastai = fastai_views(lrs, losses)
        lightning = {"all_raw": losses, "all_smoothed": by_fastai["smoothed"]}
        return {
            "fastai": by_fastai,
            "torch_lr_finder": raw_and_own(torch_lr_finder, "steepest", torch_lr_finder_suggestion),
            "ignite": raw_and_own(ignite, "lr_suggestion", ignite_suggestion),
            "lightning": {view: {"suggestion": suggestion(lrs, lambda: lightning_suggestion(lrs, values))}
                          for view, values in lightning.items()},
        }


def mark_fragile(answer, others):
    """Marks each suggestion in `answer`, depending on whether the perturbed `others` agree."""
    for key, value in answer.items():
        if isinstance(value, dict):
            parts = [other.get(key) or {} for other in others]
            if "index" in value:
                value["fragile"] = any(part.get("index") != value["index"] for part in parts)
            mark_fragile(value, parts)


def record(curve):
    lrs = curve["lr"]
    losses = [float(loss) for loss in curve["loss"]]
    draw = random.Random(curve["name"])
    perturbed = [[loss * (1 + draw.gauss(0, 1e-12)) for loss in losses] for _ in range(10)]
    answer = peers(lrs, losses)
    mark_fragile(answer, [peers(lrs, other) for other in perturbed])
    if curve["name"] == "synthetic_corner":
        # Noise reorders its flat start. Without noise the answer depends on fastai's smoothing, which
        # we compute with the same bits, and on comparisons alone: it can be checked.
        answer["fastai"]["lr_find"]["valley"]["fragile"] = False
    return curve | {"loss": losses, "peers": answer}


def sweep(case):
    start, end, steps = case["start_lr"], case["end_lr"], case["num_it"]
    if case["peer"] == "fastai":
        annealer = fastai.SchedExp(start, end)
        return case | {"lr": [annealer(k / steps) for k in range(steps)]}
    run = {"torch_lr_finder": torch_lr_finder, "ignite": ignite}[case["peer"]]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return case | {"lr": run([1.0] * steps, start, end, case["mode"])["lr"]}


stored = read_golden("onecycle", "finder_curves")
packages = ["fastai", "torch-lr-finder", "pytorch-ignite", "pytorch-lightning", "torch", "numpy"]
write_golden("onecycle", "finder_curves", packages, {
    "curves": [record(curve) for curve in stored["curves"]],
    "sweeps": [sweep(case) for case in stored["sweeps"]],
})
