"""Policies, plans, curves and the range test, without any framework."""

import copy
import inspect
import math
import pickle
import subprocess
import sys

import numpy
import pytest

import onecycle
from onecycle import _native, _policies

PLANS = {name: getattr(onecycle, name) for name in _policies.__all__}


def example(cls):
    """The policy of the example in a class's documentation, and its number of steps."""
    line = next(line.strip() for line in cls.__doc__.splitlines() if line.strip().startswith(">>> len("))
    policy, steps = line.removeprefix(">>> len(").removesuffix("))").rsplit(".plan(steps=", 1)
    return eval(policy, vars(onecycle)), int(steps)


def test_every_kind_has_a_class():
    assert sorted(cls.kind for cls in PLANS.values()) == sorted(_native.kinds())


@pytest.mark.parametrize("name", sorted(PLANS))
def test_plans_round_trip(name):
    policy, steps = example(PLANS[name])
    plan = policy.plan(steps=steps)
    assert len(plan) == plan.steps == steps == len(plan.lr) == len(list(plan))
    for other in (
        pickle.loads(pickle.dumps(plan)),
        onecycle.Plan.from_json(plan.to_json()),
        copy.deepcopy(plan),
    ):
        assert other == plan and hash(other) == hash(plan)
    for other in (
        pickle.loads(pickle.dumps(policy)),
        onecycle.Policy.from_json(policy.to_json()),
        plan.policy,
    ):
        assert other == policy and type(other) is type(policy)
    assert [hyper.lr for hyper in plan] == list(plan.lr) == [plan.at(n).lr for n in range(steps)]
    assert all(math.isfinite(lr) and lr >= 0.0 for lr in plan.lr)
    covered = [n for phase in plan.phases for n in range(phase.first_step, phase.last_step + 1)]
    assert covered == list(range(steps))
    assert "<svg" in plan._repr_html_()


@pytest.mark.parametrize("name", sorted(PLANS))
def test_defaults_are_the_crates(name):
    """A default in the signature is the one that the crate applies if the parameter is omitted."""
    policy, _ = example(PLANS[name])
    given = {"kind": policy.kind, **policy.parameters}
    compared = 0
    for parameter in inspect.signature(PLANS[name]).parameters.values():
        if parameter.default in (inspect.Parameter.empty, None) or parameter.name in (
            "at_end",
            "lr_final",
            "gamma",
        ):
            continue
        without = {key: value for key, value in given.items() if key != parameter.name}
        with_default = {
            **without,
            parameter.name: list(parameter.default)
            if isinstance(parameter.default, tuple)
            else parameter.default,
        }
        assert _native.Policy.build(without).preset() == _native.Policy.build(with_default).preset(), (
            parameter
        )
        compared += 1
    defaults = [
        p
        for p in inspect.signature(PLANS[name]).parameters.values()
        if p.default not in (inspect.Parameter.empty, None)
    ]
    assert compared >= len(defaults) - 3


def test_the_papers_example():
    policy = onecycle.OneCycle(0.8, annihilation="13ep", weight_decay=1e-4)
    plan = policy.plan(epochs=95, samples=50_000, batch_size=512)
    assert plan.steps == 9310 and plan.peak_step == 4018
    assert [(p.name, p.first_step, p.last_step) for p in plan.phases] == [
        ("up", 0, 4017),
        ("down", 4018, 8035),
        ("annihilation", 8036, 9309),
    ]
    assert (plan[0].lr, plan[4018].lr, plan[8036].lr, plan[-1].lr) == (0.08, 0.8, 0.08, 0.0008)
    assert (plan[4018].momentum, plan[4018].weight_decay) == (0.85, 1e-4)
    assert plan.epoch_at(98) == 1.0 and plan.step_at("2ep") == 196 and plan.step_at(0.5) == 4655
    assert policy.lr_max == 0.8 and policy.lr_min is None and policy.weight_decay == 1e-4


def test_arrays():
    plan = onecycle.OneCycle(0.8).plan(steps=100)
    assert plan.lr.dtype == numpy.float64 and not plan.lr.flags.writeable
    assert plan.weight_decay is None and plan.batch_size is None
    sized = onecycle.Constant(0.1, batch_size=[(0, 64), ("50%", 128)]).plan(steps=4)
    assert list(sized.batch_size) == [64.0, 64.0, 128.0, 128.0] and sized[3].batch_size == 128


def test_arrays_without_numpy():
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import onecycle\n"
        "lr = onecycle.OneCycle(0.8).plan(steps=10).lr\n"
        "print(type(lr).__name__, len(lr), lr[0])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "array 10 0.08\n"


def test_indexing():
    plan = onecycle.OneCycle(0.8).plan(steps=10)
    assert plan[-1] == plan.at(9) == plan.at(10**9)
    assert plan[2:8:3] == [plan[2], plan[5]] and plan[::-1][0] == plan[9] and plan[20:] == []
    for n in (10, -11):
        with pytest.raises(IndexError, match="10 steps"):
            plan[n]
    with pytest.raises(ValueError, match="`step` is -1"):
        plan.at(-1)
    assert plan.at(numpy.int64(3)) == plan[3]


def test_after_the_end():
    policy = onecycle.OneCycle(0.8, at_end="error")
    plan = policy.plan(steps=10)
    with pytest.raises(ValueError, match="step 10 is past the end of a plan of 10 steps"):
        plan.at(10)
    restart = onecycle.OneCycle(0.8, at_end="restart").plan(steps=10)
    assert restart.at(13) == restart[3] and restart.at_end == "restart"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: onecycle.OneCycle(-1), "`lr_max` is -1: expected"),
        (lambda: onecycle.OneCycle(math.nan), "`lr_max` is NaN"),
        (lambda: onecycle.OneCycle(0.1, lr_min="a"), "`lr_min`: invalid type"),
        (lambda: onecycle.OneCycle(0.1, annihilation="ten"), "`annihilation`: `ten` is not a span"),
        (lambda: onecycle.OneCycle(0.1, shape="cubic"), "`shape`: unknown variant `cubic`, expected"),
        (lambda: onecycle.OneCycle(0.1, lr_min=0.2), "above"),
        (lambda: onecycle.OneCycle(0.1, weight_decay=-1.0), "`weight_decay` is -1"),
        (lambda: onecycle.OneCycle(0.1, at_end="bounce"), "unknown variant `bounce`"),
        (lambda: onecycle.OneCycle(0.1).plan(), "`steps` is missing"),
        (lambda: onecycle.OneCycle(0.1).plan(steps=0), "the run has 0 steps"),
        (lambda: onecycle.OneCycle(0.1).plan(steps=10.5), "`steps` is 10.5"),
        (lambda: onecycle.OneCycle(0.1).plan(steps=10, epochs=1), "mutually exclusive"),
        (lambda: onecycle.OneCycle(0.1, annihilation="1ep").plan(steps=10), "cannot be converted to steps"),
        (lambda: onecycle.OneCycle(0.1).plan(epochs=3), "cannot be converted to steps"),
        (lambda: onecycle.TorchOneCycle(0.1), "`total_steps` is missing"),
        (lambda: onecycle.TorchOneCycle(0.1, total_steps=10).plan(steps=5), "10 steps long"),
        (lambda: onecycle.TorchStep(30).plan(steps=5), "`lr` is missing"),
        (lambda: onecycle.TorchCyclic(0.1, 0.5, scale_fn=len), "`scale_fn`"),
        (lambda: onecycle.Warmup("1ep", onecycle.Constant(0.1, weight_decay=1e-4)), "sets weight_decay"),
        (lambda: onecycle.LossCurve([1.0, 0.5], [1.0, 1.0]), "learning rate 0.5 follows 1"),
        (lambda: onecycle.LossCurve([1.0], []), "`loss` has 0 entries"),
        (lambda: onecycle.LossCurve([1.0], [1.0]).suggest("accuracy"), "unknown variant `accuracy`"),
        (lambda: onecycle.LossCurve([1.0], [1.0]).apply("best"), "there is no rule `best`"),
        (lambda: onecycle.LrSweep(0.0, 1.0, 10), "`start`"),
        (lambda: onecycle.CycleSearch(0.1, 2.3, 1), "`most` is 1: expected at least 3"),
        (lambda: onecycle.Plan.from_json("{}"), "missing field"),
        (lambda: onecycle.OneCycle(0.1).plan(steps=5).plot().save("plan.jpg"), "cannot write plan.jpg"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert message in str(error.value)


def test_numbers_of_numpy():
    policy = onecycle.OneCycle(numpy.float32(0.5), weight_decay=numpy.float64(1e-4))
    assert policy == onecycle.OneCycle(0.5, weight_decay=1e-4)
    assert policy.plan(steps=numpy.int64(10)).steps == 10


def test_curves():
    ramp = {"curve": "ramp", "from": 0.0, "to": 0.4}
    plan = onecycle.Custom(ramp, momentum=0.9, weight_decay=[(0, 1e-4), ("50%", 5e-4)]).plan(steps=5)
    assert [hyper.lr for hyper in plan] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert [plan[0].weight_decay, plan[4].weight_decay, plan[0].momentum] == [1e-4, 5e-4, 0.9]
    assert type(plan.policy) is onecycle.Custom and pickle.loads(pickle.dumps(plan.policy)) == plan.policy
    assert onecycle.Custom(0.1).plan(steps=2)[1].lr == 0.1


def parabola(lr):
    """Gradient descent on x²/2 with noise diverges above lr = 2."""
    state = {"x": 10.0, "noise": 0.1}

    def update(hyper):
        loss = state["x"] ** 2 / 2
        state["noise"] = -state["noise"]
        state["x"] -= hyper.lr * (state["x"] + state["noise"])
        return loss

    return update


def test_range_test():
    test = onecycle.RangeTest(onecycle.LrSweep(1e-4, 10.0, 200), momentum=0.9)
    curve = test.run(parabola(0.1))
    assert test.stop_reason == "diverged" and len(curve) < 200 and curve.conditions["momentum"] == 0.9
    suggestions = curve.suggest()
    assert suggestions.verdict == "ok" and 1.0 < suggestions.one_cycle_max < 6.0
    assert (
        suggestions["one_cycle_max"].lr == suggestions.one_cycle_max == suggestions.rules["one_cycle_max"].lr
    )
    assert list(suggestions) == onecycle.rules.names() and len(suggestions) == 9
    assert "one_cycle_max" in repr(suggestions) and "<table>" in suggestions._repr_html_()
    assert pickle.loads(pickle.dumps(curve)) == curve and "<svg" in curve._repr_html_()
    assert curve.plot().csv().startswith("series")


def test_pulled_range_test():
    test = onecycle.RangeTest(onecycle.LrSweep(1e-4, 10.0, 30), accumulation=2, warm_up=3, early_stop=False)
    assert test.total_updates == 33
    updates = 0
    while (hyper := test.next_hyper()) is not None:
        assert hyper.lr >= 1e-4
        test.record(1.0)
        with pytest.raises(ValueError, match="1 of 2 losses"):
            test.next_hyper()
        test.record(3.0)
        test.record_validation(loss=0.5, accuracy=0.25)
        updates += 1
    assert updates == 33 and test.stop_reason == "finished" and set(test.curve.loss) == {2.0}
    assert test.curve.validation[0] == (1, 0.5, 0.25) and len(test.curve.validation) == 30
    assert list(test.curve.suggest("validation_accuracy"))


def test_seeds():
    curves = [onecycle.RangeTest(onecycle.LrSweep(1e-4, 10.0, n)).run(parabola(0.1)) for n in (150, 200, 250)]
    together = onecycle.over_seeds(curves)
    low, high = together.range
    assert (
        together.verdict == "ok"
        and low <= together.lr <= high
        and together.seeds == together.suggestions == 3
    )


def test_cycle_search():
    search = onecycle.CycleSearch(0.7, 2.3, 6)
    while (lr_max := search.next_lr_max) is not None:
        search.record(0.5 + 0.1 * math.log(lr_max / 0.3) ** 2)
    assert [lr for lr, _, _ in search.tried] == pytest.approx([0.8, 0.4, 0.2, 0.1])
    assert abs(math.log(search.suggestion.lr / 0.3)) < 0.1 and search.suggestion.verdict == "ok"


def test_losses_that_are_no_numbers():
    curve = onecycle.LossCurve([0.1, 0.2, 0.3], [1.0, math.nan, -math.inf])
    assert math.isnan(curve.loss[1]) and curve.loss[2] == -math.inf
    again = onecycle.LossCurve.from_json(curve.to_json())
    assert list(again.loss)[2] == -math.inf and '"nan"' in curve.to_json()
