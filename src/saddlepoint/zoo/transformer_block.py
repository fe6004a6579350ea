"""The block of a vision transformer: attention and a perceptron, each normalised first and added."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.zoo.attention import Attention, Bias
from saddlepoint.zoo.drop_path import DropPath


class Perceptron(nn.Module):
    """Linear, GELU or another activation, linear, of each token: `expand`, `activation`, `contract`.

    >>> import torch
    >>> Perceptron(8, 32)(torch.rand(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self, d: int, hidden: int, dropout: float = 0.0, activation: type[nn.Module] = nn.GELU
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(d, hidden)
        self.activation = activation()
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(hidden, d)

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Return the tokens, each changed on its own."""
        out: Tensor = self.contract(self.dropout(self.activation(self.expand(x))))
        return out


@dataclass(frozen=True)
class Regulariser:
    """What is left out in training: a share of the activations, and whole branches.

    >>> Regulariser(dropout=0.1).drop_path
    0.0
    """

    dropout: float = 0.0
    drop_path: float = 0.0


NOTHING_LEFT_OUT = Regulariser()


class TransformerBlock(nn.Module):
    """z' = MSA(LN z) + z; z = MLP(LN z') + z'.

    Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929, equations 2 and 3.

    >>> import torch
    >>> TransformerBlock(8, heads=2, hidden=32)(torch.rand(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        d: int,
        heads: int,
        hidden: int,
        eps: float = 1e-6,
        regulariser: Regulariser = NOTHING_LEFT_OUT,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(d, eps)
        self.attention = Attention(d, heads)
        self.dropout = nn.Dropout(regulariser.dropout)
        self.norm2 = nn.LayerNorm(d, eps)
        self.mlp = Perceptron(d, hidden, regulariser.dropout)
        self.drop_path = DropPath(regulariser.drop_path)

    def forward(
        self, z: Float[Tensor, "n ... d"], bias: Bias | None = None
    ) -> Float[Tensor, "n ... d"]:
        """Return the tokens after the block; `bias` is the attention's."""
        z = z + self.drop_path(self.dropout(self.attended(self.norm1(z), bias)))
        out: Tensor = z + self.drop_path(self.dropout(self.mlp(self.norm2(z))))
        return out

    def attended(self, x: Float[Tensor, "n ... d"], bias: Bias | None) -> Float[Tensor, "n ... d"]:
        """Return what each token gathers from all."""
        found: Tensor = self.attention(x, bias=bias)
        return found
