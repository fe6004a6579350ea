"""Text as what attacks perturb: the embeddings of its tokens, and a network that goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from saddlepoint.data import ImageBatches
from saddlepoint.data.checks import checked_labels
from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.text.framed import FramedText
from saddlepoint.text.heads import SequenceClassifier
from saddlepoint.text.tokenisers import Tokeniser, check_vocabulary
from saddlepoint.text.tokens import BOS, CLS, EOS, MASK, PAD, SEP, Tokens
from saddlepoint.threat.tokens import FIXED, FREE, PADDING
from saddlepoint.zoo import weights_fingerprint

HELD = (PAD, CLS, SEP, MASK, BOS, EOS)
"""The tokens that no perturbation moves; `[UNK]` stands for a word, and may be moved."""


@runtime_checkable
class Embeds(Protocol):
    """A classifier of tokens that can be entered after its embeddings, as `SequenceClassifier` can.

    >>> from saddlepoint.text import Bert, BertDesign, ClassificationHead, SequenceClassifier
    >>> net = SequenceClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), ClassificationHead(16, 2))
    >>> isinstance(net, Embeds), isinstance(net.bert, Embeds)
    (True, False)
    """

    def embedding(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return the embeddings of tokens."""

    def from_embedding(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n k"]:
        """Return the logits of embeddings."""


class FromEmbedding(nn.Module):
    """A classifier of embedded text (n, T, d + 1), whose last feature is the flag of its token.

    Attacks, judges and evaluations take it for any other model. Which tokens are padding it reads
    from the flags, so that it stays right when samples leave a batch.

    >>> from saddlepoint.text import (
    ...     Bert, BertDesign, ClassificationHead, SequenceClassifier, padded,
    ... )
    >>> net = SequenceClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), ClassificationHead(16, 2))
    >>> tokens = padded([[2, 7, 8, 3], [2, 7, 3]])
    >>> x = flagged(net.eval(), tokens)
    >>> x.shape, bool((FromEmbedding(net)(x) == net(tokens)).all())
    (torch.Size([2, 4, 17]), True)
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        if not isinstance(classifier, Embeds):
            raise InputError(
                f"a {type(classifier).__name__} cannot be entered after its embeddings; give a"
                " classifier of text, which has embedding and from_embedding"
            )
        self.classifier = classifier

    def forward(self, embedded: Float[Tensor, "n t d"]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        keep = embedded[..., -1] > PADDING
        logits: Tensor = self.classifier.from_embedding(embedded[..., :-1], keep)
        return logits


def flagged(
    classifier: Embeds, tokens: Tokens, held: Sequence[int] = HELD
) -> Float[Tensor, "n t d"]:
    """Return the embeddings of tokens with their flags, 0 at padding; with a graph where the table
    has one.

    Args:
        held: the tokens that may not be moved.

    >>> from saddlepoint.text import (
    ...     Bert, BertDesign, ClassificationHead, SequenceClassifier, padded,
    ... )
    >>> net = SequenceClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), ClassificationHead(16, 2))
    >>> flagged(net, padded([[2, 7, 8, 3], [2, 7, 3]]))[..., -1]
    tensor([[0.5000, 1.0000, 1.0000, 0.5000],
            [0.5000, 1.0000, 0.5000, 0.0000]], grad_fn=<SelectBackward0>)
    """
    rows = classifier.embedding(tokens)
    rows = torch.where(tokens.keep[..., None], rows, 0.0)
    flags = torch.where(_movable(tokens, held), FREE, FIXED)
    flags = torch.where(tokens.keep, flags, PADDING).to(rows.dtype)
    return torch.cat([rows, flags[..., None]], dim=-1)


def _movable(tokens: Tokens, held: Sequence[int]) -> Tensor:
    # No isin: on CUDA a list of numbers would be copied from the host, and wait.
    found = tokens.keep
    for each in held:
        found = found & (tokens.ids != each)
    return found


@dataclass(frozen=True, eq=False)
class EmbeddedText(ImageBatches):
    """Labelled sentences as a data set of embeddings (T, d + 1), T the length of the longest: what
    `evaluate` and every attack read in place of images.

    Attributes:
        tokens: of all sentences.
        labels: their classes.
        classifier: whose embeddings they are.
        classes: the names of the classes.
        held: the tokens that may not be moved.
        tokeniser: gives the tokens' words, for pictures; None shows their numbers.

    Raises `InputError` for labels that are no classes, tokens that the classifier has no embedding of,
    and a sentence with nothing that may be moved.

    >>> from saddlepoint.data import ImageData
    >>> from saddlepoint.text import (
    ...     Bert, BertDesign, ClassificationHead, SequenceClassifier, padded,
    ... )
    >>> net = SequenceClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), ClassificationHead(16, 2))
    >>> data = EmbeddedText(padded([[2, 7, 8, 3], [2, 7, 3]]), torch.tensor([0, 1]), net, ("-", "+"))
    >>> isinstance(data, ImageData), data.shape, data.words(1)
    (True, (4, 17), ('2', '7', '3'))
    """

    tokens: Tokens
    labels: Int64[Tensor, " n"]
    classifier: nn.Module
    classes: tuple[str, ...]
    name: str = "text"
    split: str = "all"
    held: tuple[int, ...] = HELD
    tokeniser: Tokeniser | None = None

    def __post_init__(self) -> None:
        FromEmbedding(self.classifier)  # refuses what is no classifier of text
        checked_labels(self.labels, len(self.tokens), len(self.classes))
        known = getattr(self.classifier, "vocabulary", None)
        if isinstance(known, int) and int(self.tokens.ids.max()) >= known:
            raise InputError(
                f"a token is {int(self.tokens.ids.max())}, and the classifier has embeddings of {known};"
                " give the classifier's own tokeniser"
            )
        fixed = ~_movable(self.tokens, self.held).any(1)
        if bool(fixed.any()):
            row = int(fixed.nonzero()[0, 0])
            raise InputError(f"sentence {row} has no token that may be moved; leave it out")

    @classmethod
    def of(cls, framed: FramedText, classifier: nn.Module) -> EmbeddedText:
        """Return the sentences, or pairs, of a data set as a classifier embeds them.

        Raises `InputError` where they have no labels, or the tokeniser is of another vocabulary.

        >>> from saddlepoint.text import (
        ...     Bert, BertDesign, Framing, Sentences, WordTokeniser, load_text, with_head,
        ... )
        >>> texts = load_text("rules:sentiment", limit=9)
        >>> framing = Framing(WordTokeniser.trained([row[0] for row in texts.rows], 99))
        >>> net = with_head(Bert(BertDesign(len(framing.tokeniser), 16, 1, 2, 32)), 2)
        >>> EmbeddedText.of(Sentences(texts, framing), net).words(0)[0]
        '[CLS]'
        """
        labels = framed.data.labels
        if labels is None:
            raise InputError(f"{framed.name} has no labels; name their column, or give other texts")
        if isinstance(classifier, SequenceClassifier):
            check_vocabulary(framed.framing.tokeniser, classifier.vocabulary)
        return cls(
            framed.inputs, labels, classifier, framed.classes, framed.name, framed.split,
            tokeniser=framed.framing.tokeniser,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sentence, (T, d + 1)."""
        return tuple(self._embedded(self.tokens.at(slice(0, 1))).shape[1:])

    @property
    def mean(self) -> tuple[float, ...]:
        """0: embeddings are normalised inside the network."""
        return (0.0,)

    @property
    def std(self) -> tuple[float, ...]:
        """1; see `mean`."""
        return (1.0,)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of tokens, labels and the network whose embeddings are perturbed."""
        segments = self.tokens.segments
        return fingerprint(
            {
                "ids": self.tokens.ids.tolist(),
                "lengths": self.tokens.lengths.tolist(),
                "segments": None if segments is None else segments.tolist(),
                "labels": self.labels.tolist(),
                "held": list(self.held),
                "classifier": weights_fingerprint(self.classifier),
            }
        )

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b t d"]:
        """Return the embedded sentences at `indices`, with their flags."""
        return self._embedded(self.tokens.at(indices.to(self.tokens.ids.device)))

    def words(self, index: int) -> tuple[str, ...]:
        """Return the words of a sentence, one for each of its tokens."""
        ids = self.tokens.ids[index][self.tokens.keep[index]].tolist()
        if self.tokeniser is None:
            return tuple(str(each) for each in ids)
        return tuple(self.tokeniser.tokens(ids))

    def _embedded(self, tokens: Tokens) -> Tensor:
        assert isinstance(self.classifier, Embeds)
        where = next(self.classifier.parameters()).device
        with torch.no_grad():
            return flagged(self.classifier, tokens.to(where), self.held)
