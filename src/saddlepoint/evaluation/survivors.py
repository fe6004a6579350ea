"""The order of work: every budget ascending, every attack in turn, and only survivors go on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from saddlepoint.answers import check_answered, unanswered
from saddlepoint.attacks import Attack, Criterion, Stages, predict, tied
from saddlepoint.attacks.core.clean_pass import check_clean
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.attacks.core.no_class import wrong_before
from saddlepoint.checks import in_range
from saddlepoint.data import ImageData
from saddlepoint.evaluation.forecast import Forecast, Stage
from saddlepoint.evaluation.journal import Columns, Journal
from saddlepoint.evaluation.randomness import Passes
from saddlepoint.evaluation.steps import Steps, Work
from saddlepoint.evaluation.suites import Suite
from saddlepoint.model import Guard, full_precision
from saddlepoint.progress import Progress
from saddlepoint.streams import Keys
from saddlepoint.threat import ThreatModel, eps_of

STANDING, WRONG_BEFORE = -1, -2
"""What `fooled_by` holds where it is no attack's number."""

_TOLD = ("success", "distance", "predictions", "rejected", "tied", "forwards", "backwards")


@dataclass(frozen=True, eq=False)
class Survivors:
    """An evaluation at work on a part of the data at a time.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation import build_suite
    >>> from saddlepoint.evaluation.steps import Steps
    >>> from saddlepoint.threat import Linf
    >>> data, threat = load_data("digits", limit=4), Linf(0.1)
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> suite, steps = build_suite("quick", threat), Steps(None, batch_size=4)
    >>> passes, fooled = Passes(1, False), Misclassified()
    >>> run = Survivors(net, data, [threat], suite, 0, passes, fooled, steps)
    >>> run.part(torch.arange(4))["images/id"]
    tensor([0, 1, 2, 3])
    """

    model: nn.Module
    data: ImageData
    threats: Sequence[ThreatModel]
    attacks: Suite
    seed: int
    passes: Passes
    criterion: Criterion
    steps: Steps
    progress: Progress | None = None
    starts: Journal | None = None
    """Where what survives at the largest budget is kept; see extension.py."""
    seen: dict[int, Columns] = field(default_factory=dict)
    """The rows of clean images by the first of their part, so that none is asked twice."""

    @functools.cached_property
    def _tried(self) -> Sequence[Sequence[tuple[Stage, Attack]]]:
        """What is tried at each budget: with one of 0 there is nothing to try."""
        return [
            [
                (
                    Stage(name, str(threat), attack.expected_steps, level),
                    replace(attack, threat=threat),
                )
                for name, attack in (() if budget_of(threat) == 0 else self.attacks.items())
            ]
            for level, threat in enumerate(self.threats)
        ]

    @functools.cached_property
    def _forecast(self) -> Forecast:
        stages = [stage for level in self._tried for stage, _ in level]
        return Forecast(self.progress, stages, len(self.data))

    def images(self, ids: Tensor) -> Tensor:
        """Return these images, within the range of the threat model."""
        return in_range(self.data.images(ids), *pixel_range(self.threats[0]))

    def clean(self, ids: Tensor) -> Columns:
        """Return what the model says of the clean images `ids`, which are a part."""
        first = int(ids[0])

        @functools.cache
        def images() -> Tensor:
            return self.images(ids)

        def work(batch: Tensor, stages: Stages | None) -> Columns:
            return self._clean(images()[batch - first], self.data.labels[batch], batch)

        if first not in self.seen:
            self.seen[first] = self.steps.run(step_name("clean", first), ids, work, waits=True)
        return self.seen[first]

    def part(self, ids: Tensor) -> Columns:
        """Evaluate the images `ids`, which follow each other, at every budget with every attack."""
        first = int(ids[0])
        labels = self.data.labels[ids]

        @functools.cache
        def images() -> Tensor:  # not for a part that is finished
            return self.images(ids)

        def work(attack: Attack, starts: Tensor | None, last: bool) -> Work:
            def attacked(batch: Tensor, stages: Stages | None) -> Columns:
                rows = batch - first
                with self._forecast.batch(len(batch)):
                    result = attack(
                        self.model,
                        images()[rows],
                        labels[rows],
                        seed=self.seed,
                        ids=batch,
                        starts=None if starts is None else starts[rows],
                        random=self.passes.random,
                        stages=stages,
                        whole=False,
                    )
                found = {key: getattr(result, key) for key in _TOLD}
                # What survives the last attack starts from there at the next budget.
                return {**found, "found": result.adversarials} if last else found

            return attacked

        before = self.clean(ids)
        standing, seconds = before["right"].clone(), [before["seconds"]]
        worst = {
            "fooled_by": torch.where(standing, STANDING, WRONG_BEFORE),
            "fooled_at": torch.full((len(ids),), torch.nan, dtype=torch.float64),
            "distance": torch.zeros(len(ids), dtype=torch.float64),
            "prediction": before["prediction"].clone(),
            "tied": before["tied"].clone(),
        }
        starts: Tensor | None = None
        rows: list[Columns] = []
        attempts: list[Columns] = []
        for level, threat in enumerate(self.threats):
            for number, (stage, attack) in enumerate(self._tried[level]):
                followed = level + 1 < len(self.threats) or self.starts is not None
                last = number + 1 == len(self.attacks) and followed
                needs = "found" if last else "id"
                todo = work(attack, starts, last)
                name, there = step_name(f"{level}, {stage.attack}", first), ids[standing]
                done = len(there) - self.steps.missing(name, there, needs)
                self._forecast.begin(stage, standing=len(there), part=len(ids), done=done)
                found = self.steps.run(name, there, todo, needs=needs)
                if found:
                    chunk = found["id"] - first
                    hit, success = chunk[found["success"]], found["success"]
                    standing[hit] = False
                    worst["fooled_by"][hit] = number
                    worst["fooled_at"][hit] = budget_of(threat)
                    worst["distance"][hit] = found["distance"][success]
                    worst["prediction"][hit] = found["predictions"][success]
                    worst["tied"][hit] = found["tied"][success]
                    attempts.append(_attempt(found, level, number))
                    seconds.append(found["seconds"])
                    if last:
                        some = found["found"]
                        starts = some.new_zeros(len(ids), *some.shape[1:]).index_copy(
                            0, chunk, some
                        )
                self._forecast.end(**_ended(found))
            rows.append(
                {
                    "id": ids,
                    "level": torch.full_like(ids, level),
                    "label": labels.cpu(),
                    "clean_prediction": before["prediction"],
                    "clean_tied": before["tied"],
                    **{key: value.clone() for key, value in worst.items()},
                }
            )
        if self.starts is not None:
            kept = torch.zeros(0) if starts is None else starts[standing]
            self.starts.add(str(first), {"id": ids[standing][: len(kept)], "found": kept})
            self.starts.save()
        spent = torch.cat(seconds).sum(0, keepdim=True)
        return {**_joined("images", rows), **_joined("attempts", attempts), "seconds": spent}

    def _clean(self, images: Tensor, labels: Tensor, ids: Tensor) -> Columns:
        """Return the classes of clean images, and which are right: they have a class, and the
        criterion does not hold.
        """
        guard = Guard(self.model, len(ids), samples=self.passes.samples, seed=self.seed)
        with guard, full_precision(guard.device):
            keys = Keys(self.seed, ids.to(guard.device))
            logits = guard.logits(images.to(guard.device), None, keys)
        check_answered(~unanswered(logits), self.model, whole=False)
        check_clean(self.criterion, logits, labels)
        goals = labels.to(logits.device)
        return {
            "prediction": predict(logits),
            "right": ~wrong_before(self.criterion, logits, goals),
            "tied": tied(logits),
        }


def step_name(what: str, first: int) -> str:
    """Return the name of a step: what is done, in the part that begins with the image `first`.

    >>> step_name("clean", 512)
    'clean, from 512'
    """
    return f"{what}, from {first}"


_EMPTY = {
    "id": torch.int64, "level": torch.int64, "attack": torch.int64, "success": torch.bool,
    "distance": torch.float64, "prediction": torch.int64, "rejected": torch.bool,
    "tied": torch.bool,
    "forwards": torch.int64, "backwards": torch.int64,
}  # fmt: skip


def _ended(found: Columns) -> dict[str, int]:
    names = {"success": "fooled", "forwards": "forwards", "backwards": "backwards"}
    return {told: int(found[key].sum()) if found else 0 for key, told in names.items()}


def _attempt(found: Columns, level: int, number: int) -> Columns:
    names = {"predictions": "prediction"}
    return {
        "id": found["id"],
        "level": torch.full_like(found["id"], level),
        "attack": torch.full_like(found["id"], number),
        **{names.get(key, key): found[key] for key in _TOLD},
    }


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
    return float(eps_of(threat, float("nan")))
