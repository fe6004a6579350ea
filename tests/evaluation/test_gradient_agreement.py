"""Whether the draws of a gradient are enough: the cosine of two of them, against a closed form."""

from __future__ import annotations

import pytest
import torch
from networks import Affine
from torch import nn

from saddlepoint.evaluation import GradientAgreement, gradient_agreement
from saddlepoint.model import RandomLayer

SIZE = 2000


class Shaken(RandomLayer):
    """Two logits whose gradients are a weight of length 1 and noise of length sigma."""

    def __init__(self, sigma):
        super().__init__()
        self.weight = nn.Parameter(torch.full((SIZE,), SIZE**-0.5))
        self.scale = sigma * SIZE**-0.5

    def forward(self, x):
        slope = self.weight + self.scale * self.noise(x)
        return torch.stack([(slope * x).sum(1), torch.zeros(len(x))], dim=1)


@pytest.mark.parametrize(("sigma", "samples"), [(3.0, 4), (3.0, 36), (0.1, 1)])
def test_the_cosine_is_that_of_signal_and_noise(sigma, samples):
    x, y = torch.rand(60, SIZE), torch.zeros(60, dtype=torch.int64)
    found = gradient_agreement(Shaken(sigma), x, y, samples, loss="margin")
    expected = 1 / (1 + sigma**2 / samples)
    assert found.cosine == pytest.approx(expected, abs=5 * found.deviation)
    assert found.deviation < 0.01
    assert found.enough == (samples > sigma**2)
    assert found.needed == pytest.approx(sigma**2 + 1, abs=1)  # 9 draws give one half at most


def test_a_model_that_is_not_random_needs_one_draw_and_flat_places_are_told():
    net = nn.Sequential(nn.ReLU(), Affine(torch.tensor([1.0, 2.0])))
    x, y = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, dtype=torch.int64)
    found = gradient_agreement(net, x, y, 3)
    assert (found.cosine, found.needed, found.images, found.without) == (pytest.approx(1), 1, 1, 1)
    assert "the gradient of 1 more images was 0" in str(found)


def test_the_number_of_draws_from_a_cosine():
    def needed(cosine, samples):
        return GradientAgreement(samples, cosine, 0.0, 1, 0).needed

    assert [needed(0.5, 10), needed(0.25, 10), needed(0.9, 10)] == [11, 31, 2]
    assert needed(-0.1, 10) is None
    assert "more than can be told" in str(GradientAgreement(10, -0.1, 0.0, 1, 0))
