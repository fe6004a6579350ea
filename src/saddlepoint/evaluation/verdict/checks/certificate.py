"""Does an attack fool what is certified?

A certificate is a proof that nothing within a budget fools. An image that was fooled within it is no
finding about the model but a bug, in the certificate, in the units of the budget, or here.
"""

from __future__ import annotations

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Check
from saddlepoint.evaluation.verdict.finding import Finding


class Certificate(Check):
    """The images that were fooled within their certified budget; rows have `fooled` and `certified`.

    >>> import torch
    >>> rows = {"fooled": torch.tensor([True, False]), "certified": torch.tensor([True, True])}
    >>> Certificate().judge(rows).judgement
    'broken'
    """

    name = "certificate"
    means = (
        "An image was fooled within the budget for which it is certified: one of the two is wrong."
    )
    remedy = (
        "Stop, and compare norm, units, model and labels of the certificate with the evaluation's."
    )
    threshold = "one image"

    def judge(self, rows: Columns) -> Finding:
        """Judge what attack and certificate say."""
        wrong, total = rows["fooled"] & rows["certified"], int(rows["certified"].sum())
        judged = "broken" if bool(wrong.any()) else "healthy"
        return self.finding(judged, f"{int(wrong.sum())} of {total} certified images fooled", total)  # type: ignore[arg-type]
