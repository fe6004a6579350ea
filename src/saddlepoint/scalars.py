"""Numbers as tensors of another tensor's kind, without waiting for its device."""

from __future__ import annotations

import torch
from torch import Tensor


def numbers(values: float | tuple[float, ...] | Tensor, like: Tensor) -> Tensor:
    """Return a number, or one per channel, as a tensor of the type and device of `like`.

    On CUDA they are written by kernels: a copy from the host would wait for all work before it, at
    every step of an attack.

    >>> numbers((0.0, 1.0), torch.zeros(1, dtype=torch.float64))
    tensor([0., 1.], dtype=torch.float64)
    """
    if isinstance(values, Tensor) or not like.is_cuda:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)
    if isinstance(values, tuple):
        return torch.stack([numbers(value, like) for value in values])
    return torch.full((), values, dtype=like.dtype, device=like.device)
