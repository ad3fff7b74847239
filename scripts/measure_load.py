#!/usr/bin/env python3
"""Measures memory and time of the real command on large inputs and long runs.

Needs Linux; uses only Python's standard library.

    cargo build --release -p onecycle-cli
    python3 scripts/measure_load.py target/release/onecycle

First trains 10 000 steps of LeNet-5 in batches of 4 (`--steps`) and reads the process's memory
after 10 %, 50 % and 99 % of them. Then writes a folder of 100 000 PNG files in 1000 classes (`--images`,
`--classes`, `--size`) and trains one step on it twice: decoding the files, then from the cache.
Prints a table for docs/evidence.md.
"""

import argparse
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import time
import zlib

MIB = 1 << 20


def png(pixels: bytes, side: int) -> bytes:
    """An RGB image of `side` x `side` pixels as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[3 * side * y : 3 * side * (y + 1)] for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def write_folder(root: pathlib.Path, images: int, classes: int, side: int) -> None:
    """Writes `images` files in one folder per class: the colour of the class with noise over it."""
    draw = random.Random(1)
    for index in range(images):
        folder = root / f"class-{index % classes:05}"
        if index < classes:
            folder.mkdir(parents=True)
        ground = index % classes % 200
        pixels = bytes(ground + (byte & 31) for byte in draw.randbytes(3 * side * side))
        (folder / f"{index:07}.png").write_bytes(png(pixels, side))


def run(command: list[str], **where) -> tuple[float, float]:
    """Runs a command that must succeed; returns its seconds and peak resident memory in MiB."""
    since = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, **where)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return time.monotonic() - since, usage.ru_maxrss / 1024


def resident(pid: int) -> float:
    """The resident memory of a process in MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} ended before its memory was read")


def lines(path: pathlib.Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def measure_folder(args, home: pathlib.Path, row) -> None:
    since = time.monotonic()
    write_folder(home / "photos", args.images, args.classes, args.size)
    print(f"{args.images} files written in {time.monotonic() - since:.0f} s")
    decoded = args.images * 3 * args.size * args.size / MIB
    where = {"cwd": home, "env": {**os.environ, "XDG_CACHE_HOME": str(home / "cache")}}
    for what in ["decoding", "from the cache"]:
        command = [args.onecycle, "train", "--data", "photos", "--set", f"data.image_size={args.size}", "--model", "lenet5"]
        command += ["--steps", "1", "--batch-size", "64", "--quiet", "--out", what.replace(" ", "-")]
        seconds, peak = run(command, **where)
        row(f"{args.images} files of {args.classes} classes, {what}", seconds, f"{peak:.0f} ({decoded:.0f} of pixels)")


def measure_steps(args, home: pathlib.Path, row) -> None:
    command = [args.onecycle, "train", "--model", "lenet5", "--limit", "1000", "--steps", str(args.steps)]
    command += ["--batch-size", "4", "--quiet", "--out", "long"]
    # Small evaluation batches, so that memory growth comes from the training.
    command += ["--set", "eval_batch_size=100", "--set", "checkpoint_steps=500"]
    since = time.monotonic()
    child = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL)
    records = home / "long" / "steps.jsonl"
    for at in [args.steps // 10, args.steps // 2, args.steps * 99 // 100]:
        while lines(records) < at:
            if child.poll() is not None:
                raise SystemExit("the long run ended early")
            time.sleep(0.02)
        row(f"LeNet-5, batch 4, after {at} steps", time.monotonic() - since, f"{resident(child.pid):.0f}")
    if child.wait() != 0:
        raise SystemExit("the long run failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onecycle", type=os.path.abspath, help="path of the command")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels, of the files and in memory")
    parser.add_argument("--steps", type=int, default=10_000)
    args = parser.parse_args()
    rows = []

    def row(what: str, seconds: float, memory: str) -> None:
        rows.append(f"| {what} | {seconds:.0f} | {memory} |")
        print(rows[-1], flush=True)

    with tempfile.TemporaryDirectory() as home:
        measure_steps(args, pathlib.Path(home), row)
        measure_folder(args, pathlib.Path(home), row)
    print("\n| what | seconds | resident MiB |\n|---|---|---|\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
