"""BERT: an encoder of text that sees both sides of a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.errors import check_names
from saddlepoint.option_values import BelowOne, Count, Positive, check_fields
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, EncoderBlock
from saddlepoint.text.directions import DIRECTIONS
from saddlepoint.text.positions import TEXT_POSITIONS, NoTextPositions
from saddlepoint.text.tokens import Tokens

_EPS = 1e-12  # of every LayerNorm, as published
STD = 0.02
"""The standard deviation of initial weights, as published for a width of 768 and more."""


@dataclass(frozen=True)
class BertDesign:
    """The sizes of a BERT.

    Attributes:
        vocabulary: tokens that there are.
        width: features of a token, H.
        depth: blocks, L.
        heads: of each attention, A.
        hidden: features inside the perceptrons.
        most: positions.
        positions: "learned", as published, "sinusoidal" or "none".
        direction: "both", or "left-to-right", a language model to compare with.
        order: "post-norm", as published, or "pre-norm".
        dropout: of every branch and of embeddings.
        attention_dropout: of the attention's weights.
        initial: standard deviation of the weights as they begin; with the published 0.02 narrow
            networks stay on plateaus.

    Raises `InputError` for what is no number in range, or no name of a kind.

    >>> BertDesign(direction="right")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown direction 'right'; ... (known: both, left-to-right)
    """

    vocabulary: Count = 30_522
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    hidden: Count = 3072
    most: Count = 512
    positions: str = "learned"
    direction: str = "both"
    order: str = "post-norm"
    dropout: BelowOne = 0.1
    attention_dropout: BelowOne = 0.1
    initial: Positive = STD

    def __post_init__(self) -> None:
        check_fields(self)
        kinds = (
            ("positions", TEXT_POSITIONS), ("direction", DIRECTIONS), ("order", NORM_ORDERS),
        )  # fmt: skip
        for name, known in kinds:
            check_names(name, getattr(self, name), known)

    @property
    def block(self) -> BlockDesign:
        """The sizes of a block."""
        return BlockDesign(
            self.width, self.heads, self.hidden, _EPS, self.dropout, self.attention_dropout,
            nn.GELU, NORM_ORDERS[self.order],
        )  # fmt: skip


BERTS: Mapping[str, BertDesign] = MappingProxyType(
    {
        "bert-base": BertDesign(),
        "bert-large": BertDesign(width=1024, depth=24, heads=16, hidden=4096),
        "bert-micro": BertDesign(
            4000, width=128, depth=4, heads=4, hidden=512, most=64, initial=0.05
        ),
    }
)
"""base and large of Devlin et al. (2019); `bert-micro` is ours, its weights begin with 0.02·√(768/128)."""


class Bert(nn.Module):
    """Embeddings of tokens, segments and positions, L blocks, and a pooler.

    Devlin et al., BERT, 2019, arXiv:1810.04805. `embed` ends before the first normalisation: what is
    added there is added to the embedding of the word, and segments and positions stay in it.

    >>> from saddlepoint.text.tokens import padded
    >>> net, tokens = Bert(BertDesign(20, 16, 2, 2, 32, 8)), padded([[2, 7, 3], [2, 3]])
    >>> hidden = net(tokens)
    >>> hidden.shape, net.pooled(hidden, tokens.keep).shape
    (torch.Size([2, 3, 16]), torch.Size([2, 16]))
    """

    positions: NoTextPositions

    def __init__(self, design: BertDesign = BERTS["bert-micro"]) -> None:
        super().__init__()
        self.design = design
        self.words = nn.Embedding(design.vocabulary, design.width)
        self.segments = nn.Embedding(2, design.width)
        self.positions = TEXT_POSITIONS[design.positions](design.most, design.width)
        self.norm = nn.LayerNorm(design.width, _EPS)
        self.dropout = nn.Dropout(design.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(design.block) for _ in range(design.depth))
        self.last_norm = design.block.last()
        self.pooler = nn.Linear(design.width, design.width)
        self.apply(partial(bert_normal, std=design.initial))

    def forward(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return what the last block makes of each token."""
        return self.encode(self.embed(tokens), tokens.keep)

    def embed(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return the sum of the embeddings of token, segment and position."""
        segments = torch.zeros_like(tokens.ids) if tokens.segments is None else tokens.segments
        out: Tensor = self.positions(self.words(tokens.ids) + self.segments(segments))
        return out

    def encode(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n t d"]:
        """Return what the last block makes of embeddings."""
        return self.layers(embedded, keep)[-1]

    def layers(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> list[Float[Tensor, "n t d"]]:
        """Return what each block makes of embeddings, the first after the normalised embeddings."""
        x = self.dropout(self.norm(embedded))
        bias = DIRECTIONS[self.design.direction].bias(keep, x.dtype)
        found = [x]
        for block in self.blocks:
            found.append(block(found[-1], bias))
        found[-1] = self.last_norm(found[-1])
        return found

    def pooled(
        self, hidden: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"] | None = None
    ) -> Float[Tensor, "n d"]:
        """Return tanh(W h + b) of the token that stands for the sequence; without `keep` nothing is
        padding.
        """
        first = DIRECTIONS[self.design.direction].summary(hidden, keep)
        out: Tensor = self.pooler(first).tanh()
        return out


def bert_normal(part: nn.Module, std: float = STD) -> None:
    """Draw a linear layer or a table from N(0, std²), cut at ±2 std, with biases of 0, in place.

    >>> layer = nn.Linear(9, 9)
    >>> bert_normal(layer)
    >>> bool(layer.weight.std() < 0.04), bool(layer.bias.any())
    (True, False)
    """
    if isinstance(part, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(part.weight, std=std, a=-2 * std, b=2 * std)
    if isinstance(part, nn.Linear):
        nn.init.zeros_(part.bias)
