"""Three ways to keep C&W's iterate in the valid range, one frozen strategy each.

The optimiser moves a variable w; a treatment says which image w stands for, from where the distance
is measured, and how gradients go back to w. Features with equal bounds never move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor

# Start pixels this share of half the range inside a bound: tanh has no slope on it.
_INSIDE = 1e-3


@dataclass(frozen=True, eq=False)
class Frame:
    """The range of each feature (m, …), its middle and half its width.

    Attributes:
        low, high: the bounds.
        middle, half: of the range; half is 1 where the range is 0 wide or not finite.
        bounded: where both bounds are finite; None where that is everywhere.

    >>> Frame.of(torch.zeros(1, 2), torch.ones(1, 2)).middle
    tensor([[0.5000, 0.5000]])
    """

    low: Tensor
    high: Tensor
    middle: Tensor
    half: Tensor
    bounded: Tensor | None

    @classmethod
    def of(cls, low: Tensor, high: Tensor) -> Frame:
        """Return the frame of the bounds."""
        bounded = low.isfinite() & high.isfinite()
        half = (high - low) / 2
        half = torch.where(bounded & (half > 0), half, 1.0)
        return cls(low, high, (low + high) / 2, half, None if bool(bounded.all()) else bounded)

    def at(self, rows: Tensor) -> Frame:
        """Return the frame of the selected samples."""
        bounded = None if self.bounded is None else self.bounded[rows]
        four = (self.low[rows], self.high[rows], self.middle[rows], self.half[rows])
        return Frame(*four, bounded)


class Treatment(Protocol):
    """What the inner loop asks of a treatment; all tensors are (m, …).

    >>> frame = Frame.of(torch.zeros(1, 1), torch.ones(1, 1))
    >>> w = Clipped().begin(torch.tensor([[0.25]]), frame)
    >>> Clipped().image(w + 2, frame)
    tensor([[1.]])
    """

    def begin(self, x: Tensor, frame: Frame) -> Tensor:
        """Return the w that stands for the image `x`."""
        ...

    def image(self, w: Tensor, frame: Frame) -> Tensor:
        """Return the image, inside the bounds, that w stands for."""
        ...

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the point whose distance is penalised, given w and its image."""
        ...

    def chain(self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, frame: Frame) -> Tensor:
        """Return the gradient in w of a loss with gradient `loss` at the image and a penalty with
        gradient `penalty` at the measured point.
        """
        ...

    def settle(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w as it goes on after a step."""
        ...


@dataclass(frozen=True)
class Tanh:
    """The change of variables x = middle + half·tanh w: no bound is ever met.

    Pixels that begin on a bound begin slightly inside instead, since there the slope is 0. Features
    without finite bounds are their own w.

    >>> frame = Frame.of(torch.zeros(1, 2), torch.ones(1, 2))
    >>> Tanh().image(Tanh().begin(torch.tensor([[0.2, 1.0]]), frame), frame)
    tensor([[0.2000, 0.9995]])
    """

    def begin(self, x: Tensor, frame: Frame) -> Tensor:
        """Return artanh of the image, drawn inside the bounds."""
        inside = ((x - frame.middle) / frame.half).clamp(-1 + _INSIDE, 1 - _INSIDE).atanh()
        return inside if frame.bounded is None else torch.where(frame.bounded, inside, x)

    def image(self, w: Tensor, frame: Frame) -> Tensor:
        """Return middle + half·tanh w."""
        x = torch.addcmul(frame.middle, frame.half, w.tanh())
        x = x if frame.bounded is None else torch.where(frame.bounded, x, w)
        return x.clamp_(frame.low, frame.high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the image."""
        return x

    def chain(self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, frame: Frame) -> Tensor:
        """Return the gradient times the slope half·(1 − tanh² w) = (x − low)(high − x)/half."""
        slope = (x - frame.low).mul_(frame.high - x).div_(frame.half)
        slope = slope if frame.bounded is None else torch.where(frame.bounded, slope, 1.0)
        return (loss + penalty).mul_(slope)

    def settle(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w."""
        return w


@dataclass(frozen=True)
class Clipped:
    """Clipped gradient descent: the loss is that of the clipped w, the distance that of w itself,
    which pulls w back into the range.

    >>> frame = Frame.of(torch.zeros(1, 1), torch.ones(1, 1))
    >>> w, one = torch.tensor([[1.5]]), torch.ones(1, 1)
    >>> Clipped().chain(one, 2 * one, one, w, frame)
    tensor([[2.]])
    """

    def begin(self, x: Tensor, frame: Frame) -> Tensor:
        """Return the image."""
        return x

    def image(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w clipped."""
        return w.clamp(frame.low, frame.high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return w."""
        return w

    def chain(self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, frame: Frame) -> Tensor:
        """Return the gradients' sum, the loss's only where w is in the range."""
        return torch.where(w == x, loss, 0.0) + penalty

    def settle(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w."""
        return w


@dataclass(frozen=True)
class Projected:
    """Projected gradient descent: w is the image, clipped after every step.

    >>> Projected().settle(torch.tensor([[1.5]]), Frame.of(torch.zeros(1, 1), torch.ones(1, 1)))
    tensor([[1.]])
    """

    def begin(self, x: Tensor, frame: Frame) -> Tensor:
        """Return the image."""
        return x

    def image(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w, clipped only in case of rounding."""
        return w.clamp(frame.low, frame.high)

    def measured(self, w: Tensor, x: Tensor) -> Tensor:
        """Return the image."""
        return x

    def chain(self, loss: Tensor, penalty: Tensor, x: Tensor, w: Tensor, frame: Frame) -> Tensor:
        """Return the gradients' sum."""
        return loss + penalty

    def settle(self, w: Tensor, frame: Frame) -> Tensor:
        """Return w clipped."""
        return w.clamp(frame.low, frame.high)


BoxName = Literal["tanh", "clipped", "projected"]
BOXES: Mapping[str, Treatment] = MappingProxyType(
    {"tanh": Tanh(), "clipped": Clipped(), "projected": Projected()}
)
"""The treatments by name."""
