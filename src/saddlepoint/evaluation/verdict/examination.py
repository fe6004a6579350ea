"""The examination of a model: probes before the attacks, controls on what survived them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.pilot import Pilot
from saddlepoint.counts import check_count
from saddlepoint.evaluation.comparison import holm
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.steps import Steps
from saddlepoint.evaluation.verdict.check import Check, Measured, Subject
from saddlepoint.evaluation.verdict.checks.registry import PROBES, controls_for
from saddlepoint.evaluation.verdict.checks.single_step import SingleStep
from saddlepoint.evaluation.verdict.checks.surrogate import Surrogate
from saddlepoint.evaluation.verdict.finding import Finding, Verdict
from saddlepoint.threat import ThreatModel
from saddlepoint.zoo import weights_fingerprint

LEVEL = 0.01
"""Of the controls together: an honest evaluation is called broken with a chance below it."""
_FEWEST = 10
"""Survivors: of fewer, two that fall are soon significant, and move the number by nothing."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How an evaluation examines the model.

    Args:
        images: that the checks look at, at most: the first that are right, and the first survivors.
        thorough: run the checks that cost hundreds of passes too, which else wait for a finding.
        surrogate: another network of the same data, whose adversarial images are tried.
        adaptive: apply the remedies of what was found, and say what each adds.
        bpda: modules whose backward the identity replaces in the remedies; none are those that are
            found to hide the gradient.
        second_look: survivors on which `standard` is run; 0 for none.
        certified: the budget for which each image is certified, 0 where it is for none.

    Raises `InputError` for a number that is none.

    >>> Diagnosis().images
    64
    """

    images: int = 64
    thorough: bool = False
    surrogate: nn.Module | None = None
    adaptive: bool = False
    bpda: tuple[str, ...] = ()
    second_look: int = 0
    certified: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_count("images", self.images)
        check_count("second_look", self.second_look, least=0)

    @property
    def surrogate_print(self) -> str:
        """The fingerprint of the surrogate; "" for none."""
        return "" if self.surrogate is None else weights_fingerprint(self.surrogate)


@dataclass(eq=False)
class Examination:
    """An examination at work: its findings so far, and the passes they cost.

    Args:
        subject_of: from ids and a threat model of the evaluation to the subject.
        steps: where what is measured is kept, so that an interrupted one goes on.
        diagnosis: what is asked for.
    """

    subject_of: Callable[[Int64[Tensor, " m"], ThreatModel], Subject]
    steps: Steps
    diagnosis: Diagnosis
    findings: list[Finding] = field(default_factory=list)
    passes: int = 0
    _masked: bool = False

    def probe(self, ids: Int64[Tensor, " m"], threat: ThreatModel) -> Pilot:
        """Run the probes on the first of these images, which are right; return what they told."""
        ids = ids[: self.diagnosis.images]
        if not len(ids):
            return Pilot()
        triggers: list[str] = []
        for probe in (kind() for kind in PROBES):
            found = self._run(probe, ids, threat)
            self.findings += found
            triggers += [each.check for each in found if each.found and probe.triggers]
        self._masked = bool(triggers)
        return Pilot(tuple(triggers), len(ids))

    def probe_again(self, ids: Int64[Tensor, " m"], threat: ThreatModel) -> None:
        """Run the probes that look twice on these images at a larger budget; the graver finding of each
        stands.
        """
        ids = ids[: self.diagnosis.images]
        for probe in (kind() for kind in PROBES if kind.twice):
            for found in self._run(probe, ids, threat) if len(ids) else ():
                self.findings = [
                    found.graver(e) if e.check == found.check else e for e in self.findings
                ]
                self._masked |= found.found

    def control(
        self, ids: Int64[Tensor, " m"], threat: ThreatModel, suite: Mapping[str, Attack]
    ) -> None:
        """Run the controls on the first of these images, which survived `suite` at that budget."""
        ids = ids[: self.diagnosis.images]
        if not len(ids):
            return
        wanted = self.diagnosis.thorough
        some = controls_for(suite, self.diagnosis.surrogate, wanted)
        found = [each for check in some for each in self._run(check, ids, threat)]
        if not wanted and (self._masked or any(each.found for each in found)):
            known = {check.name for check in some}
            more = controls_for(suite, self.diagnosis.surrogate, thorough=True)
            rest = [check for check in more if check.name not in known]
            found += [each for check in rest for each in self._run(check, ids, threat)]
        self.findings += _corrected(found)

    def single_step(
        self, right: Int64[Tensor, " r"], standing: Int64[Tensor, " s"], threat: ThreatModel
    ) -> None:
        """Compare one step with the suite on the first of these images, of which some stand."""
        left = {"left": torch.isin(right, standing)}
        self.findings += self._run(SingleStep(), right, threat, left)

    def by_product(self, check: Check, rows: Columns) -> None:
        """Judge rows that the evaluation has anyway."""
        self.findings.append(check.judge(rows))

    def verdict(self) -> Verdict:
        """Return what all findings come to."""
        known = self.diagnosis.surrogate_print
        return Verdict(tuple(self.findings), self.passes, surrogate=known)

    def _run(
        self,
        check: Measured,
        ids: Int64[Tensor, " m"],
        threat: ThreatModel,
        beside: Columns | None = None,
    ) -> list[Finding]:
        if not check.applies(threat):
            return []
        sample = self.subject_of(ids[:1], threat)
        # A random model is run several times in a pass: as many fewer images.
        most = max(8, check.most // sample.samples) if sample.samples > 1 else check.most
        # Of another surrogate what is kept is of no use.
        which = f" {self.diagnosis.surrogate_print}" if isinstance(check, Surrogate) else ""
        name = f"check {check.name}{which}, {threat}"

        def measure(batch: Tensor, stages: object) -> Columns:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the findings say it
                return check.measure(self.subject_of(batch, threat))

        rows = self.steps.run(name, ids[:most], measure)
        for each in ("forwards", "backwards"):
            self.passes += int(rows[each].sum()) if each in rows else 0
        told = {name: values[: len(rows["id"])] for name, values in (beside or {}).items()}
        return [check.judge({**rows, **told})]


def _corrected(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with p-values corrected for their number; broken where one is small."""
    found = []
    for each, p in zip(findings, holm([f.p for f in findings]), strict=True):
        broken = each.found and p is not None and p < LEVEL and each.images >= _FEWEST
        found.append(replace(each, p=p, judgement="broken" if broken else each.judgement))
    return found
