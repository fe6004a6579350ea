"""Three ways to keep C&W's iterate in the valid range, one frozen strategy each.

The optimiser moves a variable w; a treatment says which image w stands for, from where the distance
is measured, and how gradients go back to w. Features with equal bounds never move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor

# Start pixels this share of half the range inside a bound: tanh has no slope on it.
_INSIDE = 1e-3


class Treatment(Protocol):
    """What the inner loop asks of a treatment; all tensors are (m, …).

    >>> w = Clipped().begin(torch.tensor([[0.25]]), torch.zeros(1, 1), torch.ones(1, 1))
    >>> Clipped().image(w + 2, torch.zeros(1, 1), torch.ones(1, 1))
    tensor([[1.]])
    """

    def begin(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the w that stands for the image `x`."""
        ...

    def image(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the image, inside the bounds, that w stands for."""
        ...

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the point whose distance is penalised, given w and its image."""
        ...

    def chain(
        self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the gradient in w of a loss with gradient `loss` at the image and a penalty with
        gradient `penalty` at the measured point.
        """
        ...

    def settle(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w as it goes on after a step."""
        ...


@dataclass(frozen=True)
class Tanh:
    """The change of variables x = middle + half·tanh w: no bound is ever met.

    Pixels that begin on a bound begin slightly inside instead, since there the slope is 0. Features
    without finite bounds are their own w.

    >>> low, high = torch.zeros(1, 2), torch.ones(1, 2)
    >>> Tanh().image(Tanh().begin(torch.tensor([[0.2, 1.0]]), low, high), low, high)
    tensor([[0.2000, 0.9995]])
    """

    def begin(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return artanh of the image, drawn inside the bounds."""
        middle, half, bounded = _frame(low, high)
        inside = ((x - middle) / half).clamp(-1 + _INSIDE, 1 - _INSIDE)
        return torch.where(bounded, inside.atanh(), x)

    def image(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return middle + half·tanh w."""
        middle, half, bounded = _frame(low, high)
        return torch.where(bounded, middle + half * w.tanh(), w).clamp(low, high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the image."""
        return x

    def chain(
        self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the gradient times the slope half·(1 − tanh² w) = (x − low)(high − x)/half."""
        _, half, bounded = _frame(low, high)
        slope = torch.where(bounded, (x - low) * (high - x) / half, 1.0)
        return (loss + penalty) * slope

    def settle(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w."""
        return w


@dataclass(frozen=True)
class Clipped:
    """Clipped gradient descent: the loss is that of the clipped w, the distance that of w itself,
    which pulls w back into the range.

    >>> low, high = torch.zeros(1, 1), torch.ones(1, 1)
    >>> w, one = torch.tensor([[1.5]]), torch.ones(1, 1)
    >>> Clipped().chain(one, 2 * one, one, w, low, high)
    tensor([[2.]])
    """

    def begin(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the image."""
        return x

    def image(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w clipped."""
        return w.clamp(low, high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return w."""
        return w

    def chain(
        self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the gradients' sum, the loss's only where w is in the range."""
        return torch.where(w == x, loss, 0.0) + penalty

    def settle(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w."""
        return w


@dataclass(frozen=True)
class Projected:
    """Projected gradient descent: w is the image, clipped after every step.

    >>> Projected().settle(torch.tensor([[1.5]]), torch.zeros(1, 1), torch.ones(1, 1))
    tensor([[1.]])
    """

    def begin(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the image."""
        return x

    def image(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w, clipped only in case of rounding."""
        return w.clamp(low, high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the image."""
        return x

    def chain(
        self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the gradients' sum."""
        return loss + penalty

    def settle(self, w: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return w clipped."""
        return w.clamp(low, high)


BOXES: Mapping[str, Treatment] = MappingProxyType(
    {"tanh": Tanh(), "clipped": Clipped(), "projected": Projected()}
)
"""The treatments by name."""


def _frame(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the middle and half of the range, and where it is finite; half is 1 where it is 0 wide
    or not finite.
    """
    bounded = low.isfinite() & high.isfinite()
    half = (high - low) / 2
    return (low + high) / 2, torch.where(bounded & (half > 0), half, 1.0), bounded
