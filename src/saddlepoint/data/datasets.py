"""The named data sets: shapes, classes, sizes and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is read; `mean` is None where it is computed.

    >>> DATASETS["mnist"].shape, len(DATASETS["mnist"].classes)
    ((1, 28, 28), 10)
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    test: int
    reference: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_NUMERALS = tuple("0123456789")
_FASHION = _names(
    "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
)
_CIFAR10 = _names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck")
_CIFAR100 = _names(
    "apple, aquarium_fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, "
    "bridge, bus, butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, "
    "cloud, cockroach, couch, crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, "
    "forest, fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn_mower, leopard, lion, "
    "lizard, lobster, man, maple_tree, motorcycle, mountain, mouse, mushroom, oak_tree, orange, "
    "orchid, otter, palm_tree, pear, pickup_truck, pine_tree, plain, plate, poppy, porcupine, "
    "possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, "
    "skyscraper, snail, snake, spider, squirrel, streetcar, sunflower, sweet_pepper, table, "
    "tank, telephone, television, tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, "
    "willow_tree, wolf, woman, worm"
)

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The mean and the standard deviation of ImageNet's channels."""

_KRIZHEVSKY = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType(
    {
        info.name: info
        for info in (
            DatasetInfo(
                "digits",
                (1, 8, 8),
                _NUMERALS,
                1442,
                355,
                "Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
            ),
            DatasetInfo(
                "mnist",
                (1, 28, 28),
                _NUMERALS,
                60_000,
                10_000,
                "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
                (0.1307,),
                (0.3081,),
            ),
            DatasetInfo(
                "fashion-mnist",
                (1, 28, 28),
                _FASHION,
                60_000,
                10_000,
                "Xiao et al., Fashion-MNIST, 2017, arXiv:1708.07747",
                (0.2860,),
                (0.3530,),
            ),
            DatasetInfo(
                "cifar10",
                (3, 32, 32),
                _CIFAR10,
                50_000,
                10_000,
                _KRIZHEVSKY,
                (0.4914, 0.4822, 0.4465),
                (0.2470, 0.2435, 0.2616),
            ),
            DatasetInfo(
                "cifar100",
                (3, 32, 32),
                _CIFAR100,
                50_000,
                10_000,
                _KRIZHEVSKY,
                (0.5071, 0.4865, 0.4409),
                (0.2673, 0.2564, 0.2762),
            ),
            # The same photographs compressed again: close to CIFAR-10, but other pixels, so a
            # result on it must never be reported as one on CIFAR-10.
            DatasetInfo(
                "cifar10-jpeg",
                (3, 32, 32),
                _CIFAR10,
                50_000,
                10_000,
                f"{_KRIZHEVSKY}; re-encoded as JPEG, not pixel-identical",
                (0.4913, 0.4821, 0.4465),
                (0.2452, 0.2428, 0.2606),
            ),
        )
    }
)
