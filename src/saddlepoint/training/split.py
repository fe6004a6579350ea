"""The validation split of a training: which images are trained on, and which are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.data import Data
from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError
from saddlepoint.files import write_json
from saddlepoint.streams import generator

SPLIT_FILE = "validation.json"


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of a data set: of the images that are trained on, and of those that are held out.

    >>> Split(torch.arange(3), torch.arange(0)).held_out.shape
    torch.Size([0])
    """

    trained_on: Int64[Tensor, " n"]
    held_out: Int64[Tensor, " m"]

    @classmethod
    def of(cls, data: Data, recipe: Recipe, seed: int) -> Split:
        """Return the split of a recipe: a function of the seed, the share and the number of images.

        Raises `InputError` where one of the two would be empty.

        >>> from saddlepoint.data import load_data
        >>> from saddlepoint.defences import Validation
        >>> data = load_data("digits", limit=20)
        >>> split = Split.of(data, Recipe(validation=Validation(share=0.25)), seed=0)
        >>> len(split.trained_on), len(split.held_out)
        (15, 5)
        """
        everything = torch.arange(len(data))
        if recipe.validation is None:
            return cls(everything, everything[:0])
        count = round(recipe.validation.share * len(data))
        if not 0 < count < len(data):
            raise InputError(
                f"a validation share of {recipe.validation.share:g} of {len(data)} images is {count}"
                " images; give another share"
            )
        order = torch.randperm(len(data), generator=generator(seed, "validation"))
        return cls(order[count:].sort().values, order[:count].sort().values)

    def save(self, out: Path) -> None:
        """Write the indices of the images that are held out into the folder of the run."""
        if len(self.held_out):
            write_json(out / SPLIT_FILE, {"held_out": self.held_out.tolist()})
