"""How models compare on the same images: values that print as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saddlepoint.evaluation.cochran import Cochran
from saddlepoint.evaluation.comparison import probability
from saddlepoint.evaluation.mcnemar import McNemar
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.tables import Shown, Table


@dataclass(frozen=True)
class PairComparison:
    """How two models differ at one budget.

    Attributes:
        first, second: the models.
        test: McNemar's exact test; `b` images only the first resists, `c` only the second.
        corrected: its p-value, corrected for the pairs at this budget (Holm).
        power: the chance that the test tells two models apart on as many images, if they differ on
            such shares of all images; None where neither is ahead.
        needed: images that give the power asked for; None where neither is ahead, and where more
            than ten million would be needed.

    >>> PairComparison("a", "b", McNemar(4, 4, 1.0), 1.0, None, None).needed is None
    True
    """

    first: str
    second: str
    test: McNemar
    corrected: float
    power: float | None
    needed: int | None

    def json(self) -> dict[str, Any]:
        """Return the numbers as JSON values.

        >>> PairComparison("a", "b", McNemar(4, 4, 1.0), 1.0, None, None).json()["only_first"]
        4
        """
        return {
            "first": self.first,
            "second": self.second,
            "only_first": self.test.b,
            "only_second": self.test.c,
            "p": self.test.p,
            "p_holm": self.corrected,
            "power": self.power,
            "images_needed": self.needed,
        }


@dataclass(frozen=True)
class BudgetComparison:
    """How models compare at one budget, or before any attack.

    Attributes:
        eps: the budget; None before any attack, NaN where it is no single number.
        accuracy: of each model, robust at the budget.
        cochran: the test of all of them at once; None of two.
        pairs: every two of them.

    >>> BudgetComparison(None, {"a": Proportion(9, 10)}, None, ()).name
    'clean'
    """

    eps: float | None
    accuracy: Mapping[str, Proportion]
    cochran: Cochran | None
    pairs: tuple[PairComparison, ...]

    @property
    def name(self) -> str:
        """The budget as people write it, or "clean"."""
        return "clean" if self.eps is None else budget_text(self.eps)

    def json(self) -> dict[str, Any]:
        """Return the numbers as JSON values; a budget that is no single number is null.

        >>> BudgetComparison(0.5, {}, None, ()).json()["eps"]
        0.5
        """
        test = self.cochran
        told = self.eps is not None and math.isfinite(self.eps)
        return {
            "eps": self.eps if told else None,
            "accuracy": {name: each.json() for name, each in self.accuracy.items()},
            "cochran": None if test is None else {"q": test.q, "p": test.p},
            "pairs": [each.json() for each in self.pairs],
        }


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Shown):
    """How models compare on the same images; prints as tables.

    Attributes:
        data: name, split, number and fingerprint of the images.
        threat: the norm and the space of the budgets.
        clean: before any attack.
        budgets: one entry per common budget, ascending.
        asked: the power that `needed` images give.
        notes: what a reader must know to trust the numbers.

    >>> clean = BudgetComparison(None, {"a": Proportion(9, 10), "b": Proportion(8, 10)}, None, ())
    >>> data = {"name": "digits", "split": "test", "images": 10}
    >>> print(ModelComparison(data, "Linf", clean, (), 0.8, ()).accuracy_table().text())
    2 models on the same 10 images of digits test, Linf, with 95 % Wilson intervals
    model       clean accuracy
    --------------------------
    a      90.0 % [59.6, 98.2]
    b      80.0 % [49.0, 94.3]
    """

    data: Mapping[str, Any]
    threat: str
    clean: BudgetComparison
    budgets: tuple[BudgetComparison, ...]
    asked: float
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[BudgetComparison, ...]:
        """Before any attack, and every budget."""
        return self.clean, *self.budgets

    def accuracy_table(self) -> Table:
        """Return a row per model: its accuracy, clean and at every budget."""
        models = self.clean.accuracy
        columns = ("model", "clean accuracy", *(f"robust at {each.name}" for each in self.budgets))
        rows = [(name, *(str(each.accuracy[name]) for each in self.all)) for name in models]
        data = self.data
        title = (
            f"{len(models)} models on the same {data['images']:,} images of {data['name']}"
            f" {data['split']}, {self.threat}, with 95 % Wilson intervals"
        )
        return Table(title, columns, rows)

    def cochran_table(self) -> Table:
        """Return a row per budget: whether all models are right as often; empty of two."""
        rows = [
            (each.name, f"{each.cochran.q:.2f}", probability(each.cochran.p))
            for each in self.all
            if each.cochran is not None
        ]
        return Table("are all right as often? Cochran's test", ("eps", "Q", "p"), rows)

    def pair_table(self) -> Table:
        """Return a row per budget and pair of models; the notes stand below it."""
        several = len(self.clean.pairs) > 1
        images = f"images for {100 * self.asked:g} %"
        columns = (
            "eps", "first", "second", "only first", "only second", "p",
            *(["p (Holm)"] if several else []),
            "power", images,
        )  # fmt: skip
        rows = [
            (
                level.name,
                pair.first,
                pair.second,
                f"{pair.test.b:,}",
                f"{pair.test.c:,}",
                probability(pair.test.p),
                *([probability(pair.corrected)] if several else []),
                "–" if pair.power is None else f"{pair.power:.2f}",
                "–" if pair.needed is None else f"{pair.needed:,}",
            )
            for level in self.all
            for pair in level.pairs
        ]
        holm = (
            f", Holm's correction for the {len(self.clean.pairs)} pairs within a budget"
            if several
            else ""
        )
        notes = (
            "only first, only second: images that one alone is right on, under attack too",
            "power, with as many images, and the images that it takes are of one test at the level 0.05,"
            " and suppose that the models differ on the shares seen here; –: neither is ahead, or"
            " more than ten million images",
            *self.notes,
        )
        title = f"which of two is right more often? McNemar's exact test{holm}"
        return Table(title, columns, rows, notes)

    def tables(self) -> Sequence[Table]:
        """Return the tables that a comparison prints as."""
        three = [self.cochran_table()] if self.clean.cochran is not None else []
        return self.accuracy_table(), *three, self.pair_table()

    def json(self) -> dict[str, Any]:
        """Return the comparison as JSON values.

        >>> clean = BudgetComparison(None, {"a": Proportion(9, 10)}, None, ())
        >>> ModelComparison({}, "Linf", clean, (), 0.8, ()).json()["models"]
        ['a']
        """
        return {
            "models": list(self.clean.accuracy),
            "data": dict(self.data),
            "threat": self.threat,
            "clean": self.clean.json(),
            "budgets": [each.json() for each in self.budgets],
            "power": self.asked,
            "notes": list(self.notes),
        }
