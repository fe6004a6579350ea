"""The landscape of the inner maximisation: the maxima that PGD finds from many random starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import losses
from saddlepoint.lab.panels import key, legend_above, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.trajectories import trace_restarts
from saddlepoint.option_values import Count, Positive, Whole
from saddlepoint.threat import Linf
from saddlepoint.threat.norms import unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look

_COMPARED = 200  # restarts whose pairs are measured: 19,900 pairs
_IMAGES = 5  # in the figure
_LINES = 50  # in one of its panels


@dataclass(frozen=True)
class LandscapeSettings(Settings):
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


@dataclass(frozen=True, eq=False)
class LossLandscape:
    """The trajectories of PGD on one model, and how their ends differ.

    Attributes:
        losses: (n, restarts, steps + 1) the cross-entropy along every trajectory.
        clean: (n,) that of the clean images.
        distances, angles: (n, pairs) between the perturbations at the ends of two trajectories, in
            L2 and in degrees.
        start_distances, start_angles: the same of the random points where they began.

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
        summary = {
            "image": range(len(final)),
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
        axes = zip(("image", "restart", "step"), map(range, self.losses.shape), strict=True)
        return {
            "summary": Table.of(summary),
            "losses": Table.long(dict(axes), {"loss": self.losses}),
        }


def landscape(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: LandscapeSettings,
    seed: int = 0,
) -> LossLandscape:
    """Run PGD from many random starts around each image, and compare the losses and the maxima.

    Reference: Madry, Makelov, Schmidt, Tsipras and Vladu 2018, arXiv:1706.06083, section 3.1 and
    appendix A.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> found = landscape(net, x, y, LandscapeSettings(restarts=3, steps=5))
    >>> bool((found.distances < 1e-6).all())  # a linear model has one maximum
    True
    """
    attack = PGD(Linf(settings.eps), steps=settings.steps, loss="softmax-cross-entropy")
    traces = trace_restarts(model, images, labels, attack, settings.restarts, seed)
    shape = (len(images), settings.restarts, -1)
    clean = images.cpu()[:, None].flatten(2)
    ends, starts = (x.reshape(shape) - clean for x in (traces.end, traces.start))
    distances, angles = pairs(ends)
    start_distances, start_angles = pairs(starts)
    return LossLandscape(
        losses=traces.losses.reshape(shape),
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


def draw_landscape(found: PerModel[LossLandscape]) -> Figure:
    """Draw a row of trajectories per model, a row of histograms, and the pairs of all images.

    Reference: Madry et al. 2018, arXiv:1706.06083, figures 1 and 5 and appendix A.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> one = landscape(net, x, y, LandscapeSettings(restarts=3, steps=5))
    >>> len(draw_landscape(PerModel({"standard": one})).axes)
    4
    """
    results = found.results
    named = looks(results)
    shown = min(_IMAGES, min(len(each.clean) for each in results.values()))
    rows = len(results)
    with sheet(2.0 * max(shown, 3) + 0.4, 1.6 * (rows + 2) + 0.9) as figure:
        grid = figure.add_gridspec(rows + 2, 2 * shown)
        for i in range(shown):
            for row, (name, each) in enumerate(results.items()):
                axes = figure.add_subplot(grid[row, 2 * i : 2 * i + 2])
                climbs = each.losses[i, :_LINES].T
                axes.plot(climbs, color=named[name].colour, lw=0.6, alpha=0.5, label="_climbs")
                axes.set_ylim(0, 1.05 * float(each.losses[i].max()))
                if row == rows - 1:
                    axes.set_xlabel("iteration")
                if row == 0:
                    title_left(axes, f"image {i}")
                if i == 0:
                    axes.set_ylabel(f"loss\n({name})")
            axes = figure.add_subplot(grid[rows, 2 * i : 2 * i + 2])
            top = max(float(each.losses[i].max()) for each in results.values())
            bins = np.linspace(0, 1.05 * top, 41).tolist()
            for name, each in results.items():
                final = each.losses[i, :, -1].numpy()
                axes.hist(final, bins=bins, color=named[name].colour, alpha=0.75)
            axes.set_yscale("log")
            axes.set_xlabel("final loss")
            if i == 0:
                axes.set_ylabel("climbs")
        left, right = (figure.add_subplot(grid[-1, at : at + shown]) for at in (0, shown))
        _draw_pairs(left, results, named, "distances")
        left.set(xlabel="L2 distance of two maxima", ylabel="density")
        _draw_pairs(right, results, named, "angles")
        right.set_xlabel("angle of two maxima (degrees)")
        handles = [key(name, color=look.colour, lw=5, alpha=0.75) for name, look in named.items()]
        handles.append(key("two random points of the ball", color="black", lw=1.2))
        legend_above(figure, handles)
    return figure


def _draw_pairs(
    axes: Axes, results: Mapping[str, LossLandscape], named: dict[str, Look], what: str
) -> None:
    """Draw the density of distances or angles, with that of all models' random points."""
    values = {name: getattr(each, what).flatten().numpy() for name, each in results.items()}
    random = np.concatenate(
        [getattr(each, f"start_{what}").flatten().numpy() for each in results.values()]
    )
    most = max(*(v.max() for v in values.values()), random.max())
    bins = np.linspace(0, 1.02 * most, 61).tolist()
    for name, value in values.items():
        axes.hist(value, bins=bins, density=True, color=named[name].colour, alpha=0.75)
    axes.hist(random, bins=bins, density=True, color="black", histtype="step", lw=1.2)
    axes.set_yticks([])
