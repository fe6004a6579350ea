"""Budgets in normalised space: the ball of the nine-defences report, whose pixels are divided by
the channels' standard deviation first.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.scalars import numbers
from saddlepoint.streams import Keys
from saddlepoint.threat.ball import NormBall
from saddlepoint.threat.ball_in_units import BallInUnits
from saddlepoint.threat.norms import at_least_single, ulp, within
from saddlepoint.threat.protocol import Clippable

# Pixels this close to a bound of the range are meant to be on it.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Rescaled(BallInUnits):
    """A norm ball around the *normalised* image (x − mean)/std; the model still receives x.

    8/255 in normalised space is about 1.8/255 in pixels, so results always say which space the
    budget is in. The valid range is the ball's own, in normalised units: `Linf(8/255, -inf, inf)`
    is Algorithm 1 of the nine-defences report without its optional clip, `Linf(8/255, -2, 2)` with
    it; `Rescaled.pixels` makes the range [0, 1] in pixels.

    >>> from saddlepoint.threat import Linf
    >>> threat = Rescaled(Linf(8 / 255, -float("inf"), float("inf")), (0.5,), (0.25,))
    >>> x = torch.full((1, 1, 1, 1), 0.5)
    >>> z = threat.project(x, threat.parametrise(x) + 1)
    >>> round(float(threat.render(x, z) - x) * 255, 4)
    2.0
    >>> str(threat)
    'Linf 8/255 (normalised space)'
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
            raise InputError(f"mean {self.mean} and std {self.std} need equal lengths and std > 0")

    def __str__(self) -> str:
        return f"{self.ball} (normalised space)"

    @classmethod
    def pixels(cls, ball: NormBall, mean: tuple[float, ...], std: tuple[float, ...]) -> Rescaled:
        """Return the threat model whose budget is in normalised space and whose images stay in [0,
        1].
        """
        lower = tuple((0.0 - m) / s for m, s in zip(mean, std, strict=True))
        upper = tuple((1.0 - m) / s for m, s in zip(mean, std, strict=True))
        return cls(dataclasses.replace(ball, lower=lower, upper=upper), mean, std)

    @property
    def space(self) -> str:
        """The units of the budget."""
        return "normalised"

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (like.ndim - 2))
        mean, std = (numbers(v, like).reshape(shape) for v in (self.mean, self.std))
        return mean, std

    def _normalise(self, images: Tensor) -> Tensor:
        # In float64, so that a pixel on a bound of the range comes out on the normalised bound.
        mean, std = self._scale(images.double())
        normalised: Tensor = (images.double() - mean) / std
        return normalised

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the normalised images, in the dtype of the ball's parameters."""
        dtype = torch.float64 if self.ball.fine else at_least_single(images[:0]).dtype
        return self._normalise(images).to(dtype)

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the pixels of normalised parameters; where nothing has moved, exactly the
        image.

        The value is rounded into the budget and the range; the gradient is that of z·std + mean
        everywhere, also where the value is the image's or the bound's.
        """
        x = at_least_single(images)
        _, std = self._scale(x)
        _, exact = self._scale(x.double())
        clean = self.parametrise(x)
        change = ((parameters - clean) * std).to(x.dtype)
        with torch.no_grad():
            pixels = within(x, (parameters.double() - clean.double()) * exact)
            near = pixels.clamp(*self._pixel_range(x))
            pixels = torch.where((near - pixels).abs() <= _ROUNDING, near, pixels)
        return pixels + (change - change.detach())

    @property
    def pixel_range(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The lowest and the highest pixel of each channel.

        >>> from saddlepoint.threat import Linf
        >>> Rescaled.pixels(Linf(0.1), (0.3,), (0.7,)).pixel_range
        ((0.0,), (1.0,))
        """

        def pixels(bound: float | tuple[float, ...]) -> tuple[float, ...]:
            each = bound if isinstance(bound, tuple) else (bound,) * len(self.mean)
            # 0 and 1 come out exactly, although (0 − mean)/std·std + mean may be 3e-17.
            return tuple(
                round(b * s + m, 12) for b, s, m in zip(each, self.std, self.mean, strict=True)
            )

        return pixels(self.ball.lower), pixels(self.ball.upper)

    def _pixel_range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (like.ndim - 2))
        low, high = (numbers(bound, like).reshape(shape) for bound in self.pixel_range)
        return low, high

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the nearest normalised parameters in the ball and its range."""
        return self.ball.project(self.parametrise(images), parameters)

    def clip_bounds(
        self, images: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]] | None:
        """Return the ball's bounds of the normalised parameters, None but in Linf; see `Clippable`."""
        ball = self.ball
        return ball.clip_bounds(self.parametrise(images)) if isinstance(ball, Clippable) else None

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Return which candidates are finite, in the range and within the ball, their pixels divided as
        the images'.

        A candidate may have been rounded as a pixel or as a normalised one.
        """
        _, std = self._scale(images.double())
        x, c = self._normalise(images), self._normalise(candidates)
        rounding = torch.maximum(ulp(images, candidates) / std, ulp(x, c))
        low, high = self.ball.range(c)
        near = c.clamp(low, high)
        ranged = ((c - near).abs() <= rounding) & candidates.isfinite()
        return ranged.flatten(1).all(1) & self.ball.near(x, near, rounding)

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the distance in normalised units, in float64."""
        return self.ball.distance(self._normalise(images), self._normalise(candidates))

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the ball's steepest direction, in normalised units."""
        return self.ball.steepest_direction(gradient, at, k, length)

    def random_start(
        self,
        images: Float[Tensor, "n ..."],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n ..."] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return normalised parameters drawn from the ball."""
        return self.ball.random_start(
            self.parametrise(images), keys, restart=restart, gaussian=gaussian, free=free
        )
