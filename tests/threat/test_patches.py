"""Patches: what changes is counted exactly, and the nearest point is that of all subsets."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.configuration import configuration
from saddlepoint.errors import InputError
from saddlepoint.threat import Ascendable, Normed, Patches, Rescaled, norm_ball, threat_from

SHAPE = (2, 4, 6)  # of 2×2: two rows of three


def image(seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, *SHAPE, generator=generator, dtype=torch.float64)
    return x, x + 0.8 * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def cell(i):
    """The rows and columns of the i-th patch of 2×2."""
    row, column = divmod(i, 3)
    return slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)


@given(seed=st.integers(0, 2**31), k=st.integers(0, 6), inside=st.sampled_from([math.inf, 0.2]))
def test_the_projection_is_the_nearest_point_of_all_subsets(seed, k, inside):
    x, z = image(seed)
    found = Patches(k, size=2, inside=inside).project(x, z)
    best = math.inf
    for some in itertools.combinations(range(6), k):
        point = x.clone()
        for i in some:
            rows, columns = cell(i)
            free = z[..., rows, columns].clamp(
                x[..., rows, columns] - inside, x[..., rows, columns] + inside
            )
            point[..., rows, columns] = free.clamp(0, 1)
        best = min(best, float((point - z).square().sum()))
    assert float((found - z).square().sum()) == pytest.approx(best, rel=1e-9)
    assert bool(Patches(k, size=2, inside=inside).contains(x, found))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_judge_counts_patches_to_the_last_bit(dtype):
    x = torch.full((1, *SHAPE), 0.5, dtype=dtype)
    least = torch.nextafter(x[0, 0, 0, 0], torch.ones((), dtype=dtype))
    for count in range(7):
        candidate = x.clone()
        for i in range(count):
            rows, columns = cell(i)
            # One entry, by one unit in the last place.
            candidate[0, i % 2, rows.start + i % 2, columns.start + 1] = least
        assert float(Patches(1, size=2).distance(x, candidate)) == count
        for k in range(7):
            assert bool(Patches(k, size=2).contains(x, candidate)) is (count <= k)


def test_a_change_that_crosses_the_grid_is_in_several_patches():
    x = torch.zeros(1, 1, 4, 4)
    moved = x.clone()
    moved[..., 1:3, 1:3] = 1
    assert float(Patches(1, size=2).distance(x, moved)) == 4
    assert float(Patches(1, size=4).distance(x, moved)) == 1


def test_more_patches_allow_all_that_fewer_do():
    x, z = image(3, count=5)
    points = [Patches(k, size=2).project(x, z) for k in range(7)]
    for k, point in enumerate(points):
        inside = [bool(Patches(j, size=2).contains(x, point).all()) for j in range(7)]
        assert inside == [j >= k for j in range(7)]
    assert torch.equal(points[6], z.clamp(0, 1))
    assert torch.equal(points[0], x)


def test_inside_bounds_every_entry():
    x = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    threat = Patches(1, size=2, inside=0.1)
    near, far = x.clone(), x.clone()
    near[..., :2, :2] += 0.1
    far[..., :2, :2] += 0.11
    assert threat.contains(x, torch.cat([near])).tolist() == [True]
    assert threat.contains(x, far).tolist() == [False]
    assert threat.distance(x, far).tolist() == [1]


def test_what_is_nan_or_out_of_the_range_is_outside():
    x = torch.full((1, *SHAPE), 0.5)
    for value in (math.nan, 1.01, -0.01, math.inf):
        candidate = x.clone()
        candidate[0, 0, 0, 0] = value
        assert not bool(Patches(6, size=2).contains(x, candidate))
    candidate[0, 0, 0, 0] = math.nan
    assert math.isnan(float(Patches(6, size=2).distance(x, candidate)))


def test_each_sample_has_its_own_budget():
    x, z = image(1, count=4)
    threat = Patches(torch.tensor([0.0, 1.0, 2.0, 6.0]), size=2)
    found = threat.project(x, z)
    assert threat.distance(x, found).tolist() == [0, 1, 2, 6]
    assert torch.equal(threat.at(torch.tensor([2])).project(x[2:3], z[2:3]), found[2:3])


def test_in_normalised_space_it_is_the_same_patches():
    x, z = image(2, count=3)
    mean, std = (0.4, 0.5), (0.2, 0.3)
    scaled = Rescaled.pixels(Patches(2, size=2), mean, std)
    parameters = scaled.project(x, scaled.parametrise(z))
    rendered = scaled.render(x, parameters)
    assert scaled.distance(x, rendered).tolist() == [2, 2, 2]
    assert bool(scaled.contains(x, rendered).all())


def test_it_is_a_norm_by_name():
    assert norm_ball("patches:8", "2") == Patches(2, size=8)
    assert norm_ball("patches", 1) == Patches(1, size=4)
    assert threat_from("patches:2", 3, "pixels", "image", None, SHAPE) == Patches(3, size=2)
    assert isinstance(Patches(1), Normed)
    assert isinstance(Patches(1), Ascendable)
    assert configuration(Patches(2, size=8)) == {
        "type": "Patches", "eps": 2, "lower": 0.0, "upper": 1.0, "size": 8, "inside": "inf",
    }  # fmt: skip
    texts = [str(each) for each in (Patches(), Patches(3, size=2, inside=8 / 255))]
    assert texts == ["Patches(4×4)", "Patches(2×2,±8/255) 3"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Patches(1.5, size=2), "counts patches here: give a whole number, not 1.5"),
        (lambda: Patches(-1), "eps is -1"),
        (lambda: Patches(1, size=0), "size is 0"),
        (lambda: Patches(1, inside=-1), "inside is -1"),
        (lambda: norm_ball("patches:x", 1), "the norm is 'patches:x'; only patches take a side"),
        (lambda: norm_ball("linf:4", 1), "the norm is 'linf:4'; only patches take a side"),
        (
            lambda: Patches(1, size=4).totals(torch.zeros(1, 1, 6, 8)),
            "images of 6×8 are no multiple",
        ),
        (lambda: Patches(1).totals(torch.zeros(1, 8)), r"shape \(1, 8\); patches are of"),
        (
            lambda: threat_from("patches:4", 1, "pixels", "image", None, (1, 30, 30)),
            "images of 30×30 are no multiple of patches of 4×4",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
