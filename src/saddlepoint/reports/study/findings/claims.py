"""A claim of the nine-defences report: its statement, and a function that judges it by a study."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from saddlepoint.reports.study.findings.measures import Measures
from saddlepoint.reports.study.findings.verdict import Finding, Undecided, Verdict

Judged: TypeAlias = tuple[Verdict, str]
"""A verdict and its evidence."""


def claim(
    statement: str,
) -> Callable[[Callable[[Measures], Judged]], Callable[[Measures], Finding]]:
    """Return a decorator: from a function that judges the claim to one that returns the finding.

    >>> from saddlepoint.reports.study.findings.measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> @claim("Nothing is robust.")
    ... def nothing(m):
    ...     return "cannot be told", "It was not attacked."
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> nothing(measures(results)).verdict
    'cannot be told'
    """

    def decorate(judge: Callable[[Measures], Judged]) -> Callable[[Measures], Finding]:
        @functools.wraps(judge)
        def finding(m: Measures) -> Finding:
            try:
                return Finding(statement, *judge(m))
            except Undecided as error:
                return Finding(statement, error.verdict, str(error))

        return finding

    return decorate
