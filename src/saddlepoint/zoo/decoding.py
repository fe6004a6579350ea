"""Decoding token by token: what attention keeps of earlier tokens, and who may look at whom."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.errors import InputError

Pair = tuple[Tensor, ...]


class Cache:
    """Keys and values of one attention layer, for one batch of sequences that grow.

    Each layer needs its own: one for the attention of the tokens among themselves, one for that to
    an encoder's.

    >>> from saddlepoint.zoo.attention import Attention
    >>> layer, tokens, cache = Attention(8, 2).eval(), torch.rand(1, 4, 8), Cache()
    >>> steps = [layer(tokens[:, i : i + 1], cache=cache) for i in range(4)]
    >>> whole = layer(tokens, bias=causal_bias(4))
    >>> torch.allclose(torch.cat(steps, 1), whole, atol=1e-6), len(cache)
    (True, 4)
    """

    def __init__(self) -> None:
        self._kept: Pair = ()
        self._source: Tensor | None = None

    def __len__(self) -> int:
        return self._kept[0].shape[-2] if self._kept else 0

    def extended(
        self, key: Float[Tensor, "... t e"], value: Float[Tensor, "... t e"]
    ) -> tuple[Float[Tensor, "... s e"], Float[Tensor, "... s e"]]:
        """Append the keys and values of new tokens; return those of all tokens so far.

        Raises `InputError` where the cache is of another batch, or of an encoder's tokens.
        """
        if self._source is not None:
            raise InputError("this cache is of an encoder's tokens; give each attention its own")
        if self._kept:
            held, new = self._kept[0].shape, key.shape
            if (*held[:-2], held[-1]) != (*new[:-2], new[-1]):
                raise InputError(
                    f"the cache holds keys {tuple(held)}, and those that come are {tuple(new)};"
                    " begin a new one for each batch"
                )
            key, value = (
                torch.cat(pair, -2) for pair in zip(self._kept, (key, value), strict=True)
            )
        self._kept = key, value
        return key, value

    def follow(self, rows: Int64[Tensor, " n"]) -> None:
        """Let each sequence of the batch go on from the one that `rows` names, as beams do.

        >>> cache = Cache()
        >>> _ = cache.extended(torch.tensor([[[1.0]], [[2.0]]]), torch.zeros(2, 1, 1))
        >>> cache.follow(torch.tensor([1, 1]))
        >>> cache.extended(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))[0].flatten().tolist()
        [2.0, 0.0, 2.0, 0.0]
        """
        self._kept = tuple(each[rows] for each in self._kept)

    def once(self, source: Tensor, make: Callable[[], Pair]) -> Pair:
        """Return the keys and values of an encoder's tokens, which are made in the first call.

        Raises `InputError` where the tokens are not those of the first call.
        """
        if not self._kept:
            self._kept, self._source = make(), source
        if self._source is not source:
            raise InputError("the cache is of other tokens; begin a new one for each batch")
        return self._kept


def causal_bias(
    tokens: int,
    past: int = 0,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "t s"]:
    """Return the bias by which a token looks at itself and at those before it, `past` cached ones
    among them: 0 there and −inf after it. (Of position t what is hidden is > t; notes that hide ≥ t
    leave the first token nothing to look at.)

    >>> causal_bias(2, past=1)
    tensor([[0., 0., -inf],
            [0., 0., 0.]])
    """
    later = torch.ones(tokens, past + tokens, dtype=torch.bool, device=device).triu(past + 1)
    return torch.zeros(later.shape, dtype=dtype, device=device).masked_fill(later, -torch.inf)


def padding_bias(
    present: Bool[Tensor, "n s"], dtype: torch.dtype | None = None
) -> Float[Tensor, "n 1 1 s"]:
    """Return the bias by which nobody looks at padding; `present` is True for tokens of a sequence.

    >>> padding_bias(torch.tensor([[True, True, False]])).flatten()
    tensor([0., 0., -inf])
    """
    zeros = torch.zeros(present.shape, dtype=dtype, device=present.device)
    return zeros.masked_fill(~present, -torch.inf)[:, None, None]
