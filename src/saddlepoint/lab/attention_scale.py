"""Why attention divides by √d: without it the softmax is at its corners, where it has no gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count
from saddlepoint.streams import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALES = ("divided by √d", "not divided")


@dataclass(frozen=True)
class ScaleSettings(Settings):
    """Settings of `attention_scale`.

    Args:
        widths: features d of queries and keys.
        keys: that a query looks at.
        draws: queries, each with keys of its own.

    >>> ScaleSettings(widths=(16, 4)).widths
    (4, 16)
    """

    widths: tuple[Count, ...] = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
    keys: Count = 32
    draws: Count = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("widths")


@dataclass(frozen=True)
class Scaled:
    """The softmax of the products of a query with its keys, at one width.

    Attributes:
        width: features d.
        scale: one of `SCALES`.
        variance: of the products.
        jacobian: the mean of ‖diag(p) − ppᵀ‖_F, how much the weights answer to the products.
        gradient: the mean length of the gradient of a weighted sum of unit normal values, with respect
            to the query.
        largest: the mean of the largest weight.
    """

    width: int
    scale: str
    variance: float
    jacobian: float
    gradient: float
    largest: float


@dataclass(frozen=True)
class AttentionScale:
    """What was found, width by width.

    >>> found = AttentionScale((Scaled(4, SCALES[1], 4.0, 0.2, 0.3, 0.5),))
    >>> found.tables()["summary"].rows
    ((4, 'not divided', 4.0, 0.2, 0.3, 0.5),)
    """

    rows: tuple[Scaled, ...]

    def of(self, scale: str) -> list[Scaled]:
        """Return the widths of a scale."""
        return [each for each in self.rows if each.scale == scale]

    def tables(self) -> Mapping[str, Table]:
        """Return the one table."""
        names = ("width", "scale", "variance", "jacobian", "gradient", "largest")
        rows = tuple(tuple(getattr(each, name) for name in names) for each in self.rows)
        return {"summary": Table(names, rows)}


def attention_scale(bench: Bench, settings: ScaleSettings) -> AttentionScale:
    """Measure the softmax of products of unit normal queries and keys, with 1/√d and without.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1: the product has the variance d. An inner
    product is no cosine, which would not grow with d.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=2), lambda: None)
    >>> found = attention_scale(bench, ScaleSettings((4, 256)))
    >>> [round(each.jacobian, 1) for each in found.rows]
    [0.2, 0.3, 0.2, 0.1]
    """
    rows = []
    for d in settings.widths:
        draw = generator(bench.seed, "attention scale", d)
        query = torch.randn(settings.draws, d, generator=draw, dtype=torch.float64)
        keys, values = torch.randn(
            2, settings.draws, settings.keys, d, generator=draw, dtype=torch.float64
        )
        for scale, factor in zip(SCALES, (d**-0.5, 1.0), strict=True):
            rows.append(_measured(d, scale, factor, query, keys, values[..., 0]))
    return AttentionScale(tuple(rows))


def _measured(
    d: int,
    scale: str,
    factor: float,
    query: Float[Tensor, "n d"],
    keys: Float[Tensor, "n s d"],
    values: Float[Tensor, "n s"],
) -> Scaled:
    query = query.requires_grad_(True)
    products = factor * (keys @ query[..., None]).squeeze(-1)
    weights = products.softmax(-1)
    (gradient,) = torch.autograd.grad((weights * values).sum(), query)
    p = weights.detach()
    # ‖diag(p) − ppᵀ‖² = Σ p² − 2 Σ p³ + (Σ p²)²
    square = p.pow(2).sum(-1)
    jacobian = (square - 2 * p.pow(3).sum(-1) + square**2).clamp_min(0).sqrt()
    return Scaled(
        d, scale, float(products.detach().var()), float(jacobian.mean()),
        float(gradient.norm(dim=1).mean()), float(p.amax(-1).mean()),
    )  # fmt: skip


def draw_attention_scale(found: AttentionScale) -> Figure:
    """Draw the variance of the products, the Jacobian of the softmax and its largest weight, against d.

    >>> rows = tuple(Scaled(d, s, float(d), 0.1, 0.1, 0.9) for s in SCALES for d in (4, 8))
    >>> len(draw_attention_scale(AttentionScale(rows)).axes)
    3
    """
    named = looks(SCALES)
    with sheet(8.8, 3.0) as figure:
        panels = figure.subplots(1, 3)
        whats = (
            ("variance", "variance of the products"),
            ("jacobian", "Jacobian of the softmax"),
            ("largest", "largest weight"),
        )
        for axes, (what, title) in zip(panels, whats, strict=True):
            for scale, look in named.items():
                own = found.of(scale)
                line = {**look.line, "markersize": 3, "linewidth": 1.0}
                axes.plot(
                    [math.log2(e.width) for e in own], [getattr(e, what) for e in own], **line
                )
            sizes = sorted({e.width for e in found.rows})[::2]
            axes.set_xticks([math.log2(size) for size in sizes], [str(size) for size in sizes])
            axes.set_xlabel("d")
            title_left(axes, title)
        panels[0].set_yscale("log")
        panels[1].set_ylim(bottom=0)
        panels[2].set_ylim(0, 1)
        legend_above(figure, keys_of(named))
    return figure
