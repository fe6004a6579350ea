"""Are the pixels in the units of the budget?

A budget of 8/255 means something for pixels that fill [0, 1]. Images that were divided by 255 twice lie
within a budget of each other and of black; images of 0 … 255 are refused elsewhere. What an image spans is
compared with the valid range, and with the budget in Linf.
"""

from __future__ import annotations

import torch

from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.checks import bounds_of
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject, share
from saddlepoint.evaluation.verdict.finding import Finding

_LEAST = 0.02


class PixelValues(Probe):
    """The share of the valid range that the pixels span, image by image.

    >>> PixelValues.triggers
    False
    """

    name = "pixel-values"
    means = "The images fill a sliver of the valid range: they may have been divided by 255 twice."
    remedy = "Give images in [0, 1], or the threat model's own range, and the budget in its units."
    threshold = f"a span of {100 * _LEAST:g} % of the range in half of the images"

    def measure(self, subject: Subject) -> Columns:
        """Return what each image spans of the valid range; infinity where there is none."""
        low, high = bounds_of(subject.images, *pixel_range(subject.threat))
        width = float((high - low).max())
        flat = subject.images.flatten(1)
        span = (flat.amax(1) - flat.amin(1)).double()
        return {"span": span / width if width < torch.inf else torch.full_like(span, torch.inf)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        span = rows["span"]
        middle = float(span.median()) if len(span) else 1.0
        figure = f"the median image spans {middle:.3g} of the range"
        if middle == torch.inf:
            figure = "there is no valid range to compare with"
        found = share(span < _LEAST, 0.5, torch.inf)
        return self.finding(found, figure, len(span))
