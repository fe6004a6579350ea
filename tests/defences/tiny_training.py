"""A tiny network in float64, batches for it, and a training that shows what every optimiser step sees."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from saddlepoint.data import as_data
from saddlepoint.defences import Optimiser, Recipe, Schedule, TrainingBatch
from saddlepoint.training.loop import take_step
from saddlepoint.training.state import State

SGD = Optimiser("sgd", 0.05, momentum=0.9, nesterov=False, weight_decay=1e-2)
SHAPE, CLASSES, SIZE = (2, 5, 5), 4, 6


def network(norm=True, seed=0):
    """Conv, BatchNorm, ReLU, conv, BatchNorm, tanh, linear; BatchNorm may be left out."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = OrderedDict(
            stem=nn.Conv2d(2, 4, 3, padding=1),
            norm1=nn.BatchNorm2d(4) if norm else nn.Identity(),
            act1=nn.ReLU(),
            conv=nn.Conv2d(4, 3, 3, stride=2),
            norm2=nn.BatchNorm2d(3) if norm else nn.Identity(),
            act2=nn.Tanh(),
            flat=nn.Flatten(),
            head=nn.Linear(12, CLASSES),
        )
        net = nn.Sequential(layers).double()
        net(torch.rand(64, *SHAPE).double())  # statistics that are not the initial ones
        net.head.weight.data *= 4  # so that sensitive that cross-entropies differ between images
    return net.train()


def batches(count=5, inner=False, size=SIZE, epoch=0):
    """Batches of images, the last one shorter; with `inner` away from the range's ends, else one
    pixel in three is black or white.
    """
    draw = torch.Generator().manual_seed(3)
    found = []
    for number in range(count):
        n = size - (number == count - 1)
        x = torch.rand(n, *SHAPE, generator=draw, dtype=torch.float64)
        x = 0.3 + 0.4 * x if inner else (1.5 * x - 0.25).clamp(0, 1)
        y = torch.randint(CLASSES, (n,), generator=draw)
        soft = torch.rand(n, CLASSES, generator=draw, dtype=torch.float64).softmax(1)
        ids = torch.arange(n) + size * number
        found.append(TrainingBatch(x, y, ids, seed=11, epoch=epoch, soft=soft))
    return found


def state_of(objective, net, steps=5):
    """The training of a network by an objective, before its first step."""
    recipe = Recipe(objective, batch_size=SIZE, optimiser=SGD, schedule=Schedule("constant"))
    images = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(5))
    data = as_data((images, torch.arange(4) % CLASSES))
    return State(net, recipe, SIZE * steps, data=data)


def copied(values):
    return {name: value.detach().clone() for name, value in values.items()}


def seen_by(optimiser, net):
    """A list that gets the weights and the gradients at every optimiser step."""
    seen = []

    def note(optimiser, args, kwargs):
        pairs = list(net.named_parameters())
        grads = {f"{name}.grad": p.grad for name, p in pairs if p.grad is not None}
        seen.append(copied({**dict(pairs), **grads}))

    optimiser.register_step_pre_hook(note)
    return seen


def trained(objective, net, given, each=lambda state: {}):
    """Train through the loop's own steps; return what each optimiser step saw, and the states after
    each batch with what `each` says of it.
    """
    state = state_of(objective, net, len(given))
    seen, after = seen_by(state.optimiser, net), []
    for batch in given:
        take_step(state, batch)
        after.append(copied({**net.state_dict(), **each(state)}))
    return seen, after


def largest_difference(first, second):
    """Over two lists of tensors by name; infinite where the names differ."""
    if len(first) != len(second) or any(
        a.keys() != b.keys() for a, b in zip(first, second, strict=True)
    ):
        return float("inf")
    return max(
        float((a[name] - b[name]).abs().max())
        for a, b in zip(first, second, strict=True)
        for name in a
    )
