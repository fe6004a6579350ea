"""APGD: projected gradient ascent that finds its own step lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss, Misclassified
from saddlepoint.attacks.core.losses import Ratio, objective, others, warn_of_few_classes
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Last, Tracker
from saddlepoint.attacks.fixed_budget.apgd_steps import Ascent, Momentum, Sparse, checkpoints
from saddlepoint.configuration import added
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Share
from saddlepoint.threat import Normed, norm_of


@dataclass(frozen=True, kw_only=True)
class APGD(FixedBudget):
    """Auto-PGD: ascent with momentum, whose step halves, and which returns to its highest point,
    wherever too few steps rose.

    In L1 the step is shared by as many coordinates as the best perturbation's support suggests.

    Args:
        threat: Linf, L2, L1, or Box (as Linf).
        steps: iterations per restart and target; a pass each way, and one forward at the end.
        restarts: independent random starts; images fooled by one are not attacked by the next.
        loss: "cross-entropy"; "margin"; "dlr", the scale-free difference of logits ratio, of
            at least three classes; or "dlr-targeted", which raises in turn the `targets` other
            classes of largest clean logit, of at least four. With too few classes the loss is the
            margin, and a warning says so. In a targeted attack both are the targeted DLR towards
            the target; a criterion other than `Misclassified` has no classes to be taken in turn.
        targets: "dlr-targeted": the number of classes, at most all others; each costs `steps`.
        rho: the share of steps between two checkpoints that must rise for the step to stay.
        shrinking: spend the first 30 % of the steps in the ball of 3·eps and the next in that of
            2·eps. None is in L1 alone, where it is part of the published attack.
        corners: as for `PGD`.

    >>> from saddlepoint.threat import Linf
    >>> net, images, labels = torch.nn.Flatten(), torch.tensor([[0.5, 0.4]]), torch.tensor([0])
    >>> APGD(Linf(0.051), steps=10, loss="margin")(net, images, labels).success
    tensor([True])
    """

    steps: Count = 100
    restarts: Count = 1
    loss: Literal[Loss, Ratio] = "cross-entropy"
    targets: Count = 9
    rho: Share = 0.75
    shrinking: bool | None = None
    corners: bool = added(True)

    paper = "Croce and Hein 2020, arXiv:2003.01690; L1 2021, arXiv:2103.01208"
    cost = "steps × restarts (100 × 1) each way"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy", "corners": False}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinking and not isinstance(self.threat, Normed):
            raise InputError(f"a {self.threat} has no radius to shrink; leave shrinking out")
        if self.keep == "last" and (self.restarts > 1 or self.loss == "dlr-targeted"):
            raise InputError('keep="last" returns the last run alone; leave it out, or run one')

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Ascent from every start, towards every target, with the samples not fooled before."""
        runs = list(self._targets(batch))
        for restart in range(self.restarts):
            for turn, targets in enumerate(runs):
                rows = tracker.unfinished(batch)
                if not len(rows):
                    return
                at = None if targets is None else targets[torch.isin(batch.index, rows.index)]
                if at is not None:
                    rows, at = rows.at(at >= 0), at[at >= 0]
                    if not len(rows):
                        continue
                number, corner = restart * len(runs) + turn, self.corners and restart % 2 == 1
                stage(rows, tracker, partial(self._run, rows, tracker, at, number, corner))

    def _run(
        self, batch: Batch, tracker: Tracker, targets: Tensor | None, number: int, corner: bool
    ) -> None:
        stages = [(3, 3 * self.steps // 10), (2, 3 * self.steps // 10)] if self._shrinks else []
        stages = [(scale, steps) for scale, steps in stages if steps]
        left = self.steps - sum(steps for _, steps in stages)
        x = start_of(_wider(batch, stages[0][0] if stages else 1), "uniform", number, corner)
        fresh = batch.starts is None or number > 0
        for scale, steps in stages:
            wide = _wider(batch, scale)
            # Nothing out here counts: a tracker that keeps nothing.
            _, ascent = self._ascend(
                wide, Last(batch.images), targets, wide.project(x), steps, fresh
            )
            x, fresh = ascent.top, False
        batch, ascent = self._ascend(batch, tracker, targets, batch.project(x), left, fresh)
        tracker.offer(batch, ascent.x)

    def _ascend(
        self,
        batch: Batch,
        tracker: Tracker,
        targets: Int64[Tensor, " m"] | None,
        x: Float[Tensor, "m ..."],
        steps: int,
        fresh: bool,
    ) -> tuple[Batch, Ascent]:
        """Take `steps` steps from `x`; return what is left of the batch, and where it is."""
        ascent = Ascent.begin(x, batch.goals if targets is None else targets)
        rule: Momentum | Sparse
        if self._sparse:
            rule, every = Sparse.begin(batch, x, fresh), max(1, steps // 25)
            ends = dict.fromkeys(range(every, steps, every), every)
        else:
            rule, ends = Momentum.begin(batch, x), checkpoints(steps)
        for step in range(steps):
            loss = objective(batch, self.loss, None if targets is None else ascent.targets)
            logits, gradient = batch.gradient(ascent.x, loss)
            tracker.record(batch, ascent.x, logits)
            if step == 0:
                warn_of_few_classes(batch, self.loss, logits)
            ascent = ascent.at(loss(logits), gradient)
            batch, state = tracker.compact(batch, *ascent, *rule)
            ascent, rule = Ascent(*state[: len(ascent)]), type(rule)(*state[len(ascent) :])
            if not len(batch):
                break
            rule, ascent = rule.adapt(batch, ascent, ends.get(step, 0), self.rho)
            rule, x = rule.move(batch, ascent, step == 0)
            ascent = ascent._replace(x=x)
        return batch, ascent

    def _targets(self, batch: Batch) -> Iterator[Int64[Tensor, " m"] | None]:
        """Yield the targets of each run: None is the criterion's own."""
        if self.loss != "dlr-targeted" or not isinstance(batch.criterion, Misclassified):
            yield None
            return
        logits = batch.logits(batch.clean)
        if logits.shape[1] < 4:
            yield None
            return
        yield from others(batch, logits, self.targets)

    @property
    def _sparse(self) -> bool:
        return norm_of(self.threat) == "L1"

    @property
    def _shrinks(self) -> bool:
        return self._sparse if self.shrinking is None else self.shrinking


def _wider(batch: Batch, scale: int) -> Batch:
    """Return the batch with `scale` times the budget."""
    threat = batch.threat
    if scale == 1 or not isinstance(threat, Normed):
        return batch
    return replace(batch, threat=threat.with_eps(scale * threat.eps))
