"""Figures 7 and 9: the loss during training, and the success of the attack against the budget."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from saddlepoint.errors import InputError
from saddlepoint.reports.study.cells import in_levels
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.style import Look, style, variant_looks
from saddlepoint.studies.results import StudyResults

_WIDTH = 6.8
_FIRST = 0.1  # the share of the training that is enlarged


def loss_curves(results: StudyResults) -> Figure:
    """Return the training loss against epochs, a line per variant, and its first tenth enlarged.

    The line is the mean over the seeds, the band one standard deviation over them; models trained
    at several eps are averaged over eps first. Losses that are not finite are left out. Raises
    `InputError` where no training is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> [axes.get_title() for axes in loss_curves(toy_results()).axes]
    ['whole training', 'its first part']
    """
    series = _losses(results)
    if not series:
        raise InputError("there are no training curves yet; finish at least one training")
    end = max(epochs[-1] for epochs, _, _ in series.values())
    means = np.concatenate([mean for _, mean, _ in series.values()])
    logarithmic = means.min() > 0 and means.max() / means.min() > 20
    looks = _looks(results)
    with style():
        figure = Figure(figsize=(_WIDTH, 3.3))
        whole, first = figure.subplots(1, 2, width_ratios=(3, 2))
        for axes, limit in ((whole, end), (first, _first_part(series))):
            for variant, (epochs, mean, sd) in series.items():
                look = looks[variant]
                part = epochs <= limit * (1 + 1e-9)
                x, y, spread = epochs[part], mean[part], sd[part]
                low = y - spread
                if logarithmic:
                    low = np.maximum(low, y / 10)
                axes.fill_between(x, low, y + spread, color=look.colour, alpha=0.13, linewidth=0)
                every = max(1, math.ceil(len(x) / 7))
                shift = list(looks).index(variant) * every // len(looks)
                axes.plot(
                    x, y, label=variant, markevery=(min(shift, max(len(x) - 1, 0)), every),
                    markersize=3.5, linewidth=1.1, **look.line,
                )  # fmt: skip
            axes.set_xlabel("epoch")
            axes.set_xlim(0, limit)
        if logarithmic:  # the first part spans too little for that
            whole.set_yscale("log")
            whole.yaxis.set_major_formatter(ScalarFormatter())
        whole.set_ylabel("training loss")
        whole.set_title("whole training", fontsize=9)
        first.set_title("its first part", fontsize=9)
        _legend_above(figure, whole)
    return figure


def success_curves(results: StudyResults) -> Figure:
    """Return the success rate of the attack against eps, a line per variant, a panel per attack.

    The line is the mean over the seeds, the error bars their standard deviation. The points of one
    eps stand side by side, so that nine variants can be told apart. Raises `InputError` where no
    evaluation is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> success_curves(toy_results()).axes[0].get_ylabel()
    'attack success (%)'
    """
    rates = _rates(results)
    attacks = [attack for attack in results.attacks if any(key[0] == attack for key in rates)]
    if not attacks:
        raise InputError("there are no success rates yet; finish at least one evaluation")
    unit, label = (255, ", in 255ths") if in_levels(results) else (1, "")
    looks = _looks(results)
    budgets = [eps * unit for eps in sorted(results.budgets)]
    step = min((b - a for a, b in itertools.pairwise(budgets)), default=budgets[0])
    apart = 0.25 * step / max(len(looks), 1)
    columns = min(2, len(attacks))
    rows = math.ceil(len(attacks) / columns)
    with style():
        figure = Figure(figsize=(_WIDTH if columns > 1 else 5.6, 3.6 * rows))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for spare in panels[len(attacks) :]:
            spare.set_axis_off()
        for axes, attack in zip(panels[: len(attacks)], attacks, strict=True):
            for i, (variant, look) in enumerate(looks.items()):
                points = sorted(
                    (eps * unit, values)
                    for (a, v, eps), values in rates.items()
                    if (a, v) == (attack, variant)
                )
                if points:
                    offset = (i - (len(looks) - 1) / 2) * apart
                    _error_line(axes, points, offset, look, variant)
            axes.set_xticks(budgets, [f"{b:.4g}" for b in budgets])
            axes.set_xlim(budgets[0] - 0.5 * step, budgets[-1] + 0.5 * step)
            axes.set_ylim(bottom=0)
            axes.set_xlabel(f"eps ({results.threat}{label})")
            if len(attacks) > 1:
                axes.set_title(attack, fontsize=9)
        for axes in panels[::columns]:
            axes.set_ylabel("attack success (%)")
        figure.subplots_adjust(hspace=0.35, wspace=0.08)
        _legend_above(figure, panels[0])
    return figure


def _error_line(
    axes: Axes, points: list[tuple[float, list[float]]], offset: float, look: Look, name: str
) -> None:
    axes.errorbar(
        [eps + offset for eps, _ in points],
        [100 * np.mean(values) for _, values in points],
        yerr=[100 * (standard_deviation(values) or 0.0) for _, values in points],
        label=name, markersize=4, linewidth=1.1, elinewidth=0.8, capsize=1.8, **look.line,
    )  # fmt: skip


def _rates(results: StudyResults) -> dict[tuple[str, str, float], list[float]]:
    """The success rates of the seeds, by attack, variant and eps."""
    rates: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for row in results.evaluations.sort_by("seed").to_pylist():
        if row["success_rate"] is not None and math.isfinite(row["success_rate"]):
            rates[row["attack"], row["variant"], row["eps"]].append(row["success_rate"])
    return dict(rates)


def _losses(results: StudyResults) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Epochs, mean and standard deviation over the seeds of each variant that has a curve."""
    curves = results.curves
    finite = curves.filter(pc.is_finite(curves["loss"]))
    per_seed = finite.group_by(["variant", "seed", "epoch"]).aggregate([("loss", "mean")])
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in per_seed.to_pylist():
        found[row["variant"]][round(row["epoch"], 6)].append(row["loss_mean"])
    series = {}
    for variant in results.variants:
        if variant in found:
            points = sorted(found[variant].items())
            mean = np.array([np.mean(values) for _, values in points])
            sd = np.array([standard_deviation(values) or 0.0 for _, values in points])
            series[variant] = (np.array([epoch for epoch, _ in points]), mean, sd)
    return series


def _first_part(series: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """A tenth of the training, but at least six points of the densest curve."""
    end = max(epochs[-1] for epochs, _, _ in series.values())
    sixth = min(epochs[min(5, len(epochs) - 1)] for epochs, _, _ in series.values())
    return float(min(end, max(_FIRST * end, sixth)))


def _looks(results: StudyResults) -> dict[str, Look]:
    return variant_looks(
        results.variants, reference=results.reference, dashed=adversarial_variants(results)
    )


def _legend_above(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = max(1, min(3, len(labels), int(110 // (longest + 8))))
    top = max(a.get_position().y1 for a in figure.axes)
    # Above the data and above the titles of the panels.
    titled = any(a.get_title() for a in figure.axes)
    title = (0.28 if titled else 0.05) / figure.get_figheight()
    figure.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.5, top + title),
        ncols=columns, fontsize=8,
    )  # fmt: skip
