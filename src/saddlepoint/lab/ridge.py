"""Ridge regression on frozen features, in closed form, and the features themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.model import Guard


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map with an intercept.

    Attributes:
        weights, intercept: of it, in float64.

    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> Ridge.fitted(x, torch.tensor([0, 1, 1]), 2, alpha=1e-9).predictions(x)
    tensor([0, 1, 1])
    """

    weights: Float[Tensor, "d k"]
    intercept: Float[Tensor, " k"]

    @classmethod
    def fitted(
        cls, features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], classes: int, alpha: float
    ) -> Ridge:
        """Return W = (XᵀX + αI)⁻¹XᵀY of centred X and Y, where Y is 1 for the class and −1 for others.

        With fewer rows than features by the same map's other form, Xᵀ(XXᵀ + αI)⁻¹Y.
        """
        x = features.double()
        y = 2 * functional.one_hot(labels, classes).double() - 1
        centre, middle = x.mean(0), y.mean(0)
        x, y = x - centre, y - middle
        n, d = x.shape
        identity = torch.eye(min(n, d), dtype=x.dtype, device=x.device)
        if n < d:
            weights = x.T @ torch.linalg.solve(x @ x.T + alpha * identity, y)
        else:
            weights = torch.linalg.solve(x.T @ x + alpha * identity, x.T @ y)
        return cls(weights, middle - centre @ weights)

    def predictions(self, features: Float[Tensor, "n d"]) -> Int64[Tensor, " n"]:
        """Return the class of the largest value of each row."""
        return (features.double() @ self.weights + self.intercept).argmax(1)


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """Return the name and the layer that makes logits of features: the last linear one.

    Raises `InputError` for a model without one.

    >>> head_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))[0]
    '1'
    """
    found = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        raise InputError(
            f"{type(model).__name__} has no linear layer, and so no features before it"
        )
    return found[-1]


def features_of(
    model: nn.Module, images: Float[Tensor, "n ..."], batch_size: int = 512
) -> Float[Tensor, "n d"]:
    """Return what the head is given, of length 1, on the CPU.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    >>> features_of(net, torch.tensor([[[3.0], [4.0]]]))
    tensor([[0.6000, 0.8000]])
    """
    kept: list[Tensor] = []
    _, head = head_of(model)
    hook = head.register_forward_pre_hook(lambda _, given: kept.append(given[0].detach().cpu()))
    try:
        with Guard(model, 0) as guard:
            for part in torch.split(images, batch_size):
                guard.logits(part.to(guard.device))
    finally:
        hook.remove()
    return functional.normalize(torch.cat(kept).flatten(1), dim=1)
