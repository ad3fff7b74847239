#!/usr/bin/env python3
"""Writes the results of `onecycle reproduce all --out FOLDER` into docs/reproduction.md.

    python3 scripts/write_reproduction.py FOLDER

Each section `## NAME: title` is replaced by the experiment's set-up, its table of claims and those
figures that the section shows already and the experiment has drawn. Sub-sections (`###`) and sections of
other names are kept. Claims that need longer runs link to the section `## Longer runs`.
The figures are copied to docs/figures/reproduce-*.svg, and the line that counts the verdicts is
updated. The introduction (scale, machine, date, duration) is written by hand.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil
import textwrap

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
VERDICTS = {
    "seen": "seen",
    "not_decided": "not decided",
    "not_seen_here": "**not seen here**",
    "needs_cpu": "[needs `--scale cpu`](#longer-runs)",
    "needs_paper": "[needs `--scale paper`](#longer-runs)",
}
COUNTED = {"seen": "seen", "not_decided": "not decided", "not_seen_here": "not seen here",
           "needs_cpu": "left to `--scale cpu`", "needs_paper": "left to `--scale paper`"}
PICTURE = re.compile(r'src="figures/reproduce-([a-z0-9-]+)\.svg"')
COUNTS = re.compile(r"^Verdicts: .*$", re.M)


def table(claims):
    """The claims of one experiment as a Markdown table."""
    rows = ["| claim | published | measured here | verdict |", "|---|---|---|---|"]
    for claim in claims:
        text = f"{claim['text']} ({claim['source']})"
        cells = [text, claim["published"], claim["ours"], VERDICTS[claim["seen"]]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def section(result, pictures):
    """The section of one experiment, from its result.json and the HTML of its figures."""
    setup = textwrap.fill(" ".join([result["setup"] + "."] + result["notes"]), 100)
    heading = f"## {result['name']}: {result['title']}"
    return f"{heading}\n\n{setup}\n\n{table(result['claims'])}\n\n{pictures}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="what --out named")
    folder = parser.parse_args().folder

    page = DOCS / "reproduction.md"
    text = page.read_text()
    verdicts = collections.Counter()
    for file in sorted(folder.glob("*/result.json")):
        result = json.loads(file.read_text())
        found = re.search(rf"^## {re.escape(result['name'])}: .*?(?=^##+ )", text, re.M | re.S)
        if found is None:
            raise SystemExit(f"{page} has no section `## {result['name']}: ...`")
        old = found.group()
        # The figures are the last part of a section.
        shown = re.search(r"^<(?:p|img)\b", old, re.M)
        drawn = {pathlib.PurePath(figure).name for figure in result["figures"]}
        lines = old[shown.start() :].rstrip().splitlines() if shown else []
        lines = [line for line in lines if all(name in drawn for name in PICTURE.findall(line))]
        pictures = "\n".join(lines) + "\n" if any(PICTURE.search(line) for line in lines) else ""
        for name in PICTURE.findall(pictures):
            figure = file.parent / "figures" / f"{name}.svg"
            shutil.copyfile(figure, DOCS / "figures" / f"reproduce-{name}.svg")
        text = text.replace(old, section(result, pictures))
        verdicts.update(claim["seen"] for claim in result["claims"])
    counts = ", ".join(f"{verdicts[key]} {name}" for key, name in COUNTED.items())
    if not COUNTS.search(text):
        raise SystemExit(f"{page} has no line that begins with `Verdicts: `")
    page.write_text(COUNTS.sub(f"Verdicts: {counts}.", text))
    print(counts)


if __name__ == "__main__":
    main()
