"""How the lines of variants look in every figure of a study, and the legend above the panels."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.style import Look, variant_looks
from saddlepoint.studies.results import StudyResults


def looks_of(results: StudyResults) -> dict[str, Look]:
    """Return the look of each variant: the reference black, adversarial training dashed.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> looks_of(toy_results())["adversarial"].linestyle
    '--'
    """
    return variant_looks(
        results.variants, reference=results.reference, dashed=adversarial_variants(results)
    )


def legend_above(figure: Figure, axes: Axes, title: str) -> None:
    """Put the legend of one panel, under a title, above all panels and their own titles.

    >>> figure = Figure()
    >>> axes = figure.add_subplot()
    >>> _ = axes.plot([0, 1], label="original")
    >>> legend_above(figure, axes, "a study")
    >>> figure.legends[0].get_title().get_text()
    'a study'
    """
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    columns = max(1, min(3, len(labels), int(110 // (longest + 8))))
    top = max(a.get_position().y1 for a in figure.axes)
    # Above the data and above the titles of the panels.
    titled = any(a.get_title() for a in figure.axes)
    above = (0.28 if titled else 0.05) / figure.get_figheight()
    figure.legend(
        handles, labels, loc="lower center", bbox_to_anchor=(0.5, top + above),
        ncols=columns, fontsize=8, title_fontsize=9,
        title="\n".join(textwrap.wrap(title, int(13 * figure.get_figwidth()))),
    )  # fmt: skip
