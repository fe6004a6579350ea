"""A recurrent and a convolutional network for texts, to compare a Transformer with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.text import Bert, BertDesign, Tokens


class Recurrent(Bert):
    """Two layers of a GRU that reads in both directions, in place of the blocks; the sequence is the
    last state of either direction.

    Cho et al. 2014, arXiv:1406.1078.

    >>> from saddlepoint.text import padded
    >>> net = Recurrent(BertDesign(20, 16, 1, 2, 32, 8)).eval()
    >>> tokens = padded([[2, 7, 3], [2, 3]])
    >>> alone = padded([[2, 3]])
    >>> first, second = (net.pooled(net(each), each.keep)[-1] for each in (tokens, alone))
    >>> torch.allclose(first, second, atol=1e-6)
    True
    """

    def __init__(self, design: BertDesign) -> None:
        super().__init__(design)
        del self.blocks, self.positions
        self.dropping = nn.Dropout(design.dropout)
        self.read = nn.GRU(design.width, design.width // 2, 2, batch_first=True, bidirectional=True)

    def embed(self, tokens: Tokens) -> Float[Tensor, "n t d"]:
        """Return the embeddings of the tokens."""
        out: Tensor = self.words(tokens.ids)
        return out

    def layers(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> list[Float[Tensor, "n t d"]]:
        """Return the states, the first after the normalised embeddings; zeros of padding."""
        x = self.dropout(self.norm(embedded))
        packed = nn.utils.rnn.pack_padded_sequence(
            x, keep.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = self.read(packed)
        out, _ = nn.utils.rnn.pad_packed_sequence(
            states, batch_first=True, total_length=keep.shape[1]
        )
        return [x, out]

    def pooled(
        self, hidden: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"] | None = None
    ) -> Float[Tensor, "n d"]:
        """Return the last state of each direction."""
        lengths = torch.full((len(hidden),), hidden.shape[1]) if keep is None else keep.sum(1)
        rows, half = torch.arange(len(hidden), device=hidden.device), hidden.shape[2] // 2
        ends = hidden[rows, lengths.to(hidden.device) - 1, :half]
        out: Tensor = self.dropping(torch.cat([ends, hidden[:, 0, half:]], 1))
        return out


class Convolution(Recurrent):
    """Convolutions over 3, 4 and 5 tokens, of which the largest value of each feature is kept.

    Kim 2014, arXiv:1408.5882.

    >>> from saddlepoint.text import padded
    >>> net = Convolution(BertDesign(20, 18, 1, 2, 32, 8)).eval()
    >>> tokens, alone = padded([[2, 7, 8, 9, 10, 3], [2, 3]]), padded([[2, 3]])
    >>> first, second = (net.pooled(net(each), each.keep)[-1] for each in (tokens, alone))
    >>> torch.allclose(first, second, atol=1e-6)
    True
    """

    sizes = (3, 4, 5)

    def __init__(self, design: BertDesign) -> None:
        super().__init__(design)
        del self.read
        several = len(self.sizes)
        features = [design.width // several + (i < design.width % several) for i in range(several)]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(design.width, f, size, padding=size // 2)
            for f, size in zip(features, self.sizes, strict=True)
        )

    def layers(
        self, embedded: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"]
    ) -> list[Float[Tensor, "n t d"]]:
        """Return the features of each place, the first after the normalised embeddings; zeros of
        padding.
        """
        x = self.dropout(self.norm(embedded))
        inside = (x * keep[..., None]).transpose(1, 2)
        made = [each(inside)[..., : keep.shape[1]].transpose(1, 2) for each in self.convolutions]
        return [x, functional.relu(torch.cat(made, 2)) * keep[..., None]]

    def pooled(
        self, hidden: Float[Tensor, "n t d"], keep: Bool[Tensor, "n t"] | None = None
    ) -> Float[Tensor, "n d"]:
        """Return the largest value of each feature, none of which is below 0."""
        out: Tensor = self.dropping(hidden.amax(1))
        return out


WORD_NETWORKS: Mapping[str, Callable[[BertDesign], Bert]] = MappingProxyType(
    {"transformer": Bert, "recurrent": Recurrent, "convolution": Convolution}
)
"""The networks by name: each embeds tokens of the same width."""
