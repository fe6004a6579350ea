"""The logits along the ray that FGSM steps on, to both sides of the image."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import logits_of, loss_gradients
from saddlepoint.lab.panels import key, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Positive, Whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from saddlepoint.reports.style import Look

_STRAIGHT = 1e-9  # of the logits' range: in float64 what bends less is rounding
_IMAGES = 3  # in the figure
_LINES = 12  # classes with a line of their own; a band holds the others
_REST = "#C8C8C8"
_MARKED = 7  # markers on a line


@dataclass(frozen=True)
class RaySettings(Settings):
    """Settings of `fgsm_ray`.

    Args:
        eps: how far to go to each side, in pixels.
        points: on each side.

    >>> RaySettings().points
    100
    """

    eps: Positive = 1.0
    points: Annotated[int, Whole(2)] = 100


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
        first, middle, last = (self.predictions[:, i] for i in (0, len(self.t) // 2, -1))
        end = f"{float(self.t[-1]):g}"
        summary = {
            "image": range(len(self.labels)),
            "label": self.labels,
            f"class at −{end}": first,
            "class at 0": middle,
            f"class at {end}": last,
            "fooled at": self.fooled_at,
            "R² of lines": self.linearity,
            "straight points": self.straight,
        }
        places = {"image": range(len(self.labels)), "t": self.t.tolist()}
        classes = {f"logit {k}": each for k, each in enumerate(self.logits.unbind(2))}
        return {"summary": Table.of(summary), "logits": Table.long(places, classes)}


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


def draw_fgsm_ray(found: PerModel[FgsmRay]) -> Figure:
    """Draw a panel per image and model: a line per class, and below them the largest one.

    No two lines look alike. Of more than twelve classes, those have a line that matter here: the
    labels, what is largest somewhere, and then the largest in the mean; a grey band holds the rest.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, figure 4.

    >>> t, logits = torch.tensor([-1.0, 0.0, 1.0]), torch.eye(3)[None].double()
    >>> figure = draw_fgsm_ray(PerModel({"standard": FgsmRay(t, logits, torch.tensor([1]))}))
    >>> figure.axes[0].get_title(loc="left")
    'standard, image 0 (class 1)'
    """
    results = found.results
    shown = min(_IMAGES, min(len(each.labels) for each in results.values()))
    named = looks(str(k) for k in _drawn_classes(results.values(), shown))
    others = next(iter(results.values())).logits.shape[2] - len(named)
    with sheet(max(3.4 * len(results), 5.0) + 1.0, 2.2 * shown + 0.4) as figure:
        grid = figure.subplots(shown, len(results), squeeze=False)
        for i, row in enumerate(grid):
            for axes, (name, each) in zip(row, results.items(), strict=True):
                _draw_ray(axes, each, i, {int(k): look for k, look in named.items()})
                title_left(axes, f"{name}, image {i} (class {int(each.labels[i])})")
            row[0].set_ylabel("logit")
        for axes in grid[-1]:
            axes.set_xlabel("t: steps of t·sign(gradient), pixels")
        handles = [key(f"class {k}", **look.line, markersize=4) for k, look in named.items()]
        if others:
            handles.append(key(f"the other {others}", color=_REST, lw=6))
        title = "thick: the label\nstrip: the largest"
        figure.legend(handles=handles, title=title, loc="outside right upper")
    return figure


def _drawn_classes(rays: Iterable[FgsmRay], shown: int) -> list[int]:
    """The classes with a line, in their order."""
    rays = list(rays)
    classes = rays[0].logits.shape[2]
    if classes <= _LINES:
        return list(range(classes))
    weight = torch.zeros(classes, dtype=torch.float64)
    for ray in rays:
        weight += ray.predictions[:shown].flatten().bincount(minlength=classes)  # points won
        weight[ray.labels[:shown]] += len(ray.t) * shown
        # Below one point in all: it only orders those that win nowhere.
        weight += ray.logits[:shown].mean((0, 1)).softmax(0) / (2 * len(rays))
    return sorted(weight.argsort(descending=True, stable=True)[:_LINES].tolist())


def _draw_ray(axes: Axes, ray: FgsmRay, i: int, named: Mapping[int, Look]) -> None:
    t, logits = ray.t.numpy(), ray.logits[i].numpy()
    others = [k for k in range(logits.shape[1]) if k not in named]
    if others:
        rest = logits[:, others]
        axes.fill_between(t, rest.min(1), rest.max(1), color=_REST, lw=0, zorder=0.5)
    every = max(1, len(t) // _MARKED)
    for number, (k, look) in enumerate(named.items()):
        axes.plot(
            t, logits[:, k], **look.line, markersize=4, label=f"class {k}",
            lw=2.2 if k == int(ray.labels[i]) else 1,
            markevery=(number * every // len(named), every),
        )  # fmt: skip
    low, high = float(logits.min()), float(logits.max())
    _draw_strip(axes, ray, i, named, (low - 0.17 * (high - low), 0.11 * (high - low)))
    axes.axvline(0, color="black", lw=0.8, ls=(0, (1, 3)), label="_image")
    axes.set_xlim(float(t[0]), float(t[-1]))


def _draw_strip(
    axes: Axes, ray: FgsmRay, i: int, named: Mapping[int, Look], place: tuple[float, float]
) -> None:
    """Draw which class is largest: in its colour, hatched where an earlier class has the same, and
    by its number where there is room.
    """
    t, largest = ray.t.numpy(), ray.predictions[i].numpy()
    bottom, height = place
    edges = np.flatnonzero(np.diff(largest)) + 1
    bounds = [0, *edges.tolist(), len(t) - 1]
    colours = [look.colour for look in named.values()]
    again = {k for at, k in enumerate(named) if named[k].colour in colours[:at]}
    for begin, end in itertools.pairwise(bounds):
        k = int(largest[begin])
        axes.fill_between(
            t[[begin, end]], bottom, bottom + height, lw=0, edgecolor="white",
            facecolor=named[k].colour if k in named else _REST, hatch="////" if k in again else None,
        )  # fmt: skip
        if t[end] - t[begin] >= 0.06 * (t[-1] - t[0]):
            middle = (t[begin] + t[end]) / 2
            axes.text(
                middle, bottom + height / 2, str(k), ha="center", va="center", fontsize=7,
                bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none"},
            )  # fmt: skip
