"""What of a masked autoencoder matters: its decoder, where mask tokens go, masks, targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from saddlepoint.errors import check_names
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.pretraining import (
    METHODS,
    PretrainingSettings,
    labelled,
    pretraining,
    tuned,
    untrained,
)
from saddlepoint.lab.spread import spread_tables
from saddlepoint.lab.table import Table
from saddlepoint.objectives import MAE
from saddlepoint.option_values import Share
from saddlepoint.progress import Course
from saddlepoint.streams import derive
from saddlepoint.training import accuracy, train
from saddlepoint.zoo import DecoderDesign

VARIANTS: Mapping[str, MAE] = MappingProxyType(
    {
        "as it is": MAE(),
        "depth 0": MAE(decoder=DecoderDesign(depth=0)),
        "depth 1": MAE(decoder=DecoderDesign(depth=1)),
        "depth 4": MAE(decoder=DecoderDesign(depth=4)),
        "tokens in the encoder": MAE(decoder=DecoderDesign(mask_tokens="encoder")),
        "block masks": MAE(masking="block"),
        "grid masks": MAE(masking="grid"),
        "raw targets": MAE(decoder=DecoderDesign(targets="raw")),
    }
)
"""By name; as it is: depth 2, tokens in the decoder, random masks of 75 %, normalised targets."""


@dataclass(frozen=True)
class DecoderSettings(PretrainingSettings):
    """Settings of `run_mae_decoder`.

    Args:
        variants: names of `VARIANTS`.
        share: of the training images whose labels are known.

    >>> len(DecoderSettings().variants)
    8
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    share: Share = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names("variant", self.variants, VARIANTS)


@dataclass(frozen=True)
class Variant:
    """The accuracy after pre-training by a variant."""

    variant: str
    method: str
    seed: int
    rate: float
    accuracy: float


@dataclass(frozen=True)
class Variants:
    """What was found.

    >>> Variants((Variant("depth 1", "linear probe", 1, 0.1, 0.5),)).tables()["summary"].rows
    (('depth 1', 'linear probe', 0.5),)
    """

    found: tuple[Variant, ...]

    def of(self, method: str) -> dict[str, list[float]]:
        """Return the accuracies of the seeds by variant."""
        values: dict[str, list[float]] = {}
        for each in self.found:
            if each.method == method:
                values.setdefault(each.variant, []).append(each.accuracy)
        return values

    def tables(self) -> Mapping[str, Table]:
        """Return means over seeds, their spread, and every classifier."""
        rows = [
            ((variant, method), [values])
            for method in METHODS
            for variant, values in self.of(method).items()
        ]
        every = tuple((e.variant, e.method, e.seed, e.rate, e.accuracy) for e in self.found)
        return {
            **spread_tables(("variant", "method"), ("accuracy",), rows),
            "classifiers": Table(("variant", "method", "seed", "rate", "accuracy"), every),
        }


def run_mae_decoder(bench: Bench, settings: DecoderSettings) -> Variants:
    """Pre-train by each variant, then fine-tune and probe with a share of the labels. He et al. 2022,
    arXiv:2111.06377, table 1.

    >>> from saddlepoint.data import load_data
    >>> test, train = (load_data("digits", split=s, limit=60) for s in ("test", "train"))
    >>> settings = DecoderSettings(2, 1, "none", 1, rates=(0.001,), variants=("depth 1",), share=0.5)
    >>> len(run_mae_decoder(Bench(test, lambda: train, epochs=1), settings).found)
    2
    """
    course = Course(bench.progress, settings.seeds * len(settings.variants))
    found: list[Variant] = []
    for i in range(settings.seeds):
        for variant in settings.variants:
            name = f"seed {i + 1}, {variant}"
            told = course.next(name)
            rows = bench.part(name, partial(_one, bench, settings, variant, i, told))
            found += [Variant(**row) for row in rows]
    return Variants(tuple(found))


def _one(
    bench: Bench, settings: DecoderSettings, variant: str, number: int, progress: Any
) -> list[dict[str, Any]]:
    seed, course = derive(bench.seed, "repetition", number), Course(progress, 1 + len(METHODS))
    recipe = pretraining(bench, settings, VARIANTS[variant])
    start, told = untrained(bench, settings, seed), course.next("pre-training")
    model = train(start, bench.train, recipe, seed=seed, progress=told).model
    data, rows = labelled(bench.train, settings.share, seed), []
    for method in METHODS:
        told = course.next(method)
        ready, rate = tuned(model, data, settings, method, fresh=False, seed=seed, progress=told)
        rows.append(
            {"variant": variant, "method": method, "seed": number + 1, "rate": rate,
             "accuracy": accuracy(ready, bench.test)}
        )  # fmt: skip
    return rows
