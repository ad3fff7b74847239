"""Ten known failures of other tools. Each test shows their failure and our result for the same case."""

import math
import pickle
import warnings

import pytest
from conftest import golden, numbers

import onecycle

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn
from torch.optim import lr_scheduler

from onecycle.torch import Scheduler, Snapshot, range_test


def sgd(lr=0.1):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_1_one_step_past_the_end_crashes():
    theirs = lr_scheduler.OneCycleLR(sgd(), 0.8, total_steps=10)
    with pytest.raises(ValueError, match="Tried to step 1[0-2] times"):
        for _ in range(11):
            theirs.step()
    ours = Scheduler(sgd(), onecycle.OneCycle(0.8).plan(steps=10))
    for _ in range(11):
        ours.step()
    assert ours.get_last_lr() == [0.0008]


def test_2_the_rate_bounces_after_the_last_update():
    theirs = lr_scheduler.OneCycleLR(sgd(), 0.8, total_steps=10)
    rates = []
    for _ in range(10):
        rates.append(theirs.get_last_lr()[0])
        theirs.step()
    assert theirs.get_last_lr()[0] > 100 * rates[-1]
    ours = Scheduler(sgd(), onecycle.TorchOneCycle(0.8, total_steps=10).plan())
    for _ in range(10):
        ours.step()
    assert ours.get_last_lr()[0] == pytest.approx(rates[-1], rel=1e-12)


def test_3_the_rate_becomes_negative():
    options = {"total_steps": 10, "anneal_strategy": "linear"}
    theirs = lr_scheduler.OneCycleLR(sgd(), 0.8, **options)
    for _ in range(10):
        theirs.step()
    assert theirs.get_last_lr()[0] < 0.0
    assert onecycle.TorchOneCycle(0.8, **options).plan().at(10).lr > 0.0


def test_4_the_peak_is_missed():
    theirs = lr_scheduler.OneCycleLR(sgd(), 0.8, total_steps=15, anneal_strategy="linear")
    rates = []
    for _ in range(15):
        rates.append(theirs.get_last_lr()[0])
        theirs.step()
    assert max(rates) < 0.97 * 0.8
    assert max(onecycle.OneCycle(0.8).plan(steps=15).lr) == 0.8


def test_5_short_runs_divide_by_zero():
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(sgd(), 0.8, total_steps=4, pct_start=0.25)
    with pytest.raises(ValueError, match="`pct_start` = 0.25"):
        onecycle.TorchOneCycle(0.8, total_steps=4, pct_start=0.25).plan()
    for steps in range(1, 10):
        assert all(math.isfinite(lr) for lr in onecycle.OneCycle(0.8).plan(steps=steps).lr)


def test_6_a_resumed_run_has_another_rate():
    """A new scheduler overwrites the rate that the optimizer's checkpoint holds, and starts from step 0."""
    options = {"total_steps": 100}
    first = sgd()
    before = lr_scheduler.OneCycleLR(first, 0.8, **options)
    for _ in range(30):
        before.step()
    expected, checkpoint = before.get_last_lr()[0], first.state_dict()
    resumed = sgd()
    resumed.load_state_dict(checkpoint)
    lr_scheduler.OneCycleLR(resumed, 0.8, **options)
    assert resumed.param_groups[0]["lr"] < 0.1 * expected
    resumed = sgd()
    resumed.load_state_dict(checkpoint)
    Scheduler(resumed, onecycle.TorchOneCycle(0.8, **options).plan(), step=30)
    assert resumed.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-12)


def test_7_the_state_cannot_be_pickled_or_extended():
    """LambdaLR drops its function; OneCycleLR keeps its old length although the new run is longer."""
    theirs = lr_scheduler.LambdaLR(sgd(), lambda n: 0.5**n)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(theirs)
    assert theirs.state_dict()["lr_lambdas"] == [None]
    ours = Scheduler(sgd(), onecycle.TorchTrapezoid(0.1, 5, 5, 5).plan(steps=15))
    assert pickle.loads(pickle.dumps(ours)).plan == ours.plan
    longer = Scheduler(sgd(), onecycle.OneCycle(0.8).plan(steps=200), step=100)
    assert longer.get_last_lr() == [longer.plan[100].lr]


def test_8_a_group_that_is_added_later_is_lost():
    theirs_optimizer = sgd()
    theirs = lr_scheduler.OneCycleLR(theirs_optimizer, 0.8, total_steps=10)
    theirs_optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    try:
        theirs.step()
        lost = theirs_optimizer.param_groups[1]["lr"] == 5.0
    except (KeyError, ValueError):
        lost = True
    assert lost
    optimizer = sgd()
    ours = Scheduler(optimizer, onecycle.OneCycle(0.8).plan(steps=10))
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 5.0})
    ours.step()
    assert optimizer.param_groups[1]["lr"] == ours.plan[1].lr


def test_9_hopeless_curves_get_a_suggestion():
    case = next(
        case for case in golden("finder_curves")["curves"] if case["name"] == "synthetic_never_descending"
    )
    peers = case["peers"]
    assert (
        peers["torch_lr_finder"]["own"]["steepest"]["lr"] > 0.0
        and peers["fastai"]["lr_find"]["valley"]["lr"] > 0.0
    )
    suggestions = onecycle.LossCurve(numbers(case["lr"]), numbers(case["loss"])).suggest()
    assert suggestions["torch_lr_finder"].lr == pytest.approx(
        peers["torch_lr_finder"]["own"]["steepest"]["lr"]
    )
    assert (suggestions.one_cycle_max, suggestions.constant, suggestions.verdict) == (
        None,
        None,
        "no_descent",
    )


def finder():
    return pytest.importorskip("torch_lr_finder", reason="needs torch-lr-finder").LRFinder


def trained():
    """A network with batch norm and momentum in its optimizer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    inputs = torch.randn(64, 2)
    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=16, shuffle=True
    )
    for points, target in data:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(points), target).backward()
        optimizer.step()
    return model, optimizer, data


def test_10_a_finder_changes_the_training():
    """torch-lr-finder leaves random streams, gradients and training flags changed, even after `reset`."""
    model, optimizer, data = trained()
    model[1].eval()  # a frozen batch norm, as in fine-tuning
    before = Snapshot(model, optimizer, data).digest()
    range_test(model, optimizer, data, nn.functional.cross_entropy, sweep=onecycle.LrSweep(1e-4, 1.0, 20))
    assert Snapshot(model, optimizer, data).digest() == before

    LRFinder = finder()
    theirs = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
    theirs.range_test(data, start_lr=1e-4, end_lr=1.0, num_iter=20)
    theirs.reset()
    assert Snapshot(model, optimizer, data).digest() != before


def test_11_losses_below_zero_end_a_test_at_once():
    """`loss > 5 * best` holds for every loss above five times a negative best loss."""
    losses = [-1.0 - 0.01 * n for n in range(60)]
    assert losses[1] > 5 * min(losses[:2])  # torch-lr-finder's condition for divergence
    test = onecycle.RangeTest(onecycle.LrSweep(1e-4, 1.0, 60))
    assert all(test.record(loss) for _, loss in zip(iter(test.next_hyper, None), losses[:-1]))
    assert test.stop_reason is None and test.recorded == 59
