"""Is the answer the same every time?

A model that draws numbers at inference, by its own word or found out by passes over the same images,
answers differently every time, and one lucky draw is no adversarial image. It is attacked in
expectation (EOT), which the evaluation does by itself; the figure here says by how much answers differ.
Attacked without averaging the number cannot be told. With averaging it is an upper bound, since more
draws might find more; the three numbers of `randomised` say what a user of such a model can rely on.
"""

from __future__ import annotations

import torch

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding, Judgement

_PASSES = 5
_DIFFERENT = 1e-4


class Repeatable(Probe):
    """How much five answers to the same image differ, and whether the attacks average.

    >>> Repeatable.most
    16
    """

    name = "repeatable"
    means = "The model is random at inference, so that one number does not say how robust it is."
    remedy = (
        "Attack its expectation: eot_samples=20 or the suite rand (--adaptive does), and report fixed"
        " images over fresh draws, the worst of several, and the majority vote."
    )
    threshold = f"a distance of {_DIFFERENT:g} between logits of length 1; undecidable without EOT"
    reference = "Croce and Hein 2020, arXiv:2003.01690; Athalye et al. 2018, arXiv:1707.07397"
    most = 16

    def measure(self, subject: Subject) -> Columns:
        """Return how far answers lie apart, and what the evaluation makes of it."""
        with subject.guarded() as (batch, logits):
            batch.guard.set_random(True)
            known = torch.full((len(batch),), subject.random, device=logits.device)
            answers = torch.stack([batch.logits(batch.clean) for _ in range(_PASSES)])
            unit = torch.nn.functional.normalize(answers.double().nan_to_num(), dim=2)
            apart = (unit - unit[:1]).norm(dim=2).amax(0)
            classes = (answers.argmax(2) != answers[:1].argmax(2)).any(0)
            samples = torch.full((len(batch),), subject.samples)
            spent = passes_of(batch.guard)
            return {"apart": apart, "other": classes, "random": known, "samples": samples, **spent}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        if not len(rows["apart"]):
            return self.finding("healthy", "no image to ask", 0)
        apart, other = float(rows["apart"].max()), int(rows["other"].sum())
        random = bool(rows["random"].any()) or apart > _DIFFERENT
        judgement: Judgement = "healthy"
        figure = f"logits {apart:.2g} apart, another class for {other} of {len(rows['apart'])}"
        if random:
            averaged = int(rows["samples"].max())
            judgement = "suspicious" if averaged > 1 else "undecidable"
            figure += f"; attacked over {averaged} passes" if averaged > 1 else "; not averaged"
        return self.finding(judgement, figure, len(rows["apart"]))
