"""The Transformer: an encoder reads a sentence, a decoder writes another, token after token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import check_names
from saddlepoint.option_values import BelowOne, Count, Natural, check_fields
from saddlepoint.text.blocks import NORM_ORDERS, BlockDesign, DecoderBlock, EncoderBlock
from saddlepoint.text.caches import DecoderCache
from saddlepoint.text.positions import TEXT_POSITIONS, NoTextPositions
from saddlepoint.text.tokens import Tokens
from saddlepoint.zoo import causal_bias, padding_bias

_EPS = 1e-5  # of every LayerNorm


@dataclass(frozen=True)
class TransformerDesign:
    """The sizes of a Transformer, and what it is made of.

    Attributes:
        vocabulary: tokens that there are, of both languages.
        width: features of a token, d.
        depth: blocks of the encoder, and of the decoder, N.
        heads: of each attention, h.
        hidden: features inside the perceptrons.
        positions: "sinusoidal", "learned" or "none".
        most: positions of a learned table.
        order: "post-norm", as published, or "pre-norm".
        dropout: of every branch, and of embeddings with their codes.
        attention_dropout: of the attention's weights, which the paper has not.
        d_k: features of a query and of a key in each head; 0 is width/heads, as published.

    Raises `InputError` for what is no number in range, or no name of a kind.

    >>> TransformerDesign(order="sandwich")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown order 'sandwich'; (known: post-norm, pre-norm)
    """

    vocabulary: Count = 37_000
    width: Count = 512
    depth: Count = 6
    heads: Count = 8
    hidden: Count = 2048
    positions: str = "sinusoidal"
    most: Count = 512
    order: str = "post-norm"
    dropout: BelowOne = 0.1
    attention_dropout: BelowOne = 0.0
    d_k: Natural = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, known in (("positions", TEXT_POSITIONS), ("order", NORM_ORDERS)):
            check_names(name, getattr(self, name), known)

    @property
    def block(self) -> BlockDesign:
        """The sizes of a block."""
        return BlockDesign(
            self.width, self.heads, self.hidden, _EPS, self.dropout, self.attention_dropout,
            nn.ReLU, NORM_ORDERS[self.order], self.d_k,
        )  # fmt: skip


TRANSFORMERS: Mapping[str, TransformerDesign] = MappingProxyType(
    {
        "transformer-base": TransformerDesign(),
        "transformer-big": TransformerDesign(width=1024, heads=16, hidden=4096, dropout=0.3),
        "transformer-micro": TransformerDesign(4000, width=128, depth=3, heads=4, hidden=512),
    }
)
"""base and big of Vaswani et al. (2017); `transformer-micro` is ours."""


class Transformer(nn.Module):
    """Encoder and decoder, with one table of embeddings for both and, transposed, for the logits.

    Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762. Embeddings are multiplied by
    √d, since they begin at a length of 1 where the codes have √(d/2); where one reads that they are
    divided by it, that is a slip.

    >>> from saddlepoint.text.tokens import padded
    >>> net = Transformer(TransformerDesign(20, 16, 1, 2, 32))
    >>> net(padded([[7, 8, 6], [9, 6]]), padded([[5, 7], [5]])).shape
    torch.Size([2, 2, 20])
    """

    positions: NoTextPositions

    def __init__(self, design: TransformerDesign = TRANSFORMERS["transformer-micro"]) -> None:
        super().__init__()
        self.design = design
        self.embedding = nn.Embedding(design.vocabulary, design.width)
        self.positions = TEXT_POSITIONS[design.positions](design.most, design.width)
        self.dropout = nn.Dropout(design.dropout)
        self.encoder = nn.ModuleList(EncoderBlock(design.block) for _ in range(design.depth))
        self.encoder_norm = design.block.last()
        self.decoder = nn.ModuleList(DecoderBlock(design.block) for _ in range(design.depth))
        self.decoder_norm = design.block.last()
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)
        nn.init.normal_(self.embedding.weight, std=design.width**-0.5)

    def forward(self, source: Tokens, target: Tokens) -> Float[Tensor, "n t v"]:
        """Return the logits of the token after each of `target`."""
        return self.logits(self.decode(target, self.encode(source), source.keep))

    def encode(self, tokens: Tokens) -> Float[Tensor, "n s d"]:
        """Return what the encoder makes of each token."""
        x = self.embedded(tokens)
        bias = padding_bias(tokens.keep, x.dtype)
        for block in self.encoder:
            x = block(x, bias)
        out: Tensor = self.encoder_norm(x)
        return out

    def decode(
        self,
        tokens: Tokens,
        memory: Float[Tensor, "n s d"],
        memory_keep: Bool[Tensor, "n s"],
        cache: DecoderCache | None = None,
    ) -> Float[Tensor, "n t d"]:
        """Return what the decoder makes of each token, which sees itself and those before it.

        Args:
            tokens: of the target, from the beginning or, with a cache, those that are new.
            memory: what the encoder made of the source.
            memory_keep: where it is no padding.
            cache: of earlier tokens; `new_cache` begins one.
        """
        past = 0 if cache is None else len(cache)
        x = self.embedded(tokens, past)
        keep = tokens.keep if cache is None else cache.extended(tokens.keep)
        bias = causal_bias(tokens.ids.shape[1], past, device=x.device, dtype=x.dtype)
        bias = bias + padding_bias(keep, x.dtype)
        memory_bias = padding_bias(memory_keep, x.dtype)
        for i, block in enumerate(self.decoder):
            x = block(x, memory, bias, memory_bias, None if cache is None else cache.blocks[i])
        out: Tensor = self.decoder_norm(x)
        return out

    def embedded(self, tokens: Tokens, past: int = 0) -> Float[Tensor, "n t d"]:
        """Return the embeddings times √d, with the codes of their places."""
        x = self.embedding(tokens.ids) * math.sqrt(self.design.width)
        out: Tensor = self.dropout(self.positions(x, past))
        return out

    def logits(self, hidden: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
        """Return the logits of the next token, without a bias."""
        return functional.linear(hidden, self.embedding.weight)

    def new_cache(self) -> DecoderCache:
        """Return an empty cache for `decode`."""
        return DecoderCache(self.design.depth)
