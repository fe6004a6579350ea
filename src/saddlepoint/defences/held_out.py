"""What a training looks at besides its loss: catastrophic overfitting, and the best epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saddlepoint.option_values import Count, Fraction, Natural, check_fields


@dataclass(frozen=True)
class Watch:
    """A watch for catastrophic overfitting: the accuracy under PGD of a few images, after each epoch.

    Single-step training may fit its own attack within an epoch and lose all robustness to others.
    The images are validation ones where there is a split, else training ones, at least 60, and so
    few, or looked at so seldom, that they cost less than 3 % of single-step training. The weights as
    they are and their average are looked at.

    Args:
        on_collapse: "warn" says so and goes on; "stop" ends the training with the last weights that
            were sound (Wong et al. 2020, arXiv:2001.03994); "roll-back" goes back to them and on
            with something changed, since draws are functions of (seed, epoch, step) and the same
            would happen again.
        change: "learning-rate" halves it, "noise" makes that of N-FGSM half as wide again.
        fall: of the accuracy below its best so far, which counts as a collapse.
        gap: so far below the accuracy in training, and below guessing besides, it counts as one too:
            some networks are collapsed from the first look on. While no look was sound, a roll-back
            begins anew, and "stop", or one roll-back too many, warns and goes on.
        steps: of PGD, each of a quarter of the budget.
        most: times that are rolled back; the next collapse stops the training.

    >>> Watch(on_collapse="roll-back").most
    2
    """

    on_collapse: Literal["warn", "stop", "roll-back"] = "warn"
    change: Literal["learning-rate", "noise"] = "learning-rate"
    fall: Fraction = 0.2
    gap: Fraction = 0.5
    steps: Count = 5
    most: Natural = 2

    def __post_init__(self) -> None:
        check_fields(self, "watch")


@dataclass(frozen=True)
class Validation:
    """Training images that are held out: the best epoch by them is kept beside the last.

    Robust accuracy falls late in training while the loss still does (Rice, Wong and Kolter 2020,
    arXiv:2002.11569). It is that under PGD at the objective's budget, or the clean one where it has
    none; of the averaged weights where there are such.

    Args:
        share: of the training images.
        patience: epochs without a better one that end the training; None never does.
        steps: of PGD, of 2.5·ε/steps each.

    >>> Validation(share=1.5)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: validation: share is 1.5; give a number in (0, 1)
    """

    share: Fraction = 0.1
    patience: Count | None = None
    steps: Count = 10

    def __post_init__(self) -> None:
        check_fields(self, "validation")
