"""An attack on a data set in one call, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from saddlepoint.answers import NO_CLASS, check_answered
from saddlepoint.attacks.core.no_class import warn_of_silence
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.data import as_data
from saddlepoint.errors import InputError

_ROWS = 128  # images of a batch


def over_data(
    attack: Callable[..., AttackResult], model: nn.Module, given: Any, **options: Any
) -> AttackResult:
    """Return the result of `attack` on all images of `given`, each by its index.

    Args:
        attack: called with images and labels, and with their `ids`.
        model: the attacked model, which must return an answer for one image at least.
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
    parts = [attack(data.images(ids), data.labels[ids], ids=ids) for ids in rows]
    result = AttackResult.cat(parts)
    silent = unanswered_before(result)
    check_answered(~silent, model)
    warn_of_silence(silent)
    return result


def unanswered_before(result: AttackResult) -> Bool[Tensor, " n"]:
    """Return for which clean images the model returned no answer; see `unanswered`.

    >>> from saddlepoint.attacks import UniformNoise
    >>> from saddlepoint.threat import Linf
    >>> x, y = torch.rand(1, 2), torch.tensor([0])
    >>> unanswered_before(UniformNoise(Linf(0.1))(nn.Flatten(), x, y))
    tensor([False])
    """
    return result.initially_wrong & (result.predictions == NO_CLASS)
