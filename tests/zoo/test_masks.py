"""Masks: exact counts, keyed by seed, image and epoch, and the orders of tokens."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    MASKINGS,
    kept_count,
    masks,
    patchify,
    shuffle,
    unpatchify,
    unshuffle,
)
from saddlepoint.zoo.masking import order_of

DRAWS = 10_000


@given(st.integers(1, 400), st.integers(1, 99))
def test_the_kept_count_is_exact(patches, percent):
    kept = patches * (100 - percent) // 100  # in integers
    if kept:
        assert kept_count(patches, percent / 100) == kept
    else:
        with pytest.raises(InputError, match="keeps none of"):
            kept_count(patches, percent / 100)


def test_where_floats_err_the_count_does_not():
    assert int(50 * (1 - 0.9)) == 4
    assert kept_count(50, 0.9) == 5
    assert kept_count(10, 1 / 3) == int(10 * (1 - Fraction(repr(1 / 3))))


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5, float("nan"), True, "0.5"])
def test_a_ratio_outside_is_refused(ratio):
    with pytest.raises(InputError, match=r"the masking ratio is .*; give a number in \(0, 1\)"):
        kept_count(49, ratio)


@pytest.mark.parametrize("kind", MASKINGS)
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("grid", [(7, 7), (8, 8), (4, 6), (2, 3)])
def test_every_image_keeps_exactly_as_many(kind, ratio, grid):
    patches = grid[0] * grid[1]
    if patches == 6 and ratio == 0.9:
        return
    hidden = masks(kind, torch.arange(50), grid, ratio, seed=3)
    assert set((~hidden).sum(1).tolist()) == {kept_count(patches, ratio)}


@pytest.mark.parametrize("kind", MASKINGS)
def test_a_mask_is_of_seed_image_and_epoch_in_any_batch(kind):
    ids = torch.tensor([7, 3, 99, 12])
    whole = masks(kind, ids, (7, 7), 0.75, seed=1, epoch=4)
    for i, each in enumerate(ids):
        assert torch.equal(masks(kind, each[None], (7, 7), 0.75, seed=1, epoch=4)[0], whole[i])
    assert not torch.equal(whole, masks(kind, ids, (7, 7), 0.75, seed=2, epoch=4))
    assert not torch.equal(whole, masks(kind, ids, (7, 7), 0.75, seed=1, epoch=5))
    assert not torch.equal(whole[0], whole[1])


@pytest.mark.parametrize("ratio", [0.25, 0.75, 0.9])
def test_each_patch_is_hidden_as_often(ratio):
    share = 1 - kept_count(49, ratio) / 49
    found = masks("random", torch.arange(DRAWS), (7, 7), ratio, seed=0).double().mean(0)
    sigma = (share * (1 - share) / DRAWS) ** 0.5
    assert bool(((found - share).abs() < 5 * sigma).all())
    # Pairs of patches are independent but for the fixed count: covariance −σ²/(L − 1).
    drawn = masks("random", torch.arange(DRAWS), (7, 7), ratio, seed=0).double()
    covariance = torch.cov(drawn.T)
    expected = -share * (1 - share) / 48
    off = covariance[~torch.eye(49, dtype=torch.bool)]
    assert bool(((off - expected).abs() < 6 * share * (1 - share) / DRAWS**0.5).all())


def test_blocks_hide_what_lies_together_and_grids_what_does_not():
    def borders(kind):  # pairs of neighbours of which one is hidden
        found = masks(kind, torch.arange(500), (14, 14), 0.75, seed=0).reshape(-1, 14, 14)
        return sum(float(d.double().mean()) for d in (found[:, 1:] ^ found[:, :-1],
                                                      found[:, :, 1:] ^ found[:, :, :-1]))  # fmt: skip

    assert borders("block") < 0.75 * borders("random")
    assert borders("random") < borders("grid")


def test_a_grid_is_shifted_in_both_directions():
    """Every patch of a 4×4 grid is the one that stays of its 2×2 as often: 1/4 ± 5σ."""
    n = 4000
    kept = ~masks("grid", torch.arange(n), (4, 4), 0.75, seed=3)
    share = kept.double().mean(0)
    assert bool(((share - 0.25).abs() < 5 * (0.25 * 0.75 / n) ** 0.5).all()), share


def test_at_three_quarters_a_grid_keeps_one_of_every_four():
    hidden = masks("grid", torch.arange(20), (8, 8), 0.75, seed=0).reshape(20, 4, 2, 4, 2)
    # Shifted by a draw, cells of 2×2 still have one each.
    assert bool(((~hidden).sum((2, 4)) == 1).all())


@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**31))
def test_unshuffle_after_shuffle_is_the_identity(n, length, seed):
    draw = torch.Generator().manual_seed(seed)
    order = torch.rand(n, length, generator=draw).argsort(1)
    x = torch.rand(n, length, 3, generator=draw)
    assert torch.equal(unshuffle(shuffle(x, order), order), x)
    assert torch.equal(shuffle(unshuffle(x, order), order), x)


def test_the_order_has_the_visible_first():
    hidden = masks("random", torch.arange(9), (5, 5), 0.6, seed=0)
    order, kept = order_of(hidden)
    assert kept == 10
    assert not hidden.gather(1, order[:, :kept]).any()
    assert hidden.gather(1, order[:, kept:]).all()
    assert torch.equal(order.sort(1).values, torch.arange(25).expand(9, -1))
    uneven = torch.tensor([[True, False], [False, False]])
    with pytest.raises(InputError, match="visible patches of an image: 1 and 2"):
        order_of(uneven)
    with pytest.raises(InputError, match="at least one"):
        order_of(torch.ones(2, 4, dtype=torch.bool))


@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 1, 28, 28)])
def test_patches_are_put_together_again(shape):
    images = torch.rand(shape)
    patches = patchify(images, 4)
    assert patches.shape == (shape[0], shape[2] * shape[3] // 16, 16 * shape[1])
    assert torch.equal(unpatchify(patches, 4, (shape[2] // 4, shape[3] // 4)), images)
    second = images[:, :, :4, 4:8].permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(patches[:, 1], second)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="unknown masking 'grids'; did you mean 'grid'"):
        masks("grids", torch.arange(2), (4, 4), 0.5, seed=0)
