"""Patches: whole squares of a grid may change, as those that a ViT reads, to any valid values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.streams import Keys
from saddlepoint.threat.ball import FINE, NormBall
from saddlepoint.threat.balls import Linf
from saddlepoint.threat.budgets import format_eps
from saddlepoint.threat.norms import largest_k


@dataclass(frozen=True)
class Patches(NormBall):
    """At most `eps` patches of `size`×`size` pixels may change, all channels of all their pixels, to
    any valid values. Patches lie on a grid that begins in the upper left corner.

    The distance is the number of patches in which anything changed.

    Args:
        eps: how many patches; whole numbers.
        lower, upper: see `NormBall`.
        size: the side of a patch in pixels, by which both sides of an image are divided.
        inside: the most that an entry may change; infinity leaves it free inside the range.

    Raises `InputError` for budgets that are no whole numbers; and, where images come, for those that
    are no multiple of the patch.

    >>> x = torch.zeros(1, 1, 2, 4)
    >>> moved = x + torch.tensor([0.3, 0.2, 0.4, 0.0])
    >>> Patches(1, size=2).project(x, moved)[0, 0, 0]
    tensor([0.0000, 0.0000, 0.4000, 0.0000])
    >>> Patches(1, size=2).contains(x, moved), Patches(2, size=2).contains(x, moved)
    (tensor([False]), tensor([True]))
    >>> str(Patches(2, size=4))
    'Patches(4×4) 2'
    """

    size: int = 4
    inside: float = math.inf

    p: ClassVar[float] = 0.0
    norm_name: ClassVar[str] = "Patches"
    tolerance: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("size", self.size)
        number = isinstance(self.inside, int | float) and not isinstance(self.inside, bool)
        if not number or not self.inside >= 0:
            raise InputError(f"inside is {self.inside}; give a positive number, for instance 8/255")
        if (
            not isinstance(self.eps, Tensor)
            and math.isfinite(self.eps)
            and self.eps != int(self.eps)
        ):
            raise InputError(f"a budget counts patches here: give a whole number, not {self.eps}")

    def __str__(self) -> str:
        inside = "" if math.isinf(self.inside) else f",±{format_eps(self.inside)}"
        of = f"({self.size}×{self.size}{inside})"
        return super().__str__().replace(self.norm_name, self.norm_name + of)

    def totals(self, values: Float[Tensor, "n c h w"]) -> Float[Tensor, "n patches"]:
        """Return the sum of the values in each patch, row by row.

        >>> Patches(1, size=2).totals(torch.arange(8.0).reshape(1, 1, 2, 4))
        tensor([[10., 18.]])
        """
        n, c, rows, columns = self._grid(values)
        parts = values.reshape(n, c, rows, self.size, columns, self.size)
        return parts.sum((1, 3, 5)).flatten(1)

    def spread(
        self, chosen: Bool[Tensor, "n patches"], like: Float[Tensor, "n c h w"]
    ) -> Bool[Tensor, "n c h w"]:
        """Return which entries of images are in the chosen patches.

        >>> Patches(1, size=2).spread(torch.tensor([[False, True]]), torch.zeros(1, 1, 2, 4))[0, 0, 0]
        tensor([False, False,  True,  True])
        """
        n, _, rows, columns = self._grid(like)
        cells = chosen.reshape(n, 1, rows, 1, columns, 1)
        cells = cells.expand(n, 1, rows, self.size, columns, self.size)
        return cells.reshape(n, 1, *like.shape[2:]).expand(like.shape)

    def changed(
        self, images: Float[Tensor, "n c h w"], candidates: Float[Tensor, "n c h w"]
    ) -> Bool[Tensor, "n patches"]:
        """Return in which patches the images differ at all.

        >>> x = torch.zeros(1, 1, 2, 4)
        >>> Patches(1, size=2).changed(x, x + torch.tensor([0.0, 0.0, 1e-30, 0.0]))
        tensor([[False,  True]])
        """
        return self.totals((candidates.double() != images.double()).double()) > 0

    def _grid(self, images: Tensor) -> tuple[int, int, int, int]:
        """Return images, channels, and rows and columns of patches."""
        if images.ndim != 4:
            raise InputError(
                f"images have shape {tuple(images.shape)}; patches are of (n, c, height, width)"
            )
        n, c, height, width = images.shape
        if height % self.size or width % self.size:
            raise InputError(
                f"images of {height}×{width} are no multiple of patches of {self.size}×{self.size};"
                " give another size, or resize the images"
            )
        return n, c, height // self.size, width // self.size

    def distance(
        self, images: Float[Tensor, "n ..."], candidates: Float[Tensor, "n ..."]
    ) -> Float[Tensor, " n"]:
        """Return the number of changed patches, in float64; NaN where a candidate has one."""
        count = self.changed(images, candidates).sum(1).double()
        unknown = (candidates.isnan() | images.isnan()).flatten(1).any(1)
        return torch.where(unknown, math.nan, count)

    def norm(self, change: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return the number of patches that change."""
        return self.changed(torch.zeros_like(change), change).sum(1).to(change.dtype)

    def near(
        self,
        images: Float[Tensor, "n ..."],
        candidates: Float[Tensor, "n ..."],
        rounding: Float[Tensor, "n ..."] | None = None,
    ) -> Bool[Tensor, " n"]:
        """Return where so many patches changed at most, and no entry by more than `inside`; see
        `NormBall.near`.
        """
        few = super().near(images, candidates, rounding)
        if math.isinf(self.inside):
            return few
        return few & self._pixels.near(images, candidates, rounding)

    def check_width(self, shape: tuple[int, ...]) -> None:
        """Raise `InputError` where images of `shape` are no multiple of the patch.

        >>> Patches(1, size=4).check_width((3, 32, 32))
        """
        self._grid(torch.empty(1, *shape, device="meta"))

    @cached_property
    def fine(self) -> bool:
        """Whether a budget, or what an entry may change, is so small that roundings of float32 would
        eat steps within it.
        """
        return super().fine or self.inside < FINE

    @property
    def _pixels(self) -> Linf:
        return Linf(self.inside, self.lower, self.upper)

    def pixel_bounds(
        self, images: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """Return the least and the greatest value of each entry in a patch that changes; where there is
        neither a range nor `inside`, a distance of 1.

        >>> Patches(1, size=1, inside=0.2).pixel_bounds(torch.full((1, 1, 1, 1), 0.9))
        (tensor([[[[0.7000]]]]), tensor([[[[1.]]]]))
        """
        x = self.parametrise(images)
        low, high = self._pixels.clip_bounds(x)
        return torch.where(low.isfinite(), low, x - 1), torch.where(high.isfinite(), high, x + 1)

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        least, most = (bound.clamp(-self.inside, self.inside) for bound in (low, high))
        clipped = delta.clamp(least, most)
        # Keeping a patch saves Σ delta² − (delta − clip(delta))² of squared distance.
        saving = self.totals((clipped * (2 * delta - clipped)).reshape(x.shape))
        kept = self.spread(largest_k(saving, self.radius(x)), x)
        return torch.where(kept.flatten(1), clipped, 0.0)

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        total = self.totals(gradient.abs())
        count = torch.full((len(total),), max(k, 1), device=total.device)
        return torch.where(self.spread(largest_k(total, count), gradient), gradient.sign(), 0.0)

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        # `eps` patches at random, of uniform values.
        low, high = self.pixel_bounds(x)
        value = low + (high - low) * keys.uniform(x.shape[1:], restart=restart).to(x.dtype)
        _, _, rows, columns = self._grid(x)
        places = keys.uniform((rows * columns,), restart=restart, draw=1)
        if free is not None:  # draws are above 0: patches with something free come first
            places = places * (self.totals(free.to(x.dtype)) > 0)
        return torch.where(self.spread(largest_k(places, eps.flatten()), x), value - x, 0.0)
