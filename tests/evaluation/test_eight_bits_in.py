"""A model sees floats in [0, 1], whichever way 8-bit images come to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import DDN, PGD, Transfer, attack_targets, foreign
from saddlepoint.data import as_data, batches
from saddlepoint.defences import Recipe, calibrate, quantise
from saddlepoint.evaluation import (
    AutoAttack,
    TorchattacksStyle,
    check_outputs,
    evaluate,
    export_png,
    rejudge,
    run_attack,
)
from saddlepoint.model import Guard
from saddlepoint.threat import L2, Linf
from saddlepoint.training import train

DIGITS = digits(limit=24)
X = (DIGITS.pixels * 255).round().to(torch.uint8)
Y = DIGITS.labels
FLOATS = X.float() / 255
PGD5 = PGD(Linf(0.1), steps=5)


class Recorder(nn.Module):
    """Notes the type and the range of whatever it is shown."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = trained(), []

    def forward(self, x):
        least, most = x.detach().aminmax()
        self.seen.append((x.dtype, float(least), float(most)))
        return self.net(x)


class Loaded:
    """A data set of a user's own, which hands out what it holds."""

    def __init__(self):
        self.data = as_data((X, Y))

    def __getattr__(self, name):
        return getattr(self.data, name)

    def __len__(self):
        return len(Y)

    def images(self, indices):
        return X[indices]


def png(net, folder):
    result = PGD5(net, FLOATS, Y)
    return export_png(net, X, Y, result, Linf(0.1), folder).before


def guarded(net, folder):
    with Guard(net, len(X)) as guard:
        return guard.logits(X)


def eight_bits(model, x, y):
    return (x * 255).to(torch.uint8)


WAYS = {
    "an attack": lambda net, folder: PGD5(net, X, Y).adversarials,
    "arrays": lambda net, folder: PGD5(net, X.numpy(), Y.numpy()).adversarials,
    "starts": lambda net, folder: PGD5(net, X, Y, starts=X.clamp(10, 200)).adversarials,
    "a minimum-norm attack": lambda net, folder: DDN(L2(), steps=5)(net, X, Y).adversarials,
    "training's attack": lambda net, folder: PGD5.candidates(net, X, Y),
    "a foreign attack": lambda net, folder: foreign(lambda m, x, y: x, Linf(0.1))(net, X, Y),
    "its 8-bit results": lambda net, folder: foreign(eight_bits, Linf(0.1))(net, X, Y),
    "targets": lambda net, folder: attack_targets(PGD5, net, X, Y, "average").targets,
    "a surrogate": lambda net, folder: Transfer(PGD5, net)(net, X, Y).adversarials,
    "an evaluation": lambda net, folder: evaluate(net, (X, Y), "Linf", eps=0.1, suite="quick", diagnosis=None),  # noqa: E501
    "data of one's own": lambda net, folder: evaluate(net, Loaded(), "Linf", eps=0.1, suite="quick", diagnosis=None),  # noqa: E501
    "an attack on data": lambda net, folder: run_attack(net, Loaded(), PGD5).result.adversarials,
    "its pictures": lambda net, folder: run_attack(net, (X, Y), PGD5, png=True, out=folder).clean,
    "a look at the outputs": lambda net, folder: check_outputs(net, Loaded()),
    "an audit": lambda net, folder: rejudge(net, X, Y, X.clamp_min(9), Linf(0.1)).distance,
    "an export": png,
    "the guard": guarded,
    "batches": lambda net, folder: net(next(batches(Loaded(), Y, 24, device="cpu"))[1]),
    "a training": lambda net, folder: train(net, Loaded(), Recipe(epochs=1), test=Loaded()).metrics,
    "activations": lambda net, folder: calibrate(quantise(net), X),
    "AutoAttack": lambda net, folder: AutoAttack(net, eps=0.1, version="quick")
    .run_standard_evaluation(X, Y),
    "torchattacks": lambda net, folder: TorchattacksStyle(PGD5, net)(X, Y),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_model_sees_floats_in_the_unit_range(way, tmp_path):
    net = Recorder()
    WAYS[way](net, tmp_path)
    assert net.seen
    for dtype, least, most in net.seen:
        assert dtype == torch.float32
        assert least >= 0
        assert 0.5 < most <= 1


def test_the_results_are_those_of_the_floats():
    net = trained()
    for attack in (PGD5, replace(PGD5, threat=L2(1.0))):
        assert torch.equal(attack(net, X, Y).adversarials, attack(net, FLOATS, Y).adversarials)
    moved = PGD5.candidates(net, X, Y)
    assert torch.equal(moved, PGD5.candidates(net, FLOATS, Y))
