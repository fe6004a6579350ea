"""The attack of the nine-defences report."""

from __future__ import annotations

from saddlepoint.attacks.core.criteria import Criterion, Loss, Misclassified
from saddlepoint.attacks.fixed_budget.pgd import PGD
from saddlepoint.threat import ThreatModel


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
