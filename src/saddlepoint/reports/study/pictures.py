"""Figure 2: images before and after the attack, for the reference and for a robust variant."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.study.cells import class_name, example_cell
from saddlepoint.reports.study.roles import adversarial_variants
from saddlepoint.reports.style import style
from saddlepoint.studies.results import StudyResults

_ROWS = 4


def before_after(results: StudyResults) -> Figure:
    """Return rows of images before the attack, the magnified perturbation, and after it, with the
    predicted classes, for the reference and, where there is one, an adversarially trained variant.

    The perturbation is drawn around grey, magnified so that the largest change is black or white,
    by the same factor everywhere. Raises `InputError` where the store holds no images of the
    reference, or images that are not grey or RGB.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> len(before_after(toy_results()).axes)
    24
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
    largest = max(float(each.abs().max()) for each in changes)
    magnified = 0.5 / largest if largest > 0 else 1.0
    count = len(rows[0])
    with style():
        figure = Figure(figsize=(3.5 * len(found) + 0.1, 1.3 * count + 0.4))
        blocks = figure.add_gridspec(1, len(found), wspace=0.12)
        for b, (variant, examples, chosen) in enumerate(zip(variants, found, rows, strict=True)):
            grid = blocks[b].subgridspec(count, 3, wspace=0.06, hspace=0.22)
            for row, index in enumerate(chosen.tolist()):
                after = examples["adversarials"][index].float()
                pictures = (examples["images"][index].float(), changes[b][row], after)
                titles = (
                    class_name(results, int(examples["before"][index])),
                    f"change ×{magnified:.3g}" if row == 0 else "",
                    class_name(results, int(examples["after"][index])),
                )
                for column, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
                    axes = figure.add_subplot(grid[row, column])
                    if column == 1:
                        picture = picture * magnified + 0.5
                    draw_image(axes, picture, title)
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
    array = np.clip(picture.detach().cpu().float().permute(1, 2, 0).numpy(), 0, 1)
    if array.shape[2] == 1:
        axes.imshow(array[:, :, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(array, interpolation="nearest")
    axes.set_title(title, fontsize=8, pad=3)
    axes.set_axis_off()


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
