"""What the page of an evaluation says, section by section."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from saddlepoint.answers import class_name
from saddlepoint.evaluation import CorruptionAccuracy, Evaluation
from saddlepoint.evaluation.notes import inputs_of
from saddlepoint.evaluation.tables import budget_text, norm_text
from saddlepoint.reports.corruptions import corruption_section
from saddlepoint.reports.evaluation.choose import RULE
from saddlepoint.reports.evaluation.passes import passes_figure
from saddlepoint.reports.figures import accuracy_curve
from saddlepoint.reports.page.document import Document, Judged, Number, Provenance
from saddlepoint.reports.page.parts import Drawing, Gallery
from saddlepoint.reports.page.sections import (
    Cell,
    ConfusionRow,
    ConfusionTable,
    Numbering,
    PageSection,
)
from saddlepoint.reports.page.sentences import Sentences
from saddlepoint.reports.sentences import sentence_section
from saddlepoint.tables import Table

_MOST_CLASSES = 25  # of a confusion table
_GATHERED = 20  # of the most frequent errors, where there are more classes


def evaluation_document(
    record: Evaluation,
    out: Path,
    name: str,
    command: str,
    gallery: Gallery | Sentences | None,
    corruptions: CorruptionAccuracy | None = None,
) -> Document:
    """Return the page of the evaluation in `out`.

    Args:
        record: of the evaluation.
        name: what the model is called.
        command: what repeats it; "" where it came from Python.
        gallery: its images or sentences, where there are any.
        corruptions: the accuracy under common corruptions, where it is to be shown too.
    """
    numbering = Numbering()
    data = record.config.get("data") or {}
    where = " ".join(str(data.get(key, "")) for key in ("name", "split")).strip()
    attacks = ", ".join(record.config.get("attacks") or ())
    inputs = inputs_of(str(record.config.get("space", "")))
    sections = (
        *_accuracy(record, numbering),
        *_attacks(record, numbering),
        *_classes(record, numbering, inputs),
        *_gallery(gallery),
        *_checks(record, numbering),
        *(() if corruptions is None else (corruption_section(corruptions, numbering),)),
    )
    return Document(
        title=f"{name} on {where}",
        subtitle=f"{record.clean.total:,} {inputs}, {threat_of(record)}, attacks: {attacks}.",
        sections=sections,
        judged=(Judged.of(record),),
        numbers=_numbers(record),
        notes=record.notes,
        provenance=Provenance.of(record.config, out, command, numbering),
    )


def _numbers(record: Evaluation) -> tuple[Number, ...]:
    if record.left and record.decision is not None:
        clean = Number.of("clean", "clean accuracy", record.clean)
        decision = record.decision
        if not decision.seen:
            return (clean,)
        low, high = (100 * each for each in decision.bounds.shares)
        interval = f"confidence sequence: of all {low:.1f} to {high:.1f} %"
        seen = Number.of("seen", "robust, of the images seen", decision.share)
        return clean, replace(seen, interval=interval)
    bound = "at most, robust accuracy" if record.left else "robust accuracy"
    return (
        Number.of("clean", "clean accuracy", record.clean),
        *(
            Number.of(
                f"robust {b.eps!r}",
                bound if math.isnan(b.eps) else f"{bound} at {budget_text(b.eps)}",
                b.robust_accuracy,
            )
            for b in record.budgets
        ),
    )


def _accuracy(record: Evaluation, numbering: Numbering) -> list[PageSection]:
    drawings: tuple[Drawing, ...] = ()
    if not record.left and not any(math.isnan(budget.eps) for budget in record.budgets):
        figure = accuracy_curve({"": record})
        figure.axes[0].set_title("", loc="left")
        caption = "Accuracy against eps. At eps 0 stands clean accuracy; shaded are 95 % Wilson intervals."
        drawings = (numbering.figure(figure, "accuracy", caption),)
    title = "Clean and robust accuracy, with 95 % Wilson intervals"
    if record.left and record.decision is not None:
        title = "Of the images seen, and of all"
    table = replace(record.budget_table(), title=title, notes=())
    tables = (numbering.table("budgets", table),)
    return [PageSection("accuracy", "Robust accuracy", (), drawings, tables)]


def _attacks(record: Evaluation, numbering: Numbering) -> list[PageSection]:
    if record.left and record.decision is not None:
        return []  # most images have had no attack
    figure = None if record.left else passes_figure(record)
    drawings: tuple[Drawing, ...] = ()
    if figure is not None:
        where = budget_text(record.budgets[-1].eps)
        caption = (
            f"Robust accuracy against passes. At {where}: what is left after so many passes of an image,"
            " those at smaller budgets among them; the line ends at the most that any image had."
        )
        drawings = (numbering.figure(figure, "passes", caption),)
    table = replace(record.attack_table(), title="What each attack added, and at what cost")
    tables = (numbering.table("attacks", table),)
    return [PageSection("attacks", "Attacks", (), drawings, tables)]


def _classes(record: Evaluation, numbering: Numbering, inputs: str) -> list[PageSection]:
    if not record.budgets or record.left:
        return []
    tables = [numbering.table("classes", record.class_table())]
    counts = record.confusion()
    where = budget_text(record.budgets[-1].eps)
    title = (
        f"Under attack at {where}: {inputs} of a class (row) that are taken for a class (column)"
    )
    found = None
    if len(counts) <= _MOST_CLASSES:
        found = _confusion(record, counts, numbering.next_table(), title)
    else:
        tables.append(numbering.table("errors", _errors(record, counts, where, inputs)))
    return [PageSection("classes", "Classes", tables=tuple(tables), confusion=found)]


def _confusion(record: Evaluation, counts: Any, number: int, title: str) -> ConfusionTable:
    names = [class_name(record.classes, i) for i in range(len(counts))]
    rows = []
    for i, row in enumerate(counts.tolist()):
        total = max(sum(row), 1)
        cells = tuple(Cell(n, round(100 * n / total), own=i == j) for j, n in enumerate(row))
        rows.append(ConfusionRow(names[i], cells))
    return ConfusionTable(number, title, tuple(names), tuple(rows))


def _errors(record: Evaluation, counts: Any, where: str, inputs: str) -> Table:
    others = np.array(counts)
    np.fill_diagonal(others, 0)
    order = np.argsort(-others, axis=None, kind="stable")[:_GATHERED]
    pairs = [divmod(int(i), len(others)) for i in order]
    names = [class_name(record.classes, i) for i in range(len(others))]
    rows = [(names[i], names[j], f"{others[i, j]:,}") for i, j in pairs if others[i, j]]
    return Table(f"The most frequent errors at {where}", ("class", "taken for", inputs), rows)


def _gallery(gallery: Gallery | Sentences | None) -> list[PageSection]:
    if isinstance(gallery, Sentences):
        return sentence_section(gallery)
    if gallery is None or not gallery.cards:
        none = "None are shown: none were kept, none were attacked, or they are no pictures."
        return [PageSection("images", "Images", (none,))]
    notes = (
        "Before, the change, and after: the worst image that was found at the largest budget. A change is"
        " grey where there is none; black and white are the largest of all that are shown.",
        RULE
        + " All of them, at every budget, are in the folder worst beside this page (safetensors:"
        " id, eps, image).",
    )
    return [PageSection("images", "Images", notes, gallery=gallery)]


def _checks(record: Evaluation, numbering: Numbering) -> list[PageSection]:
    if record.verdict is None:
        return []
    table = replace(record.verdict.table(), title="Every check, what it found, and its threshold")
    tables = [numbering.table("checks", table)]
    tables += [numbering.table(each.name, each.table) for each in record.verdict.supplements]
    passes = f"The checks took {record.verdict.passes:,} passes over images, both ways."
    return [PageSection("checks", "Checks", (passes,), tables=tuple(tables))]


def threat_of(record: Evaluation) -> str:
    """Return the norm and the space of the budgets, in words.

    >>> from saddlepoint.evaluation import Proportion
    >>> threat_of(Evaluation({"threat": "Linf 0.1"}, Proportion(0, 0), (), None, None, 0.0, ()))
    'Linf, in pixels'
    """
    return f"{norm_text(record.config)}, in {record.config.get('space', 'pixels')}"
