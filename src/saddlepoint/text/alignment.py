"""IBM model 1: which word is the translation of which, learned from pairs of sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, check_fields
from saddlepoint.text.mending import joined

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_NULL = ""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class WordTable:
    """The probabilities t(f | e) that a model found, and translations word for word by them.

    >>> table = fit_ibm1([("das haus", "the house"), ("das buch", "the book")], null=False)
    >>> table.translated("Das Buch , heute"), round(table.of("haus")["house"], 2)
    ('the book, heute', 0.9)
    """

    probabilities: Mapping[str, Mapping[str, float]]
    """f → t(f | e) for each word e of the source; that of no word is ""."""

    def of(self, word: str) -> Mapping[str, float]:
        """Return the translations of a word and their probabilities; none of an unknown one."""
        return self.probabilities.get(word.lower(), {})

    def translated(self, text: str) -> str:
        """Return the most probable translation of each word, an unknown one as it is."""
        found = []
        for word in words_of(text):
            options = self.of(word)
            found.append(max(options, key=lambda f: (options[f], f)) if options else word)
        return joined(" ".join(found))


@dataclass(frozen=True)
class IBM1:
    """EM for t(f | e), from equal probabilities.

    Brown et al., The Mathematics of Statistical Machine Translation, 1993, Computational Linguistics
    19(2), section 4.1. Every target word comes of one source word, or of none, each equally probable.

    Args:
        rounds: of expectation and maximisation.
        null: whether a word may come of none.

    >>> IBM1(rounds=1, null=False).fit([("a b", "x y"), ("a", "x")]).of("b")
    {'x': 0.5, 'y': 0.5}
    """

    rounds: Count = 10
    null: bool = True

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(self, pairs: Pairs) -> WordTable:
        """Return the table of pairs (source, target).

        Raises `InputError` where there are none with words.
        """
        if not pairs:
            raise InputError("there are no pairs of sentences to fit to; give at least one")
        # A cell is a pair of words that meet somewhere; a slot is one target word in its sentence.
        first, second = _Numbers(), _Numbers()
        cells, slots, count = [], [], 0
        for source, target in pairs:
            e = np.array(
                [first[w.lower()] for w in ([_NULL] if self.null else []) + words_of(source)]
            )
            f = np.array([second[w.lower()] for w in words_of(target)], dtype=np.int64)
            if len(e) == 0 or len(f) == 0:
                continue
            cells.append((e[None].astype(np.int64) << 32 | f[:, None]).ravel())
            slots.append(np.repeat(np.arange(count, count + len(f)), len(e)))
            count += len(f)
        if not cells:
            raise InputError("no pair has words on both sides to fit to; give one that has")
        meeting, cell = np.unique(np.concatenate(cells), return_inverse=True)
        slot, owner = np.concatenate(slots), meeting >> 32
        t = np.ones(len(meeting))
        for _ in range(self.rounds):
            share = t[cell]
            share = share / np.bincount(slot, share)[slot]
            counts = np.bincount(cell, share, len(meeting))
            t = counts / np.bincount(owner, counts)[owner]
        e_words, f_words = list(first), list(second)
        table: dict[str, dict[str, float]] = {word: {} for word in e_words}
        for key, value in zip(meeting.tolist(), t.tolist(), strict=True):
            table[e_words[key >> 32]][f_words[key & 0xFFFFFFFF]] = value
        return WordTable(table)


def fit_ibm1(pairs: Pairs, rounds: int = 10, *, null: bool = True) -> WordTable:
    """Return the table that so many rounds of IBM model 1 find; see `IBM1`.

    >>> fit_ibm1([("a b", "x y"), ("a", "x")], null=False).translated("b a")
    'y x'
    """
    return IBM1(rounds, null).fit(pairs)


def words_of(text: str) -> list[str]:
    """Return the words and the marks of a text.

    >>> words_of("Don't stop, now!")
    ["Don't", 'stop', ',', 'now', '!']
    """
    return _WORD.findall(text)


class _Numbers(dict[str, int]):
    """A number for each word, in the order in which they come."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]
