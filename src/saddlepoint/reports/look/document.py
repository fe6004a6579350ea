"""The page of a look into one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saddlepoint.answers import class_name
from saddlepoint.data import ImageData
from saddlepoint.evaluation.look import Look, View
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.look.attention import attention_sections
from saddlepoint.reports.look.pictures import (
    SHOWN,
    change_picture,
    ends_of,
    filter_picture,
    image_picture,
    map_picture,
)
from saddlepoint.reports.page.document import Document, Provenance
from saddlepoint.reports.page.parts import Strip
from saddlepoint.reports.page.sections import Numbering, PageSection

_FILTERS, _CHANNELS, _FEATURED = 48, 8, 4


def look_document(
    seen: Look,
    data: ImageData,
    *,
    name: str,
    config: Mapping[str, Any],
    out: Path | None = None,
    attack: str = "",
    command: str = "",
) -> Document:
    """Return the page of a look.

    Args:
        seen: at the model, with the images of `data` in their order.
        name: what the model is called.
        config: what determined it, as JSON values.
        out: the folder of the run.
        attack: what was done to the images, in a line.
        command: what repeats it.

    >>> import torch
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.evaluation.look import look_at
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=2)
    >>> net = build_model("vit-micro", classes=10, shape=data.shape)
    >>> page = look_document(look_at(net, data.pixels), data, name="vit", config={})
    >>> [section.anchor for section in page.sections]
    ['images', 'filters', 'features', 'attention', 'distances', 'places']
    """
    numbering = Numbering()
    names = _names(seen, data)
    sections = [_images(seen, names)]
    sections += _filters(seen)
    sections += _features(seen, names)
    sections += attention_sections(seen, names, numbering)
    count = len(seen.before.images)
    under = f", before and after {attack}" if seen.after is not None else ""
    few = f"Pictures are of the first {SHOWN} of them." if count > SHOWN else ""
    return Document(
        title=f"A look into {name}",
        subtitle=f"{count} image{'s' if count > 1 else ''} of {data.name}{under}.",
        sections=tuple(sections),
        notes=(few,) if few else (),
        provenance=Provenance.of(config, out, command, numbering),
    )


def _names(seen: Look, data: ImageData) -> list[str]:
    """Return what each image is, and what it is taken for."""
    labels, moved, found = data.labels.tolist(), seen.moved.tolist(), []
    for i, label in enumerate(labels[: len(seen.before.images)]):
        true = class_name(data.classes, label)
        before = class_name(data.classes, int(seen.before.predictions[i]))
        line = f"image {i}, {true}: taken for {before}"
        if seen.after is not None and i not in moved:
            line += ", left alone by the attack"
        elif seen.after is not None:
            after = class_name(data.classes, int(seen.after.predictions[i]))
            line += f", after the attack for {after}"
        found.append(line)
    return found


def _images(seen: Look, names: list[str]) -> PageSection:
    if seen.after is None:
        strips = tuple(
            Strip(line, (image_picture(seen.before.images[i], line),))
            for i, line in enumerate(names[:SHOWN])
        )
        return PageSection("images", "Images", strips=strips)
    changes = seen.after.images - seen.before.images
    scale = ChangeScale.of(changes)
    strips = tuple(
        Strip(
            line,
            (
                image_picture(seen.before.images[i], f"image {i} before", "before"),
                change_picture(changes[i].mean(0), scale, f"image {i}: {scale.label}", "change"),
                image_picture(seen.after.images[i], f"image {i} after", "after"),
            ),
        )
        for i, line in enumerate(names[:SHOWN])
    )
    largest = f"±{scale.largest:.3g}"
    note = f"The change is the mean over the channels: grey is none, white and black are {largest}."
    return PageSection("images", "Images", (note,), strips=strips)


def _filters(seen: Look) -> list[PageSection]:
    if seen.filters is None:
        return [
            PageSection("filters", "Filters", ("The model has no convolution: it has no filters.",))
        ]
    weights = seen.filters.weights
    shown = weights[:_FILTERS]
    which = (
        f"the first {_FILTERS} of {seen.filters.told}"
        if len(weights) > _FILTERS
        else seen.filters.told
    )
    strips = [
        Strip(
            f"Layer {seen.filters.layer}: {which}",
            tuple(filter_picture(each, f"filter {i}") for i, each in enumerate(shown, start=1)),
        )
    ]
    if seen.filters.components is not None and seen.filters.shares is not None:
        components, shares = seen.filters.components, seen.filters.shares
        strips.append(
            Strip(
                f"The first {len(components)} principal components of all {len(weights)} filters, which"
                f" have {100 * float(shares.sum()):.0f} % of their variance; each with its share",
                tuple(
                    filter_picture(each, f"component {i}", f"{100 * float(share):.1f} %")
                    for i, (each, share) in enumerate(zip(components, shares, strict=True), start=1)
                ),
            )
        )
    note = "Grey is a weight of 0; black and white are the largest of a filter. Colours are the channels."
    return [PageSection("filters", "Filters", (note,), strips=tuple(strips))]


def _features(seen: Look, names: list[str]) -> list[PageSection]:
    before = seen.before.features
    if before is None:
        return []
    chosen, strips = before.chosen(_CHANNELS), []
    for block, channels in chosen.items():
        total = before.blocks[block].shape[1]
        for i in range(min(len(names), _FEATURED)):
            views = [("", seen.before)]
            if seen.after is not None and i in seen.moved:
                views = [("before", seen.before), ("after", seen.after)]
            scales = {c: ends_of([_map(view, block, i, c) for _, view in views]) for c in channels}
            for when, view in views:
                line = f"{block}, image {i}{f' {when}' if when else ''}: {len(channels)} of {total} channels"
                pictures = tuple(
                    map_picture(
                        _map(view, block, i, c),
                        f"channel {c} of {block}",
                        f"channel {c}",
                        scales[c],
                    )
                    for c in channels
                )
                strips.append(Strip(line, pictures))
    note = (
        "What the first blocks with convolutions give: the channels that vary most over these images, from"
        " dark (least) to yellow (most); before and after an attack a channel has one scale."
    )
    return [PageSection("features", "Feature maps", (note,), strips=tuple(strips))]


def _map(view: View, block: str, image: int, channel: int) -> Any:
    assert view.features is not None
    return view.features.blocks[block][image, channel]
