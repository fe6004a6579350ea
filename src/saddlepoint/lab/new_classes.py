"""Some classes of a data set, a few images of each, and a network's new head for them."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from saddlepoint.data import ImageData, TensorData
from saddlepoint.errors import InputError
from saddlepoint.lab.ridge import head_of
from saddlepoint.streams import derive, generator


def of_classes(data: ImageData, which: list[int]) -> TensorData:
    """Return the images of some classes, numbered anew in the order given, with the statistics of the
    whole.

    >>> from saddlepoint.data import load_data
    >>> of_classes(load_data("digits", limit=10), [7, 3]).labels
    tensor([0, 1])
    """
    labels = data.labels.cpu()
    number = torch.full((len(data.classes),), -1)
    number[which] = torch.arange(len(which))
    rows = (number[labels] >= 0).nonzero()[:, 0]
    return TensorData.of(
        data.images(rows), number[labels[rows]], name=data.name, split=data.split,
        classes=[data.classes[k] for k in which], mean=data.mean, std=data.std,
    )  # fmt: skip


def drawn(labels: Int64[Tensor, " n"], shots: int, seed: int) -> Int64[Tensor, " m"]:
    """Return so many rows of every class, drawn without replacement.

    Raises `InputError` where a class has fewer.

    >>> labels = torch.tensor([0, 1, 0, 1, 1])
    >>> labels[drawn(labels, 2, seed=0)]
    tensor([0, 0, 1, 1])
    """
    random, found = generator(seed), []
    for k in range(int(labels.max()) + 1):
        rows = (labels == k).nonzero()[:, 0]
        if len(rows) < shots:
            raise InputError(
                f"a class has {len(rows)} images, fewer than {shots} shots; give fewer shots"
            )
        found.append(rows[torch.randperm(len(rows), generator=random)[:shots]])
    return torch.cat(found)


def with_new_head(model: nn.Module, classes: int, *, zero: bool, seed: int) -> nn.Module:
    """Return a copy of a network whose last linear layer is new: zero, or drawn as torch draws one.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> with_new_head(net, 2, zero=True, seed=0)(torch.rand(1, 4)).tolist(), net[1].out_features
    ([[0.0, 0.0]], 3)
    """
    new = copy.deepcopy(model)
    name, old = head_of(new)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "head"))
        head = nn.Linear(old.in_features, classes)
    if zero:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    parent, _, own = name.rpartition(".")
    setattr(new.get_submodule(parent), own, head.to(old.weight))
    return new
