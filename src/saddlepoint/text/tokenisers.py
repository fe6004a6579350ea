"""From text to the numbers of tokens and back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError, unknown
from saddlepoint.files import fingerprint, write
from saddlepoint.reading import decoding, read_json, shown
from saddlepoint.text.mending import joined, mended
from saddlepoint.text.tokens import SPECIAL, UNK


class Tokeniser(ABC):
    """Numbers from 0 for tokens, the special ones first.

    What stands in a text is text: "[MASK]" in a review is no mask. C1 control characters are mended.

    >>> tokeniser = CharacterTokeniser.trained(["12+3"], 20)
    >>> ids = tokeniser.encode("3+1=")
    >>> ids, tokeniser.decode(ids), len(tokeniser)
    ([10, 7, 8, 1], '3+1', 11)
    """

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def trained(cls, texts: Iterable[str], size: int, *, lower: bool = False) -> Tokeniser:
        """Return a tokeniser with the at most `size` tokens that are most frequent in texts.

        Args:
            texts: where tokens are looked for.
            size: of the vocabulary, special tokens among it.
            lower: whether capitals are small letters.
        """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text, without special ones but [UNK]."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens, without special ones."""

    @abstractmethod
    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens as text, special ones too."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """Return what `restored` makes the tokeniser of, as JSON values."""

    @classmethod
    @abstractmethod
    def restored(cls, state: Mapping[str, Any]) -> Tokeniser:
        """Return the tokeniser of a state."""

    @cached_property
    def fingerprint(self) -> str:
        """16 digits that identify the tokeniser."""
        return fingerprint({"kind": self.kind, **self.state()})

    def save(self, path: Path | str) -> Path:
        """Write the tokeniser as JSON; see `load_tokeniser`."""
        return write(
            Path(path), json.dumps({"kind": self.kind, **self.state()}, ensure_ascii=False)
        )


class CharacterTokeniser(Tokeniser):
    """A token for each character, without the library.

    >>> CharacterTokeniser.trained(["aab"], 9).tokens([7, 8])
    ['a', 'b']
    """

    kind: ClassVar[str] = "characters"
    between: ClassVar[str] = ""
    """What divides tokens in a text."""

    def __init__(self, words: Sequence[str], lower: bool = False) -> None:
        self.words, self.lower = (*SPECIAL, *words), lower
        self._numbers = {word: i for i, word in enumerate(self.words) if i >= len(SPECIAL)}

    @classmethod
    def trained(cls, texts: Iterable[str], size: int, *, lower: bool = False) -> Tokeniser:
        """Return a tokeniser with the most frequent tokens, equals in the order of the alphabet."""
        check_count("size", size, len(SPECIAL) + 1)
        counts = Counter(word for text in texts for word in cls._divided(text, lower))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))[: size - len(SPECIAL)]
        return cls(sorted(ranked), lower)

    @classmethod
    def _divided(cls, text: str, lower: bool) -> Sequence[str]:
        text = mended(text)
        return list(text.lower() if lower else text)

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text, 1 for what has none."""
        return [self._numbers.get(word, UNK) for word in self._divided(text, self.lower)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens, without special ones."""
        return self.between.join(self.words[i] for i in ids if i >= len(SPECIAL))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens as text, special ones too."""
        return [self.words[i] for i in ids]

    def state(self) -> Mapping[str, Any]:
        """Return the words and whether capitals are small letters."""
        return {"words": list(self.words[len(SPECIAL) :]), "lower": self.lower}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Tokeniser:
        """Return the tokeniser of a state."""
        return cls([str(word) for word in state["words"]], bool(state["lower"]))


class WordTokeniser(CharacterTokeniser):
    """A token for each word between spaces, without the library.

    >>> WordTokeniser.trained(["a b a", "c"], 9).encode("a b c")
    [7, 8, 1]
    """

    kind: ClassVar[str] = "words"
    between: ClassVar[str] = " "

    @classmethod
    def _divided(cls, text: str, lower: bool) -> Sequence[str]:
        text = mended(text)
        return (text.lower() if lower else text).split()


class WordPieceTokeniser(Tokeniser):
    """Words and pieces of words, by the library `tokenizers` (extra `text`), trained without network.

    Wu et al. 2016, arXiv:1609.08144; Devlin et al. 2019, arXiv:1810.04805.

    >>> tokeniser = WordPieceTokeniser.trained(["low lower lowest"] * 9, 40)
    >>> tokeniser.decode(tokeniser.encode("lowest low"))
    'lowest low'
    """

    kind: ClassVar[str] = "wordpiece"

    def __init__(self, content: Mapping[str, Any]) -> None:
        library = tokenisers_library()
        # No added tokens: they would be found in a text as if they were meant.
        self._content = {**content, "added_tokens": []}
        self._tokeniser = library.Tokenizer.from_str(json.dumps(self._content))
        vocabulary = content["model"]["vocab"]
        if [vocabulary.get(word) for word in SPECIAL] != list(range(len(SPECIAL))):
            raise InputError(
                f"the tokeniser has not {', '.join(SPECIAL)} as its first tokens; train one here"
            )

    @classmethod
    def trained(cls, texts: Iterable[str], size: int, *, lower: bool = False) -> Tokeniser:
        """Return a tokeniser of at most `size` pieces; accents stay.

        Raises `InputError` where the characters alone are more.
        """
        check_count("size", size, len(SPECIAL) + 1)
        library = tokenisers_library()
        raw = library.Tokenizer(library.models.WordPiece(unk_token=SPECIAL[UNK]))
        raw.normalizer = library.normalizers.BertNormalizer(lowercase=lower, strip_accents=False)
        raw.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
        raw.decoder = library.decoders.WordPiece()
        words = Counter(word for text in texts for word in _words(raw, mended(text)))
        inner = sorted({character for word in words for character in word[1:]})
        # The library meets these in the order of a hash, by which it then breaks ties between pieces:
        # given as special ones they have an order, and a training can be repeated.
        first = [*SPECIAL, *(f"##{character}" for character in inner)]
        least = len(first) + len({character for word in words for character in word})
        if least > size:
            raise InputError(f"size is {size}, and the characters alone take {least}; give more")
        trainer = library.trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=first, limit_alphabet=size, show_progress=False
        )
        raw.train_from_iterator(words.elements(), trainer)
        return cls(json.loads(raw.to_str()))

    def __len__(self) -> int:
        return int(self._tokeniser.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the pieces of a text, 1 for words that cannot be put together."""
        return list(self._tokeniser.encode(mended(text)).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of pieces, without special ones."""
        return joined(str(self._tokeniser.decode([i for i in ids if i >= len(SPECIAL)])))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the pieces as text, "##" before one that goes on."""
        return [str(self._tokeniser.id_to_token(i)) for i in ids]

    def state(self) -> Mapping[str, Any]:
        """Return the library's own JSON."""
        return {"content": self._content}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Tokeniser:
        """Return the tokeniser of a state."""
        return cls(state["content"])


TOKENISERS: Mapping[str, type[Tokeniser]] = {
    each.kind: each for each in (CharacterTokeniser, WordTokeniser, WordPieceTokeniser)
}
"""The kinds by name."""


def load_tokeniser(path: Path | str) -> Tokeniser:
    """Return the tokeniser in a file that `Tokeniser.save` wrote.

    Raises `InputError` where the file is missing, damaged, or of an unknown kind.

    >>> load_tokeniser("no-such.json")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.json: No such file or directory
    """
    path = Path(path)
    state = read_json(path)
    kind = str(state.get("kind") if isinstance(state, dict) else None)
    if kind not in TOKENISERS:
        raise unknown(f"kind of tokeniser in {shown(path)}", kind, TOKENISERS)
    with decoding(path, "a whole tokeniser"):
        return TOKENISERS[kind].restored(state)


def check_vocabulary(tokeniser: Tokeniser, vocabulary: int, expected: str | None = None) -> None:
    """Raise `InputError` unless a tokeniser has the vocabulary of a model.

    Args:
        tokeniser: that is to be used.
        vocabulary: tokens that the model has embeddings of.
        expected: the fingerprint of the tokeniser that the model was trained with, where known.

    >>> check_vocabulary(WordTokeniser(["a"]), 9)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the tokeniser has 8 tokens and the model 9; give the model's own
    """
    if len(tokeniser) != vocabulary:
        raise InputError(
            f"the tokeniser has {len(tokeniser)} tokens and the model {vocabulary}; give the model's"
            " own"
        )
    if expected is not None and tokeniser.fingerprint != expected:
        raise InputError(
            f"the tokeniser is {tokeniser.fingerprint} and the model was trained with {expected};"
            " give the model's own"
        )


def _words(tokeniser: Any, text: str) -> list[str]:
    normalised = tokeniser.normalizer.normalize_str(text)
    return [word for word, _ in tokeniser.pre_tokenizer.pre_tokenize_str(normalised)]


def tokenisers_library() -> Any:
    """Return the library `tokenizers`; raises `InputError` where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            "WordPiece needs the library tokenizers; install it with: pip install"
            " 'saddlepoint[text]'"
        ) from error
    return tokenizers
