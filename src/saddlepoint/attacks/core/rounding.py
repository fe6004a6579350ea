"""By how much a margin must be negative for a success to hold in another batch as well.

Logits are rounded, differently in batches of other sizes. What that does to a margin grows with the
spread of the logits that are alive, and with the size of the two that decide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Of the spread of the live logits; hidden layers of 16 bits round more than their outputs show.
_FACTORS = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1e-2,
}
# Of the larger of the two logits that decide, in units in the last place.
_ULPS = 4
_TINY = 1e-30
# Logits that span less than the first are read as if they spanned the second.
_NARROW, _ORDINARY = 3.0, 20.0
# So many spreads away a class is dead.
_FAR, _FARTHEST = 50.0, 1e6


def live_classes(logits: Float[Tensor, "m k"]) -> Bool[Tensor, "m k"]:
    """Return which classes can come at all: not those masked with −∞ or a huge negative number.

    A class is dead where it is not finite, or below a gap that is 50 times the spread of the
    classes above it and larger than any of them. The two highest are alive where they are finite,
    and as two may be almost equal by chance, a gap right below them must also be 50 times the
    spread of the classes under it, of which there are several, or a million times theirs.

    >>> live_classes(torch.tensor([[3.0, 1.0, -1e9], [3.0, 1.0, -99.0], [1.0, -torch.inf, 2.0]]))
    tensor([[ True,  True, False],
            [ True,  True,  True],
            [ True, False,  True]])
    """
    finite = logits.isfinite()
    if logits.shape[1] < 3:
        return finite
    ordered = torch.where(finite, logits, -torch.inf).double().sort(dim=1, descending=True).values
    above = ordered[:, :1] - ordered[:, 1:-1]
    gap = ordered[:, 1:-1] - ordered[:, 2:]
    under = ordered[:, 2] - torch.where(finite, logits, torch.inf).double().amin(1)
    loose = (finite.sum(1) < 4) | (gap[:, 0] <= _FAR * under)
    chance = loose & (gap[:, 0] <= _FARTHEST * above[:, 0])
    highest = ordered[:, :1].abs()
    cut = (above > 0) & (gap > _FAR * above) & (gap > highest)
    cut[:, 0] &= ~chance
    # Of a tie there is no spread, only a size.
    cut |= (above == 0) & (highest > 0) & (gap > _FARTHEST * highest)
    # The first such gap ends the living.
    count = 2 + (cut.cumsum(1) == 0).sum(1, keepdim=True)
    last = ordered.gather(1, count.clamp_max(logits.shape[1]) - 1)
    return finite & (logits >= last)


def live_range(
    logits: Float[Tensor, "m k"], live: Bool[Tensor, "m k"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Return the smallest and the largest live logit; of one logit, it and 0.

    >>> live_range(torch.tensor([[3.0, 1.0, -1e9]]), torch.tensor([[True, True, False]]))
    (tensor([1.]), tensor([3.]))
    """
    most = logits.amax(1)  # a dead class is never the highest
    if logits.shape[1] == 1:
        return torch.zeros_like(most), most
    return torch.where(live, logits, torch.inf).amin(1), most


@dataclass(frozen=True, eq=False)
class Reference:
    """What the logits of the clean images say: which classes are alive, and how far apart.

    Attributes:
        live: (m, K) the classes that can come.
        spread: (m,) of their logits.
        most: the largest number of live classes that any sample of the call has.

    >>> Reference.of(torch.tensor([[3.0, 1.0, -1e9]])).spread
    tensor([2.])
    """

    live: Bool[Tensor, "m K"]
    spread: Float[Tensor, " m"]
    most: int

    @staticmethod
    def of(logits: Float[Tensor, "m K"]) -> Reference:
        """Return the reference that these logits are; the count of the living is read from them."""
        here = Reference.here(logits)
        return replace(here, most=int(here.live.sum(1).max()))

    @staticmethod
    def here(logits: Float[Tensor, "m K"]) -> Reference:
        """Return what the logits of an iterate say, where the clean ones are not known."""
        live = live_classes(logits)
        least, most = live_range(logits, live)
        return Reference(live, (most - least).abs(), logits.shape[1])

    @cached_property
    def sharpening(self) -> Float[Tensor, " m"]:
        """By what the logits of a softmax are multiplied so that it tells the classes apart.

        Of a model whose logits span less than 3 a softmax is almost the same for all classes, and
        its gradient goes to the mean of the rivals instead of the nearest: scaled-down logits would
        make a model look robust. Other models are left alone.

        >>> Reference.of(torch.tensor([[8.0, 0.0], [0.5, 0.0]])).sharpening
        tensor([ 1., 40.])
        """
        narrow = (self.spread > 0) & (self.spread < _NARROW)
        return torch.where(narrow, _ORDINARY / self.spread.clamp_min(_TINY), 1.0)

    def at(self, rows: Tensor) -> Reference:
        """Return the reference of the selected samples."""
        return Reference(self.live[rows], self.spread[rows], self.most)


def rounding(
    logits: Float[Tensor, "m k"], clean: Reference, dtype: torch.dtype
) -> Float[Tensor, " m"]:
    """Return how far below 0 a margin must be to be negative in every batch.

    Args:
        logits: (m, k) at the iterate.
        clean: what the clean logits said: near a boundary the spread of two logits vanishes.
        dtype: that the logits, or the images, were computed in, the coarser.

    >>> logits, clean = torch.tensor([[1.0, 1.1, -1e9]]), torch.tensor([[3.0, 1.0, -1e9]])
    >>> f"{float(rounding(logits, Reference.of(clean), torch.float32)):.0e}"
    '2e-05'
    """
    least, most = live_range(logits.detach(), clean.live)
    wide = torch.maximum((most - least).abs(), clean.spread)
    ulps = _ULPS * torch.finfo(dtype).eps * torch.maximum(most.abs(), least.abs())
    return torch.maximum(_FACTORS[dtype] * wide, ulps)
