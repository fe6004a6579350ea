"""Looking at the attention of a network while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model.wrapped import bare, plain_modules, uncompiled
from saddlepoint.zoo.attention import Attention

Recorder = Callable[[Tensor], None]


@contextlib.contextmanager
def record_attention(
    model: nn.Module, *, graph: bool = False
) -> Iterator[dict[str, Float[Tensor, "... h t s"]]]:
    """Collect softmax(QKᵀ/√d_h + B) of every attention layer, by the layer's name, in the block.

    The mapping holds the last call of each layer; of a Swin network there is an axis of windows
    before the heads. Layers leave the fused kernel meanwhile, so that logits agree to rounding, and
    what `torch.compile` made runs uncompiled. Nothing is kept unless somebody records. With `graph`
    a loss can be made of the attention; else what is collected is detached.

    Raises `InputError` for a network without such layers, for instance one of timm.

    >>> import torch
    >>> layer = Attention(8, 2)
    >>> with record_attention(nn.Sequential(layer)) as maps:
    ...     _ = layer(torch.rand(1, 3, 8))
    >>> maps["0"].shape, maps["0"].sum(-1).allclose(torch.ones(1))
    (torch.Size([1, 2, 3, 3]), True)
    """
    named = {"": model, **plain_modules(model)}
    parts = {name: bare(part) for name, part in named.items()}
    layers = {name: part for name, part in parts.items() if isinstance(part, Attention)}
    if not layers:
        raise InputError(
            f"{type(model).__name__} has no attention of this package; build zoo:vit-… or zoo:swin-…"
        )
    maps: dict[str, Tensor] = {}

    def keep(name: str, outer: Recorder | None, attention: Tensor) -> None:
        maps[name] = attention if graph else attention.detach()
        if outer is not None:  # somebody else records too
            outer(attention)

    before = {name: layer.recorder for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.recorder = partial(keep, name, before[name])
        with uncompiled(model):
            yield maps
    finally:
        for name, layer in layers.items():
            layer.recorder = before[name]
