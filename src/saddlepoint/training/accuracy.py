"""Clean accuracy: the one number of a training that needs no attack."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.attacks import predict
from saddlepoint.data import ImageData, batches
from saddlepoint.model import device_of, full_precision


@torch.no_grad()
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
    device = device_of(model)
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    try:
        with full_precision(device):
            order = torch.arange(len(data))
            for _, images, labels in batches(
                data, order, batch_size, device=device, workers=workers
            ):
                correct += (predict(model(images)) == labels).sum()
    finally:
        for module, training in flags:
            module.training = training
    return int(correct) / len(data)
