"""How many of the lowest bits of 8-bit pixels must change for a network to be fooled."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.aims import answers
from saddlepoint.lab.lattice_pgd import LatticePGD
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Whole, check_fields
from saddlepoint.threat import Box

_LEVELS = 255
_FINE = 256 * _LEVELS
KINDS = ("bits replaced", "whole levels", "any value")


@dataclass(frozen=True)
class BitSettings:
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
        check_fields(self)
        object.__setattr__(self, "bits", tuple(sorted(set(self.bits))))


@dataclass(frozen=True, eq=False)
class Bits:
    """The smallest number of bits that fools each image, by one kind of change.

    Attributes:
        smallest: (n,) the bits; 0 where the image was wrong before, infinity where none sufficed.
        images: (n, …) the adversarial image; the clean one, in 8 bits, where there is none.
        predictions: (n,) the class of that image.

    >>> none = Bits(torch.tensor([1.0, float("inf"), 0.0]), torch.zeros(3, 2), torch.zeros(3).long())
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
    kinds: Mapping[str, Bits]

    def tables(self) -> Mapping[str, Table]:
        """Return the shares per kind and number of bits, and every image's smallest number."""
        summary = []
        for kind, bits in itertools.product(self.kinds, self.bits):
            share = self.kinds[kind].fooled(bits)
            summary.append(
                (kind, bits, 2**bits - 1, share.value, share.low, share.high, share.total)
            )
        images = [
            (kind, image, smallest)
            for kind, found in self.kinds.items()
            for image, smallest in enumerate(found.smallest.tolist())
        ]
        columns = ("change", "bits", "largest change (1/255)", "fooled", "low", "high", "images")
        return {
            "summary": Table(columns, tuple(summary)),
            "images": Table(("change", "image", "bits"), tuple(images)),
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
        {kind: _ascending(model, clean, labels, kind, settings, seed) for kind in KINDS},
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


def _ascending(
    model: nn.Module, clean: Tensor, labels: Tensor, kind: str, settings: BitSettings, seed: int
) -> Bits:
    smallest = torch.full((len(clean),), torch.inf)
    found = clean.cpu().clone()
    alive = torch.arange(len(clean), device=clean.device)
    for bits in settings.bits:
        if not len(alive):
            break
        attack = _attack(clean[alive], bits, kind, settings)
        result = attack(model, clean[alive], labels[alive], seed=seed, ids=alive)
        won = result.success.to(alive.device)
        rows = alive[won].cpu()
        wrong = result.initially_wrong.cpu()[won.cpu()]
        smallest[rows] = torch.where(wrong, 0.0, float(bits))
        found[rows] = result.adversarials.cpu()[won.cpu()].to(found.dtype)
        alive = alive[~won]
    predictions, _ = answers(model, found.to(clean.device))
    return Bits(smallest, found, predictions.cpu())


def _attack(clean: Tensor, bits: int, kind: str, settings: BitSettings) -> Attack:
    box = (
        lowest_bits_of(clean, bits)
        if kind == "bits replaced"
        else levels_around(clean, 2**bits - 1)
    )
    levels = _FINE if kind == "any value" else _LEVELS
    return LatticePGD(box, steps=settings.steps, restarts=settings.restarts, levels=levels)
