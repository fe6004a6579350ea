"""What docs/text.md says that trainings reach, by the commands that stand there."""

from __future__ import annotations

import pytest

from saddlepoint.data import load_data
from saddlepoint.lab import Bench
from saddlepoint.lab.text_rules import RuleSettings, run_text_rules

CLAIMS = {
    "copy": {"examples": 16_000},
    "reverse": {"examples": 16_000},
    "sort": {"epochs": 20},
    "addition": {},
    "dates": {},
    "number-words": {"epochs": 6},
}
"""The settings by rule."""


@pytest.mark.slow  # one to six minutes each
@pytest.mark.parametrize("name", CLAIMS)
def test_a_transformer_follows_rules_on_a_thousand_texts_that_it_has_not_seen(name):
    settings = RuleSettings(rules=(name,), tested=1000, **CLAIMS[name])
    (found,) = run_text_rules(Bench(load_data("digits", limit=2), lambda: None), settings).rules
    assert found.tested == 1000
    assert found.exact >= 0.99
