"""The page of translations: sentences side by side, and where the decoder looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from saddlepoint.reports.page.document import Document, Provenance
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.reports.style import style
from saddlepoint.tables import Table
from saddlepoint.text.translating import CrossAttention, Translated

SHOWN = 3
"""Sentences whose attention the page shows, at most."""
_TABLE = 200
_MOST = 24  # tokens of a side that a map has room for
_BESIDE = 12  # tokens of the text up to which two heads have room beside each other
_SIZE = 7.5  # points


def translation_document(
    found: Translated,
    attentions: Sequence[CrossAttention],
    *,
    name: str,
    config: Mapping[str, Any],
    out: Path | None = None,
    command: str = "",
) -> Document:
    """Return the page of translations.

    Args:
        found: the translations.
        attentions: of the first of them.
        name: what the network is called.
        config: what determined it, as JSON values.
        out: the folder of the run.
        command: what repeats it.

    >>> import torch
    >>> seen = CrossAttention(("a", "[EOS]"), ("b", "[EOS]"), torch.full((2, 4, 2, 2), 0.5))
    >>> found = Translated(("a",), ("b",), ((8,),), (-0.5,), 0)
    >>> page = translation_document(found, [seen], name="net", config={})
    >>> len(page.sections[1].drawings)
    2
    """
    numbering = Numbering()
    rows = [
        (s, w, f"{x:.3f}")
        for s, w, x in zip(found.sources, found.written, found.scores, strict=True)
    ]
    notes = [f"the first {_TABLE} of {len(rows):,}"] if len(rows) > _TABLE else []
    if found.cut:
        notes.append(f"{found.cut} texts were too long, and cut")
    table = numbering.table(
        "translations",
        Table("Translations", ("text", "translation", "score"), rows[:_TABLE], tuple(notes)),
    )
    drawings = [
        numbering.figure(
            heads(seen, block),
            f"attention-{number}-{block}",
            f"“{found.sources[number]}”, block {block + 1} of {len(seen.maps)}: rows are written tokens,"
            " columns are those of the text; the darker, the more attention.",
        )
        for number, seen in enumerate(attentions)
        for block in range(len(seen.maps))
    ]
    note = (
        "Cross attention: where each head of the decoder looks when it writes a token. Attention shows"
        " what is read there, which need not be what decides."
    )
    cut = any(max(len(e.source), len(e.written)) > _MOST for e in attentions)
    more = (f"Maps show the first {_MOST} tokens of each side.",) if cut else ()
    return Document(
        title=f"Translations by {name}",
        subtitle=f"{len(rows):,} text{'s' if len(rows) > 1 else ''}.",
        sections=(
            PageSection("translations", "Translations", tables=(table,)),
            PageSection("attention", "Attention", (note, *more), drawings=tuple(drawings)),
        ),
        provenance=Provenance.of(config, out, command, numbering),
    )


def heads(seen: CrossAttention, block: int) -> Figure:
    """Return the maps of the heads of one block, two beside each other where there is room.

    >>> import torch
    >>> seen = CrossAttention(("a", "[EOS]"), ("b", "[EOS]"), torch.full((2, 3, 2, 2), 0.5))
    >>> len(heads(seen, 1).axes)
    3
    """
    maps = seen.maps[block, :, :_MOST, :_MOST]
    source, written = seen.source[:_MOST], seen.written[:_MOST]
    count, (t, s) = len(maps), maps.shape[1:]
    columns = 2 if s <= _BESIDE else 1
    rows = -(-count // columns)
    with style():
        # A cell has the same height whatever the sentence.
        height = 0.17 * t + 0.22 + 0.075 * max(map(len, source))
        figure = Figure(figsize=(4.8, rows * (height + 0.1)), layout="constrained")
        for head in range(count):
            axes = figure.add_subplot(rows, columns, head + 1)
            axes.imshow(
                maps[head].numpy(), cmap="Greys", vmin=0, vmax=1, aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            axes.grid(visible=False)
            axes.set_title(f"head {head + 1}", loc="left", fontsize=_SIZE)
            axes.set_xticks(range(s), source, rotation=90, fontsize=_SIZE)
            axes.set_yticks(range(t), written if head % columns == 0 else [""] * t, fontsize=_SIZE)
            axes.tick_params(length=0)
    return figure
