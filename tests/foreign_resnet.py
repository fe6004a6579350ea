"""A residual network as torchvision writes them, and its weights after a few steps on digits."""

from __future__ import annotations

import functools

import torch
from small import digits
from torch import nn
from torch.nn.functional import cross_entropy


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        before = self.more // 2
        pads = (0, 0, 0, 0, before, self.more - before)
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], pads)
        return torch.relu(y + shortcut)


class ResNet(nn.Module):
    """The same function as `zoo:resnet20`, under the names that its authors' followers use."""

    def __init__(self, classes=10, channels=1, blocks=3):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self.stage(blocks, 16, 16, 1)
        self.layer2 = self.stage(blocks, 16, 32, 2)
        self.layer3 = self.stage(blocks, 32, 64, 2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def stage(blocks, inputs, outputs, stride):
        rest = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
        return nn.Sequential(Block(inputs, outputs, stride), *rest)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@functools.cache
def _state():
    data = digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ResNet()
        optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
        for step in range(24):
            rows = torch.arange(64) + 64 * (step % 20)
            pixels = (data.pixels[rows] - data.mean[0]) / data.std[0]
            optimiser.zero_grad()
            cross_entropy(net(pixels), data.labels[rows]).backward()
            optimiser.step()
    return net.state_dict()


def resnet():
    """The trained network, for normalised images; its running statistics are real ones."""
    net = ResNet()
    net.load_state_dict(_state())
    return net.eval()


def right(model, data):
    """How many images are classified correctly, counted without the laboratory."""
    with torch.no_grad():
        return int((model(data.pixels).argmax(1) == data.labels).sum())
