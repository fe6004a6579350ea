"""What an evaluation whose time was up has left to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saddlepoint.evaluation.tables import budget_text


@dataclass(frozen=True)
class Left:
    """An attack that some images still have before them.

    Attributes:
        eps: the budget; NaN where it has no single one.
        attack: its name in the suite.
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


def left_note(left: Sequence[Left]) -> str:
    """Return what is left in one line.

    >>> left_note([Left(0.5, "pgd", 340)])
    'the time was up: every robust accuracy is an upper bound; left is pgd at eps 0.5 on up to 340 images'
    """
    parts = "; ".join(map(str, left))
    return f"the time was up: every robust accuracy is an upper bound; left is {parts}"
