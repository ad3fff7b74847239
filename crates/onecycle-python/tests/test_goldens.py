"""Every recorded value of PyTorch, optax, fastai and the LR finders, through Python."""

import re

import pytest
from conftest import ROUNDING, assert_series, golden, numbers

import onecycle
from onecycle import _native, rules

TORCH = {
    "OneCycleLR": onecycle.TorchOneCycle,
    "CyclicLR": onecycle.TorchCyclic,
    "MultiStepLR": onecycle.TorchMultiStep,
    "StepLR": onecycle.TorchStep,
    "ExponentialLR": onecycle.TorchExponential,
    "CosineAnnealingLR": onecycle.TorchCosineAnnealing,
    "CosineAnnealingWarmRestarts": onecycle.TorchCosineAnnealingWarmRestarts,
    "LinearLR": onecycle.TorchLinear,
    "PolynomialLR": onecycle.TorchPolynomial,
    "ConstantLR": onecycle.TorchConstant,
    "SequentialLR": onecycle.TorchSequential,
    "LambdaLR": onecycle.TorchTrapezoid,
}
# Defined to the last bit by IEEE arithmetic.
EXACT = {"MultiStepLR", "StepLR", "ExponentialLR", "LinearLR", "ConstantLR"}


def torch_policy(case):
    name, lr = case["class"], case["optimizer_kwargs"]["lr"]
    kwargs = dict(case["kwargs"]["lr_lambda"] if name == "LambdaLR" else case["kwargs"])
    assert kwargs.pop("last_epoch", -1) == -1 and kwargs.pop("kind", "trapezoid") == "trapezoid"
    if name == "SequentialLR":
        kwargs["schedulers"] = [
            TORCH[one["class"]](**{key: value for key, value in one["kwargs"].items() if key != "last_epoch"})
            for one in kwargs["schedulers"]
        ]
    if name not in ("OneCycleLR", "CyclicLR"):
        kwargs["lr"] = lr
    return TORCH[name](**kwargs)


SCHEDULES_TORCH = golden("schedules_torch")


@pytest.mark.parametrize("case", SCHEDULES_TORCH["cases"], ids=lambda case: case["name"])
def test_torch(case):
    plan = torch_policy(case).plan(steps=case["steps"])
    assert_series(case["name"], plan.lr, case["lr"], 0.0 if case["class"] in EXACT else ROUNDING)
    assert (plan.momentum is None) == (case["momentum"] is None)
    if plan.momentum is not None:
        assert_series(case["name"], plan.momentum, case["momentum"], ROUNDING)


def test_torch_refuses():
    raises = {case["name"].removeprefix("onecycle_bad_"): case for case in SCHEDULES_TORCH["raises"]}
    assert len(raises) == 14
    accepted = {"beyond_the_end", "integer_pct_start", "no_momentum_to_cycle"}
    for name, case in raises.items():
        if name in accepted:
            torch_policy(case)
        else:
            with pytest.raises(ValueError, match="`|invalid type"):
                torch_policy(case)


def optax_policy(func, kwargs):
    name = func.removesuffix("_schedule")
    kwargs = dict(kwargs)
    if func == "join_schedules":
        kwargs["schedules"] = [optax_policy(one["func"], one["kwargs"]) for one in kwargs["schedules"]]
        name = "join"
    name = "Optax" + "".join(part.title() for part in name.split("_"))
    return getattr(onecycle, name)(**kwargs)


SCHEDULES_OPTAX = golden("schedules_optax")


@pytest.mark.parametrize("case", SCHEDULES_OPTAX["cases"], ids=lambda case: case["name"])
def test_optax(case):
    plan = optax_policy(case["func"], case["kwargs"]).plan(steps=case["steps"])
    exact = case["func"] in ("linear_onecycle_schedule", "linear_schedule")
    assert_series(case["name"], plan.lr, case["values"], 0.0 if exact else ROUNDING)
    assert plan.momentum is None


def test_optax_refuses():
    assert len(SCHEDULES_OPTAX["raises"]) == 5
    for case in SCHEDULES_OPTAX["raises"]:
        with pytest.raises(ValueError):
            optax_policy(case["func"], case["kwargs"])


FASTAI = golden("schedules_fastai")


def test_fastai_annealers():
    assert len(FASTAI["annealers"]) == 13
    for case in FASTAI["annealers"]:
        annealer = {"func": case["func"], "args": case["args"]}
        ours = [_native.fastai_annealer(annealer, position) for position in numbers(case["pos"])]
        assert_series(case["name"], ours, case["values"], ROUNDING)


def test_fastai_combined():
    assert len(FASTAI["combined"]) == 11
    for case in FASTAI["combined"]:
        preset = {"kind": f"fastai_{case['func']}", **case["args"]}
        ours = [_native.fastai_position(preset, position) for position in numbers(case["pos"])]
        theirs = numbers(case["values"])
        if case["name"] == "combined_cos_odd_pct_1":
            # The last phase has no length. fastai returns NaN there, we return its end value.
            assert theirs.pop() != theirs[-1] and ours.pop() == 0.0
        assert_series(case["name"], ours, theirs, ROUNDING)


@pytest.mark.parametrize("case", FASTAI["fits"], ids=lambda case: case["name"])
def test_fastai_fits(case):
    policies = {
        "fit_one_cycle": onecycle.FastaiOneCycle,
        "fit_flat_cos": onecycle.FastaiFlatCos,
        "fit_sgdr": onecycle.FastaiSgdr,
    }
    plan = policies[case["method"]](**case["kwargs"]).plan(steps=case["epochs"] * case["batches_per_epoch"])
    assert_series(case["name"], plan.lr, case["lr"], ROUNDING)
    assert (plan.momentum is None) == (case["momentum"] is None)
    if plan.momentum is not None:
        assert_series(case["name"], plan.momentum, case["momentum"], ROUNDING)


FINDER = golden("finder_curves")


def curve_of(case):
    return numbers(case["lr"]), numbers(case["loss"])


@pytest.mark.parametrize("case", FINDER["curves"], ids=lambda case: case["name"])
def test_running_means(case):
    _, loss = curve_of(case)
    theirs = case["peers"]["fastai"]["smoothed"]
    assert_series("fastai", rules.running_mean("fastai", loss)[: len(theirs)], theirs, 0.0)
    for tool in ("torch_lr_finder", "ignite"):
        own = case["peers"][tool]["own"]
        if "raises" in own:
            assert (tool, case["name"]) == ("torch_lr_finder", "synthetic_one_point")
        else:
            theirs = own["smoothed"]
            assert_series(tool, rules.running_mean(tool, loss)[: len(theirs)], theirs, ROUNDING)


def test_formulas():
    compared = 0
    for case in FINDER["curves"]:
        lr, raw = curve_of(case)
        mean = list(rules.running_mean("fastai", raw))
        peers = case["peers"]

        def check(rule, rates, losses, start, theirs):
            theirs = theirs or {}
            if theirs.get("fragile"):
                return 0
            ours = rules.steepest(rule, rates, losses)
            index = None if ours is None else ours + start
            assert index == theirs.get("index"), (case["name"], rule)
            return 1

        for view in ("lr_find", "all_smoothed", "all_raw"):
            recorded = peers["fastai"][view]
            losses = raw if recorded["source"] == "raw" else mean
            part = slice(recorded["from"], recorded["to"])
            for rule in ("valley", "slide", "minimum", "steep"):
                compared += check(rule, lr[part], losses[part], part.start, recorded[rule])
        compared += check("torch_lr_finder", lr, raw, 0, peers["torch_lr_finder"]["all_raw"]["steepest"])
        compared += check("ignite", lr, raw, 0, peers["ignite"]["all_raw"]["lr_suggestion"])
        for view, losses in (("all_raw", raw), ("all_smoothed", mean)):
            compared += check("lightning", lr, losses, 0, peers["lightning"][view]["suggestion"])
    assert compared >= 600


def test_suggestions_of_other_tools():
    compared = 0
    for case in FINDER["curves"]:
        lr, raw = curve_of(case)
        suggestions = onecycle.LossCurve(lr, raw).suggest()
        find = case["peers"]["fastai"]["lr_find"]
        theirs = {rule: find[rule] for rule in ("valley", "slide", "minimum", "steep")}
        theirs["torch_lr_finder"] = case["peers"]["torch_lr_finder"]["own"].get("steepest")
        theirs["ignite"] = case["peers"]["ignite"]["own"].get("lr_suggestion")
        for rule, recorded in theirs.items():
            recorded = recorded or {}
            if recorded.get("fragile"):
                continue
            ours = suggestions[rule].lr
            if recorded.get("index") is None:
                assert ours is None, (case["name"], rule)
            elif "lr" in recorded:
                assert_series(f"{case['name']}: {rule}", [ours], [recorded["lr"]], ROUNDING)
            compared += 1
    assert compared >= 230


def test_sweeps():
    assert len(FINDER["sweeps"]) == 10
    for case in FINDER["sweeps"]:
        spacing = "exponential" if case["mode"] == "exp" else "linear"
        sweep = onecycle.LrSweep(
            float(case["start_lr"]), float(case["end_lr"]), case["num_it"], spacing=spacing, tool=case["peer"]
        )
        assert_series(case["peer"], sweep.lr, case["lr"], ROUNDING)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("synthetic_flat", "no_descent"),
        ("synthetic_flat_then_cliff", "no_descent"),
        ("synthetic_never_descending", "no_descent"),
        ("synthetic_never_descending_noisy", "no_descent"),
        ("real_starts_too_high", "no_descent"),
        ("real_stops_too_early", "never_diverged"),
        ("synthetic_never_diverging", "never_diverged"),
        ("synthetic_five_points", "too_short"),
    ],
)
def test_verdicts(name, verdict):
    case = next(case for case in FINDER["curves"] if case["name"] == name)
    suggestions = onecycle.LossCurve(*curve_of(case)).suggest()
    assert (suggestions.one_cycle_max, suggestions.verdict) == (None, verdict)
    assert re.search(r"\w", suggestions.advice)
