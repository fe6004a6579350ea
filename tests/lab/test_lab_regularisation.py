"""Adversarial training as regularisation: the controls by hand, early stopping, and the measures."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from lab_cases import bench
from small import conv, digits, same
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import FGSM, PGD, UniformNoise
from saddlepoint.data import TensorData
from saddlepoint.defences import (
    Mixed,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    TrainingBatch,
    Validation,
)
from saddlepoint.errors import InputError
from saddlepoint.lab import Bench
from saddlepoint.lab.early_stopping import epoch_by_epoch, search_epochs
from saddlepoint.lab.moved_images import moved_by
from saddlepoint.lab.regularisation import (
    ADVERSARIAL,
    RegularisationSettings,
    run_regularisation,
    variants,
)
from saddlepoint.lab.regularisation_findings import (
    Measures,
    measure,
    spread,
    transfers_between,
)
from saddlepoint.lab.regularisers import (
    HiddenStep,
    NoisyTraining,
    RandomSigns,
    first_layer_l1,
    first_weights,
    halves,
    rotated,
)
from saddlepoint.lab.spread import Spread
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo.maxout import Maxout

CONSTANT = Recipe(
    epochs=3,
    batch_size=32,
    optimiser=Optimiser("adam", 1e-3, weight_decay=0.0),
    schedule=Schedule("constant"),
)


def network(units=5, classes=2, dropout=(0.0, 0.0), seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Maxout(units, 2, dropout, 0.4, classes=classes, **{"size": 3, **options}).double()


def batch(count=4, classes=2, side=3, seed=0):
    x = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return TrainingBatch(x.double(), torch.arange(count) % classes, torch.arange(count), seed=seed)


def gradients(model):
    return {name: each.grad.clone() for name, each in model.named_parameters()}


def test_the_epochs_of_the_search_are_those_of_a_training_with_as_many_images_held_out():
    for objective in (Standard(), Mixed(FGSM(Linf(0.2)))):
        recipe = replace(CONSTANT, objective=objective)
        model = conv(dropout=0.5)
        for _ in epoch_by_epoch(model, digits("train", 150), recipe, share=0.2, seed=7):
            pass
        held_out = replace(recipe, validation=Validation(0.2))
        expected = train(conv(dropout=0.5), digits("train", 150), held_out, seed=7).model
        assert same(model.state_dict(), expected.state_dict())


@pytest.mark.parametrize("by_adversarial", [True, False])
def test_the_search_ends_after_so_many_epochs_without_a_better_one(by_adversarial):
    # At this rate nothing changes, so that the first epoch is the best.
    still = replace(CONSTANT, epochs=9, optimiser=Optimiser("adam", 1e-12, weight_decay=0.0))
    found = search_epochs(
        conv, digits("train", 60), still, FGSM(Linf(0.2)),
        by_adversarial=by_adversarial, patience=3,
    )  # fmt: skip
    assert (found.stopped, found.epochs, len(found.clean), len(found.adversarial)) == (
        True,
        1,
        4,
        4,
    )


def test_the_search_looks_at_the_images_that_it_does_not_train_on():
    data, attack = digits("train", 100), FGSM(Linf(0.2))
    found = search_epochs(conv, data, CONSTANT, attack, by_adversarial=True, share=0.3, seed=5)
    models = epoch_by_epoch(conv(5), data, CONSTANT, share=0.3, seed=5)
    order = torch.randperm(100, generator=_validation_order(5))
    held_out = order[:30].sort().values
    x, y = data.images(held_out), data.labels[held_out]
    for model, clean, adversarial in zip(models, found.clean, found.adversarial, strict=True):
        model.eval()
        with torch.no_grad():
            assert clean == float((model(x).argmax(1) != y).double().mean())
        moved = attack.candidates(model, x, y)
        with torch.no_grad():
            assert adversarial == float((model(moved).argmax(1) != y).double().mean())


def _validation_order(seed):
    from saddlepoint.streams import generator

    return generator(seed, "validation")


def test_random_signs_are_the_whole_budget_and_each_image_s_own():
    x, y = torch.full((40, 1, 5, 5), 0.5), torch.zeros(40).long()
    attack, net = RandomSigns(Linf(0.25)), nn.Flatten()
    moved = attack.candidates(net, x, y, seed=3)
    assert (moved - x).abs().allclose(torch.tensor(0.25))
    assert abs(float((moved > x).float().mean()) - 0.5) < 0.05
    alone = attack.candidates(net, x[:1], y[:1], seed=3, ids=torch.tensor([7]))
    assert torch.equal(alone[0], moved[7])
    assert not torch.equal(attack.candidates(net, x, y, seed=4), moved)
    assert (attack.candidates(net, torch.zeros_like(x), y) >= 0).all()


@pytest.mark.parametrize("noise", [RandomSigns(Linf(0.25)), UniformNoise(Linf(0.25), draws=1)])
def test_noisy_training_is_the_mean_of_the_losses_at_clean_and_noisy_images(noise):
    model, given = network(), batch()
    output = NoisyTraining(noise).accumulate(model, given)
    found = gradients(model)
    model.zero_grad()
    moved = noise.candidates(model, given.images, given.labels, seed=given.seed, ids=given.ids)
    assert float((moved - given.images).abs().max()) <= 0.25 + 1e-6
    losses = [functional.cross_entropy(model(x), given.labels) for x in (given.images, moved)]
    expected = (losses[0] + losses[1]) / 2
    expected.backward()
    torch.testing.assert_close(output.loss, expected.detach(), rtol=1e-12, atol=0)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-10, atol=1e-14)


def test_a_step_in_the_last_hidden_layer_is_the_worst_corner():
    model, given = network(), batch()
    output = HiddenStep(2, "added", 0.3).accumulate(model, given)
    below, above = halves(model, 2)
    signs = torch.cartesian_prod(*[torch.tensor([-0.3, 0.3], dtype=torch.float64)] * 5)
    with torch.no_grad():
        hidden = below(given.images)
        clean = functional.cross_entropy(above(hidden), given.labels)
        worst = [
            functional.cross_entropy(above(h + signs), label.expand(32), reduction="none").max()
            for h, label in zip(hidden, given.labels, strict=True)
        ]
    expected = (clean + torch.stack(worst).mean()) / 2
    assert float(output.loss) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("kind", ["added", "rotated"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_hidden_step_by_hand(layer, kind):
    model, given, size = network(classes=3), batch(classes=3), 0.2
    HiddenStep(layer, kind, size).accumulate(model, given)
    found = gradients(model)
    model.zero_grad()
    below, above = halves(model, layer)
    hidden = below(given.images)
    losses = functional.cross_entropy(above(hidden), given.labels, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), hidden, retain_graph=True)
    if kind == "added":
        moved = hidden + size * gradient.sign()
    else:
        own = hidden.detach() / hidden.detach().norm(dim=1, keepdim=True)
        across = gradient - (gradient * own).sum(1, keepdim=True) * own
        across = across / across.norm(dim=1, keepdim=True)
        moved = math.cos(size) * hidden + math.sin(size) * hidden.norm(dim=1, keepdim=True) * across
    perturbed = functional.cross_entropy(above(moved), given.labels)
    assert perturbed > losses.mean()
    ((losses.mean() + perturbed) / 2).backward()
    for name, expected in gradients(model).items():
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-13)


def test_the_inner_step_sees_no_dropout_and_the_descent_does():
    seen = []
    model = network(units=50, dropout=(0.2, 0.5)).train()
    model.layers.dropout2.register_forward_hook(
        lambda module, given, out: seen.append((module.training, torch.equal(given[0], out)))
    )
    HiddenStep(1, "added", 0.2).accumulate(model, batch())
    assert seen == [(False, True), (True, False), (True, False)]
    assert model.layers.dropout2.training


def test_a_rotation_keeps_the_length_and_turns_by_the_angle():
    hidden, gradient = torch.randn(2, 6, 4, dtype=torch.float64).unbind()
    turned = rotated(hidden, gradient, 0.7)
    torch.testing.assert_close(turned.norm(dim=1), hidden.norm(dim=1))
    cosine = functional.cosine_similarity(turned, hidden)
    torch.testing.assert_close(cosine, torch.full_like(cosine, math.cos(0.7)))
    assert ((turned - hidden) * gradient).sum(1).gt(0).any()
    along = torch.tensor([[2.0, 0.0]])
    assert torch.equal(rotated(along, 3 * along, 0.7), along)


def test_the_penalty_s_gradient_is_the_sign_of_the_first_layer_alone():
    model = network()
    penalty = first_layer_l1(model)
    penalty.backward()
    weight = first_weights(model)
    assert float(penalty.detach()) == pytest.approx(float(weight.detach().abs().sum()))
    assert torch.equal(weight.grad, weight.detach().sign())
    assert [each.grad for each in model.layers.maxout2.parameters()] == [None, None]


def test_the_spread_of_a_filter_is_the_number_of_equal_weights():
    filters = torch.zeros(2, 10)
    filters[0, :4] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert spread(filters) == 4
    filters[1, :8] = 0.5  # a quarter of the energy per weight, twice as many: half as much in all
    assert spread(filters) == pytest.approx((4 * 4 + 2 * 8) / 6)


def linear_maxout():
    """A maxout network that is one linear score: with a single piece, and the identity inside."""
    model = Maxout(1, 1, (0.0, 0.0), classes=2, size=(1, 2))
    values = {
        "layers.maxout1.linear.weight": torch.tensor([[3.0, -4.0]]),
        "layers.maxout2.linear.weight": torch.ones(1, 1),
        "layers.logits.weight": torch.tensor([[1.0], [0.0]]),
    }
    for name, each in model.named_parameters():
        each.data = values.get(name, torch.zeros_like(each))
    return model.eval()


def points():
    """Images whose score 3x − 4y is 0.4, 1, 2.2 and −0.6, all of class 0, away from the bounds."""
    x = torch.tensor([[0.5, 0.275], [0.6, 0.2], [0.9, 0.125], [0.4, 0.45]]).reshape(4, 1, 1, 2)
    return TensorData.of(x, torch.zeros(4).long(), name="points", classes=("0", "1"))


def test_the_measures_of_a_linear_network_are_the_closed_form():
    # FGSM lowers the score by 7 eps: 0.05 takes 0.35, 0.1 takes 0.7, and −0.6 is wrong before.
    data = points()
    for eps, error in ((0.05, 0.25), (0.1, 0.5)):
        found = measure(linear_maxout(), Bench(data, lambda: data), eps, steps=5)
        assert (found.clean, found.fgsm, found.pgd) == (0.25, error, error)
        assert (found.train_clean, found.train_fgsm) == (0.25, error)
        assert 0.25 <= found.signs <= error
        lost = [score - 7 * eps for score in (0.4, -0.6) if score - 7 * eps < 0]
        sure = sum(1 / (1 + math.exp(each)) for each in lost) / len(lost)
        assert found.confidence == pytest.approx(sure, rel=1e-5)
        assert found.hidden == pytest.approx((0.4 + 1 + 2.2 + 0.6) / 4, rel=1e-5)
        assert found.pixels == pytest.approx(25**2 / (3**4 + 4**4))


def test_images_of_a_network_are_shown_to_that_of_the_next_seed():
    def opposite():
        model = linear_maxout()
        with torch.no_grad():
            model.layers.logits.weight.neg_()
        return model

    data = points()
    one = Bench(data, lambda: data)
    networks = {"a": [linear_maxout(), opposite()], "b": [linear_maxout(), linear_maxout()]}
    found = {(t.source, t.target, t.number): t for t in transfers_between(networks, 9, one, 0.1)}
    assert {t.units for t in found.values()} == {9}
    assert len(found) == 8
    # a's first meets a's second, which has the opposite opinion of everything.
    assert found["a", "a", 0].error == 0.5
    assert math.isnan(found["a", "a", 0].agreement)
    assert (found["b", "b", 0].error, found["b", "b", 0].agreement) == (0.5, 1.0)
    assert found["b", "a", 1].error == 0.5
    assert found["a", "b", 1].error == pytest.approx(0.0)  # pushed up by the one that looks down


def test_last_iterates_are_those_of_the_whole_call():
    model, given = network(), batch(40)
    attack = PGD(Linf(0.1), steps=2)
    found = moved_by(attack, model, given.images, given.labels, 3)
    assert torch.equal(found, attack.candidates(model, given.images, given.labels, seed=3))


TINY = RegularisationSettings(units=(6, 4), seeds=2, longer=1, patience=1, steps=2)


@pytest.fixture(scope="module")
def found():
    return run_regularisation(bench(30, epochs=2), TINY)


def test_every_variant_is_trained_for_the_epochs_found_with_every_seed(found):
    assert TINY.units == (4, 6)
    names = [(each.name, each.units) for each in variants(TINY)]
    assert list(found.searches) == names
    assert [(t.variant, t.units, t.number) for t in found.trials] == [
        (*place, number) for place in names for number in range(2)
    ]
    for trial in found.trials:
        assert trial.epochs == found.searches[trial.variant, trial.units].epochs
    for (name, _), search in found.searches.items():
        assert search.by_adversarial == (name == ADVERSARIAL)
    assert {name: tuple(each.shape) for name, each in found.filters.items()} == {
        "dropout": (12, 64),
        "adversarial": (12, 64),
    }
    assert [pair[:3] for pair in found.by_pair()] == [
        (units, source, target)
        for units in (4, 6)
        for source in ("dropout", "adversarial")
        for target in ("dropout", "adversarial")
    ]


def test_the_summary_is_of_the_runs(found):
    tables = found.tables()
    runs = tables["runs"].rows
    for row in tables["spreads"].rows:
        own = [each for each in runs if each[:2] == row[:2]]
        assert len(own) == 2
        for i in range(len(fields(Measures))):
            mean, deviation = Spread.of([each[4 + i] for each in own])
            assert row[3 + 2 * i] == pytest.approx(mean, nan_ok=True)
            assert row[4 + 2 * i] == pytest.approx(deviation, nan_ok=True)
    for short, whole in zip(tables["summary"].rows, tables["spreads"].rows, strict=True):
        assert short == pytest.approx((*whole[:3], *whole[3:13:2]), nan_ok=True)
    assert len(tables["search"].rows) == sum(len(each.clean) for each in found.searches.values())


def test_the_same_seed_finds_the_same_at_one_width_alone_and_every_seed_another(found):
    again = run_regularisation(bench(30, epochs=2), replace(TINY, units=(4,)))
    narrow = [each for each in found.trials if each.units == 4]
    assert [_told(each) for each in again.trials] == [_told(each) for each in narrow]
    for one, other in zip(narrow[::2], narrow[1::2], strict=True):
        assert one.measures.hidden != other.measures.hidden


def _told(trial):
    return repr(trial)  # NaN is not equal to itself


@pytest.mark.parametrize(
    "settings",
    [
        lambda: RegularisationSettings(seeds=1),
        lambda: RegularisationSettings(units=(0,)),
        lambda: RegularisationSettings(units=()),
        lambda: RegularisationSettings(validation=1.0),
        lambda: RegularisationSettings(l1=(0.0,)),
        lambda: HiddenStep(3, "added", 0.1),
        lambda: HiddenStep(1, "rotated", 0.0),
        lambda: NoisyTraining(FGSM(Linf(0.1))),
        lambda: RandomSigns(Linf(0.1), stop="now"),
    ],
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(InputError, match=r"give|it is"):
        settings()
