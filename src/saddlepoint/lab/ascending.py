"""Attacks with ascending budgets: the smallest one that fools each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.progress import counted

Budget = TypeVar("Budget", int, float)


def smallest_budgets(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    budgets: Sequence[Budget],
    attack_at: Callable[[Budget, Float[Tensor, "m ..."]], Attack],
    seed: int,
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n ..."]]:
    """Return the smallest budget that fools each image, and the adversarial image, on the CPU.

    What one budget fools, every larger one does; it is not attacked again. The budget is 0 where
    the image is wrong before, and infinite where none suffices; there the image is the clean one.

    Args:
        model, images, labels, seed: as of every attack.
        budgets: ascending.
        attack_at: returns the attack with a budget, for the images that are left.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.tensor([[0.5, 0.25], [0.5, 0.75]]), torch.tensor([0, 0])
    >>> smallest_budgets(nn.Flatten(), x, y, (0.1, 0.2), lambda eps, _: FGSM(Linf(eps)), 0)[0]
    tensor([0.2000, 0.0000])
    """
    smallest = torch.full((len(images),), torch.inf)
    adversarials = images.cpu().clone()
    left = torch.arange(len(images), device=images.device)
    for budget in counted(budgets, "budgets"):
        if not len(left):
            break
        result = attack_at(budget, images[left])(
            model, images[left], labels[left], seed=seed, ids=left
        )
        won = result.success.cpu()
        rows = left.cpu()[won]
        smallest[rows] = torch.where(result.initially_wrong.cpu()[won], 0.0, float(budget))
        adversarials[rows] = result.adversarials.cpu()[won].to(adversarials.dtype)
        left = left[~won.to(left.device)]
    return smallest, adversarials
