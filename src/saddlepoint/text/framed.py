"""Texts as sequences of tokens: what a training reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.text.framing import Framed, Framing
from saddlepoint.text.next_sentence import documents_of, sentence_pairs
from saddlepoint.text.text_data import TextData
from saddlepoint.text.tokens import IGNORED, Tokens


@dataclass(frozen=True, eq=False)
class FramedText(ABC):
    """Texts and how they become sequences; each way is a class.

    Everything is tokenised once, when it is first asked for.

    Attributes:
        data: the texts.
        framing: their tokeniser, and how long a sequence may be.

    >>> from saddlepoint.text import WordTokeniser
    >>> data = TextData("two", "all", (("a b",), ("a",)))
    >>> framed = Sentences(data, Framing(WordTokeniser(["a", "b"])))
    >>> tokens, labels = framed.batch(torch.tensor([1]))
    >>> tokens.ids.tolist(), framed.lengths.tolist(), framed.cut
    ([[2, 7, 3]], [4, 3], 0)
    """

    kind: ClassVar[str]

    data: TextData
    framing: Framing

    @property
    def name(self) -> str:
        """The name of the texts."""
        return self.data.name

    @property
    def split(self) -> str:
        """That of the texts."""
        return self.data.split

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the texts."""
        return self.data.classes

    @cached_property
    def fingerprint(self) -> str:
        """16 digits that identify the texts, their tokeniser, and what is cut."""
        framing = self.framing
        told = [
            self.kind,
            self.data.fingerprint,
            framing.tokeniser.fingerprint,
            framing.most,
            framing.truncate,
        ]
        return fingerprint({"framed": told})

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def inputs(self) -> Tokens:
        """All sequences."""
        return self.framed.tokens

    @property
    def cut(self) -> int:
        """How many sequences were too long, and cut."""
        return self.framed.cut

    @cached_property
    def framed(self) -> Framed:
        """All sequences, and how many were cut."""
        return self._frame()

    @property
    def lengths(self) -> Int64[Tensor, " n"]:
        """The tokens of each sequence, which batches are made by."""
        return self.inputs.lengths

    def batch(self, indices: Int64[Tensor, " b"]) -> tuple[Tokens, Any]:
        """Return the sequences at `indices`, and what is to be said of them."""
        return self.inputs.at(indices).trimmed(), self._targets(indices)

    @abstractmethod
    def _frame(self) -> Framed:
        """Return all sequences."""

    @abstractmethod
    def _targets(self, indices: Int64[Tensor, " b"]) -> Any:
        """Return what is to be said."""


@dataclass(frozen=True, eq=False)
class Sentences(FramedText):
    """[CLS] A [SEP] or [CLS] A [SEP] B [SEP], and the class, `IGNORED` without one.

    >>> from saddlepoint.text import WordTokeniser
    >>> data = TextData("one", "all", (("a", "b"),))
    >>> tokens, labels = Sentences(data, Framing(WordTokeniser(["a", "b"]))).batch(torch.tensor([0]))
    >>> tokens.ids.tolist(), tokens.segments.tolist(), labels.tolist()
    ([[2, 7, 3, 8, 3]], [[0, 0, 0, 1, 1]], [-100])
    """

    kind: ClassVar[str] = "sentences"

    def _frame(self) -> Framed:
        if not self.data.of_pairs:
            return self.framing.singles([row[0] for row in self.data.rows])
        return self.framing.pairs(*_sides(self.data))

    def _targets(self, indices: Int64[Tensor, " b"]) -> Int64[Tensor, " b"]:
        return self.data.batch(indices)[1]


@dataclass(frozen=True, eq=False)
class TaggedWords(FramedText):
    """[CLS] A [SEP], and the class of each word at its first token, `IGNORED` at all others.

    Devlin et al. 2019, arXiv:1810.04805, section 5.3. Raises `InputError` for texts without tags.

    >>> from saddlepoint.text import WordTokeniser
    >>> data = TextData("one", "all", (("a b",),), classes=("new", "old"), tags=((0, 1),))
    >>> tokens, tags = TaggedWords(data, Framing(WordTokeniser(["a", "b"]))).batch(torch.tensor([0]))
    >>> tokens.ids.tolist(), tags.tolist()
    ([[2, 7, 8, 3]], [[-100, 0, 1, -100]])
    """

    kind: ClassVar[str] = "tagged words"

    def __post_init__(self) -> None:
        if self.data.tags is None:
            raise InputError(
                f"{self.data.name} has no class for each word; give a column with a list of them"
            )

    @cached_property
    def _words(self) -> tuple[Framed, list[list[int]]]:
        return self.framing.words([row[0] for row in self.data.rows])

    @cached_property
    def _tags(self) -> Int64[Tensor, "n t"]:
        framed, places = self._words
        tags = torch.full_like(framed.tokens.ids, IGNORED)
        assert self.data.tags is not None
        for i, (where, row) in enumerate(zip(places, self.data.tags, strict=True)):
            tags[i, where] = torch.tensor(row[: len(where)])
        return tags

    def _frame(self) -> Framed:
        return self._words[0]

    def _targets(self, indices: Int64[Tensor, " b"]) -> Int64[Tensor, "b t"]:
        return self._tags[indices, : int(self.lengths[indices].max())]


@dataclass(frozen=True, eq=False)
class Translations(FramedText):
    """A [EOS] for the encoder, and [BOS] B for the decoder, as `Tokens`.

    >>> from saddlepoint.text import WordTokeniser
    >>> data = TextData("one", "all", (("a", "b"),))
    >>> read, written = Translations(data, Framing(WordTokeniser(["a", "b"]))).batch(torch.tensor([0]))
    >>> read.ids.tolist(), written.ids.tolist()
    ([[7, 6]], [[5, 8]])

    Raises `InputError` for texts that are no pairs.
    """

    kind: ClassVar[str] = "translations"

    def __post_init__(self) -> None:
        if not self.data.of_pairs:
            raise InputError(
                f"{self.data.name} has no pairs of texts to translate; give two columns"
            )

    @property
    def cut(self) -> int:
        """How many sources and targets were too long, and cut."""
        return self.framed.cut + self._written.cut

    @property
    def lengths(self) -> Int64[Tensor, " n"]:
        """The tokens of the longer of the two."""
        return torch.maximum(self.inputs.lengths, self._written.tokens.lengths)

    @cached_property
    def _written(self) -> Framed:
        return self.framing.targets(_sides(self.data)[1])

    def _frame(self) -> Framed:
        return self.framing.sources(_sides(self.data)[0])

    def _targets(self, indices: Int64[Tensor, " b"]) -> Tokens:
        return self._written.tokens.at(indices).trimmed()


@dataclass(frozen=True, eq=False)
class NextSentences(FramedText):
    """[CLS] A [SEP] B [SEP] of documents, and 0 where B follows A, 1 where it is of another document.

    The texts are documents, which are divided into sentences; pairs are drawn once, by the seed.

    >>> from saddlepoint.text import WordTokeniser
    >>> data = TextData("two", "all", (("A b. C d.",), ("E f. G h.",)))
    >>> framed = NextSentences(data, Framing(WordTokeniser(["A"])))
    >>> len(framed), set(framed.batch(torch.arange(2))[1].tolist()) <= {0, 1}
    (2, True)
    """

    kind: ClassVar[str] = "next sentences"

    seed: int = 0

    @cached_property
    def _pairs(self) -> TextData:
        documents = documents_of(text for row in self.data.rows for text in row)
        pairs = sentence_pairs(documents, self.seed)
        labels = torch.tensor([pair.label for pair in pairs])
        rows = tuple((pair.first, pair.second) for pair in pairs)
        return TextData(self.data.name, self.data.split, rows, labels, ("follows", "does not"))

    @cached_property
    def fingerprint(self) -> str:
        """16 digits that identify all that the sequences follow from, the seed too."""
        return fingerprint({"framed": [super().fingerprint, self.seed]})

    def _frame(self) -> Framed:
        return self.framing.pairs(*_sides(self._pairs))

    def _targets(self, indices: Int64[Tensor, " b"]) -> Int64[Tensor, " b"]:
        return self._pairs.batch(indices)[1]


def _sides(data: TextData) -> tuple[list[str], list[str]]:
    return [row[0] for row in data.rows], [row[1] for row in data.rows]
