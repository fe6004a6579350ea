"""How large are the logits?

In float32 the softmax of logits that lie more than about 90 apart is exactly 0 and 1, and the gradient
of the cross-entropy vanishes with it: a model whose logits are multiplied by 10,000, or one that was
distilled at a high temperature, looks robust to an attack that ascends the published cross-entropy.
The attacks here ascend the logarithm of the odds, the margin or the ratio of logits, which do not
suffer from the scale. So a large scale is told of, and speaks against the number only where no attack
of the suite is immune.
"""

from __future__ import annotations

import torch

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding

_LARGE = 30.0
_SHARE = 0.01


class LogitScale(Probe):
    """The median margin, and the share of images for which the published cross-entropy is blind.

    >>> LogitScale.triggers
    False
    """

    name = "logit-scale"
    means = (
        "The logits are so large that the softmax is 0 and 1 to the last digit, and no attack of this"
        " suite is immune to it."
    )
    remedy = (
        "Use a loss that is: cross-entropy (as log-odds), margin or dlr, as the named suites do."
    )
    threshold = f"median margin {_LARGE:g}, or blind for 1 % of the images; and no immune attack"
    reference = "Carlini and Wagner 2016, arXiv:1607.04311; Croce and Hein 2020, arXiv:2003.01690"
    most = 32

    def measure(self, subject: Subject) -> Columns:
        """Return each image's margin, whether the gradient of the softmax cross-entropy is 0, and
        whether some attack is immune to that.
        """
        with subject.guarded() as (batch, logits):
            _, gradient = batch.gradient(batch.clean, batch.loss("softmax-cross-entropy"))
            blind = gradient.flatten(1).abs().amax(1) == 0
            immune = not subject.suite or any(map(_immune, subject.suite.values()))
            return {
                "margin": batch.margin(logits),
                "blind": blind,
                "immune": torch.full_like(blind, immune),
                **passes_of(batch.guard),
            }

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        margin, blind = rows["margin"], rows["blind"]
        middle, count = float(margin.median()), int(blind.sum())
        large = middle > _LARGE or (count >= 2 and count > _SHARE * len(blind))
        immune = bool(rows["immune"].all())
        figure = f"median margin {middle:.3g}, cross-entropy blind for {count} of {len(blind)}"
        if large and immune:
            figure += "; handled: the attacks do not depend on the scale"
        return self.finding("broken" if large and not immune else "healthy", figure, len(blind))


def _immune(attack: Attack) -> bool:
    """Return whether an attack has a gradient whatever the scale of the logits."""
    while isinstance(inner := getattr(attack, "attack", None), Attack):
        attack = inner
    ours = type(attack).__module__.startswith("saddlepoint.")
    return ours and getattr(attack, "loss", "") != "softmax-cross-entropy"
