"""Rule-made sets: right answers, splits without common texts, and the best accuracy there can be."""

from __future__ import annotations

import datetime
import itertools

import pytest
import torch

from saddlepoint.errors import InputError
from saddlepoint.text.rules import RULES, Sentiment, number_words, rule_set
from saddlepoint.text.rules.sentiment import _CLAUSE


def texts(name, split, size, seed=0):
    return [each.texts for each in rule_set(name, split, size, seed).examples]


@pytest.mark.parametrize("name", RULES)
def test_splits_share_no_text_and_follow_from_the_seed(name):
    train, test = texts(name, "train", 1500), texts(name, "test", 300)
    validation, other = texts(name, "validation", 200), texts(name, "test", 300, seed=1)
    for one, two in itertools.combinations((train, test, validation), 2):
        assert not {*one} & {*two}
    assert not {*train} & {*other}
    assert texts(name, "test", 300) == test != other
    assert texts(name, "test", 20) == test[:20]
    if RULES[name].unique:
        assert len({*train}) == 1500
    for example in rule_set(name, "test", 300).examples:
        answers = example.answer if isinstance(example.answer, tuple) else (example.answer,)
        if classes := RULES[name].classes:
            assert all(0 <= each < len(classes) for each in answers)


def test_the_answers_are_right():
    for each in rule_set("copy", "test", 50).examples:
        assert each.answer == each.texts[0]
    for each in rule_set("reverse", "test", 50).examples:
        assert each.answer == each.texts[0][::-1]
    for each in rule_set("sort", "test", 50).examples:
        assert each.answer == " ".join(sorted(each.texts[0].split()))
    for each in rule_set("addition", "test", 200).examples:
        assert int(each.answer[::-1]) == sum(map(int, each.texts[0].split("+")))
    for each in rule_set("dates", "test", 200).examples:
        day = datetime.datetime.strptime(each.texts[0], "%d %B %Y").date()
        assert each.answer == day.isoformat()
    for each in rule_set("repeats", "test", 50).examples:
        letters = each.texts[0].split()
        assert [letters.index(x) < i for i, x in enumerate(letters)] == [*map(bool, each.answer)]


def value_of(name):
    """The number of a name, read from the left."""
    ones = {number_words(n): n for n in range(20)} | {
        number_words(n): n for n in range(20, 100, 10)
    }
    thousands = total = 0
    for word in name.replace("-", " ").replace(" and ", " ").split():
        if word == "hundred":
            total *= 100
        elif word == "thousand":
            thousands, total = total * 1000, 0
        else:
            total += ones[word]
    return thousands + total


def test_number_words_can_be_read_back():
    numbers = [*range(2100), *range(99_990, 1_000_000, 997), 999_999]
    assert [value_of(number_words(n)) for n in numbers] == numbers
    assert number_words(340_012) == "three hundred and forty thousand and twelve"


def holds(text, second):
    """Whether the second sentence follows from the first, by the opposites of the words of place."""
    for a, b in (("left of", "right of"), ("above", "below"), ("before", "behind")):
        for word, contrary in ((a, b), (b, a)):
            if f" is {word} " in text:
                x, y = text.split(f" is {word} ")
                return second in (text, f"{y} is {contrary} {x}")
    raise AssertionError(text)


def test_pairs_follow_or_do_not():
    found = rule_set("places", "test", 400).examples
    for each in found:
        assert holds(*each.texts) == each.answer
    assert 150 < sum(each.answer for each in found) < 250


def test_no_classifier_of_the_grammar_is_better_than_its_bayes_accuracy():
    rule, n = Sentiment(), 40_000
    numbers = torch.rand(n, rule.draws, generator=torch.Generator().manual_seed(0)).tolist()
    found = [rule.make(u) for u in numbers]
    right = 0
    for each in found:
        k, m = rule.positives(each.texts[0])
        assert m == 1 + sum(each.texts[0].count(x) for x in (" and ", " , ", " while "))
        right += int(2 * k > m or (2 * k == m and each.texts[0].count("film") % 2)) == each.answer
    bayes = rule.bayes_accuracy()
    assert abs(right / n - bayes) < 4 * (bayes * (1 - bayes) / n) ** 0.5
    # By enumeration over what every clause says, in place of the binomial.
    expected = 0.0
    for m in range(1, 5):
        for said in itertools.product((0, 1), repeat=m):
            k = sum(said)
            expected += max(0.85**k * 0.15 ** (m - k), 0.15**k * 0.85 ** (m - k)) / 2 / 4
    assert bayes == pytest.approx(expected, rel=1e-12)
    assert abs(sum(each.answer for each in found) / n - 0.5) < 0.01
    assert _CLAUSE.findall("the plot seems not very dull") == [("not ", "dull")]


def test_bad_names_and_sizes_are_told():
    with pytest.raises(InputError, match="unknown rule-made set 'coppy'; did you mean 'copy'"):
        rule_set("coppy")
    with pytest.raises(InputError, match="unknown split 'dev'"):
        rule_set("copy", "dev")
    with pytest.raises(InputError, match="size is 0"):
        rule_set("copy", "test", 0)
    with pytest.raises(InputError, match=r"dates has no more than [67]\d{3} examples for test"):
        rule_set("dates", "test", 8000)
    with pytest.raises(InputError, match="no clause"):
        Sentiment().positives("nothing")
