"""As many images at once as there is memory for: all of them, unless they are large."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from jaxtyping import Int64
from torch import Tensor

MEMORY = 2**30
"""Bytes of the images that are worked on at once; about five copies of them are held."""


def groups_of(
    parts: Sequence[Int64[Tensor, " m"]], shape: Sequence[int]
) -> Iterator[tuple[list[Tensor], int]]:
    """Yield groups of parts that are worked on together, and how many images come after each.

    Args:
        parts: ids.
        shape: of an image.

    >>> import torch
    >>> [(len(group), later) for group, later in groups_of(torch.arange(1536).split(512), (3, 32, 32))]
    [(3, 0)]
    """
    size, later = 4 * max(1, math.prod(shape)), sum(map(len, parts))
    group: list[Tensor] = []
    for number, ids in enumerate(parts):
        group.append(ids)
        later -= len(ids)
        if number + 1 == len(parts) or sum(map(len, group)) * size >= MEMORY:
            yield group, later
            group = []
