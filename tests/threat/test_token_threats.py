"""Balls around embedded text: what is held stays to the bit, padding changes nothing, the nearest point."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saddlepoint.streams import Keys
from saddlepoint.threat import EachTokenL2, PerRootLength, TokenL2, TokenLinf
from saddlepoint.threat.tokens import FIXED, FREE, PADDING, free_entries

BALLS = [TokenLinf(), TokenL2(), EachTokenL2(), PerRootLength()]
F64 = torch.float64


def texts(seed, lengths, width=3, longest=None):
    """Embedded texts: a held token, free ones, a held one, padding."""
    longest = longest or max(lengths)
    flags = torch.full((len(lengths), longest), PADDING)
    for row, length in enumerate(lengths):
        flags[row, :length] = FREE
        flags[row, 0] = flags[row, length - 1] = FIXED
    rows = Keys(seed, torch.arange(len(lengths))).normal_in_place((longest, width))
    return torch.cat([rows * (flags != PADDING)[..., None], flags[..., None]], -1)


def padded_by(x, extra):
    return torch.nn.functional.pad(x, (0, 0, 0, extra))


@settings(max_examples=25, deadline=None)
@given(
    ball=st.sampled_from(BALLS),
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(3, 7), min_size=1, max_size=3),
    eps=st.sampled_from([0.0, 1e-4, 0.3, 5.0]),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_nothing_that_is_held_moves(ball, seed, lengths, eps, size):
    x, threat = texts(seed, lengths), ball.with_eps(eps)
    held = ~free_entries(x)
    keys = Keys(seed, torch.arange(len(x)))
    wild = threat.parametrise(x) + size * keys.normal_in_place(x.shape[1:], draw=7)
    direction = threat.steepest_direction(wild, threat.parametrise(x))
    assert not bool(direction[held].any())
    for z in (threat.project(x, wild), threat.random_start(x, keys, restart=1)):
        moved = threat.render(x, z)
        assert torch.equal(moved[held], x[held])
        assert bool(threat.contains(x, moved).all())
    gaussian = threat.render(x, threat.random_start(x, keys, gaussian=True))
    assert torch.equal(gaussian[held], x[held])
    far = threat.with_eps(1e6)
    touched = x.clone()
    touched[:, 0, 0] += 1e-3
    assert not bool(far.contains(x, touched).any())
    flipped = x.clone()
    flipped[:, 0, -1] = FREE
    assert not bool(far.contains(x, flipped).any())


@settings(max_examples=25, deadline=None)
@given(
    ball=st.sampled_from(BALLS),
    seed=st.integers(0, 99),
    lengths=st.lists(st.integers(3, 6), min_size=1, max_size=3),
    extra=st.integers(1, 9),
)
def test_padding_changes_nothing(ball, seed, lengths, extra):
    threat, keys = ball.with_eps(0.4), Keys(seed, torch.arange(len(lengths)))
    short = texts(seed, lengths)
    long, end = padded_by(short, extra), short.shape[1]
    for start in (threat.random_start(short, keys, restart=2), threat.parametrise(short) + 3):
        again = padded_by(start, extra)
        near, far = threat.project(short, start), threat.project(long, again)
        torch.testing.assert_close(far[:, :end], near, rtol=1e-6, atol=1e-6)
    drawn = threat.random_start(short, keys), threat.random_start(long, keys)
    torch.testing.assert_close(drawn[1][:, :end], drawn[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(threat.distance(long, threat.render(long, drawn[1])),
                               threat.distance(short, threat.render(short, drawn[0])),
                               rtol=1e-6, atol=1e-9)  # fmt: skip


@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_projection_is_the_nearest_point(ball):
    threat = ball.with_eps(0.5)
    x = texts(1, [4], width=1).to(F64)  # two free tokens of one feature: a plane
    z = threat.parametrise(x).clone()
    z[0, 1, 0] += 0.9
    z[0, 2, 0] -= 0.35
    found = threat.project(x, z)
    grid = torch.linspace(-0.75, 0.75, 151, dtype=F64)
    many = torch.cartesian_prod(grid, grid)
    points = threat.parametrise(x).repeat(len(many), 1, 1)
    points[:, 1:3, 0] += many
    inside = threat.contains(x.expand_as(points), threat.render(x.expand_as(points), points))
    best = float((points[inside] - z).flatten(1).norm(dim=1).min())
    assert float((found - z).norm()) <= best + 1e-6
    assert best - float((found - z).norm()) < 0.02


@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_starts_fill_the_ball_of_the_free_entries(ball):
    # As many held tokens as one likes: the radii are those of the free dimensions.
    n, threat = 3000, ball.with_eps(0.5)
    x = texts(0, [4], width=2, longest=30).expand(n, -1, -1)
    z = threat.random_start(x, Keys(5, torch.arange(n)))
    far = threat.distance(x, threat.render(x, z)) / 0.5
    # four free entries; of tokens each by itself the largest of two discs, u² of each
    share = far**4
    assert abs(float(share.mean()) - 0.5) < 0.02
    assert abs(float(share.var()) - 1 / 12) < 0.01


def test_a_budget_of_texts_is_never_too_wide():
    for ball in BALLS[:3]:
        ball.with_eps(1e4).check_width((7, 3))
    assert str(TokenL2(0.2)) == "L2 0.2"
    assert str(PerRootLength(TokenL2(0.2))) == "L2 0.2·√T"
    assert {each.space for each in BALLS} == {"embedding", "embedding per root length"}
