"""From an evaluation to its examination: which images the checks look at, before and after the attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.answers import NO_CLASS
from saddlepoint.attacks.core.accepted import Rejecting
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.patch import PatchPGD
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.evaluation.adapted import NAME as ADAPTIVE
from saddlepoint.evaluation.adapted import adapted, asked
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG, STANDS
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.randomised import Randomised, randomised
from saddlepoint.evaluation.record import Evaluation
from saddlepoint.evaluation.second_look import second_look
from saddlepoint.evaluation.steps import Steps
from saddlepoint.evaluation.survivors import Survivors
from saddlepoint.evaluation.turns import budget_of
from saddlepoint.evaluation.verdict.check import Subject
from saddlepoint.evaluation.verdict.checks.answers import Answers
from saddlepoint.evaluation.verdict.checks.certificate import Certificate
from saddlepoint.evaluation.verdict.checks.noise import Noise
from saddlepoint.evaluation.verdict.checks.registry import controls_for
from saddlepoint.evaluation.verdict.examination import Diagnosis, Examination
from saddlepoint.evaluation.verdict.finding import Supplement
from saddlepoint.threat import Normed, ThreatModel, norm_of

_OF_OTHERS = ("certificate", "surrogate")
"""Checks of what others brought: a look without it, or with a worse one, does not undo what it found."""
RANDOMISED, SECOND_LOOK = "randomised", "second-look"


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
        for part in self.run.parts():
            rows = self.run.clean(part)
            found.append(rows["id"][rows["right"]])
            if sum(map(len, found)) >= self.diagnosis.images:
                break
        return replace(self._probed(torch.cat(found)), data=self.run.data.fingerprint)

    def of_record(self, record: Evaluation) -> Evaluation:
        """Return a finished record with a verdict of its own. What was measured beside an earlier one
        stays; the remedies, which follow from what was found, are left out where they are asked for.
        """
        images = record.images.slice(0, record.clean.total)
        self._probed(_ids(images, lambda who: who != INITIALLY_WRONG))
        earlier = () if record.verdict is None else record.verdict.supplements
        again = ADAPTIVE if self.diagnosis.adaptive else ""
        kept = tuple(each for each in earlier if each.name != again)
        judged = self.verdict(record, kept)
        if record.verdict is None or judged.verdict is None:
            return judged
        return replace(judged, verdict=judged.verdict.with_earlier(record.verdict, _OF_OTHERS))

    def verdict(self, record: Evaluation, kept: tuple[Supplement, ...] = ()) -> Evaluation:
        """Return the record with the verdict, after the controls on what survived; `kept` is beside
        it.
        """
        if len(self._positive) > 1:
            images = record.images.slice(0, record.clean.total)
            right = _ids(images, lambda who: who != INITIALLY_WRONG)
            self._doctor.probe_again(right, self._positive[-1])
        chosen = self._telling(record)
        if chosen is not None:
            threat, standing = chosen
            self._doctor.control(standing, threat, self.run.attacks)
        if self._positive:
            threat, standing = chosen or (self._positive[-1], torch.zeros(0, dtype=torch.int64))
            images = record.images.slice(0, record.clean.total)
            right = _ids(images, lambda who: who != INITIALLY_WRONG)
            if len(right):
                self._doctor.single_step(right, standing, threat)
        if self.diagnosis.certified is not None:
            rows = self._against_certificates(record, self.diagnosis.certified)
            self._doctor.by_product(Certificate(), rows)
        self._doctor.by_product(Answers(), self._answered(record))
        return replace(record, verdict=replace(self._doctor.verdict(), supplements=kept))

    def supplemented(self, record: Evaluation) -> Evaluation:
        """Return the record with what the diagnosis and the model ask for beside the checks, where its
        verdict has it not yet.

        Raises `InputError` where a second look is asked at more images than survived.
        """
        verdict = record.verdict
        assert verdict is not None  # it is given before
        for name in wanted(record, self.diagnosis, self.run.passes.random):
            if any(each.name == name and self._answers(each) for each in verdict.supplements):
                continue
            if name == ADAPTIVE:
                standing, searched = self._standing(record), _searched(self.run.attacks, record)
                found = adapted(self.run, self.steps, verdict, self.diagnosis, standing, searched)
            elif name == RANDOMISED:
                found = self._in_fresh_draws(record)
            else:
                found = self._second_look(record)
            others = tuple(each for each in verdict.supplements if each.name != name)
            verdict = replace(verdict, supplements=(*others, found))
        return replace(record, verdict=verdict)

    def _answers(self, told: Supplement) -> bool:
        """Return whether a supplement is what is asked for now."""
        if told.name == SECOND_LOOK:
            return len(told.numbers.get("ids", ())) == self.diagnosis.second_look
        return told.name != ADAPTIVE or told.numbers.get("asked") == asked(self.diagnosis)

    def _standing(self, record: Evaluation) -> dict[ThreatModel, Int64[Tensor, " s"]]:
        """Return the survivors of each budget above 0."""
        total, found = record.clean.total, {}
        for level, threat in enumerate(self.run.threats):
            if threat in self._positive:
                found[threat] = _ids(record.images.slice(level * total, total), _stands)
        return found

    def _telling(self, record: Evaluation) -> tuple[ThreatModel, Int64[Tensor, " s"]] | None:
        """Return the budget at which about half of what was right stands, with its survivors: they
        are many there, and their boundaries near. None where nothing stands anywhere.
        """
        some = [(t, ids) for t, ids in self._standing(record).items() if len(ids)]
        return min(some, key=lambda e: abs(2 * len(e[1]) - record.clean.count), default=None)

    def _against_certificates(self, record: Evaluation, certified: Sequence[float]) -> Columns:
        """Return which images were fooled within the budget that is certified for them."""
        total, radii = record.clean.total, torch.tensor(certified, dtype=torch.float64)
        fooled = torch.zeros(total, dtype=torch.bool)
        for level, threat in enumerate(self.run.threats):
            rows = record.images.slice(level * total, total)
            hit = _ids(rows, lambda who: who not in (STANDS, INITIALLY_WRONG))
            fooled[hit] |= radii[hit] >= budget_of(threat)
        return {"fooled": fooled, "certified": radii > 0}

    def _answered(self, record: Evaluation) -> Columns:
        """Return for which images there is no answer, and which clean ones are rejected."""
        images = record.images.slice(0, record.clean.total)
        last = record.images.slice(len(record.images) - record.clean.total)
        clean, under = (
            torch.from_numpy(table[name].to_numpy().copy())
            for table, name in ((images, "clean_prediction"), (last, "prediction"))
        )
        criterion = self.run.criterion
        reject = criterion.reject if isinstance(criterion, Rejecting) else NO_CLASS
        silent = clean == NO_CLASS
        rejected = (clean == reject) & ~silent
        return {"silent": silent, "lost": (under == NO_CLASS) & ~silent, "rejected": rejected}

    def _second_look(self, record: Evaluation) -> Supplement:
        chosen = self._telling(record) or (self._positive[-1], torch.zeros(0, dtype=torch.int64))
        threat, standing = chosen
        look = second_look(
            self.run.model,
            self.run.data,
            standing,
            threat,
            self.diagnosis.second_look,
            seed=self.run.seed,
            steps=self.steps,
            criterion=self.run.criterion,
        )
        return Supplement(SECOND_LOOK, look.tables()[0], look.json())

    def _in_fresh_draws(self, record: Evaluation) -> Supplement:
        """Return the three numbers of a random model, on the first images that are right."""
        run = self.run
        images = record.images.slice(0, record.clean.total)
        ids = _ids(images, lambda who: who != INITIALLY_WRONG)[: self.diagnosis.images]
        chosen = self._telling(record)
        threat = self._positive[-1] if chosen is None else chosen[0]

        def drawn(batch: Tensor, stages: object) -> Columns:
            subject = self._subject(batch, threat)
            candidates = [subject.attacked(each).adversarials for each in _candidates(threat)]
            found = randomised(
                run.model,
                subject.images,
                subject.labels,
                candidates,
                seed=run.seed,
                ids=batch,
                criterion=run.criterion,
            )
            return found.columns()

        found = Randomised.of(self.steps.run(f"{RANDOMISED}, {threat}", ids, drawn))
        table = found.tables()[0]
        named = replace(table, title=f"{table.title}, {threat}")
        return Supplement(RANDOMISED, named, found.json())

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


def lacks(record: Evaluation, diagnosis: Diagnosis, threat: ThreatModel) -> bool:
    """Return whether a record's checks are fewer than is asked for and there is under its threat."""
    if record.verdict is None or diagnosis.certified is not None:
        return True
    known = {each.check for each in record.verdict.findings}
    if Noise.name not in known:  # nothing survived that a control could look at
        return False
    if diagnosis.surrogate_print not in ("", record.verdict.surrogate):
        return True
    wanted = controls_for({}, diagnosis.surrogate, diagnosis.thorough)
    return any(check.name not in known and check.applies(threat) for check in wanted)


def wanted(record: Evaluation, diagnosis: Diagnosis, random: bool) -> list[str]:
    """Return the supplements that a diagnosis asks for, and that the model calls for."""
    attacked = any(budget.eps != 0 for budget in record.budgets) and record.clean.count > 0
    names = [RANDOMISED] if random and attacked else []
    names += [ADAPTIVE] if diagnosis.adaptive and attacked else []
    return names + ([SECOND_LOOK] if diagnosis.second_look and attacked else [])


def _candidates(threat: ThreatModel) -> tuple[Attack, ...]:
    """Return attacks whose images are tried on a random model."""
    if isinstance(threat, Normed) and norm_of(threat) == "L0":
        return (AtBudget(SigmaZero(threat.with_eps(float("inf")), steps=50), threat),)
    if norm_of(threat) == "Patches":
        return (PatchPGD(threat, steps=20),)
    return APGD(threat, steps=20), APGD(threat, steps=20, loss="margin")


def _searched(attacks: Mapping[str, Attack], record: Evaluation) -> bool:
    """Return whether AutoAttack's four were run: by the suite, or by one that its pilot told to."""
    masked = record.pilot is not None and record.pilot.masked
    return any(
        isinstance(each, Square) or (masked and isinstance(each, Fast)) for each in attacks.values()
    )


def _stands(who: str) -> bool:
    return who == STANDS


def _ids(images: Any, keep: Any) -> Int64[Tensor, " m"]:
    """Return the ids of the rows whose `fooled_by` is to be kept, ascending."""
    who = np.array(images["fooled_by"].to_pylist(), dtype=object)
    ids = images["id"].to_numpy()[np.array([keep(each) for each in who], dtype=bool)]
    return torch.from_numpy(np.sort(ids).copy()).to(torch.int64)
