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


def test_a_rectangle_has_the_drawn_area_unless_it_is_cut_at_the_border():
    images = torch.zeros(2, 1, 64, 64)
    images[1] = 1
    whole = 0
    for seed in range(300):
        mixed, pairs = mix(images, draw(seed), None, 1.0)
        share = mix(images, draw(seed), 1.0, None)[1].share  # the same λ, before the cut
        assert pairs.share >= share - 1e-9
        whole += pairs.share - share < 0.05
        if pairs.partner[0] == 1:
            assert mixed[0].mean() == pytest.approx(1 - pairs.share, abs=1e-6)
            rows, columns = (mixed[0, 0] > 0).any(1).nonzero(), (mixed[0, 0] > 0).any(0).nonzero()
            filled = len(rows) * len(columns)
            assert filled == pytest.approx((1 - pairs.share) * 64 * 64)
    assert whole > 100


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
