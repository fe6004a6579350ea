"""What every threat model can do, as protocols, so that an attack loop is written once.

A threat model says what the adversary may do to an image. Attacks move *parameters*; `render` turns
parameters into images. For the norm balls the parameters are the perturbed image itself; for a
rotation they would be an angle, for a patch its pixels.
"""

from __future__ import annotations

import math
from typing import Protocol, Self, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.streams import Keys
from saddlepoint.threat.ball import NormBall


@runtime_checkable
class ThreatModel(Protocol):
    """What the adversary may do to an image, and the valid range of the result.

    >>> from saddlepoint.threat import Linf
    >>> isinstance(Linf(8 / 255), ThreatModel)
    True
    """

    @property
    def space(self) -> str:
        """The units of the budget: "pixels", or "normalised" (divided by the channels'
        standard deviation).
        """
        ...

    def at(self, index: Tensor) -> Self:
        """Return the threat model of the selected samples; budgets that differ per sample
        follow.
        """
        ...

    def radius(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the budget of each sample, in the units of `distance`."""
        ...

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the parameters that leave each image as it is."""
        ...

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the perturbed images, differentiable in `parameters`."""
        ...

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the nearest parameters that are within the budget and render inside the valid
        range.
        """
        ...

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Return which candidate images are within the budget and the valid range, measured in
        float64.
        """
        ...

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the distance of each candidate image in float64, in the units of the budget."""
        ...


@runtime_checkable
class Clippable(Protocol):
    """A threat model that projects by clipping: each parameter has bounds of its own.

    >>> from saddlepoint.threat import L2, Linf
    >>> isinstance(Linf(8 / 255), Clippable), isinstance(L2(0.5), Clippable)
    (True, False)
    """

    def clip_bounds(
        self, images: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]] | None:
        """Return the bounds that projecting clips the parameters to, lower and upper; None where
        it is no clipping after all, as in a rescaled L2 ball.
        """
        ...


@runtime_checkable
class Ascendable(ThreatModel, Protocol):
    """A threat model with a steepest direction, which first-order attacks need.

    >>> from saddlepoint.threat import Box
    >>> isinstance(Box(0.0, 1.0), Ascendable)
    True
    """

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the direction d of unit norm with the largest ⟨gradient, d⟩; zero where the
        gradient is zero.

        With the current parameters `at`, components that would leave the valid range are left out.
        `k` is the number of coordinates among which d is shared in L1 (1 is the exact maximiser).
        With `length`, by which d will be multiplied, no coordinate in L1 gets more than the range
        has room for, and the rest goes on to the next.
        """
        ...

    def random_start(
        self,
        images: Float[Tensor, "n ..."],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n ..."] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return parameters drawn uniformly from the ball, projected on the valid range.

        With `gaussian` the perturbation is normal with standard deviation eps and, as in Algorithm 1
        of the nine-defences report, not projected. With `free`, True where a feature may change, the
        ball is that of the free features alone: its points fill the budget however few there are.
        """
        ...


@runtime_checkable
class Normed(Ascendable, Protocol):
    """A threat model whose budget is the radius of a norm ball, in the space of its parameters.

    >>> from saddlepoint.threat import Box, Linf
    >>> isinstance(Linf(8 / 255), Normed), isinstance(Box(0.0, 1.0), Normed)
    (True, False)
    """

    @property
    def norm_name(self) -> str:
        """The norm: "Linf", "L2", "L1", "L0", or "Patches"."""
        ...

    @property
    def eps(self) -> float | Tensor:
        """The budget, one number or (n,) one per sample; infinite where there is none."""
        ...

    @property
    def ball(self) -> NormBall:
        """The norm ball around the clean parameters."""
        ...

    def with_eps(self, eps: float | Tensor) -> Self:
        """Return the same threat model with another budget."""
        ...


@runtime_checkable
class Holding(ThreatModel, Protocol):
    """A threat model that reads from each image which features may change at all.

    >>> from saddlepoint.threat import Linf, TokenLinf
    >>> isinstance(TokenLinf(0.1), Holding), isinstance(Linf(0.1), Holding)
    (True, False)
    """

    def free(self, images: Float[Tensor, "n ..."]) -> Bool[Tensor, "n ..."]:
        """Return where a feature may change."""
        ...


def norm_of(threat: ThreatModel) -> str:
    """Return the name of the norm, or of the kind of threat model where it has none.

    >>> from saddlepoint.threat import Box, Linf
    >>> norm_of(Linf(8 / 255)), norm_of(Box(0.0, 1.0))
    ('Linf', 'Box')
    """
    return str(getattr(threat, "norm_name", type(threat).__name__))


def counted(threat: ThreatModel) -> bool:
    """Return whether the budget counts what may change freely, features or patches: steps have no
    length there, and budgets are whole numbers.

    >>> from saddlepoint.threat import L0, Linf, Patches
    >>> counted(L0(3)), counted(Patches(2, size=4)), counted(Linf(0.5))
    (True, True, False)
    """
    return norm_of(threat) in ("L0", "Patches")


def eps_of(threat: ThreatModel, otherwise: float) -> float | Tensor:
    """Return the budget, or `otherwise` where the threat model has no such number.

    >>> from saddlepoint.threat import Box, Linf
    >>> eps_of(Linf(0.5), 1.0), eps_of(Box(0.0, 1.0), 1.0)
    (0.5, 1.0)
    """
    eps: float | Tensor = getattr(threat, "eps", otherwise)
    return eps


def unlimited(threat: ThreatModel) -> bool:
    """Return whether the threat model is a norm without a budget, as minimum-norm attacks take it.

    >>> from saddlepoint.threat import Box, Linf
    >>> unlimited(Linf()), unlimited(Linf(0.5)), unlimited(Box(0.0, 1.0))
    (True, False, False)
    """
    eps = eps_of(threat, 1.0)
    return not isinstance(eps, Tensor) and math.isinf(eps)
