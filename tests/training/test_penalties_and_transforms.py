"""Penalties and transforms: they count, they are reproducible, their state is kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from small import conv, digits, same
from torch import nn

from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.training import latest_checkpoint, train


class Squares:
    """A penalty without state: pulls every weight to zero."""

    def __call__(self, model):
        return sum((p**2).sum() for p in model.parameters())


class Growing(nn.Module):
    """A penalty with a state: its weight grows with every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, model):
        self.calls += 1
        return self.calls * sum((p**2).sum() for p in model.parameters())


def size(net):
    return sum(float((p.detach() ** 2).sum()) for p in net.parameters())


def test_a_penalty_counts_in_the_loss_and_in_the_weights():
    base = {"epochs": 2, "batch_size": 32, "optimiser": Optimiser(learning_rate=0.1)}
    free = train(conv(), digits(limit=64), Recipe(**base))
    held = train(conv(), digits(limit=64), Recipe(penalties=((0.2, Squares()),), **base))
    assert size(held.model) < 0.8 * size(free.model)
    assert held.metrics[0]["loss"] > free.metrics[0]["loss"]


def test_the_state_of_a_penalty_is_in_the_checkpoint_and_not_in_the_recipe(tmp_path):
    penalty = Growing()
    recipe = Recipe(epochs=2, batch_size=32, penalties=((1e-4, penalty),))
    first = train(conv(), digits(limit=64), recipe, out=tmp_path)
    assert penalty.calls == 0
    assert latest_checkpoint(tmp_path)[0]["penalties"]["0/calls"] == 4
    second = train(conv(), digits(limit=64), recipe)
    assert same(first.model.state_dict(), second.model.state_dict())


@dataclass(frozen=True)
class Gain:
    """A transform: multiplies the logits, and counts that it was used."""

    by: float

    def __call__(self, model):
        return nn.Sequential(model, Times(self.by))


class Times(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by
        self.shift = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return self.by * x + self.shift


def test_transforms_are_applied_in_order_reproducibly_and_without_touching_global_state():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    recipe = Recipe(epochs=1, transforms=(Gain(2.0), Gain(3.0)))
    results = [train(conv(), digits(limit=64), recipe, seed=1) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    outer = results[0].model
    assert (outer[1].by, outer[0][1].by) == (3.0, 2.0)
    assert same(*(r.model.state_dict() for r in results))
