"""Networks whose gradients are zero or next to it, and the threat models they are attacked under."""

from __future__ import annotations

import torch
from torch import nn

from saddlepoint.threat import L1, L2, Box, Linf, Rescaled

THREATS = {
    "linf": Linf(0.1), "l2": L2(0.5), "l1": L1(1.0), "box": Box(0.0, 1.0),
    "normalised": Rescaled.pixels(L2(0.5), (0.5,), (0.25,)),
}  # fmt: skip


class Flat(nn.Module):
    """Logits that do not depend on the image, although a graph does."""

    def forward(self, x):
        return x.flatten(1)[:, :2] * 0 + torch.tensor([3.0, 0.0])


class Saturated(nn.Module):
    """A softmax in front of the logits, saturated: its gradient underflows to zero."""

    def forward(self, x):
        s = x.flatten(1).sum(1)
        return torch.stack([1e4 + s, -s], 1).softmax(1) * 7 + 0.5


class Tiny(nn.Module):
    """Gradients of 1e-35, with the sign of a real one."""

    def forward(self, x):
        s = x.flatten(1).sum(1) * 1e-35
        return torch.stack([s, -s], 1)
