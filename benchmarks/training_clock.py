"""Time as the benchmarks of training take it: medians of interleaved rounds, and epochs by a clock.

On a CPU with one thread it is the process's own time, which does not grow with what else the machine
does; elsewhere it is the wall's, with the device's queue empty at both ends.
"""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.attacks import PGD, Attack
from saddlepoint.data import TensorData
from saddlepoint.defences import Recipe, TrainingBatch
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training.feed import Feed
from saddlepoint.training.loop import take_step
from saddlepoint.training.randomness import forked_random_state
from saddlepoint.training.state import State
from saddlepoint.zoo import build_model

Clock = Callable[[], float]


def clock_of(device: torch.device) -> Clock:
    """Return a clock in seconds, which waits for the device before it tells."""
    if device.type == "cuda":

        def after_the_queue() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return after_the_queue
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def rounds_of(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Clock
) -> dict[str, list[float]]:
    """Return the seconds of each run in every round; they are taken in turn, after one round of
    warming up, so that whatever else the machine does hits all alike.
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began = clock()
            run()
            if number:
                found[name].append(clock() - began)
    return found


def medians(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Clock
) -> dict[str, float]:
    """Return the median seconds of each run; see `rounds_of`."""
    return {name: statistics.median(each) for name, each in rounds_of(runs, rounds, clock).items()}


def host_waits(run: Callable[[], object], device: torch.device) -> int | None:
    """Return how often a run waits for the device; None where there is nothing to wait for."""
    if device.type != "cuda":
        return None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in told)


class _Shortened(State):
    """A state whose training ends after any number of batches."""

    most: int | None = None

    @property
    def total(self) -> int:
        return super().total if self.most is None else self.most


@dataclass
class Clocked:
    """A training whose epochs are timed, and that stands still in between.

    Args:
        model: trained in place; in channels_last, its images are too.
        data: on the model's device.
        recipe: how; the schedule runs over its epochs.
        seed: of order, augmentation and attacks.
        last: the images are in channels_last.
        steps: batches of the whole training, which the schedule then runs over; None is all of the
            recipe's epochs.
    """

    model: nn.Module
    data: TensorData
    recipe: Recipe
    seed: int = 0
    last: bool = False
    steps: int | None = None
    seconds: float = 0.0
    state: _Shortened = field(init=False)

    def __post_init__(self) -> None:
        device = next(self.model.parameters()).device
        self._feed = Feed(self.data, self.recipe, self.seed, device)
        self.state = _Shortened(self.model, self.recipe, len(self.data), None, self.data)
        self.state.most = self.steps
        self._clock = clock_of(device)

    def batches(self, epoch: int) -> Iterator[TrainingBatch]:
        for batch in self._feed.epoch(epoch):
            yield replace(batch, images=laid_out(batch.images)) if self.last else batch

    @property
    def finished(self) -> bool:
        return self.state.done >= self.state.total

    def epoch(self) -> float:
        """Train for one epoch, or what is left of the training; return its mean loss. The seconds
        add up in `seconds`.
        """
        with forked_random_state():
            self.model.train()
            began = self._clock()
            for batch in self.batches(self.state.epoch):
                take_step(self.state, batch)
                if self.finished:
                    break
            record = self.state.finish_epoch()
            self.seconds += self._clock() - began
        return float(record["loss"])


def network(
    name: str,
    data: TensorData,
    *,
    seed: int = 0,
    last: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Return a network for the data, normalised by its statistics, on its device."""
    net = build_model(name, classes=len(data.classes), shape=data.shape, seed=seed, options=options)
    model: nn.Module = Normalised(net, data.mean, data.std)
    return model.to(
        data.labels.device, memory_format=torch.channels_last if last else torch.preserve_format
    )


def laid_out(images: Tensor) -> Tensor:
    """Return the images in channels_last: augmentation returns them channel by channel."""
    return images.contiguous(memory_format=torch.channels_last)


def batch_seconds(trainings: Mapping[str, Clocked], rounds: int, clock: Clock) -> dict[str, float]:
    """Return what a full batch of each training takes, in turn.

    The trainings are spent afterwards.
    """
    runs = {}
    for name, each in trainings.items():
        with forked_random_state():
            batch = next(each.batches(0))
        each.model.train()
        runs[name] = first_step(each, batch)
    with forked_random_state():
        return medians(runs, rounds, clock)


def first_step(training: Clocked, batch: TrainingBatch) -> Callable[[], None]:
    """Return a run that takes a step as if it were the first of an epoch."""

    def run() -> None:
        training.state.step = 0
        take_step(training.state, batch)

    return run


def robust_accuracy(
    model: nn.Module, test: TensorData, attack: Attack, part: int = 500
) -> tuple[float, float]:
    """Return the accuracy on clean images and under an attack, judged in full precision."""
    clean = robust = 0
    device = next(model.parameters()).device
    with _untuned():
        for ids in torch.arange(len(test)).split(part):
            images, labels = test.images(ids).to(device), test.labels[ids.to(test.labels.device)]
            result = attack(model, images, labels.to(device), seed=20, ids=ids)
            clean += int((~result.initially_wrong).sum())
            robust += int((~result.success).sum())
    return clean / len(test), robust / len(test)


@contextlib.contextmanager
def _untuned() -> Iterator[None]:
    """Leave cuDNN's search for the fastest kernels off: an attack's batches shrink, and each size
    would be searched for anew.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def pgd20(eps: float) -> PGD:
    """Return the attack that all are measured by."""
    return PGD(Linf(eps), steps=20, step_size=eps / 4)


def margin_pgd50(eps: float) -> PGD:
    """Return an attack on another loss with more steps, for what only seems to resist PGD-20."""
    return PGD(Linf(eps), steps=50, restarts=2, loss="margin", step_size=eps / 10)
