"""The logits along the ray that FGSM steps on, to both sides of the image."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.lab.climbs import logits_of, loss_gradients
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Positive, Whole, check_fields

_STRAIGHT = 1e-9  # of the logits' range: in float64 what bends less is rounding


@dataclass(frozen=True)
class RaySettings:
    """Settings of `fgsm_ray`.

    Args:
        eps: how far to go to each side, in pixels.
        points: on each side.

    >>> RaySettings().points
    100
    """

    eps: Positive = 1.0
    points: Annotated[int, Whole(2)] = 100

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False)
class FgsmRay:
    """The logits of one model along the ray x + t·sign ∇L, −eps ≤ t ≤ eps.

    Attributes:
        t: (p,) the positions; the middle one is 0.
        logits: (n, p, k) in float64.
        labels: (n,) the true classes.

    >>> ray = FgsmRay(torch.tensor([-1.0, 0.0, 1.0]), torch.eye(3)[None].double(), torch.tensor([1]))
    >>> ray.fooled_at
    tensor([1.])
    """

    t: Float[Tensor, " p"]
    logits: Float[Tensor, "n p k"]
    labels: Int64[Tensor, " n"]

    @property
    def predictions(self) -> Int64[Tensor, "n p"]:
        """The largest logit everywhere on the ray."""
        return self.logits.argmax(2)

    @property
    def fooled_at(self) -> Float[Tensor, " n"]:
        """The smallest t ≥ 0 of the grid with a wrong class; infinity where there is none."""
        ahead = self.t >= 0
        wrong = self.predictions[:, ahead] != self.labels[:, None]
        return torch.where(wrong, self.t[ahead], torch.inf).amin(1)

    @property
    def straight(self) -> Float[Tensor, " n"]:
        """The share of inner points where no logit bends: the points inside linear segments."""
        bend = (self.logits[:, 2:] - 2 * self.logits[:, 1:-1] + self.logits[:, :-2]).abs().amax(2)
        spread = self.logits.flatten(1).amax(1) - self.logits.flatten(1).amin(1)
        return (bend <= _STRAIGHT * spread[:, None]).double().mean(1)

    @property
    def linearity(self) -> Float[Tensor, " n"]:
        """R² of straight lines through the logits of all classes from t = 0 on, where FGSM goes."""
        ahead = self.t >= 0
        t, logits = self.t[ahead].double(), self.logits[:, ahead]
        design = torch.stack([torch.ones_like(t), t], 1)
        fitted = design @ (torch.linalg.pinv(design) @ logits)
        total = (logits - logits.mean(1, keepdim=True)).square().sum((1, 2))
        rest = (logits - fitted).square().sum((1, 2))
        share: Tensor = rest / torch.where(total > 0, total, 1.0)
        return 1 - share

    def tables(self) -> Mapping[str, Table]:
        """Return what happens on each ray, and all logits."""
        middle = len(self.t) // 2
        rows = zip(
            range(len(self.labels)),
            self.labels.tolist(),
            *(self.predictions[:, where].tolist() for where in (0, middle, -1)),
            self.fooled_at.tolist(),
            self.linearity.tolist(),
            self.straight.tolist(),
            strict=True,
        )
        end = f"{float(self.t[-1]):g}"
        columns = (
            "image", "label", f"class at −{end}", "class at 0", f"class at {end}", "fooled at",
            "R² of lines", "straight points",
        )  # fmt: skip
        every = tuple(
            (image, t, *values)
            for image, ray in enumerate(self.logits.tolist())
            for t, values in zip(self.t.tolist(), ray, strict=True)
        )
        classes = tuple(f"logit {k}" for k in range(self.logits.shape[2]))
        return {
            "summary": Table(columns, tuple(rows)),
            "logits": Table(("image", "t", *classes), every),
        }


def fgsm_ray(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: RaySettings,
    seed: int = 0,
) -> FgsmRay:
    """Follow x + t·sign ∇L from −eps to eps, beyond the valid range too, in float64.

    Nothing here is random: the seed changes nothing.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, figure 4.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> ray = fgsm_ray(net, torch.full((1, 2), 0.5), torch.zeros(1).long(), RaySettings())
    >>> float(ray.straight)  # a linear model does not bend
    1.0
    """
    exact = copy.deepcopy(model).double()
    x = images.double()
    signs = loss_gradients(exact, x, labels).sign().to(x)
    positions = torch.arange(-settings.points, settings.points + 1, dtype=torch.float64)
    t = settings.eps * positions / settings.points
    steps = t.to(x.device).reshape(-1, *[1] * (images.ndim - 1))
    rays = [logits_of(exact, image + steps * sign) for image, sign in zip(x, signs, strict=True)]
    return FgsmRay(t.float(), torch.stack(rays), labels.cpu())
