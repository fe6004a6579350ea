"""What attacks share that search the z of a generator: the file, the nearest z, and its image."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Self

from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.errors import InputError
from saddlepoint.zoo.generator import Generator, as_generator
from saddlepoint.zoo.generator_file import read_generator
from saddlepoint.zoo.inversion import invert
from saddlepoint.zoo.weights import weights_fingerprint

_INVERSION = 0.05  # Adam's step in z


@dataclass(frozen=True, kw_only=True)
class Generating:
    """An attack with a generator out of a file, which is read once, when the attack is built.

    >>> from saddlepoint.attacks import Latent
    >>> issubclass(Latent, Generating)
    True
    """

    def __post_init__(self) -> None:
        own: Any = self
        super().__post_init__()  # type: ignore[misc]
        held = read_generator(own.generator) if own.generator else None
        object.__setattr__(self, "_held", held)
        object.__setattr__(self, "fingerprint", "" if held is None else weights_fingerprint(held))

    def with_generator(self, generator: Generator) -> Self:
        """Return the attack with a generator that is no file's: for one in memory.

        >>> from saddlepoint.attacks import Latent
        >>> from saddlepoint.threat import Linf
        >>> from saddlepoint.zoo import MLPGenerator
        >>> len(Latent(Linf(0.1)).with_generator(MLPGenerator(2, size=4)).fingerprint)
        16
        """
        made = copy.copy(self)
        held = as_generator(generator).eval()
        object.__setattr__(made, "_held", held)
        object.__setattr__(made, "fingerprint", weights_fingerprint(held))
        return made

    def held_for(self, batch: Batch) -> Generator:
        """Return the generator on the batch's device; raises `InputError` where there is none, or it
        makes other images.
        """
        held: Generator | None = self.__dict__["_held"]
        if held is None:
            raise InputError(
                f"{type(self).__name__} has no generator; give generator=FOLDER of the training of one"
                " (--set generator=…)"
            )
        return as_generator(held, batch.images.shape[1:]).to(batch.images.device)


def nearest(
    generator: Generator, batch: Batch, restart: int, descents: int, steps: int
) -> Float[Tensor, "m d"]:
    """Return for each image the z whose image is nearest, of several descents from keyed draws.

    >>> import torch
    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.zoo import MLPGenerator
    >>> x, rows = torch.rand(2, 1, 4, 4), torch.arange(2)
    >>> guard = Guard(torch.nn.Flatten(), 2)
    >>> batch = Batch(guard, Linf(0.1), Misclassified(), x, rows, Keys(0, rows), rows)
    >>> nearest(MLPGenerator(3, size=4), batch, 0, 2, 5).shape
    torch.Size([2, 3])
    """
    own = next(generator.parameters(), batch.images).dtype
    starts = batch.keys.normal((descents, generator.latent), restart=restart).to(own)
    return invert(generator, batch.images.to(own), starts, steps=steps, step_size=_INVERSION)


def made(generator: nn.Module, z: Float[Tensor, "m d"], like: Tensor) -> Float[Tensor, "m ..."]:
    """Return G(z) in the type of `like`, in which images and budgets are.

    >>> import torch
    >>> made(nn.Linear(2, 3), torch.zeros(1, 2), torch.zeros(1, dtype=torch.float64)).dtype
    torch.float64
    """
    image: Tensor = generator(z)
    return image.to(like.dtype)
