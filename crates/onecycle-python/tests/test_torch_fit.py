"""`find_peak` and `fit_one_cycle`: the search, the run folder, and exact resume."""

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch import nn
from torch_networks import Noisy, loader, network, optimizer_of, seed_all

import onecycle
from onecycle.torch import Snapshot, find_peak, fit_one_cycle


def loaders():
    return loader(generator=torch.Generator().manual_seed(4)), torch.utils.data.DataLoader(
        Noisy(64), batch_size=64
    )


def test_find_peak_restores_and_finds():
    seed_all()
    train, valid = loaders()
    before = Snapshot(loaders=[train, valid]).digest()
    seen = []
    search = find_peak(
        network,
        lambda model: optimizer_of("SGD", model),
        train,
        valid,
        nn.functional.cross_entropy,
        steps=60,
        cycle_steps=25,
        most=4,
        on_cycle=lambda peak, loss: seen.append((peak, loss)),
    )
    assert search.verdict == "ok" and 1e-3 < search.lr_max < 10.0
    assert len(search.tried) == len(seen) >= 3 and search.updates > 75
    assert Snapshot(loaders=[train, valid]).digest() == before
    assert "<svg" in search.plot().svg()


def test_find_peak_says_if_nothing_learns():
    data = [(torch.randn(8, 2), torch.randint(2, (8,))) for _ in range(4)]

    class Dead(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs) * 0.0

    search = find_peak(
        lambda: Dead(2, 2),
        lambda model: optimizer_of("SGD", model),
        data,
        data,
        nn.functional.cross_entropy,
        steps=20,
        cycle_steps=3,
        start=0.1,
        most=3,
    )
    assert (search.lr_max, search.verdict) == (None, "no_descent")


def fit(folder, epochs=3, stop_after=None, **options):
    seed_all()
    model = network()
    train, valid = loaders()
    lines = []

    def progress(line):
        lines.append(line)
        if stop_after is not None and line.startswith(f"epoch {stop_after}/"):
            raise KeyboardInterrupt

    result = fit_one_cycle(model, train, valid, epochs, lr_max=0.03, out=folder, progress=progress, **options)
    return result, lines


def test_a_resumed_run_has_the_same_bits(tmp_path):
    whole, lines = fit(tmp_path / "whole")
    assert len(lines) == 3 and "accuracy" in lines[0]
    for stop in (1, 2):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            fit(folder, stop_after=stop)
        with open(folder / "steps.jsonl", "a") as file:
            file.write('{"step": "half written')
        resumed, lines = fit(folder)
        assert lines[0] == f"continues after epoch {stop} of 3"
        for name in ("steps.jsonl", "plan.json"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        for one, other in zip(resumed.model.state_dict().values(), whole.model.state_dict().values()):
            assert torch.equal(one, other)
        rows = [[{**row, "seconds": 0, "images_per_second": 0} for row in result.epochs] for result in (resumed, whole)]
        assert rows[0] == rows[1]


def test_the_folder(tmp_path):
    result, _ = fit(tmp_path / "run")
    folder = tmp_path / "run"
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps] == list(range(48)) and steps[-1]["epoch"] == 2
    assert [row["lr"] for row in steps] == list(result.plan.lr)
    epochs = [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]
    assert epochs == result.epochs and 0.5 < epochs[-1]["val_accuracy"] <= 1.0
    # The keys of the command's records, which `onecycle compare` reads.
    assert list(epochs[0]) == [
        "epoch",
        "steps",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "generalisation_gap",
        "lr",
        "momentum",
        "seconds",
        "images_per_second",
    ]
    assert [(row["epoch"], row["steps"]) for row in epochs] == [(0, 16), (1, 32), (2, 48)]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["lr_max"] == 0.03 and summary["steps"] == 48
    assert sorted(path.name for path in (folder / "checkpoints").glob("*.pt")) == [
        "epoch-00002.pt",
        "epoch-00003.pt",
    ]
    assert not list(folder.rglob("*.tmp"))
    with pytest.raises(ValueError, match="finished run"):
        fit(folder)


def test_a_damaged_checkpoint_is_not_used(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(folder, stop_after=2)
    newest = folder / "checkpoints/epoch-00002.pt"
    newest.write_bytes(newest.read_bytes()[:-10])
    _, lines = fit(folder)
    assert lines[0] == "continues after epoch 1 of 3"


def test_another_length_is_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", stop_after=1)
    with pytest.raises(ValueError, match="a run of 48 steps"):
        fit(tmp_path / "run", epochs=4)


def test_the_search_is_recorded(tmp_path):
    seed_all()
    train, valid = loaders()
    lines = []
    result = fit_one_cycle(network(), train, valid, 1, out=tmp_path / "run", progress=lines.append)
    assert result.search.lr_max == result.lr_max and any("short cycle" in line for line in lines)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["search_updates"] == result.search.updates > 0
    curve = onecycle.LossCurve.from_json((tmp_path / "run/range_test.json").read_text())
    assert curve == result.search.range_test.curve


def test_errors():
    train, valid = loaders()
    with pytest.raises(ValueError, match="needs `valid`"):
        fit_one_cycle(network(), train, None, 1, progress=False)
    with pytest.raises(ValueError, match="`lr_max` is 'best'"):
        fit_one_cycle(network(), train, valid, 1, lr_max="best", progress=False)
    with pytest.raises(ValueError, match="`epochs` is 0"):
        fit_one_cycle(network(), train, valid, 0, progress=False)
    with pytest.raises(FloatingPointError, match="at step 0"):
        fit_one_cycle(
            network(),
            train,
            valid,
            1,
            0.1,
            loss=lambda output, target: output.sum() * math.nan,
            progress=False,
        )


def test_adaptive_optimizers():
    train, valid = loaders()
    result = fit_one_cycle(
        network(),
        train,
        valid,
        1,
        0.01,
        optimizer=lambda model: torch.optim.Adagrad(model.parameters()),
        progress=False,
    )
    assert result.plan.momentum is None and math.isfinite(result.epochs[0]["val_loss"])
