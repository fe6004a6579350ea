"""Threat models of embedded text: balls that move free tokens alone, and read which they are from the
input.
"""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.streams import Keys
from saddlepoint.threat.ball import SPARED, Bound, NormBall
from saddlepoint.threat.balls import L2, Linf
from saddlepoint.threat.norms import at_least_single, expand, norm, unit, within
from saddlepoint.threat.projections import project_l2

FREE, FIXED, PADDING = 1.0, 0.5, 0.0
"""The flag of a token, the last feature of its row: one that may be moved, one that may not (`[CLS]`,
`[SEP]`), and padding.
"""


def free_entries(embedded: Float[Tensor, "n t d"]) -> Bool[Tensor, "n t d"]:
    """Return which entries may change: those of rows flagged `FREE`, but for the flag.

    >>> free_entries(torch.tensor([[[0.3, 0.2, 1.0], [0.1, 0.4, 0.5]]]))
    tensor([[[ True,  True, False],
             [False, False, False]]])
    """
    free = (embedded[..., -1:] == FREE).expand(embedded.shape).clone()
    free[..., -1] = False
    return free


class TokenBall(NormBall, ABC):
    """What the balls around embedded text share: special tokens, padding and flags stay to the bit,
    and no draw or length depends on how far a sequence is padded.

    >>> issubclass(TokenL2, TokenBall)
    True
    """

    def __str__(self) -> str:
        if isinstance(self.eps, Tensor) or math.isinf(self.eps):
            return super().__str__()
        return f"{self.norm_name} {self.eps:.6g}"

    @property
    def space(self) -> str:
        """The units of the budget."""
        return "embedding"

    def free(self, images: Float[Tensor, "n t d"]) -> Bool[Tensor, "n t d"]:
        """Return where an entry may change; see `free_entries`."""
        return free_entries(images)

    def range(self, like: Float[Tensor, "n t d"]) -> tuple[Tensor, Tensor]:
        """Return the bounds of each entry: both the value itself where it is held."""
        free = free_entries(like)
        low, high = super().range(like)
        return torch.where(free, low, like), torch.where(free, high, like)

    @property
    def unbounded(self) -> bool:
        """Whether free entries may take any value, as embeddings do: the default."""
        return self.lower == -math.inf and self.upper == math.inf

    def contains(
        self, images: Float[Tensor, "n t d"], candidates: Float[Tensor, "n t d"]
    ) -> Bool[Tensor, " n"]:
        """Return which candidates hold what is held to the bit, and are within the budget."""
        held = (candidates == images) | free_entries(images)
        return held.flatten(1).all(1) & super().contains(images, candidates)

    def widest(self, shape: tuple[int, ...] = ()) -> float:
        """Return infinity: embeddings have no range."""
        return math.inf

    def steepest_direction(
        self,
        gradient: Float[Tensor, "n t d"],
        at: Float[Tensor, "n t d"] | None = None,
        k: int = 1,
        length: Float[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return the unit direction in the free entries of `at`; without it in all, as the gradients of
        an attack are 0 at held ones.
        """
        if at is not None:
            gradient = torch.where(free_entries(at), gradient, 0.0)
        if self.unbounded:  # no entry is stuck at a bound
            return self._steepest(gradient, k)
        return super().steepest_direction(gradient, at, k, length)

    def random_start(
        self,
        images: Float[Tensor, "n t d"],
        keys: Keys,
        *,
        restart: int = 0,
        gaussian: bool = False,
        free: Bool[Tensor, "n t d"] | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return a point drawn uniformly from the ball of the free entries; see `Ascendable`."""
        own = free_entries(images)
        return super().random_start(
            images, keys, restart=restart, gaussian=gaussian,
            free=own if free is None else own & free,
        )  # fmt: skip

    def _normal(self, x: Tensor, keys: Keys, restart: int) -> Tensor:
        return keys.normal_in_place(x.shape[1:], restart=restart, draw=2).to(x.dtype)


@dataclass(frozen=True)
class TokenLinf(TokenBall, Linf):
    """Every entry of a free token may change by at most eps.

    >>> x = torch.tensor([[[0.3, 0.2, 1.0], [0.1, 0.4, 0.5]]])
    >>> TokenLinf(0.25).project(x, x + 1)
    tensor([[[0.5500, 0.4500, 1.0000],
             [0.1000, 0.4000, 0.5000]]])
    """

    lower: Bound = -math.inf
    upper: Bound = math.inf


@dataclass(frozen=True)
class TokenL2(TokenBall, L2):
    """The Euclidean length of the change of all free tokens together is at most eps.

    >>> x = torch.tensor([[[0.0, 0.0, 1.0], [0.1, 0.4, 0.5]]])
    >>> TokenL2(0.5).project(x, x + torch.tensor([0.6, 0.8, 9.0]))
    tensor([[[0.3000, 0.4000, 1.0000],
             [0.1000, 0.4000, 0.5000]]])
    """

    lower: Bound = -math.inf
    upper: Bound = math.inf

    def project(
        self, images: Float[Tensor, "n t d"], parameters: Float[Tensor, "n t d"]
    ) -> Float[Tensor, "n t d"]:
        """Return the nearest point of the ball; see `NormBall.project`, which takes four times as
        long, as it must where there is a range.
        """
        if not self.unbounded:
            return super().project(images, parameters)
        z = at_least_single(parameters)
        x = at_least_single(images).to(torch.promote_types(z.dtype, images.dtype))
        z = torch.where(free_entries(x), z, x)
        delta = z - x
        size = norm(delta.double(), 2)
        eps = self.eps_after_rounding(x)
        scale = (eps / size.clamp_min(torch.finfo(torch.float64).tiny)).clamp_max(1.0)
        outside = size > eps * (1 + SPARED[x.dtype])
        shrunk = within(x, delta * expand(scale.to(x.dtype), x))
        return torch.where(expand(outside, x), shrunk, z)


@dataclass(frozen=True)
class EachTokenL2(TokenBall):
    """The Euclidean length of the change of each free token is at most eps; the distance is that of
    the token that moved farthest.

    >>> x = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
    >>> moved = torch.tensor([[[0.6, 0.8, 1.0], [0.0, 0.2, 1.0]]])
    >>> EachTokenL2(0.5).project(x, moved)
    tensor([[[0.3000, 0.4000, 1.0000],
             [0.0000, 0.2000, 1.0000]]])
    >>> round(float(EachTokenL2().distance(x, moved)), 6)
    1.0
    """

    lower: Bound = -math.inf
    upper: Bound = math.inf

    p: ClassVar[float] = 2.0
    norm_name: ClassVar[str] = "L2/token"
    tolerance: ClassVar[float] = 1e-5

    def distance(
        self, images: Float[Tensor, "n t d"], candidates: Float[Tensor, "n t d"]
    ) -> Float[Tensor, " n"]:
        """Return the length of the largest change of a token, in float64."""
        return self.norm(candidates.double() - images.double())

    def norm(self, change: Float[Tensor, "n t d"]) -> Float[Tensor, " n"]:
        """Return the length of the largest change of a token, in the precision of the change."""
        return norm(change.flatten(0, 1), 2).reshape(len(change), -1).amax(1)

    def _project(self, delta: Tensor, low: Tensor, high: Tensor, x: Tensor) -> Tensor:
        tokens, width = x.shape[1:]
        z, least, most = (v.reshape(-1, width) for v in (delta, low, high))
        eps = self.eps_after_rounding(x).repeat_interleave(tokens)
        return project_l2(z, least, most, eps, 1 + SPARED[x.dtype]).reshape(delta.shape)

    def _steepest(self, gradient: Tensor, k: int) -> Tensor:
        return unit(gradient.flatten(0, 1), 2).reshape(gradient.shape)

    def _uniform(
        self, x: Tensor, eps: Tensor, keys: Keys, restart: int, free: Tensor | None
    ) -> Tensor:
        drawn = self._normal(x, keys, restart)
        free = torch.ones_like(x, dtype=torch.bool) if free is None else free
        count = free.sum(-1, keepdim=True).clamp_min(1)
        size = keys.uniform((x.shape[1], 1), restart=restart, draw=1).to(x.dtype)
        return self._steepest(drawn * free, 1) * eps * size ** (1 / count)
