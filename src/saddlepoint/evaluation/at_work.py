"""An evaluation at work, within its limits: the clean images, the pilot, the attacks, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from saddlepoint.answers import NO_CLASS, check_answered
from saddlepoint.attacks import Criterion, Fast
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.data import ImageData
from saddlepoint.evaluation.decision import Counted, Decision, blocks
from saddlepoint.evaluation.diagnosed import Examined, lacks
from saddlepoint.evaluation.journal import Journal
from saddlepoint.evaluation.left import BESIDE, CHECKS, Left, summed
from saddlepoint.evaluation.limits import Limits
from saddlepoint.evaluation.notes import image_notes
from saddlepoint.evaluation.piloted import informed
from saddlepoint.evaluation.randomness import Passes
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.steps import Steps
from saddlepoint.evaluation.suites import Suite
from saddlepoint.evaluation.summary import summarise
from saddlepoint.evaluation.survivors import Survivors
from saddlepoint.evaluation.verdict.examination import Diagnosis
from saddlepoint.evaluation.warm_start import WarmStart
from saddlepoint.evaluation.worst import WorstFiles
from saddlepoint.progress import Progress, TimeUp, until
from saddlepoint.threat import ThreatModel

_NOTHING = (
    "in this time nothing came to an end that could be kept, and again it will not: give more time, or"
    " a smaller batch size"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Work:
    """What an evaluation is asked for, checked and ready.

    Args:
        attacks: of the suite, prepared for the model.
        criterion: of all of them.
        config, notes: of the record.
        deadline: by `time.monotonic`; None is never.
        looked_at: images that a pilot looks at where nobody asks for a verdict.
    """

    model: nn.Module
    data: ImageData
    threats: Sequence[ThreatModel]
    attacks: Suite
    criterion: Criterion
    seed: int
    passes: Passes
    batch_size: int
    config: Any
    notes: tuple[str, ...]
    progress: Progress | None
    diagnosis: Diagnosis | None
    looked_at: Diagnosis
    limits: Limits
    deadline: float | None
    warm_start: WarmStart | None

    def evaluated(
        self, steps: Steps, starts: Journal | None, worst: WorstFiles | None
    ) -> tuple[Evaluation, Examined | None]:
        """Return the record, and the examination where one is asked for."""
        run = self._survivors(steps, starts, worst)
        for ids in run.parts():  # whatever the time
            run.clean(ids)
        examined = None if self.diagnosis is None else Examined(run, steps, self.diagnosis)
        looks = examined or Examined(run, steps, self.looked_at)
        takes = any(isinstance(attack, Fast) for attack in self.attacks.values())
        decision = None
        # Where no attack takes the pilot, the attacks come first: they lower the bound.
        pilot, up = self._looked(looks) if takes else (None, False)
        with until(self.deadline):
            attacking = (
                run if pilot is None else replace(run, attacks=informed(self.attacks, pilot))
            )
            if self.limits.until is None:
                left = attacking.attacked(run.parts())
            else:
                decision, left = self._decided(attacking)
        if not takes and examined is not None and not left:
            pilot, up = self._looked(looks)
        if up and not left:
            left = (self._rest(CHECKS),)
        columns = attacking.columns()
        check_answered(columns["images/clean_prediction"] != NO_CLASS, self.model)
        names = list(self.attacks)
        found = summarise(columns, self.config, self.threats, names, self.notes, self.data.classes)
        found = replace(self.noted(found), left=left, decision=decision)
        if examined is not None and not left:
            try:
                with until(self.deadline):
                    found = examined.verdict(found)
            except TimeUp:
                found = replace(found, left=(self._rest(CHECKS),))
        if found.left and self.deadline is not None and not steps.gained:
            found = replace(found, notes=(*found.notes, _NOTHING))
        return replace(found, pilot=pilot), examined

    def _looked(self, looks: Examined) -> tuple[Pilot | None, bool]:
        """Return the pilot, and whether the time was up before."""
        try:
            with until(self.deadline):
                return looks.pilot(), False
        except TimeUp:
            return None, True

    def examined_again(self, record: Evaluation, out: Path | None = None) -> Evaluation:
        """Examine a finished record where less was than is asked for now; saved where it is `out`."""
        if self.diagnosis is None:
            return record
        with Steps(out, self.batch_size) as steps:
            examined = Examined(self._survivors(steps), steps, self.diagnosis)
            if not lacks(record, self.diagnosis, self.threats[-1]):
                return self.supplemented(record, examined, out)
            try:
                with until(self.deadline):
                    judged = examined.of_record(record)
            except TimeUp:
                steps.keep()
                return replace(record, left=(self._rest(CHECKS),))
            if out is not None:
                judged.save(out)
            more = self.supplemented(judged, examined, out)
            if not more.left:
                steps.forget()
            return more

    def supplemented(self, record: Evaluation, examined: Examined, out: Path | None) -> Evaluation:
        """Return a record with what is asked for beside the checks; an error in it loses nothing that
        was saved, nor does the end of the time, which is told but not written.
        """
        try:
            with until(self.deadline):
                more = examined.supplemented(record)
        except TimeUp:
            examined.steps.keep()
            return replace(record, left=(self._rest(BESIDE),))
        if out is not None and more.verdict != record.verdict:
            more.save(out)
            examined.steps.forget()
        return more

    def noted(self, record: Evaluation) -> Evaluation:
        """Return a record with the notes on its images."""
        return replace(record, notes=(*record.notes, *image_notes(record, self.criterion)))

    def answered(self, record: Evaluation) -> Evaluation:
        """Return a whole record with the answer to what was asked of it."""
        if self.limits.until is None:
            return record
        total, right = record.clean.total, record.clean.count
        counted = Counted(self.limits.until, total, right)
        counted.add(total, right, record.budgets[0].robust_accuracy.count)
        return replace(record, decision=counted.decision())

    def _decided(self, run: Survivors) -> tuple[Decision, tuple[Left, ...]]:
        """Let images be done with in random order until the question is answered."""
        assert self.limits.until is not None
        right = sum(int(run.clean(ids)["right"].sum()) for ids in run.parts())
        counted = Counted(self.limits.until, len(self.data), right)
        waiting = [*blocks(len(self.data), self.batch_size, self.seed)]
        left: tuple[Left, ...] = ()
        while waiting and counted.decision().answer is None:
            block = waiting.pop(0)
            left = run.attacked([block])
            if left:  # nobody knows how many of these will stand
                break
            part = run.done[-1]
            counted.add(len(block), len(part.right), int(part.standing.sum()))
        return counted.decision(), summed((*left, *run.untouched(waiting)))

    def _rest(self, what: str) -> Left:
        images = self.looked_at.images if self.diagnosis is None else self.diagnosis.images
        return Left(math.nan, what, min(images, len(self.data)))

    def _survivors(
        self, steps: Steps, starts: Journal | None = None, worst: WorstFiles | None = None
    ) -> Survivors:
        return Survivors(
            self.model, self.data, self.threats, self.attacks, self.seed, self.passes, self.criterion,
            steps, self.progress, starts, worst, self.warm_start,
            looks=self.deadline is not None and self.limits.until is None,
        )  # fmt: skip
