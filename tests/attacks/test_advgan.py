"""AdvGAN: the perturbers, their game against a target, their file, and the attack that reads it."""

import warnings

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import AdvGAN
from saddlepoint.configuration import configuration
from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.errors import InputError
from saddlepoint.objectives import AdvGANGame, TrainingBatch, running
from saddlepoint.objectives.advgan import AdvGANRun
from saddlepoint.threat import L2, Linf
from saddlepoint.training import train
from saddlepoint.zoo import (
    ConstantPerturber,
    Perturber,
    read_perturber,
    save_weights,
    weights_fingerprint,
)

EPS = 0.15


def against(target, net, out, epochs=3, **options):
    game = AdvGANGame(threat=Linf(EPS), **options).against(target)
    recipe = Recipe(
        game, epochs=epochs, batch_size=64, optimiser=Optimiser("adam", 3e-3, weight_decay=0.0)
    )
    return train(net, digits(), recipe, out=out, test=digits("test", 100))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A target, and the folder of a perturber that was trained against it."""
    torch.manual_seed(0)
    target, out = trained(), tmp_path_factory.mktemp("advgan") / "run"
    result = against(target, Perturber(1, 8, width=8), out, epochs=8)
    return target, out, result


def test_it_fools_what_noise_of_the_same_size_does_not(played):
    target, out, result = played
    data = digits("test", 200)
    x, y = data.images(torch.arange(200)), data.labels
    found = AdvGAN(Linf(EPS), file=str(out))(target, x, y)
    right = ~found.initially_wrong
    assert float(found.success[right].float().mean()) > 0.25
    noise = x + EPS * (2 * torch.rand(x.shape) - 1).sign()
    with torch.no_grad():
        control = (target(noise.clamp(0, 1)).argmax(1) != y)[right].float().mean()
    assert float(found.success[right].float().mean()) > 3 * float(control)
    assert int(found.backwards.sum()) == 0
    assert int(found.forwards.max()) == 3  # the clean pass, the one offer, the judge
    assert result.metrics[-1]["test_fooled"] > result.metrics[0]["test_fooled"] > 0


def test_images_are_what_the_formula_says_within_eps_to_the_bit(played):
    target, out, _ = played
    data = digits("test", 30)
    x, y = data.images(torch.arange(30)), data.labels
    found = AdvGAN(Linf(EPS), file=str(out))(target, x, y)
    with torch.no_grad():
        expected = (x + EPS * read_perturber(out).perturber(x)).clamp(0, 1)
    moved = ~found.initially_wrong
    torch.testing.assert_close(found.adversarials[moved], expected[moved], rtol=0, atol=1e-6)
    assert bool((found.adversarials.double() - x.double()).abs().max() <= EPS)
    # At another budget G moves in proportion.
    half = AdvGAN(Linf(EPS / 2), file=str(out))(target, x, y)
    with torch.no_grad():
        expected = (x + EPS / 2 * read_perturber(out).perturber(x)).clamp(0, 1)
    moved = ~half.initially_wrong
    assert bool(moved.any())
    torch.testing.assert_close(half.adversarials[moved], expected[moved], rtol=0, atol=1e-6)
    wide = Perturber(1, 8, width=4)
    nn.init.constant_(wide.last.bias, 1e4)
    assert float(wide(x).detach().abs().max()) == 1.0
    # Each alone, in another order: the same.
    alone = AdvGAN(Linf(EPS), file=str(out))(target, x[7:8], y[7:8], ids=torch.tensor([7]))
    torch.testing.assert_close(alone.adversarials[0], found.adversarials[7], rtol=0, atol=1e-6)


def test_the_file_says_what_it_was_trained_for_and_what_that_cost(played):
    target, out, _ = played
    state = torch.get_rng_state()
    held = read_perturber(out / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert held.trained.target == weights_fingerprint(target)
    assert (held.trained.norm, held.trained.eps) == ("linf", EPS)
    assert held.trained.target_passes == 2 * 8 * len(digits())
    told = configuration(AdvGAN(Linf(EPS), file=str(out)))
    assert told["fingerprint"] == held.fingerprint != ""
    assert told["training_passes"] == held.trained.target_passes


def test_a_file_of_another_model_is_warned_of_and_transfers(played):
    target, out, _ = played
    data = digits("test", 50)
    x, y = data.images(torch.arange(50)), data.labels
    attack = AdvGAN(Linf(EPS), file=str(out))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack(target, x, y)
    other = nn.Sequential(target, nn.Linear(10, 10, bias=False))
    nn.init.eye_(other[1].weight)
    with pytest.warns(UserWarning, match=f"another model .{weights_fingerprint(target)}.*transfer"):
        found = attack(other, x, y)
    assert int(found.success.sum()) == int(attack(target, x, y).success.sum())


def test_a_constant_perturber_is_a_universal_perturbation_and_optimal_for_a_linear_target(tmp_path):
    torch.manual_seed(1)
    weight = torch.randn(64)
    target = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    target[1].weight.data = torch.stack([weight, -weight])
    x = 0.5 + 0.1 * torch.rand(32, 1, 8, 8)
    y = torch.zeros(32).long()
    # With no game and no hinge the best δ is −eps·sign(w), whatever the image.
    game = AdvGANGame(threat=Linf(0.1), alpha=0.0, beta=0.0, confidence=1e6).against(target)
    net = ConstantPerturber(1, 8)
    run, step = running(game, net, digits()), torch.optim.Adam(net.parameters(), 0.003)
    for _ in range(150):
        step.zero_grad()
        run.accumulate(net, TrainingBatch(x, y, torch.arange(32), seed=0))
        step.step()
    made = net(x)
    assert torch.equal(made, made[:1].expand_as(made))
    torch.testing.assert_close(made[0].flatten(), -weight.sign(), atol=0.05, rtol=0)


def test_the_game_leaves_its_target_and_discriminator_alone_where_g_descends():
    target, net = trained(), ConstantPerturber(1, 8)
    run = running(AdvGANGame(threat=Linf(EPS)).against(target), net, digits())
    before = weights_fingerprint(target)
    x = digits().images(torch.arange(8))
    run.accumulate(net, TrainingBatch(x, digits().labels[:8], torch.arange(8), seed=0))
    assert weights_fingerprint(target) == before
    assert all(each.grad is None for each in target.parameters())
    assert all(each.requires_grad for each in target.parameters())
    # D has taken its own step, and what its gradients hold is that step's, of both terms alone.
    state = run.state_dict()
    other = running(AdvGANGame(threat=Linf(EPS)).against(target), net, digits())
    other.load_state_dict(state)
    assert {k: v.sum() for k, v in other.state_dict().items()} == {
        k: v.sum() for k, v in state.items()
    }
    outputs = [
        each.accumulate(net, TrainingBatch(x, digits().labels[:8], torch.arange(8), seed=0))
        for each in (run, other)
    ]
    assert torch.equal(outputs[0].loss, outputs[1].loss)


@pytest.mark.parametrize("player", ["perturber", "discriminator"])
def test_nan_is_named_by_its_player(monkeypatch, player):
    def accumulate(self, model, batch, original=AdvGANRun.accumulate):
        output = original(self, model, batch)
        spoilt = model if player == "perturber" else self.opponent.network
        next(iter(spoilt.parameters())).data.fill_(float("nan"))  # as an update too long does
        return output

    monkeypatch.setattr(AdvGANRun, "accumulate", accumulate)
    with pytest.raises(InputError, match=f"the {player} loss is nan in epoch 1, step 2"):
        against(trained(), Perturber(1, 8, width=4), None, epochs=1)


def test_discriminator_ascends_what_the_perturber_descends():
    """One step of either against the formulas by hand, in float64."""
    net = ConstantPerturber(1, 8)
    run = running(AdvGANGame(threat=Linf(EPS), beta=0.0).against(trained()), net, digits())
    x, y = digits().images(torch.arange(8)), digits().labels[:8]
    d = run.opponent.network
    with torch.no_grad():
        moved = (x + EPS * net(x)).clamp(0, 1)
        value = (d(x).sigmoid().log() + (1 - d(moved).sigmoid()).log()).double().mean()
    output = run.accumulate(net, TrainingBatch(x, y, torch.arange(8), seed=0))
    total, count = output.sums["discriminator_loss"]
    torch.testing.assert_close(total.double() / count, -value)
    with torch.no_grad():  # after D's step, which is taken first
        after = (d(x).sigmoid().log() + (1 - d(moved).sigmoid()).log()).double().mean()
        game = (1 - d(moved).sigmoid()).log().sum()
    assert after > value
    torch.testing.assert_close(output.sums["game_loss"][0], game)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda out: AdvGANGame(threat=L2(0.5)), "advgan trains for Linf"),
        (lambda out: AdvGAN(Linf(0.1), file=str(out / "none")), "no file"),
        (lambda out: AdvGAN(L2(0.1)), "no L2 form"),
        (lambda out: Perturber(1, 7), "8×8 at least"),
        (
            lambda out: AdvGAN(
                Linf(0.1), file=str(save_weights(nn.Linear(2, 2), out / "a.safetensors"))
            ),
            "says no perturber in it",
        ),
        (
            lambda out: AdvGAN(Linf(0.1))(
                trained(), torch.rand(1, 1, 8, 8), torch.zeros(1).long()
            ),
            "advgan needs a perturber",
        ),
        (
            lambda out: train(ConstantPerturber(1, 8), digits(), Recipe(AdvGANGame(threat=Linf(0.1)))),
            "give --target",
        ),
        (lambda out: against(trained(), trained(), None), "makes no perturbations"),
        (lambda out: against(trained(), ConstantPerturber(1, 9), None), "is for images of"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(make, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make(tmp_path)


def test_images_of_another_shape_are_refused(played):
    _, out, _ = played
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(81, 2)), torch.rand(1, 1, 9, 9)
    with pytest.raises(InputError, match=r"is for images of \(1, 8, 8\)"):
        AdvGAN(Linf(0.1), file=str(out))(net, x, net(x).argmax(1))


def test_a_resumed_game_is_bit_identical(played, tmp_path, monkeypatch):
    torch.manual_seed(0)
    target, _, _ = played
    steps = 0

    def accumulate(self, model, batch, original=AdvGANRun.accumulate):
        nonlocal steps
        steps += 1
        if steps == 40:  # in the second epoch
            raise KeyboardInterrupt
        return original(self, model, batch)

    torch.manual_seed(0)
    first = Perturber(1, 8, width=8)
    state = {k: v.clone() for k, v in first.state_dict().items()}
    whole = against(target, first, None, epochs=2)
    again = Perturber(1, 8, width=8)
    again.load_state_dict(state)
    with monkeypatch.context() as context:
        context.setattr(AdvGANRun, "accumulate", accumulate)
        with pytest.raises(KeyboardInterrupt):
            against(target, again, tmp_path / "cut", epochs=2)
    last = Perturber(1, 8, width=8)
    last.load_state_dict(state)
    game = AdvGANGame(threat=Linf(EPS)).against(target)
    recipe = Recipe(
        game, epochs=2, batch_size=64, optimiser=Optimiser("adam", 3e-3, weight_decay=0.0)
    )
    resumed = train(
        last, digits(), recipe, out=tmp_path / "cut", test=digits("test", 100), resume=True
    )
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
