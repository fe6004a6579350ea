"""The game of GANs over a few outcomes, where everything is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError


def best_discriminator(p: Float[Tensor, " m"], g: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Return D* = p / (p + g), the best answer to a generator of distribution g.

    Goodfellow et al. 2014, arXiv:1406.2661, proposition 1.

    >>> best_discriminator(torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])).tolist()
    [0.5, 0.5]
    """
    return p / (p + g)


def value_of(
    d: Float[Tensor, " m"], p: Float[Tensor, " m"], g: Float[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Return V(D, G) = Σ p log D + Σ g log(1 − D); an outcome that never comes adds nothing.

    >>> p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    >>> g = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    >>> [round(float(value_of(best_discriminator(p, each), p, each)), 7) for each in (p, g)]
    [-1.3862944, -1.1360931]
    """
    return (torch.xlogy(p, d) + torch.xlogy(g, 1 - d)).sum()


def jensen_shannon(p: Float[Tensor, " m"], g: Float[Tensor, " m"]) -> float:
    """Return JS(p‖g) in nats, from 0 to log 2; the value at D* is −log 4 + 2·JS.

    >>> import math
    >>> p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    >>> g = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    >>> round(2 * jensen_shannon(p, g) - math.log(4), 7)
    -1.1360931
    """
    middle = (p + g) / 2
    return float(sum((torch.xlogy(a, a) - torch.xlogy(a, middle)).sum() for a in (p, g)) / 2)


def fitted_discriminator(
    p: Sequence[float], g: Sequence[float], samples: int, generator: torch.Generator
) -> Float[Tensor, " m"]:
    """Return D of a logistic regression on one-hot samples of p and of g, at every outcome.

    It maximises V over the samples by L-BFGS, from D = 1/2; the problem is concave. Equal samples
    have equal terms, so that V is computed from how often each comes.

    Raises `InputError` for distributions that are none, or where an outcome does not come.

    >>> d = fitted_discriminator((0.5, 0.5), (0.2, 0.8), 10_000, torch.Generator().manual_seed(0))
    >>> bool((d - torch.tensor([5 / 7, 5 / 13])).abs().max() < 0.02)
    True
    """
    check_distributions(p, g)
    counts = []
    for each in (p, g):
        drawn = torch.multinomial(
            torch.tensor(each, dtype=torch.float64), samples, True, generator=generator
        )
        counts.append(drawn.bincount(minlength=len(p)).double() / samples)
    real, fake = counts
    logits = torch.zeros(len(p), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        v = -(real * torch.nn.functional.softplus(-logits)).sum()
        v = v - (fake * torch.nn.functional.softplus(logits)).sum()
        (-v).backward()  # type: ignore[no-untyped-call]
        return -v

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    return logits.detach().sigmoid()


def check_distributions(p: Sequence[float], g: Sequence[float]) -> None:
    """Raise `InputError` unless both are probabilities of the same outcomes, all of them positive.

    >>> check_distributions((0.5, 0.5), (0.5, 0.6))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: p and g are (0.5, 0.5) and (0.5, 0.6); give positive numbers that ...
    """
    sound = all(min(each, default=0) > 0 and abs(sum(each) - 1) < 1e-9 for each in (p, g))
    if len(p) != len(g) or not sound:
        raise InputError(
            f"p and g are {tuple(p)} and {tuple(g)}; give positive numbers that sum to 1, as many of"
            " both"
        )
