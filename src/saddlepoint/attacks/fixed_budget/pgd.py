"""PGD and its two simplest relatives, FGSM and BIM: steps along the steepest direction,
projected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.criteria import LOSSES, Loss
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.steps import STARTS, Start, ascend, cosine, start_of, step_length
from saddlepoint.attacks.core.tracker import Keeper
from saddlepoint.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PGD(Attack):
    """Projected gradient descent: x ← Π(x + α·d), d the steepest step of the loss in the norm.

    Args:
        threat: Linf, L2, L1, or Box.
        steps: iterations per restart.
        step_size: α in the units of the budget; None is `relative_step`·eps/steps.
        relative_step: None is 2.5, Madry et al.'s, for a constant step, and 20 for a falling one,
            which then begins at eps at most.
        restarts: independent starts; images fooled by one are not attacked by the next. In Linf
            every second one is a corner of the ball.
        start: "uniform" in the ball, "gaussian" with deviation eps and unprojected (the report's
            Algorithm 1), or "clean".
        loss: "cross-entropy", or "margin" (max_{j≠y} Z_j − Z_y), whose gradient does not vanish for
            confident models.
        coordinates: L1 only: the largest coordinates that share a step (Tramèr and Boneh 2019,
            arXiv:1904.13000); None is one in a hundred, at least one, and falls as α does.
        schedule: "constant", or "cosine", with which α falls to 0 along half a cosine. None is
            constant in Linf and wherever a step is given, and cosine in L2 and L1: there a
            constant step of 2.5·eps/steps in all ends short of the optimum even of a linear model.

    Reference: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083.

    >>> from saddlepoint.threat import L2
    >>> PGD(L2(0.5), steps=100).falling, PGD(L2(0.5), steps=100, step_size=0.0125).falling
    (True, False)
    """

    steps: int = 20
    step_size: float | None = None
    relative_step: float | None = None
    restarts: int = 1
    start: Start = "uniform"
    loss: Loss = "cross-entropy"
    coordinates: int | None = None
    schedule: Literal["constant", "cosine"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps", "restarts")
        if self.coordinates is not None:
            self._at_least_one("coordinates")
        check_loop(self.step_size, self.relative_step, self.start, self.loss)
        if self.schedule not in (None, "constant", "cosine"):
            raise InputError(f'schedule is "{self.schedule}"; it is "constant" or "cosine"')
        if self.keep == "last" and self.restarts > 1:
            raise InputError('keep="last" returns the last restart alone; leave restarts at 1')

    @property
    def falling(self) -> bool:
        """Whether the step falls along the cosine."""
        if self.schedule is not None:
            return self.schedule == "cosine"
        free = self.step_size is None and self.relative_step is None
        return free and getattr(self.threat, "norm_name", "") in ("L2", "L1")

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        for restart in range(self.restarts):
            active = best.unfinished(batch)
            if not len(active):
                return
            stage(active, best, partial(self._run, active, best, restart))

    def _run(self, active: Batch, best: Keeper, restart: int) -> None:
        hundredth = math.prod(active.images.shape[1:]) // 100
        x = start_of(active, self.start, restart, corner=restart % 2 == 1)
        inside = self.start != "gaussian" or (active.starts is not None and restart == 0)
        for step in range(self.steps):
            logits, gradient = active.gradient(x, active.loss(self.loss))
            # A Gaussian start is outside the ball: kept, it would finish a sample for nothing.
            if step > 0 or inside:
                best.record(active, x, logits)
            active, (x, gradient) = best.compact(active, x, gradient)
            if not len(active):
                break
            fall = cosine(step, self.steps) if self.falling else 1.0
            alpha = fall * step_length(active, self.step_size, self._relative())
            k = self.coordinates or max(1, round(fall * hundredth))
            x = ascend(active, x, gradient, alpha, k)
        best.last(active, x)

    def _relative(self) -> float:
        if self.relative_step is not None:
            return self.relative_step / self.steps
        return min(20 / self.steps, 1.0) if self.falling else 2.5 / self.steps


@dataclass(frozen=True, kw_only=True)
class BIM(Attack):
    """The basic iterative method (I-FGSM): PGD from the clean image with α = eps/steps.

    Args:
        steps: iterations.
        step_size: α in the units of the budget; None is eps/steps.
        loss: "cross-entropy" or "margin".

    Reference: Kurakin, Goodfellow and Bengio 2017, arXiv:1607.02533.

    >>> from saddlepoint.threat import Linf
    >>> BIM(Linf(8 / 255)).steps
    10
    """

    steps: int = 10
    step_size: float | None = None
    loss: Loss = "cross-entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one("steps")
        check_loop(self.step_size, 1.0, "clean", self.loss)

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Run PGD without a random start."""
        PGD(
            self.threat,
            steps=self.steps,
            step_size=self.step_size,
            relative_step=1.0,
            start="clean",
            loss=self.loss,
            schedule="constant",
        ).perturb(batch, best)


@dataclass(frozen=True, kw_only=True)
class FGSM(Attack):
    """The fast gradient sign method: one steepest step of length eps from the clean image.

    In Linf x + eps·sign ∇L; in L2 x + eps·∇L/‖∇L‖₂; in L1 the whole budget on the largest
    coordinate.

    Args:
        loss: "cross-entropy" or "margin".

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572.

    >>> from saddlepoint.threat import Linf
    >>> FGSM(Linf(8 / 255)).loss
    'cross-entropy'
    """

    loss: Loss = "cross-entropy"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loop(None, 1.0, "clean", self.loss)

    def perturb(self, batch: Batch, best: Keeper) -> None:
        """Take the one step."""
        x = start_of(batch, "clean", restart=0)
        _, gradient = batch.gradient(x, batch.loss(self.loss))
        best.last(batch, ascend(batch, x, gradient, step_length(batch, None, 1.0), k=1))


def check_loop(step_size: float | None, relative: float | None, start: str, loss: str) -> None:
    """Raise `InputError` for a step that is not positive, or an unknown start or loss.

    >>> check_loop(-1.0, 1.0, "clean", "margin")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: step_size is -1.0; give a positive number
    """
    for name, value in (("step_size", step_size), ("relative_step", relative)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} is {value}; give a positive number")
    if start not in STARTS:
        raise InputError(f'start is "{start}"; it is one of {", ".join(STARTS)}')
    if loss not in LOSSES:
        raise InputError(f'loss is "{loss}"; it is one of {", ".join(LOSSES)}')
