"""What docs/text.md says that trainings reach, by the commands that stand there."""

from __future__ import annotations

import pytest

from saddlepoint.data import load_data
from saddlepoint.lab import Bench
from saddlepoint.lab.embedding_robustness import EmbeddingSettings, embedding_robustness
from saddlepoint.lab.text_rules import RuleSettings, run_text_rules
from saddlepoint.text.rules import rule_set

CLAIMS = {
    "copy": {"epochs": 12},
    "reverse": {"epochs": 12},
    "sort": {"epochs": 20},
    "addition": {"epochs": 12},
    "dates": {"epochs": 12},
    "number-words": {"epochs": 6},
}
"""The settings by rule."""


def test_there_are_as_many_examples_as_the_experiment_asks_for():
    for name in RuleSettings().rules:
        assert len(rule_set(name, "train", RuleSettings().examples).examples) == 16_000


@pytest.mark.slow  # one to six minutes each
@pytest.mark.parametrize("name", CLAIMS)
def test_a_transformer_follows_rules_on_a_thousand_texts_that_it_has_not_seen(name):
    settings = RuleSettings(rules=(name,), tested=1000, **CLAIMS[name])
    (found,) = run_text_rules(Bench(load_data("digits", limit=2), lambda: None), settings).rules
    assert found.tested == 1000
    assert found.exact >= 0.99


@pytest.mark.slow  # two minutes
def test_training_in_the_embedding_helps_there():
    digits = load_data("digits", limit=2)
    settings = EmbeddingSettings(seeds=1, attacked=100, eps=(0.02, 0.1))
    found = embedding_robustness(Bench(digits, lambda: digits), settings)
    robust = {each.method: each.robust for each in found.found}
    assert robust["FreeLB"][1] > robust["standard"][1] + 0.2
    assert robust["PGD"][0] > robust["standard, as many passes"][0]
    assert min(each.clean for each in found.found) > 0.8
