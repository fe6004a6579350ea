"""Remedies see what the attack that they replace does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import APGD, PGD, Transfer
from saddlepoint.evaluation.remedies import Logarithm, remedies
from saddlepoint.evaluation.verdict.away_first import AwayFirst
from saddlepoint.model import connected
from saddlepoint.threat import Linf

LABELS = torch.zeros(8, dtype=torch.int64)


class Ridge(nn.Module):
    """A margin whose gradient leads away from the boundary: it rises with the mean of the pixels up to a
    ridge, beyond which the model is soon fooled, and falls the other way without ever fooling.
    """

    def forward(self, x):
        moved = x.flatten(1).mean(1) - 0.5
        margin = torch.where(moved < 0.12, 0.3 + moved, 0.42 - 8 * (moved - 0.12))
        return torch.stack([margin, 0 * margin], 1)


def test_away_first_crosses_a_ridge_that_the_margin_leads_away_from():
    images = 0.49 + 0.02 * torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    threat = Linf(0.2)
    below = APGD(threat, loss="margin")(Ridge(), images, LABELS)
    over = AwayFirst(threat)(Ridge(), images, LABELS)
    assert int(below.success.sum()) == 0
    assert bool(over.success.all())


@pytest.mark.filterwarnings(
    "ignore:the model's outputs are all in", "ignore:the gradient was exactly 0"
)
def test_the_logarithm_finds_what_the_softmax_took_away():
    torch.manual_seed(0)
    logits = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    logits[1].weight.data *= 250
    logits[1].bias.data.zero_()
    probabilities = nn.Sequential(*logits, nn.Softmax(1))
    images = torch.rand(80, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = logits(images).argmax(1)
    sure = probabilities(images).amax(1) == 1
    images, labels = images[sure], labels[sure]
    attack = PGD(Linf(0.1), loss="margin", start="clean", steps=30)
    without = attack(logits, images, labels).success
    own = attack(probabilities, images, labels).success
    found = Transfer(attack, Logarithm(probabilities))(probabilities, images, labels).success
    assert torch.equal(found, without)
    assert int(own.sum()) <= int(found.sum()) - 3


def test_the_logarithm_of_zero_is_finite():
    outputs = torch.tensor([[1.0, 0.0, 0.5]])
    assert torch.equal(Logarithm(nn.Identity())(outputs)[:, [0, 2]], outputs[:, [0, 2]].log())
    assert bool(Logarithm(nn.Identity())(outputs).isfinite().all())


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_ways_round_a_mask_are_not_credited_with_a_search_for_scores():
    class Detached(nn.Module):
        """Which half is lighter: no random start tells."""

        def forward(self, x):
            return 3 * x.detach().unflatten(2, (2, -1)).mean((1, 3, 4))

    images = torch.full((4, 1, 8, 8), 0.4)
    images[:, :, :4] = 0.6
    tried = {each.name: each for each in remedies(["zero-gradient"], Linf(0.15), Detached(), ())}
    labels = torch.zeros(4, dtype=torch.int64)
    with connected(model := Detached()):
        through = tried["straight through roundings"].attack(model, images, labels)
        searched = tried["search without gradients"].attack(model, images, labels)
    assert not bool(through.success.any())
    assert bool(searched.success.all())
