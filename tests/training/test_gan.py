"""The game of two networks: losses by hand, against a bare loop, resumed, spoilt and collapsed."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from saddlepoint.data import load_data
from saddlepoint.defences import Optimiser, Recipe, load_recipe
from saddlepoint.errors import InputError
from saddlepoint.objectives import (
    GAN,
    GENERATOR_LOSSES,
    Game,
    TrainingBatch,
    game_value,
    minimax,
    non_saturating,
)
from saddlepoint.training import train
from saddlepoint.zoo import MLPGenerator, build_model, load_weights
from saddlepoint.zoo.gan import MLPDiscriminator

DATA = load_data("digits", split="train", limit=96)
ADAM = Optimiser("adam", 2e-4, betas=(0.5, 0.999), weight_decay=0.0)
RECIPE = Recipe(GAN(), epochs=2, batch_size=32, optimiser=ADAM)


def small(seed=0):
    torch.manual_seed(seed)
    return MLPGenerator(8, (16,), size=8)


def batch(n=16, **changes):
    ids = torch.arange(n)
    return TrainingBatch(DATA.images(ids), DATA.labels[ids], ids, **{"seed": 3, **changes})


@pytest.mark.parametrize("logit", [-30.0, -2.0, 0.0, 0.7, 30.0])
def test_gradients_of_both_losses(logit):
    l = torch.tensor([logit], dtype=torch.float64, requires_grad=True)  # noqa: E741
    sigma = 1 / (1 + math.exp(-logit))
    (first,) = torch.autograd.grad(minimax(l).sum(), l)
    assert float(first) == pytest.approx(-sigma, rel=1e-12)
    (second,) = torch.autograd.grad(non_saturating(l).sum(), l)
    assert float(second) == pytest.approx(-1 / (1 + math.exp(logit)), rel=1e-12)


def test_the_printed_loss_vanishes_for_bad_fakes_and_the_other_does_not():
    for name, expected in (("minimax", 0.0), ("non-saturating", -1.0)):
        logit = torch.tensor([-200.0], requires_grad=True)  # float32: σ underflows
        loss = GENERATOR_LOSSES[name](logit).sum()
        loss.backward()
        assert bool(loss.isfinite())
        assert float(logit.grad) == expected


def test_the_value_of_the_game_by_hand():
    real, fake = torch.tensor([0.3, -1.0]).double(), torch.tensor([2.0]).double()
    d = [1 / (1 + math.exp(-float(each))) for each in (*real, *fake)]
    by_hand = (math.log(d[0]) + math.log(d[1])) / 2 + math.log(1 - d[2])
    assert float(game_value(real, fake)) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("loss", GENERATOR_LOSSES)
@pytest.mark.parametrize("k", [1, 3])
def test_a_step_is_that_of_a_loop_by_hand(loss, k):
    """k steps of D, each on fresh z, then the gradients of G, with probabilities and no log σ."""
    net, peer = small().double(), small().double()
    game = Game(GAN(loss=loss, k=k), net)
    game.opponent.network.double().eval()  # no dropout, which draws
    d = MLPDiscriminator(size=8).double().eval()
    d.load_state_dict(game.opponent.network.state_dict())
    game.opponent.optimiser = torch.optim.Adam(
        game.opponent.network.parameters(), 2e-4, (0.5, 0.999)
    )
    adam = torch.optim.Adam(d.parameters(), 2e-4, (0.5, 0.999))
    taken = replace(batch(), inputs=batch().images.double())

    z = taken.keys.normal((k + 1, 8)).double()

    class Wrapped(MLPGenerator):
        def forward(self, z):
            return super().forward(z.double())

    net.__class__ = Wrapped
    output = game.accumulate(net, taken)
    for i in range(k):
        x, fakes = taken.images, peer(z[:, i]).detach()
        value = torch.log(d(x).sigmoid()).mean() + torch.log(1 - d(fakes).sigmoid()).mean()
        adam.zero_grad()
        (-value).backward()
        adam.step()
    fooled = d(peer(z[:, k])).sigmoid()
    (torch.log(1 - fooled) if loss == "minimax" else -torch.log(fooled)).mean().backward()
    for mine, theirs in zip(net.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(game.opponent.network.parameters(), d.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    total, count = output.sums["discriminator_loss"]
    assert float(total) / count == pytest.approx(-float(value.detach()), rel=1e-9)
    assert all(each.requires_grad for each in game.opponent.network.parameters())


def test_noise_follows_from_seed_and_image_and_differs_between_epochs():
    seen = []

    class Heard(MLPGenerator):
        def forward(self, z):
            seen.append(z.detach().clone())
            return super().forward(z)

    net = Heard(8, (16,), size=8)
    game = Game(GAN(), net)
    game.accumulate(net, batch(16))
    game.accumulate(net, batch(4))
    game.accumulate(net, batch(4, seed=4))
    assert torch.equal(seen[0][:4], seen[2])
    assert torch.equal(seen[1][:4], seen[3])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[2], seen[4])


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_resumption_is_bit_identical(tmp_path, monkeypatch, ema):
    recipe = replace(RECIPE, objective=GAN(discriminator="maxout"), ema=ema)
    whole = train(small(), DATA, recipe, out=tmp_path / "whole", test=DATA)
    steps = 0

    def accumulate(self, model, batch, original=Game.accumulate):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt
        return original(self, model, batch)

    with monkeypatch.context() as context:
        context.setattr(Game, "accumulate", accumulate)
        with pytest.raises(KeyboardInterrupt):
            train(small(), DATA, recipe, out=tmp_path / "cut", test=DATA)
    resumed = train(small(), DATA, recipe, out=tmp_path / "cut", test=DATA, resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    drop = {"seconds"}
    for one, other in zip(whole.metrics, resumed.metrics, strict=True):
        assert {k: v for k, v in one.items() if k not in drop} == {
            k: v for k, v in other.items() if k not in drop
        }
    name = "discriminator.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_the_average_is_of_the_generator_and_the_discriminator_is_saved(tmp_path):
    raw = train(small(), DATA, RECIPE).model
    averaged = train(small(), DATA, replace(RECIPE, ema=0.9), out=tmp_path).model
    moved = [
        float((a - b).detach().abs().max())
        for a, b in zip(raw.parameters(), averaged.parameters(), strict=True)
    ]
    assert min(moved) > 0
    d = MLPDiscriminator(size=8)
    load_weights(d, tmp_path / "discriminator.safetensors")
    load_weights(small(1), tmp_path / "model.safetensors")


def test_the_record_names_what_each_player_did():
    (record, _) = train(small(), DATA, RECIPE, test=DATA).metrics
    assert record["loss"] == record["generator_loss"]
    assert 0 < record["d_of_samples"] < 1
    assert {"test_discriminator_loss", "test_d_of_data", "test_d_of_samples"} <= set(record)
    assert "accuracy" not in record


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_nan_is_named_by_its_player(monkeypatch, player):
    def accumulate(self, model, batch, original=Game.accumulate):
        output = original(self, model, batch)
        spoilt = model if player == "generator" else self.opponent.network
        next(iter(spoilt.parameters())).data.fill_(math.nan)  # as an update too long does
        return output

    monkeypatch.setattr(Game, "accumulate", accumulate)
    with pytest.raises(InputError, match=rf"the {player} loss is nan in epoch 1, step 2 of 3"):
        train(small(), DATA, RECIPE)


def test_a_collapse_is_told_with_its_epoch():
    bright = torch.ones(96, 1, 8, 8)
    data = replace(DATA, pixels=bright)
    objective = GAN(learning_rate=0.02)
    recipe = replace(
        RECIPE, objective=objective, epochs=3, optimiser=replace(ADAM, learning_rate=1e-9)
    )
    with pytest.warns(UserWarning, match=r"in epoch [23] the discriminator tells all samples"):
        train(small(), data, recipe)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small(), DATA, RECIPE)  # a game that goes on is no collapse


def test_what_cannot_play_is_refused_in_a_line():
    for call, match in (
        (lambda: train(nn.Linear(2, 2), DATA, RECIPE), "Linear makes no images"),
        (lambda: train(MLPGenerator(size=28), DATA, RECIPE), r"makes images of \(1, 28, 28\)"),
        (lambda: GAN(loss="minmax"), "did you mean 'minimax'"),
        (lambda: GAN(k=0), "k is 0"),
        (lambda: GAN(betas=(0.5, 1.0)), "betas"),
    ):
        with pytest.raises(InputError, match=match) as told:
            call()
        assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize(("name", "recipe"), [("gan-mlp", "gan"), ("gan-dcgan", "dcgan")])
def test_recipes_train_what_they_are_for(name, recipe):
    options = {"maps": 4} if name == "gan-dcgan" else {"widths": (8,)}
    net = build_model(name, classes=10, shape=(1, 8, 8), options=options)
    result = train(net, DATA, replace(load_recipe(recipe), epochs=1, batch_size=48))
    assert math.isfinite(result.metrics[0]["generator_loss"])
