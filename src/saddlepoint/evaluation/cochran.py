"""Cochran's test of several models on the same images, and which of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from saddlepoint.errors import InputError
from saddlepoint.evaluation.comparison import holm
from saddlepoint.evaluation.mcnemar import McNemar, mcnemar_test


class Cochran(NamedTuple):
    """How several models differ on the same images.

    Attributes:
        q: the statistic, χ² with one degree of freedom less than models; 0 where all are right on
            the same images.
        p: of the test that all are right as often.
        pairs: McNemar's test of every two models.
        corrected: the p-values of the pairs, corrected for their number (Holm).

    >>> Cochran(0.0, 1.0, {}, {}).p
    1.0
    """

    q: float
    p: float
    pairs: Mapping[tuple[str, str], McNemar]
    corrected: Mapping[tuple[str, str], float]


def cochran_test(right: Mapping[str, Sequence[bool]]) -> Cochran:
    """Return Cochran's Q test of three models or more, and of every two of them.

    It speaks of these trained models on images like these; see `mcnemar_test`.

    Args:
        right: by model, (n,) booleans, image by image.

    Raises `InputError` for fewer than three models, and as `mcnemar_test` does.

    Reference: Cochran 1950, "The comparison of percentages in matched samples".

    >>> a, b, c = [True] * 8, [True] * 6 + [False] * 2, [False] * 7 + [True]
    >>> test = cochran_test({"a": a, "b": b, "c": c})
    >>> round(test.q, 2), round(test.p, 4)
    (9.75, 0.0076)
    >>> test.pairs["a", "c"].b, round(test.corrected["a", "c"], 3)
    (7, 0.047)
    """
    if len(right) < 3:
        raise InputError(f"{len(right)} models; two are compared by mcnemar_test, none by anything")
    pairs = {
        (a, b): mcnemar_test(right[a], right[b]) for a, b in combinations(right, 2)
    }  # which also checks the answers
    corrected = [p for p in holm([test.p for test in pairs.values()]) if p is not None]
    table = np.array([np.asarray(each, dtype=bool) for each in right.values()]).T
    differ = table.any(1) & ~table.all(1)
    q, p = 0.0, 1.0
    if differ.any():
        from statsmodels.stats.contingency_tables import cochrans_q  # as in mcnemar_test

        test = cochrans_q(table[differ])
        q, p = float(test.statistic), float(test.pvalue)
    return Cochran(q, p, pairs, dict(zip(pairs, corrected, strict=True)))
