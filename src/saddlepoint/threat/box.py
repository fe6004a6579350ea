"""Box: explicit bounds for every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.keyed import Keys
from saddlepoint.threat.norms import at_least_single, expand, norm, numbers


@dataclass(frozen=True, eq=False)
class Box:
    """Each pixel may take any value between its own two bounds, which may be inside or beyond an
    eps-ball.

    Args:
        lower, upper: numbers, one image (c, h, w), or one per sample (n, c, h, w). The bounds are
            the valid range too.

    `distance` is the largest change of a pixel; the budget is the bounds, so `radius` is half the
    widest pair.

    >>> box = Box(0.4, torch.tensor([0.5, 1.0]))
    >>> box.project(torch.tensor([[0.45, 0.45]]), torch.tensor([[0.9, 0.0]]))
    tensor([[0.5000, 0.4000]])
    """

    lower: float | Tensor
    upper: float | Tensor

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

    def at(self, index: Tensor) -> Box:
        """Return the box of the selected samples; bounds with a sample axis follow."""
        axes = max(torch.as_tensor(b).ndim for b in (self.lower, self.upper))
        if axes not in (2, 4):  # one image or one number serves every sample
            return self
        lower, upper = (
            b[index] if isinstance(b, Tensor) and b.ndim == axes and len(b) > 1 else b
            for b in (self.lower, self.upper)
        )
        return Box(lower, upper)

    def radius(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return half the widest pair of bounds of each sample."""
        low, high = self.range(at_least_single(images))
        half = ((high - low) / 2).expand(images.shape)
        return half.flatten(1).amax(1)

    def range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bounds as tensors that broadcast with the images."""
        return numbers(self.lower, like), numbers(self.upper, like)

    def parametrise(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Return the images: the parameters are the perturbed image itself."""
        return at_least_single(images)

    def render(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters, which are the perturbed images."""
        return parameters

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return the parameters clipped to the bounds."""
        z = at_least_single(parameters)
        return z.clamp(*self.range(z))

    def contains(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Bool[Tensor, " n"]:
        """Say which candidates lie between the bounds, exactly."""
        low, high = self.range(at_least_single(candidates))
        return ((candidates >= low) & (candidates <= high)).flatten(1).all(1)

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the largest change of a pixel in float64."""
        return norm(candidates.double() - images.double(), math.inf)

    def steepest_step(
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
    ) -> Float[Tensor, "n ..."]:
        """Return a point uniform between the bounds (or normal around the image, unprojected)."""
        x = at_least_single(images)
        if gaussian:
            eps = expand(self.radius(x), x)
            return x + eps * keys.normal(x.shape[1:], restart=restart).to(x.dtype)
        low, high = self.range(x)
        return low + (high - low) * keys.uniform(x.shape[1:], restart=restart).to(x.dtype)
