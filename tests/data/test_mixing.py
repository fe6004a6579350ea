"""Mixup and CutMix: labels mix exactly as pixels do, by a share of the published law."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from saddlepoint.data import mix

ONE_HOT = torch.eye(8)


def draw(seed):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    alpha=st.sampled_from([0.1, 0.2, 0.8, 1.0, 4.0]),
    cuts=st.booleans(),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_labels_are_mixed_as_pixels_are(seed, alpha, cuts, height, width):
    """Image i is a plane of ones in channel i: the mean of a channel is the share of its class."""
    images = ONE_HOT[:, :, None, None].expand(8, 8, height, width).clone()
    options = {"mixup": None, "cutmix": alpha} if cuts else {"mixup": alpha, "cutmix": None}
    mixed, pairs = mix(images, draw(seed), **options)
    torch.testing.assert_close(mixed.mean((2, 3)), pairs.mixed(ONE_HOT))
    assert pairs.share >= 0.5
    assert sorted(pairs.partner.tolist()) == list(range(8))
    assert (mixed.argmax(1) == torch.arange(8)[:, None, None]).double().mean() >= 0.5
    if cuts:
        assert bool(((mixed == 0) | (mixed == 1)).all())


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_the_share_is_the_larger_part_of_a_beta(alpha):
    images = torch.zeros(2, 1, 1, 1)
    shares = [mix(images, draw(seed), alpha, None)[1].share for seed in range(2000)]

    def law(share):  # of max(b, 1 − b)
        return stats.beta.cdf(share, alpha, alpha) - stats.beta.cdf(1 - share, alpha, alpha)

    assert stats.kstest(shares, law).pvalue > 1e-3


def rectangle(mixed):
    """The value of the rectangle in an image of zeros and ones, and the share of it that it is."""
    corners = mixed[[0, 0, -1, -1], [0, -1, 0, -1]]
    for value in (0.0, 1.0):  # a rectangle of the other value, where it leaves no corner
        at = (mixed == value).nonzero()
        if len(at):
            sides = at.max(0).values - at.min(0).values + 1
            if int(sides.prod()) == len(at) and not bool((corners == value).all()):
                return value, len(at) / mixed.numel()
    return 0.0, 1.0


def test_a_rectangle_has_the_published_area_and_the_greater_part_keeps_its_label():
    images = torch.zeros(2, 1, 64, 64)
    images[1] = 1
    whole, own = 0, 0
    for seed in range(400):
        mixed, pairs = mix(images, draw(seed), None, 1.0)
        if pairs.partner[0] == 0:
            continue
        larger = mix(images, draw(seed), 1.0, None)[1].share  # of λ and 1 − λ, before the cut
        value, area = rectangle(mixed[0, 0])
        assert area == pytest.approx(pairs.share if value == 0 else 1 - pairs.share, abs=1e-6)
        assert mixed[0].mean() == pytest.approx(1 - pairs.share, abs=1e-6)
        assert pairs.share >= 0.5
        assert area <= larger + 1e-6  # it is cut at the border, and never grows
        whole += min(abs(area - larger), abs(area - (1 - larger))) < 0.05
        own += value == 0  # the image itself is the rectangle, in a border of its partner
    assert whole > 50
    assert 20 < own < 90  # of about 200 batches: λ < ½ in half of them, and not cut below a half


def test_of_both_one_is_drawn_with_even_chances():
    images = torch.zeros(2, 1, 16, 16)
    images[1] = 1
    cut = 0
    for seed in range(400):
        mixed, pairs = mix(images, draw(seed), 1.0, 1.0)
        cut += set(mixed.unique().tolist()) <= {0.0, 1.0} and pairs.partner[0] == 1
    assert stats.binomtest(cut, 400, 0.25).pvalue > 1e-3  # every second batch has partner 1


def test_the_generator_decides_and_the_images_are_left_alone():
    images = torch.rand(4, 3, 8, 8)
    before, state = images.clone(), torch.get_rng_state()
    for options in ((0.2, None), (None, 1.0), (0.8, 1.0)):
        first, again = mix(images, draw(5), *options), mix(images, draw(5), *options)
        assert torch.equal(first[0], again[0])
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
