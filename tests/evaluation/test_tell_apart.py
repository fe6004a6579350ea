"""Telling models apart: Cochran's test, and how many images it takes."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.errors import InputError
from saddlepoint.evaluation import cochran_test, images_to_tell, mcnemar_test, power_of_mcnemar


@given(st.lists(st.tuples(*[st.booleans()] * 4), min_size=1, max_size=30))
def test_cochrans_q_is_the_formula(rows):
    table = np.array(rows)
    found = cochran_test({str(i): table[:, i] for i in range(4)})
    models, images, total = table.sum(0), table.sum(1), table.sum()
    below = 4 * total - (images**2).sum()
    q = 3 * (4 * (models**2).sum() - total**2) / below if below else 0.0
    assert found.q == pytest.approx(q, abs=1e-9)
    assert set(found.pairs) == set(found.corrected)
    assert all(found.corrected[pair] >= test.p for pair, test in found.pairs.items())


def by_enumeration(n, a, b, level):
    chance = 0.0
    for i in range(n + 1):
        for j in range(n + 1 - i):
            right_a = [True] * i + [False] * j
            if mcnemar_test(np.array(right_a, bool), ~np.array(right_a, bool)).p <= level:
                ways = comb(n, i) * comb(n - i, j)
                chance += ways * a**i * b**j * (1 - a - b) ** (n - i - j)
    return chance


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.05), (0.6, 0.4), (0.1, 0.1), (0.5, 0.0)])
def test_the_power_is_that_of_all_outcomes(a, b):
    for n in (1, 7, 12):
        assert power_of_mcnemar(n, a, b, 0.1) == pytest.approx(by_enumeration(n, a, b, 0.1))


def test_so_many_images_are_enough_and_fewer_are_not():
    for a, b in ((0.06, 0.03), (0.2, 0.05), (0.02, 0.01)):
        count = images_to_tell(a, b, power=0.9)
        assert min(power_of_mcnemar(count + more, a, b) for more in range(8)) >= 0.9
        assert power_of_mcnemar(count - 1, a, b) < 0.9


def test_who_never_differ_are_not_told_apart():
    assert power_of_mcnemar(1000, 0.0, 0.0) == 0
    same = [True, False, True]
    assert cochran_test({"a": same, "b": same, "c": same})[:2] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: images_to_tell(0.1, 0.1), "as often"),
        (lambda: images_to_tell(0.7, 0.6), "1 together at most"),
        (lambda: images_to_tell(0.1, 0.05, power=1.0), "power is 1.0"),
        (lambda: images_to_tell(0.1, 0.09999), "the models hardly differ"),
        (lambda: power_of_mcnemar(0, 0.1, 0.0), "images is 0"),
        (lambda: power_of_mcnemar(5, 0.1, 0.0, level=0), "level is 0"),
        (lambda: cochran_test({"a": [True], "b": [False]}), "2 models"),
        (lambda: cochran_test({"a": [True], "b": [False], "c": [1]}), "not booleans"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
