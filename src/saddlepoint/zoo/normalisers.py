"""The constants of a normalisation among the tensors of a state dict, whatever they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from saddlepoint.threat import Statistics

_MEAN = re.compile(r"(?:^|_)(?:means?|mu)$")
_STD = re.compile(r"(?:^|_)(?:stds?|stdev|stddev|sds?|sigma)$")
_OF_LAYERS = re.compile(r"running|weight|bias|scale")
_MOST = 16  # channels of an image


def normalisers(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the keys of each mean and standard deviation that stand beside each other.

    >>> import torch
    >>> state = {"0.mu": torch.zeros(3), "0.sigma": torch.ones(3), "1.weight": torch.ones(3, 3)}
    >>> list(normalisers(state))
    [('0.mu', '0.sigma')]
    """
    means: dict[str, list[str]] = {}
    for key in state:
        parent, _, leaf = key.rpartition(".")
        if _MEAN.search(leaf) and not _OF_LAYERS.search(leaf):
            means.setdefault(parent, []).append(key)
    for key, deviation in state.items():
        parent, _, leaf = key.rpartition(".")
        if parent in means and _STD.search(leaf) and not _OF_LAYERS.search(leaf):
            (mean, *others) = means[parent]
            if not others and _constants(state[mean], deviation):
                yield mean, key


def _constants(mean: Tensor, std: Tensor) -> bool:
    if mean.numel() != std.numel() or not 1 <= mean.numel() <= _MOST:
        return False
    if max(mean.shape, default=1) != mean.numel():  # one axis at most: (C,), (1, C, 1, 1)
        return False
    if not (mean.is_floating_point() and std.is_floating_point()):
        return False
    return bool((std > 0).all()) and bool(mean.isfinite().all() and std.isfinite().all())


def statistics_of(mean: Tensor, std: Tensor) -> Statistics:
    """Return the constants for images in [0, 1]; those for 0 … 255 are divided.

    >>> import torch
    >>> statistics_of(torch.tensor([127.5]), torch.tensor([51.0]))
    ((0.5,), (0.2,))
    """
    # (255 x − m) / s = (x − m / 255) / (s / 255); nobody divides images in [0, 1] by more than 1.
    scale = 255.0 if max(float(mean.max()), float(std.max())) > 2 else 1.0
    means, deviations = ((each.double() / scale).flatten().tolist() for each in (mean, std))
    return tuple(float(f"{v:.9g}") for v in means), tuple(float(f"{v:.9g}") for v in deviations)
