"""From a black and from a white image to every class, at the smallest distance in three norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack, CarliniWagnerL0, CarliniWagnerL2, CarliniWagnerLinf
from saddlepoint.errors import InputError
from saddlepoint.lab.aims import answers, other_classes
from saddlepoint.lab.objectives import logit_count
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, check_fields
from saddlepoint.threat import L0, L2, Linf

STARTS: Mapping[str, float] = {"black": 0.0, "white": 1.0}


@dataclass(frozen=True)
class SyntheticSettings:
    """Settings of `synthetic_digits`.

    Args:
        steps: of Adam per c, at most.

    >>> SyntheticSettings().steps
    200
    """

    steps: Count = 200

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False)
class Synthetic:
    """The nearest images of every class to a uniform one.

    Attributes:
        answer: the class of the uniform image itself.
        images: by norm, (k, …) one per class; the uniform image where the attack failed.
        distance: by norm, (k,); 0 for the class of the uniform image, infinity for a failure.

    >>> Synthetic(0, {}, {"L2": torch.zeros(10)}).distance["L2"].shape
    torch.Size([10])
    """

    answer: int
    images: Mapping[str, Float[Tensor, "k ..."]]
    distance: Mapping[str, Float[Tensor, " k"]]


@dataclass(frozen=True, eq=False)
class SyntheticDigits:
    """What was found from each start, by its name, for one model.

    >>> SyntheticDigits({}).tables()["summary"].rows
    ()
    """

    starts: Mapping[str, Synthetic]

    def tables(self) -> Mapping[str, Table]:
        """Return the distance per start, norm and class."""
        rows = tuple(
            (start, found.answer, norm, k, value)
            for start, found in self.starts.items()
            for norm, distance in found.distance.items()
            for k, value in enumerate(distance.tolist())
        )
        return {"summary": Table(("start", "its class", "norm", "target", "distance"), rows)}


def synthetic_digits(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: SyntheticSettings,
    seed: int = 0,
) -> SyntheticDigits:
    """Attack a black and a white image of the shape of `images` towards every class.

    Raises `InputError` where the images are no pictures.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VII and figure 6.

    >>> net, x = nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), torch.zeros(1, 1, 1, 3)
    >>> with torch.no_grad():
    ...     _ = net[1].weight.copy_(torch.eye(3)), net[1].bias.copy_(torch.tensor([0.5, 0.0, 0.1]))
    >>> found = synthetic_digits(net, x, torch.zeros(1).long(), SyntheticSettings(steps=60))
    >>> found.starts["black"].distance["L0"].tolist()
    [0.0, 1.0, 1.0]
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            f"the images have shape {tuple(images.shape[1:])}; give grey or RGB pictures"
        )
    # Projected: the change of variables starts where tanh has hardly a slope, on the bounds.
    attacks: dict[str, Attack] = {
        "L2": CarliniWagnerL2(L2(), steps=settings.steps, box="projected"),
        "L0": CarliniWagnerL0(L0(), steps=settings.steps, box="projected"),
        "Linf": CarliniWagnerLinf(Linf(), steps=settings.steps, box="projected"),
    }
    classes = logit_count(model, images)
    uniform = torch.stack([torch.full_like(images[0], value) for value in STARTS.values()])
    answered, _ = answers(model, uniform)
    x, labels = (each.repeat_interleave(classes - 1, 0) for each in (uniform, answered))
    targets = other_classes(answered, classes)
    nearest = {norm: uniform.cpu().float()[:, None].repeat(1, classes, 1, 1, 1) for norm in attacks}
    distance = {norm: torch.zeros(len(uniform), classes) for norm in attacks}
    rows = torch.arange(len(uniform))[:, None].expand(-1, classes - 1).flatten()
    at = (rows, targets.flatten().cpu())
    for norm, attack in attacks.items():
        result = attack(model, x, labels, targets.flatten(), seed=seed)
        nearest[norm][at] = result.adversarials.cpu().float()
        distance[norm][at] = result.distance.cpu().float()
    return SyntheticDigits(
        {
            name: Synthetic(
                int(answered[i]),
                {norm: each[i] for norm, each in nearest.items()},
                {norm: each[i] for norm, each in distance.items()},
            )
            for i, name in enumerate(STARTS)
        }
    )
