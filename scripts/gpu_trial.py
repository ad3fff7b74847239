#!/usr/bin/env python3
"""The measurements of scripts/gpu_trial.sh, which says how to call it.

In this order, each within its share of the time, each recorded as soon as it is made:

1. `machine`: GPU, driver, versions.
2. `parity`: 8 steps of resnet-small on the CPU and on the device; largest difference of the losses.
   On a software Vulkan device it is 5.7e-6.
3. `rates`: images per second of training steps, ResNet-20, ResNet-56, ResNet-9 and airbench94, in
   alternating rounds of onecycle and PyTorch (bfloat16 autocast, channels_last, compiled; and float32).
4. `cifar10-94`: the recipe to its end, or until its time is up, with the seconds per epoch.
5. `full-cycle`: the experiment at the scale of the paper as far as time allows; the same command with
   more time continues it.

Without CIFAR-10, which does not fit into the packed folder, 4 and 5 train on Fashion-MNIST: the times
count, the accuracies do not. A measurement that fails is recorded with the last line of its message,
and the next one begins.
"""

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time

# Network, batch size, share of the rounds' time.
CASES = (("resnet20", 512), ("resnet56", 512), ("resnet9", 512), ("airbench94", 1024))
PYTORCH_MODES = ("compiled_channels_last_bfloat16", "channels_last_bfloat16", "channels_last")
ROUNDS = 3
# Shares of all seconds at which a measurement must have ended.
END = {"parity": 0.12, "rates": 0.55, "cifar10-94": 0.80, "full-cycle": 0.97}


class Failed(Exception):
    """A command failed; the text has the reason."""


class Trial:
    def __init__(self, args):
        self.args = args
        self.start = time.monotonic()
        self.record = {"device": args.device, "seconds": args.seconds}
        self.root = pathlib.Path(__file__).resolve().parent.parent

    def left(self, part):
        """Seconds until a measurement must have ended."""
        return self.args.seconds * END[part] - (time.monotonic() - self.start)

    def save(self):
        results = pathlib.Path(self.args.results)
        (results / "trial.json").write_text(json.dumps(self.record, indent=2) + "\n")
        (results / "trial.md").write_text(table(self.record))

    def call(self, command, limit, codes=(0,)):
        """Runs a command; returns its standard output. The codes count as success."""
        command = [str(word) for word in command]
        print(f"{time.monotonic() - self.start:5.0f} s  {' '.join(command)}", flush=True)
        if limit < 1:
            raise Failed("no time was left")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=self.args.work)
        except subprocess.TimeoutExpired:
            raise Failed(f"took more than {limit:.0f} s") from None
        except OSError as error:
            raise Failed(str(error)) from None
        if done.returncode not in codes:
            lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise Failed(f"exit code {done.returncode}: {lines[-1]}")
        return done.stdout

    def onecycle(self, *words, limit, codes=(0,)):
        return self.call([self.args.onecycle, *words], limit, codes)

    def measure(self, name, work):
        """Makes a measurement; records its result or its failure."""
        try:
            self.record[name] = work()
        except (Failed, KeyError, ValueError, OSError) as error:
            self.record[name] = {"failed": str(error)}
            print(f"         {name} failed: {error}", flush=True)
        self.save()

    def machine(self):
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        if self.args.device == "cuda":
            gpu = self.call(query, 30).strip()
        else:
            gpu = "none: the script is tried on the CPU"
        versions = "import torch; print(torch.__version__, torch.version.cuda)"
        try:
            pytorch = self.call([sys.executable, "-c", versions], 120).strip()
        except Failed as error:
            pytorch = f"none: {error}"
        return {"gpu": gpu, "pytorch": pytorch, "system": platform.platform(), "onecycle": self.onecycle("--version", limit=30).strip()}

    def parity(self):
        losses = {}
        for device in ("cpu", self.args.device):
            out = f"parity-{len(losses)}"
            # A higher rate amplifies rounding.
            self.onecycle(
                "train", "--model", "resnet-small", "--data", "fashion-mnist", "--limit", 128, "--batch-size", 16,
                "--steps", 8, "--lr-max", 0.002, "--set", "data.test_limit=50", "--device", device, "--out", out, "-q",
                limit=self.left("parity"),
            )
            lines = (pathlib.Path(self.args.work) / out / "steps.jsonl").read_text().splitlines()
            losses[device if len(losses) == 0 else "device"] = [json.loads(line)["loss"] for line in lines]
        pairs = list(zip(losses["cpu"], losses["device"], strict=True))
        return {"losses": losses, "largest_difference": max(abs(a - b) for a, b in pairs)}

    def rates(self):
        found = []
        self.record["rates"] = found
        dry = self.args.device == "cpu"
        steps, batch_of = (2, lambda batch: 8) if dry else (50, lambda batch: batch)
        for round_number in range(1 if dry else ROUNDS):
            for model, batch in CASES:
                names = ["onecycle", *PYTORCH_MODES]
                # Every other round in reverse: a device that slows down slows all.
                for name in names if round_number % 2 == 0 else names[::-1]:
                    row = {"model": model, "batch_size": batch_of(batch), "by": name, "round": round_number + 1}
                    try:
                        row["images_per_second"] = self.rate(name, model, batch_of(batch), steps)
                    except Failed as error:
                        row["failed"] = str(error)
                    found.append(row)
                    self.save()
        return found

    def rate(self, name, model, batch, steps):
        common = ["--model", model, "--batch", batch, "--shape", "3x32x32", "--steps", steps, "--device", self.args.device]
        limit = min(self.left("rates"), 90)
        if name == "onecycle":
            text = self.onecycle("bench", *common, "--warm-up", 5 if steps > 2 else 1, "--format", "json", limit=limit)
        else:
            script = self.root / "benches" / "torch_step.py"
            warm_up = 10 if steps > 2 else 1
            text = self.call([sys.executable, script, "step", *common, "--mode", name, "--warm-up", warm_up], limit)
        return json.loads(text)["images_per_second"]

    def data(self):
        """Flags for the data of the long trainings, and their name."""
        if self.args.cifar10:
            return ["--set", f"data.path={json.dumps(self.args.cifar10)}"], "cifar10"
        return ["--data", "fashion-mnist"], "fashion-mnist"

    def trained(self, out, code_part, words):
        """Trains until the time of a part is up; returns its epochs and summary."""
        limit = self.left(code_part)
        # The limit of the process itself is later: it writes a checkpoint and its records first.
        self.onecycle(*words, "--out", out, "--max-time", f"{max(limit, 1):.0f}s", "-q", limit=limit + 20, codes=(0, 124))
        run = pathlib.Path(self.args.work) / out
        epochs = [json.loads(line) for line in (run / "epochs.jsonl").read_text().splitlines()]
        summary = run / "summary.json"
        steps = len((run / "steps.jsonl").read_text().splitlines())
        return {
            "finished": summary.exists(),
            "steps": steps,
            "epochs": len(epochs),
            "seconds_per_epoch": statistics.median(epoch["seconds"] for epoch in epochs) if epochs else None,
            "last_val_accuracy": epochs[-1]["val_accuracy"] if epochs else None,
            "test_accuracy": json.loads(summary.read_text())["test_accuracy"] if summary.exists() else None,
        }

    def recipe(self):
        flags, name = self.data()
        words = ["train", "--recipe", "cifar10-94", "--device", self.args.device, *flags]
        if self.args.device == "cpu":
            words += ["--limit", 128, "--batch-size", 32, "--epochs", 3, "--set", "data.test_limit=64"]
        return {"data": name, **self.trained("recipe", "cifar10-94", words)}

    def full_cycle(self):
        flags, name = self.data()
        if name == "cifar10" and self.args.device == "cuda":
            out = pathlib.Path(self.args.results) / "full-cycle"
            limit = self.left("full-cycle")
            words = ["reproduce", "full-cycle", "--scale", "paper", "--device", "cuda", "--out", out]
            self.onecycle(*words, "--max-time", f"{max(limit, 1):.0f}s", "-q", limit=limit + 20, codes=(0, 124))
            return {"data": name, "finished": (out / "full-cycle" / "result.json").exists()}
        # The run of the experiment on other data: ResNet-56, 95 epochs, 13 of them annihilation.
        words = [
            "train", "--model", "resnet56", "--epochs", 95, "--batch-size", 512, "--lr-max", 0.8, "--device",
            self.args.device, *flags,
        ]
        if self.args.device == "cpu":
            words += ["--limit", 64, "--set", "batch_size=16", "--set", "data.test_limit=32"]
        return {"data": name, **self.trained("full-cycle", "full-cycle", words)}

    def run(self):
        self.measure("machine", self.machine)
        self.measure("parity", self.parity)
        self.measure("rates", self.rates)
        self.measure("cifar10-94", self.recipe)
        self.measure("full-cycle", self.full_cycle)
        self.record["took"] = round(time.monotonic() - self.start, 1)
        self.save()
        print(table(self.record))
        failed = [name for name, value in self.record.items() if isinstance(value, dict) and "failed" in value]
        failed += [f"{row['by']} {row['model']}" for row in self.record["rates"] if isinstance(row, dict) and "failed" in row]
        if failed:
            sys.exit(f"failed: {', '.join(failed)}")


def table(record):
    """The record as Markdown."""
    lines = []
    machine = record.get("machine", {})
    lines += [f"{machine.get('gpu', '?')}, PyTorch {machine.get('pytorch', '?')}, {machine.get('onecycle', '?')}", ""]
    parity = record.get("parity", {})
    if "largest_difference" in parity:
        lines += [f"Largest difference of a loss between the CPU and the device in 8 steps: {parity['largest_difference']:.1e}.", ""]
    rates = record.get("rates", [])
    if isinstance(rates, list) and rates:
        lines += ["| network | batch | by | images/s, median | rounds |", "|---|---|---|---|---|"]
        keys = dict.fromkeys((row["model"], row["batch_size"], row["by"]) for row in rates)
        for model, batch, by in keys:
            rows = [row for row in rates if (row["model"], row["by"]) == (model, by)]
            made = [row["images_per_second"] for row in rows if "images_per_second" in row]
            rate = f"{statistics.median(made):.0f}" if made else f"failed: {rows[0]['failed']}"
            lines.append(f"| {model} | {batch} | {by} | {rate} | {len(made)} |")
        lines.append("")
    for name in ("cifar10-94", "full-cycle"):
        value = record.get(name)
        if value:
            lines.append(f"- `{name}`: " + ", ".join(f"{key} {one}" for key, one in value.items() if one is not None))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onecycle", required=True, help="path of the command")
    parser.add_argument("--results", required=True, help="folder for trial.json and trial.md")
    parser.add_argument("--work", required=True, help="folder for runs")
    parser.add_argument("--device", choices=("cuda", "wgpu", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--cifar10", default="", help="folder of CIFAR-10 in its binary files")
    args = parser.parse_args()
    Trial(args).run()


main()
