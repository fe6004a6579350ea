"""The statistics against SciPy, statsmodels, published numbers and closed forms."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from saddlepoint.errors import InputError
from saddlepoint.evaluation.bootstrap import bootstrap_interval
from saddlepoint.evaluation.comparison import holm, paired_t_test, stars
from saddlepoint.evaluation.mcnemar import mcnemar_test

# Student 1908: hours of sleep gained by ten patients with two drugs; t = 4.0621, p = 0.002833.
DRUG_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=12)


def test_students_own_numbers():
    both = paired_t_test(DRUG_2, DRUG_1, "two-sided")
    assert both.n == 10
    assert both.mean_difference == pytest.approx(1.58)
    assert both.t == pytest.approx(4.0621, abs=5e-5)
    assert both.p == pytest.approx(0.002833, abs=5e-7)
    assert paired_t_test(DRUG_2, DRUG_1, "greater").p == pytest.approx(both.p / 2)
    assert paired_t_test(DRUG_2, DRUG_1, "less").p == pytest.approx(1 - both.p / 2)


@given(SHARES, st.integers(0, 99))
def test_the_t_test_is_scipys(values, seed):
    reference = np.random.default_rng(seed).random(len(values))
    assume(np.std(np.array(values) - reference) > 1e-6)
    for alternative in ("greater", "less"):
        mine = paired_t_test(values, list(reference), alternative)
        theirs = stats.ttest_rel(values, reference, alternative=alternative)
        assert (mine.t, mine.p) == pytest.approx((theirs.statistic, theirs.pvalue))
        assert mine.note == ""


def test_the_effect_size_is_unbiased():
    true, n = 0.6, 6
    random = np.random.default_rng(0)
    found = [paired_t_test(random.normal(true, 1, n), np.zeros(n)).effect_size for _ in range(1500)]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(true, abs=3 * error)
    raw = np.mean(DRUG_2) - np.mean(DRUG_1)
    raw /= np.std(np.subtract(DRUG_2, DRUG_1), ddof=1)
    # Hedges' own approximation of the correction, 1 − 3/(4m − 1), is good to a thousandth here.
    effect = paired_t_test(DRUG_2, DRUG_1).effect_size
    assert effect == pytest.approx(raw * (1 - 3 / 35), rel=2e-3)


@pytest.mark.parametrize(
    ("values", "reference", "note"),
    [
        ([], [], "no pairs"),
        ([0.5], [0.4], "one pair"),
        ([0.5, 0.5], [0.5, 0.5], "all differences are equal"),
        # Equal but for rounding: 0.3 − 0.2 and 0.9 − 0.8 differ in the last bits.
        ([0.3, 0.9, 0.5], [0.2, 0.8, 0.4], "all differences are equal"),
    ],
)
def test_where_there_is_no_p_value_a_note_says_why(values, reference, note):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = paired_t_test(values, reference)
    assert (test.t, test.p, test.effect_size) == (None, None, None)
    assert note in test.note
    assert stars(test.p) == ""


def test_two_pairs_have_a_p_value_but_no_effect_size():
    test = paired_t_test([0.5, 0.7], [0.4, 0.4])
    assert test.p == pytest.approx(
        stats.ttest_rel([0.5, 0.7], [0.4, 0.4], alternative="greater")[1]
    )
    assert test.effect_size is None
    assert "three pairs" in test.note


def test_bad_numbers_are_refused():
    with pytest.raises(InputError, match="2 values and 1 of the reference"):
        paired_t_test([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="not finite"):
        paired_t_test([0.1, math.nan], [0.1, 0.2])
    with pytest.raises(InputError, match="unknown alternative 'larger'"):
        paired_t_test([0.1, 0.2], [0.3, 0.2], "larger")
    with pytest.raises(InputError, match="dimensions"):
        paired_t_test([[0.1, 0.2]], [[0.3, 0.2]])
    with pytest.raises(InputError, match=r"a p-value is 1\.5"):
        holm([0.1, 1.5])
    with pytest.raises(InputError, match="3 values and 2 groups"):
        bootstrap_interval([1, 2, 3], groups=[0, 1])
    with pytest.raises(InputError, match="confidence is 95"):
        bootstrap_interval([1, 2, 3], confidence=95)
    with pytest.raises(InputError, match="shapes"):
        mcnemar_test([True], [True, False])
    with pytest.raises(InputError, match="not booleans"):
        mcnemar_test([1, 2], [1, 2])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (0.0, "***"), (math.nextafter(0.01, 0), "***"), (0.01, "**"),
        (math.nextafter(0.05, 0), "**"), (0.05, "*"), (math.nextafter(0.1, 0), "*"), (0.1, ""),
        (1.0, ""), (None, ""), (math.nan, ""),
    ],
)  # fmt: skip
def test_stars_at_the_boundaries(p, expected):
    assert stars(p) == expected


def test_holm_on_fixed_numbers():
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([None, None]) == [None, None]
    assert holm([]) == []
    assert holm([None, 0.04]) == [None, 0.04]


@settings(max_examples=8)  # statsmodels collects garbage at each call, which takes a while
@given(st.lists(st.none() | st.floats(0, 1), max_size=10))
def test_holm_is_statsmodels_on_those_that_are_tests(p_values):
    adjusted = holm(p_values)
    made = [p for p in p_values if p is not None]
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    if made:
        wanted = multipletests(made, method="holm")[1]
        assert [p for p in adjusted if p is not None] == pytest.approx(list(wanted))


def test_the_bootstrap_of_single_values_is_scipys():
    values = np.random.default_rng(1).random(12)
    wanted = stats.bootstrap(
        (values,), np.mean, method="BCa", random_state=np.random.default_rng(0)
    ).confidence_interval
    interval = bootstrap_interval(list(values), seed=0)
    assert interval.method == "BCa"
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high))


def test_repeats_of_one_seed_do_not_narrow_the_interval():
    random = np.random.default_rng(2)
    means = random.random(10)
    repeats = np.repeat(means, 4) + np.tile([-0.3, -0.1, 0.1, 0.3], 10)
    seeds = list(np.repeat(np.arange(10), 4))
    whole = bootstrap_interval(list(repeats), groups=seeds)
    alone = bootstrap_interval(list(means))
    assert (whole.low, whole.high) == pytest.approx((alone.low, alone.high))
    assert whole.groups == 10
    naive = bootstrap_interval(list(np.repeat(means, 4)))
    assert naive.high - naive.low < 0.6 * (whole.high - whole.low)


def test_groups_of_unequal_size_weigh_as_much_as_they_hold():
    interval = bootstrap_interval([0.0, 1.0, 1.0, 1.0, 0.5, 0.2], groups=list("abbbcd"))
    assert interval.mean == pytest.approx(3.7 / 6)
    assert 0 <= interval.low < interval.mean < interval.high <= 1


def test_intervals_that_are_none():
    constant = bootstrap_interval([0.3, 0.1 + 0.2, 0.3])
    assert (constant.low, constant.high) == (constant.mean, constant.mean)
    assert "equal" in constant.note
    one = bootstrap_interval([0.1, 0.9], groups=[0, 0])
    assert (one.mean, one.low, one.high) == (0.5, None, None)
    assert "one group" in one.note
    assert math.isnan(bootstrap_interval([]).mean)


def test_most_intervals_hold_the_mean():
    random = np.random.default_rng(3)
    hits = 0
    for k in range(200):
        interval = bootstrap_interval(list(random.normal(0.5, 0.1, 20)), seed=k)
        hits += interval.low <= 0.5 <= interval.high
    assert 180 <= hits <= 199  # BCa of 20 normal values: about 93 %


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_is_the_sign_test_of_the_images_that_differ(pairs):
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    first, second, p = mcnemar_test(a, b)
    assert first == sum(x and not y for x, y in pairs)
    assert second == sum(y and not x for x, y in pairs)
    n, k = first + second, min(first, second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert p == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_test(b, a) == (second, first, p)
    both, neither = sum(x and y for x, y in pairs), sum(not x and not y for x, y in pairs)
    assert p == mcnemar([[both, first], [second, neither]], exact=True).pvalue


def test_mcnemar_of_images_that_never_differ():
    assert mcnemar_test([True, False], [True, False]) == (0, 0, 1.0)
    assert mcnemar_test([], []) == (0, 0, 1.0)
