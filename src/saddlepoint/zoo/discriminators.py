"""The discriminators by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from torch import nn

from saddlepoint.errors import unknown
from saddlepoint.zoo.dcgan import DCDiscriminator
from saddlepoint.zoo.gan import MaxoutDiscriminator, MLPDiscriminator
from saddlepoint.zoo.shapes import Size


class BuildDiscriminator(Protocol):
    """How every entry of `DISCRIMINATORS` is built.

    >>> build: BuildDiscriminator = DISCRIMINATORS["mlp"]
    >>> type(build(channels=1, size=8)).__name__
    'MLPDiscriminator'
    """

    def __call__(self, *, channels: int, size: Size) -> nn.Module:
        """Return a network from images in [0, 1] to (n,) logits of "it is from the data"."""
        ...


DISCRIMINATORS: Mapping[str, BuildDiscriminator] = MappingProxyType(
    {"mlp": MLPDiscriminator, "maxout": MaxoutDiscriminator, "dcgan": DCDiscriminator}
)
"""The authors' maxout network, what is usual now, and the convolutional one."""


def discriminator_named(name: str) -> BuildDiscriminator:
    """Return how a discriminator is built.

    >>> discriminator_named("mpl")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown discriminator 'mpl'; did you mean 'mlp'? (known: mlp, maxout,
    dcgan)
    """
    if name not in DISCRIMINATORS:
        raise unknown("discriminator", name, DISCRIMINATORS)
    return DISCRIMINATORS[name]
