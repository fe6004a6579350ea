"""What all norm balls share: budget, valid range, distance, steepest direction, random start."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import ClassVar, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.scalars import numbers
from saddlepoint.streams import Keys
from saddlepoint.threat.budgets import format_eps
from saddlepoint.threat.norms import (
    at_least_single,
    drawn_within,
    expand,
    norm,
    within,
)

Bound = float | tuple[float, ...]

FINE = 2.0**-10
"""The budget below which parameters are float64; see `NormBall.fine`."""
SPARED = {torch.float32: 2.0**-22, torch.float64: 2.0**-46}
"""Projections in L2 and L1 aim at ε(1 − 2·SPARED), so that rounding the entries cannot leave the ball;
by the images' dtype. Points of norm up to ε(1 − SPARED) are not moved.
"""
ON_BOUND = 1e-6
"""A pixel this close to a bound of the range is on it: projecting may round it off by an ulp, and
whether it takes part in a step must not hang on that.
"""


@dataclass(frozen=True)
class NormBall(ABC):
    """A ball of radius `eps` around the image, intersected with the valid range.

    Args:
        eps: the budget in the units of the image (pixels in [0, 1]: 8/255); one number, or (n,) one
            per sample. 0 allows the clean image alone; infinity, the default, is for minimum-norm
            attacks, which need the norm alone.
        lower, upper: the valid range; one number, or a tuple with one per channel.

    >>> from saddlepoint.threat import Linf
    >>> isinstance(Linf(8 / 255), NormBall), Linf(8 / 255).with_eps(0.5).eps
    (True, 0.5)
    """

    eps: float | Tensor = math.inf
    lower: Bound = 0.0
    upper: Bound = 1.0

    p: ClassVar[float]
    norm_name: ClassVar[str]
    tolerance: ClassVar[float]

    def __post_init__(self) -> None:
        if isinstance(self.eps, Tensor):
            return
        if isinstance(self.eps, bool) or not isinstance(self.eps, Real) or not self.eps >= 0:
            raise InputError(f"eps is {self.eps}; give a positive number, for instance 8/255, or 0")
        if not isinstance(self.eps, int | float):  # NumPy's numbers, fractions
            object.__setattr__(self, "eps", float(self.eps))

    def __str__(self) -> str:
        if isinstance(self.eps, Tensor):
            return f"{self.norm_name} (eps per sample)"
        return (
            self.norm_name if math.isinf(self.eps) else f"{self.norm_name} {format_eps(self.eps)}"
        )

    @property
    def ball(self) -> Self:
        """The ball itself; see `Normed`."""
        return self

    @property
    def space(self) -> str:
        """The units of the budget."""
        return "pixels"

    def with_eps(self, eps: float | Tensor) -> Self:
        """Return the same ball with another budget: a number, or (n,) one per sample."""
        return dataclasses.replace(self, eps=eps)

    def at(self, index: Tensor) -> Self:
        """Return the ball of the selected samples."""
        return self.with_eps(self.eps[index]) if isinstance(self.eps, Tensor) else self

    def radius(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the budget of each sample in the dtype of the images (float32 at least)."""
        return numbers(self.eps, at_least_single(images[:0])).expand(len(images))

    def eps_float64(self, like: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return ε in float64, one number or (n, 1, …) one per sample, to broadcast with `like`.

        >>> from saddlepoint.threat import Linf
        >>> Linf(0.1).eps_float64(torch.zeros(2, 3))
        tensor(0.1000, dtype=torch.float64)
        """
        eps = numbers(self.eps, like.new_empty((), dtype=torch.float64))
        return expand(eps, like) if eps.ndim else eps

    def eps_after_rounding(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the ε(1 − 2·SPARED) of each sample, in float64, that projections in L2 and L1 aim at,
        so that rounding the entries cannot leave the ball.

        >>> from saddlepoint.threat import L2
        >>> float(L2(0.5).eps_after_rounding(torch.zeros(1, 2))) < 0.5
        True
        """
        eps = self.eps_float64(images).flatten().expand(len(images))
        return eps * (1 - 2 * SPARED[at_least_single(images[:0]).dtype])

    def widest(self, shape: tuple[int, ...]) -> float:
        """Return the largest distance between two images of `shape` in the range: a larger budget
        allows nothing more.

        >>> from saddlepoint.threat import L1, Linf
        >>> Linf(0.1).widest((1, 8, 8)), L1(0.1, lower=-2, upper=2).widest((1, 8, 8))
        (1.0, 256.0)
        """
        x = torch.zeros((1, *shape), dtype=torch.float64)
        low, high = (bound.expand(x.shape) for bound in self.range(x))
        return float(self.distance(low, high)) if bool((high - low).isfinite().all()) else math.inf

    def check_width(self, shape: tuple[int, ...]) -> None:
        """Raise `InputError` for a budget that is wider than the range of images of `shape`: 8
        where 8/255 is meant.

        >>> from saddlepoint.threat import Linf
        >>> Linf(8).check_width((3, 32, 32))
        Traceback (most recent call last):
            ...
        saddlepoint.errors.InputError: eps is 8, more than the range of pixels allows, 1; did you
        mean 8/255?
        """
        if isinstance(self.eps, Tensor) or math.isinf(self.eps) or self.p == 0:
            return
        most = self.widest(shape)
        if self.eps > most * (1 + 1e-6):
            meant = f"did you mean {self.eps:g}/255?" if self.eps / 255 <= most else "give less"
            raise InputError(
                f"eps is {self.eps:g}, more than the range of pixels allows, {most:.4g}; {meant}"
            )

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the images: a ball's parameters are the perturbed image itself, in float64 where a
        budget is `fine`.
        """
        return images.double() if self.fine else at_least_single(images)

    @cached_property
    def fine(self) -> bool:
        """Whether a budget is so small that roundings of float32 would eat steps within it."""
        if isinstance(self.eps, Tensor):
            return bool((self.eps < FINE).any())
        return self.eps < FINE

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters, which are the perturbed images, rounded towards the image where
        they are in float64 and it is not.
        """
        x = at_least_single(images)
        return parameters if parameters.dtype == x.dtype else drawn_within(x, parameters)

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the point of ball ∩ range nearest to `parameters`, in their dtype (float32 at
        least, and the images' at least), rounded towards the image.
        """
        z = at_least_single(parameters)
        x = at_least_single(images).to(torch.promote_types(z.dtype, images.dtype))
        low, high = self.range(x)
        wanted, least, most = ((v - x).flatten(1) for v in (z, low, high))
        delta = self._project(wanted, least, most, x).reshape(x.shape)
        # What needs no change stays to the last bit, so that projecting twice changes nothing.
        kept = delta == wanted.clamp(least, most).reshape(x.shape)
        return torch.where(kept, z, within(x, delta)).clamp(low, high)

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Return which candidates are finite, in the range, and within the budget as the judge
        measures it, in float64; see `near`.
        """
        low, high = self.range(at_least_single(candidates))
        inside = (candidates >= low) & (candidates <= high) & candidates.isfinite()
        return inside.flatten(1).all(1) & self.near(images, candidates)

    def near(
        self,
        images: Float[Tensor, "n ..."],
        candidates: Float[Tensor, "n ..."],
        rounding: Float[Tensor, "n ..."] | None = None,
    ) -> Bool[Tensor, " n"]:
        """Return which candidates are within eps·(1 + tolerance) of the images, in float64.

        `rounding` is what storing a candidate may have moved each entry by, None that of float32,
        which Linf allows beside its tolerance; with a budget of 0 nothing may move.

        >>> from saddlepoint.threat import Linf
        >>> x = torch.tensor([[0.7]])
        >>> for eps in (1e-7, 1e-8, 0.0):
        ...     bool(Linf(eps).near(x, x + 1e-7, torch.full_like(x, 6e-8)))
        True
        False
        False
        """
        limit = self.eps_float64(images).flatten() * (1 + self.tolerance)
        return self.distance(images, candidates) <= limit

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return ‖candidate − image‖ₚ per sample in float64; NaN where the candidate has one."""
        return norm(candidates.double() - images.double(), self.p)

    def norm(self, change: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return ‖change‖ₚ per sample in the precision of the change.

        >>> from saddlepoint.threat import L2
        >>> L2().norm(torch.tensor([[3.0, 4.0]]))
        tensor([5.])
        """
        return norm(change, self.p)

    def group(self, images: Float[Tensor, "n ..."]) -> int:
        """Return how many entries the norm counts as one: the channels of an L0 per pixel, else 1."""
        return 1

    def range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the valid range as tensors that broadcast with (n, c, …) images."""
        return _bound(self.lower, like), _bound(self.upper, like)

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the unit direction that attains the dual norm of the gradient; see `Ascendable`."""
        if at is not None:
            low, high = self.range(at)
            room = torch.where(gradient < 0, at - low, high - at)
            stuck = (room <= ON_BOUND) & (gradient != 0)
            gradient = torch.where(stuck, 0.0, gradient)
        return self._steepest(gradient, k)

    def random_start(
        self,
        images: Float[Tensor, "n ..."],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n ..."] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return a point drawn uniformly from the ball (then the range); see `Ascendable`."""
        x = self.parametrise(images)
        eps = expand(self.radius(x), x)
        if gaussian:
            drawn = eps * self._normal(x, keys, restart)
            return x + (drawn if free is None else drawn * free)
        return self.project(x, x + self._uniform(x, eps, keys, restart, free))

    def _normal(self, x: Tensor, keys: Keys, restart: int) -> Tensor:
        return keys.normal(x.shape[1:], restart=restart).to(x.dtype)

    @abstractmethod
    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        """Return the nearest perturbation (n, d) in the ball and the bounds low ≤ 0 ≤ high."""

    @abstractmethod
    def _steepest(self, gradient: Tensor, k: int) -> Tensor: ...

    @abstractmethod
    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        """Return a perturbation (n, …) uniform in the ball of the `free` entries, None for all."""


def _bound(bound: Bound, like: Tensor) -> Tensor:
    value = numbers(bound, like)
    return value.reshape(-1, *[1] * (like.ndim - 2)) if value.ndim else value
