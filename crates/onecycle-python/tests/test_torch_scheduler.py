"""`Scheduler`: values, state, groups, and PyTorch's own schedulers in the same process."""

import copy
import io
import math
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn
from torch.optim import lr_scheduler

import onecycle
from onecycle.torch import Scheduler


def sgd(groups=1, **options):
    parameters = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    return torch.optim.SGD(parameters, **{"lr": 0.1, "momentum": 0.9} | options)


# PyTorch's scheduler and the policy that reproduces it.
PAIRS = {
    "one cycle": (
        lambda o: lr_scheduler.OneCycleLR(o, 0.8, total_steps=97),
        lambda: onecycle.TorchOneCycle(0.8, total_steps=97),
    ),
    "one cycle, linear, three phases": (
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.8, total_steps=97, three_phase=True, anneal_strategy="linear", pct_start=0.41
        ),
        lambda: onecycle.TorchOneCycle(
            0.8, total_steps=97, three_phase=True, anneal_strategy="linear", pct_start=0.41
        ),
    ),
    "cyclic": (
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.3, step_size_up=7, step_size_down=12, mode="triangular2"),
        lambda: onecycle.TorchCyclic(0.01, 0.3, step_size_up=7, step_size_down=12, mode="triangular2"),
    ),
    "cyclic, exp_range": (
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.3, step_size_up=9, mode="exp_range", gamma=0.99),
        lambda: onecycle.TorchCyclic(0.01, 0.3, step_size_up=9, mode="exp_range", gamma=0.99),
    ),
    "multi step": (
        lambda o: lr_scheduler.MultiStepLR(o, [20, 50, 50]),
        lambda: onecycle.TorchMultiStep([20, 50, 50], lr=0.1),
    ),
    "step": (
        lambda o: lr_scheduler.StepLR(o, 13, gamma=0.7),
        lambda: onecycle.TorchStep(13, gamma=0.7, lr=0.1),
    ),
    "exponential": (
        lambda o: lr_scheduler.ExponentialLR(o, 0.97),
        lambda: onecycle.TorchExponential(0.97, lr=0.1),
    ),
    "cosine": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, 40, eta_min=1e-4),
        lambda: onecycle.TorchCosineAnnealing(40, eta_min=1e-4, lr=0.1),
    ),
    "warm restarts": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 11, T_mult=2),
        lambda: onecycle.TorchCosineAnnealingWarmRestarts(11, T_mult=2, lr=0.1),
    ),
    "linear": (
        lambda o: lr_scheduler.LinearLR(o, 0.2, total_iters=30),
        lambda: onecycle.TorchLinear(start_factor=0.2, total_iters=30, lr=0.1),
    ),
    "polynomial": (
        lambda o: lr_scheduler.PolynomialLR(o, 90, power=2.0),
        lambda: onecycle.TorchPolynomial(total_iters=90, power=2.0, lr=0.1),
    ),
    "constant": (
        lambda o: lr_scheduler.ConstantLR(o, 0.25, total_iters=9),
        lambda: onecycle.TorchConstant(factor=0.25, total_iters=9, lr=0.1),
    ),
    "sequential": (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=10), lr_scheduler.CosineAnnealingLR(o, 87)], [10]
        ),
        lambda: onecycle.TorchSequential(
            0.1,
            [onecycle.TorchLinear(start_factor=0.1, total_iters=10), onecycle.TorchCosineAnnealing(87)],
            [10],
        ),
    ),
    "lambda": (
        lambda o: lr_scheduler.LambdaLR(
            o, lambda n: n / 10 if n < 10 else 1.0 if n < 60 else max(0.0, 1 - (n - 60) / 30)
        ),
        lambda: onecycle.TorchTrapezoid(0.1, 10, 50, 30),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_pytorchs_own_schedules(name, kind):
    def optimizer():
        parameters = [nn.Parameter(torch.zeros(1))]
        if kind == "SGD":
            return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        return torch.optim.AdamW(parameters, lr=0.1)

    if name == "polynomial" and not hasattr(lr_scheduler, "PolynomialLR"):
        pytest.skip("this PyTorch has no PolynomialLR")
    theirs, policy = PAIRS[name]
    one, other = optimizer(), optimizer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reference = theirs(one)
        except ValueError as error:
            # Before 2.4, PyTorch's CyclicLR rejects Adam.
            assert "cyclic" in name and kind == "AdamW" and "must support momentum" in str(error)
            pytest.skip("this PyTorch cannot cycle Adam's beta")
        scheduler = Scheduler(other, policy().plan(steps=97))
        peak = 0.0
        for step in range(97):
            mine, their = other.param_groups[0], one.param_groups[0]
            peak = max(peak, abs(their["lr"]))
            assert abs(mine["lr"] - their["lr"]) <= 1e-12 * peak, step
            if scheduler.plan.momentum is not None:
                key = "momentum" if kind == "SGD" else "betas"
                first = lambda value: value[0] if kind == "AdamW" else value
                assert abs(first(mine[key]) - first(their[key])) <= 1e-12, step
            for o in (one, other):
                o.step()
            if step < 96:
                reference.step()
                scheduler.step()


def test_the_usual_loop_does_not_warn():
    optimizer = sgd()
    scheduler = Scheduler(optimizer, onecycle.OneCycle(0.8).plan(steps=10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(10):
            assert optimizer.param_groups[0]["lr"] == scheduler.plan[step].lr == scheduler.get_last_lr()[0]
            optimizer.step()
            scheduler.step()
        assert scheduler.get_last_lr() == [0.0008]
    with pytest.warns(UserWarning, match="step 11 is past the end of a plan of 10 steps"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()  # only once
    assert scheduler.get_last_lr() == [0.0008] and optimizer.param_groups[0]["momentum"] == 0.95


def test_at_the_end():
    error = Scheduler(sgd(), onecycle.OneCycle(0.8, at_end="error").plan(steps=2))
    error.step()
    error.step()
    with pytest.raises(ValueError, match="step 3 is past the end"):
        error.step()
    restart = Scheduler(sgd(), onecycle.OneCycle(0.8, at_end="restart").plan(steps=10))
    for _ in range(13):
        restart.step()
    assert restart.get_last_lr() == [restart.plan[3].lr]


def test_state_is_the_plan_and_one_integer():
    plan = onecycle.OneCycle(0.8, weight_decay=1e-3).plan(steps=100)
    optimizer = sgd()
    scheduler = Scheduler(optimizer, plan)
    for _ in range(37):
        scheduler.step()
    state = scheduler.state_dict()
    assert state == {"plan": plan.to_json(), "step": 37}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    other_optimizer = sgd()
    other = Scheduler(other_optimizer, plan)
    other.load_state_dict(torch.load(buffer))
    assert other.get_last_lr() == [plan[37].lr]
    group = other_optimizer.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (plan[37].momentum, 1e-3)
    again = pickle.loads(pickle.dumps(copy.deepcopy(scheduler)))
    again.step()
    assert again.get_last_lr() == [plan[38].lr]


def test_a_state_with_another_plan_warns_and_wins():
    old = Scheduler(sgd(), onecycle.OneCycle(0.8).plan(steps=100), step=20)
    new = Scheduler(sgd(), onecycle.OneCycle(0.5).plan(steps=200))
    with pytest.warns(UserWarning, match="replaces"):
        new.load_state_dict(old.state_dict())
    assert new.get_last_lr() == old.get_last_lr() and new.plan == old.plan
    with pytest.raises(ValueError, match="no plan and no step"):
        new.load_state_dict({"last_epoch": 3, "base_lrs": [0.1]})


def test_constructed_in_the_middle():
    plan = onecycle.OneCycle(0.8).plan(steps=100)
    optimizer = sgd()
    Scheduler(optimizer, plan, step=45)
    assert optimizer.param_groups[0]["lr"] == 0.8 and optimizer.param_groups[0]["momentum"] == 0.85


def test_groups():
    optimizer = torch.optim.AdamW(
        [
            {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.04},
            {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.0},
            {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.02},
        ],
        lr=1e-3,
        betas=(0.9, 0.98),
    )
    plan = onecycle.OneCycle(0.8, weight_decay=[(0, 0.1), ("50%", 0.2)]).plan(steps=100)
    scheduler = Scheduler(optimizer, plan, lr_scales=[1.0, 0.5, 0.0])
    for _ in range(60):
        scheduler.step()
    groups = optimizer.param_groups
    assert [group["lr"] for group in groups] == [plan[60].lr, plan[60].lr * 0.5, 0.0]
    assert [group["weight_decay"] for group in groups] == [0.2, 0.0, 0.1]
    assert all(group["betas"] == (plan[60].momentum, 0.98) for group in groups)
    # A checkpoint of the optimizer keeps which groups have no decay.
    state = optimizer.state_dict()
    fresh = torch.optim.AdamW([{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(3)], lr=1e-3)
    fresh.load_state_dict(state)
    Scheduler(fresh, plan, lr_scales=[1.0, 0.5, 0.0], step=10)
    assert [group["weight_decay"] for group in fresh.param_groups] == [0.1, 0.0, 0.05]


def test_groups_added_later():
    plan = onecycle.OneCycle(0.8).plan(steps=100)
    optimizer = sgd()
    scheduler = Scheduler(optimizer, plan)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    scheduler.step()
    assert scheduler.get_last_lr() == [plan[1].lr] * 2 and len(scheduler.base_lrs) == 2

    scaled = Scheduler(optimizer, plan, lr_scales=[1.0, 0.1])
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(ValueError, match="3 groups, but `lr_scales` has 2"):
        scaled.step()
    scaled.lr_scales = [1.0, 0.1, 0.01]
    assert scaled.get_last_lr() == [
        scale * scaled.plan.at(scaled.last_epoch).lr for scale in (1.0, 0.1, 0.01)
    ]


def test_groups_with_different_rates_need_scales():
    parameters = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.01)]
    plan = onecycle.OneCycle(0.8).plan(steps=100)
    with pytest.raises(ValueError, match="different learning rates"):
        Scheduler(torch.optim.SGD(parameters, lr=0.1), plan)
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    Scheduler(optimizer, plan, lr_scales="from_optimizer", step=45)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.8, 0.08])


def test_tensor_rates_are_changed_in_place():
    rate = torch.tensor(0.1)
    try:
        optimizer = torch.optim.AdamW(
            [nn.Parameter(torch.zeros(1))], lr=rate, capturable=False, foreach=False
        )
    except (TypeError, ValueError):
        pytest.skip("this PyTorch has no tensor rates")
    held = optimizer.param_groups[0]["lr"]
    scheduler = Scheduler(optimizer, onecycle.OneCycle(0.8).plan(steps=100), step=44)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is held and float(held) == pytest.approx(0.8)
    assert scheduler.get_last_lr() == [pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Scheduler(
                torch.optim.Adagrad([nn.Parameter(torch.zeros(1))]), onecycle.OneCycle(0.1).plan(steps=9)
            ),
            "neither `momentum` nor `betas`",
        ),
        (
            lambda: Scheduler(
                torch.optim.Rprop([nn.Parameter(torch.zeros(1))]),
                onecycle.Constant(0.1, weight_decay=0.1).plan(steps=9),
            ),
            "Rprop has none",
        ),
        (
            lambda: Scheduler(sgd(2), onecycle.OneCycle(0.1).plan(steps=9), lr_scales=[1.0]),
            "`lr_scales` has 1 entries: expected 2",
        ),
        (
            lambda: Scheduler(sgd(), onecycle.OneCycle(0.1).plan(steps=9), lr_scales=[math.nan]),
            "`lr_scales` has nan",
        ),
        (lambda: Scheduler(sgd(), onecycle.OneCycle(0.1).plan(steps=9), step=-1), "`step` is -1"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(TypeError, match="expected a Plan"):
        Scheduler(sgd(), onecycle.OneCycle(0.1))


def test_it_is_an_lr_scheduler():
    base = getattr(lr_scheduler, "LRScheduler", None) or lr_scheduler._LRScheduler
    scheduler = Scheduler(sgd(), onecycle.OneCycle(0.8).plan(steps=10))
    assert (
        isinstance(scheduler, base) and scheduler.last_epoch == 0 and scheduler._last_lr == scheduler.get_lr()
    )


def test_skipped_updates_of_a_scaler_do_not_warn():
    if not hasattr(torch, "amp") or not hasattr(torch.amp, "GradScaler"):
        pytest.skip("this PyTorch has no GradScaler for the CPU")
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    scheduler = Scheduler(optimizer, onecycle.OneCycle(0.8).plan(steps=10))
    scaler = torch.amp.GradScaler("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(4):
            optimizer.zero_grad()
            scaler.scale((parameter * (math.inf if step == 0 else 1.0)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
    assert scheduler.get_last_lr() == [scheduler.plan[4].lr]
