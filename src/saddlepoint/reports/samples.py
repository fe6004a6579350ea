"""The page of a generator's samples: the sheet, the nearest training images, and the measures."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from saddlepoint.data import ImageData
from saddlepoint.evaluation.generative import SampleMeasures, sheet_png
from saddlepoint.evaluation.generative.measures import LEAST
from saddlepoint.reports.look.pictures import image_picture
from saddlepoint.reports.page.document import Document, Provenance
from saddlepoint.reports.page.parts import Picture, Strip
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.reports.style import COLOURS, style
from saddlepoint.tables import Table

_PAIRS = 12  # samples that are shown beside a training image


def samples_document(
    found: SampleMeasures,
    train: ImageData,
    *,
    name: str,
    config: Mapping[str, Any],
    out: Path | None = None,
    command: str = "",
) -> Document:
    """Return the page of samples.

    Args:
        found: what was measured.
        train: what the generator was trained on.
        name: what it is called.
        config: what determined the run, as JSON values.
        out: the folder of the run.
        command: what repeats it.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation.generative import measure_samples
    >>> data = load_data("digits", limit=20)
    >>> page = samples_document(measure_samples(data.pixels, data, data), data, name="gan", config={})
    >>> [section.anchor for section in page.sections]
    ['samples', 'neighbours', 'likelihood']
    """
    numbering = Numbering()
    sections = [_sheet(found), _neighbours(found, train, numbering), _likelihood(found, numbering)]
    if found.histogram is not None:
        sections.append(_classes(found, numbering))
    return Document(
        title=f"Samples of {name}",
        subtitle=f"{len(found.samples):,} images, measured against {train.name}.",
        sections=tuple(sections),
        notes=(),
        provenance=Provenance.of(config, out, command, numbering),
    )


def _sheet(found: SampleMeasures) -> PageSection:
    source = f"data:image/png;base64,{base64.b64encode(sheet_png(found.samples)).decode()}"
    shown = min(len(found.samples), 100)
    picture = Picture(source, f"the first {shown} samples")
    strip = Strip(f"The first {shown}, as they were drawn", (picture,), wide=True)
    return PageSection("samples", "Samples", strips=(strip,))


def _neighbours(found: SampleMeasures, train: ImageData, numbering: Numbering) -> PageSection:
    near, held = found.nearest, found.reference
    closest = train.images(near.ids[:_PAIRS].to(train.labels.device)).cpu()
    strips = tuple(
        Strip(
            f"sample {i}",
            (
                image_picture(found.samples[i], f"sample {i}", "sample"),
                image_picture(closest[i], f"training image {int(near.ids[i])}",
                              f"{int(near.ids[i])}, {float(near.distances[i]):.2f} away"),
            ),
        )
        for i in range(len(closest))
    )  # fmt: skip
    said = (
        "Samples lie nearer to training images than test images do: the generator may recite."
        if found.recites
        else "Samples lie no nearer to training images than test images do."
    )
    rows = [
        (what, str(len(each.ids)), f"{float(each.distances.min()):.3f}", f"{each.median:.3f}")
        for what, each in (("samples", near), ("test images", held))
    ]
    table = Table(
        "Distance to the nearest training image, L2 over the pixels",
        ("of", "images", "least", "median"), rows,
    )  # fmt: skip
    numbered = numbering.table("distances", table)
    return PageSection(
        "neighbours", "Nearest training images", (said,), tables=(numbered,), strips=strips
    )


def _likelihood(found: SampleMeasures, numbering: Numbering) -> PageSection:
    parzen = found.parzen
    notes = [
        f"Mean log-likelihood of a test image under a Gaussian around every sample: {parzen}."
        " In many dimensions the estimate is crude, and compares a generator with itself at best."
    ]
    if parzen.at_end:
        notes.append("σ is the least or the greatest that was tried.")
    rows = [(f"{sigma:g}", f"{value:.1f}") for sigma, value in parzen.tried.items()]
    table = numbering.table(
        "sigma", Table("By σ, on validation images (nats)", ("σ", "mean"), rows)
    )
    return PageSection("likelihood", "Parzen log-likelihood", tuple(notes), tables=(table,))


def _classes(found: SampleMeasures, numbering: Numbering) -> PageSection:
    assert found.histogram is not None
    missing = found.histogram.missing(LEAST)
    names = ", ".join(found.classes[i] for i in missing)
    said = (
        f"Below {100 * LEAST:g} % of the samples: {names}."
        if missing
        else f"Every class has {100 * LEAST:g} % of the samples or more."
    )
    caption = (
        "Classes that a classifier takes the samples for. Shares of all samples; the line is an even"
        " share."
    )
    drawn = numbering.figure(class_figure(found), "classes", caption)
    rows = [
        (name, f"{count:,}", f"{100 * share:.1f} %")
        for name, count, share in zip(
            found.classes, found.histogram.counts, found.histogram.shares, strict=True
        )
    ]
    table = numbering.table(
        "counts", Table("Samples of each class", ("class", "samples", "share"), rows)
    )
    return PageSection("classes", "Classes", (said,), (drawn,), (table,))


def class_figure(found: SampleMeasures) -> Figure:
    """Return a bar for each class, of its share of the samples.

    >>> import torch
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation.generative import measure_samples
    >>> data = load_data("digits", limit=20)
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    >>> found = measure_samples(data.pixels, data, data, classifier=net)
    >>> len(class_figure(found).axes[0].patches)
    10
    """
    shares = () if found.histogram is None else found.histogram.shares
    with style():
        figure = Figure(figsize=(5.2, 2.6))
        axes = figure.add_subplot()
        axes.bar(range(len(shares)), [100 * share for share in shares], color=COLOURS[0])
        axes.axhline(100 / max(len(shares), 1), color="black", lw=0.8, ls=":")
        axes.set_xticks(range(len(shares)), found.classes[: len(shares)])
        axes.set_ylabel("share (%)")
        axes.set_xlabel("class")
    return figure
