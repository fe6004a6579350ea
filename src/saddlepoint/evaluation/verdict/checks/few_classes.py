"""Are there enough classes for the losses?

The ratio of AutoAttack needs three classes, its targeted form four. Of fewer the margin takes its place
here, so that nothing is lost; it is told, since the public code fails or compares a class with itself
there.
"""

from __future__ import annotations

import torch

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding

_NEEDED = 4


class FewClasses(Probe):
    """The number of classes.

    >>> FewClasses.most
    1
    """

    name = "few-classes"
    means = "The model has one class alone, and nothing can fool it."
    remedy = "Evaluate a model of two classes or more."
    threshold = f"below {_NEEDED} the margin replaces the ratio; one class alone is undecidable"
    reference = "the issues of AutoAttack's code"
    most = 1

    def measure(self, subject: Subject) -> Columns:
        """Return the number of logits."""
        with subject.guarded() as (batch, logits):
            return {
                "classes": torch.full((len(batch),), logits.shape[1]),
                "live": batch.live(logits).sum(1),
                **passes_of(batch.guard),
            }

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        if not len(rows["classes"]):
            return self.finding("healthy", "no image to ask", 0)
        classes, live = int(rows["classes"][0]), int(rows["live"][0])
        figure = f"{classes} classes" if classes > 1 else "one logit, two classes"
        alone = classes > 1 and live < 2
        figure += f", {live} of which can come" if live < classes else ""
        figure += "; handled: the margin stands for the ratio" if 1 < classes < _NEEDED else ""
        return self.finding("undecidable" if alone else "healthy", figure, len(rows["classes"]))
