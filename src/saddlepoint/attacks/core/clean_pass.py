"""The first pass of a call: what the model says of the clean images, and whether it can be used."""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.answers import check_answered, check_logits, unanswered
from saddlepoint.attacks.core.accepted import Rejecting
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import BinaryLogit, Criterion
from saddlepoint.attacks.core.faults import find_randomness
from saddlepoint.attacks.core.inputs import Inputs
from saddlepoint.attacks.core.no_class import stand_ins, warn_of_silence
from saddlepoint.checks import check_classes


def check_clean(
    criterion: Criterion, logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]
) -> int:
    """Return the number of classes; raise `InputError` where there are not as many logits as the
    criterion asks for, or a label is none of them.

    >>> import torch
    >>> from saddlepoint.attacks import AcceptedAsOther
    >>> check_clean(BinaryLogit(), torch.zeros(1, 1), torch.tensor([1]))
    2
    >>> check_clean(AcceptedAsOther(2), torch.zeros(1, 3), torch.tensor([2]))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: 1 labels are 2, the class that rejects; give the classes of the images
    """
    check_logits(logits, isinstance(criterion, BinaryLogit))
    classes = max(logits.shape[1], 2)  # one logit stands for two classes
    check_classes(labels, classes)
    if isinstance(criterion, Rejecting):
        criterion.check(labels, classes)
    return classes


def clean_pass(
    batch: Batch, given: Inputs, random: bool | None, whole: bool
) -> Float[Tensor, "n k"]:
    """Return the logits of the clean images, checked and taken note of, inside the guard, which is
    told whether the model is random.

    Args:
        batch: all samples of a call.
        given: what the call was given.
        random: whether the model is random at inference; None finds out.
        whole: these are all images; of a part, the model may return no answer for any, and whoever
            has the whole tells.
    """
    guard = batch.guard
    with guard.exact():
        clean = guard.logits(batch.images, None, batch.keys)
        silent = unanswered(clean)
        check_answered(~silent, guard.model, whole)
        classes = check_clean(batch.criterion, clean, given.labels)
        if given.targets is not None:
            check_classes(batch.goals, classes, "targets")
        guard.set_random(find_randomness(guard, batch.images) if random is None else random)
    if whole:
        warn_of_silence(silent)
    instead = stand_ins(batch.criterion, clean, batch.goals)
    guard.ledger.expect(clean, stand_ins=instead)
    return clean
