"""The overpowered search: two images of a generator that are near each other and differ in class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.attacks import Misclassified
from saddlepoint.model import Guard, device_of
from saddlepoint.streams import Keys
from saddlepoint.threat.norms import unit
from saddlepoint.zoo import Generator


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs z, z′: how far their images are apart in L2, and which are found.

    >>> z, found = torch.zeros(2, 1), torch.tensor([True, False])
    >>> Pairs(z, z, torch.tensor([0.5, 2.0]), found).share
    0.5
    """

    z: Float[Tensor, "n d"]
    other: Float[Tensor, "n d"]
    distance: Float[Tensor, " n"]
    found: Bool[Tensor, " n"]

    @property
    def share(self) -> float:
        """The share of pairs that are near and differ in class."""
        return float(self.found.double().mean())


def overpowered(
    generator: Generator,
    model: nn.Module,
    *,
    pairs: int,
    eta: float,
    steps: int = 100,
    step_size: float = 0.05,
    seed: int = 0,
) -> Pairs:
    """Search z, z′ with ‖G(z) − G(z′)‖₂ ≤ η and different classes, each pair from z = z′ + noise.

    Where a pair is further apart than η both take a step towards each other; elsewhere z′ takes one up
    the loss of the class of the first G(z). No image is attacked: what is found says that the
    generator's own images are no safe place, however well images are put there.

    Reference: Jalal, Ilyas, Daskalakis and Dimakis 2017, arXiv:1712.09196.

    >>> from saddlepoint.zoo import MLPGenerator
    >>> made = MLPGenerator(4, size=4)
    >>> found = overpowered(made, nn.Flatten(), pairs=3, eta=1.0, steps=20)
    >>> bool((found.distance[found.found] <= 1.0).all())
    True
    """
    device = device_of(model)
    keys, rule = Keys(seed, torch.arange(pairs, device=device)), Misclassified()
    generator = generator.to(device)
    z = keys.normal((generator.latent,))
    other = z + 0.01 * keys.normal((generator.latent,), draw=1)
    length = step_size * math.sqrt(generator.latent)
    best = (z.clone(), other.clone(), torch.full((pairs,), torch.inf, device=device))
    found = torch.zeros(pairs, dtype=torch.bool, device=device)
    with Guard(model, pairs, seed=seed) as guard:
        labels = guard.logits(generator(z)).argmax(1)
        for _ in range(steps):
            logits, slope = guard.gradient(
                other, lambda s: -rule.margin(s, labels), render=generator
            )
            with torch.enable_grad():
                a, b = z.detach().requires_grad_(), other.detach().requires_grad_()
                apart = (generator(a) - generator(b)).flatten(1).norm(dim=1)
                towards = torch.autograd.grad(apart.sum(), (a, b))
            same = guard.logits(generator(z)).argmax(1) == labels
            near = apart.detach() <= eta
            now = near & same & (logits.argmax(1) != labels)
            new = now & ~found
            for kept, value in zip(best, (z, other, apart.detach()), strict=True):
                kept[new] = value[new]
            found |= now
            far = ~near[:, None]
            z = torch.where(far, z - length * unit(towards[0], 2), z)
            other = torch.where(
                far, other - length * unit(towards[1], 2), other + length * unit(slope, 2)
            )
    return Pairs(*best, found)
