"""One run of an attack: its loop on what is not fooled yet, the judge, and again where they disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.faults import find_randomness
from saddlepoint.attacks.core.final_search import widen
from saddlepoint.attacks.core.inputs import may_move
from saddlepoint.attacks.core.judge import judge
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.tracker import Best, Keeper, Nearest
from saddlepoint.model import full_precision
from saddlepoint.threat.norms import expand

if TYPE_CHECKING:
    from saddlepoint.attacks.core.contract import Attack


def run(
    attack: Attack, batch: Batch, clean: Float[Tensor, "n k"], *, sure: bool = False
) -> AttackResult:
    """Return the judged result of `attack` on every sample of a call.

    Args:
        batch: all of them, inside their guard, which says whether the model is random.
        clean: the logits of the clean images.
        sure: what the guard says of that is beyond doubt. Else the model is looked at once more
            where something fooled the loop and not the judge, which may have been luck.
    """
    best, result = _attacked(attack, batch, clean)
    doubtful = _doubtful(attack, best, result)
    if not bool(doubtful.any()):
        return result
    guard = batch.guard
    if not (sure or guard.random or attack.autocast):
        with guard.exact():
            guard.random = find_randomness(guard, batch.images, suspected=True)
        if guard.random:
            return _attacked(attack, batch, clean)[1]
    return result if guard.random else _again(attack, batch, best, clean, doubtful)


def _attacked(attack: Attack, batch: Batch, clean: Tensor) -> tuple[Keeper, AttackResult]:
    """Run the loop on what is not fooled yet, and judge what it kept."""
    random = batch.guard.random
    todo = batch.at(~(batch.margin(clean) < 0) & may_move(batch.threat, batch.images))
    best = attack.keeper(batch.images, random)
    if len(todo):
        if attack.minimum_norm and todo.starts is not None:
            best.last(todo, todo.project(todo.threat.parametrise(todo.starts)))
        # TensorFloat-32 is coarser than the way that is left near a boundary.
        with full_precision(todo.guard.device, attack.minimum_norm and not attack.autocast):
            attack.perturb(todo, best)
        if random and attack.minimum_norm:
            widen(todo, best)
    return best, judge(batch, best.images, clean, minimum_norm=attack.minimum_norm)


def _doubtful(attack: Attack, best: Keeper, result: AttackResult) -> Bool[Tensor, " n"]:
    """Say what only the loop believes fooled.

    Under autocast, TensorFloat-32 or in a model that is random without saying so, a sample may be
    finished by an iterate that the judge does not confirm; it would then pass for robust.
    """
    if not isinstance(best, Best | Nearest):
        return torch.zeros_like(result.success)
    doubtful = best.fooled & ~result.success & ~result.rejected
    if attack.minimum_norm and attack.autocast is not None:
        doubtful |= ~result.success & ~result.rejected  # bfloat16 may not see what fools
    return doubtful


def _again(
    attack: Attack, batch: Batch, best: Keeper, clean: Tensor, doubtful: Bool[Tensor, " n"]
) -> AttackResult:
    """Attack the doubtful once more, to the end and in full precision."""
    second = Nearest(batch.images) if attack.minimum_norm else Best(batch.images, "never")
    with batch.guard.exact():
        attack.perturb(batch.at(doubtful), second)
    images = torch.where(expand(doubtful, batch.images), second.images, best.images)
    return judge(batch, images, clean, minimum_norm=attack.minimum_norm)
