"""Any targeted attack towards a random, the easiest or the hardest target of each image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.inputs import pixel_range
from saddlepoint.attacks.core.result import TENSORS, AttackResult
from saddlepoint.attacks.core.stages import Stages
from saddlepoint.checks import check_labels, in_range
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Guard
from saddlepoint.streams import Keys, Stream
from saddlepoint.threat.norms import expand

TargetCase = Literal["average", "best", "worst"]
CASES: tuple[TargetCase, ...] = get_args(TargetCase)


@dataclass(frozen=True, eq=False)
class TargetsResult:
    """A judged result and the target (n,) each of its rows was attacked towards.

    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.6]])
    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> attack_targets(PGD(Linf(0.4)), net, images, torch.tensor([0]), "best").targets
    tensor([2])
    """

    result: AttackResult
    targets: Int64[Tensor, " n"]


def attack_targets(
    attack: Attack,
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    case: TargetCase = "average",
    *,
    seed: int = 0,
    ids: Int64[Tensor, " n"] | None = None,
    mask: Bool[Tensor, ...] | None = None,
    random: bool | None = None,
    stages: Stages | None = None,
    whole: bool = True,
) -> TargetsResult:
    """Return the targeted attack's result in Carlini and Wagner's average, best or worst case.

    "average" draws one target per image, a function of the seed and its id. "best" and "worst" run
    all of them and keep the nearest success, or the furthest; an image with a failing target fails
    in the worst case. Passes of all targets are added up.

    Args:
        attack: with the criterion `Misclassified`; the targets replace it.
        model, images, labels, seed, ids, mask, random, stages, whole: as for the attack itself.
        case: "average", "best" or "worst".

    Reference: Carlini and Wagner 2017, arXiv:1608.04644.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> net, images = torch.nn.Flatten(), torch.tensor([[0.9, 0.3, 0.6]])
    >>> for case in ("best", "worst"):
    ...     attack_targets(PGD(Linf(0.2)), net, images, torch.tensor([0]), case).result.success
    tensor([True])
    tensor([False])
    """
    case_of(case)
    images = in_range(images, *pixel_range(attack.threat))
    check_labels(labels, len(images))
    with Guard(model, count=1) as guard:
        classes = guard.logits(images[:1].to(guard.device)).shape[1]
    if classes < 2:
        raise InputError("a model with one logit has no targets; attack it untargeted")
    labels = labels.to(torch.int64)
    ids = torch.arange(len(images)) if ids is None else ids

    def attacked(targets: Tensor) -> AttackResult:
        def columns() -> dict[str, Tensor]:
            result = attack(
                model,
                images,
                labels,
                targets,
                seed=seed,
                ids=ids,
                mask=mask,
                random=random,
                stages=stages,
                whole=whole,
            )
            return {name: getattr(result, name) for name in TENSORS}

        found = columns() if stages is None else stages.remember(columns)
        there = {name: value.to(guard.device) for name, value in found.items()}
        return AttackResult(**there, space=attack.threat.space)

    if case == "average":
        draw = Keys(seed, ids.cpu(), Stream.TARGETS).uniform((1,))[:, 0].double().to(labels.device)
        targets = (labels + 1 + (draw * (classes - 1)).long()) % classes
        return TargetsResult(attacked(targets), targets)
    kept: TargetsResult | None = None
    for offset in range(1, classes):
        targets = (labels + offset) % classes
        new = TargetsResult(attacked(targets), targets)
        kept = new if kept is None else _preferred(kept, new, case)
    assert kept is not None
    return kept


def case_of(word: str | None) -> TargetCase | None:
    """Return the case of a word, None for None; raises `InputError` for another word.

    >>> case_of("best")
    'best'
    """
    if word is None:
        return None
    for case in CASES:
        if word == case:
            return case
    raise unknown("case", word, CASES)


def _preferred(a: TargetsResult, b: TargetsResult, case: TargetCase) -> TargetsResult:
    """Return, row by row, the easier or the harder of the two, with the passes of both."""
    far = [torch.where(r.result.success, r.result.distance, torch.inf) for r in (a, b)]
    take = far[1] < far[0] if case == "best" else far[1] > far[0]
    chosen = {}
    for field in fields(AttackResult):
        x, y = getattr(a.result, field.name), getattr(b.result, field.name)
        if field.name in ("forwards", "backwards"):
            chosen[field.name] = x + y
        elif isinstance(x, Tensor):
            chosen[field.name] = torch.where(expand(take, x), y, x)
        else:
            chosen[field.name] = x
    targets = torch.where(take.to(a.targets.device), b.targets, a.targets)
    return TargetsResult(AttackResult(**chosen), targets)
