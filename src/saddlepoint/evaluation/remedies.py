"""What is done about what the checks found: attacks that see round what hides the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.core.forms import has_form
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.margin_decomposition import MarginDecomposition
from saddlepoint.attacks.fixed_budget.patch import PatchPGD
from saddlepoint.attacks.fixed_budget.sparse_rs import SparseRS
from saddlepoint.attacks.fixed_budget.square import Square
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.attacks.wrappers.at_budget import AtBudget
from saddlepoint.attacks.wrappers.bpda import BPDA
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.attacks.wrappers.restarted import Restarted
from saddlepoint.attacks.wrappers.smoothed import Smoothed
from saddlepoint.attacks.wrappers.straight_through import StraightThrough
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.evaluation.verdict.away_first import AwayFirst
from saddlepoint.threat import Normed, ThreatModel, norm_of

_BLIND = {
    "zero-gradient", "gradient-agreement", "unstable-loss", "smoothed-gradient", "unbounded", "noise",
    "black-box",
}  # fmt: skip
_ASTRAY = {"not-monotone", "one-step", "diversified-start", "another-start", "more-steps"}
_EOT = 20
TRANSFER = "transfer"
"""The name of the remedy that uses the surrogate."""


@dataclass(frozen=True)
class Remedy:
    """An attack that sees round something, and what it is.

    Attributes:
        name: of the remedy.
        attack: what is run on the survivors.
        samples: passes averaged at each step; 1 leaves those of the evaluation.

    >>> from saddlepoint.threat import Linf
    >>> Remedy("search without gradients", Square(Linf(0.1))).samples
    1
    """

    name: str
    attack: Attack
    samples: int = 1


class Logarithm(nn.Module):
    """The logarithm of a model's outputs, probabilities times some number.

    >>> Logarithm(nn.Identity())(torch.tensor([[1.0, 0.0]]))[0, 0]
    tensor(0.)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the logarithms; of 0 that of the smallest normal number."""
        outputs: Tensor = self.model(x)
        return outputs.clamp_min(torch.finfo(outputs.dtype).tiny).log()


def remedies(
    found: Sequence[str],
    threat: ThreatModel,
    model: nn.Module,
    hidden: Sequence[str],
    surrogate: nn.Module | None = None,
    searched: bool = False,
    named: bool = False,
) -> Iterator[Remedy]:
    """Yield what is to be tried for these findings, the cheapest first.

    Args:
        found: the names of the checks that found something.
        threat: the budget.
        model: whose outputs may need a logarithm.
        hidden: modules that hide the gradient.
        surrogate: another network of the same data, or None.
        searched: the evaluation has run AutoAttack's four already.
        named: somebody named the modules, and they are passed by whatever was found.

    >>> from saddlepoint.threat import Linf
    >>> [each.name for each in remedies(["probabilities"], Linf(0.1), nn.Identity(), ())]
    ['logarithm of the outputs', 'away from the boundary first', ..., 'search without gradients']
    >>> [each.name for each in remedies([], Linf(0.1), nn.Identity(), ())]
    []
    """
    names = set(found)
    blind, astray = bool(names & _BLIND), bool(names & _ASTRAY)
    if isinstance(threat, Normed) and norm_of(threat) == "L0":
        if names:
            sparse = AtBudget(SigmaZero(threat.with_eps(float("inf"))), threat)
            yield Remedy("restarts", Restarted(sparse, 5))
            yield Remedy("search without gradients", SparseRS(threat))
        return
    if norm_of(threat) == "Patches":
        if names:
            yield Remedy("restarts", PatchPGD(threat, restarts=20))
            yield Remedy("patches at random", PatchPGD(threat, restarts=5, chosen_by="random"))
        return
    if "repeatable" in names:
        yield Remedy("expectation over 20 draws", APGD(threat, steps=50), _EOT)
        yield Remedy("expectation, ratio", APGD(threat, steps=50, loss="dlr"), _EOT)
    if "probabilities" in names:
        yield Remedy("logarithm of the outputs", Transfer(Fast(threat), Logarithm(model)))
        yield Remedy("away from the boundary first", AwayFirst(threat))
        log = Transfer(AwayFirst(threat), Logarithm(model))
        yield Remedy("away first, on the logarithm", log)
    if names & {"logit-scale", "silent-success"}:
        yield Remedy("losses that do not depend on the scale, the best kept", Fast(threat))
    if hidden and (named or blind or "repeatable" in names):
        yield Remedy(f"BPDA on {', '.join(hidden)}", BPDA(Fast(threat, queries=0), tuple(hidden)))
    if blind:
        yield Remedy("straight through roundings", StraightThrough(Fast(threat, queries=0)))
    if blind or astray or "imbalance" in names:
        yield Remedy("one logit at a time", MarginDecomposition(threat))
    if surrogate is not None:
        yield Remedy(TRANSFER, Transfer(Fast(threat), surrogate))
    if blind or astray:
        yield Remedy("smoothed gradients", Smoothed(APGD(threat, steps=50, loss="margin")))
        if not searched:
            yield Remedy("more steps", APGD(threat, steps=100, loss="dlr-targeted", targets=9))
        yield Remedy("restarts", APGD(threat, steps=50, restarts=10, loss="margin"))
    if not searched and (blind or astray or "probabilities" in names) and has_form(Square, threat):
        yield Remedy("search without gradients", Square(threat))
