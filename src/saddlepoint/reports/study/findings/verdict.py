"""From paired numbers of several seeds to a verdict on a claim.

A claim holds where the tests over seeds show it, does not hold where they show the contrary, and
cannot be told otherwise: numbers in the right order, or without significant difference, show
nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from saddlepoint.evaluation.comparison import holm, paired_t_test, probability
from saddlepoint.reports.study.cells import Cells, mean, paired_by_seed

Verdict = Literal["holds", "does not hold", "cannot be told", "not in this study"]
Pair: TypeAlias = tuple[str, str]

SIGNIFICANT = 0.05  # the usual level, also of the middle star of the nine-defences report
FEWEST_SEEDS = 2  # one seed has no spread, and so no test


@dataclass(frozen=True)
class Finding:
    """A finding of the nine-defences report, and what this study says about it.

    Attributes:
        statement: of that report.
        verdict: "holds", "does not hold", "cannot be told" or "not in this study".
        evidence: what was computed, and the numbers.

    >>> Finding("success saturates in eps", "cannot be told", "One budget.").verdict
    'cannot be told'
    """

    statement: str
    verdict: Verdict
    evidence: str


class Undecided(Exception):  # noqa: N818 - no error of anybody's
    """Why a claim has no verdict by the numbers.

    >>> Undecided("One budget.").verdict
    'cannot be told'
    """

    def __init__(self, why: str, verdict: Verdict = "cannot be told") -> None:
        super().__init__(why)
        self.verdict = verdict


def absent(needed: str) -> Undecided:
    """Return what a study without the variants that a claim is about raises.

    >>> print(absent("three budgets"))
    It needs three budgets.
    """
    return Undecided(f"It needs {needed}.", "not in this study")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on a claim with several parts, all of which must hold.

    >>> worst(["holds", "cannot be told"]), worst(["cannot be told", "does not hold"]), worst([])
    ('cannot be told', 'does not hold', 'not in this study')
    """
    given = list(verdicts)
    order: tuple[Verdict, ...] = ("does not hold", "cannot be told", "not in this study", "holds")
    return next((each for each in order if each in given), "not in this study")


def ordered(
    cells: dict[str, Cells],
    pairs: Sequence[Pair],
    alternative: Literal["greater", "less"],
    unit: str = "%",
    factor: float = 1.0,
) -> tuple[Verdict, str]:
    """Test whether the first of every pair is above ("greater") or below ("less") the second.

    One-sided paired t-tests on per-seed means. All pairs must pass, so that each is tested at the
    full level (an intersection-union test); a single one that goes the other way after Holm's
    correction refutes the claim.

    Args:
        cells: the numbers of each variant by (seed, eps).
        pairs: of variants.
        alternative: the direction that is claimed.
        unit: "%" for shares; another is written behind the numbers.
        factor: the second of each pair is multiplied by it: the margin of "clearly greater".

    Reference: Berger 1982, "Multiparameter hypothesis testing and acceptance sampling".

    >>> cells = {"a": {(s, 0.1): 0.3 + s / 100 for s in range(4)}, "b": {(s, 0.1): 0.5 for s in range(4)}}
    >>> ordered(cells, [("a", "b")], "less")
    ('holds', 'a 31.5 % against b 50.0 % (p <0.001 over 4 seeds)')
    """
    samples = {
        pair: paired_by_seed(cells.get(pair[0], {}), cells.get(pair[1], {})) for pair in pairs
    }
    for (a, b), (values, _) in samples.items():
        if len(values) < FEWEST_SEEDS:
            return "cannot be told", _too_few(a, b, len(values))
    scaled = {pair: (x, [factor * each for each in y]) for pair, (x, y) in samples.items()}
    tests = {pair: paired_t_test(x, y, alternative) for pair, (x, y) in scaled.items()}
    opposite: Literal["greater", "less"] = "less" if alternative == "greater" else "greater"
    against = holm([paired_t_test(x, y, opposite).p for x, y in scaled.values()])
    sign = 1 if alternative == "greater" else -1

    def text(pair: Pair, p: float | None) -> str:
        x, y = ({(i, 0.0): v for i, v in enumerate(each)} for each in samples[pair])
        found = f"p {_p(p)} over {len(x)} seeds" if p is not None else tests[pair].note
        numbers = f"{amount(mean(x), unit)} against {pair[1]} {amount(mean(y), unit)}"
        return f"{pair[0]} {numbers} ({found})"

    refuted = [
        pair for pair, p in zip(tests, against, strict=True) if p is not None and p < SIGNIFICANT
    ]
    if refuted:
        return "does not hold", f"the other way round: {text(refuted[0], tests[refuted[0]].p)}"
    equal = [pair for pair, test in tests.items() if test.p is None]
    contrary = [pair for pair in equal if sign * tests[pair].mean_difference <= 0]
    if contrary:
        return "does not hold", text(contrary[0], None)
    if equal:
        return "cannot be told", text(equal[0], None)
    nearest = max(tests, key=lambda pair: tests[pair].p or 0.0)
    p = tests[nearest].p
    shown = text(nearest, p)
    if len(pairs) > 1:
        right = sum(sign * test.mean_difference > 0 for test in tests.values())
        shown = f"{right} of {len(pairs)} pairs are in this order, the least clear is {shown}"
    return ("holds" if p is not None and p < SIGNIFICANT else "cannot be told"), shown


def alike(cells: dict[str, Cells], pairs: Sequence[Pair], margin: float) -> tuple[Verdict, str]:
    """Test whether the two of every pair differ by less than a margin.

    Two one-sided paired t-tests on per-seed means, against −margin and +margin: that a difference
    is not significant would not show that there is none. A single pair that is further apart than
    the margin, after Holm's correction, refutes the claim.

    Reference: Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability".

    >>> cells = {"a": {(s, 0.1): 0.5 + s / 1000 for s in range(4)}, "b": {(s, 0.1): 0.5 for s in range(4)}}
    >>> alike(cells, [("a", "b")], 0.05)
    ('holds', 'the largest difference is 0.2 points, of a and b; all are shown to be below 5 points')
    """
    inside: list[float] = []
    outside: list[float] = []
    differences: dict[Pair, float] = {}
    for a, b in pairs:
        x, y = paired_by_seed(cells.get(a, {}), cells.get(b, {}))
        if len(x) < FEWEST_SEEDS:
            return "cannot be told", _too_few(a, b, len(x))
        differences[a, b] = paired_t_test(x, y).mean_difference
        above, below = [each + margin for each in y], [each - margin for each in y]
        upper, lower = paired_t_test(x, above, "less"), paired_t_test(x, below, "greater")
        if upper.p is None or lower.p is None:  # the difference is the same in every seed
            is_inside = abs(differences[a, b]) <= margin
            inside.append(0.0 if is_inside else 1.0)
            outside.append(1.0 if is_inside else 0.0)
        else:
            inside.append(max(upper.p, lower.p))
            # Beyond either margin: the smaller of two one-sided tests, doubled.
            outside.append(min(1.0, 2 * min(1 - upper.p, 1 - lower.p)))
    refuted = any(p is not None and p < SIGNIFICANT for p in holm(outside))
    a, b = max(differences, key=lambda pair: abs(differences[pair]))
    text = f"the largest difference is {100 * abs(differences[a, b]):.1f} points, of {a} and {b}"
    if refuted:
        return "does not hold", f"{text}, more than {100 * margin:g} points beyond noise"
    if max(inside) < SIGNIFICANT:
        return "holds", f"{text}; all are shown to be below {100 * margin:g} points"
    return "cannot be told", f"{text}; {100 * margin:g} points are not excluded"


def amount(value: float, unit: str = "%") -> str:
    """Return a number with its unit: a share as a percentage, else three digits.

    >>> amount(0.1234), amount(1.23456, "epochs"), amount(2.0, "")
    ('12.3 %', '1.23 epochs', '2')
    """
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.3g} {unit}".rstrip()


def _too_few(a: str, b: str, seeds: int) -> str:
    return (
        f"{a} and {b} have these numbers for {seeds} seeds in common, and {FEWEST_SEEDS} are needed"
    )


def _p(p: float) -> str:
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
