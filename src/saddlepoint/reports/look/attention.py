"""Attention on the page of a look: maps by layer, distances, the table of places, and what an attack did."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.evaluation.look import Look, SwinAttention, ViTAttention
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.look.figures import distance_figure, layer_figure
from saddlepoint.reports.look.pictures import (
    change_picture,
    ends_of,
    image_picture,
    map_picture,
    place_mosaic,
)
from saddlepoint.reports.page.parts import Strip
from saddlepoint.reports.page.sections import NumberedTable, Numbering, PageSection
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
            sections.append(_attacked_vit(before, other, names, numbering))
        sections.append(_distances(before, other, numbering))
    else:
        swin = after if isinstance(after, SwinAttention) else None
        cuts = [f"{name}: {cut}" for name, cut in before.cuts.items()]
        later = None if swin is None else swin.maps
        sections.append(_maps(seen, names, _SWIN, before.maps, later, tuple(cuts)))
        if swin is not None:
            sections.append(_attacked(before.divergence(swin), numbering))
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
    for i, line in enumerate(names):
        views = [("", seen.before.images[i], before)]
        if after is not None and seen.after is not None:
            views.append(("after the attack", seen.after.images[i], after))
        scales = {name: ends_of([maps[name][i] for _, _, maps in views]) for name in before}
        for when, image, maps in views:
            pictures = [image_picture(image, f"image {i} {when}".strip(), when or "image")]
            pictures += [
                map_picture(each[i], f"attention in image {i}, {caption}", caption, scales[name])
                for caption, (name, each) in zip(captions, maps.items(), strict=True)
            ]
            strips.append(Strip(when or line, tuple(pictures)))
        if after is not None:
            strips.append(_change(before, after, captions, i))
    return PageSection("attention", "Attention", (note, *more), strips=tuple(strips))


def _change(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], captions: list[str], image: int
) -> Strip:
    """Return what an attack changed in the attention of an image; each layer on its own scale."""
    pictures = []
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


_DIVERGENCE = (
    "Jensen-Shannon divergence of attention before and after the attack, by layer. In bits, from 0 to 1,"
    " averaged over heads and tokens; the line is the mean over the images, a point an image."
)


def _attacked(bits: Mapping[str, Float[Tensor, " n"]], numbering: Numbering) -> PageSection:
    figure = layer_figure({"": bits}, "divergence (bits)")
    drawn = numbering.figure(figure, "divergence", _DIVERGENCE)
    return PageSection("under-attack", "Attention under attack", drawings=(drawn,))


def _attacked_vit(
    before: ViTAttention, after: ViTAttention, names: list[str], numbering: Numbering
) -> PageSection:
    drawn = [
        numbering.figure(
            layer_figure({"": before.divergence(after)}, "divergence (bits)"),
            "divergence",
            _DIVERGENCE,
        )
    ]
    changed = before.changed(after)
    shares = before.share_on(changed), after.share_on(changed)
    notes: list[str] = []
    tables: tuple[NumberedTable, ...] = ()
    if shares[0]:
        if bool(changed.all()):
            notes.append(
                "The attack changed every patch, so that the share of attention on changed patches is"
                " all of it; one that is confined (--mask) shows whether attention follows it."
            )
        elif not bool(changed.any()):
            notes.append("The attack changed no patch.")
        else:
            lines = {"before": shares[0], "after the attack": shares[1]}
            caption = (
                "Share of the class token's attention on the patches that changed, by layer. Of what it"
                " gives to all patches; the line is the mean over the images, a point an image."
            )
            share = layer_figure(lines, "share on changed patches")
            drawn.append(numbering.figure(share, "share", caption))
        tables = (numbering.table("shares", _share_table(names, changed, shares)),)
    return PageSection("under-attack", "Attention under attack", tuple(notes), tuple(drawn), tables)


def _share_table(
    names: list[str],
    changed: Bool[Tensor, "n p"],
    shares: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
) -> Table:
    """Return what each image's changed patches get, on average over the layers and in the last one."""
    rows = []
    for i, _ in enumerate(names):
        lines = [[float(each[i]) for each in share.values()] for share in shares]
        numbers = [value for line in lines for value in (sum(line) / len(line), line[-1])]
        patches = f"{int(changed[i].sum())} of {changed.shape[1]}"
        rows.append((str(i), patches, *(f"{100 * value:.1f} %" for value in numbers)))
    columns = (
        "image",
        "patches changed",
        "before, mean",
        "last layer",
        "after, mean",
        "last layer",
    )
    return Table("The class token's attention on the patches that changed", columns, rows)
