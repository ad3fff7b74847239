"""fastai's Learner."""

import pytest
import torch
from torch import nn

pytest.importorskip("fastai")
import fastai.callback.progress  # no_bar
import fastai.callback.schedule  # fit_one_cycle
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD, Adam

import onecycle
from onecycle import fastai as integration
from onecycle.torch import Snapshot


class Watch(Callback):
    order = 70

    def before_fit(self):
        self.seen = []

    def before_step(self):
        self.seen.append(tuple(self.opt.hypers[0].get(name) for name in ("lr", "mom", "wd")))


def learner(optimizer=SGD):
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    points = [(one, (one.sum() > 0).long()) for one in inputs]
    loaders = DataLoaders(
        DataLoader(points, bs=8, shuffle=True, num_workers=0), DataLoader(points, bs=64, num_workers=0)
    )
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    return Learner(loaders, net, loss_func=nn.CrossEntropyLoss(), opt_func=optimizer, cbs=[Watch()])


@pytest.mark.parametrize("optimizer", [lambda params, **kwargs: SGD(params, mom=0.9, **kwargs), Adam])
def test_every_update(optimizer):
    learn = learner(optimizer)
    with learn.no_bar(), learn.no_logging():
        plan = integration.fit(learn, 2, onecycle.OneCycle(0.1, weight_decay=0.01))
    assert plan.steps == 16
    assert learn.watch.seen == [(hyper.lr, hyper.momentum, 0.01) for hyper in plan]


def test_the_same_rates_as_fit_one_cycle():
    theirs, ours = learner(Adam), learner(Adam)
    with theirs.no_bar(), theirs.no_logging(), ours.no_bar(), ours.no_logging():
        theirs.fit_one_cycle(2, 0.1)
        integration.fit(ours, 2, onecycle.FastaiOneCycle(0.1, n_epoch=2))
    for (lr, momentum, _), (their_lr, their_momentum, _) in zip(ours.watch.seen, theirs.watch.seen):
        assert abs(lr - float(their_lr)) <= 1e-12 and abs(momentum - float(their_momentum)) <= 1e-12


def test_the_range_test_changes_nothing():
    learn = learner(Adam)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    before = Snapshot(learn.model, others=[learn.opt.state, *learn.opt.hypers]).digest()
    found = integration.range_test(learn, onecycle.LrSweep(1e-4, 10.0, 50))
    assert len(found.curve) >= 20
    assert Snapshot(learn.model, others=[learn.opt.state, *learn.opt.hypers]).digest() == before
