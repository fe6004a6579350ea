"""How much width does robust training need? Madry's family under three trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.defences import Standard, TrainingObjective
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.capacity_found import Capacity, Measured, Member, Pair
from saddlepoint.lab.madry_family import (
    FamilySettings,
    Trainer,
    family_member,
    fgsm_training,
    majority,
    pgd_training,
)
from saddlepoint.lab.outputs import loss_gradients, predictions
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import Linf
from saddlepoint.threat.norms import unit


@dataclass(frozen=True)
class CapacitySettings(FamilySettings):
    """Settings of `run_capacity`; the large eps is the bench's.

    Args:
        scales: the widths, as factors of the smallest network's.
        small_eps: of a second FGSM training, in pixels, and of the attacks on it.
        steps: of PGD in measuring, of 2.5·eps/steps each.

    >>> CapacitySettings(scales=(4, 1, 4)).scales
    (1, 4)
    """

    scales: tuple[Count, ...] = (1, 2, 4, 8)
    small_eps: Positive = 0.1
    steps: Count = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("scales")


def run_capacity(bench: Bench, settings: CapacitySettings) -> Capacity:
    """Train every width by every training and seed, attack it, and compare the seeds.

    Reference: Madry et al. 2018, arXiv:1706.06083, section 4, figure 4 and appendix B.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = CapacitySettings(scales=(1,), seeds=1, steps=2)
    >>> found = run_capacity(Bench(test, lambda: train, epochs=1), settings)
    >>> [member.training for member in found.members]
    ['standard', 'FGSM', 'PGD', 'FGSM, eps 0.1']
    """
    eps, small = bench.eps, settings.small_eps
    trainings: Mapping[str, tuple[TrainingObjective, float]] = {
        "standard": (Standard(), eps),
        "FGSM": (fgsm_training(eps), eps),
        "PGD": (pgd_training(eps, settings.train_steps), eps),
        f"FGSM, eps {small:g}": (fgsm_training(small), small),
    }
    trainer = Trainer(bench, settings, len(trainings) * len(settings.scales) * settings.seeds)
    members: list[Member] = []
    pairs: list[Pair] = []
    for training, (objective, budget) in trainings.items():
        for scale in settings.scales:
            build = family_member(bench.train, scale)
            models = []
            for i, seed in enumerate(trainer.seeds(), start=1):
                result = trainer.trained(f"{training}, ×{scale}, seed {i}", objective, build, seed)
                models.append(result.model)
                losses = tuple(float(each["loss"]) for each in result.metrics)
                measured = measure(result.model, bench, budget, settings.steps)
                members.append(Member(training, scale, i, budget, losses, measured))
            found = compare(models, bench.images, bench.labels, budget)
            pairs += [Pair(training, scale, *each) for each in found]
    return Capacity(majority(bench.labels), tuple(members), tuple(pairs))


def measure(model: nn.Module, bench: Bench, eps: float, steps: int) -> Measured:
    """Return what a network gets right of the bench's images, clean and attacked.

    Of FGSM it is the accuracy on the images of the step itself, one for every image, also for those
    that were wrong before: after FGSM training it may exceed the clean accuracy (label leaking).
    Under PGD what was wrong before counts as wrong.

    >>> import torch
    >>> from saddlepoint.data import TensorData
    >>> x, y = torch.tensor([[0.5, 0.25], [0.5, 0.75]]), torch.tensor([0, 0])
    >>> data = TensorData.of(x, y, name="two", split="test")
    >>> measure(nn.Flatten(), Bench(data, lambda: data), 0.1, 5)
    Measured(clean=0.5, fgsm=0.5, pgd=0.5, commonest=0.5)
    """
    x, y = bench.images, bench.labels
    answers = predictions(model, x)[0]
    stepped = predictions(model, fgsm_images(model, x, y, eps))[0]
    held = ~PGD(Linf(eps), steps=steps)(model, x, y, seed=bench.seed).success
    return Measured(
        clean=_share(answers == y),
        fgsm=_share(stepped == y),
        pgd=_share(held),
        commonest=float(answers.bincount().max()) / len(answers),
    )


def compare(
    models: Sequence[nn.Module],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    eps: float,
) -> list[tuple[int, int, float, float]]:
    """Return for every two networks, each as a source: their numbers from 1, the mean cosine of their
    loss gradients at the images, and the accuracy of the second on FGSM's images from the first.

    Images at which one of the two has no gradient at all are left out of the cosine.

    >>> import torch
    >>> net = nn.Flatten()
    >>> found = compare([net, net], torch.tensor([[0.55, 0.5]]), torch.tensor([0]), 0.1)
    >>> [(one, other, round(cosine, 6), right) for one, other, cosine, right in found]
    [(1, 2, 1.0, 0.0), (2, 1, 1.0, 0.0)]
    """
    gradients = [
        unit(loss_gradients(model, images, labels).double(), 2).flatten(1) for model in models
    ]
    attacked = [fgsm_images(model, images, labels, eps) for model in models]
    found = []
    for i, one in enumerate(gradients):
        for j, other in enumerate(gradients):
            if i == j:
                continue
            there = (one.norm(dim=1) > 0) & (other.norm(dim=1) > 0)
            cosine = float((one * other).sum(1)[there].mean())
            right = _share(predictions(models[j], attacked[i])[0] == labels)
            found.append((i + 1, j + 1, cosine, right))
    return found


def fgsm_images(
    model: nn.Module, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"], eps: float
) -> Float[Tensor, "n ..."]:
    """Return the step of FGSM for every image, also for those that are wrong before it.

    >>> import torch
    >>> fgsm_images(nn.Flatten(), torch.tensor([[0.5, 0.75]]), torch.tensor([0]), 0.125)
    tensor([[0.3750, 0.8750]])
    """
    return FGSM(Linf(eps)).candidates(model, images, labels)


def _share(right: Tensor) -> float:
    return float(right.double().mean())
