"""What a model returns for images: logits, predictions, losses and their gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import Misclassified
from saddlepoint.model import Guard

ROWS = 1024
"""Samples in one pass."""


def logits_of(model: nn.Module, images: Float[Tensor, "m ..."]) -> Float[Tensor, "m k"]:
    """Return the logits of each image, on the CPU; the images may lie outside [0, 1].

    >>> logits_of(nn.Flatten(), torch.full((1, 2), -3.0))
    tensor([[-3., -3.]])
    """
    with Guard(model, 0) as guard:
        # A guard counts the passes of each row; here nobody asks for them.
        parts = [guard.logits(part.to(guard.device)).cpu() for part in torch.split(images, ROWS)]
    return torch.cat(parts)


def predictions(
    model: nn.Module, images: Float[Tensor, "n ..."]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the predicted class of each image, and by how much its logit is the largest.

    >>> predictions(nn.Flatten(), torch.tensor([[0.5, 0.25, 0.0]]))
    (tensor([0]), tensor([0.2500]))
    """
    top = logits_of(model, images).topk(2, dim=1)
    return top.indices[:, 0].to(images.device), top.values[:, 0] - top.values[:, 1]


def class_count(model: nn.Module, images: Float[Tensor, "n ..."]) -> int:
    """Return the number of classes of a model, from its logits of the first image.

    >>> class_count(nn.Flatten(), torch.zeros(1, 3))
    3
    """
    return logits_of(model, images[:1]).shape[1]


def cross_entropy(logits: Float[Tensor, "m k"], labels: Int64[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Return the cross-entropy of each image from its logits, exact also where it is tiny.

    >>> cross_entropy(torch.tensor([[40.0, 0.0]]), torch.tensor([0]))
    tensor([4.2484e-18])
    """
    return functional.softplus(Misclassified().log_odds(logits, labels))


def losses(
    model: nn.Module, images: Float[Tensor, "m ..."], labels: Int64[Tensor, " m"]
) -> Float[Tensor, " m"]:
    """Return the cross-entropy of each image, on the CPU.

    >>> losses(nn.Flatten(), torch.zeros(1, 2), torch.zeros(1).long())
    tensor([0.6931])
    """
    return cross_entropy(logits_of(model, images), labels.cpu())


def loss_gradients(
    model: nn.Module, images: Float[Tensor, "m ..."], labels: Int64[Tensor, " m"]
) -> Float[Tensor, "m ..."]:
    """Return the gradient of the cross-entropy of each image, on the CPU.

    >>> loss_gradients(nn.Flatten(), torch.zeros(1, 2), torch.zeros(1).long())
    tensor([[-0.5000,  0.5000]])
    """
    found = []
    for x, y in zip(torch.split(images, ROWS), torch.split(labels, ROWS), strict=True):
        with Guard(model, len(x)) as guard:
            goals = y.to(guard.device)
            _, gradient = guard.gradient(
                x.to(guard.device),
                lambda z, goals=goals: cross_entropy(z, goals),  # type: ignore[misc]
            )
        found.append(gradient.cpu())
    return torch.cat(found)
