"""Rule-made sets by name, in splits that share no text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from saddlepoint.counts import check_count, check_seed
from saddlepoint.errors import InputError, unknown
from saddlepoint.files import fingerprint
from saddlepoint.streams import Keys, Stream, derive
from saddlepoint.text.rules.numbers import Addition, Dates, NumberWords
from saddlepoint.text.rules.pairs import Places
from saddlepoint.text.rules.rule import Example, Rule
from saddlepoint.text.rules.sentiment import Sentiment
from saddlepoint.text.rules.sequences import Copy, Repeats, Reverse, Sort

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            Copy(), Reverse(), Sort(), Addition(), Dates(), NumberWords(), Sentiment(), Places(),
            Repeats(),
        )
    }
)  # fmt: skip
"""The rules by name."""
SIZES: Mapping[str, int] = MappingProxyType({"train": 20_000, "validation": 1000, "test": 2000})
"""Examples of each split unless one says otherwise."""

_PARTS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
_CHUNK = 4096
_PATIENCE = 20  # candidates for each example that is asked for


@dataclass(frozen=True)
class RuleSet:
    """The examples of a split.

    >>> rule_set("copy", "test", 5).classes
    ()
    """

    rule: Rule
    split: str
    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; none where the answer is a text."""
        return self.rule.classes

    @property
    def fingerprint(self) -> str:
        """16 digits that identify the examples."""
        return fingerprint({"examples": [[each.texts, each.answer] for each in self.examples]})


def rule_set(name: str, split: str = "train", size: int | None = None, seed: int = 0) -> RuleSet:
    """Return the first `size` examples of a split of the rule `name`.

    A digest of the text says which split an example is of, so that splits of every size and seed are
    disjoint. Within a split each text comes once, unless its answer is drawn.

    Args:
        name: see `RULES`.
        split: "train", "validation" or "test".
        size: examples; None takes those of `SIZES`.
        seed: of the draws.

    Raises `InputError` for an unknown name, and where there are no more examples.

    >>> rule_set("dates", "test", 1).examples[0]
    Example(texts=('4 October 2073',), answer='2073-10-04')
    """
    if name not in RULES:
        raise unknown("rule-made set", name, RULES)
    if split not in SIZES:
        raise unknown("split", split, SIZES)
    size = SIZES[split] if size is None else size
    check_count("size", size)
    check_seed(seed)
    rule, part = RULES[name], _PARTS[split]
    found: dict[tuple[str, ...] | int, Example] = {}
    most = _PATIENCE * (size // len(part) + 100)
    for start in range(0, most, _CHUNK):
        keys = Keys(derive(seed, name), torch.arange(start, start + _CHUNK), Stream.RULES)
        for u in keys.uniform((rule.draws,)).tolist():
            example = rule.make(u)
            if _part(example) in part:
                found.setdefault(example.texts if rule.unique else len(found), example)
                if len(found) == size:
                    return RuleSet(rule, split, tuple(found.values()))
    raise InputError(
        f"{name} has no more than {len(found)} examples for {split} among {most} that were drawn;"
        f" ask for fewer than {size}"
    )


def _part(example: Example) -> int:
    text = "\n".join(example.texts).encode()
    return int.from_bytes(hashlib.blake2s(text, digest_size=4).digest(), "big") % 10
