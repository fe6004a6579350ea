"""The order of work: every budget ascending, every attack in turn, and only survivors go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from saddlepoint.attacks import BinaryLogit, Criterion, predict, tied
from saddlepoint.attacks.inputs import pixel_range
from saddlepoint.checks import check_classes, check_logits, in_range
from saddlepoint.data import ImageData
from saddlepoint.evaluation.parts import Columns
from saddlepoint.evaluation.randomness import Passes
from saddlepoint.evaluation.suites import Suite
from saddlepoint.keyed import Keys
from saddlepoint.model import Guard, full_precision
from saddlepoint.progress import Progress
from saddlepoint.threat import ThreatModel

STANDING, WRONG_BEFORE = -1, -2
"""What `fooled_by` holds where it is no attack's number."""


@dataclass(frozen=True, eq=False)
class Survivors:
    """An evaluation at work on a part of the data at a time.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import build_suite
    >>> from saddlepoint.threat import Linf
    >>> data, threat = load_data("digits", limit=4), Linf(0.1)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> suite = build_suite("quick", threat)
    >>> run = Survivors(net, data, [threat], suite, 4, 0, Passes(1, False), Misclassified(), None)
    >>> run.part(torch.arange(4))["images/id"]
    tensor([0, 1, 2, 3])
    """

    model: nn.Module
    data: ImageData
    threats: Sequence[ThreatModel]
    attacks: Suite
    batch_size: int
    seed: int
    passes: Passes
    criterion: Criterion
    progress: Progress | None

    def part(self, ids: Tensor) -> Columns:
        """Evaluate the images `ids` at every budget with every attack."""
        began = time.perf_counter()
        images = in_range(self.data.images(ids), *pixel_range(self.threats[0]))
        labels = self.data.labels[ids]
        predictions, standing, ties = self._clean(images, labels, ids)
        starts: Tensor | None = None
        rows: list[Columns] = []
        worst = {
            "fooled_by": torch.where(standing, STANDING, WRONG_BEFORE),
            "fooled_at": torch.full((len(ids),), torch.nan, dtype=torch.float64),
            "distance": torch.zeros(len(ids), dtype=torch.float64),
            "prediction": predictions.clone(),
            "tied": ties.clone(),
        }
        attempts: list[Columns] = []
        for level, threat in enumerate(self.threats):
            found = images.clone()
            # With a budget of 0 there is nothing to try, and nothing to start the next one from.
            tried = {} if budget_of(threat) == 0 else self.attacks
            for number, (name, attack) in enumerate(tried.items()):
                for chunk in self._chunks(standing):
                    result = replace(attack, threat=threat)(
                        self.model,
                        images[chunk],
                        labels[chunk],
                        seed=self.seed,
                        ids=ids[chunk],
                        starts=None if starts is None else starts[chunk],
                        random=self.passes.random,
                    )
                    found[chunk] = result.adversarials.to(found)
                    success = result.success.cpu()
                    hit = chunk[success]
                    standing[hit] = False
                    worst["fooled_by"][hit] = number
                    worst["fooled_at"][hit] = budget_of(threat)
                    worst["distance"][hit] = result.distance.cpu()[success]
                    worst["prediction"][hit] = result.predictions.cpu()[success]
                    worst["tied"][hit] = result.tied.cpu()[success]
                    attempts.append(
                        {
                            "id": ids[chunk],
                            "level": torch.full_like(chunk, level),
                            "attack": torch.full_like(chunk, number),
                            "success": success,
                            "distance": result.distance.cpu(),
                            "prediction": result.predictions.cpu(),
                            "rejected": result.rejected.cpu(),
                            "tied": result.tied.cpu(),
                            "forwards": result.forwards.cpu(),
                            "backwards": result.backwards.cpu(),
                        }
                    )
                self._tell(ids, level, number, name)
            starts = found if tried else None
            rows.append(
                {
                    "id": ids,
                    "level": torch.full_like(ids, level),
                    "label": labels.cpu(),
                    "clean_prediction": predictions,
                    "clean_tied": ties,
                    **{key: value.clone() for key, value in worst.items()},
                }
            )
        seconds = torch.tensor([time.perf_counter() - began], dtype=torch.float64)
        return {**_joined("images", rows), **_joined("attempts", attempts), "seconds": seconds}

    def _chunks(self, standing: Tensor) -> tuple[Tensor, ...]:
        rows = standing.nonzero().squeeze(1)
        return torch.split(rows, self.batch_size) if len(rows) else ()

    def _clean(self, images: Tensor, labels: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """Return of the clean images the classes, who is right, and who is tied."""
        predictions, right, ties = [], [], []
        for chunk in torch.split(torch.arange(len(ids)), self.batch_size):
            guard = Guard(self.model, len(chunk), samples=self.passes.samples, seed=self.seed)
            with guard, full_precision(guard.device):
                keys = Keys(self.seed, ids[chunk].to(guard.device))
                logits = guard.logits(images[chunk].to(guard.device), None, keys)
            check_logits(logits, self.model, isinstance(self.criterion, BinaryLogit))
            check_classes(labels, max(logits.shape[1], 2))
            goals = labels[chunk].to(logits.device)
            predictions.append(predict(logits).cpu())
            right.append((self.criterion.margin(logits, goals) >= 0).cpu())
            ties.append(tied(logits).cpu())
        return torch.cat(predictions), torch.cat(right), torch.cat(ties)

    def _tell(self, ids: Tensor, level: int, number: int, name: str) -> None:
        if self.progress is not None:
            each = len(self.threats) * len(self.attacks)
            done = int(ids[0]) * each + len(ids) * (level * len(self.attacks) + number + 1)
            self.progress(done, len(self.data) * each, f"{self.threats[level]}, {name}")


_EMPTY = {
    "id": torch.int64, "level": torch.int64, "attack": torch.int64, "success": torch.bool,
    "distance": torch.float64, "prediction": torch.int64, "rejected": torch.bool,
    "tied": torch.bool,
    "forwards": torch.int64, "backwards": torch.int64,
}  # fmt: skip


def _joined(table: str, rows: list[Columns]) -> Columns:
    if not rows:  # every image was wrong before any attack
        rows = [{name: torch.zeros(0, dtype=kind) for name, kind in _EMPTY.items()}]
    return {f"{table}/{name}": torch.cat([row[name] for row in rows]) for name in rows[0]}


def budget_of(threat: ThreatModel) -> float:
    """Return the budget of a threat model; NaN where it has no single one.

    >>> from saddlepoint.threat import Linf
    >>> budget_of(Linf(0.5))
    0.5
    """
    return float(getattr(threat, "eps", float("nan")))
