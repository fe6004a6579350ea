"""PGD whose every iterate is an 8-bit image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from saddlepoint.attacks import Batch, FixedBudget, Tracker
from saddlepoint.attacks.core.steps import cosine
from saddlepoint.option_values import Count
from saddlepoint.threat import Box


@dataclass(frozen=True, kw_only=True)
class LatticePGD(FixedBudget):
    """PGD on the whole multiples of 1/levels between the bounds of a Box.

    The iterate is real, and what the model sees is the iterate rounded. A step is the sign of the
    margin's gradient times a share of each pixel's own bounds, which falls from all to nothing
    along half a cosine. The first start is the clean image, later ones are uniform.

    Args:
        threat: a Box whose bounds are multiples of 1/levels.
        steps: iterations per restart.
        restarts: images fooled by one are not attacked by the next.
        levels: the lattice is the multiples of 1/levels.

    >>> import torch
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.5, 0.4]])
    >>> attack = LatticePGD(Box(images - 0.1, images + 0.1), levels=10)
    >>> attack(net, images, torch.tensor([0])).adversarials
    tensor([[0.4000, 0.5000]])
    """

    steps: Count = 30
    restarts: Count = 3
    levels: Count = 255

    norms = ("Box",)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        for restart in range(self.restarts):
            active = tracker.unfinished(batch)
            if not len(active):
                return
            low, high = self._grid(active)
            drawn = active.keys.uniform(tuple(low.shape[1:]), restart=restart).to(low.dtype)
            clean = (active.images * self.levels).round()
            x = (low + (high - low) * drawn) if restart else clean
            for step in range(self.steps):
                z = x.round() / self.levels
                logits, gradient = active.gradient(z, active.loss("margin"))
                tracker.record(active, z, logits)
                active, (x, gradient) = tracker.compact(active, x, gradient)
                if not len(active):
                    break
                low, high = self._grid(active)
                share = cosine(step, self.steps)
                x = (x + share * (high - low) * gradient.sign()).clamp(low, high)
            tracker.offer(active, x.round() / self.levels)

    def _grid(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the bounds in levels."""
        assert isinstance(batch.threat, Box)
        low, high = (
            (bound.expand(batch.images.shape) * self.levels).round()
            for bound in batch.threat.range(batch.images)
        )
        return low, high
