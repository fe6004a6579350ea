"""The landscape, the segments and the alignment, against functions whose maxima are known."""

from __future__ import annotations

import math

import pytest
import torch
from lab_cases import Tent, subject
from networks import Affine
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError
from saddlepoint.lab import (
    AlignmentSettings,
    LandscapeSettings,
    SegmentSettings,
    alignment,
    landscape,
    segments,
)
from saddlepoint.lab.landscape import pairs
from saddlepoint.lab.outputs import loss_gradients, losses
from saddlepoint.lab.trajectories import trace, trace_restarts
from saddlepoint.threat import Linf


def test_distances_and_angles_of_known_vectors():
    known = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [-1.0, 0.0], [2.0, 2.0], [0.0, 0.0]]])
    distances, angles = pairs(known)
    expected = {
        (0, 1): (5, 90), (0, 2): (4, 180), (0, 3): (math.sqrt(5), 45), (0, 4): (3, 90),
        (1, 2): (math.sqrt(17), 90), (1, 3): (math.sqrt(8), 45), (1, 4): (4, 90),
        (2, 3): (math.sqrt(13), 135), (2, 4): (1, 90), (3, 4): (math.sqrt(8), 90),
    }  # fmt: skip
    torch.testing.assert_close(
        distances[0], torch.tensor([d for d, _ in expected.values()]).float()
    )
    torch.testing.assert_close(angles[0], torch.tensor([a for _, a in expected.values()]).float())


def test_two_vectors_that_are_almost_parallel_have_a_small_angle():
    close = torch.tensor([[[1.0, 0.0], [1.0, 1e-5]]], dtype=torch.float64)
    assert float(pairs(close)[1]) == pytest.approx(math.degrees(1e-5), rel=1e-6)


def test_a_linear_model_has_one_maximum_and_it_is_the_corner():
    w = torch.tensor([1.0, -2.0, 0.5])
    images, labels = torch.full((2, 3), 0.5), torch.tensor([0, 1])
    found = landscape(Affine(w), images, labels, LandscapeSettings(eps=0.1, steps=10, restarts=6))
    margin = 0.5 * w.sum() * torch.tensor([1.0, -1.0]) - 0.1 * w.abs().sum()
    expected = functional.softplus(-margin)
    torch.testing.assert_close(found.losses[:, :, -1], expected[:, None].expand(2, 6))
    assert found.distances.max() < 1e-6
    assert found.losses.shape == (2, 6, 11)
    assert (found.losses[:, :, -1] >= found.losses[:, :, 0] - 1e-6).all()


def test_two_maxima_are_opposite_and_the_loss_between_them_is_lower():
    x, y, eps = torch.full((1, 2), 0.5), torch.tensor([0]), 0.2
    found = landscape(Tent(), x, y, LandscapeSettings(eps=eps, steps=20, restarts=40))
    top = float(functional.softplus(torch.tensor(eps)))
    torch.testing.assert_close(found.losses[0, :, -1], torch.full((40,), top))
    # The second coordinate has no gradient and stays where it began.
    assert found.distances.max() > 2 * eps - 1e-5
    assert float(found.clean) == pytest.approx(math.log(2), rel=1e-6)

    lines = segments(Tent(), x, y, SegmentSettings(eps=eps, steps=20, maxima=12, points=5))
    middle = lines.along[0, :, 2]
    lowest, highest = math.log(2), top
    low = torch.isclose(middle, torch.tensor(lowest), atol=1e-6)
    high = torch.isclose(middle, torch.tensor(highest), atol=1e-6)
    assert bool((low | high).all())
    assert bool(low.any())
    assert bool(high.any())  # both maxima were found, and some twice
    assert float(lines.largest_at_an_end) == 1.0


def test_the_ends_of_a_segment_are_the_maxima_and_the_points_between_are_on_the_line():
    net, x, y = subject(2)
    settings = SegmentSettings(eps=0.2, steps=5, maxima=3, points=5)
    found = segments(net, x, y, settings)
    ends = trace_restarts(net, x, y, PGD(Linf(0.2), steps=5), 3, 0).end.reshape(2, 3, 1, 8, 8)
    for pair, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
        for point, t in enumerate((0, 0.25, 0.5, 0.75, 1)):
            between = (1 - t) * ends[:, a] + t * ends[:, b]
            torch.testing.assert_close(found.along[:, pair, point], losses(net, between, y))


def test_a_restart_is_the_same_whatever_else_is_traced():
    net, x, y = subject(3)
    attack = PGD(Linf(0.2), steps=4)
    many = trace_restarts(net, x, y, attack, 5, 7)
    few = trace_restarts(net, x[:2], y[:2], attack, 2, 7)
    many_losses = many.losses.reshape(3, 5, -1)[:2, :2]
    torch.testing.assert_close(few.losses.reshape(2, 2, -1), many_losses, rtol=1e-5, atol=1e-6)
    starts = many.start.reshape(3, 5, -1)
    for one in range(5):  # no two of an image alike
        for other in range(one):
            assert (starts[:, one] - starts[:, other]).abs().amax(1).min() > 0.05


def test_every_iterate_is_in_the_ball_and_the_last_loss_is_that_of_the_last_iterate():
    net, x, y = subject(3)
    found = trace(net, x, y, PGD(Linf(0.1), steps=6), torch.arange(3), 0)
    assert (found.end - x).abs().max() <= 0.1 + 1e-6
    assert found.end.min() >= 0
    assert found.end.max() <= 1
    torch.testing.assert_close(found.losses[:, -1], losses(net, found.end, y))
    torch.testing.assert_close(found.losses[:, 0], losses(net, found.start, y))


def test_the_gradient_is_that_of_a_finite_difference():
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    x, y = torch.full((2, 3), 0.5, dtype=torch.float64), torch.tensor([0, 1])
    net = Affine(w)
    found = loss_gradients(net, x, y)
    for i in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[i] = 1e-6
        slope = (losses(net, x + step, y) - losses(net, x - step, y)) / 2e-6
        torch.testing.assert_close(found[:, i], slope, rtol=1e-6, atol=1e-9)


def test_alignment_of_a_linear_model_is_perfect_and_its_numbers_are_known():
    w = torch.tensor([1.0, -2.0, 0.5])
    x, y = torch.full((1, 3), 0.5), torch.tensor([0])
    found = alignment(Affine(w), x, y, AlignmentSettings(eps=(0.05, 0.2), steps=20))
    slope = torch.sigmoid(-0.5 * w.sum())  # the gradient of the loss is −slope·w
    for i, eps in enumerate((0.05, 0.2)):
        assert float(found.inner[i]) == pytest.approx(eps * float(slope * w.abs().sum()), rel=1e-4)
    torch.testing.assert_close(found.attained, torch.ones(2, 1), rtol=1e-4, atol=0)
    cosine = w.abs().sum() / (w.norm() * 3**0.5)
    torch.testing.assert_close(found.cosine, cosine.expand(2, 1), rtol=1e-4, atol=0)


def test_alignment_counts_what_the_range_permits_as_the_most():
    x = torch.tensor([[1.0, 0.0, 0.5]])  # the first two pixels cannot follow the gradient
    found = alignment(
        Affine(torch.tensor([-1.0, 2.0, 1.0])), x, torch.tensor([0]), AlignmentSettings(eps=(0.1,))
    )
    torch.testing.assert_close(found.attained, torch.ones(1, 1), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "settings",
    [
        lambda: LandscapeSettings(restarts=1),
        lambda: LandscapeSettings(eps=0),
        lambda: SegmentSettings(maxima=1),
        lambda: SegmentSettings(points=2),
        lambda: AlignmentSettings(eps=()),
        lambda: AlignmentSettings(steps=0),
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match="give"):
        settings()


def test_more_restarts_than_there_are_identities_are_refused():
    net, x, y = subject(1)
    with pytest.raises(InputError, match="131072 restarts"):
        trace_restarts(net, x, y, PGD(Linf(0.1)), 2**17 + 1, 0)
