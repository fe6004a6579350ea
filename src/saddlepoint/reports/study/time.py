"""Robust validation accuracy against the time spent on training."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.comparisons import standard_deviation
from saddlepoint.reports.study.legends import legend_above, looks_of
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.style import style
from saddlepoint.studies.results import StudyResults

_WIDTH = 6.8


def has_validation(results: StudyResults) -> bool:
    """Return whether some adversarial training measured accuracy on validation images.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> has_validation(toy_results())
    False
    """
    return bool(_series(results))


def accuracy_against_time(results: StudyResults) -> Figure:
    """Return validation accuracy under attack against the seconds of training, a line per variant with
    adversarial training, a point per epoch: means over the seeds, bands of one standard deviation.

    Models trained at several eps are averaged over eps; variants that train for no budget measure
    clean accuracy, and are left out. Raises `InputError` where no training measured it.

    >>> import pyarrow as pa
    >>> from saddlepoint.reports.study.toy import toy_results
    >>> from saddlepoint.studies.results import EPOCH_COLUMNS
    >>> rows = [("adversarial", 0, None, epoch, 1.0, 0.5, 0.1 * epoch, None, 2.0) for epoch in (1, 2)]
    >>> table = pa.table([pa.array(c) for c in zip(*rows)], names=EPOCH_COLUMNS.names)
    >>> axes = accuracy_against_time(toy_results(epochs=table)).axes[0]
    >>> axes.lines[0].get_xdata(), axes.lines[0].get_ydata()
    (array([2., 4.]), array([10., 20.]))
    """
    series = _series(results)
    if not series:
        raise InputError("no training measured accuracy on validation images")
    looks = looks_of(results)
    with style():
        figure = Figure(figsize=(_WIDTH, 3.8))
        axes = figure.subplots()
        for variant, (seconds, mean, sd) in series.items():
            look = looks[variant]
            axes.fill_between(
                seconds, mean - sd, mean + sd, color=look.colour, alpha=0.13, linewidth=0
            )
            every = max(1, len(seconds) // 6)
            axes.plot(
                seconds, mean, label=variant, markevery=every, markersize=3.5, linewidth=1.1,
                **look.line,
            )  # fmt: skip
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("validation accuracy under PGD (%)")
        legend_above(figure, axes, results.title)
    return figure


def _series(results: StudyResults) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Seconds, mean and standard deviation over the seeds, in per cent, by variant."""
    clocks: dict[tuple[object, ...], float] = defaultdict(float)
    # By variant and epoch: of each seed the values at all eps.
    values: dict[str, dict[int, dict[int, list[tuple[float, float]]]]] = {}
    for row in results.epochs.to_pylist():
        training = (row["variant"], row["seed"], row["eps"])
        clocks[training] += row["seconds"]
        if row["validation_accuracy"] is not None:
            seeds = values.setdefault(row["variant"], {}).setdefault(row["epoch"], {})
            point = (clocks[training], 100 * row["validation_accuracy"])
            seeds.setdefault(row["seed"], []).append(point)
    found = {}
    for variant in adversarial_variants(results):
        if variant in values:
            means = [
                [np.mean(points, axis=0) for points in seeds.values()]
                for _, seeds in sorted(values[variant].items())
            ]
            found[variant] = (
                np.array([np.mean([point[0] for point in each]) for each in means]),
                np.array([np.mean([point[1] for point in each]) for each in means]),
                np.array(
                    [standard_deviation([float(p[1]) for p in each]) or 0.0 for each in means]
                ),
            )
    return found
