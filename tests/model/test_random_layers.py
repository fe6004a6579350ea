"""Noise layers draw afresh at every call, each sample its own, the same in every company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import Noise
from scipy import stats
from torch import nn

from saddlepoint.model import Guard, RandomLayer
from saddlepoint.model.randomness import averaged_passes, log_mean_probability
from saddlepoint.streams import Keys


class Probe(RandomLayer):
    """Draws `calls` times in a pass and keeps what it drew."""

    def __init__(self, calls: int = 1) -> None:
        super().__init__()
        self.calls, self.drawn = calls, []

    def forward(self, x):
        self.drawn.append(torch.stack([self.noise(x) for _ in range(self.calls)]))
        return x


def drawn(ids, shape=(7,), passes=2, layers=2, calls=3, seed=0, stream=0, dtype=torch.float32):
    """Noise of shape (pass, layer, call, sample, *shape), drawn as an attack draws it."""
    net = nn.Sequential(*(Probe(calls) for _ in range(layers)), nn.Flatten())
    keys = Keys(seed, torch.as_tensor(ids), stream)
    with Guard(net, len(keys.ids)) as guard:
        for _ in range(passes):
            guard.logits(torch.zeros(len(keys.ids), *shape, dtype=dtype), None, keys)
    return torch.stack([torch.stack(probe.drawn) for probe in net[:-1]], dim=1)


def test_every_call_pass_layer_sample_seed_and_stream_has_its_own_noise():
    ids = torch.arange(400)
    noise = drawn(ids, (25,))
    streams = noise.reshape(2 * 2 * 3, -1)
    others = [drawn(ids, (25,), seed=1), drawn(ids, (25,), stream=1), drawn(ids + 400, (25,))]
    streams = torch.cat([streams, *(each.reshape(12, -1) for each in others)])
    correlation = torch.corrcoef(streams).fill_diagonal_(0)
    assert float(correlation.abs().max()) < 0.05  # 10,000 numbers each: five deviations
    samples = torch.corrcoef(drawn(ids, (500,), 1, 1, 1)[0, 0, 0]).fill_diagonal_(0)
    # The correlation of independent rows of 500 has deviation 1/√500 and mean size √(2/500π).
    assert float(samples.abs().mean()) == pytest.approx(np.sqrt(2 / (500 * np.pi)), rel=0.02)
    assert float(samples.abs().max()) < 6 / np.sqrt(500)


def test_the_noise_is_normal():
    noise = drawn(torch.arange(2000), (33,), 1, 1, 2).flatten().double().numpy()
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    assert noise.mean() == pytest.approx(0, abs=4 / np.sqrt(len(noise)))
    assert noise.var() == pytest.approx(1, abs=4 * np.sqrt(2 / len(noise)))
    assert stats.skew(noise) == pytest.approx(0, abs=0.03)
    assert stats.kurtosis(noise) == pytest.approx(0, abs=0.06)
    # Squares of neighbours in an image are uncorrelated too: no structure between positions.
    pairs = (noise**2).reshape(-1, 33)
    assert abs(np.corrcoef(pairs[:, :-1].ravel(), pairs[:, 1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("shape", [(1,), (2,), (3, 5, 5), (4, 4)])
def test_a_sample_draws_the_same_in_every_company(shape):
    whole = drawn([0, 5, 2**40, -1, 9], shape)
    part = drawn([-1, 5], shape)
    assert whole.shape == (2, 2, 3, 5, *shape)
    assert torch.equal(part, whole[:, :, :, [3, 1]])
    assert whole.flatten().unique().numel() > 0.99 * whole.numel()  # 2²³ values at random


def test_passes_of_another_stream_do_not_shift_the_noise():
    """The judge's draws must not depend on how long the loop was."""
    probe = Probe()
    attack, judge = Keys(0, torch.arange(3)), Keys(0, torch.arange(3), stream=1)
    with Guard(nn.Sequential(probe, nn.Flatten()), 3) as guard:
        for keys in (attack, attack, judge):
            guard.logits(torch.zeros(3, 4), None, keys)
    assert torch.equal(probe.drawn[2], drawn([0, 1, 2], (4,), 1, 1, 1, stream=1)[0, 0])


def test_types_follow_the_input_and_outside_a_guard_torch_draws():
    assert drawn([1], dtype=torch.float64).dtype == torch.float64
    layer = Noise(1.0)
    torch.manual_seed(0)
    expected = torch.randn(2, 3)
    torch.manual_seed(0)
    assert torch.equal(layer(torch.zeros(2, 3)), expected)
    with Guard(nn.Sequential(layer), 2) as guard:
        guard.logits(torch.zeros(2, 3), None, Keys(0, torch.arange(2)))
    torch.manual_seed(0)
    assert torch.equal(layer(torch.zeros(2, 3)), expected), "the guard has let go of the layer"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_calls_differ_and_samples_keep_their_noise():
    layer = RandomLayer()
    like = torch.zeros(4, 100, device="cuda")

    def both(ids):
        layer.start_pass(Keys(0, torch.tensor(ids, device="cuda")), layer=1, number=2)
        return layer.noise(like[: len(ids)]), layer.noise(like[: len(ids)])

    first, second = both([0, 1, 2, 3])
    assert not torch.equal(first, second)
    assert all(torch.equal(a[2:3], b) for a, b in zip((first, second), both([2]), strict=True))


def test_what_a_call_averages_is_that_of_the_layer_averaged_least():
    inner = nn.Sequential(RandomLayer())
    inner.averaged_passes = 3
    outer = nn.Sequential(inner)
    outer.averaged_passes = 2
    assert averaged_passes(outer) == 6
    assert averaged_passes(nn.Sequential(outer, inner)) == 3
    assert averaged_passes(nn.Linear(1, 1)) == 1


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_mean_probability_by_hand(classes):
    generator = torch.Generator().manual_seed(0)
    passes = 30 * torch.randn(4, 6, classes, dtype=torch.float64, generator=generator)
    if classes == 1:
        expected = passes.sigmoid().mean(0)
        result = log_mean_probability(passes).sigmoid()
    else:
        expected, result = passes.softmax(2).mean(0), log_mean_probability(passes).exp()
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
