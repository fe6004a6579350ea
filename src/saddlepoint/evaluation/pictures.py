"""The worst image of each of a part of the images, as an evaluation goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor


class Pictures:
    """The worst image of each of a part: the one that fools, or what came nearest to it.

    Args:
        clean: (m, …) the images before any attack.
        margin: of rows and images, by the criterion; below 0 they fool.

    >>> pictures = Pictures(torch.zeros(1, 2), lambda rows, images: images.sum(1))
    >>> nobody = torch.tensor([False])
    >>> for value in (0.2, 0.1, 0.3):
    ...     pictures.take(torch.tensor([0]), torch.full((1, 2), value), nobody, ~nobody, once=False)
    >>> pictures.images
    tensor([[0.1000, 0.1000]])
    """

    def __init__(
        self, clean: Tensor, margin: Callable[[Int64[Tensor, " k"], Tensor], Tensor]
    ) -> None:
        self.images = clean.clone()
        self._margin = margin  # also of none
        self._tried = torch.zeros(len(clean), dtype=torch.bool)
        self._kept = torch.full((len(clean),), torch.nan)  # the margins, where they are known
        self._changed = torch.zeros(len(clean), dtype=torch.bool)

    def take(
        self,
        rows: Int64[Tensor, " k"],
        found: Tensor,
        success: Bool[Tensor, " k"],
        standing: Bool[Tensor, " k"],
        *,
        once: bool,
    ) -> None:
        """Keep those that fool, and of those that stand the ones of smaller margin; what a search
        without a budget has found of these may lie outside it, and is not kept.
        """
        better, stands = success.clone(), standing & ~success
        if not once:
            better |= stands & ~self._tried[rows]
            both = (stands & self._tried[rows]).nonzero().squeeze(1)
            self._kept[rows[better]] = torch.nan
            unknown = both[self._kept[rows[both]].isnan()]
            if len(both):  # of an image that is tried once nobody needs the margin
                self._kept[rows[unknown]] = self._margin(rows[unknown], self.images[rows[unknown]])
                now = self._margin(rows[both], found[both])
                nearer = now < self._kept[rows[both]]
                better[both] = nearer
                self._kept[rows[both[nearer]]] = now[nearer]
            self._tried[rows[stands]] = True
        self.images[rows[better]] = found[better].to(self.images)
        self._changed[rows[better]] = True

    def changed(self) -> Bool[Tensor, " m"]:
        """Return which images are others than at the last call."""
        changed, self._changed = self._changed, torch.zeros_like(self._changed)
        return changed
