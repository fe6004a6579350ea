"""Points near the images, for checks that do not ask about the budget."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.checks import bounds_of
from saddlepoint.streams import Stream
from saddlepoint.threat import Holding
from saddlepoint.threat.norms import expand


def moved(
    batch: Batch, far: float, *, draw: int = 0, signs: bool = False
) -> Float[Tensor, "m ..."]:
    """Return parameters whose images have every pixel moved by up to `far` of the valid range's
    width, uniformly, or by just as much either way where `signs`; they stay within the range. Where
    there is none, its width is that of a uniform distribution as spread as the image's own entries.
    """
    low, high = bounds_of(batch.images, *pixel_range(batch.threat))
    drawn = 2 * batch.keys.split(Stream.CHECK).uniform(batch.images.shape[1:], draw=draw) - 1
    drawn = (drawn.sign() if signs else drawn).to(batch.images)
    finite = torch.where((high - low).isfinite(), high - low, _spread(batch))
    images = torch.minimum(torch.maximum(batch.images + far * finite * drawn, low), high)
    if batch.mask is not None and isinstance(batch.threat, Holding):
        # Held before parameters are made of it: what is held says how many tokens may move.
        images = torch.where(batch.mask, images, batch.images)
    return batch.masked(batch.threat.parametrise(images))


def _spread(batch: Batch) -> Tensor | float:
    """Return √12 standard deviations of each text's free entries; 1 of images without a range."""
    if batch.mask is None or not isinstance(batch.threat, Holding):
        return 1.0
    count = batch.mask.flatten(1).sum(1).clamp_min(1)
    x = batch.images * batch.mask
    mean = expand(x.flatten(1).sum(1) / count, x)
    square = ((x - mean).square() * batch.mask).flatten(1).sum(1) / count
    return expand((12 * square).sqrt(), x)
