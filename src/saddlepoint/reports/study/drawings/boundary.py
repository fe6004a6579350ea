"""What adversarial training does to a decision boundary, in two dimensions and for real."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.defences import (
    AdversarialTraining,
    Optimiser,
    Recipe,
    Standard,
    TrainingObjective,
)
from saddlepoint.reports.style import COLOURS, MARKERS, style
from saddlepoint.streams import derive
from saddlepoint.threat import Linf
from saddlepoint.training import train

_EPS = 0.06
_SHADES = ("#D6E6F2", "#FBE3CF")  # paler than the points of the class


def boundary_figure(seed: int = 0, epochs: int = 300) -> Figure:
    """Return the boundary of a small network between two moons, and test points before and after an
    attack: above of a network trained on clean points, below of one trained on adversarial ones.

    Boundary, points and accuracies are those of a run that takes a few seconds: the same 100
    training points, first weights and steps for both; 200 test points; PGD of 20 steps in an Linf
    ball of 0.06 in the unit square. Everything depends on the seed alone.

    Args:
        seed: of the points, the weights and the attack.
        epochs: that both are trained for; by 300 both boundaries have settled.

    >>> [axes.get_title() for axes in boundary_figure(epochs=1).axes][0]
    'clean test points: ... % right'
    """
    data, test = two_moons(100, derive(seed, "train")), two_moons(200, derive(seed, "test"))
    objectives: dict[str, TrainingObjective] = {
        "trained on clean points": Standard(),
        "adversarially trained": AdversarialTraining(PGD(Linf(_EPS), steps=5)),
    }
    with style():
        figure = Figure(figsize=(6.6, 6.2))
        grid = figure.subplots(2, 2, squeeze=False, sharex=True, sharey=True)
        for row, (name, objective) in zip(grid, objectives.items(), strict=True):
            net = _trained(data, objective, seed, epochs)
            result = PGD(Linf(_EPS), steps=20)(net, test.pixels, test.labels, seed=seed)
            for axes, points, wrong, title in (
                (row[0], test.pixels, result.initially_wrong, "clean test points"),
                (row[1], result.adversarials, result.success, f"after PGD, eps {_EPS:g}"),
            ):
                _draw_boundary(axes, net)
                _draw_moves(axes, test.pixels, points)
                _draw_points(axes, points, test.labels, wrong)
                right = 100 * float((~wrong).double().mean())
                axes.set_title(f"{title}: {right:.1f} % right", fontsize=9)
                axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
            row[0].set_ylabel(name, fontsize=10)
        figure.legend(handles=_legend(), loc="lower center", ncols=3, bbox_to_anchor=(0.5, 0.0))
        figure.subplots_adjust(
            left=0.06, right=0.98, top=0.95, bottom=0.1, wspace=0.06, hspace=0.14
        )
    return figure


def two_moons(count: int, seed: int, noise: float = 0.08) -> TensorData:
    """Return `count` points of two interleaved half circles, a class each, in the unit square.

    Args:
        count: of points, half of each class.
        seed: of the positions.
        noise: the standard deviation of the points around the circles, whose radius is 1 before
            they are scaled.

    >>> data = two_moons(10, seed=0)
    >>> data.shape, data.labels.tolist()
    ((2,), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    angle = np.pi * random.random(count)
    x = np.where(labels == 0, np.cos(angle), 1 - np.cos(angle))
    y = np.where(labels == 0, np.sin(angle), 0.5 - np.sin(angle))
    points = np.stack([x, y], axis=1) + random.normal(0, noise, (count, 2))
    inside = np.clip((points - (0.5, 0.25)) / 3.6 + 0.5, 0, 1)
    return TensorData.of(inside.astype(np.float32), labels, name="two moons")


def _trained(data: TensorData, objective: TrainingObjective, seed: int, epochs: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "weights"))
        net = nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )
    optimiser = Optimiser("adam", 0.01, weight_decay=0.0)
    recipe = Recipe(objective=objective, epochs=epochs, batch_size=len(data), optimiser=optimiser)
    return train(net, data, recipe, seed=seed).model


def _draw_boundary(axes: Axes, net: nn.Module, side: int = 200) -> None:
    ticks = torch.linspace(0, 1, side)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    with torch.no_grad():
        logits = net(torch.stack([x, y], dim=-1).reshape(-1, 2))
    height = (logits[:, 1] - logits[:, 0]).reshape(side, side).numpy()
    axes.contourf(ticks, ticks, height, levels=(-np.inf, 0, np.inf), colors=_SHADES)
    axes.contour(ticks, ticks, height, levels=(0,), colors="#444444", linewidths=1.2)


def _draw_moves(axes: Axes, start: Float[Tensor, "n 2"], end: Float[Tensor, "n 2"]) -> None:
    for a, b in zip(start.tolist(), end.tolist(), strict=True):
        if a != b:
            axes.plot(
                *zip(a, b, strict=True), color="#777777", linewidth=0.5, zorder=2, label="_moved"
            )


def _draw_points(
    axes: Axes, points: Float[Tensor, "n 2"], labels: Int64[Tensor, " n"], wrong: Bool[Tensor, " n"]
) -> None:
    for label in (0, 1):
        for missed in (False, True):
            x, y = points[(labels == label) & (wrong == missed)].T
            # A wrong point is larger and has a black rim: readable without colour.
            edge, width, size = ("black", 1.0, 24) if missed else ("none", 0.0, 12)
            axes.scatter(
                x, y, s=size, c=COLOURS[label], marker=MARKERS[label], zorder=3,
                edgecolors=edge, linewidths=width,
            )  # fmt: skip


def _legend() -> list[Line2D]:
    points = [
        Line2D(
            [], [], linestyle="", color=COLOURS[label], marker=MARKERS[label],
            markersize=6 if wrong else 4, markeredgecolor="black" if wrong else COLOURS[label],
            label=f"class {label}{', misclassified' if wrong else ''}",
        )
        for label in (0, 1)
        for wrong in (False, True)
    ]  # fmt: skip
    lines = [("boundary", "#444444", 1.2), ("moved by the attack", "#777777", 0.5)]
    return points + [Line2D([], [], color=c, linewidth=w, label=name) for name, c, w in lines]
