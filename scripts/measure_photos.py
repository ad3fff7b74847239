#!/usr/bin/env python3
"""Times reading a folder of JPEG photos, in turn with torchvision's `ImageFolder`.

    python3 -m venv ~/venv && ~/venv/bin/pip install torch torchvision pillow numpy
    ~/venv/bin/python scripts/measure_photos.py target/release/onecycle [--images 20000] [--rounds 3]

Writes JPEG files of 400 x 300 pixels in ten class folders. Both programs read every file once, resize
its shorter side to 64 pixels and crop the centre. Ours is `onecycle train` for one step with an empty
cache: it also computes checksums of the files, finds copies, and keeps all pixels in memory.
torchvision's is a `DataLoader` with a process per core, which keeps nothing. Each reads all files once
before the first round, so that they are in the system's cache. CPU time is that of all threads and
processes, in user and system mode; other programs on the machine affect it less than wall-clock time.
"""

import argparse
import io
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

SIDE = 64
READ_ALL = """
import sys, torch, torchvision
from torchvision import transforms
steps = transforms.Compose([transforms.Resize({side}), transforms.CenterCrop({side}), transforms.PILToTensor()])
images = torchvision.datasets.ImageFolder(sys.argv[1], steps)
loader = torch.utils.data.DataLoader(images, batch_size=128, num_workers=int(sys.argv[2]))
print(sum(len(labels) for _, labels in loader))
"""


def write(job):
    """One photo: a smooth random picture, as large as a photo of this size usually is."""
    folder, index = job
    draw = np.random.default_rng(index)
    small = Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((400, 300), Image.BICUBIC).save(buffer, "JPEG", quality=85)
    (folder / f"{index:06}.jpg").write_bytes(buffer.getvalue())
    return buffer.tell()


def timed(command, **where):
    """Seconds, CPU seconds, and the peak resident memory of the largest of its processes, in MiB."""
    script = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
    script += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    script += "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024); sys.exit(code)"
    since = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, **where)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr}")
    cpu, memory = map(float, done.stdout.split()[-2:])
    return time.monotonic() - since, cpu, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onecycle", type=os.path.abspath, help="path of the command")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cores = os.cpu_count()
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)
        photos, cache = home / "photos", home / "cache"
        folders = [photos / f"class-{k}" for k in range(10)]
        for folder in folders:
            folder.mkdir(parents=True)
        with multiprocessing.Pool() as pool:
            jobs = ((folders[index % 10], index) for index in range(args.images))
            size = sum(pool.imap_unordered(write, jobs, chunksize=64))
        print(f"{args.images} files, {size / args.images / 1024:.0f} KiB each")

        ours = [args.onecycle, "train", "--data", photos, "--set", f"data.image_size={SIDE}", "--model", "mlp"]
        ours += ["--steps", "1", "--quiet", "--out", home / "run"]
        theirs = [sys.executable, "-c", READ_ALL.format(side=SIDE), photos, cores]
        seconds, cpu, memory = {"onecycle": [], "torchvision": []}, {"onecycle": [], "torchvision": []}, {}
        for number in range(args.rounds + 1):
            for name, command in (("onecycle", ours), ("torchvision", theirs)):
                for folder in (cache, home / "run"):
                    shutil.rmtree(folder, ignore_errors=True)
                took, used, peak = timed(command, env={**os.environ, "XDG_CACHE_HOME": str(cache)})
                if number > 0:
                    seconds[name].append(took)
                    cpu[name].append(used)
                    memory[name] = max(peak, memory.get(name, 0))
        print(f"medians of {args.rounds} rounds on {cores} cores\n| program | seconds | images/s | CPU ms per image | peak MiB of a process |\n|---|---|---|---|---|")
        for name, values in seconds.items():
            median, per_image = statistics.median(values), 1000 * statistics.median(cpu[name]) / args.images
            print(f"| {name} | {median:.1f} | {args.images / median:.0f} | {per_image:.2f} | {memory[name]:.0f} |")
        for what, values in (("time", seconds), ("CPU time", cpu)):
            ratios = [theirs / ours for ours, theirs in zip(values["onecycle"], values["torchvision"])]
            print(f"{what} of torchvision / onecycle: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
