"""Does the model answer every image, with a class of the data?

An image for which the logits are NaN or infinite has no class: a clean one counts as wrong, one within
the budget as fooled. The number is then not too high, but part of it says where the model overflows,
which is easier to mend than to defend. What is rejected by a class of the model's own is told too: it
fools nobody, so that a model that rejects everything is robust and of no use.
"""

from __future__ import annotations

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Check
from saddlepoint.evaluation.verdict.finding import Finding, Judgement


class Answers(Check):
    """The images without an answer, clean and under attack, and the clean ones that are rejected.

    >>> import torch
    >>> none, two = torch.zeros(9, dtype=torch.bool), torch.arange(9) < 2
    >>> Answers().judge({"silent": two, "lost": none, "rejected": none}).judgement
    'suspicious'
    """

    name = "answers"
    means = (
        "The model returns NaN or infinity for some images, which count as wrong, or as fooled: part of"
        " the number says where it overflows."
    )
    remedy = "Look for log(0), 0/0 or overflow in the model, mend it and evaluate again."
    threshold = "two images; rejections are told only"

    def judge(self, rows: Columns) -> Finding:
        """Judge the columns `silent` (clean), `lost` (under attack) and `rejected` (clean)."""
        silent, lost, rejected = (int(rows[name].sum()) for name in ("silent", "lost", "rejected"))
        total = len(rows["silent"])
        judgement: Judgement = "suspicious" if silent + lost >= 2 else "healthy"
        figure = f"no answer for {silent} of {total} clean images and {lost} under attack"
        figure += f"; {rejected} clean images rejected" if rejected else ""
        return self.finding(judgement, figure, total)
