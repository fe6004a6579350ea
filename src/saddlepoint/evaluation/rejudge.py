"""An audit of adversarial images that somebody else saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import AttackResult, Criterion, Misclassified, Targeted
from saddlepoint.attacks.core.inputs import pixel_range, range_of_candidates
from saddlepoint.attacks.core.no_class import answered_margin
from saddlepoint.checks import as_pixels, in_range, settled, tensor_of
from saddlepoint.errors import InputError
from saddlepoint.evaluation.export import Replay
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.model import Guard
from saddlepoint.threat import NormBall, Normed, Rescaled, ThreatModel

# Of an unbounded range; an attack's budget is a number.
_ENDLESS = 1e9


@dataclass(frozen=True, eq=False)
class Audit:
    """What is true of saved adversarial images.

    Attributes:
        result: as the judge sees them: adversarial, finite, in range and within the budget at once.
        fooled: (n,) the model is fooled by the image as it was saved, wherever that is.
        in_range: (n,) finite and inside the valid range.
        within_budget: (n,) no farther than the budget allows.
        distance: (n,) float64, of the image as it was saved, in the units of the budget.

    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.tensor([[0.5, 0.4], [0.5, 0.4]]), torch.tensor([0, 0])
    >>> audit = rejudge(nn.Flatten(), x, y, torch.tensor([[0.4, 0.5], [0.2, 1.1]]), Linf(0.15))
    >>> audit.fooled.tolist(), audit.in_range.tolist(), audit.result.success.tolist()
    ([True, True], [True, False], [True, False])
    """

    result: AttackResult
    fooled: Bool[Tensor, " n"]
    in_range: Bool[Tensor, " n"]
    within_budget: Bool[Tensor, " n"]
    distance: Float[Tensor, " n"]

    @property
    def attacked(self) -> Bool[Tensor, " n"]:
        """The images that the model classifies correctly before; the others prove nothing."""
        return ~self.result.initially_wrong

    def share(self, outcome: Bool[Tensor, " n"]) -> Proportion:
        """Return how many of the attacked images `outcome` holds for, with its interval."""
        return Proportion(int((outcome & self.attacked).sum()), int(self.attacked.sum()))

    @property
    def success(self) -> Proportion:
        """The share that really is adversarial, in range and within the budget."""
        return self.share(self.result.success)

    @property
    def robust_accuracy(self) -> Proportion:
        """The share of all images that neither are wrong at first nor have a valid adversarial."""
        return Proportion(int((~self.result.success).sum()), len(self.result))

    @staticmethod
    def cat(parts: Sequence[Audit]) -> Audit:
        """Return one audit of all parts, in order."""
        return Audit(
            AttackResult.cat([part.result for part in parts]),
            *(
                torch.cat([getattr(part, name) for part in parts])
                for name in ("fooled", "in_range", "within_budget", "distance")
            ),
        )


def rejudge(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    adversarials: Float[Tensor, "n ..."],
    threat: ThreatModel,
    *,
    targets: Int64[Tensor, " n"] | None = None,
    criterion: Criterion | None = None,
    eot_samples: int = 1,
    seed: int = 0,
    whole: bool = True,
) -> Audit:
    """Return what is true of `adversarials`, whoever made them.

    Args:
        model: from images in [0, 1] to logits.
        images, labels: the clean images and their classes.
        adversarials: (n, …) in the same order.
        threat: what counts as allowed; without a budget every distance is.
        targets: (n,) where a class was to be reached.
        criterion: what counts as fooled; None is `Misclassified`.
        eot_samples: passes averaged, for models that are random at inference.
        seed: of such a model's draws.
        whole: these are all images; of a part, the model may return no answer for any.

    Raises `InputError` where the shapes differ.

    >>> from saddlepoint.threat import L2
    >>> x, y = torch.tensor([[0.5, 0.4]]), torch.tensor([0])
    >>> str(rejudge(nn.Flatten(), x, y, torch.tensor([[0.4, 0.5]]), L2(0.1)).success)
    '0.0 % [0.0, 79.3]'
    """
    images, adversarials = tensor_of(images, "images"), as_pixels(tensor_of(adversarials, "images"))
    labels = tensor_of(labels, "labels")
    if adversarials.shape != images.shape:
        raise InputError(
            f"the adversarial images have shape {tuple(adversarials.shape)}, the clean ones"
            f" {tuple(images.shape)}; give one for each, in the same order"
        )
    images = in_range(images, *pixel_range(threat))
    device = Guard(model, 0).device
    clean = images.to(device)
    offered = settled(
        adversarials.to(device, images.dtype),
        *range_of_candidates(threat),
        what="pixels of the adversarial images",
    )
    attack = Replay(
        _limited(threat, images),
        images=offered,
        criterion=Misclassified() if criterion is None else criterion,
        eot_samples=eot_samples,
    )
    result = attack(model, images, labels, targets, seed=seed, whole=whole)
    finite = offered.isfinite().flatten(1).all(1)
    judged = attack if targets is None else replace(attack, criterion=Targeted())
    budget, bounds = _parts(threat)
    ranged = finite & bounds.contains(clean, offered)
    near = finite & budget.contains(clean, offered)
    return Audit(
        result=result,
        fooled=_fooled(model, offered, judged, labels if targets is None else targets, seed),
        in_range=ranged,
        within_budget=near,
        distance=threat.distance(clean, offered),
    )


def _limited(threat: ThreatModel, images: Tensor) -> ThreatModel:
    """Return the threat model with a budget that nothing exceeds, where it has none."""
    if not isinstance(threat, Normed) or isinstance(threat.eps, Tensor):
        return threat
    if not math.isinf(threat.eps):
        return threat
    return threat.with_eps(min(threat.ball.widest(tuple(images.shape[1:])), _ENDLESS))


def _parts(threat: ThreatModel) -> tuple[ThreatModel, ThreatModel]:
    """Return the budget without its range, and the range without its budget; a Box has but one."""
    if isinstance(threat, NormBall):
        return replace(threat, lower=-math.inf, upper=math.inf), threat.with_eps(math.inf)
    if isinstance(threat, Rescaled):
        budget, ranged = _parts(threat.ball)
        assert isinstance(budget, NormBall)
        assert isinstance(ranged, NormBall)
        return replace(threat, ball=budget), replace(threat, ball=ranged)
    return threat, threat


def _fooled(model: nn.Module, offered: Tensor, attack: Replay, goals: Tensor, seed: int) -> Tensor:
    """Return which images fool the model as they are, valid or not; what is not finite does not."""
    finite = offered.isfinite().flatten(1).all(1)
    with Guard(model, len(offered), samples=attack.eot_samples, seed=seed) as guard, guard.exact():
        logits = guard.logits(offered.nan_to_num(), None)
    margin = answered_margin(attack.criterion, logits, goals.to(logits.device))
    return finite & (margin < 0)
