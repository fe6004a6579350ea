"""The sentences of an evaluation, shaded by what the worst attack changed."""

from __future__ import annotations

from pathlib import Path

import torch

from saddlepoint.answers import class_name
from saddlepoint.evaluation import Evaluation
from saddlepoint.evaluation.breakdown import STANDS
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.evaluation.worst import read_worst
from saddlepoint.reports.evaluation.choose import rows_of
from saddlepoint.reports.page.sentences import Sentence
from saddlepoint.reports.sentences import MOST, shaded
from saddlepoint.text import EmbeddedText


def worst_sentences(
    record: Evaluation, out: Path, data: EmbeddedText, most: int = MOST
) -> tuple[Sentence, ...]:
    """Return up to `most` sentences at the largest budget: the fooled ones first, the nearest before
    the others, then those that stand.

    Args:
        out: the folder of the record, which holds the worst embeddings; none without them.
        data: that was evaluated.
    """
    worst = read_worst(out)
    if worst is None or not record.budgets:
        return ()
    kept = worst.at(record.budgets[-1].eps)
    table = rows_of(record.images, len(record.budgets) - 1, record.clean.total).to_pylist()
    rows = {row["id"]: row for row in table}
    order = sorted(
        range(len(kept.ids)),
        key=lambda n: (
            (row := rows[int(kept.ids[n])])["fooled_by"] == STANDS, row["distance"], row["id"],
        ),
    )[:most]  # fmt: skip
    outcomes = []
    for n in order:
        row = rows[int(kept.ids[n])]
        label, became = (class_name(data.classes, row[key]) for key in ("label", "prediction"))
        hit = row["fooled_by"] != STANDS
        level = row["fooled_at"]
        line = f"{label}: stands"
        if hit:
            where = "" if level is None else f" at {budget_text(level)}, {row['distance']:.3g} away"
            line = f"{label} → {became} by {row['fooled_by']}{where}"
        outcomes.append((line, label, became, hit))
    chosen = torch.tensor(order, dtype=torch.int64)
    return shaded(data, kept.ids[chosen], kept.images[chosen], outcomes)
