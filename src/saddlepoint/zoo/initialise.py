"""Initial weights of the residual networks and the transformers."""

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


def transformer_normal(module: nn.Module) -> None:
    """Draw linear layers from N(0, 0.02²), cut at ±2, with biases of 0, in place; other layers keep
    torch's initial weights.

    Touvron et al., Training data-efficient image transformers, 2021, arXiv:2012.12877.

    >>> layer = nn.Linear(9, 9)
    >>> transformer_normal(layer)
    >>> bool(layer.weight.std() < 0.04), bool(layer.bias.any())
    (True, False)
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
