"""Small subjects for the tests of training, evaluation and the command line, and jobs that may be
killed.

A job runs in a process of its own, forked from a server that has torch imported already, so that
each costs milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import resource
import signal
from pathlib import Path

import torch
from torch import nn

from saddlepoint.data import load_data
from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.training import train

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    # torch imports _dynamo, and the digits scikit-learn, when they are first used.
    ["saddlepoint.training", "saddlepoint.evaluation", "torch._dynamo", "sklearn.datasets"]
)


@functools.cache
def digits(split="train", limit=None):
    return load_data("digits", split=split, limit=limit)


def conv(seed=0, dropout=0.0, norm=False):
    """A convolutional network for digits; two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            *([nn.BatchNorm2d(8)] if norm else []),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Linear(128, 10),
        )


@functools.cache
def _trained_state():
    recipe = Recipe(epochs=3, batch_size=64, optimiser=Optimiser(learning_rate=0.1))
    return train(conv(), digits(), recipe).model.state_dict()


def trained(dtype=torch.float32):
    """The network after three epochs: right on 96 % of the digits, and not robust."""
    net = conv()
    net.load_state_dict(_trained_state())
    return net.eval().to(dtype)


def same(a, b):
    """Say whether two state dicts are equal to the bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def finish(target, *args, timeout=120):
    """Run `target(*args)` in a process of its own; return its exit code (−9 where it was killed)."""
    process = CONTEXT.Process(target=_alone, args=(target, args))
    process.start()
    process.join(timeout)
    assert process.exitcode is not None, "the job hangs"
    return process.exitcode


def start(target, *args):
    process = CONTEXT.Process(target=_alone, args=(target, args))
    process.start()
    return process


def _alone(target, args):
    torch.set_num_threads(1)
    target(*args)


def after_stages(count, act):
    """A progress that acts when more attacks than `count` have ended on a part of the images."""
    ended = 0

    def progress(tick):
        nonlocal ended
        ended += not tick.step and tick.done == tick.total
        if ended > count:
            act()

    return progress


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def limit_files(size):
    """From now on no file of this process grows beyond `size` bytes: a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def command(arguments, out, err, size=None):
    """Run the command line with its streams in files; the exit status is that of the process."""
    from saddlepoint.cli import run

    if size is not None:
        limit_files(size)
    with (
        Path(out).open("w") as o,
        Path(err).open("w") as e,
        contextlib.redirect_stdout(o),
        contextlib.redirect_stderr(e),
    ):
        status = run([str(each) for each in arguments])
    os._exit(status)
