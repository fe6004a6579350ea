"""What docs/text.md says that trainings reach, by the commands that stand there."""

from __future__ import annotations

import pytest

from saddlepoint.data import load_data
from saddlepoint.lab import Bench
from saddlepoint.lab.text_rules import RuleSettings, run_text_rules


@pytest.mark.slow  # two to three minutes each
@pytest.mark.parametrize("name", ["copy", "reverse"])
def test_a_transformer_follows_rules_on_a_thousand_texts_that_it_has_not_seen(name):
    settings = RuleSettings(rules=(name,), examples=16_000, tested=1000)
    (found,) = run_text_rules(Bench(load_data("digits", limit=2), lambda: None), settings).rules
    assert found.tested == 1000
    assert found.exact >= 0.99
