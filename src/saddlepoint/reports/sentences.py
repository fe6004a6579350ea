"""Attacked sentences: which words an attack moved, and how far, on a page and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from saddlepoint.answers import class_name
from saddlepoint.attacks import AttackResult
from saddlepoint.reports.page.sections import PageSection
from saddlepoint.reports.page.sentences import Sentence, Sentences, Word
from saddlepoint.text import EmbeddedText

MOST = 48
SENTENCE_FILTERS = {"outcome": "outcome", "class": "class", "becomes": "becomes"}
"""What sentences can be chosen by: a tag, and its label."""
_LEVELS = "▁▂▃▄▅▆▇█"
NOTE = (
    "Sentences as the network reads them, token by token: the fooled ones first, each kind in the order of"
    " the data. The stronger the shade of a word, the longer the change of its embedding, of the longest of"
    " all; what was held has no shade."
)


def attacked_sentences(
    data: EmbeddedText, ids: Int64[Tensor, " n"], result: AttackResult, most: int = MOST
) -> tuple[Sentence, ...]:
    """Return up to `most` sentences that the model had right, the fooled ones first.

    Args:
        ids: (n,) of the sentences of the result.
    """
    fooled = (result.success & ~result.initially_wrong).cpu()
    order = torch.argsort(fooled.to(torch.int8), descending=True, stable=True)
    chosen = order[~result.initially_wrong.cpu()[order]][:most]
    outcomes = []
    for row in chosen.tolist():
        label = class_name(data.classes, int(data.labels[ids[row]]))
        became = class_name(data.classes, int(result.predictions[row]))
        hit = bool(fooled[row])
        far = float(result.distance[row])
        line = f"{label} → {became}, {far:.3g} away" if hit else f"{label}: holds"
        outcomes.append((line, label, became, hit))
    after = result.adversarials[chosen].cpu()
    return shaded(data, ids[chosen], after, outcomes)


def shaded(
    data: EmbeddedText,
    ids: Int64[Tensor, " n"],
    after: Float[Tensor, "n t d"],
    outcomes: Sequence[tuple[str, str, str, bool]],
) -> tuple[Sentence, ...]:
    """Return sentences whose words are shaded by the lengths of their changes.

    Args:
        ids: (n,) of the sentences.
        after: their embeddings after the attack.
        outcomes: of each, a line, its class, what it is taken for, and whether it is fooled.
    """
    before = data.images(ids.cpu()).cpu()
    lengths = (after - before)[..., :-1].double().norm(dim=-1)
    farthest = float(lengths.max()) if lengths.numel() else 0.0
    return tuple(
        Sentence(
            int(i),
            tuple(
                Word(word, float(far) / (farthest or 1.0), f"{float(far):.3g}")
                for word, far in zip(data.words(int(i)), row, strict=False)  # padding has no word
            ),
            (line, f"sentence {int(i)}; longest change of a token {float(row.max()):.3g}"),
            {"outcome": "fooled" if hit else "holds", "class": label, "becomes": became},
        )
        for i, row, (line, label, became, hit) in zip(ids.cpu(), lengths, outcomes, strict=True)
    )


def sentence_section(found: Sentences) -> list[PageSection]:
    """Return the section of a page with these sentences; none where there are none.

    >>> sentence_section(Sentences((), ()))
    []
    """
    if not found.cards:
        return []
    return [PageSection("sentences", "Sentences", (NOTE,), sentences=found)]


def bars(sentence: Sentence, width: int) -> Iterator[str]:
    """Yield the lines of a sentence for a terminal `width` columns wide: words, and below each a bar
    as high as its change is long.

    >>> words = (Word("a", 0.0, "0"), Word("good", 1.0, "0.5"), Word("film", 0.4, "0.2"))
    >>> for line in bars(Sentence(3, words, ("yes → no", "sentence 3"), {}), 12):
    ...     print(line)
    yes → no (sentence 3)
      a good
        ████
      film
      ▃▃▃▃
    """
    yield f"{sentence.lines[0]} ({sentence.lines[1].split(';')[0]})"
    row: list[Word] = []
    for word in (*sentence.words, None):
        if word is None or 2 + sum(len(each.text) + 1 for each in (*row, word)) > width:
            if row:
                yield "  " + " ".join(each.text for each in row)
                yield ("  " + " ".join(_bar(each) for each in row)).rstrip()
            row = []
        if word is not None:
            row.append(word)


def _bar(word: Word) -> str:
    height = round(word.share * len(_LEVELS))
    if word.share > 0:
        height = max(height, 1)
    return (_LEVELS[height - 1] if height else " ") * len(word.text)
