"""What a vision transformer is built of, as a value, and those of the papers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from saddlepoint.errors import InputError, check_names
from saddlepoint.option_values import BelowOne, Count, Natural, Positive, check_fields
from saddlepoint.zoo.positions import POSITIONS
from saddlepoint.zoo.stems import STEMS

POOLS = ("class", "mean")
HEADS = ("random", "zero")


@dataclass(frozen=True)
class ViTDesign:
    """The sizes of a vision transformer and what it is made of.

    Attributes:
        patch: the side p of a patch.
        width: the features D of a token.
        depth: blocks.
        heads: of each attention.
        mlp_ratio: hidden features of the perceptrons, in widths.
        pool: "class", the class token, or "mean", the mean of the patches without one.
        positions: "none", "1d", "2d" or "relative".
        stem: "patch" or "hybrid", the features of a small residual network as patches.
        hidden: of the head of pre-training, a perceptron with tanh; 0 is one linear layer.
        head: whether the last layer begins "random" or at "zero", as fine-tuning does.
        dropout: of codes, branches and perceptrons.
        drop_path: of the last block's branches; it rises from 0.

    Raises `InputError` for what is no number in range, or no name of a kind.

    >>> ViTDesign(patch=8).tokens((32, 32))
    17
    """

    patch: Count = 4
    width: Count = 96
    depth: Count = 4
    heads: Count = 3
    mlp_ratio: Positive = 4
    pool: str = "class"
    positions: str = "1d"
    stem: str = "patch"
    hidden: Natural = 0
    head: str = "random"
    dropout: BelowOne = 0.0
    drop_path: BelowOne = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, known in (
            ("pool", POOLS), ("positions", POSITIONS), ("stem", STEMS), ("head", HEADS),
        ):  # fmt: skip
            check_names(name, getattr(self, name), known)

    def grid(self, sides: tuple[int, int]) -> tuple[int, int]:
        """Return how many patches images of (height, width) have in each direction.

        Raises `InputError` where the patch does not divide the sides.
        """
        height, width = sides
        if height % self.patch or width % self.patch:
            good = [p for p in range(2, min(sides) // 2 + 1) if height % p == 0 == width % p]
            near = min(good, key=lambda p: abs(p - self.patch), default=0)
            remedy = f"resize them, or take patch={near}" if near else "resize them"
            raise InputError(
                f"images of {height}×{width} are no multiple of the patch {self.patch}; {remedy}"
            )
        return height // self.patch, width // self.patch

    def tokens(self, sides: tuple[int, int]) -> int:
        """Return how many tokens images of (height, width) have, the class token among them."""
        rows, columns = self.grid(sides)
        return rows * columns + (self.pool == "class")


VITS: Mapping[str, ViTDesign] = MappingProxyType(
    {
        "vit-micro": ViTDesign(),
        "vit-ti16": ViTDesign(16, 192, 12, 3),
        "vit-s16": ViTDesign(16, 384, 12, 6),
        "vit-b16": ViTDesign(16, 768, 12, 12),
        "vit-b32": ViTDesign(32, 768, 12, 12),
        "vit-l16": ViTDesign(16, 1024, 24, 16),
        "vit-h14": ViTDesign(14, 1280, 32, 16),
    }
)
"""B, L and H of Dosovitskiy et al. (2021), Ti and S of Touvron et al. (2021); `vit-micro` is ours."""
