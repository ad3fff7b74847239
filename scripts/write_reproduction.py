#!/usr/bin/env python3
"""Writes what `onecycle reproduce all --out FOLDER` found into docs/reproduction.md.

    python3 scripts/write_reproduction.py FOLDER

Each section `## NAME: title` gets the experiment's set-up, its table of claims and the figures that the section shows
already; sub-sections and everything else stay as they are. Figures are copied to docs/figures/reproduce-*.svg. At the end
the verdicts are counted.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
VERDICTS = {"seen": "seen", "not_seen_here": "**not seen here**", "not_decided": "not decided"}
PICTURE = re.compile(r'src="figures/reproduce-([a-z0-9-]+)\.svg"')


def table(claims):
    rows = ["| claim | published | here | |", "|---|---|---|---|"]
    for claim in claims:
        cells = [f"{claim['text']} ({claim['source']})", claim["published"], claim["ours"], VERDICTS[claim["seen"]]]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def section(result, pictures):
    about = " ".join([result["setup"] + "."] + result["notes"])
    return f"## {result['name']}: {result['title']}\n\n{about}\n\n{table(result['claims'])}\n\n{pictures}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
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
        # From the first picture on.
        pictures = old[re.search(r"^<(?:p|img)\b", old, re.M).start() :].rstrip() + "\n"
        for name in PICTURE.findall(pictures):
            shutil.copyfile(file.parent / "figures" / f"{name}.svg", DOCS / "figures" / f"reproduce-{name}.svg")
        text = text.replace(old, section(result, pictures))
        verdicts.update(claim["seen"] for claim in result["claims"])
    page.write_text(text)
    print(", ".join(f"{VERDICTS[verdict].strip('*')}: {count}" for verdict, count in verdicts.most_common()))


if __name__ == "__main__":
    main()
