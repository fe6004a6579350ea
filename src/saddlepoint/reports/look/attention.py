"""Attention on the page of a look: maps by layer, distances, the table of places, and what an attack did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.evaluation.look import Look, SwinAttention, ViTAttention
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.look.figures import distance_figure, layer_figure
from saddlepoint.reports.look.pictures import (
    SHOWN,
    change_picture,
    ends_of,
    image_picture,
    map_picture,
    place_mosaic,
)
from saddlepoint.reports.page.parts import Drawing, Strip
from saddlepoint.reports.page.sections import Numbering, PageSection
from saddlepoint.tables import Table

_VIT = (
    "What each patch gets of {whose}, averaged over the heads, by layer, and the rollout through all"
    " layers. Dark is the least, yellow the most of a layer; before and after an attack it has one"
    " scale."
)
_SWIN = (
    "How much each token is looked at by those of its window, averaged over the heads, by layer: dark"
    " is the least, yellow the most of a layer, before and after an attack on one scale. A rollout is"
    " not defined for Swin, whose tokens merge from stage to stage."
)


def attention_sections(seen: Look, names: list[str], numbering: Numbering) -> list[PageSection]:
    """Return the sections on attention; one line that says why there is none for other models.

    >>> import torch
    >>> from saddlepoint.evaluation.look import look_at
    >>> seen = look_at(torch.nn.Flatten(), torch.rand(1, 1, 2, 2))
    >>> attention_sections(seen, ["image 0"], Numbering())[0].notes[0][:18]
    'No attention maps:'
    """
    before = seen.before.attention
    after = None if seen.after is None else seen.after.attention
    if isinstance(before, str):
        said = f"{before[:1].upper()}{before[1:]}."
        return [PageSection("attention", "Attention", (said,))]
    sections = []
    if isinstance(before, ViTAttention):
        other = after if isinstance(after, ViTAttention) else None
        whose = "the class token's attention" if before.classed else "the attention of all patches"
        maps = {**before.maps, "rollout": before.rollout}
        later = None if other is None else {**other.maps, "rollout": other.rollout}
        sections.append(_maps(seen, names, _VIT.format(whose=whose), maps, later))
        if other is not None:
            sections.append(_attacked_vit(before, other, seen.moved, numbering))
        sections.append(_distances(before, other, numbering))
    else:
        swin = after if isinstance(after, SwinAttention) else None
        cuts = "; ".join(f"layer {i}: {cut}" for i, cut in enumerate(before.cuts.values(), start=1))
        later = None if swin is None else swin.maps
        sections.append(
            _maps(seen, names, _SWIN, before.maps, later, (f"{cuts[:1].upper()}{cuts[1:]}.",))
        )
        if swin is not None:
            bits = _rows(before.divergence(swin), seen.moved)
            drawn = () if not len(seen.moved) else (_divergence(bits, numbering),)
            notes = () if drawn else (_NOTHING,)
            heading = "Attention under attack"
            sections.append(PageSection("under-attack", heading, notes, drawn))
    if seen.places is not None:
        sections.append(_places(seen.places))
    return sections


def _maps(
    seen: Look,
    names: list[str],
    note: str,
    before: Mapping[str, Float[Tensor, "n i j"]],
    after: Mapping[str, Float[Tensor, "n i j"]] | None,
    more: tuple[str, ...] = (),
) -> PageSection:
    strips = []
    captions = [f"layer {i}" for i in range(1, len(before) + 1)]
    if "rollout" in before:
        captions[-1] = "rollout"
    for i, line in enumerate(names[:SHOWN]):
        views = [("", seen.before.images[i], before)]
        if after is not None and seen.after is not None and i in seen.moved:
            views.append(("after the attack", seen.after.images[i], after))
        scales = {name: ends_of([maps[name][i] for _, _, maps in views]) for name in before}
        for when, image, maps in views:
            pictures = [image_picture(image, f"image {i} {when}".strip(), "image")]
            pictures += [
                map_picture(each[i], f"attention in image {i}, {caption}", caption, scales[name])
                for caption, (name, each) in zip(captions, maps.items(), strict=True)
            ]
            strips.append(Strip(when or line, tuple(pictures)))
        if after is not None and len(views) == 2:
            moved = (views[1][1] - views[0][1]).mean(0)
            strips.append(_change(moved, before, after, captions, i))
    return PageSection("attention", "Attention", (note, *more), strips=tuple(strips))


def _change(
    moved: Float[Tensor, "h w"],
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    captions: list[str],
    image: int,
) -> Strip:
    """Return what an attack changed in an image and its attention; each layer on its own scale."""
    pictures = [change_picture(moved, ChangeScale.of([moved]), f"change of image {image}", "image")]
    for caption, (name, maps) in zip(captions, before.items(), strict=True):
        change = after[name][image] - maps[image]
        scale = ChangeScale.of([change])
        pictures.append(
            change_picture(
                change, scale, f"{caption}, {scale.label}", f"{caption} ±{scale.largest:.2g}"
            )
        )
    return Strip("the change: black is less, white more", tuple(pictures))


def _distances(
    before: ViTAttention, after: ViTAttention | None, numbering: Numbering
) -> PageSection:
    figure = distance_figure(before.distances, None if after is None else after.distances)
    caption = (
        "Mean attention distance of each head by layer. How far away the patches are that a patch looks"
        " at, in pixels, averaged over patches and images; the class token is left out, and the rest"
        " sums to 1 again."
    )
    drawn = numbering.figure(figure, "distances", caption)
    return PageSection("distances", "Attention distance", drawings=(drawn,))


def _places(cosines: Float[Tensor, "h w h2 w2"]) -> PageSection:
    note = (
        "The cosine of the code of one place with that of every place, a small map for each place where"
        " it lies: dark is −1, yellow 1."
    )
    picture = place_mosaic(cosines, "similarity of codes of places")
    strip = Strip("Learned codes of places", (picture,), wide=True)
    return PageSection("places", "Table of places", (note,), strips=(strip,))


_NOTHING = "The attack changed no image: all were wrong before, or it found nothing."
_DIVERGENCE = (
    "Jensen-Shannon divergence of attention before and after the attack, by layer. In bits, from 0 to 1,"
    " averaged over heads and tokens; the line is the mean over the images that changed, a point an"
    " image."
)


def _divergence(bits: Mapping[str, Float[Tensor, " n"]], numbering: Numbering) -> Drawing:
    figure = layer_figure({"": bits}, "divergence (bits)")
    return numbering.figure(figure, "divergence", _DIVERGENCE)


def _rows(values: Mapping[str, Tensor], rows: Int64[Tensor, " m"]) -> dict[str, Tensor]:
    return {name: each[rows] for name, each in values.items()}


def _attacked_vit(
    before: ViTAttention, after: ViTAttention, moved: Int64[Tensor, " m"], numbering: Numbering
) -> PageSection:
    heading = "Attention under attack"
    if not len(moved):
        return PageSection("under-attack", heading, (_NOTHING,))
    drawn = [_divergence(_rows(before.divergence(after), moved), numbering)]
    changed = before.changed(after)
    shares = [_rows(each.share_on(changed), moved) for each in (before, after)]
    if not before.classed:
        return PageSection("under-attack", heading, drawings=tuple(drawn))
    if bool(changed[moved].all()):
        note = (
            "The attack changed every patch, so that all attention is on changed patches; one that is"
            " confined (--mask) shows whether attention follows it."
        )
        return PageSection("under-attack", heading, (note,), tuple(drawn))
    caption = (
        "Share of the class token's attention on the patches that changed, by layer. Of what it gives"
        " to all patches; the line is the mean over the images that changed, a point an image."
    )
    lines = dict(zip(("before", "after the attack"), shares, strict=True))
    drawn.append(
        numbering.figure(layer_figure(lines, "share on changed patches"), "share", caption)
    )
    table = numbering.table("shares", _share_table(moved, changed, shares))
    return PageSection("under-attack", heading, drawings=tuple(drawn), tables=(table,))


def _share_table(
    moved: Int64[Tensor, " m"],
    changed: Bool[Tensor, "n p"],
    shares: Sequence[Mapping[str, Float[Tensor, " m"]]],
) -> Table:
    """Return what each image's changed patches get, on average over the layers and in the last one."""
    rows = []
    for row, image in enumerate(moved.tolist()):
        lines = [[float(each[row]) for each in share.values()] for share in shares]
        numbers = [value for line in lines for value in (sum(line) / len(line), line[-1])]
        patches = f"{int(changed[image].sum())} of {changed.shape[1]}"
        even = f"{100 * float(changed[image].double().mean()):.1f} %"
        rows.append((str(image), patches, even, *(f"{100 * value:.1f} %" for value in numbers)))
    title = (
        "The class token's attention on the patches that changed: mean of the layers, and the last"
    )
    columns = ("image", "patches changed", "if even", "before", "last layer", "after", "last layer")
    return Table(title, columns, rows)
