"""Measures of samples against closed forms and brute force."""

import math

import pytest
import torch
from scipy.stats import gaussian_kde
from torch import nn

from saddlepoint.data import load_data
from saddlepoint.errors import InputError
from saddlepoint.evaluation.generative import (
    class_histogram,
    draw_samples,
    log_densities,
    measure_samples,
    nearest,
    parzen_log_likelihood,
)
from saddlepoint.zoo import DCGenerator

TRAIN = load_data("digits", split="train")
TEST = load_data("digits", split="test", limit=200)


def test_densities_of_images_are_those_of_brute_force():
    """More queries and centres than a block holds, far from the origin of the pixels."""
    torch.manual_seed(0)
    queries, centres = torch.rand(300, 1, 3, 3) + 5, torch.rand(2500, 1, 3, 3) + 5
    found = log_densities(queries, centres, (0.05, 0.4))
    for row, sigma in zip(found, (0.05, 0.4), strict=True):
        squares = (queries.double()[:, None] - centres.double()[None]).square().flatten(2).sum(2)
        kernel = -squares / (2 * sigma**2) - 9 / 2 * math.log(2 * math.pi * sigma**2)
        torch.testing.assert_close(row, kernel.logsumexp(1) - math.log(2500), rtol=1e-9, atol=1e-9)


def test_a_line_is_scipys():
    torch.manual_seed(1)
    centres, queries = torch.randn(200, 1).double(), torch.randn(50, 1).double()
    spread = float(centres.std())
    kernel = gaussian_kde(centres[:, 0].numpy(), bw_method=0.3 / spread)  # in units of the spread
    expected = torch.from_numpy(kernel.logpdf(queries[:, 0].numpy()))
    torch.testing.assert_close(log_densities(queries, centres, (0.3,))[0], expected)


def test_the_width_is_chosen_by_validation_images_and_the_error_is_the_mean_s():
    torch.manual_seed(2)
    x = torch.randn(4000, 2)
    found = parzen_log_likelihood(x[:2000], x[2000:3000], x[3000:], (0.01, 0.1, 0.3, 1.0, 3.0))
    assert found.sigma == 0.3
    assert not found.at_end
    entropy = 1 + math.log(2 * math.pi)  # of N(0, 1) in two dimensions
    assert found.mean == pytest.approx(-entropy, abs=0.12)
    each = log_densities(x[3000:], x[:2000], (0.3,))[0]
    assert found.error == pytest.approx(float(each.std()) / math.sqrt(1000))
    # Samples of another distribution explain them worse, by more than the error.
    wrong = parzen_log_likelihood(2 * x[:2000], x[2000:3000], x[3000:])
    assert wrong.mean < found.mean - 3 * found.error


def test_neighbours_are_those_of_brute_force_and_never_nearer():
    torch.manual_seed(3)
    queries = torch.rand(600, 1, 8, 8)
    found = nearest(queries, TRAIN)
    every = torch.cdist(queries.flatten(1).double(), TRAIN.pixels.flatten(1).double())
    least, ids = every.min(1)
    torch.testing.assert_close(found.distances.double(), least, rtol=1e-5, atol=1e-6)
    assert float((found.ids == ids).double().mean()) > 0.99


def test_what_recites_is_told_and_noise_does_not():
    torch.manual_seed(4)
    near = (TRAIN.pixels[:100] + 0.01 * torch.randn(100, 1, 8, 8)).clamp(0, 1)
    assert measure_samples(near, TRAIN, TEST).recites
    noise = measure_samples(torch.rand(100, 1, 8, 8), TRAIN, TEST)
    assert not noise.recites
    assert noise.parzen.mean < measure_samples(near, TRAIN, TEST).parzen.mean


class Ink(nn.Module):
    """Class 2 where there is much ink, class 1 where there is little, never 0."""

    def forward(self, x):
        ink = x.mean((1, 2, 3)) - 0.5
        return torch.stack([torch.full_like(ink, -9.0), -ink, ink], 1)


def test_classes_are_counted_over_blocks():
    images = torch.cat([torch.ones(700, 1, 2, 2), torch.zeros(100, 1, 2, 2)])
    found = class_histogram(Ink(), images)
    assert found.counts == (0, 100, 700)
    assert found.missing(0.13) == (0, 1)
    assert found.missing(0.12) == (0,)


def test_samples_follow_from_seed_and_number_and_leave_the_mode():
    torch.manual_seed(5)
    net = DCGenerator(maps=4, size=8).train()
    many = draw_samples(net, 600, seed=7)  # more than a pass
    torch.testing.assert_close(draw_samples(net, 20, seed=7), many[:20])
    assert not torch.equal(draw_samples(net, 20, seed=8), many[:20])
    assert net.training


def test_what_cannot_be_measured_is_refused_in_a_line():
    images = torch.rand(4, 1, 8, 8)
    for call, match in (
        (lambda: parzen_log_likelihood(images, images, images[:1]), "two test images"),
        (lambda: parzen_log_likelihood(images, images[:, :, 1:], images), "one shape"),
        (lambda: parzen_log_likelihood(images, images, images, (0.0,)), "positive"),
        (lambda: nearest(torch.rand(2, 1, 9, 9), TRAIN), "one shape"),
        (lambda: draw_samples(nn.Linear(2, 2), 3), "makes no images"),
        (lambda: draw_samples(DCGenerator(maps=4, size=8), 0), "count"),
    ):
        with pytest.raises(InputError, match=match) as told:
            call()
        assert len(str(told.value).splitlines()) == 1
