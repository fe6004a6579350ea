"""The landscape of the inner maximisation: the maxima that PGD finds from many random starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.climbs import losses, many_climbs
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Positive, Whole, check_fields
from saddlepoint.threat import Linf
from saddlepoint.threat.norms import unit

_COMPARED = 200  # restarts whose pairs are measured: 19,900 pairs


@dataclass(frozen=True)
class LandscapeSettings:
    """Settings of `landscape`.

    Args:
        eps: the Linf budget, in pixels.
        steps: of PGD; its step is 2.5·eps/steps.
        restarts: random starts per image.

    >>> LandscapeSettings().restarts
    100
    """

    eps: Positive = 0.2
    steps: Count = 40
    restarts: Annotated[int, Whole(2)] = 100

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False)
class LossLandscape:
    """The climbs of one model.

    Attributes:
        losses: (n, restarts, steps + 1) the cross-entropy along every climb.
        clean: (n,) that of the clean images.
        distances, angles: (n, pairs) between the perturbations at the ends of two climbs, in L2 and
            in degrees.
        start_distances, start_angles: the same of the random points where the climbs began.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> found = landscape(net, x, y, LandscapeSettings(restarts=3, steps=5))
    >>> found.losses.shape, found.angles.shape
    (torch.Size([1, 3, 6]), torch.Size([1, 3]))
    """

    losses: Float[Tensor, "n restarts iterates"]
    clean: Float[Tensor, " n"]
    distances: Float[Tensor, "n pairs"]
    angles: Float[Tensor, "n pairs"]
    start_distances: Float[Tensor, "n pairs"]
    start_angles: Float[Tensor, "n pairs"]

    def tables(self) -> Mapping[str, Table]:
        """Return the spread of the maxima per image, and every loss."""
        final = self.losses[:, :, -1]
        low, middle, high = torch.quantile(final, torch.tensor([0.05, 0.5, 0.95]).to(final), dim=1)
        columns = {
            "clean": self.clean,
            "starts": self.losses[:, :, 0].mean(1),
            "median": middle,
            "5 %": low,
            "95 %": high,
            "largest": final.amax(1),
            "distance": self.distances.mean(1),
            "random distance": self.start_distances.mean(1),
            "angle": self.angles.mean(1),
            "random angle": self.start_angles.mean(1),
        }
        rows = zip(range(len(final)), *(each.tolist() for each in columns.values()), strict=True)
        course = tuple(
            (image, restart, step, loss)
            for image, climbs in enumerate(self.losses.tolist())
            for restart, climb in enumerate(climbs)
            for step, loss in enumerate(climb)
        )
        return {
            "summary": Table(("image", *columns), tuple(rows)),
            "losses": Table(("image", "restart", "step", "loss"), course),
        }


def landscape(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: LandscapeSettings,
    seed: int = 0,
) -> LossLandscape:
    """Climb from many random starts around each image, and compare the climbs and their ends.

    Reference: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083, section 3.1 and
    appendix A.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> found = landscape(net, x, y, LandscapeSettings(restarts=3, steps=5))
    >>> bool((found.distances < 1e-6).all())  # a linear model has one maximum
    True
    """
    attack = PGD(Linf(settings.eps), steps=settings.steps, loss="softmax-cross-entropy")
    climbs = many_climbs(model, images, labels, attack, settings.restarts, seed)
    shape = (len(images), settings.restarts, -1)
    clean = images.cpu()[:, None].flatten(2)
    ends, starts = (x.reshape(shape) - clean for x in (climbs.end, climbs.start))
    distances, angles = pairs(ends)
    start_distances, start_angles = pairs(starts)
    return LossLandscape(
        losses=climbs.losses.reshape(shape),
        clean=losses(model, images, labels),
        distances=distances,
        angles=angles,
        start_distances=start_distances,
        start_angles=start_angles,
    )


def pairs(
    vectors: Float[Tensor, "n r d"],
) -> tuple[Float[Tensor, "n pairs"], Float[Tensor, "n pairs"]]:
    """Return the L2 distance and the angle in degrees of every two of an image's vectors; of the
    first 200, and 90 degrees for a vector that is zero.

    >>> pairs(torch.tensor([[[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]]))
    (tensor([[2.2361, 2.0000, 2.2361]]), tensor([[ 90., 180.,  90.]]))
    """
    few = vectors[:, :_COMPARED].double()
    first, second = torch.triu_indices(few.shape[1], few.shape[1], 1).unbind()
    found = []
    for each in few:
        directions = unit(each, 2)
        a, b = directions[first], directions[second]
        # Not the arc cosine of the product, which is coarse where vectors are nearly parallel.
        angle = 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))
        distance = (each[first] - each[second]).norm(dim=1)
        found.append(
            (distance, torch.where((a * a).sum(1) * (b * b).sum(1) > 0, angle, math.pi / 2))
        )
    distances, angles = (torch.stack(parts) for parts in zip(*found, strict=True))
    return distances.to(vectors.dtype), angles.rad2deg().to(vectors.dtype)
