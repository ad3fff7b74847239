#!/usr/bin/env python3
"""Reads the event files of real runs with TensorBoard's own loader: a finished run, a killed and resumed one, one
converted by `onecycle log`, and a study.

    python -m venv /tmp/tensorboard && /tmp/tensorboard/bin/pip install tensorboard
    /tmp/tensorboard/bin/python scripts/check_tensorboard.py target/debug/onecycle
"""
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

PROGRAM = Path(sys.argv[1]).resolve()
REPOSITORY = Path(__file__).resolve().parents[1]
TINY = ["--set", 'model="lenet5"', "--set", "data.limit=512", "--set", "batch_size=32", "--set", "data.test_limit=200"]
ALL = {"scalars": 0, "tensors": 0, "images": 0}


def onecycle(*arguments, **options):
    environment = dict(os.environ, ONECYCLE_DATA=str(REPOSITORY / "data"))
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)


def succeed(*arguments):
    process = onecycle(*arguments)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def load(folder):
    events = EventAccumulator(str(folder), size_guidance=ALL)
    events.Reload()
    return events


def event_files(run):
    """Replaced files are empty."""
    return [path for path in (run / "tensorboard").iterdir() if path.stat().st_size > 0]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(found, wanted):
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-30)


def check_records(events, run, what):
    """Every step and every epoch of the records is there once, with its numbers."""
    records = {"step": lines(run / "steps.jsonl"), "epoch": lines(run / "epochs.jsonl")}
    names = {
        "step": ["loss", "lr", "momentum", "weight_decay", "batch_size"],
        "epoch": ["train_loss", "val_loss", "train_accuracy", "val_accuracy", "generalisation_gap"],
    }
    for kind, first in (("step", 0), ("epoch", 1)):
        for name in names[kind]:
            found = events.Scalars(f"{kind}/{name}")
            wanted = [(record[kind] + first, record[name]) for record in records[kind]]
            assert [event.step for event in found] == [step for step, _ in wanted], f"{what}: {kind}/{name}"
            assert all(same(event.value, value) for event, (_, value) in zip(found, wanted)), f"{what}: {kind}/{name}"
            times = [event.wall_time for event in found]
            assert times == sorted(times) and times[-1] <= time.time() + 1, f"{what}: times of {kind}/{name}"
    speed = events.Scalars("step/images_per_second")
    assert [event.step + 1 for event in speed] == [record["steps"] for record in records["epoch"]], what
    print(f"{what}: {len(records['step'])} steps, {len(records['epoch'])} epochs")


def check_finished(events, run, what):
    """The text, the figures and the test result of a finished run."""
    check_records(events, run, what)
    summary = json.loads((run / "summary.json").read_text())
    (accuracy,) = events.Scalars("test/accuracy")
    assert accuracy.step == summary["steps"] and same(accuracy.value, summary["test_accuracy"]), what
    (text,) = events.Tensors("configuration")
    text = text.tensor_proto.string_val[0].decode()
    assert 'model = "lenet5"' in text and "[policy]" in text, text
    figures = sorted(path.stem for path in (run / "figures").glob("*.png"))
    tags = sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("figures/"))
    assert figures and tags == [f"figures/{name}" for name in figures], tags
    for name in figures:
        (image,) = events.Tensors(f"figures/{name}")
        width, height, png = image.tensor_proto.string_val
        assert png == (run / "figures" / f"{name}.png").read_bytes() and int(width) > 0 < int(height), name
        metadata = events.SummaryMetadata(f"figures/{name}")
        assert metadata.plugin_data.plugin_name == "images", metadata
    assert events.SummaryMetadata("configuration").plugin_data.plugin_name == "text"


def finished_run(work):
    run = work / "finished"
    succeed("train", *TINY, "--epochs", 3, "--log", "tensorboard", "--out", run)
    check_finished(load(run / "tensorboard"), run, "a finished run")
    return run


def last_step_seen(watching):
    """The last step that a TensorBoard shows, 0 before the first."""
    watching.Reload()
    known = "step/loss" in watching.Tags()["scalars"]
    return watching.Scalars("step/loss")[-1].step if known else 0


def killed_run(work):
    """A run that is killed twice, while a TensorBoard reads it all the time."""
    run = work / "killed"
    # Long enough to be killed while it trains: events wait in memory for two seconds.
    arguments = ["train", *TINY, "--epochs", 200, "--set", "checkpoint_steps=7", "--log", "tensorboard", "--out", run]
    watching, seen = None, 0
    for _ in range(2):
        process = onecycle(*arguments, process_group=0)
        while not watching or last_step_seen(watching) < seen + 20:
            assert process.poll() is None, f"the run ended before it was seen: {process.stderr.read()}"
            time.sleep(0.1)
            if not watching and (run / "tensorboard").exists():
                watching = load(run / "tensorboard")
        seen = last_step_seen(watching)
        assert process.poll() is None, "the run ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        arguments = ["resume", run]
    succeed("resume", run)
    assert len(event_files(run)) == 1
    check_finished(load(run / "tensorboard"), run, "a killed and resumed run")
    watching.Reload()
    check_records(watching, run, "the same, read since before the kill")


def converted_run(work, run):
    copy = work / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("tensorboard"))
    for _ in range(2):
        succeed("log", copy)
        check_finished(load(copy / "tensorboard"), copy, "a converted run")
    assert len(event_files(copy)) == 1
    succeed("log", copy, "--out", work / "elsewhere")
    check_finished(load(work / "elsewhere"), copy, "a run converted to another folder")


def study(work):
    for name, rate in (("low", 0.01), ("high", 0.1)):
        (work / f"{name}.toml").write_text(f"policy.lr_max = {rate}\n")
    folder = work / "study"
    succeed("compare", work / "low.toml", work / "high.toml", "--seeds", 2, *TINY, "--set", "epochs=1", "--log",
            "tensorboard", "--out", folder)
    for run in sorted((folder / "runs").iterdir()):
        check_finished(load(run / "tensorboard"), run, f"run {run.name} of a study")
    check_groups(folder, folder, "a study")
    shutil.rmtree(folder / "tensorboard")
    succeed("log", folder, "--out", work / "study-log")
    check_groups(folder, work / "study-log", "a converted study")


def check_groups(folder, log, what):
    """The session groups of the page HParams: one per label, with the mean over its seeds."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"hparams": 0})
    multiplexer.AddRunsFromDirectory(str(log))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(log))
    context = backend_context.Context(TBContext(data_provider=provider, logdir=str(log)))
    request = RequestContext()
    metadata = context.hparams_metadata(request, "")
    experiment = context.experiment_from_metadata(request, "", True, metadata, {})
    names = [info.name for info in experiment.hparam_infos]
    assert names == ["label", "policy.lr_max"], names
    columns = [api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos]
    wanted = api_pb2.ListSessionGroupsRequest(
        experiment_name="", col_params=columns, slice_size=10, aggregation_type=api_pb2.AGGREGATION_AVG,
        allowed_statuses=[api_pb2.STATUS_SUCCESS])
    groups = list_session_groups.Handler(request, context, "", wanted).run().session_groups
    found = {group.hparams["label"].string_value: group for group in groups}
    assert sorted(found) == ["high", "low"], sorted(found)
    results = json.loads((folder / "compare.json").read_text())
    accuracies = {variant["label"]: variant["final_accuracy"]["mean"] for variant in results["variants"]}
    for label, group in found.items():
        assert len(group.sessions) == 2 and group.hparams["policy.lr_max"].number_value in (0.01, 0.1)
        metrics = {value.name.tag: value.value for value in group.metric_values}
        assert same(metrics["test/accuracy"], accuracies[label]), (label, metrics)
    print(f"{what}: {', '.join(f'{label} {accuracies[label]:.3f}' for label in sorted(found))}")


with tempfile.TemporaryDirectory() as name:
    work = Path(name)
    converted_run(work, finished_run(work))
    killed_run(work)
    study(work)
print("all event files are as TensorBoard expects them")
