#!/usr/bin/env python3
"""Runs the command in a pseudo-terminal of several sizes and looks at the screen, with a terminal emulator; and in
tmux, which breaks lines anew when it is resized, if it is installed.

    python -m venv /tmp/terminal && /tmp/terminal/bin/pip install pyte
    /tmp/terminal/bin/python scripts/check_terminal.py target/debug/onecycle
"""
import fcntl
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte

PROGRAM = Path(sys.argv[1]).resolve()
REPOSITORY = Path(__file__).resolve().parents[1]
TINY = ["--set", 'model="lenet5"', "--set", "data.limit=2000", "--set", "batch_size=32", "--set", "data.test_limit=500",
        "--set", "policy.lr_max=0.02"]
ENVIRONMENT = dict(os.environ, ONECYCLE_DATA=str(REPOSITORY / "data"), TERM="xterm-256color", LANG="C.UTF-8")
for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LC_ALL", "LC_CTYPE"):
    ENVIRONMENT.pop(name, None)
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


class Terminal:
    """A process in a pseudo-terminal, and its screen."""

    def __init__(self, columns, rows, arguments, folder, **environment):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, slave = os.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)], cwd=folder, env={**ENVIRONMENT, **environment}, stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self, seconds):
        """Reads for a time, and then to the end of what is being drawn, or to the end of the process. Returns
        whether the process has ended."""
        end = time.time() + seconds
        while True:
            if not select.select([self.master], [], [], 0.05)[0]:
                if time.time() >= end:
                    return False
                continue
            try:
                found = os.read(self.master, 65536)
            except OSError:
                return True
            if not found:
                return True
            self.raw += found
            self.stream.feed(found)

    def until(self, words, seconds=300):
        """Reads until the screen contains the words."""
        end = time.time() + seconds
        while words not in self.text():
            assert time.time() < end and not self.read(0.1), f"no {words!r}:\n{self.text()}"

    def finish(self, seconds=120):
        assert self.read(seconds), f"it has not ended:\n{self.text()}"
        assert self.process.wait() == 0, self.text()

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()


def one_dashboard(text, what):
    """The screen shows the dashboard once: nothing of an older one is left."""
    for pattern in (r"step \d+/\d+", r"^loss ", r"images/s|evaluating"):
        found = [line for line in text.splitlines() if re.search(pattern, line)]
        assert len(found) == 1, f"{what}: {len(found)} lines with {pattern!r}:\n{text}"


def sizes(folder):
    for columns, rows in ((40, 20), (80, 24), (200, 50)):
        terminal = Terminal(columns, rows, ["train", *TINY, "--epochs", 6, "--progress", "dashboard"], folder)
        terminal.until("best" if columns > 60 else "accuracy")
        terminal.read(0.5)
        text = terminal.text()
        one_dashboard(text, f"{columns} columns")
        assert "epoch " in text and "images/s" in text or "evaluating" in text, text
        if columns >= 60:
            assert all(len(line) < columns for line in text.splitlines() if "acc" in line), f"lines are too long:\n{text}"
            assert "▲" in text and "MB" in text and "left" in text, text
        assert COLOUR.search(terminal.raw), "there are no colours"
        print(f"{columns} columns:\n{text}\n")
        terminal.finish()
        text = terminal.text()
        assert "images/s" not in text, f"the dashboard is still there:\n{text}"
        assert "test accuracy" in terminal.raw.decode() and text.count("report ") == 1, text
        terminal.end()


def resized(folder):
    terminal = Terminal(120, 40, ["train", *TINY, "--epochs", 400], folder)
    terminal.until("best")
    for columns, rows in ((70, 20), (200, 50), (45, 12), (90, 8), (80, 24)):
        terminal.resize(columns, rows)
        # The rest of the old lines: this emulator cuts them instead of breaking them.
        terminal.screen.erase_in_display(2)
        terminal.read(1.5)
        text = terminal.text()
        assert re.search(r"step \d+/\d+", text), f"{columns} x {rows}:\n{text}"
        dashboard = text[text.rindex("lenet5 on") if columns > 60 else 0:]
        assert len(dashboard.splitlines()) < rows, f"{columns} x {rows}:\n{text}"
    # The message appears above the dashboard, and the dashboard disappears.
    terminal.process.send_signal(signal.SIGINT)
    terminal.read(20)
    text = terminal.text()
    assert "stopping after this step" in text and "continue with" in text and "images/s" not in text, text
    assert terminal.process.wait() == 130
    terminal.end()
    print("resized while it ran, then stopped by a signal")


def plain(folder):
    """Nothing moves the cursor without a terminal or with --progress plain; NO_COLOR has no colours."""
    for arguments, environment in (([], {"TERM": "dumb"}), (["--progress", "plain"], {})):
        terminal = Terminal(80, 24, ["train", *TINY, "--epochs", 1, *arguments], folder, **environment)
        terminal.finish()
        assert b"\x1b" not in terminal.raw and b"test accuracy" in terminal.raw, terminal.raw
        terminal.end()
    terminal = Terminal(80, 24, ["train", *TINY, "--epochs", 4], folder, NO_COLOR="1")
    terminal.until("best")
    one_dashboard(terminal.text(), "NO_COLOR")
    terminal.finish()
    assert not COLOUR.search(terminal.raw), "NO_COLOR has colours"
    terminal.end()
    terminal = Terminal(80, 24, ["train", *TINY, "--epochs", 4], folder, LC_ALL="C")
    terminal.until("best")
    terminal.finish()
    terminal.raw.decode("ascii")
    terminal.end()
    piped = subprocess.run([str(PROGRAM), "train", *TINY, "--epochs", "1", "--progress", "dashboard"], cwd=folder,
                           env=ENVIRONMENT, capture_output=True, check=True)
    assert b"\x1b" not in piped.stdout + piped.stderr and b"test accuracy" in piped.stdout
    print("plain, dumb, NO_COLOR, the locale C and a pipe")


def kinds(folder):
    for columns, arguments, wanted in ((50, [], "bar"), (100, ["--progress", "bar"], "bar"), (100, [], "dashboard")):
        terminal = Terminal(columns, 24, ["train", *TINY, "--epochs", 8, *arguments], folder)
        terminal.until("epoch")
        terminal.read(1.0)
        is_dashboard = "images/s" in terminal.text() or "evaluating" in terminal.text()
        assert is_dashboard == (wanted == "dashboard"), f"{wanted} of {columns} columns:\n{terminal.text()}"
        terminal.end()
    terminal = Terminal(100, 24, ["train", *TINY, "--epochs", 1, "--quiet"], folder)
    terminal.finish()
    assert b"\x1b" not in terminal.raw
    terminal.end()
    print("dashboard, bar and quiet")


def other_commands(folder):
    for name in ("a", "b"):
        (folder / f"{name}.toml").write_text("policy.lr_max = 0.02\n")
    study = ["compare", folder / "a.toml", folder / "b.toml", "--seeds", 2, *TINY, "--set", "epochs=3", "--out",
             folder / "study"]
    terminal = Terminal(100, 30, study, folder)
    terminal.until("run 3 of 4: ")
    terminal.until("finished  a ")
    terminal.read(0.3)
    one_dashboard(terminal.text(), "compare")
    print(f"compare:\n{terminal.text()}\n")
    terminal.finish()
    assert "images/s" not in terminal.text(), terminal.text()
    terminal.end()
    fit = ["fit", *TINY, "--quick", "--epochs", 4, "--num-steps", 30]
    terminal = Terminal(100, 40, fit, folder)
    terminal.until("best")
    terminal.read(0.3)
    one_dashboard(terminal.text(), "fit")
    terminal.end()
    print("compare and fit")


def in_tmux(folder):
    if not shutil.which("tmux"):
        print("there is no tmux")
        return
    server = ["tmux", "-L", f"onecycle-{os.getpid()}", "-f", "/dev/null"]

    def tmux(*arguments):
        return subprocess.run([*server, *map(str, arguments)], env=ENVIRONMENT, check=True, capture_output=True,
                              text=True).stdout

    # At the bottom of the screen, as after some use. On an empty screen, tmux moves the rows of broken lines into its
    # history, where no program can erase them.
    command = "seq 60; " + " ".join(f"'{word}'" for word in [str(PROGRAM), "train", *TINY, "--epochs", "2000"])
    tmux("new-session", "-d", "-x", 110, "-y", 40, "-c", folder, command)
    try:
        deadline = time.time() + 60
        while "best" not in (text := tmux("capture-pane", "-p")):
            assert time.time() < deadline, text
            time.sleep(0.2)
        for columns, rows in ((70, 30), (120, 40), (61, 30), (50, 30), (100, 30)):
            tmux("resize-window", "-x", columns, "-y", rows)
            time.sleep(1.5)
            # With the lines above the screen: tmux moves them there when it breaks lines.
            text = tmux("capture-pane", "-p", "-S", "-100").rstrip()
            one_dashboard(text, f"tmux of {columns} columns")
            assert re.search(r"^ +\d+ +\d\.\d+ ", text, re.MULTILINE), f"the table of epochs has gone:\n{text}"
    finally:
        # At once: after tmux's own signal, the run would still write a checkpoint into the folder.
        os.killpg(int(tmux("display-message", "-p", "#{pane_pid}")), signal.SIGKILL)
        subprocess.run([*server, "kill-server"], capture_output=True)
    print("resized in tmux")


with tempfile.TemporaryDirectory() as name:
    work = Path(name)
    for check in (sizes, resized, plain, kinds, other_commands, in_tmux):
        check(work)
print("the terminal shows what it should")
