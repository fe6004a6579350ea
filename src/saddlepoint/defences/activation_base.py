"""What the quantised activations share: bits, a range set from data, and ordered thresholds."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.defences.levels import check_bits

DEFAULT_UPPER = 6.0
"""The upper end of an activation that was not calibrated: that of ReLU6 (Howard et al. 2017)."""

_SHARE = 0.999
_LARGEST_SAMPLE = 2**20


class QuantisedActivation(nn.Module, ABC):
    """A replacement of ReLU with 2^bits output levels.

    It starts on [0, 6]; `calibrate` fits the range to data.

    >>> from saddlepoint.defences.activation_dtrelu import DTReLU
    >>> isinstance(DTReLU(bits=4), QuantisedActivation)
    True
    """

    replaced: tuple[nn.Module, ...] = ()
    """The ReLU in whose place it stands; in a tuple, so that it is no submodule."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        check_bits(bits)
        self.bits = bits

    @abstractmethod
    def set_range(self, upper: float) -> None:
        """Put the levels evenly on [0, upper], with upper > 0."""

    @abstractmethod
    def levels(self) -> Float[Tensor, " levels"]:
        """Return the present output levels, without a gradient."""

    def calibrate(self, x: Float[Tensor, "*shape"]) -> None:
        """Set the range to [0, the 99.9th percentile of ReLU(x)].

        The maximum would never move again, since nothing is above it. Where the percentile is 0,
        NaN or infinite the range stays as it is.
        """
        upper = upper_percentile(x)
        if 0 < upper < math.inf:
            self.set_range(upper)

    def extra_repr(self) -> str:
        """Return what `repr` shows."""
        return f"bits={self.bits}"


def upper_percentile(x: Float[Tensor, "*shape"], share: float = _SHARE) -> float:
    """Return that quantile of ReLU(x), interpolated linearly; of about a million entries at most.

    >>> round(upper_percentile(torch.linspace(-1, 1, 2001)), 4)
    0.998
    """
    values = subsample(x).relu()
    if not len(values):
        return 0.0
    position = share * (len(values) - 1)
    below = math.floor(position)
    largest = values.topk(len(values) - below).values  # far cheaper than sorting everything
    low, high = largest[-1], largest[-2] if len(largest) > 1 else largest[-1]
    return float(low + (position - below) * (high - low))


def subsample(x: Float[Tensor, "*shape"], most: int = _LARGEST_SAMPLE) -> Float[Tensor, " m"]:
    """Return at most `most` entries, in float32 or better, the same ones every time.

    >>> subsample(torch.arange(10.0), most=5)
    tensor([0., 3., 6., 9.])
    """
    flat = x.detach().flatten()
    step = math.ceil(len(flat) / most)
    # A step that shares no factor with the size favours no channel, row or column.
    while step > 1 and math.gcd(step, len(flat)) > 1:
        step += 1
    flat = flat[::step] if step > 1 else flat
    return flat.to(torch.promote_types(flat.dtype, torch.float32))


class OrderedThresholds(nn.Module):
    """Learnable numbers t_0 ≤ t_1 ≤ …, ordered by construction: t_j = t_0 + Σ_{i≤j} softplus(r_i).

    The calls return (count,). Weight decay pulls every r_i to 0, a gap of log 2.

    >>> thresholds = OrderedThresholds(3)
    >>> thresholds.set_even(0.0, 2.0)
    >>> thresholds().detach()
    tensor([0., 1., 2.])
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1))
        self.raw_gaps = nn.Parameter(torch.zeros(count - 1))

    @torch.no_grad()
    def set_even(self, first: float, last: float) -> None:
        """Place them evenly from `first` to `last` > `first`."""
        gap = (last - first) / len(self.raw_gaps)
        self.first.fill_(first)
        # The inverse of softplus, log(e^gap − 1), written so that neither end overflows.
        self.raw_gaps.fill_(gap + math.log(-math.expm1(-gap)))

    def forward(self) -> Float[Tensor, " count"]:
        """Return the thresholds, differentiably."""
        gaps = functional.softplus(self.raw_gaps)
        return torch.cat([self.first, self.first + gaps.cumsum(0)])
