"""Initial weights of the residual networks."""

from __future__ import annotations

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Draw convolutions from N(0, 2 / fan_out) and linear layers from N(0, 2 / fan_in), in place.

    He et al., Delving Deep into Rectifiers, 2015, arXiv:1502.01852.

    >>> import torch
    >>> layer = nn.Linear(2, 2)
    >>> he_normal(layer)
    >>> layer.bias.detach()
    tensor([0., 0.])
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)
