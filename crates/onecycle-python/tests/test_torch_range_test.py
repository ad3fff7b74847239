"""The range test leaves everything unchanged: states, streams, losses of the training around it."""

import math
import os
import random
import signal
import subprocess
import sys
import threading

import numpy
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch_networks import Noisy, loader, network, optimizer_of, seed_all

import onecycle
from onecycle.torch import CannotRestore, RangeTest, RestoreError, Snapshot, range_test

SHORT = onecycle.LrSweep(1e-4, 1.0, 25)
cross_entropy = nn.functional.cross_entropy


def train(kind, workers, steps, test_at=None, **options):
    """The losses of a training, with a range test before step `test_at`, and the final digest."""
    seed_all()
    model, data = network(), loader(workers)
    optimizer = optimizer_of(kind, model)
    losses = []
    while len(losses) < steps:
        for inputs, target in data:
            if len(losses) == test_at:
                found = range_test(model, optimizer, data, cross_entropy, sweep=SHORT, **options)
                assert len(found.curve) > 10
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses, Snapshot(model, optimizer).digest()


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize("workers", [0, 2])
def test_training_of_200_steps_is_bit_identical(kind, workers):
    undisturbed = train(kind, workers, 200)
    assert train(kind, workers, 200, test_at=73) == undisturbed
    assert train(kind, workers, 20, test_at=5)[0] == undisturbed[0][:20]
    assert len(set(undisturbed[0])) > 150


def test_before_the_first_step():
    assert train("AdamW", 0, 20, test_at=0, weight_decays=[0.0, 0.1]) == train("AdamW", 0, 20)


@pytest.mark.parametrize(
    "disturbance", ["weight", "buffer", "gradient", "state", "flag", "torch", "numpy", "python"]
)
def test_the_hash_sees_every_change(disturbance):
    seed_all()
    model = network()
    optimizer = optimizer_of("SGD", model)
    inputs, target = next(iter(loader()))
    cross_entropy(model(inputs), target).backward()
    optimizer.step()
    snapshot = Snapshot(model, optimizer)
    with torch.no_grad():
        {
            "weight": lambda: model[0].weight.view(-1)[0].add_(1e-7),
            "buffer": lambda: model[1].running_mean[0].add_(1e-7),
            "gradient": lambda: model[0].weight.grad.view(-1)[0].mul_(1.001),
            "state": lambda: optimizer.state[model[0].weight]["momentum_buffer"].view(-1)[0].mul_(1.001),
            "flag": lambda: model[3].eval(),
            "torch": lambda: torch.rand(1),
            "numpy": numpy.random.rand,
            "python": random.random,
        }[disturbance]()
    assert snapshot.digest() != snapshot.before
    snapshot.restore()
    assert snapshot.digest() == snapshot.before


class Interrupting:
    """A loss that raises at its tenth call."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == 10:
            raise self.error
        return cross_entropy(output, target)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_restored_after_an_exception(error):
    seed_all()
    model, data = network(), loader()
    optimizer = optimizer_of("AdamW", model)
    before = Snapshot(model, optimizer, data).digest()
    with pytest.raises(type(error)):
        range_test(model, optimizer, data, Interrupting(error), sweep=SHORT)
    assert Snapshot(model, optimizer, data).digest() == before


def test_restored_after_ctrl_c():
    # A shell starts programs in the background with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seed_all()
    model, data = network(), loader()
    optimizer = optimizer_of("SGD", model)
    before = Snapshot(model, optimizer, data).digest()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        endless = onecycle.LrSweep(1e-6, 1e-5, 10**6)
        range_test(model, optimizer, data, cross_entropy, sweep=endless, early_stop=False)
    assert Snapshot(model, optimizer, data).digest() == before


def test_identity_is_kept():
    """References that a training loop holds stay valid."""
    model, data = network(), loader()
    optimizer = optimizer_of("SGD", model)
    inputs, target = next(iter(data))
    cross_entropy(model(inputs), target).backward()
    optimizer.step()
    weight, state, group = model[0].weight, optimizer.state, optimizer.param_groups[0]
    gradient, buffer = weight.grad, state[weight]["momentum_buffer"]
    range_test(model, optimizer, data, cross_entropy, sweep=SHORT)
    assert model[0].weight is weight and weight.grad is gradient and optimizer.param_groups[0] is group
    assert optimizer.state is state and state[weight]["momentum_buffer"] is buffer


class Counting(nn.Module):
    """A module with a plain counter, a replaced buffer and a frozen parameter."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("average", torch.zeros(2), persistent=False)
        self.calls, self.history, self.loose = 0, [], torch.zeros(2)

    def forward(self, inputs):
        self.calls += 1
        self.history.append(self.calls)
        self.average = 0.9 * self.average + 0.1 * inputs.mean(0).detach()
        self.loose.add_(1.0)
        self.new = "new"
        return self.inner(inputs) + self.frozen


def test_attributes_and_replaced_buffers():
    model = Counting()
    buffer = model.average
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(8, 2)
    range_test(model, optimizer, [(inputs, torch.zeros(8, dtype=torch.long))], cross_entropy, sweep=SHORT)
    assert (model.calls, model.history, hasattr(model, "new")) == (0, [], False)
    assert model.average is buffer and float(model.average.sum() + model.loose.sum()) == 0.0
    assert not model.frozen.requires_grad


def test_what_cannot_be_restored_is_named():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def check(data, *words):
        with pytest.raises(CannotRestore) as error:
            range_test(model, optimizer, data, cross_entropy, sweep=SHORT)
        assert all(word in str(error.value) for word in words), error.value

    points = TensorDataset(torch.randn(8, 2), torch.zeros(8, dtype=torch.long))
    check(DataLoader(points, num_workers=1, persistent_workers=True), "persistent_workers=False")
    check(iter([]), "list_iterator", "only once")
    check((batch for batch in []), "generator", "only once")

    class Stream(IterableDataset):
        def __init__(self):
            self.lines = open(__file__)

        def __iter__(self):
            return iter(self.lines)

    stream = Stream()
    check(DataLoader(stream), "`lines`", "Stream", "__iter__")
    stream.lines.close()


def test_counters_and_generators_of_the_data():
    model = network()
    optimizer = optimizer_of("SGD", model)
    generator = torch.Generator().manual_seed(3)
    data = loader(generator=generator)
    data.dataset.stream = numpy.random.default_rng(5)
    order = lambda: (
        torch.randperm(5, generator=generator).tolist() + [data.dataset.stream.random(), data.dataset.seen]
    )
    state, stream = generator.get_state(), data.dataset.stream.bit_generator.state
    expected = order()
    generator.set_state(state)
    data.dataset.stream.bit_generator.state = stream
    range_test(model, optimizer, data, cross_entropy, sweep=SHORT)
    assert order() == expected


def test_a_wrong_restore_is_an_error():
    model = nn.Linear(2, 2)
    with pytest.raises(RestoreError, match="weight|_parameters"):
        with Snapshot(model) as snapshot:
            snapshot._modules[0][2].children[:] = []  # forgets the parameters
            with torch.no_grad():
                model.weight.add_(1.0)
            snapshot._modules.clear()


def test_overlays_seeds_and_validation():
    seed_all()
    model, data = network(), loader()
    optimizer = optimizer_of("SGD", model)
    before = Snapshot(model, optimizer, data).digest()
    found = range_test(
        model,
        optimizer,
        data,
        cross_entropy,
        sweep=SHORT,
        weight_decays=[0.0, 0.1],
        seeds=3,
        valid=loader(),
        validate_every=10,
    )
    assert list(found.curves) == ["weight decay 0", "weight decay 0.1"]
    first, second = found.curves.values()
    assert [curve.conditions["seed"] for curve in first] == [0, 1, 2]
    assert second[0].conditions["weight_decay"] == 0.1 and first[0].loss[3] != first[1].loss[3]
    assert first[0].validation[0][0] == 10 and 0.0 <= first[0].validation[0][2] <= 1.0
    assert list(first[0].loss[:1]) == list(second[0].loss[:1])
    assert found.suggest()["weight decay 0"].seeds == 3 and "3 seeds" in found.plot().svg()
    assert Snapshot(model, optimizer, data).digest() == before
    sizes = range_test(model, optimizer, data, cross_entropy, sweep=SHORT, batch_sizes=[8, 32])
    assert [curves[0].conditions["batch_size"] for curves in sizes.curves.values()] == [8, 32]
    momenta = range_test(model, optimizer, data, cross_entropy, sweep=SHORT, momenta=[0.8, 0.95])
    assert momenta.curves["momentum 0.8"][0].conditions["momentum"] == 0.8
    assert "svg" in momenta._repr_html_() and optimizer.param_groups[0]["momentum"] == 0.9
    with pytest.raises(ValueError, match="one of"):
        range_test(model, optimizer, data, cross_entropy, momenta=[0.9], batch_sizes=[8])


def test_a_plan_gives_the_conditions():
    plan = onecycle.OneCycle(0.1, weight_decay=5e-4).plan(steps=100)
    model = network()
    found = range_test(model, optimizer_of("SGD", model), loader(), cross_entropy, sweep=SHORT, plan=plan)
    assert (found.curve.conditions["momentum"], found.curve.conditions["weight_decay"]) == (0.85, 5e-4)


def test_a_loop_with_two_optimizers():
    """A generator and a critic, trained in turn, with accumulation."""
    torch.manual_seed(0)
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizers = [
        torch.optim.Adam(generator.parameters(), lr=1e-3),
        torch.optim.RMSprop(critic.parameters(), lr=1e-3),
    ]
    real = torch.randn(64, 2)
    before = Snapshot([generator, critic], optimizers).digest()
    rates = []
    with RangeTest(
        [generator, critic], optimizers, sweep=SHORT, accumulation=2, lr_scales=[1.0, 4.0]
    ) as test:
        for hyper in test:
            for _ in range(2):
                fake = generator(torch.randn(64, 2))
                critic_loss = critic(fake.detach()).mean() - critic(real).mean() + critic.weight.pow(2).sum()
                optimizers[1].zero_grad()
                critic_loss.backward()
                optimizers[1].step()
                optimizers[0].zero_grad()
                (-critic(generator(torch.randn(64, 2))).mean()).backward()
                optimizers[0].step()
                test.record(critic_loss)
            rates.append([one.param_groups[0]["lr"] for one in optimizers])
    assert rates[3] == [SHORT.lr[3], 4.0 * SHORT.lr[3]] and len(test.curve) == len(rates)
    assert Snapshot([generator, critic], optimizers).digest() == before


def test_closures():
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    inputs = torch.randn(32, 2)
    target = inputs.sum(1, keepdim=True)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(inputs), target)
        loss.backward()
        return loss

    optimizer.step(closure)  # so that there is a history to restore
    before = Snapshot(model, optimizer).digest()
    with RangeTest(model, optimizer, sweep=onecycle.LrSweep(1e-3, 1.0, 15)) as test:
        for _ in test:
            test.record(optimizer.step(closure))
    assert len(test.curve) == 15 and Snapshot(model, optimizer).digest() == before


def test_mixed_precision_with_a_scaler():
    if not hasattr(torch, "amp") or not hasattr(torch.amp, "GradScaler"):
        pytest.skip("this PyTorch has no GradScaler for the CPU")
    seed_all()
    model, data = network(), loader()
    optimizer = optimizer_of("SGD", model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=5)
    before = Snapshot(model, optimizer, data, scaler).digest()
    found = range_test(
        model,
        optimizer,
        data,
        cross_entropy,
        sweep=SHORT,
        scaler=scaler,
        autocast=lambda: torch.autocast("cpu", torch.bfloat16),
    )
    assert len(found.curve) == 25 and scaler.get_scale() == 2.0**10
    assert Snapshot(model, optimizer, data, scaler).digest() == before


DISTRIBUTED = """
import os, sys, torch
from torch import nn
import onecycle
from onecycle.torch import RangeTest, Snapshot
rank = int(sys.argv[1])
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(rank)
before = Snapshot(model, optimizer).digest()
with RangeTest(model, optimizer, sweep=onecycle.LrSweep(1e-3, 30.0, 60)) as test:
    for _ in test:
        inputs = torch.randn(16, 2)
        loss = nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True))
        test.record(loss)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
assert Snapshot(model, optimizer).digest() == before
print(len(test.curve), test.stop_reason, list(test.curve.loss))
"""


def test_two_processes_stop_together(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    command = [sys.executable, "-c", DISTRIBUTED]
    started = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    outputs = [one.communicate(timeout=120)[0] for one in started]
    assert [one.returncode for one in started] == [0, 0]
    assert outputs[0] == outputs[1] and outputs[0].split()[1] == "diverged"


def test_batches_that_are_no_pairs():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [{"x": torch.randn(8, 2)}]
    with pytest.raises(ValueError, match="batch_loss"):
        range_test(model, optimizer, data, cross_entropy, sweep=SHORT)
    found = range_test(
        model, optimizer, data, batch_loss=lambda model, batch: model(batch["x"]).pow(2).mean(), sweep=SHORT
    )
    assert math.isfinite(found.curve.loss[0])
    with pytest.raises(ValueError, match="no batches"):
        range_test(model, optimizer, [], cross_entropy, sweep=SHORT)


def test_it_must_be_entered():
    model = nn.Linear(2, 1)
    test = RangeTest(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="with RangeTest"):
        next(iter(test))


def test_the_dataset_class_is_used():
    assert len(Noisy()) == 256
