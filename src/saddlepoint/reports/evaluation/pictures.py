"""The gallery of an evaluation: chosen images before, the change, and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.answers import class_name
from saddlepoint.attacks import Criterion
from saddlepoint.data import ImageData
from saddlepoint.evaluation import Evaluation
from saddlepoint.evaluation.asked import Asked
from saddlepoint.evaluation.breakdown import STANDS
from saddlepoint.evaluation.tables import budget_text
from saddlepoint.evaluation.worst import read_worst
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.evaluation.choose import choose, rows_of
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.page.parts import SEPARATOR, Card, Gallery

_FILTERS = {
    "why": "chosen as", "class": "class", "becomes": "becomes", "outcome": "outcome",
    "attack": "fooled by",
}  # fmt: skip
_BATCH = 128


def gallery_of(
    record: Evaluation, out: Path, model: nn.Module, data: ImageData, criterion: Criterion
) -> Gallery | None:
    """Return the gallery of the images kept in `out` at the largest budget; None where there are none, or
    they are no pictures.

    Args:
        model: on its device; what it gives the chosen images is asked again.
        data: the images that were evaluated.
    """
    worst = read_worst(out)
    if worst is None or not record.budgets or not drawable(data.shape):
        return None
    kept = worst.at(record.budgets[-1].eps)
    if not len(kept.ids):
        return None
    table = rows_of(record.images, len(record.budgets) - 1, record.clean.total)
    row_of = {i: row for row, i in enumerate(table["id"].to_pylist())}
    asked = Asked(model, criterion, 1, int(record.config.get("seed", 0)))
    after = {row_of[int(i)]: image for i, image in zip(kept.ids, kept.images, strict=True)}
    rows = sorted(after)
    ids = torch.tensor([table["id"][row].as_py() for row in rows])
    shares = _probabilities(asked, torch.stack([after[row] for row in rows]), ids)
    sureness = {row: float(share.max()) for row, share in zip(rows, shares, strict=True)}
    chosen = choose(table, sureness)
    numbers = {row: number for number, row in enumerate(rows)}
    some = torch.tensor([numbers[each.row] for each in chosen])
    before = data.images(ids[some]).cpu()
    clean = _probabilities(asked, before, ids[some])
    changes = [after[each.row] - x for each, x in zip(chosen, before, strict=True)]
    scale = ChangeScale.of(changes)
    cards = []
    for number, each in enumerate(chosen):
        found = {
            name: table[name][each.row].as_py() for name in ("label", "prediction", "fooled_by")
        }
        label, became = (class_name(data.classes, found[name]) for name in ("label", "prediction"))
        stands = found["fooled_by"] == STANDS
        told = _told(
            clean[number], shares[some[number]], found["label"], found["prediction"], data.classes
        )
        level = table["fooled_at"][each.row].as_py()
        distance = float(table["distance"][each.row].as_py())
        outcome = (
            f"{label}: stands"
            if stands
            else f"{label} → {became} by {found['fooled_by']}"
            + ("" if level is None else f" at {budget_text(level)}, {distance:.3g} away")
        )
        lines = (outcome, told, f"image {int(ids[some[number]])}; {', '.join(each.why)}")
        tags = {
            "why": SEPARATOR.join(each.why),
            "becomes": label if stands else became,
            "outcome": "stands" if stands else "fooled",
            "attack": found["fooled_by"],
        }
        images, names = (before[number], after[each.row]), (label, became)
        cards.append(Card.of(int(ids[some[number]]), images, scale, names, lines, tags))
    return Gallery.of(cards, _FILTERS)


def _probabilities(
    asked: Asked, images: Float[Tensor, "m ..."], ids: Tensor
) -> Float[Tensor, "m k"]:
    parts = zip(torch.split(images, _BATCH), torch.split(ids, _BATCH), strict=True)
    return torch.cat([asked.probabilities(some, which) for some, which in parts])


def _told(before: Tensor, after: Tensor, label: int, became: int, names: Sequence[str]) -> str:
    """Say what the model gives the classes concerned, before and after."""
    classes = [each for each in dict.fromkeys((label, became)) if 0 <= each < len(after)]
    return "; ".join(
        f"p({class_name(names, each)}) {float(before[each]):.2f} → {float(after[each]):.2f}"
        for each in classes
    )
