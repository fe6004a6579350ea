"""What adversarial training asks of an attack: candidates, unjudged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import DDN, PGD
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf

MODEL = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
IMAGES, LABELS = torch.full((2, 4), 0.5), torch.tensor([0, 1])
with torch.no_grad():  # the first image is right, by little
    MODEL[1].weight.copy_(torch.tensor([[1.0, -1, 1, -1], [-1, 1, -1, 1], [0, 0, 1, 1]]))
    MODEL[1].bias.copy_(torch.tensor([1.2, 1.0, 0.0]))


@pytest.mark.parametrize("attack", [PGD(Linf(0.1)), DDN(L2(), steps=3)])
def test_candidates_are_made_in_inference_mode_too(attack):
    with torch.inference_mode():
        inside = attack.candidates(MODEL, IMAGES, LABELS)
    assert torch.equal(inside, attack.candidates(MODEL, IMAGES, LABELS))


def test_every_sample_may_have_a_budget_of_its_own():
    eps = torch.tensor([0.1, 0.0])
    made = PGD(Linf(eps)).candidates(MODEL, IMAGES, LABELS)
    far = (made - IMAGES).abs().amax(1)
    assert float(far[0]) > 0.09
    assert float(far[1]) == 0


def test_an_attack_that_keeps_the_nearest_has_no_last():
    with pytest.raises(InputError, match="DDN keeps the nearest"):
        DDN(L2(), keep="last")


@pytest.mark.parametrize("attack", [PGD(Linf(0.1)), PGD(L2(0.1)), DDN(L2(), steps=9)])
def test_a_mask_holds_what_it_holds(attack):
    mask = torch.tensor([True, True, False, False])
    made = attack.candidates(MODEL, IMAGES, LABELS, mask=mask)
    assert torch.equal(made[:, 2:], IMAGES[:, 2:])
    assert not torch.equal(made, IMAGES)


def test_a_budget_of_the_call_is_that_of_the_threat_model():
    here = PGD(L2(0.3)).candidates(MODEL, IMAGES, LABELS)
    assert torch.equal(PGD(L2()).candidates(MODEL, IMAGES, LABELS, eps=0.3), here)


def test_a_start_under_a_mask_does_not_depend_on_what_is_held():
    """One step of no length from a random start: its radius is that of the free features."""
    few, many = torch.full((200, 4), 0.5), torch.full((200, 400), 0.5)
    labels = torch.zeros(200, dtype=torch.int64)
    mask = torch.zeros(400, dtype=torch.bool)
    mask[:4] = True
    start = PGD(L2(0.1), steps=1, step_size=1e-9)
    wide = nn.Linear(400, 3)
    far = (start.candidates(wide, many, labels, mask=mask) - many).norm(dim=1)
    near = (start.candidates(MODEL[1], few, labels) - few).norm(dim=1)
    assert abs(float(far.mean() - near.mean())) < 0.005
