"""Translations of texts by a network that was trained for it, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.text.decoding import BeamSearch, Greedy, Written
from saddlepoint.text.folder import TrainedText
from saddlepoint.text.tokens import BOS, padded
from saddlepoint.text.transformer import Transformer
from saddlepoint.zoo import record_attention

_ROWS = 64  # sentences that are written at once


@dataclass(frozen=True)
class Translated:
    """Texts and their translations.

    Attributes:
        sources, written: as text.
        ids: the tokens that were written, without [EOS].
        scores: what the translations were chosen by; see `Written`.
        cut: sources that were too long, and cut.

    >>> Translated(("a",), ("b",), ((8,),), (-0.5,), 0).json()["translations"]
    [{'source': 'a', 'translation': 'b', 'score': -0.5}]
    """

    sources: tuple[str, ...]
    written: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]
    cut: int

    def json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        rows = zip(self.sources, self.written, self.scores, strict=True)
        return {
            "translations": [{"source": s, "translation": w, "score": x} for s, w, x in rows],
            "cut": self.cut,
        }


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """Where a decoder looked while it wrote a sentence.

    Attributes:
        source: the tokens that it could look at.
        written: the tokens that it wrote, [EOS] the last.
        maps: the attention of every head of every block, from the first on: of each written token,
            when it was chosen, to each of the source; rows sum to 1.

    >>> CrossAttention(("a",), ("[EOS]",), torch.ones(3, 4, 1, 1)).maps.shape
    torch.Size([3, 4, 1, 1])
    """

    source: tuple[str, ...]
    written: tuple[str, ...]
    maps: Float[Tensor, "l h t s"]


def translate(
    trained: TrainedText, texts: Sequence[str], search: BeamSearch | Greedy | None = None
) -> Translated:
    """Return the translations of texts.

    Args:
        trained: a Transformer with its tokeniser, from `load_trained_text`.
        texts: what is to be translated.
        search: how sentences are looked for; None is a beam of 4 with α = 0.6.

    Raises `InputError` for another network, no texts, or one that is empty or too long.

    >>> from saddlepoint.text import Framing, TransformerDesign, WordTokeniser
    >>> net = Transformer(TransformerDesign(9, 16, 1, 2, 32)).eval()
    >>> trained = TrainedText(net, Framing(WordTokeniser(["a", "b"])), ())
    >>> translate(trained, ["a b"]).sources
    ('a b',)
    """
    model, search = _transformer(trained), search or BeamSearch()
    if not texts:
        raise InputError("there are no texts to translate; give at least one")
    framed = trained.framing.sources(texts)
    device = model.embedding.weight.device
    rows: list[list[int]] = [[] for _ in texts]
    scores = [0.0] * len(texts)
    # Of like length together: a batch goes on until its longest sentence ends.
    for part in torch.split(framed.tokens.lengths.argsort(stable=True), _ROWS):
        found: Written = search.write(model, framed.tokens.at(part).trimmed().to(device))
        for i, row, score in zip(part.tolist(), found.ids, found.scores.tolist(), strict=True):
            rows[i], scores[i] = row, score
    tokeniser = trained.framing.tokeniser
    written = tuple(tokeniser.decode(row) for row in rows)
    return Translated(tuple(texts), written, tuple(map(tuple, rows)), tuple(scores), framed.cut)


def cross_attention(trained: TrainedText, source: str, ids: Sequence[int]) -> CrossAttention:
    """Return where a decoder looks when it writes the tokens `ids`, all of them at once.

    Raises `InputError` as `translate`.

    >>> from saddlepoint.text import Framing, TransformerDesign, WordTokeniser
    >>> net = Transformer(TransformerDesign(9, 16, 2, 4, 32)).eval()
    >>> trained = TrainedText(net, Framing(WordTokeniser(["a", "b"])), ())
    >>> found = cross_attention(trained, "a b", [8])
    >>> found.source, found.written, found.maps.shape
    (('a', 'b', '[EOS]'), ('b', '[EOS]'), torch.Size([2, 4, 2, 3]))
    """
    model, tokeniser = _transformer(trained), trained.framing.tokeniser
    device = model.embedding.weight.device
    read = trained.framing.sources([source]).tokens.to(device)
    with torch.no_grad(), record_attention(model) as seen:
        model(read, padded([[BOS, *ids]]).to(device))
    maps = [seen[f"decoder.{i}.cross"][0] for i in range(len(model.decoder))]
    tokens = tokeniser.tokens(read.ids[0].tolist())
    return CrossAttention(
        tuple(tokens), (*tokeniser.tokens(ids), "[EOS]"), torch.stack(maps).float().cpu()
    )


def _transformer(trained: TrainedText) -> Transformer:
    if not isinstance(trained.model, Transformer):
        raise InputError(
            f"a {type(trained.model).__name__} writes no translations; give a training by translate"
        )
    return trained.model
