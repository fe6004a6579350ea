"""How attention differs between two images, and how much of it goes to given patches."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.errors import InputError


def attention_divergence(
    before: Float[Tensor, "*rows s"], after: Float[Tensor, "*rows s"]
) -> Float[Tensor, "*rows"]:
    """Return the Jensen-Shannon divergence of two attentions, row by row, in bits: from 0 to 1.

    JS(p‖q) = KL(p‖m)/2 + KL(q‖m)/2 with m = (p + q)/2; a row without attention, all 0, has 0.
    Lin, Divergence Measures Based on the Shannon Entropy, 1991.

    Raises `InputError` where the shapes differ.

    >>> p, q = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    >>> attention_divergence(p, q), attention_divergence(p, p)
    (tensor(1.), tensor(0.))
    """
    if before.shape != after.shape:
        raise InputError(
            f"attention of shapes {tuple(before.shape)} and {tuple(after.shape)} cannot be compared;"
            " give both of one layer and of as many images"
        )
    p, q = before.double(), after.double()
    m = (p + q) / 2
    relative = torch.special.xlogy(p, p / m.where(m > 0, 1)) + torch.special.xlogy(
        q, q / m.where(m > 0, 1)
    )
    bits: Tensor = relative.sum(-1) / (2 * math.log(2))
    return bits.clamp(0, 1).to(before.dtype)


def attention_on(
    attention: Float[Tensor, "n h t t"], patches: Bool[Tensor, "n p"]
) -> Float[Tensor, "n h"]:
    """Return the share of the class token's attention that goes to some of the patches.

    It is a share of what goes to all patches: what the class token gives to itself is left out, so
    that even attention has the share of the patches that are meant.

    Raises `InputError` where the tokens are not a class token and the patches.

    >>> patches = torch.tensor([[True, False, False, False]])
    >>> attention_on(torch.full((1, 1, 5, 5), 0.2), patches)
    tensor([[0.2500]])
    """
    if attention.shape[-1] != patches.shape[1] + 1:
        raise InputError(
            f"attention among {attention.shape[-1]} tokens, but {patches.shape[1]} patches have"
            f" {patches.shape[1] + 1} with a class token"
        )
    among = attention[:, :, 0, 1:]
    share: Tensor = (among * patches[:, None]).sum(-1) / among.sum(-1)
    return share


def changed_patches(
    change: Float[Tensor, "n c h w"], patch: int, *, tolerance: float = 0.0
) -> Bool[Tensor, "n p"]:
    """Return in which p×p patches, row by row, an entry of a change exceeds the tolerance.

    >>> change = torch.zeros(1, 3, 4, 4)
    >>> change[0, 1, 3, 0] = 0.1
    >>> changed_patches(change, 2)
    tensor([[False, False,  True, False]])
    """
    largest = change.abs().amax(1, keepdim=True)
    return torch.nn.functional.max_pool2d(largest, patch).flatten(1) > tolerance
