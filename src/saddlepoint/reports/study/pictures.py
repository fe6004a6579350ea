"""Images before and after the attack, for the reference and for a robust variant."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reports.changes import ChangeScale, as_array, draw_pixels
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.study.cells import class_name, example_cell
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.style import style
from saddlepoint.studies.results import StudyResults

_ROWS = 4


def before_after(results: StudyResults) -> Figure:
    """Return rows of images before the attack, the change, and after it, with the predicted
    classes, for the reference and, where there is one, an adversarially trained variant.

    The changes are on one scale, which a bar shows: grey is none, black and white the largest of
    the figure, and nothing is cut off. Raises `InputError` where the store holds no images of the
    reference, or images that are not grey or RGB.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> len(before_after(toy_results()).axes)
    25
    """
    variants = shown_variants(results)
    found = []
    for variant in variants:
        seed, eps, attack = example_cell(results, variant)
        found.append(results.examples(variant, seed, eps, attack))
    shape = tuple(found[0]["images"].shape[1:])
    if not drawable(shape):
        raise InputError(f"only grey and RGB images can be drawn, not shape {shape}")
    rows = _rows(found)
    changes = [
        e["adversarials"][r].float() - e["images"][r].float()
        for e, r in zip(found, rows, strict=True)
    ]
    scale = ChangeScale.of(changes)
    count = len(rows[0])
    with style():
        width = 3.5 * len(found) + 0.6
        figure = Figure(figsize=(width, 1.3 * count + 0.4))
        right = 1 - 0.7 / width
        blocks = figure.add_gridspec(1, len(found), wspace=0.12, left=0.02, right=right)
        for b, (variant, examples, chosen) in enumerate(zip(variants, found, rows, strict=True)):
            grid = blocks[b].subgridspec(count, 3, wspace=0.06, hspace=0.22)
            for row, index in enumerate(chosen.tolist()):
                titles = (
                    class_name(results, int(examples["before"][index])),
                    "change" if row == 0 else "",
                    class_name(results, int(examples["after"][index])),
                )
                for column, title in enumerate(titles):
                    axes = figure.add_subplot(grid[row, column])
                    if column == 1:
                        scale.draw(axes, changes[b][row])
                        axes.set_title(title, fontsize=8, pad=3)
                    else:
                        shown = examples["images" if column == 0 else "adversarials"][index]
                        draw_image(axes, shown.float(), title)
                    if column != 1 and int(examples["labels"][index]) != int(
                        examples["before" if column == 0 else "after"][index]
                    ):
                        axes.title.set_color("#B00000")
                        axes.title.set_fontweight("bold")
                    if row == 0 and column == 1:
                        axes.annotate(
                            variant, (0.5, 1.26), xycoords="axes fraction", ha="center",
                            va="bottom", fontsize=10, weight="bold",
                        )  # fmt: skip
        place = figure.axes[2].get_position()
        bar = (right + 0.12 / width, place.y0, 0.09 / width, place.height)
        scale.bar(figure, figure.add_axes(bar))
    return figure


def shown_variants(results: StudyResults) -> tuple[str, ...]:
    """Return the reference and, where there is one, the first variant with adversarial training
    that has a finished evaluation.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> shown_variants(toy_results())
    ('original', 'adversarial')
    """
    evaluated = set(results.evaluations["variant"].to_pylist())
    trained = [v for v in results.variants if v in adversarial_variants(results) and v in evaluated]
    others = [v for v in trained if v != results.reference][:1]
    return (results.reference, *others)


def draw_image(axes: Axes, picture: Tensor, title: str) -> None:
    """Draw one image of shape (c, h, w), values outside 0…1 cut to it, without axes.

    >>> axes = Figure().add_subplot()
    >>> draw_image(axes, torch.rand(3, 4, 4), "noise")
    >>> axes.images[0].get_array().shape
    (4, 4, 3)
    """
    draw_pixels(axes, as_array(picture))
    axes.set_title(title, fontsize=8, pad=3)


def _rows(found: list[dict[str, Tensor]]) -> list[Tensor]:
    """Rows of each set of examples to show: the same images where they can be, those that fool the
    first model first.
    """
    first = found[0]
    fooled = (first["before"] == first["labels"]) & (first["after"] != first["labels"])
    order = torch.argsort(fooled.to(torch.int8), descending=True, stable=True)
    common = set(first["ids"].tolist()).intersection(*(e["ids"].tolist() for e in found[1:]))
    if common:
        ids = [i for i in first["ids"][order].tolist() if i in common][:_ROWS]
        return [torch.tensor([e["ids"].tolist().index(i) for i in ids]) for e in found]
    count = min(_ROWS, *(len(e["ids"]) for e in found))
    return [order[:count], *(torch.arange(count) for _ in found[1:])]
