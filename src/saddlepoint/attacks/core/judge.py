"""The judge: it believes nothing a loop says, and measures every image again.

The final images are classified afresh in full precision and the distance is recomputed in float64.
An image that is outside the ball or the valid range, or not finite, or not fooled, is not a success;
nor is one for which the model returns NaN.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import predict, tied
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.streams import Stream
from saddlepoint.threat.norms import expand


def judge(
    batch: Batch,
    candidates: Float[Tensor, "n ..."],
    clean: Float[Tensor, "n k"],
) -> AttackResult:
    """Return the judged result of offering `candidates` for the images of the whole `batch`.

    Args:
        batch: every sample of the call, in the caller's order, inside its guard.
        candidates: (n, …) what the attack offers; anything at all.
        clean: (n, k) the logits of the clean images; where they are fooled already, the image is
            left alone.

    >>> from saddlepoint.attacks import UniformNoise
    >>> from saddlepoint.threat import Linf
    >>> result = UniformNoise(Linf(0.1))(torch.nn.Flatten(), torch.tensor([[0.5, 0.4]]), torch.tensor([0]))
    >>> bool(result.distance <= 0.1 + 1e-6)
    True
    """
    images = batch.images
    initially_wrong = batch.margin(clean) < 0
    valid = batch.threat.contains(images, candidates)
    valid &= candidates.isfinite().flatten(1).all(1)
    if batch.mask is not None:
        valid &= ((candidates == images) | batch.mask).flatten(1).all(1)
    final = torch.where(
        expand(valid & ~initially_wrong, images), candidates.to(images.dtype), images
    )
    guard = batch.guard
    guard.ledger.expect(clean)
    with guard.exact():
        logits = guard.logits(final, batch.index, batch.keys.split(Stream.JUDGE))
    if guard.ledger.lost is not None:  # of those the model says nothing: they keep the clean image
        final = torch.where(expand(guard.ledger.lost, images), images, final)
    # What was not moved is the clean image, whose prediction is known; another draw of a random model
    # is no attack.
    moved = (final != images).flatten(1).any(1)
    logits = torch.where(moved[:, None], logits, clean.to(logits.dtype))
    success = initially_wrong | (valid & (batch.margin(logits) < 0))
    return AttackResult(
        adversarials=final,
        success=success,
        distance=batch.threat.distance(images, final),
        predictions=predict(logits),
        initially_wrong=initially_wrong,
        rejected=~valid & ~initially_wrong,
        tied=tied(logits),
        forwards=guard.forwards.clone(),
        backwards=guard.backwards.clone(),
        space=batch.threat.space,
    )
