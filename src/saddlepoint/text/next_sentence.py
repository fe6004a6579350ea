"""Pairs of sentences for BERT's second task: does B come after A, or is it of another document?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from saddlepoint.errors import InputError
from saddlepoint.streams import Keys, Stream

Documents = Sequence[Sequence[str]]
_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9¿¡])")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


@dataclass(frozen=True)
class SentencePair:
    """Two sentences and what is to be said of them.

    Attributes:
        first, second: the sentences A and B.
        label: 0 where B follows A, 1 where it is of another document.
        documents: the numbers of the documents that they are of.

    >>> SentencePair("A.", "B.", 0, (3, 3)).label
    0
    """

    first: str
    second: str
    label: int
    documents: tuple[int, int]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text: an end mark, a space, and a capital or a digit divide two.

    >>> sentences("It is 9.5 long. Why? Mr. X knows.")
    ['It is 9.5 long.', 'Why?', 'Mr.', 'X knows.']
    """
    parts = _END.split(_BREAK.sub(" ", text))
    return [part.strip() for part in parts if part.strip()]


def documents_of(texts: Iterable[str]) -> list[list[str]]:
    """Return the sentences of each text, without texts of one sentence and those that came before.

    >>> documents_of(["One. Two.", "Alone.", "One. Two."])
    [['One.', 'Two.']]
    """
    split = (sentences(text) for text in dict.fromkeys(texts))
    return [each for each in split if len(each) > 1]


def sentence_pairs(documents: Documents, seed: int, epoch: int = 0) -> list[SentencePair]:
    """Return a pair for each sentence that another follows: half with that one, half with one of
    another document.

    Devlin et al., BERT, 2019, arXiv:1810.04805, task 2. Documents of one sentence are left out. Draws
    are functions of (seed, pair, epoch).

    Raises `InputError` where fewer than two documents have two sentences.

    >>> pairs = sentence_pairs([["a", "b", "c"], ["d", "e"]], seed=0)
    >>> len(pairs), all((p.documents[0] == p.documents[1]) == (p.label == 0) for p in pairs)
    (3, True)
    """
    kept = [i for i, each in enumerate(documents) if len(each) > 1]
    if len(kept) < 2:
        raise InputError(
            f"{len(kept)} document{'s have' if len(kept) != 1 else ' has'} two sentences or more, and"
            " pairs of sentences need two such; learn hidden words alone (next_sentence=false)"
        )
    places = [(k, i) for k, d in enumerate(kept) for i in range(len(documents[d]) - 1)]
    draws = Keys(seed, torch.arange(len(places)), Stream.PAIRS).uniform((3,), step=epoch).tolist()
    found = []
    for (k, i), (coin, which, place) in zip(places, draws, strict=True):
        own = documents[kept[k]]
        if coin < 0.5:
            found.append(SentencePair(own[i], own[i + 1], 0, (kept[k], kept[k])))
            continue
        other = kept[(k + 1 + int(which * (len(kept) - 1))) % len(kept)]
        second = documents[other][int(place * len(documents[other]))]
        found.append(SentencePair(own[i], second, 1, (kept[k], other)))
    return found
