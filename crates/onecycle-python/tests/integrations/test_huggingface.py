"""Hugging Face's Trainer and Accelerate."""

import pytest
import torch

transformers = pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

import onecycle
from onecycle import huggingface
from onecycle.torch import Scheduler, Snapshot


def model():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    return transformers.BertForSequenceClassification(config)


class Words(torch.utils.data.Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, index):
        words = torch.arange(index, index + 6) % 20
        return {"input_ids": words, "labels": torch.tensor(index % 2)}


class Watch(transformers.TrainerCallback):
    def __init__(self):
        self.seen = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))


def trainer(path, watch, **options):
    args = transformers.TrainingArguments(
        str(path),
        per_device_train_batch_size=8,
        num_train_epochs=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    return transformers.Trainer(model(), args, train_dataset=Words(), callbacks=[watch])


def test_every_update_and_a_resumed_run(tmp_path):
    watch = Watch()
    whole = trainer(tmp_path / "a", watch, save_strategy="steps", save_steps=6)
    policy = onecycle.OneCycle(1e-3, weight_decay=0.01)
    huggingface.use_policy(whole, policy)
    whole.train()
    plan = policy.plan(steps=12)
    assert watch.seen == [(hyper.lr, hyper.momentum) for hyper in plan]
    again = Watch()
    resumed = trainer(tmp_path / "b", again, save_strategy="no")
    huggingface.use_policy(resumed, policy)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a/checkpoint-6"))
    assert again.seen == [(hyper.lr, hyper.momentum) for hyper in plan[6:]]


def test_groups_without_decay_keep_none(tmp_path):
    one = trainer(tmp_path, Watch(), save_strategy="no", weight_decay=0.1)
    huggingface.use_policy(one, onecycle.OneCycle(1e-3, weight_decay=0.01))
    one.train()
    assert sorted(group["weight_decay"] for group in one.lr_scheduler.optimizer.param_groups) == [0.0, 0.01]


def test_the_range_test_changes_nothing(tmp_path):
    one = trainer(tmp_path, Watch(), save_strategy="no")
    before = Snapshot(one.model).digest()
    found = huggingface.range_test(one, sweep=onecycle.LrSweep(1e-5, 1.0, 30))
    assert len(found.curve) >= 20 and Snapshot(one.model).digest() == before and one.optimizer is None


def test_accelerate():
    accelerator = accelerate.Accelerator(cpu=True)
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = Scheduler(optimizer, onecycle.OneCycle(0.4).plan(steps=10))
    net, optimizer, prepared = accelerator.prepare(net, optimizer, scheduler)
    for hyper in scheduler.plan:
        assert optimizer.param_groups[0]["lr"] == hyper.lr
        accelerator.backward(net(torch.randn(4, 2)).mean())
        optimizer.step()
        prepared.step()
        optimizer.zero_grad()
    state = prepared.state_dict()
    assert state["step"] == 10
