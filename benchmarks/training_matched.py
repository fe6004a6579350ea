"""What each objective reaches in the same time: PGD-20 accuracy at a matched budget of seconds.

Every objective trains the same network on the same data for as many batches as the budget allows,
with one cycle of the learning rate over just those. What a batch takes is measured first, in turn
with those of all others; so are the seconds of the trainings themselves. Off the clock, what resists
PGD-20 is looked at once more: 2 × PGD-50 on the margin, which masked gradients do not stop.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from training_clock import (
    Clocked,
    batch_seconds,
    clock_of,
    margin_pgd50,
    network,
    pgd20,
    robust_accuracy,
)
from training_passes import objectives

from saddlepoint.data import TensorData
from saddlepoint.defences import Optimiser, Recipe, Schedule
from saddlepoint.threat import Linf

# What multiplies the peak learning rate, as in the recipes of the library: 0.2 for one step, 0.1 for
# several, 0.04 where the gradients of m = 5 sweeps add up or a batch is stepped on m times.
RATES = {"FGSM-RS": 2.0, "N-FGSM": 2.0, "YOPO-5-3": 0.4, "Free-8": 0.4}


@dataclass(frozen=True)
class Matched:
    """What is trained, and for how long.

    Args:
        model, widths: of the zoo, and how wide where it is not as it comes.
        eps: the budget of training and of PGD-20, whose step is eps/4.
        seconds: for each training.
        seeds: of the weights, the order and the attacks, from 0.
        batch: images.
        rate: the peak learning rate of several-step training.
        augmentation: see `Recipe`.
        rounds: batches of each that are timed beforehand.
    """

    model: str
    eps: float
    seconds: float
    widths: tuple[int, ...] = ()
    seeds: int = 3
    batch: int = 128
    rate: float = 0.1
    augmentation: str = "none"
    rounds: int = 15

    def network(self, train: TensorData, seed: int) -> nn.Module:
        options = {"widths": self.widths} if self.widths else None
        return network(self.model, train, seed=seed, options=options)

    def recipe(self, name: str, epochs: int = 1, autocast: Any = None) -> Recipe:
        return Recipe(
            objective=objectives(Linf(self.eps))[name].objective,
            epochs=epochs,
            batch_size=self.batch,
            optimiser=Optimiser(learning_rate=RATES.get(name, 1.0) * self.rate),
            schedule=Schedule("one-cycle"),
            augmentation=self.augmentation,
            autocast=autocast,
        )


def compare(
    matched: Matched,
    train: TensorData,
    test: TensorData,
    keep: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Return the accuracies of every objective and seed; `keep` gets what there is after each."""
    clock = clock_of(train.labels.device)
    names = list(objectives())
    spent = {
        name: Clocked(matched.network(train, 0), train, matched.recipe(name)) for name in names
    }
    seconds = batch_seconds(spent, matched.rounds, clock)
    steps = {name: max(1, round(matched.seconds / seconds[name])) for name in names}
    found: dict[str, Any] = {
        "settings": {**vars(matched), "train": len(train), "test": len(test), "data": train.name},
        "batch_seconds": seconds,
        "runs": [],
    }
    for seed in range(matched.seeds):  # all objectives of one seed, then of the next
        for name in names:
            net, recipe = matched.network(train, seed), matched.recipe(name)
            run = Clocked(net, train, recipe, seed, steps=steps[name])
            while not run.finished:
                loss = run.epoch()
            clean, robust = robust_accuracy(run.model, test, pgd20(matched.eps))
            found["runs"].append(
                {
                    "objective": name, "seed": seed, "steps": steps[name],
                    "epochs": steps[name] / run.state.steps, "seconds": run.seconds,
                    "clean": clean, "pgd20": robust, "loss": loss,
                    "margin_pgd50": robust_accuracy(run.model, test, margin_pgd50(matched.eps))[1],
                }
            )  # fmt: skip
            keep(found)
    return found


def tell(found: Mapping[str, Any]) -> None:
    """Print the mean and the standard deviation over the seeds."""
    print(
        f"{'objective':16}{'batches':>8}{'epochs':>8}{'seconds':>14}{'clean':>14}{'PGD-20':>14}"
        f"{'2 x PGD-50':>14}"
    )
    for name in found["batch_seconds"]:
        runs = [each for each in found["runs"] if each["objective"] == name]
        if runs:
            clean, robust, strong = (
                _spread([100 * each[key] for each in runs])
                for key in ("clean", "pgd20", "margin_pgd50")
            )
            print(
                f"{name:16}{runs[0]['steps']:8}{runs[0]['epochs']:8.1f}"
                f"{_spread([each['seconds'] for each in runs]):>14}{clean:>14}{robust:>14}{strong:>14}"
            )


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"
