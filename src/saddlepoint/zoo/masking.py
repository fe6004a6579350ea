"""Which patches of an image are hidden, and how tokens are put in that order and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.errors import InputError, unknown
from saddlepoint.streams import Keys, derive
from saddlepoint.zoo.tables import Grid

Ranks = Callable[[Keys, Grid], Tensor]
"""From streams and a grid to ranks (n, L) of its patches, of which the least are hidden."""
_NOISE, _BLOCKS = 0, 1  # draws of a stream
_BLOCK_COUNT = 32
_BLOCK_AREA, _LEAST_ASPECT = (0.08, 0.25), 0.3


def kept_count(patches: int, ratio: float) -> int:
    """Return how many of L patches stay visible, ⌊L(1 − r)⌋, of the ratio as it is written: in floats
    50 · (1 − 0.9) is less than 5.

    Raises `InputError` for a ratio outside (0, 1), and for one that keeps nothing.

    >>> kept_count(50, 0.9), kept_count(49, 0.75), kept_count(196, 0.75)
    (5, 12, 49)
    >>> kept_count(16, 0.95)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a masking ratio of 0.95 keeps none of 16 patches; give at most 0.9375
    """
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio < 1:
        raise InputError(f"the masking ratio is {ratio!r:.60}; give a number in (0, 1)")
    kept = math.floor(patches * (1 - Fraction(repr(float(ratio)))))
    if not kept:
        most = (
            f"at most {math.floor(1e4 * (1 - 1 / patches)) / 1e4:g}"
            if patches > 1
            else "a smaller patch"
        )
        raise InputError(
            f"a masking ratio of {ratio:g} keeps none of {patches} patches; give {most}"
        )
    return kept


def random_ranks(keys: Keys, grid: Grid) -> Float[Tensor, "n l"]:
    """Return noise: every set of patches is as likely.

    He et al., Masked Autoencoders Are Scalable Vision Learners, 2022, arXiv:2111.06377.

    >>> random_ranks(Keys(0, torch.arange(2)), (2, 3)).shape
    torch.Size([2, 6])
    """
    return keys.uniform((grid[0] * grid[1],), draw=_NOISE)


def block_ranks(keys: Keys, grid: Grid) -> Float[Tensor, "n l"]:
    """Return for each patch the first of 32 random rectangles that covers it; what is in none comes
    last, and ties are broken by noise, so that the last rectangle may be hidden in part.

    Rectangles have 8 to 25 % of the grid and sides of a ratio from 0.3 to 1/0.3. After Bao et al.,
    BEiT, 2022, arXiv:2106.08254, whose blocks are drawn until enough is hidden.

    >>> ranks = block_ranks(Keys(0, torch.arange(2)), (8, 8))
    >>> bool((ranks < 1).any(1).all())
    True
    """
    height, width = grid
    area, aspect, top, left = keys.uniform((4, _BLOCK_COUNT), draw=_BLOCKS).unbind(1)
    size = height * width * (_BLOCK_AREA[0] + (_BLOCK_AREA[1] - _BLOCK_AREA[0]) * area)
    ratio = torch.exp((2 * aspect - 1) * math.log(1 / _LEAST_ASPECT))
    h = (size * ratio).sqrt().round().clamp(1, height)
    w = (size / ratio).sqrt().round().clamp(1, width)
    rows = _inside(top, h, height)[:, :, :, None]
    columns = _inside(left, w, width)[:, :, None, :]
    covered = (rows & columns).flatten(2)
    number = torch.arange(_BLOCK_COUNT, device=covered.device)[:, None]
    first = torch.where(covered, number, _BLOCK_COUNT).amin(1)
    return first + keys.uniform((height * width,), draw=_NOISE)


def grid_ranks(keys: Keys, grid: Grid) -> Float[Tensor, "n l"]:
    """Return the ranks of a dither: what stays visible is spread evenly, at 75 % one of every 2×2
    patches; the grid is shifted by a draw, and noise says which patches go where not all of a rank do.

    The order is that of Bayer's matrix. At 75 % it is the grid-wise sampling of He et al., 2022,
    arXiv:2111.06377, section 4.1.

    >>> grid_ranks(Keys(0, torch.arange(1)), (2, 2)).floor().int().sort().values
    tensor([[-3, -2, -1,  0]], dtype=torch.int32)
    """
    height, width = grid
    order = _bayer(max(height, width)).to(keys.ids.device)
    side = len(order)
    shift = (keys.uniform((2,), draw=_BLOCKS) * side).long()
    rows = (torch.arange(height, device=order.device) + shift[:, :1]) % side
    columns = (torch.arange(width, device=order.device) + shift[:, 1:]) % side
    ranks = order[rows[:, :, None], columns[:, None, :]].flatten(1)
    return keys.uniform((height * width,), draw=_NOISE) - ranks


MASKINGS: Mapping[str, Ranks] = MappingProxyType(
    {"random": random_ranks, "block": block_ranks, "grid": grid_ranks}
)
"""The kinds by name."""


def masks(
    kind: str, ids: Int64[Tensor, " n"], grid: Grid, ratio: float, *, seed: int, epoch: int = 0
) -> Bool[Tensor, "n l"]:
    """Return which patches are hidden, of each image L − ⌊L(1 − r)⌋; a function of (seed, id, epoch),
    so that an image has the same mask in any batch.

    Raises `InputError` for an unknown kind, and as `kept_count`.

    >>> hidden = masks("random", torch.tensor([5, 9]), (7, 7), 0.75, seed=0)
    >>> hidden.sum(1), torch.equal(masks("random", torch.tensor([9]), (7, 7), 0.75, seed=0)[0], hidden[1])
    (tensor([37, 37]), True)
    """
    if kind not in MASKINGS:
        raise unknown("masking", kind, MASKINGS)
    patches = grid[0] * grid[1]
    hidden = patches - kept_count(patches, ratio)
    ranks = MASKINGS[kind](Keys(derive(seed, "mask", epoch), ids), grid)
    chosen = ranks.argsort(dim=1, stable=True)[:, :hidden]
    return torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, chosen, True)


def order_of(mask: Bool[Tensor, "n l"]) -> tuple[Int64[Tensor, "n l"], int]:
    """Return the patches of each image with the visible ones first, in their order, and how many
    these are.

    Raises `InputError` where images differ in that, or nothing is visible.

    >>> order_of(torch.tensor([[True, False, True, False]]))
    (tensor([[1, 3, 0, 2]]), 2)
    """
    counts = sorted(set((~mask).sum(1).tolist()))
    if len(counts) != 1 or not counts[0]:
        seen = " and ".join(map(str, counts)) or "no images"
        raise InputError(f"visible patches of an image: {seen}; give as many to each, at least one")
    return mask.to(torch.uint8).argsort(dim=1, stable=True), int(counts[0])


def shuffle(x: Float[Tensor, "n l d"], order: Int64[Tensor, "n m"]) -> Float[Tensor, "n m d"]:
    """Return the tokens that `order` names, in that order.

    >>> shuffle(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 0]])).flatten()
    tensor([3., 1.])
    """
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))


def unshuffle(x: Float[Tensor, "n l d"], order: Int64[Tensor, "n l"]) -> Float[Tensor, "n l d"]:
    """Return tokens that stand in `order` at their own places again.

    >>> x, order = torch.rand(2, 4, 3), torch.tensor([[2, 0, 3, 1], [0, 1, 3, 2]])
    >>> torch.equal(unshuffle(shuffle(x, order), order), x)
    True
    """
    return shuffle(x, order.argsort(1))


def patchify(images: Float[Tensor, "n c h w"], patch: int) -> Float[Tensor, "n l e"]:
    """Return the pixels of each p×p patch, e = p²C: rows, columns, then channels.

    >>> patchify(torch.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 1]
    tensor([2., 3., 6., 7.])
    """
    n, c, height, width = images.shape
    cut = images.reshape(n, c, height // patch, patch, width // patch, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, -1, patch * patch * c)


def unpatchify(patches: Float[Tensor, "n l e"], patch: int, grid: Grid) -> Float[Tensor, "n c h w"]:
    """Return the images of their patches.

    >>> images = torch.rand(2, 3, 4, 6)
    >>> torch.equal(unpatchify(patchify(images, 2), 2, (2, 3)), images)
    True
    """
    height, width = grid
    cut = patches.reshape(len(patches), height, width, patch, patch, -1)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, height * patch, width * patch)


def _inside(place: Tensor, length: Tensor, side: int) -> Bool[Tensor, "n b side"]:
    """Return which of the places 0 … side − 1 an interval of that length covers."""
    start = (place * (side - length + 1)).floor()[:, :, None]
    at = torch.arange(side, device=place.device)
    return (at >= start) & (at < start + length[:, :, None])


def _bayer(side: int) -> Int64[Tensor, "m m"]:
    """Return Bayer's matrix of the least power of two from `side` on, at least 2."""
    order = torch.zeros(1, 1, dtype=torch.int64)
    while len(order) < max(side, 2):
        top, bottom = (4 * order, 4 * order + 2), (4 * order + 3, 4 * order + 1)
        order = torch.cat([torch.cat(top, 1), torch.cat(bottom, 1)], 0)
    return order
