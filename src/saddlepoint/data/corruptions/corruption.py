"""One corruption: what it is, its severities, and an image under it as a function of its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from saddlepoint.counts import check_seed
from saddlepoint.data.corruptions.constants import (
    SEVERITIES,
    TABLES,
    Constants,
    Form,
    check_form,
    form_for,
)
from saddlepoint.data.corruptions.pixels import Pixels, as_levels, cut_to_bytes
from saddlepoint.errors import InputError
from saddlepoint.streams import derive

LEAST_SIDE = 8
"""Of an image, in pixels."""


@dataclass(frozen=True)
class Corruption:
    """A common corruption, by its name.

    Attributes:
        name: as the command line has it.
        kind: noise, blur, weather or digital, as in the paper.
        what: happens to the image, in a line.
        apply: from an image in [0, 1], its channels last, the constants of a severity and a
            generator to the corrupted image, not yet cut to its range.

    >>> from saddlepoint.data import CORRUPTIONS
    >>> CORRUPTIONS["fog"].kind, CORRUPTIONS["fog"].constants(3)
    ('weather', (0.75, 2.5))
    """

    name: str
    kind: str
    what: str
    apply: Callable[[Pixels, Constants, np.random.Generator], Pixels]

    def constants(self, severity: int, form: Form = "cifar-10-c") -> Constants:
        """Return the published constants of a severity, 1 … 5.

        >>> from saddlepoint.data import CORRUPTIONS
        >>> CORRUPTIONS["contrast"].constants(1, "imagenet-c")
        (0.4,)
        """
        check_severity(severity)
        return TABLES[check_form(form)][self.name][severity - 1]

    def __call__(
        self,
        image: Float[Tensor, "c h w"],
        severity: int,
        *,
        seed: int = 0,
        image_id: int = 0,
        form: Form | None = None,
    ) -> UInt8[Tensor, "c h w"]:
        """Return an image under the corruption, in the 256 levels that the published sets have.

        The random numbers are a function of the seed, the image's id, the corruption's name and the
        severity. The image is rounded to 8 bits before; the result is cut to them.

        Args:
            image: in [0, 1], of 1 or 3 channels and sides of at least 8.
            severity: 1 … 5.
            seed, image_id: the key.
            form: whose constants; None is by the size of the image, see `form_for`.

        Raises `InputError` for other images and severities.

        >>> from saddlepoint.data import CORRUPTIONS
        >>> CORRUPTIONS["brightness"](torch.zeros(1, 8, 8), 5).unique()
        tensor([76], dtype=torch.uint8)
        """
        check_shape(tuple(image.shape))
        check_seed(seed)
        constants = self.constants(severity, form_for(image.shape) if form is None else form)
        key = derive(seed, "corruption", self.name, severity)
        rng = np.random.default_rng([key, image_id])
        levels = as_levels(image.detach().to("cpu", torch.float32).numpy())
        return torch.from_numpy(
            np.ascontiguousarray(cut_to_bytes(self.apply(levels, constants, rng)))
        )


def check_severity(severity: object) -> None:
    """Raise `InputError` unless a severity is one of 1 … 5.

    >>> check_severity(9)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: severity is 9; give 1, 2, 3, 4 or 5
    """
    whole = isinstance(severity, int) and not isinstance(severity, bool)
    if not whole or severity not in SEVERITIES:
        raise InputError(f"severity is {severity!r:.40}; give 1, 2, 3, 4 or 5")


def check_shape(shape: Sequence[int]) -> None:
    """Raise `InputError` unless images of a shape, (channels, height, width), can be corrupted.

    >>> check_shape((2,))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: images of shape (2,) cannot be corrupted; give (1 or 3, height,
    width) with sides of at least 8
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < LEAST_SIDE:
        raise InputError(
            f"images of shape {tuple(shape)} cannot be corrupted; give (1 or 3, height, width) with"
            f" sides of at least {LEAST_SIDE}"
        )
