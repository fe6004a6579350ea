"""The page of a masked autoencoder: images, what is visible of them, and two guesses at the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from saddlepoint.answers import class_name
from saddlepoint.data import ImageData
from saddlepoint.evaluation.reconstruction import Reconstructions
from saddlepoint.reports.look.pictures import image_picture
from saddlepoint.reports.page.document import Document, Provenance
from saddlepoint.reports.page.parts import Strip
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.tables import Table

SHOWN = 16
"""Images that the page shows, at most; its table is of all."""
_GREY = 0.5


def reconstruction_document(
    found: Reconstructions,
    data: ImageData,
    *,
    name: str,
    config: Mapping[str, Any],
    out: Path | None = None,
    command: str = "",
) -> Document:
    """Return the page of reconstructions.

    Args:
        found: of the images of `data`, in their order.
        data: whose labels name the images.
        name: what the autoencoder is called.
        config: what determined it, as JSON values.
        out: the folder of the run.
        command: what repeats it.

    >>> from saddlepoint.data import load_data
    >>> data = load_data("digits", limit=2)
    >>> hidden = torch.rand(2, 1, 8, 8) < 0.75
    >>> same = Reconstructions(data.pixels, hidden, data.pixels, data.pixels)
    >>> page = reconstruction_document(same, data, name="mae", config={})
    >>> [len(strip.pictures) for strip in page.sections[1].strips]
    [4, 4]
    """
    numbering = Numbering()
    errors, guesses = found.errors, found.interpolation_errors
    count, share = len(found.images), float(found.hidden.float().mean())
    rows = [
        (kind, f"{float(each.mean()):.4g}", f"{float(each.median()):.4g}", f"{float(each.max()):.4g}")
        for kind, each in (("reconstruction", errors), ("interpolation", guesses))
    ]  # fmt: skip
    better = int((errors < guesses).sum())
    table = numbering.table(
        "errors",
        Table(
            "Mean squared error over hidden pixels",
            ("", "mean", "median", "largest"),
            rows,
            (f"the reconstruction is nearer for {better} of {count} images",),
        ),
    )
    seen = torch.where(found.hidden, torch.full_like(found.images, _GREY), found.images)
    strips = tuple(
        Strip(
            f"image {i}, {class_name(data.classes, int(data.labels[i]))}",
            (
                image_picture(found.images[i], f"image {i}", "original"),
                image_picture(seen[i], f"image {i}, visible patches", "visible"),
                image_picture(
                    found.predicted[i], f"image {i}, reconstructed", f"rebuilt {errors[i]:.3f}"
                ),
                image_picture(
                    found.interpolated[i], f"image {i}, interpolated", f"blended {guesses[i]:.3f}"
                ),
            ),
        )
        for i in range(min(count, SHOWN))
    )
    note = (
        "Hidden patches are grey. Rebuilt is what the autoencoder makes of the visible patches; blended"
        " are means of visible pixels, weighted by distance⁻⁴. The numbers are mean squared errors."
    )
    sections = (
        PageSection("errors", "Errors", tables=(table,)),
        PageSection("images", "Images", (note,), strips=strips),
    )
    few = (f"Pictures are of the first {SHOWN} of them.",) if count > SHOWN else ()
    return Document(
        title=f"What {name} makes of hidden patches",
        subtitle=f"{count} image{'s' if count > 1 else ''} of {data.name}, {100 * share:.0f} % hidden.",
        sections=sections,
        notes=few,
        provenance=Provenance.of(config, out, command, numbering),
    )
