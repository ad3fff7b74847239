#!/usr/bin/env python3
"""Checks that links between the files of this repository resolve.

    python3 scripts/check_links.py

Checks every relative link and anchor of the tracked Markdown files, and every path `docs/...` that
a tracked Python file or a comment in a tracked Rust, TOML or shell file mentions. Prints each broken
link with its file and line; the exit code is 1 if there are any. Links to web pages are not followed.
"""

import functools
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
# [text](target), [text](target "title"), [label]: target, and the attributes of embedded HTML.
LINKS = (
    re.compile(r"\]\(<?([^()\s<>]+)>?(?:\s+\"[^\"]*\")?\)"),
    re.compile(r"^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)"),
    re.compile(r"\b(?:src|href)=\"([^\"]+)\""),
)
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
COMMENT = {
    ".rs": re.compile(r"//.*"),
    ".py": re.compile(r".*"),
    ".toml": re.compile(r"#.*"),
    ".sh": re.compile(r"#.*"),
}
MENTION = re.compile(r"(?<![\w/.-])docs/[\w./-]*\w")


def tracked(*patterns):
    """Tracked files that match; files deleted in the working tree are left out."""
    names = subprocess.check_output(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, text=True)
    files = (ROOT / name for name in names.split("\0") if name)
    return [file for file in files if file.is_file()]


def prose(file):
    """Number and text of each line outside code blocks."""
    fenced = False
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


@functools.cache
def anchors(file):
    """The anchors that GitHub gives the headings of a Markdown file, and explicit ones."""
    found = set()
    for _, line in prose(file):
        found.update(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", line))
        heading = HEADING.match(line)
        if heading:
            text = re.sub(r"\]\([^)]*\)", "", heading[1]).lower()
            base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            slug, again = base, 0
            while slug in found:
                again += 1
                slug = f"{base}-{again}"
            found.add(slug)
    return found


def problem(file, target):
    """Why a link in `file` is broken, or None."""
    parts = urllib.parse.urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    path = urllib.parse.unquote(parts.path)
    other = file if not path else (ROOT if path.startswith("/") else file.parent) / path.lstrip("/")
    if not other.exists():
        return "no such file"
    if not other.resolve().is_relative_to(ROOT):
        return "leaves the repository"
    if parts.fragment and other.suffix == ".md" and parts.fragment not in anchors(other.resolve()):
        return "no such heading"
    return None


def broken():
    """File, line, target and reason of each broken link."""
    for file in tracked("*.md"):
        for number, line in prose(file):
            text = re.sub(r"`[^`]*`(?!\])", "", line)
            for target in (found for pattern in LINKS for found in pattern.findall(text)):
                reason = problem(file, target)
                if reason:
                    yield file, number, target, reason
    for suffix, comment in COMMENT.items():
        for file in tracked(f"*{suffix}", *([".ci/run"] if suffix == ".sh" else [])):
            if file == pathlib.Path(__file__).resolve():
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                for target in MENTION.findall("".join(comment.findall(line))):
                    if "*" not in line and not (ROOT / target).exists():
                        yield file, number, target, "no such file"


def main():
    problems = list(broken())
    for file, number, target, reason in problems:
        print(f"{file.relative_to(ROOT)}:{number}: {target}: {reason}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
