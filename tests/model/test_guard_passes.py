"""Passes are counted on the sample that they are spent on, and gradients come from the images."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, Noise, conv_case, mlp
from torch import nn

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, UniformNoise
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf


class Meter(nn.Module):
    """Counts the images that really go through, and the cotangents that really come back."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.forwards, self.backwards = net, 0, 0

    def forward(self, x):
        self.forwards += len(x)
        out = self.net(x)
        if out.requires_grad:
            out.register_hook(self._count)
        return out

    def _count(self, gradient):
        self.backwards += len(gradient)


@pytest.mark.parametrize("stop", ["success", "never"])
@pytest.mark.parametrize("eot", [1, 3])
@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM, PGD, UniformNoise])
def test_the_counts_are_what_the_model_has_seen(attack, eot, stop):
    net, images, labels = conv_case(24)
    meter = Meter(net)
    extra = {"restarts": 2} if attack is PGD else {}
    result = attack(Linf(0.03), stop=stop, eot_samples=eot, **extra)(meter, images, labels)
    assert int(result.forwards.sum()) == meter.forwards
    assert int(result.backwards.sum()) == meter.backwards


def test_expected_numbers_of_passes():
    net, images, labels = conv_case(12, wrong=2)
    spent = {
        FGSM(Linf(1e-6)): (1 + 1, 1),
        BIM(Linf(1e-6), steps=7): (7 + 1, 7),
        MIFGSM(Linf(1e-6), steps=7): (7 + 1, 7),
        PGD(Linf(1e-6), steps=7, restarts=3): (3 * 8, 3 * 7),
        UniformNoise(Linf(1e-6), draws=9): (9, 0),
    }
    for attack, (forwards, backwards) in spent.items():
        result = attack(net, images, labels)
        # The clean check and the judge are one forward pass each, and all an image that is wrong
        # already costs.
        assert result.forwards.tolist() == [2] * 2 + [2 + forwards] * 10
        assert result.backwards.tolist() == [0] * 2 + [backwards] * 10


def test_counts_go_to_the_rows_named():
    with Guard(mlp(4), count=5) as guard:
        x = torch.zeros(2, 4, dtype=torch.float64)
        guard.gradient(x, lambda z: z[:, 0], torch.tensor([3, 1]))
        guard.logits(x, torch.tensor([1, 4]))
    assert guard.forwards.tolist() == [0, 2, 0, 1, 1]
    assert guard.backwards.tolist() == [0, 1, 0, 1, 0]


def test_the_gradient_is_that_of_finite_differences():
    net = mlp(6)
    x = torch.rand(3, 6, dtype=torch.float64)
    with Guard(net, count=3) as guard:
        logits, gradient = guard.gradient(x, lambda z: z[:, 1] * torch.tensor([1.0, 2.0, -1.0]))
        assert torch.equal(logits, guard.logits(x))
        for i in range(6):
            e = torch.zeros(6, dtype=torch.float64)
            e[i] = 1e-6
            slope = (guard.logits(x + e) - guard.logits(x - e))[:, 1] / 2e-6
            expected = slope * torch.tensor([1.0, 2.0, -1.0])
            assert torch.allclose(gradient[:, i], expected, atol=1e-7)


def test_with_render_the_gradient_is_that_of_the_parameters():
    net = Affine(torch.tensor([1.0, -2.0]))
    with Guard(net, count=1) as guard:
        _, gradient = guard.gradient(
            torch.tensor([[3.0, 4.0]]),
            lambda z: z[:, 0],
            render=lambda p: p * torch.tensor([10.0, 1.0]),
        )
    assert gradient.tolist() == [[10.0, -2.0]]


def test_averaged_passes_are_the_log_of_the_mean_softmax():
    net = nn.Sequential(
        Noise(0.5), Affine(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.zeros(3))
    )
    x, keys = torch.rand(4, 2), Keys(0, torch.arange(4))
    with Guard(net, count=4) as guard:
        single = [guard.logits(x, None, keys).softmax(1) for _ in range(5)]
    with Guard(net, count=4, samples=5) as guard:
        averaged = guard.logits(x, None, keys)
    assert torch.allclose(averaged.exp(), torch.stack(single).mean(0), atol=1e-6)
    assert guard.forwards.tolist() == [5] * 4


def test_averaged_passes_of_one_logit_average_its_probability():
    layer = nn.Linear(2, 1)
    net = nn.Sequential(Noise(0.5), layer)
    x, keys = torch.rand(4, 2), Keys(0, torch.arange(4))
    with Guard(net, count=4) as guard:
        single = [guard.logits(x, None, keys).sigmoid() for _ in range(5)]
    with Guard(net, count=4, samples=5) as guard:
        averaged = guard.logits(x, None, keys)
    assert torch.allclose(averaged.sigmoid(), torch.stack(single).mean(0), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_meet_the_models_dtype_and_logits_are_single_at_least(dtype):
    net = nn.Linear(4, 3).to(dtype)
    with Guard(net, count=2) as guard:
        logits, gradient = guard.gradient(torch.rand(2, 4), lambda z: z[:, 0])
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert gradient.dtype == torch.float32
