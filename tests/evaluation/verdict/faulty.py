"""Networks made to hide something from attacks, and what a check looks at: images they have right."""

from __future__ import annotations

from dataclasses import replace

import torch
from networks import Noise
from small import digits, trained
from torch import nn

from saddlepoint.attacks import FixedBudget, Misclassified
from saddlepoint.attacks.core.steps import ascend
from saddlepoint.evaluation.verdict.check import Subject
from saddlepoint.threat import Linf

IMAGES = 16
NEAR = Linf(0.1)
"""About half of the digits stand."""


def right(model, images=IMAGES):
    """The first images of the digits that a model has right; a subject under `NEAR`."""
    data = digits("test", 100)
    with torch.no_grad():
        ids = (model(data.pixels).argmax(1) == data.labels).nonzero()[:images, 0]
    return Subject(model, data.pixels[ids], data.labels[ids], ids, NEAR, Misclassified())


def standing(model, **suite):
    """Of the first images that a model has right those that survive the attacks."""
    subject = right(model, 32)
    stands = torch.ones(len(subject), dtype=torch.bool)
    for attack in suite.values():
        stands &= ~subject.attacked(attack).success
    some = {name: getattr(subject, name)[stands] for name in ("images", "labels", "ids")}
    return replace(subject, suite=suite, **some)


class Still(FixedBudget):
    """An attack that hands the clean images back."""

    def perturb(self, batch, tracker):
        tracker.record(batch, batch.clean, batch.logits(batch.clean))


class Astray(FixedBudget):
    """A single step, which fools many, and back to the clean image."""

    def perturb(self, batch, tracker):
        logits, gradient = batch.gradient(batch.clean, batch.loss("margin"))
        x = ascend(batch, batch.clean, gradient, batch.threat.radius(batch.images), 1)
        tracker.record(batch, x, batch.logits(x))
        tracker.record(batch, batch.clean, logits)


class Function(torch.autograd.Function):
    """Rounds to so many levels; its gradient is its gradient's share, −1 the wrong way round."""

    @staticmethod
    def forward(ctx, x, levels, share):
        ctx.share = share
        return (x * levels).round() / levels

    @staticmethod
    def backward(ctx, grad):
        return ctx.share * grad, None, None


class Rounding(nn.Module):
    """Rounds the image in `forward`, not in a module of its own, with a gradient of this share."""

    def __init__(self, net, levels=64, share=0.0):
        super().__init__()
        self.net, self.levels, self.share = net, levels, share

    def forward(self, x):
        return self.net(Function.apply(x, self.levels, self.share))


class Rippled(nn.Module):
    """Adds a wave of high frequency to the logits, which noise turns over."""

    def __init__(self, net, height=20.0):
        super().__init__()
        self.net, self.height = net, height

    def forward(self, x):
        logits = self.net(x)
        phase = 2000 * x.flatten(1).sum(1, keepdim=True) * torch.arange(1, 11)
        return 20 * logits + self.height * 20 * phase.sin()


class Wavy(nn.Module):
    """Sees its image through waves that are steeper than the slope underneath."""

    def __init__(self, net, height=0.3, often=60.0):
        super().__init__()
        self.net, self.height, self.often = net, height, often

    def forward(self, x):
        return self.net(x + self.height / self.often * 8 * (self.often * x).sin())


class Inward(nn.Module):
    """Takes a step along its own gradient before it answers."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            (step,) = torch.autograd.grad(self.net(inner).logsumexp(1).sum(), inner)
        return self.net(x - 1e-3 * step)


class Scaled(nn.Module):
    """Logits times a number."""

    def __init__(self, net, by):
        super().__init__()
        self.net, self.by = net, by

    def forward(self, x):
        return self.by * self.net(x)


class Bent(nn.Module):
    """Right at mean 0.5, wrong half of 0.1 away from there, and right again at the whole of it."""

    def forward(self, x):
        way = (x.flatten(1).mean(1) - 0.5) / 0.1
        margin = 0.1 - 2 * way.abs() * (1 - way.abs()) - 1e-3 * way
        return torch.stack([margin, torch.zeros_like(margin)], 1)


class Amplified(nn.Module):
    """Answers as the network does for digits, whose pixels are sixteenths; whatever is added to them
    is taken for thirty times as much.
    """

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        clean = (x.detach() * 16).round() / 16
        return self.net(clean + 30 * (x - clean))


class OneAlive(nn.Module):
    """All classes but one can never come."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        dead = torch.full_like(logits, -torch.inf)
        return torch.cat([logits[:, :1], dead[:, 1:]], 1)


class Uneven(nn.Module):
    """The gradient of the largest logit is a hundredth of the others'."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        top = logits.amax(1, keepdim=True)
        slow = top.detach() * 0.99 + top * 0.01
        return torch.where(logits == top, slow, logits)


def noisy(sigma=0.1):
    """A network with random noise in front."""
    return nn.Sequential(Noise(sigma), trained()).eval()
