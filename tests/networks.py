"""Small networks whose behaviour under attack is known, or mixed on purpose."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saddlepoint.model import RandomLayer


class Affine(nn.Module):
    """Two classes with logits (w·x + b, 0), or K classes with W·x + b."""

    def __init__(self, weight: Tensor, bias: Tensor | float = 0.0) -> None:
        super().__init__()
        rows = torch.stack([weight, torch.zeros_like(weight)]) if weight.ndim == 1 else weight
        offset = torch.as_tensor(bias, dtype=rows.dtype)
        if weight.ndim == 1:
            offset = torch.stack([offset, torch.zeros_like(offset)])
        self.weight, self.bias = nn.Parameter(rows), nn.Parameter(offset)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


class Noise(RandomLayer):
    """Adds normal noise of deviation `sigma` to the image."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma * self.noise(x)


def conv_net(dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """A random convolutional network with BatchNorm whose statistics are not the initial ones."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 5),
    )  # fmt: skip
    net(torch.rand(64, 3, 8, 8))  # in training mode: sets the statistics
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
    net[8].weight.data *= 20  # margins of about one, as a trained network has
    net.eval()
    with torch.no_grad():
        net[8].bias -= net(torch.rand(64, 3, 8, 8)).mean(0)  # no class wins everywhere
    torch.random.set_rng_state(state)
    return net.to(dtype)


def conv_case(
    count: int = 64, dtype: torch.dtype = torch.float32, wrong: int = 3
) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, `count` images, and its own predictions as labels, of which the first `wrong`
    are made wrong.
    """
    net = conv_net(dtype)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        labels = net(images).argmax(1)
    labels[:wrong] = (labels[:wrong] + 1) % 5
    return net, images, labels


def mlp(features: int, classes: int = 3, seed: int = 0, gain: float = 3.0) -> nn.Module:
    """A random two-layer network in float64, steep enough to have curved boundaries."""
    generator = torch.Generator().manual_seed(seed)

    def layer(inputs: int, outputs: int) -> nn.Linear:
        linear = nn.Linear(inputs, outputs, dtype=torch.float64)
        for p in (linear.weight, linear.bias):
            value = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.data = gain * value / inputs**0.5
        return linear

    return nn.Sequential(nn.Flatten(), layer(features, 16), nn.Tanh(), layer(16, classes))
