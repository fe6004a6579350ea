"""The losses of both players of the GAN, through log σ, never through the log of σ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from saddlepoint.errors import unknown

GeneratorLoss = Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]
"""From the logits ℓ of fakes to the losses of the generator."""


def game_value(real: Float[Tensor, " n"], fake: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """Return V(D, G) = E log D(x) + E log(1 − D(G(z))) from the logits of both kinds of image.

    D maximises it; at the saddle point D = 1/2 everywhere and V = −log 4.

    >>> import torch
    >>> round(float(game_value(torch.zeros(2), torch.zeros(3))), 6)
    -1.386294
    """
    return logsigmoid(real).mean() + logsigmoid(-fake).mean()


def minimax(fake: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return log(1 − D): the generator's part of V. Its derivative by ℓ is −σ(ℓ): it vanishes where
    D knows a fake, ℓ ≪ 0, which is how a generator begins.

    >>> import torch
    >>> minimax(torch.tensor([0.0, -200.0]))
    tensor([-0.6931, -0.0000])
    """
    return -softplus(fake)


def non_saturating(fake: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return −log D. Its derivative by ℓ is −(1 − σ(ℓ)): of −1 where D knows a fake.

    >>> import torch
    >>> non_saturating(torch.tensor([0.0, -200.0]))
    tensor([  0.6931, 200.0000])
    """
    return softplus(-fake)


GENERATOR_LOSSES: Mapping[str, GeneratorLoss] = MappingProxyType(
    {"non-saturating": non_saturating, "minimax": minimax}
)
"""What the generator minimises: the authors' advice, and what their game prints."""


def generator_loss_named(name: str) -> GeneratorLoss:
    """Return the loss of that name.

    >>> generator_loss_named("minmax")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown loss of a generator 'minmax'; did you mean 'minimax'? ...
    """
    if name not in GENERATOR_LOSSES:
        raise unknown("loss of a generator", name, GENERATOR_LOSSES)
    return GENERATOR_LOSSES[name]
