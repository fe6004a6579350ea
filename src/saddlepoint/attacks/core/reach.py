"""How far an attack goes where the valid range does not end."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch

_FARTHEST = 1e9


def reach(batch: Batch) -> tuple[Float[Tensor, "m ..."], Float[Tensor, "m ..."]]:
    """Return the lowest and highest parameters that are looked at: the bounds, and where there are
    none 10⁹ from the clean parameters.

    Farther out the squares of a network's own norms overflow, and what it cannot answer there would
    count as fooled.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.model import Guard
    >>> from saddlepoint.streams import Keys
    >>> from saddlepoint.threat import L2
    >>> x, label, rows = torch.zeros(1, 2), torch.tensor([0]), torch.arange(1)
    >>> threat = L2(lower=0.0, upper=float("inf"))
    >>> with Guard(torch.nn.Flatten(), 1) as guard:
    ...     low, high = reach(Batch(guard, threat, Misclassified(), x, label, Keys(0, rows), rows))
    >>> low, high
    (tensor([[0., 0.]]), tensor([[1.0000e+09, 1.0000e+09]]))
    """
    low, high = batch.bounds
    return torch.maximum(low, batch.clean - _FARTHEST), torch.minimum(high, batch.clean + _FARTHEST)
