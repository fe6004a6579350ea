"""McNemar's test of two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saddlepoint.errors import InputError


class McNemar(NamedTuple):
    """How two models differ on the same images.

    Attributes:
        b: images on which the first alone is right.
        c: images on which the second alone is right.
        p: of the exact two-sided test that both are as likely; 1 where they never differ.

    >>> McNemar(3, 1, 0.625).b
    3
    """

    b: int
    c: int
    p: float


def mcnemar_test(right_a: Sequence[bool], right_b: Sequence[bool]) -> McNemar:
    """Return the exact McNemar test of two models, from whether each is right on each image.

    It speaks of these two trained models on images like these, not of two ways to train: the
    spread over seeds is not in it.

    Args:
        right_a, right_b: (n,) booleans, image by image.

    Raises `InputError` for lengths that differ and for values that are not booleans.

    Reference: McNemar 1947, "Note on the sampling error of the difference between correlated
    proportions or percentages".

    >>> mcnemar_test([True, True, True, False], [False, False, True, True])
    McNemar(b=2, c=1, p=1.0)
    """
    a, b = np.asarray(right_a), np.asarray(right_b)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"answers of shapes {a.shape} and {b.shape}; give one per image of each")
    if a.size and not (a.dtype == b.dtype == np.bool_):
        raise InputError("the answers are not booleans; give whether each is right, True or False")
    from statsmodels.stats.contingency_tables import mcnemar  # its import costs a third of a second

    a, b = a.astype(bool), b.astype(bool)
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    p = float(mcnemar(table, exact=True).pvalue)
    return McNemar(table[0][1], table[1][0], p)
