"""Is more learned than to blend neighbours? Reconstruction against interpolation, by ratio."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from saddlepoint.evaluation.reconstruction import reconstructed
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.pretraining import PretrainingSettings, pretraining, untrained
from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Table
from saddlepoint.objectives import MAE
from saddlepoint.option_values import Fraction
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.training import train
from saddlepoint.zoo import DecoderDesign, load_mae


@dataclass(frozen=True)
class InterpolationSettings(PretrainingSettings):
    """Settings of `run_mae_interpolation`; those of tuning are not used.

    Args:
        ratios: of patches that are hidden, in training and in measuring.

    >>> InterpolationSettings(ratios=(0.9, 0.25)).ratios
    (0.25, 0.9)
    """

    ratios: tuple[Fraction, ...] = (0.25, 0.5, 0.75, 0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("ratios")


@dataclass(frozen=True)
class Painted:
    """The mean squared errors of hidden pixels, of one autoencoder and of interpolation."""

    ratio: float
    seed: int
    reconstruction: float
    interpolation: float


@dataclass(frozen=True)
class Interpolation:
    """What was found.

    >>> Interpolation((Painted(0.75, 1, 0.02, 0.04),)).tables()["summary"].rows
    ((0.75, 0.02, 0.04, 0.5),)
    """

    found: tuple[Painted, ...]

    def of(self, kind: str) -> dict[float, list[float]]:
        """Return the errors, of "reconstruction" or "interpolation", of the seeds by ratio."""
        values: dict[float, list[float]] = {}
        for each in self.found:
            values.setdefault(each.ratio, []).append(getattr(each, kind))
        return values

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every autoencoder."""
        mine, theirs = self.of("reconstruction"), self.of("interpolation")
        rows = [
            ((ratio,), [mine[ratio], theirs[ratio],
                        [a / b for a, b in zip(mine[ratio], theirs[ratio], strict=True)]])
            for ratio in mine
        ]  # fmt: skip
        every = tuple((e.ratio, e.seed, e.reconstruction, e.interpolation) for e in self.found)
        names = ("reconstruction", "interpolation", "quotient")
        return {
            **spread_tables(("ratio",), names, rows),
            "autoencoders": Table(("ratio", "seed", *names[:2]), every),
        }


def run_mae_interpolation(bench: Bench, settings: InterpolationSettings) -> Interpolation:
    """Train a masked autoencoder on raw pixels at every ratio, and compare its error on test images
    with that of a mean of visible pixels weighted by their distance.

    >>> from saddlepoint.data import load_data
    >>> test, train = (load_data("digits", split=s, limit=40) for s in ("test", "train"))
    >>> settings = InterpolationSettings(patch=2, seeds=1, ratios=(0.5,))
    >>> len(run_mae_interpolation(Bench(test, lambda: train, epochs=1), settings).found)
    1
    """
    course = Course(bench.progress, settings.seeds * len(settings.ratios))
    found = []
    for i in range(settings.seeds):
        for ratio in settings.ratios:
            name = f"seed {i + 1}, ratio {ratio:g}"
            told = course.next(name)
            row = bench.part(name, partial(_one, bench, settings, ratio, i, told))
            found.append(Painted(**row))
    return Interpolation(tuple(found))


def _one(
    bench: Bench, settings: InterpolationSettings, ratio: float, number: int, progress: Any
) -> dict[str, Any]:
    seed = derive(bench.seed, "repetition", number)
    recipe = pretraining(bench, settings, MAE(ratio, decoder=DecoderDesign(targets="raw")))
    with tempfile.TemporaryDirectory() as folder:
        start, out = untrained(bench, settings, seed), Path(folder) / "mae"
        train(start, bench.train, recipe, out=out, seed=seed, progress=progress)
        mae = load_mae(out).to(bench.device)
    seen = reconstructed(mae, bench.test, ratio=ratio, seed=seed)
    return {
        "ratio": ratio,
        "seed": number + 1,
        "reconstruction": float(seen.errors.mean()),
        "interpolation": float(seen.interpolation_errors.mean()),
    }
