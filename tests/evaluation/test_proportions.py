"""Wilson's interval against values computed elsewhere and against its own definition."""

from __future__ import annotations

import json
import math

import pytest

from saddlepoint.evaluation import Proportion

# Wilson's score interval without continuity correction, 95 %: Newcombe 1998, "Two-sided confidence
# intervals for the single proportion", table I, method 3.
NEWCOMBE = {
    (81, 263): (0.2553, 0.3662),
    (15, 148): (0.0624, 0.1605),
    (0, 20): (0.0, 0.1611),
    (1, 29): (0.0061, 0.1718),
}


@pytest.mark.parametrize(("count", "total"), NEWCOMBE)
def test_published_values(count, total):
    share = Proportion(count, total)
    assert (share.low, share.high) == pytest.approx(NEWCOMBE[count, total], abs=5e-5)


@pytest.mark.parametrize("total", [1, 2, 10, 1000, 10_000])
def test_the_ends_are_where_the_score_test_is_on_the_edge(total):
    z = 1.959963984540054
    for count in {0, 1, total // 3, total - 1, total}:
        share = Proportion(count, total)
        centre = (count + z * z / 2) / (total + z * z)
        half = z / (total + z * z) * math.sqrt(count * (total - count) / total + z * z / 4)
        assert (share.low, share.high) == pytest.approx((centre - half, centre + half), abs=1e-9)
        assert 0 <= share.low <= share.value <= share.high <= 1


def test_a_perfect_score_is_not_certain():
    assert Proportion(10, 10).low < 0.75
    assert Proportion(0, 10).high > 0.25


def test_of_nothing_there_is_no_share():
    share = Proportion(0, 0)
    assert math.isnan(share.value)
    assert (share.low, share.high, str(share)) == (0.0, 1.0, "–")
    assert json.dumps(share.json(), allow_nan=False)
    assert share.json()["value"] is None
