"""From an evaluation to its examination: which images the checks look at, before and after the attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.steps import Steps
from saddlepoint.evaluation.survivors import Survivors, budget_of
from saddlepoint.evaluation.verdict.check import Subject
from saddlepoint.evaluation.verdict.checks.registry import controls_for
from saddlepoint.evaluation.verdict.examination import Diagnosis, Examination
from saddlepoint.threat import ThreatModel


@dataclass(eq=False)
class Examined:
    """An evaluation with its examination.

    Args:
        run: the evaluation at work; its attacks are those before the pilot.
        steps: where what is measured is kept.
        diagnosis: what is asked for.
    """

    run: Survivors
    steps: Steps
    diagnosis: Diagnosis

    def __post_init__(self) -> None:
        self._doctor = Examination(self._subject, self.steps, self.diagnosis)
        # With a budget of 0 there is nothing to attack.
        self._positive = [each for each in self.run.threats if budget_of(each) != 0]

    def pilot(self) -> Pilot:
        """Return what the probes told of the first images that are right, by their ids."""
        found: list[Tensor] = []
        for part in self.steps.parts(torch.arange(len(self.run.data))):
            rows = self.run.clean(part)
            found.append(rows["id"][rows["right"]])
            if sum(map(len, found)) >= self.diagnosis.images:
                break
        return self._probed(torch.cat(found))

    def of_record(self, record: Evaluation) -> Evaluation:
        """Return a finished record with a verdict of its own."""
        images = record.images.slice(0, record.clean.total)
        self._probed(_ids(images, lambda who: who != INITIALLY_WRONG))
        return self.verdict(record)

    def verdict(self, record: Evaluation) -> Evaluation:
        """Return the record with the verdict, after the controls on what survived."""
        total = record.clean.total
        best: tuple[int, Int64[Tensor, " m"], ThreatModel] | None = None
        for level, threat in enumerate(self.run.threats):
            standing = _ids(record.images.slice(level * total, total), lambda who: who == STANDS)
            # Where half of what was right stands, survivors are many and their boundaries near.
            off = abs(2 * len(standing) - record.clean.count)
            if threat in self._positive and len(standing) and (best is None or off < best[0]):
                best = (off, standing, threat)
        if best is not None:
            self._doctor.control(best[1], best[2], self.run.attacks)
        return replace(record, verdict=self._doctor.verdict())

    def _probed(self, right: Int64[Tensor, " m"]) -> Pilot:
        return self._doctor.probe(right, self._positive[0]) if self._positive else Pilot()

    def _subject(self, ids: Int64[Tensor, " m"], threat: ThreatModel) -> Subject:
        run = self.run
        return Subject(
            run.model,
            run.images(ids),
            run.data.labels[ids].cpu(),
            ids,
            threat,
            run.criterion,
            run.seed,
            run.passes.samples,
            run.passes.random,
            run.attacks,
        )


def informed(attacks: Mapping[str, Attack], pilot: Pilot) -> dict[str, Attack]:
    """Return the attacks, those that take a pilot and have none with this one.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.attacks.wrappers.fast import Fast
    >>> from saddlepoint.threat import Linf
    >>> attacks = {"pgd": PGD(Linf(0.1)), "fast": Fast(Linf(0.1))}
    >>> informed(attacks, Pilot(images=64))["fast"].pilot.images
    64
    """
    return {
        name: replace(each, pilot=pilot) if isinstance(each, Fast) and each.pilot is None else each
        for name, each in attacks.items()
    }


def lacks(record: Evaluation, diagnosis: Diagnosis) -> bool:
    """Return whether a record's verdict holds less than is asked for."""
    if record.verdict is None:
        return True
    wanted = controls_for({}, diagnosis.surrogate, diagnosis.thorough)
    known = {each.check for each in record.verdict.findings}
    survivors = any(each.check == "noise" for each in record.verdict.findings)
    return survivors and any(check.name not in known for check in wanted[4:])


def _ids(images: Any, keep: Any) -> Int64[Tensor, " m"]:
    """Return the ids of the rows whose `fooled_by` is to be kept, ascending."""
    who = np.array(images["fooled_by"].to_pylist(), dtype=object)
    ids = images["id"].to_numpy()[np.array([keep(each) for each in who], dtype=bool)]
    return torch.from_numpy(np.sort(ids).copy()).to(torch.int64)
