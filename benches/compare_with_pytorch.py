#!/usr/bin/env python3
"""Alternates training steps of onecycle and PyTorch on this machine and prints medians and ratios.
--evaluation alternates evaluations of a batch instead.

    python3 benches/compare_with_pytorch.py [--only resnet20:128] [--threads 1,2] [--rounds 5]

A survey first measures PyTorch in each of its modes. Each of the following rounds runs one process
of onecycle and one of each of PyTorch's two best modes. The order is reversed every round, so that
a machine that slows down slows both programs. The ratio of a round is onecycle's rate divided by
that of the best PyTorch mode in that round; the table shows medians over the rounds.
benches/README.md describes what is measured and how to read it.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORKER = pathlib.Path(__file__).resolve().parent / "torch_step.py"
# The versions behind the numbers in docs/evidence.md.
PACKAGES = ("torch==2.15.0", "numpy", "safetensors")
FLOAT32 = ("default", "channels_last", "compiled", "compiled_channels_last")
BFLOAT16 = tuple(f"{mode}_bfloat16" for mode in FLOAT32)
MODES = FLOAT32 + BFLOAT16
# Network, batch size, shape of an image (CIFAR's, Fashion-MNIST's, photos); ten classes.
CASES = (
    ("resnet20", 128, "3x32x32"),
    ("resnet20", 512, "3x32x32"),
    ("resnet56", 128, "3x32x32"),
    ("resnet56", 512, "3x32x32"),
    ("resnet9", 512, "3x32x32"),
    ("airbench94", 1024, "3x32x32"),
    ("resnet-small", 128, "1x28x28"),
    ("convnet", 128, "1x28x28"),
    ("convnet-plain", 128, "1x28x28"),
    ("lenet5", 128, "1x28x28"),
    ("efficientnet-lite0", 32, "3x128x128"),
    ("efficientnet-lite0", 32, "3x224x224"),
    ("resnet18", 32, "3x128x128"),
    ("resnet18", 32, "3x224x224"),
)
# Warm-up steps of each process, not counted; PyTorch compiles during the first one.
WARM_UP = 2
# Measured steps of a process: enough to fill --seconds, within these bounds.
FEWEST_STEPS, MOST_STEPS = 5, 300
MIB = 1 << 20


class Failed(Exception):
    """A measuring process failed; the text names it and the reason."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "onecycle" / "pytorch"


def prepare_python(folder, given):
    """The Python of the virtual environment `folder`, created unless `given` by the user."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not given and not python.exists():
        print(f"setting up {', '.join(PACKAGES)} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
    if not python.exists():
        sys.exit(f"compare_with_pytorch: {folder} is not a virtual environment, expected {python}")
    if subprocess.run([python, "-c", "import torch, numpy, safetensors"], capture_output=True).returncode != 0:
        if given:
            sys.exit(f"compare_with_pytorch: {folder} lacks one of {', '.join(PACKAGES)}; install them there")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def prepare_onecycle(given):
    """The `onecycle` command: the given one, or a fresh build by cargo."""
    if given is None:
        command = ["cargo", "build", "--release", "--locked", "-p", "onecycle-cli"]
        subprocess.run(command, cwd=ROOT, check=True)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        given = target / "release" / ("onecycle.exe" if os.name == "nt" else "onecycle")
    if not given.is_file():
        sys.exit(f"compare_with_pytorch: no such program: {given}")
    return given.resolve()


def machine(python):
    """Properties of the machine and the versions that the numbers depend on."""
    try:
        cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        cpuinfo = ""
    find = lambda key: (re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, re.MULTILINE) or [None, ""])[1]
    wanted = ("avx2", "fma", "avx512f", "avx512vl", "avx512_bf16")
    version = "import torch; print(torch.__version__, torch.backends.cpu.get_cpu_capability())"
    torch_version, capability = subprocess.check_output([python, "-c", version], text=True).split(maxsplit=1)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": find("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": [flag for flag in wanted if flag in find("flags").split()],
        "system": f"{platform.system()} {platform.release()}",
        "torch": torch_version,
        "torch_capability": capability.strip(),
        "sources": commit.stdout.strip(),
    }


class Bench:
    """Runs measuring processes one at a time and reads the JSON object that each prints."""

    def __init__(self, onecycle, python, wrap, evaluation):
        self.onecycle, self.python, self.wrap, self.evaluation = onecycle, python, wrap, evaluation

    def run(self, command):
        done = subprocess.run([*self.wrap, *map(str, command)], capture_output=True, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise Failed(f"{shlex.join(map(str, command))}: exit code {done.returncode}: {last}")
        return json.loads(done.stdout)

    def step(self, name, case, threads, steps):
        """Measures training steps or evaluations: `name` is "onecycle" or a mode of PyTorch."""
        if name == "onecycle":
            command = [self.onecycle, "bench", "--format", "json"]
        else:
            command = [self.python, WORKER, "step", "--mode", name]
        model, batch, shape = case
        command += ["--model", model, "--batch", batch, "--shape", shape]
        if self.evaluation:
            command.append("--evaluation")
        return self.run([*command, "--threads", threads, "--warm-up", WARM_UP, "--steps", steps])


def steps_for(result, seconds):
    """The number of steps that take about `seconds` at the rate of `result`."""
    count = round(seconds * result["images_per_second"] / result["batch_size"])
    return min(max(count, FEWEST_STEPS), MOST_STEPS)


def rate(result):
    return result["images_per_second"]


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def compare(bench, case, threads, args):
    """Runs all rounds of one network; returns the output of every process and the medians."""
    model, batch, shape = case
    survey = {"onecycle": bench.step("onecycle", case, threads, FEWEST_STEPS)}
    few = steps_for(survey["onecycle"], args.seconds / 5)
    for mode in args.modes:
        try:
            survey[mode] = bench.step(mode, case, threads, few)
            note(f"survey, PyTorch {mode}: {rate(survey[mode]):.0f} images/s")
        except Failed as failure:
            note(f"left out: {failure}")
    if len(survey) == 1:
        raise Failed(f"PyTorch failed to run {model} at batch size {batch} in any of its modes")
    ranked = sorted(survey.keys() - {"onecycle"}, key=lambda mode: rate(survey[mode]), reverse=True)
    modes = ranked if args.all_modes else ranked[:2]
    names = ["onecycle", *modes]
    steps = {name: steps_for(survey[name], args.seconds) for name in names}

    rounds = []
    for number in range(args.rounds):
        one = {}
        for name in names if number % 2 == 0 else reversed(names):
            one[name] = bench.step(name, case, threads, steps[name])
        rounds.append(one)
        note(f"round {number + 1}: " + ", ".join(f"{name} {rate(one[name]):.0f}" for name in names))

    median = statistics.median
    rates = {name: median(rate(one[name]) for one in rounds) for name in names}
    best = max(modes, key=rates.get)
    ratios = [rate(one["onecycle"]) / max(rate(one[mode]) for mode in modes) for one in rounds]
    return {
        "model": model,
        "batch_size": batch,
        "shape": shape,
        "threads": threads,
        "images_per_second": rates,
        "best_mode": best,
        "ratio": median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "peak_memory_bytes": {name: median(one[name]["peak_memory_bytes"] for one in rounds) for name in names},
        "import_memory_bytes": median(one[best]["import_memory_bytes"] for one in rounds),
        "survey": survey,
        "rounds": rounds,
    }


COLUMNS = ("network", "image", "batch", "threads", "onecycle", "PyTorch's best", "its mode", "ratio", "lowest, highest")
COLUMNS += ("memory", "PyTorch's", "of it, import")
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def table_row(row):
    rates, memory, best = row["images_per_second"], row["peak_memory_bytes"], row["best_mode"]
    low, high = row["ratio_range"]
    cells = [row["model"], row["shape"], row["batch_size"], row["threads"], f"{rates['onecycle']:.0f}", f"{rates[best]:.0f}", best]
    cells += [f"{row['ratio']:.2f}", f"{low:.2f}, {high:.2f}"]
    cells += [f"{n / MIB:.0f}" for n in (memory["onecycle"], memory[best], row["import_memory_bytes"])]
    return f"| {' | '.join(map(str, cells))} |"


def parse_case(text):
    """The entries of CASES that `text` names, such as `resnet20`, `resnet20:128` or `resnet18:32:3x128x128`."""
    name, batch, shape = (text.split(":") + ["", ""])[:3]
    chosen = lambda one: one[0] == name and batch in ("", str(one[1])) and shape in ("", one[2])
    found = [one for one in CASES if chosen(one)]
    if not found:
        known = ", ".join(f"{name}:{batch}:{shape}" for name, batch, shape in CASES)
        raise argparse.ArgumentTypeError(f"{text}: expected one of {known}")
    return found


def parse_mode(text):
    if text not in MODES:
        raise argparse.ArgumentTypeError(f"{text}: expected one of {', '.join(MODES)}")
    return text


def at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def listed(parse):
    """An argument type for a comma-separated list of what `parse` accepts."""
    return lambda text: [parse(item) for item in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", type=listed(parse_case), metavar="NETWORK[:BATCH[:SHAPE]],..", help="compare only these networks")
    add("--threads", type=listed(at_least_one), default=[1, 2], help="numbers of threads (default 1,2)")
    add("--modes", type=listed(parse_mode), default=list(FLOAT32), help=f"PyTorch's modes, of {','.join(MODES)} "
        "(default those in float32; autocast to bfloat16 is slow without instructions for it)")
    add("--evaluation", action="store_true", help="compare evaluations of a batch instead of training steps")
    add("--all-modes", action="store_true", help="alternate with every mode, not only with the best two")
    add("--rounds", type=at_least_one, default=5, help="rounds after the survey (default 5)")
    add("--seconds", type=float, default=5.0, help="measured seconds of one process (default 5)")
    add("--venv", type=pathlib.Path, help=f"existing virtual environment with {', '.join(PACKAGES)}; created if not given")
    add("--onecycle", type=pathlib.Path, help="command to measure; built by cargo if not given")
    add("--wrap", type=shlex.split, default=[], metavar="COMMAND", help="prefix of each process, such as 'taskset -c 0,1'")
    add("--json", type=pathlib.Path, metavar="FILE", help="write every number of every process")
    args = parser.parse_args()
    if shutil.which(os.environ.get("CXX", "g++")) is None and any(mode.startswith("compiled") for mode in args.modes):
        print("no C++ compiler (g++, or the one named by CXX): skipping the compiled modes", file=sys.stderr)
        args.modes = [mode for mode in args.modes if not mode.startswith("compiled")]
        if not args.modes:
            parser.error("--modes names only compiled modes, which need a C++ compiler")
    return args


def main():
    args = arguments()
    python = prepare_python(args.venv or cache_folder(), args.venv is not None)
    bench = Bench(prepare_onecycle(args.onecycle), python, args.wrap, args.evaluation)
    about = machine(python)
    print(
        f"{about['cpu']}, {about['cores']} cores, {' '.join(about['features'])}; {about['system']}\n"
        f"PyTorch {about['torch']} ({about['torch_capability']}), sources at {about['sources']}; "
        f"medians of {args.rounds} rounds; images/s, MiB\n\n{HEADER}",
        flush=True,
    )
    cases = [one for found in args.only for one in found] if args.only else CASES
    report = {"machine": about, "results": []}
    failures, start = 0, time.monotonic()
    for threads in args.threads:
        for one in cases:
            try:
                row = compare(bench, one, threads, args)
            except Failed as failure:
                note(str(failure))
                failures += 1
                continue
            report["results"].append(row)
            print(table_row(row), flush=True)
            if args.json:
                # Written after each network, so that a stopped comparison keeps its results.
                args.json.write_text(json.dumps(report, indent=1) + "\n")
    note(f"{(time.monotonic() - start) / 60:.0f} minutes")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
