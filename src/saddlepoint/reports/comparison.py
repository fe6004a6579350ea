"""The page of a comparison of models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from saddlepoint.evaluation import Evaluation, ModelComparison
from saddlepoint.evaluation.overlap import Overlap
from saddlepoint.reports.figures import accuracy_curve
from saddlepoint.reports.page.document import Document, Judged, Provenance
from saddlepoint.reports.page.parts import Drawing
from saddlepoint.reports.page.sections import Numbering, PageSection


def comparison_document(
    found: ModelComparison,
    evaluations: Mapping[str, Evaluation],
    overlap: Overlap | None,
    command: str = "",
) -> Document:
    """Return the page of a comparison.

    Args:
        found: what `compare` found.
        evaluations: that were compared, by the names of the models.
        overlap: of the images that they fail on.
        command: what repeats it.
    """
    numbering = Numbering()
    drawings: tuple[Drawing, ...] = ()
    if not any(math.isnan(b.eps) for each in evaluations.values() for b in each.budgets):
        figure = accuracy_curve(evaluations)
        caption = "Robust accuracy against eps. Shaded are 95 % intervals; at eps 0 stands clean accuracy."
        drawings = (numbering.figure(figure, "accuracy", caption),)
    accuracy = numbering.table("accuracy", found.accuracy_table())
    several = (found.cochran_table(),) if found.clean.cochran is not None else ()
    pairs = replace(found.pair_table(), notes=found.pair_table().notes[:2])
    tests = tuple(
        numbering.table(f"test-{i}", each) for i, each in enumerate((*several, pairs), start=1)
    )
    sections = [
        PageSection("accuracy", "Accuracy", (), drawings, (accuracy,)),
        PageSection("significance", "Which is more robust?", tables=tests),
    ]
    if overlap is not None:
        tables = tuple(
            numbering.table(name, each)
            for name, each in zip(("overlap", "alone"), overlap.tables(), strict=True)
        )
        sections.append(PageSection("overlap", "Which images?", tables=tables))
    data = found.data
    return Document(
        title=f"{len(evaluations)} models on {data.get('name', '')} {data.get('split', '')}".strip(),
        subtitle=f"The same {data.get('images', 0):,} images, {found.threat}.",
        sections=tuple(sections),
        judged=tuple(Judged.of(each, name) for name, each in evaluations.items()),
        notes=found.notes[len(evaluations) :],
        provenance=Provenance.of(
            {"models": {name: each.config for name, each in evaluations.items()}},
            None,
            command,
            numbering,
        ),
    )
