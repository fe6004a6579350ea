"""Accuracy under common corruptions: a section of an evaluation's page, and a page of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.evaluation import CorruptionAccuracy
from saddlepoint.reports.page.document import Document, Number, Provenance
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.reports.style import AFTER, BEFORE, style


def corruption_section(record: CorruptionAccuracy, numbering: Numbering) -> PageSection:
    """Return the section: a bar for each corruption, and all numbers.

    >>> from saddlepoint.evaluation import CorruptedShare, Proportion
    >>> from saddlepoint.evaluation.mean_share import MeanShare
    >>> rows = (CorruptedShare("fog", 3, Proportion(6, 10)),)
    >>> found = CorruptionAccuracy(Proportion(9, 10), rows, MeanShare(0.6, 0.3, 0.8, 10))
    >>> corruption_section(found, Numbering()).heading
    'Common corruptions'
    """
    severities = ", ".join(map(str, record.severities))
    caption = (
        f"Accuracy under common corruptions. The mean over severity {severities} of each; the dashed line"
        " is clean accuracy, the dotted one the mean over corruptions."
    )
    drawing = numbering.figure(corruption_figure(record), "corruptions", caption)
    tables = tuple(
        numbering.table(f"corruptions-{i}", each) for i, each in enumerate(record.tables(), start=1)
    )
    return PageSection("corruptions", "Common corruptions", drawings=(drawing,), tables=tables)


def corruption_figure(record: CorruptionAccuracy) -> Figure:
    """Return the accuracy under each corruption, a bar each, from the worst to the best.

    >>> from saddlepoint.evaluation import CorruptedShare, Proportion
    >>> from saddlepoint.evaluation.mean_share import MeanShare
    >>> rows = (CorruptedShare("fog", 3, Proportion(6, 10)),)
    >>> found = CorruptionAccuracy(Proportion(9, 10), rows, MeanShare(0.6, 0.3, 0.8, 10))
    >>> len(corruption_figure(found).axes[0].patches)
    1
    """
    means = sorted(record.means.items(), key=lambda each: each[1])
    with style():
        figure = Figure(figsize=(5.2, 0.9 + 0.22 * len(means)))
        axes = figure.add_subplot()
        rows = np.arange(len(means))
        axes.barh(rows, [100 * share for _, share in means], color=BEFORE, height=0.7)
        axes.axvline(100 * record.clean.value, color=AFTER, linestyle="--")
        axes.axvline(100 * record.mean.value, color=AFTER, linestyle=":")
        axes.set_yticks(rows, [name for name, _ in means])
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy (%)")
    return figure


def corruption_document(
    record: CorruptionAccuracy, out: Path, *, name: str, command: str = ""
) -> Document:
    """Return the page of `saddlepoint corrupt` in `out`."""
    numbering = Numbering()
    section = corruption_section(record, numbering)
    data = record.config.get("data") or {}
    where = " ".join(str(data.get(key, "")) for key in ("name", "split")).strip()
    return Document(
        title=f"{name} on corrupted {where}",
        subtitle=f"{record.clean.total:,} images under {len(record.means)} corruptions; no adversary.",
        sections=(replace(section, heading="Accuracy"),),
        numbers=(Number.of("clean", "clean accuracy", record.clean),),
        notes=record.notes,
        provenance=Provenance.of(record.config, out, command, numbering),
    )
