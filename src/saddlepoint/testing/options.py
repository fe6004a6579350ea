"""The options that an evaluation takes in a test."""

from __future__ import annotations

from typing import Any, TypedDict

from saddlepoint.attacks import Criterion
from saddlepoint.evaluation import Diagnosis
from saddlepoint.progress import Progress


class EvaluationOptions(TypedDict, total=False):
    """Options of `saddlepoint.evaluation.evaluate` beside model, data, threat, suite and folder.

    >>> EvaluationOptions(eps="8/255", seed=1)
    {'eps': '8/255', 'seed': 1}
    """

    eps: float | str
    batch_size: int
    seed: int
    eot_samples: int | None
    criterion: Criterion | None
    output: str | int | None
    identity: Any
    progress: Progress | None
    diagnosis: Diagnosis
