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
