"""Figures of attacks: images before and after, and accuracy against the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.attacks import AttackResult
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation
from saddlepoint.reports.style import COLOURS, MARKERS, style

_MAGNIFIED = 10


def accuracy_curve(evaluations: Mapping[str, Evaluation]) -> Figure:
    """Return accuracy against eps, one line per model, with 95 % Wilson intervals; eps 0 is clean
    accuracy.

    >>> from saddlepoint.evaluation import Proportion
    >>> import pyarrow as pa
    >>> clean = Evaluation({"space": "pixels"}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ())
    >>> accuracy_curve({"normal": clean}).axes[0].get_ylabel()
    'accuracy (%)'
    """
    if not evaluations:
        raise InputError("there are no evaluations to draw; give at least one")
    if any(math.isnan(b.eps) for e in evaluations.values() for b in e.budgets):
        raise InputError("a threat model without a budget has no curve; read the table instead")
    with style():
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.add_subplot()
        largest = max((b.eps for e in evaluations.values() for b in e.budgets), default=0.0)
        # Pixel budgets below 1 are read in 255ths, as papers give them.
        levels = largest < 1 and all("Linf" in _threat(e) for e in evaluations.values())
        unit = 255 if levels else 1
        for i, (name, evaluation) in enumerate(evaluations.items()):
            points = [(0.0, evaluation.clean)]
            points += [(b.eps * unit, b.robust_accuracy) for b in evaluation.budgets]
            eps = [x for x, _ in points]
            colour = COLOURS[i % len(COLOURS)]
            low, high = ([100 * getattr(p, end) for _, p in points] for end in ("low", "high"))
            axes.fill_between(eps, low, high, color=colour, alpha=0.18, linewidth=0)
            values = [100 * p.value for _, p in points]
            marker = MARKERS[i % len(MARKERS)]
            axes.plot(eps, values, color=colour, marker=marker, label=name, clip_on=False, zorder=3)
        first = next(iter(evaluations.values()))
        space = first.config.get("space", "pixels")
        axes.set_xlabel(f"eps ({_norm(first)}, {space}{', in 255ths' if levels else ''})")
        axes.set_ylabel("accuracy (%)")
        axes.set_ylim(0, 100)
        axes.set_xlim(left=0)
        if len(evaluations) > 1:
            axes.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(3, len(evaluations))
            )
    return figure


def drawable(shape: Sequence[int]) -> bool:
    """Return whether images of this shape are pictures: (1 or 3, h, w).

    >>> drawable((3, 32, 32)), drawable((2, 32, 32))
    (True, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3)


def adversarial_grid(
    data: ImageData, result: AttackResult, count: int = 6, *, ids: Tensor | None = None
) -> Figure:
    """Return a row per image: before, the perturbation tenfold around grey, after, with predicted
    classes.

    Fooled images come first, in the order of the result.

    Args:
        data: the images that were attacked.
        result: of some of them.
        count: rows at most.
        ids: (n,) which images of `data` the result is of; None is its first ones.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=4)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> result = FGSM(Linf(0.1))(net, data.pixels, data.labels)
    >>> len(adversarial_grid(data, result).axes)
    12
    """
    if not drawable(data.shape):
        raise InputError(f"only grey and RGB images can be drawn, not shape {data.shape}")
    order = torch.argsort(
        (result.success & ~result.initially_wrong).cpu().to(torch.int8),
        descending=True,
        stable=True,
    )
    chosen = order[:count]
    with style():
        figure = Figure(figsize=(4.6, 1.55 * len(chosen)))
        grid = figure.subplots(len(chosen), 3, squeeze=False)
        heads = ("before", f"perturbation ×{_MAGNIFIED}", "after")
        for row, index in enumerate(chosen.tolist()):
            where = index if ids is None else int(ids[index])
            clean = data.images(torch.tensor([where]))[0].cpu()
            after = result.adversarials[index].cpu().float()
            label = _name(data.classes, int(data.labels[where]))
            predicted = _name(data.classes, int(result.predictions[index]))
            wrong = bool(result.initially_wrong[index])
            before = f"label {label}, predicted {predicted if wrong else label}"
            fooled = "fooled" if bool(result.success[index]) else "holds"
            titles = (before, "", f"predicted {predicted}: {fooled}")
            pictures = (clean, (after - clean) * _MAGNIFIED / 2 + 0.5, after)
            for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
                _draw(grid[row, column], picture, title)
        for axes, head in zip(grid[0], heads, strict=True):
            axes.annotate(
                head, (0.5, 1.28), xycoords="axes fraction", ha="center", fontsize=10, weight="bold"
            )
        figure.subplots_adjust(hspace=0.45, wspace=0.15)
    return figure


def _name(classes: Sequence[str], output: int) -> str:
    # A model may have more outputs than the data has numbered classes.
    return classes[output] if output < len(classes) else str(output)


def _draw(axes: Axes, picture: Tensor, title: str) -> None:
    array = np.clip(picture.permute(1, 2, 0).numpy(), 0, 1)
    if array.shape[2] == 1:
        axes.imshow(array[:, :, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(array, interpolation="nearest")
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def _threat(evaluation: Evaluation) -> str:
    threat = evaluation.config.get("threat", "Linf")
    return str(threat.get("type", threat) if isinstance(threat, dict) else threat)


def _norm(evaluation: Evaluation) -> str:
    return _threat(evaluation).split(" ")[0]
