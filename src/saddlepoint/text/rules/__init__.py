"""Sets made by rules, whose right answers are known: no file is needed."""

from __future__ import annotations

from saddlepoint.text.rules.numbers import number_words
from saddlepoint.text.rules.rule import Example, Rule
from saddlepoint.text.rules.sentiment import Sentiment
from saddlepoint.text.rules.sets import RULES, SIZES, RuleSet, rule_set

__all__ = ["RULES", "SIZES", "Example", "Rule", "RuleSet", "Sentiment", "number_words", "rule_set"]
