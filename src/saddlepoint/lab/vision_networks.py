"""The networks of the experiments on architectures, and the recipe of each kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from saddlepoint.data import ImageData
from saddlepoint.defences import Recipe, load_recipe
from saddlepoint.errors import unknown
from saddlepoint.model import Normalised
from saddlepoint.zoo import build_model

_SMALL = 16


@dataclass(frozen=True)
class VisionNetwork:
    """A network by its name of the zoo and its options, and the shipped recipe that it is trained by.

    >>> network = VisionNetwork("resnet20", "resnet-cifar")
    >>> network.recipe_of(3).augmentation, network.recipe_of(3, (1, 8, 8)).augmentation
    ('crop-flip', 'none')
    """

    name: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def recipe_of(self, epochs: int, shape: Sequence[int] = ()) -> Recipe:
        """Return the recipe, of so many epochs; for images with a side below 16 without augmentation,
        since a crop out of a padding of 4 would leave half of them.
        """
        recipe = replace(load_recipe(self.recipe), epochs=epochs)
        small = len(shape) == 3 and min(shape[1:]) < _SMALL
        return replace(recipe, augmentation="none") if small else recipe

    def build(self, data: ImageData, seed: int) -> nn.Module:
        """Return the network of a seed, with the normalisation of the data inside."""
        net = build_model(
            self.name, classes=len(data.classes), shape=data.shape, seed=seed, options=self.options
        )
        return Normalised(net, data.mean, data.std)


NETWORKS: Mapping[str, VisionNetwork] = MappingProxyType(
    {
        "resnet20": VisionNetwork("resnet20", "resnet-cifar"),
        "plain20": VisionNetwork("plain20", "resnet-cifar"),
        "vit-micro": VisionNetwork("vit-micro", "vit"),
        "swin-micro": VisionNetwork("swin-micro", "vit"),
        "swin-micro-unshifted": VisionNetwork("swin-micro", "vit", {"shift": False}),
    }
)
"""By the names that settings take; small transformers are all trained by the recipe `vit`, whose rate
suits batches of 128."""


def network_of(name: str) -> VisionNetwork:
    """Return the network of a name; raises `InputError` for one that is not in `NETWORKS`.

    >>> network_of("swin")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown network 'swin'; did you mean 'swin-micro'? (known: ...)
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]
