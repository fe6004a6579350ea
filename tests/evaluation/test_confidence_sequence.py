"""Bounds that hold at all times at once: exactly, by every order of a few images, and by simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import betabinom, hypergeom

from saddlepoint.errors import InputError
from saddlepoint.evaluation import Bounds, ConfidenceSequence, Until, decide, parse_until


def table(sequence):
    """The bounds of every number of successes among every number of images."""
    n = sequence.total
    low, high = (np.zeros((n + 1, n + 1), int) for _ in range(2))
    for seen in range(n + 1):
        for successes in range(seen + 1):
            low[seen, successes], high[seen, successes] = sequence.after(successes, seen)
    return low, high


def missed_ever(low, high, total, true):
    """The exact chance that some bounds miss, from the counts of paths that none has missed yet."""
    alive = {0: Fraction(1)}
    for seen in range(1, total + 1):
        left, after = total - seen + 1, {}
        for successes, chance in alive.items():
            for hit in (0, 1):
                good = true - successes
                part = Fraction(good if hit else left - good, left)
                here = successes + hit
                if part and low[seen, here] <= true <= high[seen, here]:
                    after[here] = after.get(here, 0) + chance * part
        alive = after
    return 1 - sum(alive.values())


@pytest.mark.parametrize(
    ("total", "level"), [(1, 0.95), (7, 0.6), (12, 0.8), (40, 0.95), (60, 0.9)]
)
def test_the_chance_to_miss_at_any_time_is_what_is_stated(total, level):
    low, high = table(ConfidenceSequence(total, level))
    chances = [missed_ever(low, high, total, true) for true in range(total + 1)]
    assert max(chances) <= 1 - Fraction(str(level))
    # Bounds that never miss would be none; of a few images a lower level is not used up.
    assert max(chances) > (1 - level) / 4 or total < 12


def test_the_exact_chance_is_that_of_all_orders():
    total, level = 9, 0.5
    sequence = ConfidenceSequence(total, level)
    low, high = table(sequence)
    for true in range(total + 1):
        missed, orders = 0, list(itertools.combinations(range(total), true))
        for places in orders:
            counts = np.cumsum(np.isin(np.arange(total), places))
            missed += any(
                not low[t, s] <= true <= high[t, s] for t, s in enumerate(counts, start=1)
            )
        assert Fraction(missed, len(orders)) == missed_ever(low, high, total, true)
        assert Fraction(missed, len(orders)) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("successes", "seen"), [(0, 0), (3, 4), (0, 30), (30, 30), (17, 59), (60, 60)]
)
def test_within_are_the_counts_whose_ratio_of_prior_and_posterior_is_below_the_limit(
    successes, seen
):
    total = 90
    counts = np.arange(total + 1)
    prior = betabinom(total, 1, 1).pmf(counts)
    posterior = prior * hypergeom(total, counts, seen).pmf(successes)
    posterior /= posterior.sum()
    with np.errstate(divide="ignore"):
        within = counts[prior / posterior < 20]
    assert tuple(ConfidenceSequence(total).after(successes, seen)) == (within[0], within[-1])
    assert len(within) == within[-1] - within[0] + 1  # no gaps


def covered(runs, total, seed=0):
    """The share of runs in which all bounds hold, and answers to questions right, at a few truths."""
    random = np.random.default_rng(seed)
    low, high = table(ConfidenceSequence(total))
    until, found = Until(0.45), []
    times = np.arange(1, total + 1)
    for true in (0, total // 10, 89, 90, total // 2, total - 3):
        assert until.least(total) == 90
        hold = wrong = 0
        for _ in range(runs):
            counts = random.permutation(np.arange(total) < true).cumsum()
            lows = np.maximum.accumulate(low[times, counts])
            highs = np.minimum.accumulate(high[times, counts])
            hold += bool((lows <= true).all() and (highs >= true).all())
            answers = (
                decide(until, Bounds(*each, total)) for each in zip(lows, highs, strict=True)
            )
            first = next(each for each in answers if each)
            wrong += first != ("yes" if true >= 90 else "no")
        found.append((true, hold / runs, wrong / runs))
    return found


@pytest.mark.parametrize("runs", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_all_bounds_of_a_run_hold_and_answers_are_right(runs):
    slack = 3 * math.sqrt(0.05 * 0.95 / runs)
    for true, hold, wrong in covered(runs, 200):
        assert hold >= 0.95 - slack, true
        assert wrong <= 0.05 + slack, true


def test_bounds_of_several_times_are_never_wider():
    sequence = ConfidenceSequence(500)
    counts = np.random.default_rng(0).permutation(np.arange(500) < 300).cumsum()
    before = sequence.after(0, 0)
    assert tuple(before) == (0, 500)
    for seen in range(7, 501, 17):  # batches: some of the times are times too
        now = sequence.after(int(counts[seen - 1]), seen, before)
        assert before.low <= now.low <= now.high <= before.high
        assert now.low <= sequence.after(int(counts[seen - 1]), seen).high
        before = now
    assert tuple(sequence.after(300, 500, before)) == (300, 300)


def test_where_nothing_is_left_the_later_bounds_count():
    assert Bounds(70, 80, 100).within(Bounds(10, 60, 100)) == Bounds(70, 80, 100)
    with pytest.raises(InputError, match="bounds of 100 images and of 90 were given"):
        Bounds(70, 80, 100).within(Bounds(10, 60, 90))


def test_a_million_images_are_no_matter():
    low, high = ConfidenceSequence(10**6).after(450, 1000)
    assert (low / 10**6, high / 10**6) == pytest.approx((0.393, 0.508), abs=0.003)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: ConfidenceSequence(0), "total is 0; give at least 1"),
        (lambda: ConfidenceSequence(10, 1.0), "level is 1.0; give a share"),
        (lambda: ConfidenceSequence(10, float("nan")), "level is nan"),
        (lambda: ConfidenceSequence(10).after(3, 2), "successes is 3; give at most 2"),
        (lambda: ConfidenceSequence(10).after(3, 11), "seen is 11; give at most 10"),
        (lambda: ConfidenceSequence(10).after(True, 2), "successes is True; give a whole number"),
        (lambda: Until(0), "the threshold is 0; give a share above 0"),
        (lambda: Until(float("nan")), "the threshold is nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused(call, told):
    with pytest.raises(InputError) as caught:
        call()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("robust>=0.45", Until(0.45)),
        ("robust >= 45%", Until(0.45)),
        (" robust ≥ 45.5 % ", Until(0.455)),
        ("robust<.3", Until(0.3, below=True)),
        ("robust>=1", Until(1.0)),
        ("robust >= 7%", Until(0.07)),
    ],
)
def test_questions_are_read(text, until):
    assert parse_until(text) == until
    assert parse_until(str(until)) == until


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("robust>0.45", "give robust>=0.45"),
        ("robust<=0.45", "give robust>=0.45"),
        ("robust>=", "give robust>=0.45"),
        ("clean>=0.9", "until is 'clean>=0.9'; give robust>=0.45"),
        ("robust>=45", "no share above 0 and at most 1; is 45% meant?"),
        ("robust>=0", "no share above 0"),
        ("robust>=145%", "no share above 0"),
        ("robust>=1e-3", "give robust>=0.45"),
        ("robust>=nan", "give robust>=0.45"),
        ("", "until is ''"),
        (0.45, "until is 0.45"),
    ],
)
def test_what_is_no_question_is_refused_in_a_line(text, told):
    with pytest.raises(InputError) as caught:
        parse_until(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_directions_are_decided_at_once_and_oppositely():
    for low, high in itertools.combinations_with_replacement(range(21), 2):
        bounds = Bounds(low, high, 20)
        up, down = decide(Until(0.45), bounds), decide(Until(0.45, below=True), bounds)
        assert {up, down} in ({None}, {"yes", "no"})
        agree = {count / 20 >= 0.45 for count in range(low, high + 1)}
        assert up == (None if len(agree) == 2 else "yes" if agree.pop() else "no")


@pytest.mark.parametrize("total", [7, 100, 355, 10_000])
def test_the_least_count_is_that_of_the_decimal_number(total):
    for percent in range(1, 101):
        least = Until(percent / 100).least(total)
        assert 100 * least >= percent * total > 100 * (least - 1)
