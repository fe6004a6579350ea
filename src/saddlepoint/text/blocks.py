"""The blocks of text transformers: attention and a perceptron, each added and normalised, in either
order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.text.caches import BlockCache
from saddlepoint.zoo import Attention
from saddlepoint.zoo.transformer_block import Perceptron

Branch = Callable[[Tensor], Tensor]


class PostNorm(nn.Module):
    """LN(x + Drop(f(x))), as published.

    Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762.

    >>> import torch
    >>> add = PostNorm(4, 1e-5, 0.0)
    >>> add(torch.rand(2, 4), lambda x: 3 * x).mean(1).abs().max().item() < 1e-6
    True
    """

    def __init__(self, d: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "... d"], branch: Branch) -> Float[Tensor, "... d"]:
        """Return the tokens after a branch."""
        out: Tensor = self.norm(x + self.dropout(branch(x)))
        return out

    @staticmethod
    def last(d: int, eps: float) -> nn.Module:
        """Return what comes after the last block."""
        return nn.Identity()


class PreNorm(PostNorm):
    """x + Drop(f(LN(x))), and one normalisation after the last block; trains without warm-up.

    Xiong et al., On Layer Normalization in the Transformer Architecture, 2020, arXiv:2002.04745.

    >>> import torch
    >>> PreNorm(4, 1e-5, 0.0)(torch.ones(1, 4), lambda x: x).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """

    def forward(self, x: Float[Tensor, "... d"], branch: Branch) -> Float[Tensor, "... d"]:
        """Return the tokens after a branch."""
        out: Tensor = x + self.dropout(branch(self.norm(x)))
        return out

    @staticmethod
    def last(d: int, eps: float) -> nn.Module:
        """Return what comes after the last block."""
        return nn.LayerNorm(d, eps)


NORM_ORDERS: Mapping[str, type[PostNorm]] = {"post-norm": PostNorm, "pre-norm": PreNorm}
"""Where the normalisation stands, by name."""


@dataclass(frozen=True)
class BlockDesign:
    """The sizes of a block.

    Attributes:
        width: features of a token.
        heads: of each attention.
        hidden: features inside the perceptron.
        eps: of LayerNorm.
        dropout: of every branch.
        attention_dropout: of the attention's weights.
        activation: of the perceptron.
        order: a class of `NORM_ORDERS`.
        d_k: features of a query and of a key in each head; 0 is width/heads.

    >>> BlockDesign(8, 2, 32).order.__name__
    'PostNorm'
    """

    width: int
    heads: int
    hidden: int
    eps: float = 1e-5
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation: type[nn.Module] = nn.ReLU
    order: type[PostNorm] = PostNorm
    d_k: int = 0

    def attention(self) -> Attention:
        """Return an attention layer of these sizes."""
        return Attention(
            self.width, self.heads, dropout=self.attention_dropout, d_k=self.d_k or None
        )

    def add(self) -> PostNorm:
        """Return what adds a branch."""
        return self.order(self.width, self.eps, self.dropout)

    def perceptron(self) -> Perceptron:
        """Return the perceptron, FFN(x) = f(xW₁ + b₁)W₂ + b₂."""
        return Perceptron(self.width, self.hidden, activation=self.activation)

    def last(self) -> nn.Module:
        """Return what comes after the last block."""
        return self.order.last(self.width, self.eps)


class EncoderBlock(nn.Module):
    """Attention of tokens among themselves, and a perceptron.

    >>> import torch
    >>> EncoderBlock(BlockDesign(8, 2, 32))(torch.rand(2, 5, 8), None).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, design: BlockDesign) -> None:
        super().__init__()
        self.attention = design.attention()
        self.add_attention = design.add()
        self.mlp = design.perceptron()
        self.add_mlp = design.add()

    def forward(self, x: Float[Tensor, "n t d"], bias: Tensor | None) -> Float[Tensor, "n t d"]:
        """Return the tokens after the block."""
        x = self.add_attention(x, lambda q: self.attention(q, bias=bias))
        out: Tensor = self.add_mlp(x, self.mlp)
        return out


class DecoderBlock(nn.Module):
    """Masked attention of tokens among themselves, attention to an encoder's, and a perceptron.

    >>> import torch
    >>> block = DecoderBlock(BlockDesign(8, 2, 32))
    >>> block(torch.rand(2, 5, 8), torch.rand(2, 7, 8), None, None).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, design: BlockDesign) -> None:
        super().__init__()
        self.attention = design.attention()
        self.add_attention = design.add()
        self.cross = design.attention()
        self.add_cross = design.add()
        self.mlp = design.perceptron()
        self.add_mlp = design.add()

    def forward(
        self,
        x: Float[Tensor, "n t d"],
        memory: Float[Tensor, "n s d"],
        bias: Tensor | None,
        memory_bias: Tensor | None,
        cache: BlockCache | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return the tokens after the block."""
        own, cross = (None, None) if cache is None else (cache.own, cache.cross)
        x = self.add_attention(x, lambda q: self.attention(q, bias=bias, cache=own))
        x = self.add_cross(x, lambda q: self.cross(q, memory, memory_bias, cross))
        out: Tensor = self.add_mlp(x, self.mlp)
        return out
