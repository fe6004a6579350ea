"""Clean accuracy: the one number of a training that needs no attack."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.attacks import predict
from saddlepoint.data import ImageData, batches
from saddlepoint.model import Guard


def accuracy(
    model: nn.Module, data: ImageData, *, batch_size: int = 512, workers: int = 0
) -> float:
    """Return the share of `data` that the model classifies correctly, in evaluation mode.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=20)
    >>> 0 <= accuracy(build_model("simple-cnn", classes=10, shape=data.shape), data) <= 1
    True
    """
    with Guard(model, 0) as guard, guard.exact():
        correct = torch.zeros((), dtype=torch.int64, device=guard.device)
        order = torch.arange(len(data))
        for _, images, labels in batches(
            data, order, batch_size, device=guard.device, workers=workers
        ):
            correct += (predict(guard.logits(images)) == labels).sum()
    return int(correct) / len(data)
