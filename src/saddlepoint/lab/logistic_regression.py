"""Logistic regression under the worst change in Linf, in closed form."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks.core.steps import cosine
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError

_RATE = 0.1  # of Adam, falling along half a cosine


def adversarial_loss(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    weights: Float[Tensor, "d k"],
    bias: Float[Tensor, " k"],
    eps: Float[Tensor, " k"],
) -> Float[Tensor, "n k"]:
    """Return max over ‖δ‖∞ ≤ eps of ζ(−y(w·(x + δ) + b)), which is ζ(eps‖w‖₁ − y(w·x + b)).

    ζ(z) = log(1 + exp z), y = ±1. The valid range of pixels is not counted in.

    >>> w = torch.tensor([[1.0], [-1.0]])
    >>> one = torch.ones(1)
    >>> adversarial_loss(torch.zeros(1, 2), one, w, 0 * one, 0.5 * one)  # ζ(0.5 · 2)
    tensor([[1.3133]])
    """
    margins = signs[:, None] * (x @ weights + bias)
    return functional.softplus(eps * weights.abs().sum(0) - margins)


def fit(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    eps: Float[Tensor, " k"],
    weight_decay: Float[Tensor, " k"],
    steps: int,
) -> tuple[Float[Tensor, "d k"], Float[Tensor, " k"]]:
    """Return weights and biases that minimise the mean adversarial loss plus λ‖w‖₁, per column.

    Adam on all images at once, from zero; the problem is convex.

    >>> x, signs = torch.tensor([[0.0], [1.0]]), torch.tensor([-1.0, 1.0])
    >>> w, b = fit(x, signs, torch.tensor([0.0]), torch.tensor([0.0]), steps=200)
    >>> bool(w > 0), bool(b < 0)
    (True, True)
    """
    weights = torch.zeros(x.shape[1], len(eps), device=x.device, requires_grad=True)
    bias = torch.zeros(len(eps), device=x.device, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=_RATE)
    with torch.enable_grad():
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = _RATE * cosine(step, steps)
            optimiser.zero_grad(set_to_none=True)
            loss = adversarial_loss(x, signs, weights, bias, eps).mean(0)
            total = (loss + weight_decay * weights.abs().sum(0)).sum()
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return weights.detach(), bias.detach()


def errors(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    weights: Float[Tensor, "d k"],
    bias: Float[Tensor, " k"],
    eps: float,
) -> Float[Tensor, " k"]:
    """Return the share of images that some change of `eps` per pixel takes to the wrong side.

    >>> errors(torch.tensor([[1.0]]), torch.ones(1), torch.ones(1, 1), torch.zeros(1), 2.0)
    tensor([1.])
    """
    margins = signs[:, None] * (x @ weights + bias) - eps * weights.abs().sum(0)
    return (margins <= 0).float().mean(0)


def two_classes(
    data: ImageData, classes: tuple[int, int]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Return the images of two classes as vectors, and −1 and 1 for the first and the second.

    Raises `InputError` where there are none of either.

    >>> from saddlepoint.data import load_data
    >>> x, signs = two_classes(load_data("digits", limit=20), (3, 7))
    >>> x.shape, signs.tolist()
    (torch.Size([4, 64]), [1.0, -1.0, -1.0, 1.0])
    """
    labels: Int64[Tensor, " n"] = data.labels.cpu()
    for label in classes:
        if not bool((labels == label).any()):
            raise InputError(
                f"there is no image of class {label} among the {len(labels)} of the {data.split}"
                " split; give other classes, or a larger limit"
            )
    rows = ((labels == classes[0]) | (labels == classes[1])).nonzero().squeeze(1)
    x = data.images(rows).flatten(1)
    signs = torch.where(labels[rows] == classes[1], 1.0, -1.0)
    return x, signs.to(x)
