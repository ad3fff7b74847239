#!/usr/bin/env python3
"""Compares the files of two studies byte for byte, apart from times.

    python3 scripts/compare_studies.py A B

Compares every file of the folders A and B of `onecycle compare` or `onecycle reproduce`, except for
locks, the folder slurm/, and checkpoints, which contain times in binary form. Times and speeds are
removed from JSON, and pages are skipped because they show them. Exit code 1 if a file differs or is
missing.
"""

import json
import pathlib
import sys

# Keys of times and speeds, and the folder of a run, whose name contains that of the study.
KEYS = {"seconds", "images_per_second", "train_seconds", "cost", "run"}


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if key not in KEYS}
    if isinstance(value, list):
        return [timeless(one) for one in value]
    return value


def contents(path):
    data = path.read_bytes()
    if path.suffix == ".json":
        return timeless(json.loads(data))
    if path.name == "epochs.jsonl":
        return [timeless(json.loads(line)) for line in data.splitlines()]
    return data


def files(root):
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        skipped = path.suffix in (".lock", ".html", ".ckpt") or path.name == ".lock" or name.parts[0] == "slurm"
        if path.is_file() and not skipped:
            found[str(name)] = contents(path)
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    a, b = (files(pathlib.Path(root)) for root in sys.argv[1:])
    faults = [f"only in {root}: {name}" for one, other, root in ((a, b, sys.argv[1]), (b, a, sys.argv[2]))
              for name in one if name not in other]
    faults += [f"differs: {name}" for name in a if name in b and a[name] != b[name]]
    models = sum(name.endswith("model.safetensors") for name in a)
    if models == 0:
        faults.append(f"no finished run in {sys.argv[1]}")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(a)} files are equal, {models} models among them")


main()
