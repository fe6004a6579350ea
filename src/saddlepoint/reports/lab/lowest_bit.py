"""The figure of `lowest-bit`: who is fooled by how many bits, and what it looks like."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from saddlepoint.lab import LowestBits, PerModel
from saddlepoint.reports.figures import drawable
from saddlepoint.reports.lab.panels import handles_of, legend_above, lettered, looks
from saddlepoint.reports.style import style

_EXAMPLE = "bits replaced"


def draw(found: PerModel[LowestBits]) -> Figure:
    """Return a row per model: the shares with their intervals, and the image that the fewest bits
    fool, before, its change, and after.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VI.
    """
    results = found.results
    pictures = all(drawable(each.clean.shape[1:]) for each in results.values())
    kinds = looks(next(iter(results.values())).kinds)
    with style():
        figure = Figure(
            figsize=(8.6 if pictures else 4.2, 2.4 * len(results) + 0.4), layout="constrained"
        )
        widths = [2.6, 1, 1, 1] if pictures else [1]
        grid = figure.subplots(len(results), len(widths), squeeze=False, width_ratios=widths)
        for row, (name, each) in zip(grid, results.items(), strict=True):
            axes = row[0]
            for kind, look in kinds.items():
                shares = [each.kinds[kind].fooled(bits) for bits in each.bits]
                low, high = ([100 * getattr(p, end) for p in shares] for end in ("low", "high"))
                axes.fill_between(each.bits, low, high, color=look.colour, alpha=0.15, lw=0)
                axes.plot(each.bits, [100 * p.value for p in shares], **look.line, markersize=5)
            axes.set_xticks(each.bits, [f"{b}\n{2**b - 1}" for b in each.bits])
            axes.set_ylim(-2, 102)
            axes.set_ylabel("fooled (%)")
            lettered(axes, name)
            if pictures:
                _example(row[1:], each)
        grid[-1, 0].set_xlabel("lowest bits that may change\nlargest change, in 255ths")
        legend_above(figure, handles_of(kinds))
    return figure


def _example(row: list[Axes], found: LowestBits) -> None:
    bits = found.kinds[_EXAMPLE]
    order = torch.where(bits.smallest > 0, bits.smallest, torch.inf)
    i = int(order.argmin())
    after = bits.images[i]
    change = after - found.clean[i]
    most = float(change.abs().max())
    fooled = bool(order[i].isfinite())
    titles = (
        f"class {int(found.labels[i])}",
        f"change × {0.5 / most:.0f}" if fooled else "no image is fooled",
        f"class {int(bits.predictions[i])}: {int(order[i])} bits" if fooled else "",
    )
    shown = (found.clean[i], 0.5 + change * (0.5 / most if most else 0.0), after)
    for axes, picture, title in zip(row, shown, titles, strict=True):
        _picture(axes, picture)
        axes.set_title(title, fontsize=8)


def _picture(axes: Axes, picture: Tensor) -> None:
    image = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color="#888888", linewidth=0.6)
