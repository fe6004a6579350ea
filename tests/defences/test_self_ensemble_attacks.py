"""Random self-ensemble under attack: gradients through the average, and the expectation."""

from __future__ import annotations

import torch
from small import conv, digits

from saddlepoint.attacks import PGD
from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network():
    return build_model("simple-cnn", classes=10, shape=(1, 8, 8)).double().eval()


def test_the_gradient_is_that_of_the_average():
    model = random_self_ensemble(network(), 0.3, 0.2, samples=3)
    x, keys = IMAGES[:2], Keys(0, torch.arange(2))

    def logits(x, gradient=False):
        with Guard(model, 2) as guard:  # a new guard: the same noise
            objective = lambda z: z[:, 3]  # noqa: E731
            if gradient:
                return guard.gradient(x, objective, None, keys)[1]
            return objective(guard.logits(x, None, keys))

    gradient = logits(x, gradient=True)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    slope = (logits(x + 1e-6 * direction) - logits(x - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum((1, 2, 3)), slope, rtol=1e-4, atol=1e-6)


def test_results_do_not_depend_on_the_batch():
    model = random_self_ensemble(network(), samples=3)
    attack = PGD(Linf(0.1), steps=3)
    images, labels = IMAGES, torch.arange(6)
    whole = attack(model, images, labels)
    for rows in torch.arange(6).split(4):
        part = attack(model, images[rows], labels[rows], ids=rows)
        assert torch.equal(part.predictions, whole.predictions[rows])
        torch.testing.assert_close(part.adversarials, whole.adversarials[rows], rtol=0, atol=1e-9)


def test_the_evaluation_attacks_the_expectation_by_default_and_can_be_told_not_to():
    data = digits("test", 8)

    def notes(samples, eot=None):
        model = random_self_ensemble(conv().eval(), 0.2, 0.1, samples)
        suite = {"pgd": PGD(Linf(0.1), steps=1)}
        record = evaluate(model, data, Linf(0.1), suite=suite, eot_samples=eot, diagnosis=None)
        return record.notes[0], record.config["attacks"]["pgd"]["eot_samples"]

    text, eot = notes(5)
    assert "declares itself random; its expectation over 10 passes" in text
    assert eot == 2
    assert notes(1)[1] == 10
    assert notes(20)[1] == 1
    assert "20 passes" in notes(20)[0]
    assert "without averaging" in notes(1, eot=1)[0]
    assert "5 passes" in notes(5, eot=1)[0]


def test_an_attack_on_the_expectation_is_stronger_than_one_on_a_single_draw():
    net = random_self_ensemble(conv(), 0.5, 0.3)
    recipe = Recipe(epochs=6, batch_size=64, optimiser=Optimiser(learning_rate=0.1))
    net = train(net, digits(), recipe).model.net
    data = digits("test")
    labels, ids = data.labels, torch.arange(len(data))
    images = data.images(ids)
    judge = random_self_ensemble(net, 0.5, 0.3, samples=5)

    def accuracy(samples):
        attacked = random_self_ensemble(net, 0.5, 0.3, samples=samples)
        attack = PGD(Linf(0.15), steps=10)
        adversarials = attack.candidates(attacked, images, labels)
        with Guard(judge, len(ids), samples=8) as guard:  # fresh noise, 8 × 5 passes
            keys = Keys(99, ids, stream=7)
            return float(
                (guard.logits(adversarials, None, keys).argmax(1) == labels).float().mean()
            )

    assert accuracy(20) < accuracy(1) - 0.04
