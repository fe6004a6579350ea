"""Does an attack without a real budget fool everything?

When every pixel may move by half of the valid range, every image can become grey, and a classifier that
still resists is not robust: the attack failed. A short run on the margin and one on the log-odds must
then fool all but as many images as guessing would have right. A model that answers the same whatever
it sees resists legitimately: where all images that are right are of one class, nothing is concluded.
"""

from __future__ import annotations

import torch
from scipy.stats import binom

from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.checks import bounds_of
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, passes_of
from saddlepoint.evaluation.verdict.finding import Finding, Judgement
from saddlepoint.threat import Linf

_STEPS = 15
_LEVEL = 0.01


class Unbounded(Probe):
    """The share of images that an attack in Linf with half of the valid range does not fool.

    >>> Unbounded.most
    32
    """

    name = "unbounded"
    means = (
        "Not even an attack that may turn every image grey fools these: it does not see the model."
    )
    remedy = "Do not use the number. Look for a gradient that is masked; --adaptive tries the ways round."
    threshold = "two images; broken at p < 1 %, not corrected, that they are right by chance"
    reference = "Carlini et al. 2019, arXiv:1902.06705; Pintor et al. 2022, arXiv:2106.09947"
    most = 32
    triggers = True

    def measure(self, subject: Subject) -> Columns:
        """Return which images the attack fools, and how many classes there are."""
        low, high = bounds_of(subject.images, *pixel_range(subject.threat))
        half = float((high - low).max()) / 2
        half = half if half < float("inf") else 0.5
        bounds = {"lower": float(low.min()), "upper": float(high.max())}
        with subject.guarded() as (batch, logits):
            classes = torch.full((len(batch),), max(2, logits.shape[1]))
        attack = APGD(Linf(half, **bounds), steps=_STEPS, loss="margin", shrinking=False)
        result = subject.attacked(attack)
        labels = subject.labels.clone()
        return {"fooled": result.success, "classes": classes, "label": labels, **passes_of(result)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        total, standing = len(rows["fooled"]), int((~rows["fooled"]).sum())
        chance = 1 / max(2, int(rows["classes"].max())) if total else 0.5
        p = float(binom.sf(standing - 1, total, chance)) if total else 1.0
        judgement: Judgement = "healthy"
        if total > 1 and bool((rows["label"] == rows["label"][0]).all()):
            return self.finding(judgement, "all images that are right are of one class", total)
        if standing >= 2:
            judgement = "broken" if p < _LEVEL else "suspicious"
        return self.finding(judgement, f"{standing} of {total} images stand", total)
