"""The networks on which the verdict is tried, each trained from three seeds.

They are trained where no file is found. `mnist-normal` and `cifar-robust` are what masks are put on;
the others are controls: honest ones, which must not be accused, and ones that hide by how they were
trained (distillation at T = 100, winners that take all, single steps after catastrophic overfitting).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from optimality_networks import read_or_train
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import (
    AdversarialTraining,
    Distillation,
    Optimiser,
    Recipe,
    Schedule,
    TrainingObjective,
)
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.zoo.simple_cnn import SimpleCNN

SEEDS = (0, 1, 2)


class WinnersTakeAll(nn.Module):
    """k-WTA: the largest share of a layer's activations stays, all others are 0 (Xiao et al. 2020).

    >>> WinnersTakeAll(0.5)(torch.tensor([[1.0, 3.0, 2.0, 0.0]]))
    tensor([[0., 3., 2., 0.]])
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        kept = max(1, round(self.share * flat.shape[1]))
        least = flat.topk(kept, dim=1).values[:, -1:]
        return torch.where(flat >= least, flat, 0.0).reshape(x.shape)


@dataclass(frozen=True)
class Plan:
    """How a network is trained, and the budget at which it is looked at."""

    data: str
    images: int
    epochs: int
    eps: float
    objective: Callable[[], TrainingObjective] | None = None
    winners: float | None = None
    warm: int = 0


def _pgd(eps: float, steps: int) -> Callable[[], TrainingObjective]:
    attack = PGD(Linf(eps), steps=steps, step_size=2.5 * eps / steps)
    return lambda: AdversarialTraining(attack)


PLANS: Mapping[str, Plan] = {
    "digits-normal": Plan("digits", 1400, 20, 0.1),
    "digits-robust": Plan("digits", 1400, 30, 2 / 16, _pgd(0.1, 5)),
    "cifar-normal": Plan("cifar10-jpeg", 10_000, 8, 1 / 255),
    "cifar-robust": Plan("cifar10-jpeg", 10_000, 8, 4 / 255, _pgd(4 / 255, 3)),
    "mnist-normal": Plan("mnist", 10_000, 4, 0.1),
    "mnist-distilled": Plan("mnist", 10_000, 8, 0.1, lambda: Distillation(100.0)),
    "mnist-winners": Plan("mnist", 10_000, 6, 0.1, winners=0.1),
    "cifar-winners": Plan("cifar10-jpeg", 10_000, 8, 4 / 255, winners=0.1),
    "cifar-overfit": Plan(
        "cifar10-jpeg", 10_000, 12, 8 / 255, lambda: AdversarialTraining(FGSM(Linf(8 / 255)))
    ),
    "mnist-overfit": Plan(
        "mnist", 6000, 6, 0.3, lambda: AdversarialTraining(FGSM(Linf(0.3))), warm=1
    ),
    "mnist-robust": Plan("mnist", 6000, 6, 0.3, _pgd(0.3, 10), warm=2),
}


def network(name: str, seed: int, folder: Path) -> nn.Module:
    """Return the network of that name and seed, frozen; trained where the folder has none."""
    plan = PLANS[name]
    data = load_data(plan.data, split="train", limit=plan.images)
    assert isinstance(data, TensorData)
    torch.manual_seed(seed)
    channels, size, _ = data.shape
    net: nn.Module = SimpleCNN(
        channels=channels, size=size, widths=(16, 32, 64), kernel=3, hidden=(128,)
    )
    if plan.winners is not None:
        for block in net.blocks:  # type: ignore[union-attr]
            block.relu = WinnersTakeAll(plan.winners)
    model = Normalised(net, data.mean, data.std)
    recipe = Recipe(
        optimiser=Optimiser("adam", 0.002, weight_decay=0.0),
        schedule=Schedule("one-cycle"),
        batch_size=64,
    )
    read_or_train(model, data, plan, recipe, seed, folder / f"{name}-{seed}.safetensors")
    return model.eval().requires_grad_(False)


def test_images(name: str, count: int) -> tuple[Tensor, Tensor]:
    """Return the first test images of a network's data, and their labels."""
    data = load_data(PLANS[name].data, split="test", limit=count)
    rows = torch.arange(min(count, len(data)))
    return data.images(rows), data.labels[rows]
