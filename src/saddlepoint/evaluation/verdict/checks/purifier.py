"""Does something purify the images before they are classified?

A model of images that replaces what it is given (a generator's nearest image, an autoencoder's
reconstruction) hides the classifier behind a search or behind draws, and plain attacks on the whole
measure the hiding. Every such defence so far fell to an attack that was made for it, so that without
one the number is not to be believed. The layer is looked for, not guessed at: a `Purifier` declares
itself.
"""

from __future__ import annotations

import torch

from saddlepoint.defences.purifier import Purifier
from saddlepoint.evaluation.journal import Columns
from saddlepoint.evaluation.verdict.check import Probe, Subject
from saddlepoint.evaluation.verdict.finding import Finding


class Purification(Probe):
    """Whether a layer of the model purifies images.

    >>> Purification.most
    1
    """

    name = "purification"
    means = (
        "A model of images stands before the classifier; defences of this kind have fallen to attacks"
        " that were made for them, and those of a suite are not."
    )
    remedy = (
        "Attack past it: gradient=identity with eot_samples (BPDA), gradient=unrolled, and manifold or"
        " plain attacks on the classifier behind it (--surrogate); see docs/purify.md."
    )
    threshold = "any layer"
    reference = "Athalye et al. 2018, arXiv:1802.00420; Jalal et al. 2017, arXiv:1712.09196"
    most = 1

    def measure(self, subject: Subject) -> Columns:
        """Return how many layers purify."""
        count = sum(isinstance(each, Purifier) for each in subject.model.modules())
        return {"layers": torch.full((len(subject),), count)}

    def judge(self, rows: Columns) -> Finding:
        """Judge what `measure` returned."""
        layers = int(rows["layers"].max()) if len(rows["layers"]) else 0
        judged = "undecidable" if layers else "healthy"
        figure = f"{layers} layer{'' if layers == 1 else 's'} of the model"
        return self.finding(judged, figure, len(rows["layers"]))  # type: ignore[arg-type]
