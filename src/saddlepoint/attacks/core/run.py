"""One run of an attack: its loop on what is not fooled yet, the judge, and again where they disagree."""

from __future__ import annotations

import contextlib

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.faults import find_randomness
from saddlepoint.attacks.core.inputs import may_move
from saddlepoint.attacks.core.judge import judge
from saddlepoint.attacks.core.kinds import Loop
from saddlepoint.attacks.core.no_class import wrong_before
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.stages import Paused
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.threat.norms import expand


def run(
    attack: Loop, batch: Batch, clean: Float[Tensor, "n k"], *, sure: bool = False
) -> AttackResult:
    """Return the judged result of `attack` on every sample of a call.

    Args:
        batch: all of them, inside their guard, which says whether the model is random.
        clean: the logits of the clean images.
        sure: what the guard says of that is beyond doubt. Else the model is looked at once more
            where something fooled the loop and not the judge, which may have been luck.
    """
    tracker, result = _attacked(attack, batch, clean)
    doubtful = attack.kind.doubtful(attack, tracker, result)
    if not bool(doubtful.any()):
        return result
    guard = batch.guard
    if not (sure or guard.random or attack.autocast):
        with guard.exact():
            guard.set_random(random=find_randomness(guard, batch.images, suspected=True))
        if guard.random:
            return _attacked(attack, batch, clean)[1]
    if guard.random:
        return result
    second = attack.kind.tracker(attack, batch.images, to_the_end=True)
    with guard.exact(), contextlib.suppress(Paused):
        attack.perturb(batch.at(doubtful), second)
    images = torch.where(expand(doubtful, batch.images), second.images, tracker.images)
    return _judged(attack, batch, images, clean)


def _attacked(attack: Loop, batch: Batch, clean: Tensor) -> tuple[Tracker, AttackResult]:
    """Run the loop on what is not fooled yet, and judge what it kept."""
    wrong = wrong_before(batch.criterion, clean, batch.goals)
    todo = batch.at(~wrong & may_move(batch.threat, batch.images))
    tracker = attack.kind.tracker(attack, batch.images, random=batch.guard.random)
    if len(todo):
        with contextlib.suppress(Paused):
            attack.kind.search(attack, todo, tracker)
    return tracker, _judged(attack, batch, tracker.images, clean)


def _judged(attack: Loop, batch: Batch, images: Tensor, clean: Tensor) -> AttackResult:
    for module in batch.guard.model.modules():  # somebody's attack may have changed its mode
        if getattr(module, "training", False):  # a frozen script has no modes
            module.training = False
    return attack.kind.settle(judge(batch, images, clean), batch.images, clean)
