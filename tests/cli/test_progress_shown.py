"""What a terminal shows while a command works, recorded in a pseudo-terminal; and that elsewhere
nothing is shown but lines of text, one a minute at most.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import itertools
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from commandline import cli_fixture  # noqa: F401
from sampled import mostly_slow
from small import start

from saddlepoint.cli import display
from saddlepoint.cli.display import Display
from saddlepoint.progress import Tick

SLOW = """
import time, torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        time.sleep({seconds})
        return self.net(x)

def net(classes):
    return Slow()
"""
STUDY = """
name: small
data: {name: digits, train_limit: 64, test_limit: 16}
eps: [0.1]
attacks: {pgd: {name: pgd}}
recipe: {epochs: 2, batch_size: 16}
variants: {original: []}
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\r")
MOVING = re.compile(r"(\d+\.\d %)|step (\d+)|(\d[\d,]*) images passed|(\d+ s\b)|(\d+) of \d+")
LEFT = re.compile(r"\d:\d\d left")


def in_terminal(terminal, words):
    """Run a command in a terminal of its own."""
    os.setsid()
    device = os.open(terminal, os.O_RDWR)
    for stream in range(3):
        os.dup2(device, stream)
    os.environ["TERM"] = "xterm-256color"
    sys.stdout, sys.stderr = (os.fdopen(number, "w") for number in (1, 2))
    from saddlepoint.cli import run

    os._exit(run(words))


def recorded(words, seconds):
    """What a command writes to a terminal, with times; it is interrupted after some seconds."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = start(in_terminal, os.ttyname(slave), [str(word) for word in words])
    frames, told = [], False
    began, end = time.monotonic(), time.monotonic() + 60
    first = None
    while process.is_alive() or select.select([master], [], [], 0)[0]:
        assert time.monotonic() < end
        if select.select([master], [], [], 0.05)[0]:
            text = ESCAPES.sub("", os.read(master, 65536).decode(errors="replace"))
            frames.append((time.monotonic() - began, text))
            if first is None and LEFT.search(text):
                first = time.monotonic()
        if first is not None and not told and time.monotonic() - first > seconds:
            told = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)
    process.join()
    os.close(master)
    os.close(slave)
    return frames


def check_moved(frames):
    """The numbers of the bar changed at least every two seconds from the first to the last."""
    text = "".join(each for _, each in frames)
    assert "0/?" not in text
    assert LEFT.search(text), text
    seen, changes = None, []
    for at, each in frames:
        numbers = MOVING.findall(each)
        if numbers and numbers != seen:
            seen = numbers
            changes.append(at)
    assert len(changes) > 5, text
    assert max(b - a for a, b in itertools.pairwise(changes)) <= 2.0, changes
    return text


@pytest.fixture(name="slow")
def _slow(tmp_path):
    def written(seconds):
        file = tmp_path / "slow.py"
        file.write_text(SLOW.format(seconds=seconds))
        return f"{file}:net"

    return written


COMMANDS = {
    "evaluate": (0.1, ("--eps", 0.01, "--suite", "standard", "--limit", 20, "--normalisation", "none")),
    "attack": (0.02, ("--attack", "cw-l2", "--norm", "l2", "--limit", 20, "--normalisation", "none")),
    "train": (0.1, ("--recipe", "adversarial", "--limit", 60, "--batch-size", 20)),
    "lab": (0.05, ("constant-c", "--epochs", 1, "--train-limit", 100)),
}  # fmt: skip


@pytest.mark.parametrize("name", mostly_slow(COMMANDS, quick=["evaluate", "train"]))
def test_the_bar_moves_every_two_seconds(name, slow, tmp_path):
    seconds, words = COMMANDS[name]
    where = ("--data", "digits", "--model", slow(seconds), "--out", tmp_path / "out")
    text = check_moved(recorded((name, *words, *where), 2.5))
    assert "step" in text
    if name != "lab":
        assert "stopped" in text or "stop" in text


@pytest.mark.slow
def test_the_bar_of_a_study_moves_too_and_the_table_says_what_is_next(tmp_path):
    file, out = tmp_path / "study.yaml", tmp_path / "out"
    file.write_text(STUDY)
    master, slave = os.openpty()
    words = (sys.executable, "-m", "saddlepoint", "study", "run", file, "--out", out)
    process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    frames, began = [], time.monotonic()
    with contextlib.suppress(OSError):  # the terminal is gone when the command has ended
        while text := os.read(master, 65536):
            frames.append(
                (time.monotonic() - began, ESCAPES.sub("", text.decode(errors="replace")))
            )
    os.close(master)
    assert process.wait() == 0
    check_moved([(at, each) for at, each in frames if "cells" in each])
    assert "saddlepoint study report" in "".join(each for _, each in frames)


def test_where_nobody_watches_there_is_a_line_a_minute_and_no_escape(monkeypatch):
    clock, lines = [1000.0], []
    monkeypatch.setattr(display.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Display(lines.append) as shown:
        shown.begin("evaluating")
        for second in range(150):
            clock[0] = 1000.0 + second
            ended = f"apgd: {second} fooled" if second in (3, 70) else ""
            shown.progress(
                Tick(what="Linf 0.1, fab", done=second, total=150, share=second / 150,
                     seconds_left=150.0 - second, ended=ended)
            )  # fmt: skip
    assert lines == ["evaluating: apgd: 3 fooled", "evaluating: apgd: 70 fooled"]


def test_a_short_command_shows_nothing_where_nobody_watches(cli, tmp_path, slow):
    found = cli(
        "attack", "--data", "digits", "--limit", 5, "--model", slow(0), "--attack", "fgsm",
        "--eps", 0.1, "--out", tmp_path / "a",
    )  # fmt: skip
    assert found.status == 0, found
    assert found.err == ""
    assert "\x1b" not in found.out
