"""Are the outputs probabilities?

A softmax on top of a model turns its logits into numbers that are 0 and 1 to the last digit where the
model is confident, and with them the gradient of every loss. Attacks then walk at random, and the
robust accuracy is too high. A logarithm undoes it as long as the smallest probability is not 0 in
the model's precision. The outputs are taken for probabilities where none is negative and all rows
have the same sum; a softmax times a number is found as well, its logarithm is not, and need not be:
no attack here suffers from that.
"""

from __future__ import annotations

from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding

_EQUAL = 1e-4


class Probabilities(Probe):
    """Whether the outputs are probabilities, times some number.

    >>> Probabilities.triggers
    True
    """

    name = "probabilities"
    means = (
        "The outputs are probabilities, whose gradient vanishes where the model is confident: the"
        " number is an upper bound."
    )
    remedy = "Remove the final softmax, or attack the logarithm of the outputs (--adaptive does)."
    threshold = "no output below 0 and all sums equal"
    reference = "Croce and Hein 2020, arXiv:2003.01690, the checks of their code"
    most = 16
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return the smallest output and the sum of the outputs of each image."""
        with subject.guarded() as (batch, outputs):
            return {
                "least": outputs.amin(1),
                "sum": outputs.double().sum(1),
                **passes_of(batch.guard),
            }

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        least, total = rows["least"], rows["sum"]
        low, high = (float(total.min()), float(total.max())) if len(total) else (0.0, 0.0)
        # One image alone has the sum of all, whatever it is.
        alike = len(total) > 1 and high - low <= _EQUAL * max(abs(high), abs(low))
        found = alike and low > 0 and bool((least >= 0).all())
        figure = f"smallest output {float(least.min()):.3g}, sums {low:.4g} … {high:.4g}"
        return self.finding("suspicious" if found else "healthy", figure, len(total))
