"""The rows in which what was found is printed, drawn and reported."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from saddlepoint.answers import class_name
from saddlepoint.evaluation.breakdown import AttackShare, Budget, ClassShare
from saddlepoint.evaluation.decision import Decision
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.tables import Table
from saddlepoint.threat import format_eps

_MOST_TOLD = 3  # classes that images of a class become


def budget_text(eps: float) -> str:
    """Return a budget as people write it, 0.2 and not 51/255; a dash where there is no single one.

    >>> budget_text(8 / 255), budget_text(0.2), budget_text(math.nan)
    ('8/255', '0.2', '–')
    """
    if math.isnan(eps):
        return "–"
    short = f"{eps:.6g}"
    return short if len(short) <= len("0.25") else format_eps(eps)


def norm_text(config: Mapping[str, Any]) -> str:
    """Return the norm of an evaluation's budgets, by its configuration.

    >>> norm_text({"threat": "Linf 8/255"}), norm_text({"threat": {"type": "Patches", "size": 4}})
    ('Linf', 'Patches(4×4)')
    """
    threat = config.get("threat", "Linf")
    if not isinstance(threat, Mapping):
        return str(threat).partition(" ")[0]
    size = threat.get("size")
    return f"{threat.get('type', '')}" + ("" if size is None else f"({size}×{size})")


def passes_text(forwards: float, backwards: float) -> str:
    """Return passes per image, forward + backward.

    >>> passes_text(3, 1.25)
    '3.0 + 1.2'
    """
    return f"{forwards:.1f} + {backwards:.1f}"


def budget_table(
    clean: Proportion,
    budgets: Sequence[Budget],
    notes: tuple[str, ...] = (),
    *,
    partial: bool = False,
) -> Table:
    """Return a row per budget.

    Passes are of this budget alone; an image fooled at a smaller one costs nothing here.

    Args:
        partial: attacks are left, so that robust accuracies are upper bounds.
    """
    robust = ("robust accuracy", "attack success")
    if partial:
        robust = ("robust accuracy at most", "attack success at least")
    columns = ("eps", "clean accuracy", *robust, "passes per image")
    rows = [
        (
            budget_text(each.eps),
            str(clean),
            str(each.robust_accuracy),
            str(each.success),
            passes_text(each.forwards, each.backwards),
        )
        for each in budgets
    ]
    return Table(f"clean accuracy {clean}", columns, rows, notes)


def decision_table(
    clean: Proportion,
    budget: Budget,
    decision: Decision,
    notes: tuple[str, ...] = (),
    left: str = "",
) -> Table:
    """Return the row of a question that is asked of some of the images.

    Args:
        left: what was not done.
    """
    columns = (
        "eps",
        "clean accuracy",
        "seen",
        "robust of these",
        "robust of all",
        "passes per image",
    )
    seen = f"{decision.seen:,} of {clean.total:,}"
    of_seen = f"{100 * decision.share.value:.1f} %" if decision.seen else "–"
    low, high = (100 * each for each in decision.bounds.shares)
    of_all = f"[{low:.1f}, {high:.1f}] %"
    passes = passes_text(budget.forwards, budget.backwards)
    row = (budget_text(budget.eps), str(clean), seen, of_seen, of_all, passes)
    return Table(f"{decision}; no verdict", columns, [row], (*notes, left))


def attack_table(shares: Sequence[AttackShare], *, partial: bool = False) -> Table:
    """Return a row per budget and attack: what each of them added; `partial` where attacks are left."""
    after = "robust accuracy at most, after" if partial else "robust accuracy after"
    columns = ("eps", "attack", "attacked", "fooled", after, "passes per image")
    rows = [
        (
            budget_text(each.eps),
            each.attack,
            f"{each.attacked:,}",
            f"{each.fooled:,}",
            str(each.robust_accuracy),
            passes_text(each.forwards, each.backwards),
        )
        for each in shares
    ]
    return Table("which attack broke what", columns, rows)


def class_table(shares: Sequence[ClassShare], eps: Sequence[float], names: Sequence[str]) -> Table:
    """Return a row per class, with its robust accuracy at every budget and what it becomes at the
    largest.
    """
    columns = (
        "class",
        "images",
        "clean accuracy",
        *(f"robust at {budget_text(each)}" for each in eps),
        "becomes",
    )

    rows = [
        (
            each.name,
            f"{each.clean.total:,}",
            str(each.clean),
            *map(str, each.robust),
            ", ".join(
                f"{class_name(names, k)} ({n:,})" for k, n in [*each.becomes.items()][:_MOST_TOLD]
            ),
        )
        for each in shares
    ]
    return Table("accuracy by class", columns, rows)
