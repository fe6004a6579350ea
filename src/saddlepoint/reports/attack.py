"""The page of one attack, and that of images that were judged again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.answers import class_name
from saddlepoint.attacks import AttackResult
from saddlepoint.data import ImageData
from saddlepoint.evaluation import AttackRecord, Audit, Proportion
from saddlepoint.evaluation.verdict.finding import NOT_EXAMINED
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.page.document import Document, Judged, Number, Provenance
from saddlepoint.reports.page.parts import Card, Gallery
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.reports.page.sentences import Sentences
from saddlepoint.reports.sentences import SENTENCE_FILTERS, attacked_sentences, sentence_section
from saddlepoint.tables import Table
from saddlepoint.text import EmbeddedText

MOST = 48
_FILTERS = {"outcome": "outcome", "class": "class", "becomes": "becomes"}
_NOTE = (
    f"Before, the change, and after, of up to {MOST} images: the fooled ones first, each kind in the order"
    " of the data. A change is grey where there is none; black and white are the largest of all."
)


def attack_document(
    record: AttackRecord, out: Path, data: ImageData, *, name: str, command: str = ""
) -> Document:
    """Return the page of the attack in `out`.

    Args:
        data: the images that were attacked.
        name: what the model is called.
        command: what repeats it.
    """
    numbering = Numbering()
    (table,) = record.tables()
    sections = [PageSection("result", "Result", tables=(numbering.table("result", table),))]
    sections += _images(data, record.ids, record.result)
    return Document(
        title=f"{record.config['attack']['type']} on {name}",
        subtitle=f"{record.title}.",
        sections=tuple(sections),
        judged=(_NOT_EXAMINED,),
        numbers=(
            Number.of("clean", "clean accuracy", record.clean),
            Number.of("robust", "accuracy under this attack", record.robust_accuracy),
            Number.of("success", "attack success", record.success),
        ),
        provenance=Provenance.of(record.config, out, command, numbering),
    )


def audit_document(
    audit: Audit,
    data: ImageData,
    ids: Int64[Tensor, " n"],
    *,
    title: str,
    rows: Sequence[tuple[str, Proportion]],
    provenance: Mapping[str, Any],
    command: str,
) -> Document:
    """Return the page of images that were judged again.

    Args:
        audit: of the images.
        data: that they were made from.
        ids: (n,) which ones.
        title: what was judged.
        rows: shares of the images that the model had right, by their names.
        provenance: what distinguishes it, as JSON values.
        command: what repeats it.
    """
    numbering = Numbering()
    table = Table("Of these", ("", "share"), [(name, str(share)) for name, share in rows])
    sections = [PageSection("result", "Result", tables=(numbering.table("result", table),))]
    sections += _images(data, ids, audit.result)
    return Document(
        title=title,
        subtitle=f"{len(audit.result):,} images of {data.name}, judged again.",
        sections=tuple(sections),
        judged=(_NOT_EXAMINED,),
        numbers=(Number.of("robust", "robust accuracy over all images", audit.robust_accuracy),),
        provenance=Provenance.of(provenance, None, command, numbering),
    )


_NOT_EXAMINED = Judged("none", f"One attack alone, {NOT_EXAMINED}")


def _images(data: ImageData, ids: Int64[Tensor, " n"], result: AttackResult) -> list[PageSection]:
    if isinstance(data, EmbeddedText):
        found = attacked_sentences(data, ids, result)
        return sentence_section(Sentences.of(found, SENTENCE_FILTERS))
    if not drawable(data.shape) or not len(result):
        return []
    fooled = (result.success & ~result.initially_wrong).cpu()
    order = torch.argsort(fooled.to(torch.int8), descending=True, stable=True)
    chosen = order[~result.initially_wrong.cpu()[order]][:MOST]
    if not len(chosen):
        return []
    before, after = (
        data.images(ids[chosen]).cpu().float(),
        result.adversarials[chosen].cpu().float(),
    )
    scale = ChangeScale.of(after - before)
    cards = []
    for number, row in enumerate(chosen.tolist()):
        label = class_name(data.classes, int(data.labels[ids[row]]))
        became, hit = class_name(data.classes, int(result.predictions[row])), bool(fooled[row])
        distance = float(result.distance[row])
        line = f"{label} → {became}, {distance:.3g} away" if hit else f"{label}: holds"
        tags = {"outcome": "fooled" if hit else "holds", "becomes": became}
        images, lines = (before[number], after[number]), (line, f"image {int(ids[row])}")
        cards.append(Card.of(int(ids[row]), images, scale, (label, became), lines, tags))
    gallery = Gallery.of(cards, _FILTERS)
    return [PageSection("images", "Images", (_NOTE,), gallery=gallery)]
