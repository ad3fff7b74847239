"""What the generators share: reading cases, writing one golden file."""

import gzip
import json
import math
import platform
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
CRATES = HERE.parent.parent / "crates"


def read_cases(name):
    """The cases of `cases/NAME.jsonl`: one JSON object per line."""
    text = (HERE / "cases" / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def read_golden(crate, name):
    with gzip.open(CRATES / crate / "tests" / "goldens" / f"{name}.json.gz", "rt") as file:
        return json.load(file)


def strict(value):
    """Strict JSON has no NaN and no infinity: they become strings."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def write_golden(crate, name, packages, content):
    """Writes `crates/CRATE/tests/goldens/NAME.json.gz`: versions, then `content`, one list item per line.

    Python prints a float64 with as many digits as give back the same bits. The time in the
    gzip header is 0, so equal content gives equal bytes with the same zlib.
    """
    compact = lambda value: json.dumps(strict(value), separators=(",", ":"), allow_nan=False)
    versions = {"python": platform.python_version()} | {package: version(package) for package in packages}
    parts = [f'"versions":{compact(versions)}']
    for key, value in content.items():
        if isinstance(value, list):
            items = ",\n".join(compact(item) for item in value)
            parts.append(f'"{key}":[\n{items}\n]')
        else:
            parts.append(f'"{key}":{compact(value)}')
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    path = CRATES / crate / "tests" / "goldens" / f"{name}.json.gz"
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=9, mtime=0) as archive:
            archive.write(text.encode())
    print(f"{path.relative_to(CRATES.parent)}: {len(text)} bytes, {path.stat().st_size} compressed")
