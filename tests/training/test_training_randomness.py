"""What a training draws, sees and leaves alone: seeds, dropout, precision, BatchNorm."""

from __future__ import annotations

import pytest
import torch
from small import conv, digits, same
from torch import nn

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe
from saddlepoint.threat import Linf
from saddlepoint.training import train


def test_global_random_state_is_left_alone_with_dropout_and_attacks():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    objective = AdversarialTraining(PGD(Linf(0.1), steps=1))
    recipe = Recipe(objective=objective, epochs=1, augmentation="crop-flip")
    train(conv(dropout=0.5), digits(limit=64), recipe)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_seed_changes_the_order_the_dropout_and_nothing_else_does():
    def result(seed, noise):
        torch.manual_seed(noise)
        return train(
            conv(dropout=0.5), digits(limit=64), Recipe(epochs=1, batch_size=16), seed=seed
        )

    first, second, third = (result(*case).model.state_dict() for case in [(0, 1), (0, 2), (1, 1)])
    assert same(first, second)
    assert not same(first, third)


def test_dropout_draws_another_mask_in_every_step():
    masks = []
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(50, 2))
    net[0].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    data = TensorData.of(torch.ones(64, 50), torch.arange(64) % 2, name="ones")
    train(net, data, Recipe(epochs=2, batch_size=32))
    drawn = [mask for mask in masks if len(mask) == 32]  # not the check before the first step
    assert len(drawn) == 4
    assert all(not torch.equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


def test_bf16_autocast_computes_in_bfloat16_and_keeps_the_weights_in_float32():
    seen = []
    net = conv()
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    result = train(net, digits(), Recipe(epochs=2, batch_size=64, autocast="bf16"))
    assert torch.bfloat16 in seen
    assert all(p.dtype is torch.float32 for p in net.parameters())
    assert result.metrics[-1]["accuracy"] > 0.6


def statistics_after(mode):
    """The running mean after one step, and that of a naive step on the images trained on."""
    net = conv(norm=True)
    attack = PGD(Linf(0.3), steps=3, start="clean")
    made = []
    candidates = attack.candidates

    def spy(*args, **kwargs):
        flags.append(net.training)
        made.append(candidates(*args, **kwargs))
        moved.append(net[1].running_mean.clone())
        return made[-1]

    flags, moved = [], []
    object.__setattr__(attack, "candidates", spy)
    objective = AdversarialTraining(attack, mode=mode)
    recipe = Recipe(objective=objective, epochs=1, batch_size=64, optimiser=Optimiser("sgd", 0.1))
    train(net, digits(limit=64), recipe)
    return net, made, moved


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_attack_does_not_move_the_running_statistics(mode):
    net, [made], [moved] = statistics_after(mode)
    assert torch.equal(moved, torch.zeros(8))  # after the attack, before the step
    naive = conv(norm=True).train()
    naive(made)
    torch.testing.assert_close(net[1].running_mean, naive[1].running_mean)
    assert net[1].num_batches_tracked == 1


def test_the_mode_decides_which_statistics_the_attack_sees():
    first, second = (statistics_after(mode)[1][0] for mode in ("eval", "train"))
    assert not torch.equal(first, second)
    assert not torch.equal(first, digits(limit=64).images(torch.arange(64)))
