"""What an evaluation whose time was up has left to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from saddlepoint.evaluation.decision import Decision
from saddlepoint.evaluation.tables import budget_text

CHECKS, BESIDE = "the checks", "what was asked for beside the checks"
"""What may be left when no attack is: then the robust accuracy is that of the suite."""


@dataclass(frozen=True)
class Left:
    """An attack that some images still have before them, or the checks.

    Attributes:
        eps: the budget; NaN where it has no single one.
        attack: its name in the suite, or `CHECKS`, or `BESIDE`.
        images: at most so many, since those that are fooled before drop out.

    >>> str(Left(0.5, "pgd", 340))
    'pgd at eps 0.5 on up to 340 images'
    """

    eps: float
    attack: str
    images: int

    def __str__(self) -> str:
        at = "" if self.eps != self.eps else f" at eps {budget_text(self.eps)}"
        return f"{self.attack}{at} on up to {self.images:,} images"

    def json(self) -> dict[str, Any]:
        """Return it as JSON values.

        >>> Left(0.5, "pgd", 340).json()
        {'eps': 0.5, 'attack': 'pgd', 'images': 340}
        """
        eps = None if self.eps != self.eps else self.eps
        return {"eps": eps, "attack": self.attack, "images": self.images}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Left:
        """Return what `json` described.

        >>> Left.of_json({"eps": 0.5, "attack": "pgd", "images": 340}).images
        340
        """
        eps = float("nan") if values["eps"] is None else float(values["eps"])
        return cls(eps, str(values["attack"]), int(values["images"]))


def attacks_left(left: Sequence[Left]) -> bool:
    """Return whether an attack is left, so that every robust accuracy is an upper bound.

    >>> attacks_left([Left(0.5, "pgd", 340)]), attacks_left([Left(float("nan"), CHECKS, 64)])
    (True, False)
    """
    return any(each.attack not in (CHECKS, BESIDE) for each in left)


def left_note(left: Sequence[Left], decision: Decision | None = None) -> str:
    """Return what is left in one line.

    Args:
        decision: what the evaluation was asked, if anything.

    >>> left_note([Left(0.5, "pgd", 340)])
    'the time was up: every robust accuracy is an upper bound; left is pgd at eps 0.5 on up to 340 images'
    >>> left_note([Left(float("nan"), CHECKS, 64)])
    'the time was up before the verdict; left is the checks on up to 64 images'
    """
    parts = "; ".join(map(str, left))
    if decision is not None and decision.answer is not None and attacks_left(left):
        return f"ended by the answer; left is {parts}"
    if attacks_left(left):
        return f"the time was up: every robust accuracy is an upper bound; left is {parts}"
    whole = "before the verdict" if left and left[0].attack == CHECKS else "after the verdict"
    return f"the time was up {whole}; left is {parts}"


def summed(left: Iterable[Left]) -> tuple[Left, ...]:
    """Return what is left of several groups of images, as of all of them, in the order of budgets.

    >>> summed([Left(0.5, "pgd", 3), Left(0.5, "pgd", 4)])
    (Left(eps=0.5, attack='pgd', images=7),)
    """
    images: dict[tuple[str, str], Left] = {}
    for each in left:
        key = (str(each.eps), each.attack)
        before = images[key].images if key in images else 0
        images[key] = Left(each.eps, each.attack, before + each.images)
    return tuple(
        sorted(images.values(), key=lambda each: 0.0 if each.eps != each.eps else each.eps)
    )
