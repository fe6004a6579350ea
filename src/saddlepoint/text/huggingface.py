"""Sequence classifiers of Hugging Face from a folder, with their own tokeniser: nothing is fetched, and
no code in it is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.reading import decoding, expanded, read_json, shown
from saddlepoint.text.folder import TrainedText, load_trained_text
from saddlepoint.text.framing import Framing
from saddlepoint.text.heads import SequenceClassifier
from saddlepoint.text.mending import mended
from saddlepoint.text.tokenisers import Tokeniser, tokenisers_library
from saddlepoint.text.tokens import CLS, SEP, SPECIAL, UNK, Tokens, padded
from saddlepoint.zoo.huggingface_files import (
    CONFIG,
    classes_of,
    loaded,
    read_config,
    weight_files,
)

_HF = "hf:"
_MOST = ("max_position_embeddings", "n_positions")
_TOKENISER = "tokenizer.json"
_FIRST = len(SPECIAL)
_PLAIN = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # which ours begin with


class HuggingFaceTokeniser(Tokeniser):
    """The tokeniser in a folder of Hugging Face; ours has the same pieces, and special tokens of ours
    before them, so that all that knows the special tokens works unchanged.

    What stands in a text is text: "[MASK]" in it is no mask.

    Args:
        content: of `tokenizer.json`.

    Raises `InputError` for one whose texts do not begin with [CLS] and end with [SEP].

    >>> from tokenizers import Tokenizer, models, pre_tokenizers, processors
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    >>> theirs = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    >>> theirs.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    >>> theirs.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    >>> ours = HuggingFaceTokeniser(json.loads(theirs.to_str()))
    >>> ours.encode("b a c"), ours.tokens([2, 12, 3])
    ([13, 12, 1], ['[CLS]', 'a', '[SEP]'])
    """

    kind: ClassVar[str] = "huggingface"

    def __init__(self, content: Mapping[str, Any]) -> None:
        library = tokenisers_library()
        whole = library.Tokenizer.from_str(json.dumps(content))
        whole.no_padding()
        whole.no_truncation()
        self._content = dict(content)
        self._tokeniser = library.Tokenizer.from_str(json.dumps({**content, "added_tokens": []}))
        self._tokeniser.no_padding()
        self._tokeniser.no_truncation()
        found = [self._tokeniser.token_to_id(word) for word in _PLAIN]
        missing = [word for word, number in zip(_PLAIN, found, strict=True) if number is None]
        if missing:
            raise InputError(f"the tokeniser has no {missing[0]}; give one of the kind of BERT's")
        self.special: tuple[int, ...] = (*found, found[2], found[3])  # [BOS] and [EOS] never come
        a, b = (self._tokeniser.encode(text, add_special_tokens=False).ids for text in ("a", "b"))
        cls, sep = found[2], found[3]
        if whole.encode("a", "b").ids != [cls, *a, sep, *b, sep]:
            raise InputError(
                "the tokeniser's pairs are not [CLS] A [SEP] B [SEP]; give one of the kind of BERT's"
            )

    @classmethod
    def trained(cls, texts: Iterable[str], size: int, *, lower: bool = False) -> Tokeniser:
        """Raise: it is read, not trained."""
        raise InputError("a tokeniser of Hugging Face is read, not trained; give another kind")

    def __len__(self) -> int:
        return int(self._tokeniser.get_vocab_size()) + _FIRST

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the pieces of a text."""
        ids = self._tokeniser.encode(mended(text), add_special_tokens=False).ids
        return [UNK if i == self.special[UNK] else i + _FIRST for i in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of pieces, without special ones."""
        return str(self._tokeniser.decode([i - _FIRST for i in ids if i >= _FIRST]))

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Return the pieces as text."""
        return [
            SPECIAL[i] if i < _FIRST else str(self._tokeniser.id_to_token(i - _FIRST)) for i in ids
        ]

    def state(self) -> Mapping[str, Any]:
        """Return the content of its file."""
        return {"content": self._content}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Tokeniser:
        """Return the tokeniser of a state."""
        return cls(state["content"])


class HuggingFaceClassifier(nn.Module):
    """A sequence classifier of Hugging Face that takes `Tokens`.

    Args:
        net: from `AutoModelForSequenceClassification`.
        special: its numbers of our special tokens.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> theirs = transformers.BertForSequenceClassification(
    ...     transformers.BertConfig(vocab_size=9, intermediate_size=8, **sizes)
    ... )
    >>> net = HuggingFaceClassifier(theirs, (0, 1, 2, 3, 4, 2, 3)).eval()
    >>> net(Tokens(torch.tensor([[2, 12, 3]]), torch.ones(1, 3, dtype=torch.bool))).shape
    torch.Size([1, 2])
    """

    net: Any
    numbers: Tensor

    def __init__(self, net: nn.Module, special: tuple[int, ...]) -> None:
        super().__init__()
        theirs: Any = net
        self.net = theirs
        words: Any = theirs.get_input_embeddings()
        size = int(words.num_embeddings)
        numbers = torch.cat([torch.tensor(special), torch.arange(size)])
        self.register_buffer("numbers", numbers, persistent=False)

    @property
    def vocabulary(self) -> int:
        """The tokens that there are embeddings of, our special ones among them."""
        return len(self.numbers)

    def forward(self, tokens: Tokens) -> Float[Tensor, "n k"]:
        """Return the logits."""
        return self.from_embedding(self.embedding(tokens), tokens.keep)

    def embedding(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return the embeddings of words, and what the second segment has more than the first."""
        words: Any = self.net.get_input_embeddings()
        out: Tensor = words(self.numbers[tokens.ids])
        table: Any = getattr(
            getattr(self.net.base_model, "embeddings", None), "token_type_embeddings", None
        )
        if table is None or tokens.segments is None or len(table.weight) < 2:
            return out
        second: Tensor = table.weight[1] - table.weight[0]
        return out + second * tokens.segments[:, :, None].to(out)

    def from_embedding(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n k"]:
        """Return the logits of embeddings."""
        out: Tensor = self.net(inputs_embeds=embedded, attention_mask=keep.long()).logits
        return out


def load_huggingface_text(folder: Path | str) -> TrainedText:
    """Return the sequence classifier in a folder of `save_pretrained`, with its `tokenizer.json`.

    Raises `InputError` where a file is missing, weights are no safetensors, or the tokeniser is not of
    the kind of BERT's.

    >>> load_huggingface_text("no-such")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; hf:FOLDER takes what save_pretrained wrote
    """
    path = expanded(folder)
    config, name = read_config(path), f"hf:{shown(folder)}"
    files = weight_files(path)
    if not (path / _TOKENISER).exists():
        raise InputError(
            f"{shown(path)} has no {_TOKENISER}; save the tokeniser there: tokenizer.save_pretrained"
        )
    content = read_json(path / _TOKENISER)
    with decoding(path / _TOKENISER, "a whole tokeniser"):
        tokeniser = HuggingFaceTokeniser(content)
    names, count = classes_of(config, path / CONFIG)
    net = loaded(path, files, name, "AutoModelForSequenceClassification")
    model = HuggingFaceClassifier(net, tokeniser.special).eval()
    if len(model.numbers) < len(tokeniser):
        raise InputError(
            f"{name} has embeddings of {len(model.numbers) - _FIRST} tokens, and its tokeniser has"
            f" {len(tokeniser) - _FIRST}; give the model's own"
        )
    _check_padding(model, name)
    framing = Framing(tokeniser, _positions(model, config))
    return TrainedText(model, framing, names or tuple(map(str, range(count))))


def _check_padding(model: HuggingFaceClassifier, name: str) -> None:
    """Raise `InputError` where a text is judged by its padding, as a decoder is that is not told which
    token is its last.
    """
    word = len(model.numbers) - 1
    rows = [[CLS, word, word, SEP], [CLS, *[word] * 6, SEP]]
    alone, beside = padded(rows[:1]), padded(rows).at(torch.tensor([0]))
    with torch.no_grad():
        first, second = model(alone), model(beside)
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-4):
        raise InputError(
            f"{name}: what it says of a text depends on its padding (it reads from left to right, or"
            " has no mask); give an encoder, such as BERT or DistilBERT"
        )


def _positions(model: HuggingFaceClassifier, config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model has positions for: as many as it says, or fewer where the first
    positions are not of words.
    """
    said = next((config[key] for key in _MOST if isinstance(config.get(key), int)), None)
    for most in () if said is None else range(said, max(said - 4, 2), -1):
        try:
            with torch.no_grad():
                model(padded([[CLS, *[len(model.numbers) - 1] * (most - 2), SEP]]))
        except (IndexError, RuntimeError):
            continue
        return int(most)
    return None


def load_text_classifier(spec: Path | str) -> TrainedText:
    """Return a classifier of texts: `hf:FOLDER`, or the folder of a training by classify.

    Raises `InputError` where there is none.

    >>> load_text_classifier("hf:no-such")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; hf:FOLDER takes what save_pretrained wrote
    """
    if str(spec).startswith(_HF):
        return load_huggingface_text(str(spec).removeprefix(_HF))
    found = load_trained_text(spec)
    if not isinstance(found.model, SequenceClassifier):
        raise InputError(
            f"{shown(spec)} holds a {type(found.model).__name__}, which tells no classes of texts; give a"
            " training by classify"
        )
    return found
