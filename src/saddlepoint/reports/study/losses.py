"""The loss during training, of every variant."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pyarrow.compute as pc
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from saddlepoint.errors import InputError
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.legends import legend_above, looks_of
from saddlepoint.reports.style import style, write_powers
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
    looks = looks_of(results)
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
            write_powers(whole.yaxis)
            whole.yaxis.set_major_formatter(ScalarFormatter())
        whole.set_ylabel("training loss")
        whole.set_title("whole training", fontsize=9)
        first.set_title("its first part", fontsize=9)
        legend_above(figure, whole, results.title)
    return figure


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
