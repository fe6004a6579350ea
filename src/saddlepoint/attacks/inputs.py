"""What a call hands in besides images and labels: tensors of any kind, budgets, masks."""

from __future__ import annotations

import torch
from torch import Tensor

from saddlepoint.counts import check_count
from saddlepoint.errors import InputError
from saddlepoint.threat import Box, NormBall, Rescaled, ThreatModel


def plain(x: Tensor) -> Tensor:
    """Return `x` as a tensor that a graph may use, also where it was made in inference mode.

    >>> with torch.inference_mode():
    ...     plain(torch.zeros(1)).is_inference()
    False
    """
    with torch.inference_mode(False):  # a clone made in inference mode is still an inference tensor
        return x.clone() if x.is_inference() else x.detach()


def check_budgets(eps: Tensor, count: int, whole: bool) -> None:
    """Raise `InputError` unless `eps` holds `count` budgets, whole numbers in L0.

    >>> check_budgets(torch.tensor([0.1]), 2, whole=False)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eps has shape (1,); give 2 budgets, one per image
    """
    if eps.shape != (count,):
        raise InputError(f"eps has shape {tuple(eps.shape)}; give {count} budgets, one per image")
    if not bool((eps >= 0).all()):
        raise InputError(f"eps goes down to {float(eps.min()):g}; give budgets of at least 0")
    if whole and not bool((eps == eps.round()).all()):
        raise InputError("an L0 budget counts features: give whole numbers")


def placed(threat: ThreatModel, images: Tensor) -> ThreatModel:
    """Return the threat model with what it holds per sample or pixel on the device of the images.

    Raises `InputError` for a `Box` that does not fit them; see `check_box`.

    >>> from saddlepoint.threat import Linf
    >>> placed(Linf(0.1), torch.zeros(2, 4))
    Linf(eps=0.1, lower=0.0, upper=1.0)
    """
    if isinstance(threat, Box):
        check_box(threat, images)
        low, high = (
            bound.to(images.device) if isinstance(bound, Tensor) else bound
            for bound in (threat.lower, threat.upper)
        )
        return Box(low, high)
    if isinstance(threat, NormBall | Rescaled) and isinstance(threat.eps, Tensor):
        return threat.with_eps(threat.eps.to(images.device))
    return threat


def full_mask(mask: Tensor, images: Tensor) -> Tensor:
    """Return the mask in the shape of the images.

    >>> full_mask(torch.tensor([True, False]), torch.zeros(2, 2)).shape
    torch.Size([2, 2])
    """
    if mask.dtype != torch.bool:
        raise InputError(
            f"the mask is {mask.dtype}; give booleans, True where a feature may change"
        )
    try:
        return mask.to(images.device).expand(images.shape)
    except RuntimeError:
        raise InputError(
            f"the mask has shape {tuple(mask.shape)}, which does not fit images {tuple(images.shape)}"
        ) from None


def check_box(box: Box, images: Tensor) -> None:
    """Raise `InputError` unless the bounds are numbers, one image, or one per sample.

    >>> check_box(Box(torch.zeros(3), 1.0), torch.zeros(2, 4))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: Box bounds of shape (3,) do not fit images (2, 4)
    """
    for bound in (box.lower, box.upper):
        shape = torch.as_tensor(bound).shape
        try:
            torch.zeros(()).expand(shape).expand(images.shape)
        except RuntimeError:
            raise InputError(
                f"Box bounds of shape {tuple(shape)} do not fit images {tuple(images.shape)}"
            ) from None


def check_passes(**counts: int) -> None:
    """Raise `InputError` for a number of passes that is not whole, or below 0.

    >>> check_passes(bisections=-1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: bisections is -1; give at least 0
    """
    for name, count in counts.items():
        check_count(name, count, least=0)


def pixel_range(threat: ThreatModel) -> tuple[float, float]:
    """Return the range that clean images must lie in: the threat model's, where it is in pixels.

    >>> from saddlepoint.threat import Linf, Rescaled
    >>> pixel_range(Linf(0.1, -1.0, 1.0)), pixel_range(Rescaled(Linf(0.1), (0.5,), (0.5,)))
    ((-1.0, 1.0), (0.0, 1.0))
    """
    if not isinstance(threat, NormBall):
        return 0.0, 1.0
    low, high = (b if isinstance(b, tuple) else (b,) for b in (threat.lower, threat.upper))
    return min(low), max(high)
