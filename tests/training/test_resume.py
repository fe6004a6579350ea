"""A training that was killed or stopped anywhere ends, resumed, in the same bits."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import pytest
import torch
from sampled import mostly_slow
from small import conv, die, digits, finish, same, start
from torch import nn

from saddlepoint.attacks import PGD
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe, Schedule
from saddlepoint.errors import InputError
from saddlepoint.threat import Linf
from saddlepoint.training import Interrupted, read_metrics, train

ADVERSARIAL = AdversarialTraining(PGD(Linf(0.1), steps=2))
SGD = Optimiser("sgd", 0.05)
STEPS = 5  # of an epoch: 160 images in batches of 32


class Drift(nn.Module):
    """A penalty with a state that every call moves."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def __call__(self, model):
        self.calls += 1
        return self.calls * sum((p**2).sum() for p in model.parameters())


@dataclass(frozen=True)
class ExtraLayer:
    """A transform that draws its weights at random."""

    width: int = 10

    def __call__(self, model):
        return nn.Sequential(model, nn.Linear(10, self.width))


RECIPES = {
    "plain": {},
    "ema": {"ema": 0.9},
    "adam": {"optimiser": Optimiser("adam", 0.01)},
    "adamw": {"optimiser": Optimiser("adamw", 0.01), "schedule": Schedule("cosine")},
    "no momentum": {"optimiser": Optimiser("sgd", 0.05, momentum=0.0)},
    "adversarial": {"objective": ADVERSARIAL, "ema": 0.9, "augmentation": "crop-flip"},
    "bf16": {"autocast": "bf16"},
    "penalty": {"penalties": ((1e-4, Drift()),)},
    "transform": {"transforms": (ExtraLayer(),)},
}


def case(name):
    return Recipe(**{"epochs": 3, "batch_size": 32, "optimiser": SGD, **RECIPES[name]})


def run(name, out, resume=False, progress=None):
    net = conv(dropout=0.3, norm=True)
    return train(
        net, digits(limit=160), case(name), out=out, test=digits("test", 50), resume=resume,
        progress=progress,
    )  # fmt: skip


def killed_at(name, out, step):
    """Die like a process under kill -9, in the given step of the whole."""
    run(name, out, progress=lambda tick: die() if tick.done == step else None)


def killed_writing(name, out, number):
    """Die in the middle of the `number`-th file that goes to the disk."""
    fsync, count = os.fsync, [0]

    def counted(handle):
        count[0] += 1
        if count[0] == number:
            die()
        fsync(handle)

    os.fsync = counted
    run(name, out)


def resumed(name, out):
    run(name, out, resume=True)


def timeless(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of each recipe without interruption."""
    done = {}

    def get(name):
        if name not in done:
            out = tmp_path_factory.mktemp("whole")
            torch.set_num_threads(1)
            run(name, out)
            done[name] = ((out / "model.safetensors").read_bytes(), timeless(read_metrics(out)))
        return done[name]

    return get


def check(name, out, whole):
    weights, metrics = whole(name)
    assert (out / "model.safetensors").read_bytes() == weights
    assert timeless(read_metrics(out)) == metrics
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("name", mostly_slow(RECIPES, list(RECIPES)[::2]))
def test_killed_in_the_second_epoch_and_resumed_the_weights_are_the_same_to_the_bit(
    tmp_path, whole, name
):
    assert finish(killed_at, name, tmp_path, STEPS + 3) == -signal.SIGKILL
    assert not (tmp_path / "model.safetensors").exists()
    assert finish(resumed, name, tmp_path) == 0
    check(name, tmp_path, whole)


@pytest.mark.parametrize("step", [1, STEPS, 2 * STEPS, 3 * STEPS])
def test_killed_at_any_step_and_resumed_the_weights_are_the_same(tmp_path, whole, step):
    assert finish(killed_at, "adversarial", tmp_path, step) == -signal.SIGKILL
    run("adversarial", tmp_path, resume=True)
    check("adversarial", tmp_path, whole)


# A checkpoint is 5 writes here: model, optimiser, ema, state and the folder; the run file is the
# first of all.
@pytest.mark.parametrize("number", mostly_slow([2, 4, 6, 7, 9, 11, 16], quick=[4, 7, 11]))
def test_killed_while_writing_a_checkpoint_the_one_before_is_taken(tmp_path, whole, number):
    assert finish(killed_writing, "ema", tmp_path, number) == -signal.SIGKILL
    run("ema", tmp_path, resume=True)
    check("ema", tmp_path, whole)


def test_killed_twice_from_outside_at_whatever_moment(tmp_path, whole):
    for _ in range(2):
        process = start(run, "ema", tmp_path, (tmp_path / "run.json").exists())
        before = time.monotonic()
        while not list(tmp_path.glob("checkpoints/epoch-*")) and time.monotonic() - before < 30:
            time.sleep(0.002)
        process.kill()
        process.join()
    run("ema", tmp_path, resume=True)
    check("ema", tmp_path, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [2, STEPS, STEPS + 3])
def test_a_signal_stops_after_a_checkpoint_in_the_middle_of_an_epoch(tmp_path, whole, number, step):
    before = signal.getsignal(number)

    def progress(tick):
        if tick.done == step and not tick.step:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match=number.name) as caught:
        run("adversarial", tmp_path, progress=progress)
    assert caught.value.signal == number
    assert caught.value.saved
    assert signal.getsignal(number) is before
    [newest] = sorted((tmp_path / "checkpoints").iterdir())[-1:]
    assert newest.name == f"epoch-{(step - 1) // STEPS:04d}-step-{(step - 1) % STEPS + 1:06d}"
    run("adversarial", tmp_path, resume=True)
    check("adversarial", tmp_path, whole)


def test_stopped_in_every_epoch_twice_the_weights_are_still_the_same(tmp_path, whole):
    stops = iter([1, 3, 6, 9, 12, 14])
    for number in range(7):
        target = next(stops, None)

        def progress(tick, target=target):
            if tick.done == target and not tick.step:
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            run("penalty", tmp_path, resume=number > 0, progress=progress)
        except Interrupted:
            continue
    check("penalty", tmp_path, whole)


def test_a_signal_without_a_folder_promises_no_checkpoint():
    told = []

    def stop(tick):
        told.append(tick)
        if len(told) == 1:  # a second one would end the process
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        train(conv(), digits(limit=64), Recipe(epochs=1), progress=stop)
    assert "checkpoint" not in str(caught.value)
    assert not caught.value.saved


def test_a_finished_training_resumed_is_the_same_again(tmp_path, whole):
    first = run("ema", tmp_path)
    second = run("ema", tmp_path, resume=True)
    assert same(first.model.state_dict(), second.model.state_dict())
    assert first.metrics == second.metrics
    check("ema", tmp_path, whole)


def test_without_resume_a_run_that_has_results_is_not_touched(tmp_path):
    run("plain", tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="holds this run already; pass --resume"):
        run("plain", tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": Recipe(epochs=2, batch_size=32)}, "recipe.batch_size was 64, is now 32"),
        ({"recipe": Recipe(epochs=3, batch_size=64)}, "recipe.epochs was 2, is now 3"),
        (
            {"recipe": Recipe(epochs=2, batch_size=64, optimiser=Optimiser(learning_rate=0.2))},
            "recipe.optimiser.learning_rate was 0.1, is now 0.2",
        ),
        (
            {"recipe": Recipe(objective=ADVERSARIAL, epochs=2, batch_size=64)},
            "recipe.objective.type was Standard, is now AdversarialTraining",
        ),
        ({"seed": 1}, "seed was 0, is now 1"),
        ({"data": digits(limit=100)}, "data.images was 64, is now 100"),
        ({"identity": {"model": "b"}}, "identity.model was a, is now b"),
    ],
)
def test_resuming_another_run_names_the_difference(tmp_path, change, named):
    same = {
        "data": digits(limit=64),
        "recipe": Recipe(epochs=2, batch_size=64),
        "identity": {"model": "a"},
    }
    train(conv(), out=tmp_path, **same)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InputError) as caught:
        train(conv(), out=tmp_path, resume=True, **{**same, **change})
    assert named in str(caught.value)
    assert "choose another folder" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_resume_without_a_folder_is_an_error():
    with pytest.raises(InputError, match="nothing to resume without an output folder"):
        train(conv(), digits(limit=64), Recipe(epochs=1), resume=True)
