"""Accuracy before and after the attack and its success, a group of bars per variant."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.reports.study.cells import (
    budget_text,
    by_seed,
    chosen_attack,
    counted,
    evaluation_cells,
    mean,
)
from saddlepoint.reports.study.comparisons import (
    METRICS,
    STAR_SEEDS,
    comparisons,
    standard_deviation,
)
from saddlepoint.reports.style import AFTER, BEFORE, SUCCESS, style
from saddlepoint.studies.results import StudyResults

_NAMES = ("accuracy before the attack", "accuracy after the attack", "success of the attack")
_COLOURS = (BEFORE, AFTER, SUCCESS)


def accuracy_bars(results: StudyResults) -> Figure:
    """Return three bars per variant, one group below the other: accuracy before the attack, after
    it, and its success rate, under the main attack.

    Above stand the study, the attack and its budgets. A bar is the mean over seeds and eps, its error
    bar the standard deviation of the per-seed means, and its stars those of the test over seeds after
    Holm's correction. Raises `InputError` where no evaluation is finished.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> [text.get_text() for text in accuracy_bars(toy_results()).axes[0].get_yticklabels()]
    ['original', 'adversarial']
    """
    tests = comparisons(results)
    marks = {(each.variant, each.metric.column): each.stars_seeds for each in tests}
    title = "stars: paired t-test on the means of the seeds, Holm-corrected"
    return _bars(results, marks, [title] if any(each.starred for each in tests) else [])


def nine_defences_bars(results: StudyResults) -> Figure:
    """Return the same bars with the stars that the nine-defences report would have printed.

    Raises `InputError` where no variant has seeds enough for stars.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> nine_defences_bars(toy_results())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no variant has what stars need: 5 seeds in common with ...
    """
    tests = comparisons(results)
    counts = {each.repeats.n for each in tests if each.starred}
    if not counts:
        raise InputError(
            f"no variant has what stars need: {STAR_SEEDS} seeds in common with the reference, and"
            " the clean accuracy that a conclusion needs"
        )
    marks = {(each.variant, each.metric.column): each.stars_repeats for each in tests}
    title = [
        f"stars: the nine-defences report's own test, n = {max(counts)} (seeds × eps);",
        "repeats of one seed are not independent, so they come too easily",
    ]
    return _bars(results, marks, title)


def _bars(
    results: StudyResults, marks: Mapping[tuple[str, str], str], stars: Sequence[str]
) -> Figure:
    attack = chosen_attack(results)
    found = [evaluation_cells(results, metric.column, attack) for metric in METRICS]
    variants = [v for v in results.variants if found[0][v]]
    if not variants:
        raise InputError("there are no evaluations yet; finish at least one")
    labels = [_wrapped(name) for name in variants]
    # The axes are 0.77 of the height of the figure.
    lines = max(label.count("\n") + 1 for label in labels)
    with style():
        figure = Figure(figsize=(5.6, len(variants) * max(0.45, 0.16 * lines + 0.06) / 0.77))
        axes = figure.add_subplot()
        height = 0.27
        for b, (metric, name, colour) in enumerate(zip(METRICS, _NAMES, _COLOURS, strict=True)):
            shown = [(i, v, found[b][v]) for i, v in enumerate(variants) if found[b][v]]
            where = [i + (b - 1) * height for i, _, _ in shown]
            means = [100 * mean(cells) for _, _, cells in shown]
            spreads = [
                100 * (standard_deviation([*by_seed(c).values()]) or 0.0) for _, _, c in shown
            ]
            texts = [marks.get((v, metric.column), "") for _, v, _ in shown]
            axes.barh(where, means, height, color=colour, label=name, zorder=2)
            axes.errorbar(
                means, where, xerr=spreads, fmt="none", ecolor="#333333", elinewidth=0.8,
                capsize=1.8, zorder=3,
            )  # fmt: skip
            for y, centre, sd, text in zip(where, means, spreads, texts, strict=True):
                axes.text(centre + sd + 1.2, y, text, va="center_baseline", fontsize=8, zorder=4)
        axes.set_yticks(range(len(variants)), labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(variants) - 0.5, -0.5)  # the first variant on top
        axes.set_xlim(0, 112)  # room for the stars of a full bar
        axes.set_xticks(np.arange(0, 101, 20))
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share of the images (%)")
        for i in range(1, len(variants)):
            axes.axhline(i - 0.5, color="#DDDDDD", linewidth=0.6, zorder=1, label="_between")
        inches = figure.get_figheight() * axes.get_position().height
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1 + 0.03 / inches), ncols=1, fontsize=8,
            borderaxespad=0.2, title="\n".join([*_head(results, attack), *stars]),
            title_fontsize=8, alignment="left",
        )  # fmt: skip
    return figure


def _head(results: StudyResults, attack: str) -> list[str]:
    """The lines above the bars: of which study, after which attack, over which budgets."""
    eps = ", ".join(budget_text(results, each) for each in results.budgets)
    said = f"attack {attack}, {results.threat}; eps {eps}; {counted(len(results.seeds), 'seed')}"
    return [line for text in (results.title, said) for line in textwrap.wrap(text, 70)]


def _wrapped(name: str) -> str:
    """A name in lines of at most 20 letters, broken before a plus where it can be."""
    lines: list[str] = []
    for part in name.replace(" + ", "\0+ ").split("\0"):
        if lines and len(lines[-1]) + 1 + len(part) <= 20:
            lines[-1] += " " + part
        else:
            lines += textwrap.wrap(part, 20) or [""]
    return "\n".join(lines)
