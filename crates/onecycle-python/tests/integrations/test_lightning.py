"""Lightning callbacks, in a real Trainer."""

import pytest
import torch
from torch import nn

lightning = pytest.importorskip("lightning.pytorch")

import onecycle
from onecycle.lightning import LrRangeTest, OneCycle
from onecycle.torch import Snapshot


class Module(lightning.LightningModule):
    def __init__(self, scheduler=False):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2)
        )
        self.seen, self.losses, self.scheduler = [], [], scheduler

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def on_before_optimizer_step(self, optimizer):
        group = optimizer.param_groups[0]
        self.seen.append((group["lr"], group["momentum"]))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)] if self.scheduler else []


def data():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(128, 4, generator=generator)
    points = torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long())
    return torch.utils.data.DataLoader(points, batch_size=16, shuffle=True, generator=generator)


def trainer(path, callbacks, **options):
    return lightning.Trainer(
        default_root_dir=path,
        callbacks=callbacks,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 2, "enable_checkpointing": False} | options,
    )


def test_every_update_has_the_plans_values(tmp_path):
    module, callback = Module(), OneCycle(onecycle.OneCycle(0.4))
    trainer(tmp_path, [callback]).fit(module, data())
    assert callback.plan.steps == 16
    assert module.seen == [(hyper.lr, hyper.momentum) for hyper in callback.plan]


def test_accumulation(tmp_path):
    module, callback = Module(), OneCycle(onecycle.OneCycle(0.4))
    trainer(tmp_path, [callback], accumulate_grad_batches=2).fit(module, data())
    assert callback.plan.steps == 8 and module.seen == [(hyper.lr, hyper.momentum) for hyper in callback.plan]


def test_resumed(tmp_path):
    callback = OneCycle(onecycle.OneCycle(0.4))
    saving = lightning.callbacks.ModelCheckpoint(tmp_path, every_n_epochs=1, save_top_k=-1)
    trainer(tmp_path, [callback, saving], enable_checkpointing=True).fit(Module(), data())
    resumed = Module()
    checkpoint = str(next(tmp_path.glob("epoch=0*.ckpt")))
    again = OneCycle(onecycle.OneCycle(0.4))
    trainer(tmp_path, [again]).fit(resumed, data(), ckpt_path=checkpoint)
    assert resumed.seen == [(hyper.lr, hyper.momentum) for hyper in callback.plan[8:]]


def test_a_scheduler_too_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="configure_optimizers"):
        trainer(tmp_path, [OneCycle(onecycle.OneCycle(0.4))]).fit(Module(scheduler=True), data())


def test_the_range_test_changes_nothing(tmp_path):
    plain = Module()
    torch.manual_seed(3)
    trainer(tmp_path, [OneCycle(onecycle.OneCycle(0.4))]).fit(plain, data())
    tested, find = Module(), LrRangeTest(onecycle.LrSweep(1e-4, 10.0, 60))
    torch.manual_seed(3)
    trainer(tmp_path, [find, OneCycle(onecycle.OneCycle(0.4))]).fit(tested, data())
    assert len(find.result.curve) > 20
    assert Snapshot(plain.net).digest() != Snapshot(Module().net).digest()
    for one, other in zip(plain.net.state_dict().values(), tested.net.state_dict().values()):
        assert torch.equal(one, other)


def test_the_peak_from_a_range_test(tmp_path):
    find = LrRangeTest(onecycle.LrSweep(1e-4, 100.0, 150))
    callback = OneCycle(lambda lr_max: onecycle.OneCycle(lr_max), find=find)
    module = Module()
    try:
        trainer(tmp_path, [callback]).fit(module, data())
    except ValueError as error:
        assert find.result.suggestion.verdict in str(error)
    else:
        assert module.seen[7][0] == find.lr_max
