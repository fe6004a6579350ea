"""The judge re-evaluates an attack's outputs in full precision; only what passes here is a success.

The images are classified afresh, whatever the loop believed, and the distance is recomputed in
float64. An image farther than ε·(1 + tolerance) (see `NormBall.near`), outside the valid range, not
finite, or not fooled is not a success. One that is all this and for which the model returns NaN has
no class; see no_class.py for what that counts as.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import predict, tied
from saddlepoint.attacks.core.no_class import stand_ins, wrong_before
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.streams import Stream
from saddlepoint.threat.norms import expand


def judge(
    batch: Batch,
    candidates: Float[Tensor, "n ..."],
    clean_logits: Float[Tensor, "n k"],
) -> AttackResult:
    """Return which of an attack's outputs are successes, with their predictions and distances.

    Args:
        batch: every sample of the call, in the caller's order, inside its guard.
        candidates: (n, …) the attack's outputs; anything at all.
        clean_logits: (n, k) of the clean images. Where the criterion holds for them (under
            `Targeted`: it is the target already), or they are no answer, the image is
            `initially_wrong` and left alone.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.threat import Linf
    >>> images, label, rows = torch.tensor([[0.6, 0.4]]), torch.tensor([0]), torch.arange(1)
    >>> with Guard(torch.nn.Flatten(), 1) as guard:
    ...     batch = Batch(guard, Linf(0.1), Misclassified(), images, label, Keys(0, rows), rows)
    ...     result = judge(batch, images.flip(1), guard.logits(images))
    >>> result.success, result.rejected  # it would fool, from 0.2 away
    (tensor([False]), tensor([True]))
    """
    images = batch.images
    initially_wrong = wrong_before(batch.criterion, clean_logits, batch.goals)
    valid = batch.threat.contains(images, candidates)
    valid &= candidates.isfinite().flatten(1).all(1)
    if batch.mask is not None:
        valid &= ((candidates == images) | batch.mask).flatten(1).all(1)
    final = torch.where(
        expand(valid & ~initially_wrong, images), candidates.to(images.dtype), images
    )
    guard = batch.guard
    instead = stand_ins(batch.criterion, clean_logits, batch.goals)
    guard.ledger.expect(clean_logits, stand_ins=instead)
    with guard.exact():
        logits = guard.logits(final, batch.index, batch.keys.split(Stream.JUDGE))
    # Where nothing moved, the clean logits stand: another draw of a random model is no attack.
    moved = (final != images).flatten(1).any(1)
    logits = torch.where(moved[:, None], logits, clean_logits.to(logits.dtype))
    success = initially_wrong | (valid & (batch.margin(logits) < 0))
    if guard.ledger.lost is not None:  # what the margin was of stood in for no answer
        logits = torch.where((moved & guard.ledger.lost)[:, None], torch.nan, logits)
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
