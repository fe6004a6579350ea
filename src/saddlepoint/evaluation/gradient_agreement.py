"""Are the draws that are averaged at each step enough? Two gradients of as many draws each say it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.answers import check_answered, unanswered
from saddlepoint.attacks import Criterion, Misclassified
from saddlepoint.attacks.core.clean_pass import check_clean
from saddlepoint.attacks.core.criteria import LOSSES, Loss
from saddlepoint.checks import as_pixels, check_labels, tensor_of
from saddlepoint.counts import check_count
from saddlepoint.evaluation.fresh_draws import fresh_guard
from saddlepoint.model import Guard
from saddlepoint.option_values import check_value
from saddlepoint.streams import Keys, Stream
from saddlepoint.tables import Shown, Table

ENOUGH = 0.5
"""Of the mean cosine: as much of a gradient is then common to both as is each one's noise."""


@dataclass(frozen=True, repr=False)
class GradientAgreement(Shown):
    """How far two independent estimates of the same gradients agree.

    Attributes:
        samples: draws averaged by each estimate, as `eot_samples`.
        cosine: between the two, the mean over images; NaN where no image has a gradient.
        deviation: of that mean, over images; NaN of fewer than two.
        images: with a gradient, of which the mean is.
        without: images whose gradient is 0 in one of the two: they tell nothing, and no attack is
            led by it.

    >>> agreement = GradientAgreement(samples=4, cosine=0.2, deviation=0.01, images=50, without=0)
    >>> agreement.enough, agreement.needed
    (False, 17)
    >>> GradientAgreement(4, 0.0, 0.01, 50, 0).needed is None
    True
    """

    samples: int
    cosine: float
    deviation: float
    images: int
    without: int

    @property
    def enough(self) -> bool:
        """Whether the cosine is above one half."""
        return self.cosine > ENOUGH

    @property
    def needed(self) -> int | None:
        """How many draws would bring the cosine above one half; None where the two have nothing in
        common, so that nobody can tell.

        A mean of m draws is the gradient g and noise of squared length σ²/m, and the expected
        cosine of two such means about |g|² / (|g|² + σ²/m): from one m all others follow, as the
        reliability of a longer test does (Spearman 1910, Brown 1910).
        """
        if not self.cosine > 0:
            return None
        return max(math.floor(self.samples * (1 / self.cosine - 1) + _ROUNDING) + 1, 1)

    def tables(self) -> list[Table]:
        """Return the cosine and what follows from it."""
        needed = "more than can be told" if self.needed is None else f"{self.needed:,}"
        told = f"{self.cosine:.3f} ± {self.deviation:.3f}"
        row = (f"{self.samples:,}", told, f"{self.images:,}", needed)
        columns = ("draws averaged", "cosine ± its deviation", "images", "draws for more than 0.5")
        verdict = "enough" if self.enough else "too few"
        lost = f"the gradient of {self.without:,} more images was 0 in one estimate or both"
        title = f"{self.samples:,} draws for a gradient are {verdict}"
        return [Table(title, columns, [row], (lost,) if self.without else ())]


_ROUNDING = 1e-6  # of a cosine of exactly one half, which is not above it


def gradient_agreement(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    samples: int,
    *,
    loss: Loss = "cross-entropy",
    seed: int = 0,
    ids: Int64[Tensor, " n"] | None = None,
    criterion: Criterion | None = None,
) -> GradientAgreement:
    """Return the cosine of two gradients that are each the mean over as many independent draws.

    It is the gradient that attacks follow, of the mean of the draws' losses, and depends on the
    place: look at clean images, where an attack begins, and at what it returned. It costs
    2 · `samples` passes each way of every image.

    Args:
        model: from images in [0, 1] to logits.
        images, labels: where the gradients are taken.
        samples: draws of each of the two; see `Attack.eot_samples`.
        loss: which attacks ascend; a name of `LOSSES`.
        seed, ids: of the draws.
        criterion: whose losses; None is `Misclassified`.

    Raises `InputError` for fewer than one draw, an unknown loss, and labels that do not fit.

    Reference: Gao, Shumailov, Fawaz and Papernot 2022, arXiv:2206.09491: most stochastic defences
    are not random enough to need more than one draw, so that an attack without averaging belongs
    beside one with it.

    >>> from saddlepoint.defences import GaussianNoise
    >>> net = nn.Sequential(GaussianNoise(0.1), nn.Flatten(), nn.Tanh())
    >>> x, y = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 4
    >>> gradient_agreement(net, x, y, samples=5).enough
    True
    """
    check_count("samples", samples)
    check_value("loss", loss, Loss)
    x, goals = as_pixels(tensor_of(images, "images")), tensor_of(labels, "labels")
    check_labels(goals, len(x))
    rows = torch.arange(len(x)) if ids is None else tensor_of(ids, "ids")
    check_labels(rows, len(x), "ids")
    fooled = Misclassified() if criterion is None else criterion
    device = Guard(model, 0).device
    x, goals = x.to(device), goals.to(device, torch.int64)
    keys = Keys(seed, rows.to(device), Stream.GRADIENTS)
    with fresh_guard(model, keys, "gradients", samples) as guard:
        logits = guard.logits(x, None, keys)
        check_answered(~unanswered(logits), model)
        check_clean(fooled, logits, goals)
        first, second = (
            guard.gradient(x, lambda z: LOSSES[loss](fooled, z, goals), None, keys)[1]
            for _ in range(2)
        )
    return _agreement(first.flatten(1).double(), second.flatten(1).double(), samples)


def _agreement(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], samples: int) -> GradientAgreement:
    steered = (a != 0).any(1) & (b != 0).any(1)
    # Divided by their largest entries, gradients of 1e-200 keep their direction.
    a, b = (each[steered] / each[steered].abs().amax(1, keepdim=True) for each in (a, b))
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    told = len(cosine)
    return GradientAgreement(
        samples=samples,
        cosine=float(cosine.mean()) if told else math.nan,
        deviation=float(cosine.std()) / told**0.5 if told > 1 else math.nan,
        images=told,
        without=len(steered) - told,
    )
