"""Seconds to a PGD-20 accuracy: a few objectives, one after another, on one device.

Only epochs are on the clock: batches, augmentation, perturbation and descent. The device warms up
before it, and after every epoch the network stands still while it is attacked. What there is is
written after every epoch, so that a kill loses no more than one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from training_clock import (
    Clocked,
    clock_of,
    first_step,
    host_waits,
    margin_pgd50,
    network,
    pgd20,
    robust_accuracy,
)
from training_matched import Matched

from saddlepoint.data import TensorData
from saddlepoint.defences import TrainingBatch
from saddlepoint.training.randomness import forked_random_state

_WARM, _LEAST = 8, 2  # batches that warm up; epochs below which a race is not begun


@dataclass(frozen=True)
class Race:
    """Who races, and to what.

    Args:
        training: network, budget, batch size, rate, augmentation; `seconds` is of all races with
            their attacks.
        names: the objectives, in their order.
        epochs: of each; of fewer where the seconds do not suffice.
        target: the PGD-20 accuracy.
        bf16: the passes of training run in bfloat16; attacks of the evaluation do not.
    """

    training: Matched
    names: tuple[str, ...] = ("N-FGSM", "YOPO-5-3", "PGD-10")
    epochs: int = 15
    target: float = 0.4
    bf16: bool = True


def race(
    settings: Race,
    train: TensorData,
    test: TensorData,
    keep: Callable[[Mapping[str, Any]], None],
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Return the course of every race; `keep` gets what there is after each epoch."""
    own = {**vars(settings), "training": vars(settings.training)}
    found: dict[str, Any] = {"settings": own, "races": []}
    ends = time.perf_counter() + settings.training.seconds
    for name in settings.names:
        course = _prepared(settings, name, train, test, ends)
        found["races"].append(course)
        keep(found)
        say(
            f"\n{name}: about {course['epoch_seconds']:.2f} s an epoch, {course['epochs']} epochs"
            + (", too few seconds are left" if course["epochs"] < _LEAST else "")
        )
        if course["epochs"] >= _LEAST:
            for line in _run(settings, name, train, test, course):
                say(line)
                keep(found)
    return found


def _started(settings: Race, name: str, train: TensorData, epochs: int) -> Clocked:
    recipe = settings.training.recipe(name, epochs, "bf16" if settings.bf16 else None)
    model = network(settings.training.model, train, last=True)
    return Clocked(model, train, recipe, last=True)


def _prepared(
    settings: Race, name: str, train: TensorData, test: TensorData, ends: float
) -> dict[str, Any]:
    """Warm up on a network that is thrown away; find how many epochs there is time for."""
    trial = _started(settings, name, train, 1)
    trial.model.train()
    clock, device = clock_of(train.labels.device), train.labels.device
    with forked_random_state():
        batches = list(islice(trial.batches(0), 2 * _WARM))
        for batch in (*batches[:_WARM], _short(batches[0], len(train))):
            first_step(trial, batch)()
        began = clock()
        for batch in batches[_WARM:] or batches:
            first_step(trial, batch)()
        each = (clock() - began) / len(batches[_WARM:] or batches)
        waits = host_waits(first_step(trial, batches[0]), device)
    began = time.perf_counter()
    _attacked(settings, trial, test)
    looked = time.perf_counter() - began
    epoch = each * len(train) / settings.training.batch
    # Twice an attack's time is left for the last, longer one.
    left = ends - time.perf_counter() - 2 * looked
    epochs = max(0, min(settings.epochs, int(left / (epoch + looked))))
    return {
        "objective": name, "epoch_seconds": epoch, "epochs": epochs, "host_waits_of_a_step": waits,
        "seconds_to_target": None, "course": [],
    }  # fmt: skip


def _short(batch: TrainingBatch, images: int) -> TrainingBatch:
    """Return a batch of the size of an epoch's last, whose kernels are looked for as well."""
    n = images % len(batch.images) or len(batch.images)
    return replace(batch, images=batch.images[:n], labels=batch.labels[:n], ids=batch.ids[:n])


def _run(
    settings: Race, name: str, train: TensorData, test: TensorData, course: dict[str, Any]
) -> Iterator[str]:
    """Train and look, epoch by epoch; yield a line of each."""
    run = _started(settings, name, train, course["epochs"])
    for epoch in range(1, course["epochs"] + 1):
        loss = run.epoch()
        clean, robust = _attacked(settings, run, test)
        course["course"].append(
            {"epoch": epoch, "seconds": run.seconds, "loss": loss, "clean": clean, "pgd20": robust}
        )
        if robust >= settings.target and course["seconds_to_target"] is None:
            course["seconds_to_target"] = run.seconds
        yield (
            f"  {epoch:3} {run.seconds:8.2f} s   loss {loss:.3f}   clean {100 * clean:5.1f} %"
            f"   PGD-20 {100 * robust:5.1f} %"
        )
    again = margin_pgd50(settings.training.eps)
    margin = course["margin_pgd50"] = robust_accuracy(run.model, test, again, part=1000)[1]
    reached = course["seconds_to_target"]
    yield (
        f"  {100 * settings.target:g} % PGD-20: "
        + ("not reached" if reached is None else f"{reached:.2f} s")
        + f"; at the end 2 × PGD-50 on the margin: {100 * margin:.1f} %"
    )


def _attacked(settings: Race, run: Clocked, test: TensorData) -> tuple[float, float]:
    return robust_accuracy(run.model, test, pgd20(settings.training.eps), part=1000)
