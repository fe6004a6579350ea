"""Figures of attacks: images before and after, and accuracy against the budget."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.answers import class_name
from saddlepoint.attacks import AttackResult
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation
from saddlepoint.evaluation.tables import norm_text
from saddlepoint.reports.changes import ChangeScale, as_array, draw_pixels
from saddlepoint.reports.style import look_of, style
from saddlepoint.threat import format_eps

_LETTERS = 68  # of a line above a curve


def accuracy_curve(
    evaluations: Mapping[str, Evaluation], *, suite: str | None = None, title: str = ""
) -> Figure:
    """Return robust accuracy against eps, one line per model, with 95 % Wilson intervals; eps 0 is
    clean accuracy.

    Above stand the title, the model, where it is one, the verdict, the suite with its attacks, and the
    data. The numbers of one model stand at its points.

    Args:
        evaluations: by the name of the model.
        suite: the name of the suite; None names its attacks alone.
        title: what the models are.

    >>> from saddlepoint.evaluation import Proportion
    >>> import pyarrow as pa
    >>> clean = Evaluation({"space": "pixels"}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ())
    >>> accuracy_curve({"normal": clean}).axes[0].get_ylabel()
    'robust accuracy (%), at eps 0 clean accuracy'
    """
    if not evaluations:
        raise InputError("there are no evaluations to draw; give at least one")
    if any(math.isnan(b.eps) for e in evaluations.values() for b in e.budgets):
        raise InputError("a threat model without a budget has no curve; read the table instead")
    first = next(iter(evaluations.values()))
    alone = len(evaluations) == 1
    alike = len(set(map(_judged, evaluations.values()))) == 1  # then the verdict is said above
    with style():
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.add_subplot()
        budgets = [b.eps for e in evaluations.values() for b in e.budgets]
        # Read in 255ths, as papers give them, where the table says so too.
        levels = all("/" in format_eps(eps) for eps in budgets)
        levels = levels and all("Linf" in norm_text(e.config) for e in evaluations.values())
        unit = 255 if levels else 1
        for i, (name, evaluation) in enumerate(evaluations.items()):
            points = [(0.0, evaluation.clean)]
            points += [(b.eps * unit, b.robust_accuracy) for b in evaluation.budgets]
            eps = [x for x, _ in points]
            look = look_of(i)
            low, high = ([100 * getattr(p, end) for _, p in points] for end in ("low", "high"))
            axes.fill_between(eps, low, high, color=look.colour, alpha=0.18, linewidth=0)
            values = [100 * p.value for _, p in points]
            # A name that is no UTF-8, or begins as what matplotlib leaves out of legends, is shown too.
            plain = name.encode(errors="backslashreplace").decode()
            plain = f"\u200b{plain}" if plain.startswith("_") else plain
            label = plain if alike else f"{plain} ({_judged(evaluation)})"
            axes.plot(eps, values, **look.line, label=label, clip_on=False, zorder=3)
            if alone:
                _say_values(axes, list(zip(eps, values, strict=True)))
        space = first.config.get("space", "pixels")
        axes.set_xlabel(
            f"eps ({norm_text(first.config)}, {space}{', in 255ths' if levels else ''})"
        )
        axes.set_ylabel("robust accuracy (%), at eps 0 clean accuracy", fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_xlim(left=0)
        heads = [_head(each, name if alone else "", suite) for name, each in evaluations.items()]
        common = [line for line in heads[0] if all(line in head for head in heads)]
        above = "\n".join([*textwrap.wrap(title, _LETTERS), *common])
        if alone:
            axes.set_title(above, fontsize=9, loc="left")
        else:
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(3, len(evaluations)),
                title=above, alignment="left",
            )  # fmt: skip
    return figure


def _head(evaluation: Evaluation, model: str, suite: str | None) -> list[str]:
    """The lines above a curve: what was measured, of which model, by which attacks, on which data."""
    attacks = ", ".join(evaluation.config.get("attacks") or ())
    named = f"suite {suite}: {attacks}" if suite else f"suite: {attacks}"
    data = evaluation.config.get("data") or {}
    images = f"{evaluation.clean.total:,} images"
    where = (
        f"{images} of {data['name']}, {data['split']}" if {"name", "split"} <= set(data) else images
    )
    head = [
        f"{model + ', ' if model else ''}verdict: {_judged(evaluation)}",
        named if attacks else "",
        f"{where}; shaded: 95 % intervals",
    ]
    return [line for text in head if text for line in textwrap.wrap(text, _LETTERS)]


def _judged(evaluation: Evaluation) -> str:
    return "not examined" if evaluation.verdict is None else evaluation.verdict.judgement


def _say_values(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Write the numbers at the points: above the line, where there is no room below it."""
    for x, y in points:
        axes.annotate(
            f"{y:.1f}", (x, y), xytext=(4, 5 if y < 90 else -11), textcoords="offset points",
            fontsize=7.5, zorder=4,
        )  # fmt: skip


def drawable(shape: Sequence[int]) -> bool:
    """Return whether images of this shape are pictures: (1 or 3, h, w).

    >>> drawable((3, 32, 32)), drawable((2, 32, 32))
    (True, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3)


def adversarial_grid(
    data: ImageData, result: AttackResult, count: int = 6, *, ids: Tensor | None = None
) -> Figure:
    """Return a row per image: before, the change, and after, with predicted classes.

    Fooled images come first, in the order of the result. The changes of all rows are on one scale,
    which a bar shows: grey is none, black and white the largest of the figure, nothing is cut off.

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
    13
    """
    if not drawable(data.shape):
        raise InputError(f"only grey and RGB images can be drawn, not shape {data.shape}")
    order = torch.argsort(
        (result.success & ~result.initially_wrong).cpu().to(torch.int8),
        descending=True,
        stable=True,
    )
    chosen = order[:count]
    rows = [index if ids is None else int(ids[index]) for index in chosen.tolist()]
    before = data.images(torch.tensor(rows, dtype=torch.long)).cpu().float()
    after = result.adversarials[chosen].cpu().float()
    scale = ChangeScale.of(after - before)
    with style():
        figure = Figure(figsize=(5.0, 1.55 * len(chosen)))
        grid = figure.subplots(len(chosen), 3, squeeze=False)
        for row, index in enumerate(chosen.tolist()):
            label = class_name(data.classes, int(data.labels[rows[row]]))
            predicted = class_name(data.classes, int(result.predictions[index]))
            wrong = bool(result.initially_wrong[index])
            first = f"label {label}, predicted {predicted if wrong else label}"
            fooled = "fooled" if bool(result.success[index]) else "holds"
            left, middle, right = grid[row]
            _draw(left, before[row], first)
            scale.draw(middle, after[row] - before[row])
            _draw(right, after[row], f"predicted {predicted}: {fooled}")
        for axes, head in zip(grid[0], ("before", scale.label, "after"), strict=True):
            axes.annotate(
                head, (0.5, 1.28), xycoords="axes fraction", ha="center", fontsize=10, weight="bold"
            )
        figure.subplots_adjust(left=0.02, right=0.86, hspace=0.45, wspace=0.15)
        place = grid[0, 2].get_position()
        height = place.height
        scale.bar(figure, figure.add_axes((0.885, place.y0, 0.018, height)))
    return figure


def _draw(axes: Axes, picture: Tensor, title: str) -> None:
    draw_pixels(axes, as_array(picture))
    axes.set_title(title, fontsize=8)
