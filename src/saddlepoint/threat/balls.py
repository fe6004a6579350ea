"""The norm balls: Linf, L2, L1 and L0 around the image, intersected with the valid range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.streams import Keys
from saddlepoint.threat.ball import ON_BOUND, SPARED, NormBall
from saddlepoint.threat.norms import at_least_single, expand, fill, interval, largest_k, ulp, unit
from saddlepoint.threat.projections import project_l0, project_l1, project_l2


class Linf(NormBall):
    """Every entry may change by at most eps.

    >>> ball = Linf(8 / 255)
    >>> x = torch.tensor([[0.5, 0.0]])
    >>> ball.project(x, x + torch.tensor([[0.2, -0.2]]))
    tensor([[0.5314, 0.0000]])
    >>> str(ball)
    'Linf 8/255'
    """

    p = math.inf
    norm_name = "Linf"
    tolerance = 1e-6

    def project(
        self, images: Float[Tensor, "n ..."], parameters: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return `parameters` clipped to [x − eps, x + eps] and then to the range, which is the
        nearest point.
        """
        z = at_least_single(parameters)
        return z.clamp(*self._bounds(images, torch.promote_types(z.dtype, images.dtype)))

    def widest(self, shape: tuple[int, ...] = ()) -> float:
        """Return the width of the range, whatever the `shape`; see `NormBall.widest`."""
        lower, upper = (torch.as_tensor(bound) for bound in (self.lower, self.upper))
        return float((upper - lower).amax())

    def check_width(self, shape: tuple[int, ...] = ()) -> None:
        """Raise `InputError` for a budget wider than the range; see `NormBall.check_width`."""
        super().check_width(shape)

    def clip_bounds(
        self, images: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """Return x − eps and x + eps, rounded inwards and clipped to the range; see `Clippable`."""
        return self._bounds(images, self.parametrise(images[:0]).dtype)

    def _bounds(self, images: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x = images.to(dtype)
        low, high = self.range(x)
        least, most = (bound.clamp(low, high) for bound in interval(x, self.eps_float64(x)))
        return least, most

    def near(
        self,
        images: Float[Tensor, "n ..."],
        candidates: Float[Tensor, "n ..."],
        rounding: Float[Tensor, "n ..."] | None = None,
    ) -> Bool[Tensor, " n"]:
        """Return which candidates lie in [clip(x − eps), clip(x + eps)], but for eps·1e-6 and the
        rounding of each entry; see `NormBall.near`.

        For an image inside the range this is the ball; a clean pixel outside it (possible in
        normalised space, where the nine-defences report clips to [−2, 2]) may be pulled to the
        bound.
        """
        x, c = images.double(), candidates.double()
        low, high = self.range(x)
        eps = self.eps_float64(x)
        inside = ((c - x).abs() <= eps).flatten(1).all(1)
        if not x.is_cuda and bool(inside.all()):  # as what an attack of ours offers
            return inside
        rounding = ulp(images, candidates) if rounding is None else rounding
        slack = torch.where(eps > 0, self.tolerance * eps + rounding, 0.0)
        least, most = ((x + side).clamp(low, high) for side in (-eps, eps))
        # Differences, which are exact near the bounds where sums would be rounded.
        near = (least - c <= slack) & (c - most <= slack)
        return inside | near.flatten(1).all(1)

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the sign of the gradient; entries are independent, so the range needs no care."""
        return gradient.sign()

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        eps = self.eps_float64(delta)
        return delta.clamp(-eps, eps).clamp(low, high)

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        return gradient.sign()

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        drawn = eps * (2 * keys.uniform(x.shape[1:], restart=restart).to(x.dtype) - 1)
        return drawn if free is None else drawn * free


class L2(NormBall):
    """The Euclidean length of the change is at most eps.

    >>> x = torch.full((1, 2), 0.5)
    >>> L2(0.5).project(x, x + torch.tensor([[0.6, 0.8]]))
    tensor([[0.8000, 0.9000]])
    """

    p = 2.0
    norm_name = "L2"
    tolerance = 1e-5

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        return project_l2(delta, low, high, self.eps_after_rounding(x), 1 + SPARED[x.dtype])

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        return unit(gradient, 2)

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        drawn = self._normal(x, keys, restart)
        direction = unit(drawn if free is None else drawn * free, 2)
        size = keys.uniform((1,), restart=restart, draw=1)[:, 0].to(x.dtype)
        root = 1 / x[0].numel() if free is None else 1 / free.flatten(1).sum(1).clamp_min(1)
        return direction * eps * expand(size**root, x)


class L1(NormBall):
    """The sum of the absolute changes is at most eps.

    >>> L1(12).steepest_direction(torch.tensor([[0.1, -3.0, 2.0]]))
    tensor([[ 0., -1.,  0.]])
    """

    p = 1.0
    norm_name = "L1"
    tolerance = 1e-5

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        return project_l1(delta, low, high, self.eps_after_rounding(x), 1 + SPARED[x.dtype])

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n ..."],
        at: Float[Tensor, "n ..."] | None = None,
        k: int | Int64[Tensor, " n"] = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n ..."]:
        """Return the direction that shares a unit of L1 norm among the k largest coordinates, k one
        number or each sample's own; see `Ascendable`.

        With `length`, no coordinate gets more than the range has room for. Else the largest would
        take every step although projecting has just freed a sliver of it, and PGD would circle far
        from the optimum.
        """
        flat = gradient.flatten(1)
        room = torch.full_like(flat, math.inf)
        if at is not None:
            low, high = self.range(at)
            room = torch.where(gradient > 0, high - at, at - low).flatten(1).to(flat.dtype)
            stuck = torch.where(room > ON_BOUND, math.inf, 0.0)
            room = stuck if length is None else room.clamp_min(0) / length[:, None]
        room = torch.where(flat == 0, 0.0, room)
        k = k if isinstance(k, Tensor) else torch.full((), k, device=flat.device)
        counts = k.clamp_min(1).expand(len(flat))[:, None]
        # Coordinates without room or gradient take no share: the others keep the whole unit.
        share = 1 / torch.minimum((room > 0).sum(1, keepdim=True).clamp_min(1), counts)
        size = flat.abs().where(room > 0, 0.0)
        step = fill(size, room.minimum(share.to(flat.dtype)), counts)
        return (step * flat.sign()).reshape(gradient.shape)

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        return self.steepest_direction(gradient, k=k)

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        # d + 1 exponential variables, divided by their sum, are uniform on the simplex.
        size = -keys.uniform((x[0].numel() + 1,), restart=restart).to(x.dtype).log()
        if free is not None:
            size = size * functional.pad(free.flatten(1), (0, 1), value=True)
        share = (size / size.sum(1, keepdim=True))[:, :-1].reshape(x.shape)
        sign = keys.uniform(x.shape[1:], restart=restart, draw=1).to(x.dtype).sub(0.5).sign()
        return eps * sign * share


@dataclass(frozen=True)
class L0(NormBall):
    """At most eps features (or pixels, all channels of one position) may change, to any valid
    value.

    >>> L0(1).project(torch.zeros(1, 3), torch.tensor([[0.2, 0.9, 0.1]]))
    tensor([[0.0000, 0.9000, 0.0000]])
    >>> L0(1.5)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: an L0 budget counts features: give a whole number, not 1.5
    """

    per: str = "feature"

    p: ClassVar[float] = 0.0
    norm_name: ClassVar[str] = "L0"
    tolerance: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per not in ("feature", "pixel"):
            raise InputError(f'L0 counts per "feature" or per "pixel", not per "{self.per}"')
        if (
            not isinstance(self.eps, Tensor)
            and math.isfinite(self.eps)
            and self.eps != int(self.eps)
        ):
            raise InputError(f"an L0 budget counts features: give a whole number, not {self.eps}")

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the number of changed features or pixels, in float64; NaN where a candidate has
        one.
        """
        delta = (candidates.double() - images.double()).flatten(1)
        group = self.group(images)
        changed = (delta != 0).reshape(len(delta), group, -1).any(1).sum(1).double()
        return torch.where(delta.isnan().any(1), math.nan, changed)

    def norm(self, change: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the number of features or pixels that change."""
        changed = (change != 0).flatten(1).reshape(len(change), self.group(change), -1)
        return changed.any(1).sum(1).to(change.dtype)

    def group(self, images: Float[Tensor, "n ..."]) -> int:
        """Return how many entries count as one."""
        return images.shape[1] if self.per == "pixel" and images.ndim > 2 else 1

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        return project_l0(delta, low, high, self.radius(x), self.group(x))

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        flat = gradient.flatten(1)
        count = torch.full((len(flat),), max(k, 1), device=flat.device)
        keep = largest_k(flat.abs(), count)
        return torch.where(keep, flat.sign(), 0.0).reshape(gradient.shape)

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        # `eps` random places take a uniform value; where the draw says nothing else the image
        # stays.
        low, high = self.range(x)
        value = low + (high - low) * keys.uniform(x.shape[1:], restart=restart).to(x.dtype)
        places = keys.uniform(x.flatten(1).shape[1:], restart=restart, draw=1)
        group = self.group(x)
        places = places[:, : x[0].numel() // group]
        if free is not None:  # draws are above 0: what is free comes first
            places = places * free.flatten(1).reshape(len(x), group, -1).any(1)
        chosen = largest_k(places, eps.flatten()).repeat(1, group).reshape(x.shape)
        return torch.where(chosen, value - x, 0.0)
