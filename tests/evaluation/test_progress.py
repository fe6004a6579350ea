"""What long work tells its caller: every attack its steps, without knowing of it."""

from __future__ import annotations

import contextlib
import itertools
import time

import pytest
import torch
from small import conv, digits, trained
from torch import nn

from saddlepoint import progress
from saddlepoint.attacks import FAB, PGD, AtBudget, Restarted, Transfer, foreign
from saddlepoint.defences import AdversarialTraining, Recipe
from saddlepoint.evaluation import evaluate, forecast, run_attack
from saddlepoint.evaluation.forecast import Forecast, Stage
from saddlepoint.progress import Meter, passed, watched_by
from saddlepoint.threat import Linf
from saddlepoint.training import train


@pytest.fixture(name="every_pass")
def _every_pass(monkeypatch):
    """A tick for every pass, however soon after the one before."""
    for module in (progress, forecast):
        monkeypatch.setattr(module, "EVERY", 0.0)


def test_an_evaluation_tells_what_its_record_says(every_pass):
    ticks = []
    arguments = trained(), digits("test", 40), Linf()
    options = {"eps": [0.02, 0.1], "suite": "quick", "batch_size": 16}
    record = evaluate(*arguments, progress=ticks.append, **options, diagnosis=None)
    assert record.attempts.equals(evaluate(*arguments, **options, diagnosis=None).attempts)
    ends = [tick for tick in ticks if tick.ended]
    shares = record.by_attack()
    attacked = [share for share in shares if share.attacked]
    assert [tick.attack for tick in ends] == [share.attack for share in attacked]
    for tick, share in zip(ends, attacked, strict=True):
        assert tick.robust_accuracy == pytest.approx(share.robust_accuracy.value)
        assert f"{share.fooled:,} of {share.attacked:,} fooled" in tick.ended
        assert tick.done == tick.total
    spent = [sum(record.attempts[name].to_pylist()) for name in ("forwards", "backwards")]
    assert [ends[-1].forwards, ends[-1].backwards] == spent
    within = [tick for tick in ticks if tick.step]
    assert all(0 <= tick.step <= tick.steps or not tick.steps for tick in within)
    assert any(tick.attack == "apgd" and tick.step == 10 for tick in within)
    assert all(tick.seconds_left is not None for tick in within[5:])
    assert ends[-1].seconds_left == pytest.approx(0.0, abs=0.05)
    assert ends[-1].share == pytest.approx(1.0, abs=0.05)


def steps_in_vain(model, images, labels):
    for _ in range(7):
        model(images)
    return images


@pytest.mark.parametrize(
    ("attack", "least"),
    [
        (PGD(Linf(0.001), steps=6), 6),
        (Restarted(PGD(Linf(0.001), steps=6), 2), 12),
        (AtBudget(FAB(Linf(), steps=3), Linf(0.001)), 6),
        (Transfer(PGD(Linf(0.001), steps=6), conv(seed=3)), 6),
        (foreign(steps_in_vain, Linf(0.001)), 7),
    ],
    ids=["pgd", "restarted", "fab", "transfer", "foreign"],
)
def test_every_attack_tells_its_steps(every_pass, attack, least):
    ticks = []
    run_attack(trained(), digits("test", 8), attack, progress=ticks.append)
    steps = [tick.step for tick in ticks if tick.step]
    # Several gradients at one point are one step.
    assert list(dict.fromkeys(steps))[:least] == list(range(1, least + 1))
    assert ticks[-1].ended.startswith(f"Linf 0.001, {type(attack).__name__}: ")


def test_a_training_tells_steps_passes_and_epochs(every_pass):
    ticks = []
    recipe = Recipe(objective=AdversarialTraining(PGD(Linf(0.1), steps=3)), epochs=2, batch_size=32)
    train(conv(), digits(limit=64), recipe, test=digits("test", 20), progress=ticks.append)
    assert {tick.total for tick in ticks} == {4}
    within = [tick.step for tick in ticks if tick.done == 1 and not tick.ended]
    assert within[:5] == [0, 1, 2, 3, 4]  # three of the attack, and the descent's
    lines = [tick.ended for tick in ticks if tick.ended]
    assert [line[:12] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("robust accuracy" in line and "test accuracy" in line for line in lines)
    assert ticks[-1].share == 1.0
    assert ticks[-1].seconds_left == 0.0


def test_the_estimate_follows_what_is_seen(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    ticks = []
    stages = [Stage("cheap", "Linf 0.1", 10), Stage("dear", "Linf 0.1", 1000)]
    told = Forecast(ticks.append, stages, images=100)
    told.begin(stages[0], standing=100)
    with told.batch(100):
        for _ in range(10):
            clock[0] += 1.0
            told.passed(100)
    # Nobody has fallen yet: a thousand passes at a second each are left.
    assert ticks[-1].seconds_left == pytest.approx(1000)
    told.end(fooled=75, forwards=1000, backwards=1000)
    assert ticks[-1].seconds_left == pytest.approx(250)
    told.begin(stages[1], standing=25)
    with told.batch(25):
        clock[0] += 0.25
        told.passed(25)
        assert ticks[-1].seconds_left == pytest.approx(249.75)
        for _ in range(99):  # it ends far sooner than expected
            clock[0] += 0.25
            told.passed(25)
    told.end(fooled=0, forwards=0, backwards=0)
    assert ticks[-1].seconds_left == 0
    assert ticks[-1].robust_accuracy == 0.25


def test_a_stage_is_told_once_of_all_images():
    ticks = []
    stage = Stage("pgd", "Linf 0.1", 5)
    told = Forecast(ticks.append, [stage], images=30)
    told.begin(stage, standing=30)
    for _ in range(3):
        with told.batch(10):
            told.passed(10)
    told.end(fooled=15, forwards=30, backwards=0)
    assert [tick.done for tick in ticks][-1] == 30
    (line,) = [tick.ended for tick in ticks if tick.ended]
    assert line.startswith("Linf 0.1, pgd: 15 of 30 fooled; robust accuracy 50.00 %")


def test_a_pass_costs_next_to_nothing():
    rounds = 20_000
    with watched_by(Meter(lambda tick: None, 3, "steps")):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            for _ in itertools.repeat(None, rounds):
                passed(128)
            times.append((time.perf_counter() - began) / rounds)
    assert min(times) < 2e-5  # seconds; a pass of the smallest network takes ten times as long


def test_who_watched_before_watches_again():
    first, second = (Meter(lambda tick: None, 3, "steps") for _ in range(2))
    seen = []
    first.passed = lambda rows: seen.append("first")
    second.passed = lambda rows: seen.append("second")
    with watched_by(first):
        with contextlib.suppress(ZeroDivisionError), watched_by(second):
            passed(1)
            raise ZeroDivisionError
        passed(1)
    passed(1)
    assert seen == ["second", "first"]


def test_what_the_callable_raises_stops_the_work():
    def stop(tick):
        raise LookupError(tick.what)

    with pytest.raises(LookupError, match=r"Linf 0\.1, PGD"):
        run_attack(nn.Flatten(), digits("test", 8).first(4), PGD(Linf(0.1)), progress=stop)
    passed(1)  # nobody is told any more
    assert torch.is_grad_enabled()
