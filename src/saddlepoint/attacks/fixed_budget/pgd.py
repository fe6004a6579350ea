"""PGD, BIM and FGSM: projected steps along the loss's steepest direction in the norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Criterion, Loss, Misclassified
from saddlepoint.attacks.core.stages import each_stage
from saddlepoint.attacks.core.steps import Start, ascend, cosine, start_of, step_length
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.configuration import added
from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import ThreatModel, norm_of


@dataclass(frozen=True, kw_only=True)
class PGD(FixedBudget):
    """Projected gradient descent: x ← Π(x + α·d), d the direction in which the loss rises most.

    d has unit norm in the threat model's norm: sign ∇L in Linf, ∇L/‖∇L‖₂ in L2.

    Args:
        threat: Linf, L2, L1, or Box.
        steps: iterations per restart.
        step_size: α in the units of the budget; None is `relative_step`·eps/steps.
        relative_step: None is 2.5, Madry et al.'s, for a constant step, and 20 for one that decays,
            which then begins at eps at most.
        restarts: independent starts; images fooled by one are not attacked by the next.
        start: "uniform" in the ball, "gaussian" with standard deviation eps and unprojected
            (Algorithm 1 of the nine-defences report), or "clean".
        loss: "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "margin", max_{j≠y} Z_j − Z_y, the negative of the
            criterion's margin; or "softmax-cross-entropy", as published.
        coordinates: L1 only: the largest coordinates that share a step (Tramèr and Boneh 2019,
            arXiv:1904.13000). A given number stays constant; None is one in a hundred, at least
            one, and decays as α does.
        schedule: "constant", or "cosine", with which α decays to 0 along half a cosine. None is
            constant in Linf and wherever a step is given, and cosine in L2 and L1: there constant
            steps of 2.5·eps/steps end short of the optimum even of a linear model.
        corners: in Linf every second restart begins at a corner of the ball, out of sight from
            within.

    >>> from saddlepoint.threat import L2
    >>> PGD(L2(0.5), steps=100).decays, PGD(L2(0.5), steps=100, step_size=0.0125).decays
    (True, False)
    """

    steps: Count = 20
    step_size: Positive | None = None
    relative_step: Positive | None = None
    restarts: Count = 1
    start: Start = "uniform"
    loss: Loss = "cross-entropy"
    coordinates: Count | None = None
    schedule: Literal["constant", "cosine"] | None = None
    corners: bool = added(True)

    paper = "Madry et al. 2018, arXiv:1706.06083"
    cost = "steps × restarts (20 × 1) each way, 1 forward per restart"
    paper_options: ClassVar[Mapping[str, Any]] = {
        "schedule": "constant", "loss": "softmax-cross-entropy", "corners": False,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "last" and self.restarts > 1:
            raise InputError('keep="last" returns the last restart alone; leave restarts at 1')

    @property
    def decays(self) -> bool:
        """Whether α decays to 0 along half a cosine."""
        if self.schedule is not None:
            return self.schedule == "cosine"
        free = self.step_size is None and self.relative_step is None
        return free and norm_of(self.threat) in ("L2", "L1")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        runs = (partial(self._run, tracker=tracker, restart=i) for i in range(self.restarts))
        each_stage(batch, tracker, runs)

    def _run(self, active: Batch, tracker: Tracker, restart: int) -> None:
        hundredth = math.prod(active.images.shape[1:]) // 100
        x = start_of(active, self.start, restart, corner=self.corners and restart % 2 == 1)
        # A Gaussian start is outside the ball: recorded, it would finish a sample for nothing.
        start_is_valid = self.start != "gaussian" or (active.starts is not None and restart == 0)
        # x_{t+1} = Π(x_t + α·d); the gradient call is also the forward pass that x_t is recorded by.
        for step in range(self.steps):
            logits, gradient = active.gradient(x, active.loss(self.loss))
            if step > 0 or start_is_valid:
                tracker.record(active, x, logits)
            active, (x, gradient) = tracker.compact(active, x, gradient)
            if not len(active):
                break  # all are fooled: `offer` has no sample left, and makes no pass
            decay = cosine(step, self.steps) if self.decays else 1.0
            alpha = decay * step_length(active, self.step_size, self._relative())
            k = self.coordinates or max(1, round(decay * hundredth))  # L1 only
            x = ascend(active, x, gradient, alpha, k)
        tracker.offer(active, x)

    def _relative(self) -> float:
        if self.relative_step is not None:
            return self.relative_step / self.steps
        return min(20 / self.steps, 1.0) if self.decays else 2.5 / self.steps


def nine_defences_pgd(
    threat: ThreatModel,
    *,
    steps: int = 4,
    step_size: float = 2 / 255,
    loss: Loss = "softmax-cross-entropy",
    eot_samples: int = 1,
    criterion: Criterion = Misclassified(),  # noqa: B008 - frozen, without state
) -> PGD:
    """Return Algorithm 1 of the nine-defences report: PGD from a Gaussian start, in sign steps, whose
    last iterate counts whatever came before.

    It works in normalised space: give `Rescaled(Linf(eps, -inf, inf), mean, std)`, and the
    bounds −2 and 2 for its optional clip. Its values are eps ∈ {4, 8, 12, 16}/255, α = 2/255, N =
    4; α is in the units of the budget.

    >>> from saddlepoint.threat import Linf, Rescaled
    >>> inf = float("inf")
    >>> cifar = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    >>> attack = nine_defences_pgd(Rescaled(Linf(8 / 255, -inf, inf), **cifar))
    >>> attack.start, attack.keep, attack.steps, str(attack.threat)
    ('gaussian', 'last', 4, 'Linf 8/255 (normalised space)')
    """
    return PGD(
        threat,
        steps=steps,
        step_size=step_size,
        start="gaussian",
        keep="last",
        stop="never",
        loss=loss,
        eot_samples=eot_samples,
        criterion=criterion,
    )


@dataclass(frozen=True, kw_only=True)
class BIM(FixedBudget):
    """The basic iterative method (I-FGSM): PGD from the clean image with α = eps/steps.

    Args:
        steps: iterations.
        step_size: α in the units of the budget; None is eps/steps.
        loss: "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "margin", max_{j≠y} Z_j − Z_y, the negative of the
            criterion's margin; or "softmax-cross-entropy", as published.

    >>> from saddlepoint.threat import Linf
    >>> BIM(Linf(8 / 255)).steps
    10
    """

    steps: Count = 10
    step_size: Positive | None = None
    loss: Loss = "cross-entropy"

    paper = "Kurakin et al. 2017, arXiv:1607.02533"
    cost = "steps (10) each way, 1 forward"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy"}

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run PGD from the clean image with a constant step."""
        PGD(  # the tracker and the guard have stop, keep and the rest already
            self.threat,
            steps=self.steps,
            step_size=self.step_size,
            relative_step=1.0,  # α = eps/steps
            start="clean",
            loss=self.loss,
            schedule="constant",
        ).perturb(batch, tracker)


@dataclass(frozen=True, kw_only=True)
class FGSM(FixedBudget):
    """The fast gradient sign method: x + eps·d, d the direction in which the loss rises most.

    In Linf x + eps·sign ∇L; in L2 x + eps·∇L/‖∇L‖₂; in L1 the whole budget on the largest
    coordinate.

    Args:
        loss: "cross-entropy", through its monotone log-odds log Σ_{j≠y} e^{Z_j} − Z_y, whose
            gradient does not vanish; "margin", max_{j≠y} Z_j − Z_y, the negative of the
            criterion's margin; or "softmax-cross-entropy", as published.

    >>> from saddlepoint.threat import Linf
    >>> FGSM(Linf(8 / 255)).loss
    'cross-entropy'
    """

    loss: Loss = "cross-entropy"

    paper = "Goodfellow et al. 2015, arXiv:1412.6572"
    cost = "2 forward, 1 backward"
    paper_options: ClassVar[Mapping[str, Any]] = {"loss": "softmax-cross-entropy"}

    @property
    def expected_steps(self) -> int:
        """The passes as a rule; see `Attack`."""
        return 2

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Take the one step."""
        x = start_of(batch, "clean", restart=0)
        _, gradient = batch.gradient(x, batch.loss(self.loss))
        tracker.offer(batch, ascend(batch, x, gradient, step_length(batch, None, 1.0), k=1))
