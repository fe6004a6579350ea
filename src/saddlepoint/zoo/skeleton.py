"""Networks without numbers: their shapes and costs are known before any weight is drawn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    getattr(Tensor, name)
    for name in (
        *("uniform_", "normal_", "fill_", "zero_", "copy_"),
        *("erfinv_", "mul_", "add_", "clamp_"),  # of a truncated normal
    )
)


class _Unfilled(TorchFunctionMode):
    """Leaves out what writes numbers into a tensor that has none: on the meta device each such call
    costs a thousand times what it does.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS and args[0].device.type == "meta":
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def skeletons() -> Iterator[None]:
    """Build networks on the meta device while the block runs: shapes, no numbers, no memory.

    >>> from torch import nn
    >>> with skeletons():
    ...     layer = nn.Linear(4, 2)
    >>> layer.weight.shape, layer.weight.device.type
    (torch.Size([2, 4]), 'meta')
    """
    with torch.device("meta"), _Unfilled():
        yield
