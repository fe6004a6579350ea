"""How many of the lowest bits of 8-bit pixels must change for a network to be fooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.ascending import smallest_budgets
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.lattice_pgd import LatticePGD
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.panels import keys_of, legend_above, looks, plot_shares, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Whole
from saddlepoint.threat import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVELS = 255
_FINE = 256 * _LEVELS
KINDS = ("bits replaced", "whole levels", "any value")


@dataclass(frozen=True)
class BitSettings(Settings):
    """Settings of `lowest_bit`.

    Args:
        bits: how many of the lowest bits may change; 8 would replace the image.
        steps: of each attack.
        restarts: of each attack.

    >>> BitSettings().bits
    (1, 2, 3, 4, 5, 6, 7)
    """

    bits: tuple[Annotated[int, Whole(1, 7)], ...] = (1, 2, 3, 4, 5, 6, 7)
    steps: Count = 30
    restarts: Count = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("bits")


@dataclass(frozen=True, eq=False)
class SmallestBits:
    """The smallest number of bits that fools each image, by one kind of change.

    Attributes:
        smallest: (n,) the bits; 0 where the image was wrong before, infinity where none sufficed.
        images: (n, …) the adversarial image; the clean one, in 8 bits, where there is none.
        predictions: (n,) the class of that image.

    >>> none = SmallestBits(torch.tensor([1.0, float("inf"), 0.0]), torch.zeros(3, 2), torch.zeros(3).long())
    >>> none.fooled(1).value
    0.5
    """

    smallest: Float[Tensor, " n"]
    images: Float[Tensor, "n ..."]
    predictions: Int64[Tensor, " n"]

    def fooled(self, bits: int) -> Proportion:
        """Return the share of fooled images, of those that were right before."""
        right = self.smallest > 0
        return Proportion(int((right & (self.smallest <= bits)).sum()), int(right.sum()))


@dataclass(frozen=True, eq=False)
class LowestBits:
    """What each kind of change did to one model.

    Attributes:
        bits: that were tried, ascending.
        clean: (n, …) the images in 8 bits.
        labels: (n,).
        kinds: by name. With b bits, "bits replaced" keeps the 8 − b highest bits of every pixel;
            "whole levels" are at most 2ᵇ − 1 steps of 1/255; "any value" is as near, in steps 256
            times as fine.

    >>> LowestBits((1,), torch.zeros(0), torch.zeros(0), {}).tables()["summary"].rows
    ()
    """

    bits: tuple[int, ...]
    clean: Float[Tensor, "n ..."]
    labels: Int64[Tensor, " n"]
    kinds: Mapping[str, SmallestBits]

    def tables(self) -> Mapping[str, Table]:
        """Return the shares per kind and number of bits, and every image's smallest number."""
        summary = [
            (kind, bits, 2**bits - 1, share.value, share.low, share.high, share.total)
            for kind, found in self.kinds.items()
            for bits in self.bits
            for share in (found.fooled(bits),)
        ]
        columns = ("change", "bits", "largest change (1/255)", "fooled", "low", "high", "images")
        images = {
            kind: Table.of({"image": range(len(found.smallest)), "bits": found.smallest})
            for kind, found in self.kinds.items()
        }
        return {
            "summary": Table(columns, tuple(summary)),
            "images": Table.joined("change", images),
        }


def lowest_bit(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: BitSettings,
    seed: int = 0,
) -> LowestBits:
    """Round the images to 8 bits, and attack with ever more of the lowest bits.

    What fewer bits fool, more do; it is not attacked again.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VI: on ImageNet the lowest bit of
    every pixel suffices.

    >>> net, x, y = nn.Flatten(), torch.tensor([[0.51, 0.506]]), torch.zeros(1).long()
    >>> found = lowest_bit(net, x, y, BitSettings(bits=(1, 2)))  # 130 and 129 of 255
    >>> {kind: float(bits.smallest) for kind, bits in found.kinds.items()}
    {'bits replaced': 2.0, 'whole levels': 1.0, 'any value': 1.0}
    """
    clean = (images * _LEVELS).round() / _LEVELS
    return LowestBits(
        settings.bits, clean.cpu(), labels.cpu(),
        {kind: _smallest_bits(model, clean, labels, kind, settings, seed) for kind in KINDS},
    )  # fmt: skip


def lowest_bits_of(images: Float[Tensor, "n ..."], bits: int) -> Box:
    """Return the bounds of all images whose pixels have the same bits above the lowest `bits`.

    >>> box = lowest_bits_of(torch.tensor([[6 / 255]]), 2)  # 0b110 from 0b100 to 0b111
    >>> float(box.lower * 255), float(box.upper * 255)
    (4.0, 7.0)
    """
    size = 2**bits
    low = torch.div((images * _LEVELS).round(), size, rounding_mode="floor") * size
    return Box(low / _LEVELS, (low + size - 1) / _LEVELS)


def levels_around(images: Float[Tensor, "n ..."], levels: int) -> Box:
    """Return the bounds of all 8-bit images at most `levels` steps of 1/255 away.

    >>> box = levels_around(torch.tensor([[1 / 255]]), 3)
    >>> float(box.lower * 255), float(box.upper * 255)
    (0.0, 4.0)
    """
    value = (images * _LEVELS).round()
    return Box(
        (value - levels).clamp_min(0) / _LEVELS, (value + levels).clamp_max(_LEVELS) / _LEVELS
    )


def _smallest_bits(
    model: nn.Module, clean: Tensor, labels: Tensor, kind: str, settings: BitSettings, seed: int
) -> SmallestBits:
    levels = _FINE if kind == "any value" else _LEVELS

    def attack_at(bits: int, images: Tensor) -> LatticePGD:
        replaced = kind == "bits replaced"
        box = lowest_bits_of(images, bits) if replaced else levels_around(images, 2**bits - 1)
        return LatticePGD(box, steps=settings.steps, restarts=settings.restarts, levels=levels)

    smallest, images = smallest_budgets(model, clean, labels, settings.bits, attack_at, seed)
    answered, _ = predictions(model, images.to(clean.device))
    return SmallestBits(smallest, images, answered.cpu())


def draw_lowest_bit(found: PerModel[LowestBits]) -> Figure:
    """Draw a row per model: the shares with their intervals, and the image that the fewest bits
    fool, before, its change, and after.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VI.

    >>> net, x, y = nn.Flatten(), torch.tensor([[0.51, 0.506]]), torch.zeros(1).long()
    >>> one = lowest_bit(net, x, y, BitSettings(bits=(1, 2)))
    >>> len(draw_lowest_bit(PerModel({"standard": one})).axes)  # without a picture
    1
    """
    from saddlepoint.reports.figures import drawable

    results = found.results
    pictures = all(drawable(each.clean.shape[1:]) for each in results.values())
    kinds = looks(next(iter(results.values())).kinds)
    widths = [2.6, 1, 1, 1] if pictures else [1]
    with sheet(8.6 if pictures else 4.2, 2.4 * len(results) + 0.4) as figure:
        grid = figure.subplots(len(results), len(widths), squeeze=False, width_ratios=widths)
        for (axes, *others), (name, each) in zip(grid, results.items(), strict=True):
            for kind, look in kinds.items():
                shares = [each.kinds[kind].fooled(bits) for bits in each.bits]
                plot_shares(axes, each.bits, shares, look, markersize=5)
            axes.set_xticks(each.bits, [f"{b}\n{2**b - 1}" for b in each.bits])
            axes.set_ylabel("fooled (%)")
            title_left(axes, name)
            if pictures:
                _draw_example(others, each)
        grid[-1, 0].set_xlabel("lowest bits that may change\nlargest change, in 255ths")
        legend_above(figure, keys_of(kinds))
    return figure


def _draw_example(row: list[Axes], found: LowestBits) -> None:
    from saddlepoint.reports.changes import ChangeScale, as_array, draw_pixels

    bits = found.kinds[KINDS[0]]
    order = torch.where(bits.smallest > 0, bits.smallest, torch.inf)
    i = int(order.argmin())
    after = bits.images[i]
    change = after - found.clean[i]
    scale = ChangeScale.of([change])
    fooled = bool(order[i].isfinite())
    titles = (
        f"class {int(found.labels[i])}",
        f"{scale.label}\n(grey: 0)" if fooled else "no image is fooled",
        f"class {int(bits.predictions[i])}: {int(order[i])} bits" if fooled else "",
    )
    shown = (as_array(found.clean[i]), scale.picture(change), as_array(after))
    for axes, picture, title in zip(row, shown, titles, strict=True):
        draw_pixels(axes, picture)
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color="#888888", linewidth=0.6)
        axes.set_title(title, fontsize=8)
