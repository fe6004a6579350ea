"""What stands on a BERT: heads for pre-training, for sentences and pairs of them, and for tokens."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.text.bert import STD, Bert, bert_normal
from saddlepoint.text.tokens import Tokens


class MLMHead(nn.Module):
    """Logits of the words behind masks: linear, GELU, LayerNorm, and the table of words with a bias.

    The table is the encoder's and given with every call: it is a parameter once.

    >>> import torch
    >>> MLMHead(16, 20)(torch.rand(2, 3, 16), torch.rand(20, 16)).shape
    torch.Size([2, 3, 20])
    """

    def __init__(self, d: int, vocabulary: int, std: float = STD) -> None:
        super().__init__()
        self.dense = nn.Linear(d, d)
        self.norm = nn.LayerNorm(d, 1e-12)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.apply(partial(bert_normal, std=std))

    def forward(
        self, hidden: Float[Tensor, "... d"], table: Float[Tensor, "v d"]
    ) -> Float[Tensor, "... v"]:
        """Return the logits; `table` is the weight of the embeddings of words."""
        return functional.linear(self.norm(functional.gelu(self.dense(hidden))), table, self.bias)


class ClassificationHead(nn.Module):
    """Dropout and a linear layer on the pooled token, for a sentence or a pair.

    >>> import torch
    >>> ClassificationHead(16, 3)(torch.rand(2, 16)).shape
    torch.Size([2, 3])
    """

    def __init__(self, d: int, classes: int, dropout: float = 0.1, std: float = STD) -> None:
        super().__init__()
        if classes < 2:
            raise InputError(f"classes is {classes}; give at least 2")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(d, classes)
        self.apply(partial(bert_normal, std=std))

    def forward(self, pooled: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        """Return the logits."""
        out: Tensor = self.linear(self.dropout(pooled))
        return out


class TokenHead(ClassificationHead):
    """The same on every token.

    >>> import torch
    >>> TokenHead(16, 5)(torch.rand(2, 3, 16)).shape
    torch.Size([2, 3, 5])
    """


class NSPHead(ClassificationHead):
    """Two logits on the pooled token: 0, B follows A; 1, it is of another document.

    >>> import torch
    >>> NSPHead(16)(torch.rand(2, 16)).shape
    torch.Size([2, 2])
    """

    def __init__(self, d: int, std: float = STD) -> None:
        super().__init__(d, 2, dropout=0.0, std=std)


class SequenceClassifier(nn.Module):
    """A BERT and a head: a class for each sentence or pair.

    >>> from saddlepoint.text.bert import BertDesign
    >>> from saddlepoint.text.tokens import padded
    >>> net = SequenceClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), ClassificationHead(16, 2))
    >>> tokens = padded([[2, 7, 3], [2, 3]])
    >>> same = net.eval()(tokens), net.from_embedding(net.embedding(tokens), tokens.keep)
    >>> torch.equal(*same)
    True
    """

    def __init__(self, bert: Bert, head: ClassificationHead) -> None:
        super().__init__()
        self.bert, self.head = bert, head

    @property
    def vocabulary(self) -> int:
        """The tokens that there are embeddings of."""
        return self.bert.design.vocabulary

    def forward(self, tokens: Tokens) -> Float[Tensor, "n k"]:
        """Return the logits."""
        return self.from_embedding(self.embedding(tokens), tokens.keep)

    def embedding(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return what `from_embedding` goes on from."""
        return self.bert.embed(tokens)

    def from_embedding(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n k"]:
        """Return the logits of embeddings."""
        out: Tensor = self.head(self.bert.pooled(self.bert.encode(embedded, keep), keep))
        return out


class TokenClassifier(nn.Module):
    """A BERT and a head: a class for each token.

    >>> from saddlepoint.text.bert import BertDesign
    >>> from saddlepoint.text.tokens import padded
    >>> net = TokenClassifier(Bert(BertDesign(20, 16, 1, 2, 32, 8)), TokenHead(16, 3))
    >>> net(padded([[2, 7, 3], [2, 3]])).shape
    torch.Size([2, 3, 3])
    """

    def __init__(self, bert: Bert, head: TokenHead) -> None:
        super().__init__()
        self.bert, self.head = bert, head

    def forward(self, tokens: Tokens) -> Float[Tensor, "n t k"]:
        """Return the logits of every token, those of padding among them."""
        out: Tensor = self.head(self.bert(tokens))
        return out


def last_four(bert: Bert, tokens: Tokens) -> Float[Tensor, "n t 4d"]:
    """Return what the last four blocks make of each token, beside each other: features of a frozen
    BERT for another model.

    Devlin et al. 2019, section 5.3. Raises `InputError` for a BERT of fewer blocks.

    >>> from saddlepoint.text.bert import BertDesign
    >>> from saddlepoint.text.tokens import padded
    >>> last_four(Bert(BertDesign(20, 16, 4, 2, 32, 8)), padded([[2, 7, 3]])).shape
    torch.Size([1, 3, 64])
    """
    if bert.design.depth < 4:
        raise InputError(f"the BERT has {bert.design.depth} blocks; features are of the last 4")
    return torch.cat(bert.layers(bert.embed(tokens), tokens.keep)[-4:], -1)
