"""Do starts spread in the outputs find what the attacks do not?

From a start that moved a random weighting of the logits as far as it goes, ordinary images are seldom
fooled at once. Where many are, gradients of the logits lead where the gradient of the loss does not:
the loss is masked, by an imbalance of the logits for instance.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import Attack, FixedBudget
from saddlepoint.attacks.core.steps import ascend, start_of, step_length
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.evaluation.verdict.check import Control
from saddlepoint.option_values import Count
from saddlepoint.streams import Stream
from saddlepoint.threat import ThreatModel, counted


class DiversifiedStart(Control):
    """The survivors that seven steps along a random weighting of the logits fool.

    >>> from saddlepoint.threat import Linf
    >>> DiversifiedStart().attack(Linf(0.1)).steps
    7
    """

    name = "diversified-start"
    means = "Random directions of the logits fool images that the loss did not: the loss is masked."
    remedy = "Start attacks there, and raise other losses; --adaptive does."
    reference = "Tashiro et al. 2020, arXiv:2003.06878; Liu et al. 2022, arXiv:2203.05154"

    def attack(self, threat: ThreatModel) -> Attack | None:
        """Return the start; None where a budget counts, where there is no step."""
        return None if counted(threat) else OutputDiversified(threat)


@dataclass(frozen=True, kw_only=True)
class OutputDiversified(FixedBudget):
    """Steps of the whole budget that raise ⟨w, Z⟩, w uniform in [−1, 1] for each image (ODI).

    Reference: Tashiro et al. 2020, arXiv:2003.06878.

    >>> from saddlepoint.threat import Linf
    >>> OutputDiversified(Linf(0.1)).steps
    7
    """

    steps: Count = 7
    paper = "Tashiro et al. 2020, arXiv:2003.06878"

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Ascend, look, and keep."""
        alpha = step_length(batch, None, 1.0)
        x = start_of(batch, "uniform", 0)
        state: tuple[Tensor, ...] = (x, alpha)
        for _ in range(self.steps):
            x, alpha = state
            logits, gradient = batch.gradient(x, lambda z, b=batch: _weighted(b, z))  # type: ignore[misc]
            tracker.record(batch, x, logits)
            batch, state = tracker.compact(batch, x, alpha, gradient)
            if not len(batch):
                return
            x, alpha, gradient = state
            state = (ascend(batch, x, gradient, alpha, 1), alpha)
        tracker.offer(batch, state[0])


def _weighted(batch: Batch, logits: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
    w = 2 * batch.keys.split(Stream.CHECK).uniform(logits.shape[1:]) - 1
    return (w.to(logits) * logits.nan_to_num(neginf=0.0)).sum(1)
