"""APGD: projected gradient ascent with momentum that finds its own step size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.losses import Ratio, objective, others, ranks, warn_of_few_classes
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import start_of
from saddlepoint.attacks.core.tracker import Last, Tracker
from saddlepoint.attacks.fixed_budget.apgd_loop import Climb
from saddlepoint.configuration import added
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Share
from saddlepoint.threat import Normed, norm_of


@dataclass(frozen=True, kw_only=True)
class APGD(FixedBudget):
    """Auto-PGD: projected ascent with momentum; at checkpoints where too few steps raised the loss,
    η halves and x returns to x_max.

    In L1, without momentum, a step is shared by k coordinates, and k follows how many x_max has
    changed.

    Args:
        threat: Linf, L2, L1, or Box (as Linf).
        steps: N, the iterations per restart and target; a pass each way, and one forward at the
            end.
        restarts: independent random starts; images fooled by one are not attacked by the next.
        loss: "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "margin", max_{j≠y} Z_j − Z_y, the negative of the
            criterion's margin; "softmax-cross-entropy", as published; "dlr", the scale-free
            difference of logits ratio, of at least three classes; or "dlr-targeted", which raises
            in turn the `targets` other classes of largest clean logit, of at least four. With too
            few classes the loss is the margin, in one run, and a warning says so. In a targeted
            attack both are the targeted DLR towards the target; a criterion other than
            `Misclassified` has no classes to be taken in turn.
        targets: "dlr-targeted": the number of classes, at most all others; each costs `steps`, and
            one forward pass of the clean images says which they are.
        rho: ρ, the share of the steps between two checkpoints that must raise the loss for η to
            stay.
        shrinking: spend the first 30 % of the steps in the ball of 3·eps and the next 30 % in that
            of 2·eps. None is in L1 alone, where it is part of the published attack.
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
    cost = "steps × restarts (100 × 1) each way, 1 forward per restart"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy", "corners": False}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinking and not isinstance(self.threat, Normed):
            raise InputError(f"a {self.threat} has no radius to shrink; leave shrinking out")
        if self.keep == "last" and (self.restarts > 1 or self.loss == "dlr-targeted"):
            raise InputError('keep="last" returns the last run alone; leave it out, or run one')

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return super().expected_steps * (self.targets if self.loss == "dlr-targeted" else 1)

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Ascend from every start, towards every target, with the samples not fooled before."""
        runs = self._targets(batch)
        for restart in range(self.restarts):
            for turn, targets in enumerate(runs):
                active = tracker.unfinished(batch)
                if not len(active):
                    return
                active_targets = targets
                if targets is not None:
                    # They are those of `batch`, of which `active` is a part in the same order; −1
                    # where no live class is left, which is no target.
                    active_targets = targets[torch.isin(batch.index, active.index)]
                    some = active_targets >= 0
                    active, active_targets = active.at(some), active_targets[some]
                    if not len(active):
                        continue
                number, corner = restart * len(runs) + turn, self.corners and restart % 2 == 1
                run = partial(self._run, active, tracker, active_targets, number, corner)
                stage(active, tracker, run)

    def _run(
        self, batch: Batch, tracker: Tracker, targets: Tensor | None, number: int, corner: bool
    ) -> None:
        # paper: 0.3, 0.3, 0.4 of N at 3ε, 2ε, ε
        part = 3 * self.steps // 10
        schedule = [3, 2] if self._shrinks and part else []
        x = start_of(_scaled_budget(batch, max(schedule, default=1)), "uniform", number, corner)
        aimed = batch.goals if targets is None else targets
        random_start = batch.starts is None or number > 0
        for scale in schedule:
            wide = _scaled_budget(batch, scale)
            unused = Last(batch.images)  # what fools outside the budget does not count
            climb = self._climb(part, targets is not None)
            _, ascent = climb.run(wide, unused, wide.project(x), aimed, random_start)
            x, random_start = ascent.x_best, False
        left = self.steps - len(schedule) * part
        climb = self._climb(left, targets is not None)
        batch, ascent = climb.run(batch, tracker, batch.project(x), aimed, random_start)
        tracker.offer(batch, ascent.x)

    def _climb(self, steps: int, aimed: bool) -> Climb:
        def loss(batch: Batch, targets: Int64[Tensor, " m"]) -> Callable[[Tensor], Tensor]:
            return objective(batch, self.loss, targets if aimed else None)

        def first(batch: Batch, logits: Tensor) -> None:
            warn_of_few_classes(batch, self.loss, logits)

        return Climb(loss, steps, self.rho, first)

    def _targets(self, batch: Batch) -> list[Int64[Tensor, " m"] | None]:
        """Return the targets of each run: None is the criterion's own."""
        in_turn = self.loss == "dlr-targeted" and batch.aimed is not None
        logits = batch.logits(batch.clean) if in_turn else None
        if logits is None or logits.shape[1] < sum(ranks(batch, self.loss)) - 1:
            return [None]
        return list(others(batch, logits, self.targets))

    @property
    def _sparse(self) -> bool:
        return norm_of(self.threat) == "L1"

    @property
    def _shrinks(self) -> bool:
        return self._sparse if self.shrinking is None else self.shrinking


def _scaled_budget(batch: Batch, scale: int) -> Batch:
    """Return the batch with `scale` times the budget."""
    threat = batch.threat
    if scale == 1 or not isinstance(threat, Normed):
        return batch
    return replace(batch, threat=threat.with_eps(scale * threat.eps))
