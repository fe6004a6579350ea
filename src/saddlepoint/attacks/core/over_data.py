"""An attack on a data set in one call, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.data import as_data
from saddlepoint.errors import InputError

_ROWS = 128  # images of a batch


def over_data(attack: Callable[..., AttackResult], given: Any, **options: Any) -> AttackResult:
    """Return the result of `attack` on all images of `given`, each by its index.

    Args:
        attack: called with images and labels, and with their `ids`.
        given: what `as_data` takes.
        options: of the call; those with a row per image say nothing of data that come without.

    Raises `InputError` for such an option, and for what is no data set.
    """
    data = as_data(given)
    for name, value in options.items():
        shared = name == "mask" and getattr(value, "ndim", 0) <= len(data.shape)
        if isinstance(value, Tensor) and not shared:
            raise InputError(f"{name} goes by the rows of images; give images and labels with it")
    rows = torch.split(torch.arange(len(data)), _ROWS)
    return AttackResult.cat([attack(data.images(ids), data.labels[ids], ids=ids) for ids in rows])
