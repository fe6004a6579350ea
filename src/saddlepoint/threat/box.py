"""Box: explicit bounds for every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.scalars import numbers
from saddlepoint.streams import Keys
from saddlepoint.threat.ball import FINE
from saddlepoint.threat.norms import at_least_single, expand, interval, norm


@dataclass(frozen=True, eq=False)
class Box:
    """Each pixel may take any value between its own two bounds, which may be inside or beyond an
    eps-ball.

    Args:
        lower, upper: numbers, one image (c, h, w) or vector (d,), or one per sample (n, …). The
            bounds are the valid range too.
        samples: the first axis of the bounds is that of the samples. `fitted` says so for images of
            any number of axes; by itself a Box knows it of vectors (n, d) and images (n, c, h, w).

    `distance` is the largest change of a pixel; the budget is the bounds, so `radius` is half the
    widest pair.

    >>> box = Box(0.4, torch.tensor([0.5, 1.0]))
    >>> box.project(torch.tensor([[0.45, 0.45]]), torch.tensor([[0.9, 0.0]]))
    tensor([[0.5000, 0.4000]])
    """

    lower: float | Tensor
    upper: float | Tensor
    samples: bool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        lower, upper = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        if not bool((lower <= upper).all()):
            raise InputError("a Box needs lower ≤ upper for every pixel, and no NaN")

    def __str__(self) -> str:
        return "Box"

    @property
    def space(self) -> str:
        """The units of the bounds."""
        return "pixels"

    def fitted(self, images: Float[Tensor, "n ..."]) -> Box:
        """Return the box on the device of `images` that knows which of its bounds are one per
        sample; raises `InputError` where they do not fit.

        >>> images = torch.zeros(2, 5, 3)
        >>> Box(torch.zeros(2, 5, 3), 1.0).fitted(images).at(torch.tensor([1])).lower.shape
        torch.Size([1, 5, 3])
        >>> Box(torch.zeros(4), 1.0).fitted(images)
        Traceback (most recent call last):
            ...
        saddlepoint.errors.InputError: Box bounds of shape (4,) do not fit images (2, 5, 3)
        """
        shapes = [torch.as_tensor(bound).shape for bound in (self.lower, self.upper)]
        for shape in shapes:
            try:
                torch.zeros(()).expand(shape).expand(images.shape)
            except RuntimeError:
                raise InputError(
                    f"Box bounds of shape {tuple(shape)} do not fit images {tuple(images.shape)}"
                ) from None
        lower, upper = (
            bound.to(images.device) if isinstance(bound, Tensor) else bound
            for bound in (self.lower, self.upper)
        )
        own = any(len(shape) == images.ndim for shape in shapes)
        return replace(self, lower=lower, upper=upper, samples=own)

    def at(self, index: Tensor) -> Box:
        """Return the box of the selected samples; bounds with a sample axis follow."""
        axes = max(torch.as_tensor(b).ndim for b in (self.lower, self.upper))
        if not (axes in (2, 4) if self.samples is None else self.samples):
            return self
        lower, upper = (
            b[index] if isinstance(b, Tensor) and b.ndim == axes and len(b) > 1 else b
            for b in (self.lower, self.upper)
        )
        return replace(self, lower=lower, upper=upper)

    def radius(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return half the widest pair of bounds of each sample."""
        low, high = self.range(at_least_single(images))
        half = ((high - low) / 2).expand(images.shape)
        return half.flatten(1).amax(1)

    def range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bounds as tensors that broadcast with the images."""
        return numbers(self.lower, like), numbers(self.upper, like)

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the images: the parameters are the perturbed image itself, in float64 where all
        bounds are so close that roundings of float32 would eat steps between them.
        """
        return images.double() if self._fine else at_least_single(images)

    @cached_property
    def _fine(self) -> bool:
        lower, upper = torch.as_tensor(self.lower), torch.as_tensor(self.upper)
        return bool(((upper - lower) < 2 * FINE).all())

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters, which are the perturbed images, in the images' dtype between the
        bounds.
        """
        x = at_least_single(images)
        if parameters.dtype == x.dtype:
            return parameters
        low, high = self._bounds(images, x.dtype)
        with torch.no_grad():
            near = parameters.detach().to(x.dtype).clamp(low, high)
        return near + (parameters - parameters.detach()).to(x.dtype)

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters clipped to the bounds."""
        z = at_least_single(parameters)
        return z.clamp(*self._bounds(images, torch.promote_types(z.dtype, images.dtype)))

    def clip_bounds(
        self, images: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """Return the bounds, rounded inwards to the images' dtype; see `Clippable`."""
        return self._bounds(images, self.parametrise(images[:0]).dtype)

    def _bounds(self, images: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x = images.to(dtype)
        low, high = self.range(x.double())
        inner = interval(low, 0.0, x.dtype)[0], interval(high, 0.0, x.dtype)[1]
        # Between two neighbouring numbers there may be none: then their roundings are all there is.
        wide = inner[0] <= inner[1]
        least, most = (
            torch.where(wide, bound, near) for bound, near in zip(inner, self.range(x), strict=True)
        )
        return least, most

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Return which candidates lie between the bounds, or on what these are in the candidates'
        dtype.
        """
        c = at_least_single(candidates)
        low, high = (
            torch.stack([exact, near.double()])
            for exact, near in zip(self.range(c.double()), self.range(c), strict=True)
        )
        inside = (c.double() >= low.amin(0)) & (c.double() <= high.amax(0)) & c.isfinite()
        return inside.flatten(1).all(1)

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the largest change of a pixel in float64."""
        return norm(candidates.double() - images.double(), math.inf)

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the sign of the gradient."""
        return gradient.sign()

    def random_start(
        self,
        images: Float[Tensor, "n ..."],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n ..."] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return a point uniform between the bounds (or normal around the image, unprojected)."""
        x = self.parametrise(images)
        if gaussian:
            eps = expand(self.radius(x), x)
            drawn = x + eps * keys.normal(x.shape[1:], restart=restart).to(x.dtype)
        else:
            low, high = self.range(x)
            drawn = low + (high - low) * keys.uniform(x.shape[1:], restart=restart).to(x.dtype)
        return drawn if free is None else torch.where(free, drawn, x)
