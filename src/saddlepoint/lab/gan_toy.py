"""Does the game of GANs end where the theory says? Toys with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.discrete_game import (
    best_discriminator,
    check_distributions,
    fitted_discriminator,
    jensen_shannon,
    value_of,
)
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.line_game import LineRecord, play_on_line
from saddlepoint.lab.table import Cell, Table
from saddlepoint.objectives import GENERATOR_LOSSES
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import Course
from saddlepoint.streams import derive, generator


@dataclass(frozen=True)
class ToySettings(Settings):
    """Settings of `run_gan_toy`.

    Args:
        p, g: the probabilities of a few outcomes under the data and under a generator.
        samples: of each, that the discriminator's logistic regression sees.
        steps, batch, hidden, learning_rate: of the game on the line; the rate is the generator's.
        seeds: games of each loss.

    >>> ToySettings(p=(0.5, 0.6))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: p and g are (0.5, 0.6) and (0.1, 0.3, 0.6); give positive numbers ...
    """

    p: tuple[Positive, ...] = (0.5, 0.3, 0.2)
    g: tuple[Positive, ...] = (0.1, 0.3, 0.6)
    samples: Count = 20_000
    steps: Count = 2000
    batch: Count = 256
    hidden: Count = 64
    learning_rate: Positive = 1e-3
    seeds: Count = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_distributions(self.p, self.g)


@dataclass(frozen=True, eq=False)
class DiscreteGame:
    """The game over a few outcomes against one generator.

    Attributes:
        generator: its name.
        value: V at D*.
        js: of p and g, in nats; V = −log 4 + 2·JS.
        best, fitted: D* and the D that was learned, outcome by outcome.
    """

    generator: str
    value: float
    js: float
    best: tuple[float, ...]
    fitted: tuple[float, ...]

    @property
    def error(self) -> float:
        """The largest |D − D*|."""
        return max(abs(a - b) for a, b in zip(self.best, self.fitted, strict=True))


@dataclass(frozen=True, eq=False)
class ToyFindings:
    """What was found.

    Attributes:
        discrete: against g = p and against g.
        line: (loss, seed) → where the game on the line stood.
        histograms: (loss, seed) → of G at the end.

    >>> one = DiscreteGame("p", -1.386, 0.0, (0.5, 0.5), (0.49, 0.52))
    >>> found = ToyFindings((one,), {("minimax", 1): [LineRecord(10, 0.01, 0.5, 0.5, 0.1)]}, {})
    >>> found.tables()["summary"].rows[1]
    ('line, minimax, seed 1', nan, 0.01, 0.5, 0.5, 0.1)
    """

    discrete: tuple[DiscreteGame, ...]
    line: Mapping[tuple[str, int], list[LineRecord]]
    histograms: Mapping[tuple[str, int], Float[Tensor, " m"]]

    def tables(self) -> Mapping[str, Table]:
        """Return a short table, D outcome by outcome, the games by step, and gradients."""
        nan = float("nan")
        rows: list[tuple[Cell, ...]] = [
            (f"discrete, g = {d.generator}", d.value, d.js, nan, nan, d.error)
            for d in self.discrete
        ]
        rows += [
            (f"line, {loss}, seed {seed}", nan, r[-1].js, r[-1].on_data, r[-1].on_samples, r[-1].away)
            for (loss, seed), r in self.line.items()
        ]  # fmt: skip
        outcomes = tuple(
            (d.generator, i + 1, best, fitted)
            for d in self.discrete
            for i, (best, fitted) in enumerate(zip(d.best, d.fitted, strict=True))
        )
        steps = tuple(
            (loss, seed, r.step, r.js, r.on_data, r.on_samples, r.away)
            for (loss, seed), records in self.line.items() for r in records
        )  # fmt: skip
        logits, slopes = generator_gradients()
        return {
            "summary": Table(
                ("game", "V at D*", "JS (nats)", "D of data", "D of samples", "away from D*"),
                tuple(rows),
            ),
            "outcomes": Table(("g", "outcome", "D*", "D learned"), outcomes),
            "steps": Table(
                ("loss", "seed", "step", "JS (nats)", "D of data", "D of samples", "away from 1/2"),
                steps,
            ),
            "gradients": Table.of({"logit": logits, **slopes}),
        }


def run_gan_toy(bench: Bench, settings: ToySettings) -> ToyFindings:
    """Fit D to two generators over a few outcomes, and play the whole game on a line with both losses.

    Goodfellow et al. 2014, arXiv:1406.2661, propositions 1 and 2: D* = p / (p + g); V at D* is
    −log 4 + 2·JS(p‖g), least at g = p, where D = 1/2. No image of the bench is looked at.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=2)
    >>> found = run_gan_toy(Bench(data, lambda: data), ToySettings(steps=2, seeds=1, hidden=4))
    >>> [round(each.value, 7) for each in found.discrete]
    [-1.3862944, -1.1360931]
    """
    p = torch.tensor(settings.p, dtype=torch.float64)
    discrete = []
    for name, chosen in (("p", settings.p), ("given", settings.g)):
        g = torch.tensor(chosen, dtype=torch.float64)
        best = best_discriminator(p, g)
        drawn = generator(bench.seed, "outcomes", name)
        fitted = fitted_discriminator(settings.p, chosen, settings.samples, drawn)
        value = float(value_of(best, p, g))
        discrete.append(
            DiscreteGame(name, value, jensen_shannon(p, g), tuple(best.tolist()), tuple(fitted.tolist()))
        )  # fmt: skip
    line, histograms = {}, {}
    course = Course(bench.progress, len(GENERATOR_LOSSES) * settings.seeds)
    for loss in GENERATOR_LOSSES:
        for i in range(settings.seeds):
            course.next(f"{loss}, seed {i + 1}")
            line[loss, i + 1], histograms[loss, i + 1] = play_on_line(
                loss, derive(bench.seed, "line", i), steps=settings.steps, batch=settings.batch,
                hidden=settings.hidden, learning_rate=settings.learning_rate,
            )  # fmt: skip
    return ToyFindings(tuple(discrete), line, histograms)


def generator_gradients(
    end: float = 8.0, points: int = 65
) -> tuple[Float[Tensor, " m"], Mapping[str, Float[Tensor, " m"]]]:
    """Return logits ℓ of D, and the derivative by ℓ of each of the generator's losses.

    >>> logits, slopes = generator_gradients(points=3)
    >>> [round(each, 3) for each in slopes["minimax"].tolist()]  # −σ(ℓ)
    [-0.0, -0.5, -1.0]
    >>> [round(each, 3) for each in slopes["non-saturating"].tolist()]  # −(1 − σ(ℓ))
    [-1.0, -0.5, -0.0]
    """
    logits = torch.linspace(-end, end, points, dtype=torch.float64)
    slopes = {}
    for name, loss in GENERATOR_LOSSES.items():
        with torch.enable_grad():
            at = logits.clone().requires_grad_()
            (slopes[name],) = torch.autograd.grad(loss(at).sum(), at)
    return logits, slopes
