"""What all norm balls share: the budget, the valid range, distance, steepest step and random
start.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.keyed import Keys
from saddlepoint.threat.budgets import format_eps
from saddlepoint.threat.norms import at_least_single, expand, norm, numbers, within

Bound = float | tuple[float, ...]

ON_BOUND = 1e-6
"""A pixel this close to a bound of the range is on it: projecting may round it off by an ulp, and
whether it takes part in a step must not hang on that.
"""


@dataclass(frozen=True)
class NormBall(ABC):
    """A ball of radius `eps` around the image, intersected with the valid range.

    Args:
        eps: the budget in the units of the image (pixels in [0, 1]: 8/255); one number, or (n,) one
            per sample. Infinity, the default, is for minimum-norm attacks, which need the norm
            alone.
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
            return  # per-sample budgets may be zero: a sample that needs none
        if isinstance(self.eps, bool) or not isinstance(self.eps, Real) or not self.eps > 0:
            raise InputError(f"eps is {self.eps}; give a positive number, for instance 8/255")
        if not isinstance(self.eps, int | float):  # NumPy's numbers, fractions
            object.__setattr__(self, "eps", float(self.eps))

    def __str__(self) -> str:
        if isinstance(self.eps, Tensor):
            return f"{self.norm_name} (eps per sample)"
        return (
            self.norm_name if math.isinf(self.eps) else f"{self.norm_name} {format_eps(self.eps)}"
        )

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

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the images: a ball's parameters are the perturbed image itself."""
        return at_least_single(images)

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters, which are the perturbed images."""
        return parameters

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the point of ball ∩ range nearest to `parameters`, in float32 at least."""
        x, z = at_least_single(images), at_least_single(parameters)
        low, high = self.range(x)
        wanted, least, most = ((v - x).flatten(1) for v in (z, low, high))
        delta = self._project(wanted, least, most, x).reshape(x.shape)
        # What needs no change stays to the last bit, so that projecting twice changes nothing.
        kept = delta == wanted.clamp(least, most).reshape(x.shape)
        return torch.where(kept, z, within(x, delta)).clamp(low, high)

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Say which candidates are finite, in the range, and within eps·(1 + tolerance) in
        float64.
        """
        low, high = self.range(at_least_single(candidates))
        inside = ((candidates >= low) & (candidates <= high)).flatten(1).all(1)
        limit = self.radius(images).double() * (1 + self.tolerance)
        return inside & (self.distance(images, candidates) <= limit)

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return ‖candidate − image‖ₚ per sample in float64; NaN where the candidate has one."""
        return norm(candidates.double() - images.double(), self.p)

    def length(self, change: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return ‖change‖ₚ per sample in the precision of the change.

        >>> from saddlepoint.threat import L2
        >>> L2().length(torch.tensor([[3.0, 4.0]]))
        tensor([5.])
        """
        return norm(change, self.p)

    def range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the valid range as tensors that broadcast with (n, c, …) images."""
        return _bound(self.lower, like), _bound(self.upper, like)

    def steepest_step(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the step of unit norm that attains the dual norm of the gradient; see
        `Ascendable`.
        """
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
    ) -> Float[Tensor, "n ..."]:
        """Return a point drawn uniformly from the ball (then the range); see `Ascendable`."""
        x = at_least_single(images)
        eps = expand(self.radius(x), x)
        if gaussian:
            return x + eps * keys.normal(x.shape[1:], restart=restart).to(x.dtype)
        return self.project(x, x + self._uniform(x, eps, keys, restart))

    @abstractmethod
    def _project(self, delta: Tensor, low: Tensor, high: Tensor, images: Tensor) -> Tensor:
        """Return the nearest perturbation (n, d) in the ball and the bounds low ≤ 0 ≤ high."""

    @abstractmethod
    def _steepest(self, gradient: Tensor, k: int) -> Tensor: ...

    @abstractmethod
    def _uniform(self, x: Tensor, eps: Tensor, keys: Keys, restart: int) -> Tensor:
        """Return a perturbation (n, …) drawn uniformly from the ball."""


def _bound(bound: Bound, like: Tensor) -> Tensor:
    value = numbers(bound, like)
    return value.reshape(-1, *[1] * (like.ndim - 2)) if value.ndim else value
