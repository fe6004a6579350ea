"""What a Swin transformer is built of, as a value, and those of the paper by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import BelowOne, Count, Positive, check_fields
from saddlepoint.zoo.windows import Windows

BIASES = ("relative", "absolute", "both", "none")


@dataclass(frozen=True)
class SwinDesign:
    """The sizes of a Swin transformer and what it is made of.

    Attributes:
        patch: the side of the patches of the first stage.
        width: features C of the first stage; each stage has twice those of the one before.
        depths: blocks of each stage; every second one is shifted.
        heads: of the attention of each stage.
        window: the side M of the windows; where a map is smaller the map is the window.
        mlp_ratio: hidden features of the perceptrons, in widths.
        shift: whether the windows of every second block are shifted, by ⌊M/2⌋.
        bias: "relative", "absolute" (a learned code of the places), "both" or "none".
        dropout: of branches and perceptrons.
        drop_path: of the last block's branches; it rises from 0.

    Raises `InputError` for what is no number in range, no name of a kind, or heads that are not one
    number for each stage.

    >>> SwinDesign().widths
    (48, 96, 192)
    """

    patch: Count = 2
    width: Count = 48
    depths: tuple[Count, ...] = (2, 2, 2)
    heads: tuple[Count, ...] = (3, 6, 12)
    window: Count = 4
    mlp_ratio: Positive = 4
    shift: bool = True
    bias: str = "relative"
    dropout: BelowOne = 0.0
    drop_path: BelowOne = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.depths or len(self.depths) != len(self.heads):
            raise InputError(
                f"depths {self.depths} and heads {self.heads} differ in length; give one number for"
                " each stage"
            )
        if self.bias not in BIASES:
            raise unknown("bias", str(self.bias), BIASES)

    @property
    def widths(self) -> tuple[int, ...]:
        """The features of each stage."""
        return tuple(self.width << stage for stage in range(len(self.depths)))

    @property
    def relative(self) -> bool:
        """Whether attention has a relative bias."""
        return self.bias in ("relative", "both")

    @property
    def absolute(self) -> bool:
        """Whether patches have a learned code of their place."""
        return self.bias in ("absolute", "both")

    def windows(self, block: int) -> Windows:
        """Return the windows of a block of a stage, of which every second is shifted."""
        return Windows(self.window, shifted=self.shift and block % 2 == 1)


SWINS: Mapping[str, SwinDesign] = MappingProxyType(
    {
        "swin-micro": SwinDesign(),
        "swin-t": SwinDesign(4, 96, (2, 2, 6, 2), (3, 6, 12, 24), 7),
        "swin-s": SwinDesign(4, 96, (2, 2, 18, 2), (3, 6, 12, 24), 7),
        "swin-b": SwinDesign(4, 128, (2, 2, 18, 2), (4, 8, 16, 32), 7),
    }
)
"""T, S and B of Liu et al. (2021); `swin-micro` is ours."""
