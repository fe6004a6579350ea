"""JSMA: the two features that a saliency map ranks highest are driven to the bound, and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import BinaryLogit, Targeted
from saddlepoint.attacks.core.final_search import final_search
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.geometry.pairs import best_pairs
from saddlepoint.errors import InputError
from saddlepoint.option_values import Interval, Natural, Share


@dataclass(frozen=True, kw_only=True)
class JSMA(MinimumNorm):
    """The Jacobian-based saliency map attack: the pair (p, q) of largest −α·β moves by θ.

    α_pq is the derivative of the target's output along both features, β_pq that of all other
    outputs together. For θ > 0 only pairs with α > 0 and β < 0 count, for θ < 0 those with α < 0
    and β > 0. A feature at its bound leaves. The maximum over all pairs is exact, ties go to the
    first. Where no pair counts any more the attack ends, as it does at success.

    The attack aims at a class: an untargeted call at the most likely other one, and any other
    class that fools the model ends it too.

    Args:
        threat: L0, without a budget.
        theta: how far a feature moves, in widths of the valid range, from −1 to 1; ±1 puts it on
            the bound.
        max_changed: γ, the largest share of features to change.
        on: "logits" (JSMA-Z) or "probabilities" (JSMA-F), whose derivatives vanish where the softmax
            is saturated.
        bisections: changes that were not needed are dropped at the end, the smallest first; 0 is as
            published.

    >>> from saddlepoint.threat import L0
    >>> net = torch.nn.Linear(3, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, -1.0, 0.0], [0.0, 2.0, 0.0]]))
    >>> image, label = torch.tensor([[0.6, 0.1, 0.1]]), torch.tensor([0])
    >>> JSMA(L0(), max_changed=1.0, bisections=0)(net, image, label).adversarials
    tensor([[0.6000, 1.0000, 1.0000]])
    >>> JSMA(L0(), max_changed=1.0)(net, image, label).adversarials
    tensor([[0.6000, 1.0000, 0.1000]])
    """

    theta: Annotated[float, Interval("[-1, 1]")] = 1.0
    max_changed: Share = 0.145
    on: Literal["logits", "probabilities"] = "logits"
    bisections: Natural = 10

    norms = ("L0",)
    paper = "Papernot et al. 2016, arXiv:1511.07528"
    cost = "1 forward and 2 backward (probabilities: 1) per pair"
    paper_options: ClassVar[Mapping[str, Any]] = {"bisections": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.theta == 0:
            raise InputError(f"theta is {self.theta}; give −1 to 1 and not 0, for instance 1.0")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Change two features at a time until the target is reached."""
        whole, low, high = batch, *batch.bounds
        if not bool((high - low).isfinite().all()):
            raise InputError(
                f"JSMA drives features to the bounds of the range; {batch.threat} has none"
            )
        x, targets = batch.clean, _targets(batch)
        allowed = max(2, math.floor(self.max_changed * x[0].numel()))
        while len(batch):
            logits, rows = batch.jacobian(x, self._cotangents(batch, targets))
            tracker.record(batch, x, logits)
            free = (x < high if self.theta > 0 else x > low).flatten(1)
            a, b = self._saliency(rows.flatten(2))
            pairs, found = best_pairs(a, b, free)
            going = found & tracker.distance[batch.index].isinf()
            batch, state = _only(going, batch, x, low, high, targets, pairs)
            x, low, high, targets, pairs = state
            x = self._moved(x, low, high, pairs)
            # No room for another pair: this was the last change, and needs no Jacobian.
            changed = (x != batch.clean).flatten(1).sum(1)
            full = changed + 2 > allowed
            tracker.offer(batch.at(full), x[full])
            batch, (x, low, high, targets) = _only(~full, batch, x, low, high, targets)
        final_search(whole, tracker, self.bisections)

    def _moved(self, x: Tensor, low: Tensor, high: Tensor, pairs: Tensor) -> Tensor:
        least, most, flat = low.flatten(1), high.flatten(1), x.flatten(1)
        moved = (flat + self.theta * (most - least)).clamp(least, most).gather(1, pairs)
        if abs(self.theta) == 1:  # on the bound itself, whatever the sum is rounded to
            moved = (most if self.theta > 0 else least).gather(1, pairs)
        return flat.scatter(1, pairs, moved).reshape(x.shape)

    def _cotangents(self, batch: Batch, targets: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the weightings of the logits: the target's, and on logits that of all classes."""

        def cotangents(logits: Tensor) -> Tensor:
            if isinstance(batch.criterion, BinaryLogit):
                side = 2.0 * targets[:, None, None] - 1.0
                slope = logits.sigmoid() * (-logits).sigmoid()
                return (
                    side
                    * (slope if self.on == "probabilities" else torch.ones_like(logits))[:, None]
                )
            own = torch.nn.functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
            if self.on == "logits":
                return torch.stack([own, torch.ones_like(own)], dim=1)
            probabilities = logits.softmax(1)
            return (probabilities * own).sum(1)[:, None, None] * (own - probabilities)[:, None]

        return cotangents

    def _saliency(
        self, rows: Float[Tensor, "m k n"]
    ) -> tuple[Float[Tensor, "m n"], Float[Tensor, "m n"]]:
        """Return α and −β of each feature, both turned so that pairs with positive sums count."""
        towards = rows[:, 0] if self.theta > 0 else -rows[:, 0]
        if rows.shape[1] == 1:  # probabilities add up to one: β = −α
            return _scaled(towards), _scaled(towards)
        every = rows[:, 1] if self.theta > 0 else -rows[:, 1]
        return _scaled(towards), _scaled(towards - every)


def _only(rows: Tensor, batch: Batch, *state: Tensor) -> tuple[Batch, list[Tensor]]:
    return batch.at(rows), [each[rows] for each in state]


def _scaled(x: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Return `x` with a largest entry of one: products of 1e-30 would be zero."""
    largest = x.abs().amax(1, keepdim=True)
    return x / torch.where(largest > 0, largest, 1.0)


def _targets(batch: Batch) -> Int64[Tensor, " m"]:
    """Return the class to aim at: the target, or the most likely that may be aimed at."""
    if isinstance(batch.criterion, Targeted):
        return batch.goals
    if isinstance(batch.criterion, BinaryLogit):
        return 1 - batch.goals
    logits = batch.logits(batch.clean)
    return logits.masked_fill(~batch.aims(logits), -torch.inf).argmax(1)
