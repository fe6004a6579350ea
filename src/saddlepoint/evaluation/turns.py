"""Whose turn it is: the attacks of a suite at every budget, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saddlepoint.attacks import Attack
from saddlepoint.evaluation.forecast import Stage
from saddlepoint.evaluation.once import runs_once, under
from saddlepoint.evaluation.suites import Suite
from saddlepoint.threat import ThreatModel, eps_of

EVERY = "every budget"
"""What the step of an attack that is run once is called by, in place of a budget's number."""


@dataclass(frozen=True)
class Turn:
    """An attack's turn at a budget.

    Attributes:
        level, number: of the budget and of the attack in the suite.
        stage: what is told of it.
        attack: at that budget.
        look: what is told of its first look; None where it takes none.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> pgd = PGD(Linf(0.1))
    >>> Turn(0, 0, Stage("pgd", "Linf 0.1", 40), pgd).step
    '0, pgd'
    """

    level: int
    number: int
    stage: Stage
    attack: Attack
    look: Stage | None = None

    @property
    def once(self) -> bool:
        """Whether it is run once for all budgets."""
        return runs_once(self.attack)

    @property
    def step(self) -> str:
        """The name of the step of work."""
        return step_name(EVERY if self.once else self.level, self.stage.attack)

    @property
    def look_step(self) -> str:
        """The name of its first look."""
        return f"{self.step}, first look"


def step_name(level: int | str, attack: str) -> str:
    """Return the name of a step of work: an attack at the budget of that number.

    >>> step_name(0, "pgd")
    '0, pgd'
    """
    return f"{level}, {attack}"


def turns_of(attacks: Suite, threats: Sequence[ThreatModel], *, looks: bool) -> tuple[Turn, ...]:
    """Return who has a turn; with a budget of 0 there is nothing to try.

    Args:
        attacks: in the order of their cost.
        threats: the budgets, ascending.
        looks: whether attacks that have a first look take it.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> threats = [Linf(0.0), Linf(0.1)]
    >>> [turn.step for turn in turns_of({"pgd": PGD(Linf(0.1))}, threats, looks=True)]
    ['1, pgd']
    """
    turns = []
    for level, threat in enumerate(threats):
        for number, (name, given) in enumerate(attacks.items()):
            if budget_of(threat) == 0:
                continue
            attack, look = under(given, threat), None
            if looks and attack.first_look:
                look = Stage(f"{name}, first look", str(threat), 0, level)
            stage = Stage(name, str(threat), attack.expected_steps, level)
            turns.append(Turn(level, number, stage, attack, look))
    return tuple(turns)


def budget_of(threat: ThreatModel) -> float:
    """Return the budget of a threat model; NaN where it has no single one.

    >>> from saddlepoint.threat import Linf
    >>> budget_of(Linf(0.5))
    0.5
    """
    return float(eps_of(threat, float("nan")))
