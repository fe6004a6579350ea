"""Mixup and CutMix: images made of two, and with them their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from scipy.special import betaincinv
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which image every image of a batch is mixed with, and how much it keeps of itself.

    Args:
        partner: (n,) the row of the other image.
        share: λ ≥ ½, of the image itself.

    >>> pairs = Pairs(torch.tensor([1, 0]), 0.75)
    >>> pairs.mixed(torch.eye(2))
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500]])
    """

    partner: Int64[Tensor, " n"]
    share: float

    def mixed(self, values: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return λ·v + (1 − λ)·v of the other."""
        return self.share * values + (1 - self.share) * values[self.partner]


def mix(
    images: Float[Tensor, "n c h w"],
    generator: torch.Generator,
    mixup: float | None,
    cutmix: float | None,
) -> tuple[Float[Tensor, "n c h w"], Pairs]:
    """Return images mixed in pairs, all by the same λ ~ Beta(α, α).

    Mixup adds them, λ·x + (1 − λ)·x̃. CutMix puts a rectangle of x̃ of the image's proportions, of the
    share 1 − λ, at a random place into x; what lies outside is cut, and λ is what is left of x. Of
    both, one is drawn for each batch. Where λ < ½ the two images of a pair change places: the
    mixtures are those of the papers, and the label of each image stays the greater one.

    Args:
        generator: on the CPU: nothing waits for a device.
        mixup, cutmix: their α; None for one that is not used.

    References: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899.

    >>> images = torch.rand(4, 3, 8, 8)
    >>> mixed, pairs = mix(images, torch.Generator().manual_seed(0), mixup=0.2, cutmix=None)
    >>> torch.equal(mixed, pairs.mixed(images)), pairs.share >= 0.5
    (True, True)
    """
    which, quantile, down, across = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    partner = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
    cuts = cutmix is not None and (mixup is None or which < 0.5)
    alpha = cutmix if cuts else mixup
    assert alpha is not None
    drawn = float(betaincinv(alpha, alpha, quantile))
    if not cuts:
        pairs = Pairs(partner, max(drawn, 1 - drawn))
        return pairs.mixed(images), pairs
    h, w = images.shape[2:]
    rows = _part(h, down, math.sqrt(1 - drawn))
    columns = _part(w, across, math.sqrt(1 - drawn))
    cut = (rows.stop - rows.start) * (columns.stop - columns.start) / (h * w)
    around, inside = images, images[partner]
    if cut > 0.5:
        around, inside = inside, around
    result = around.clone()
    result[:, :, rows, columns] = inside[:, :, rows, columns]
    return result, Pairs(partner, max(cut, 1 - cut))


def _part(side: int, place: float, share: float) -> slice:
    """Return the pixels of a side that a length around a place has, cut at its ends."""
    length, middle = int(side * share), int(side * place)
    first = middle - length // 2
    return slice(max(first, 0), min(first + length, side))
