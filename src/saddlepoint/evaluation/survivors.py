"""The order of work: every budget ascending, every attack in turn, and only survivors go on.

A minimum-norm attack is run once, on all images that are right, and counted at every budget.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from saddlepoint.evaluation.once import ONCE, reached, runs_once, under
from saddlepoint.evaluation.randomness import Passes
from saddlepoint.evaluation.steps import Steps, Work, step_name
from saddlepoint.evaluation.suites import Suite
from saddlepoint.model import Guard, full_precision
from saddlepoint.progress import Progress
from saddlepoint.streams import Keys
from saddlepoint.threat import Normed, ThreatModel, eps_of

STANDING, WRONG_BEFORE = -1, -2
"""What `fooled_by` holds where it is no attack's number."""

EVERY = "every budget"
"""What the step of an attack that is run once is called by, in place of a budget's number."""

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
    held: dict[int, Callable[[], Tensor]] = field(default_factory=dict)

    @functools.cached_property
    def _tried(self) -> Sequence[Sequence[tuple[Stage, Attack]]]:
        """What is tried at each budget: with one of 0 there is nothing to try."""
        return [
            [
                (Stage(name, str(threat), attack.expected_steps, level), under(attack, threat))
                for name, attack in (() if budget_of(threat) == 0 else self.attacks.items())
            ]
            for level, threat in enumerate(self.threats)
        ]

    @functools.cached_property
    def _carrier(self) -> str | None:
        """The last attack within a budget: what survives it starts from there at the next budget."""
        within = [name for name, attack in self.attacks.items() if not runs_once(attack)]
        return within[-1] if within else None

    @functools.cached_property
    def _forecast(self) -> Forecast:
        first = next((level for level, tried in enumerate(self._tried) if tried), 0)
        stages = [
            stage
            for level, tried in enumerate(self._tried)
            for stage, attack in tried
            if level == first or not runs_once(attack)
        ]
        return Forecast(self.progress, stages, len(self.data))

    def images(self, ids: Tensor) -> Tensor:
        """Return these images, within the range of the threat model."""
        return in_range(self.data.images(ids), *pixel_range(self.threats[0]))

    def _of_part(self, ids: Tensor) -> Callable[[], Tensor]:
        """Return what reads the images of a part, once and only where they are needed."""
        first = int(ids[0])
        if first not in self.held:
            self.held.clear()  # one part at a time
            self.held[first] = functools.cache(functools.partial(self.images, ids))
        return self.held[first]

    def clean(self, ids: Tensor) -> Columns:
        """Return what the model says of the clean images `ids`, which are a part."""
        first, images = int(ids[0]), self._of_part(ids)

        def work(batch: Tensor, stages: Stages | None) -> Columns:
            return self._clean(images()[batch - first], self.data.labels[batch], batch)

        if first not in self.seen:
            self.seen[first] = self.steps.run(step_name("clean", first), ids, work, waits=True)
        return self.seen[first]

    def part(self, ids: Tensor) -> Columns:
        """Evaluate the images `ids`, which follow each other, at every budget with every attack."""
        first, labels = int(ids[0]), self.data.labels[ids]
        images = self._of_part(ids)

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
        right, starts = ids[standing], None
        rows: list[Columns] = []
        attempts: list[Columns] = []
        once: dict[int, Columns] = {}
        for level, threat in enumerate(self.threats):
            for number, (stage, attack) in enumerate(self._tried[level]):
                alone = runs_once(attack)
                mark = functools.partial(
                    _mark, worst, standing, threat=threat, first=first, number=number, alone=alone
                )
                if number in once:
                    mark(once[number])
                    continue
                followed = level + 1 < len(self.threats) or self.starts is not None
                last = stage.attack == self._carrier and followed
                needs = "found" if last else "id"
                todo = work(attack, starts, last)
                name = step_name(f"{EVERY if alone else level}, {stage.attack}", first)
                there = right if alone else ids[standing]
                done = len(there) - self.steps.missing(name, there, needs)
                self._forecast.begin(stage, standing=int(standing.sum()), part=len(ids), done=done)
                found = self.steps.run(name, there, todo, needs=needs)
                fooled = 0
                if found:
                    fooled = mark(found)
                    attempts.append(_attempt(found, ONCE if alone else level, number))
                    seconds.append(found["seconds"])
                    if last:
                        some = found["found"]
                        starts = some.new_zeros(len(ids), *some.shape[1:]).index_copy(
                            0, found["id"] - first, some
                        )
                if alone:
                    once[number] = found
                self._forecast.end(fooled=fooled, **_passes(found))
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
            some = ids[standing] if self._carrier is None else ids[standing][: len(kept)]
            self.starts.add(str(first), {"id": some, "found": kept})
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


_EMPTY = {
    "id": torch.int64, "level": torch.int64, "attack": torch.int64, "success": torch.bool,
    "distance": torch.float64, "prediction": torch.int64, "rejected": torch.bool,
    "tied": torch.bool,
    "forwards": torch.int64, "backwards": torch.int64,
}  # fmt: skip


def _mark(
    worst: Columns,
    standing: Tensor,
    found: Columns,
    threat: ThreatModel,
    *,
    first: int,
    number: int,
    alone: bool,
) -> int:
    """Note which images the attack of that number fools at a budget; return how many it is the first
    to fool.
    """
    if not found:
        return 0
    chunk = found["id"] - first
    success = found["success"] & standing[chunk]
    if alone and isinstance(threat, Normed):  # what was found may lie outside this budget
        success &= reached(threat, found["distance"])
    hit = chunk[success]
    standing[hit] = False
    worst["fooled_by"][hit] = number
    worst["fooled_at"][hit] = budget_of(threat)
    worst["distance"][hit] = found["distance"][success]
    worst["prediction"][hit] = found["predictions"][success]
    worst["tied"][hit] = found["tied"][success]
    return len(hit)


def _passes(found: Columns) -> dict[str, int]:
    return {key: int(found[key].sum()) if found else 0 for key in ("forwards", "backwards")}


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
