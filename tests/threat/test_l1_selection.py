"""L1 by Newton steps and by selection: what full sorting gives, ties and huge values included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.threat import L1
from saddlepoint.threat.norms import fill, largest_k
from saddlepoint.threat.projections import _newton, _sorted, project_l1


@st.composite
def cases(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    n, d = 6, draw(st.sampled_from([1, 3, 40, 700]))
    bound = torch.rand(n, d, generator=generator, dtype=torch.float64)
    bound *= torch.rand(n, d, generator=generator) > draw(st.sampled_from([0.0, 0.3, 0.9]))
    delta = torch.randn(n, d, generator=generator, dtype=torch.float64)
    delta *= draw(st.sampled_from([1e-3, 0.1, 1.0, 100.0]))
    if draw(st.booleans()):  # ties
        delta = (4 * delta).round() / 4
    eps = draw(st.sampled_from([1e-4, 0.3, 2.0, 12.0]))
    return delta, bound, torch.full((n,), eps, dtype=torch.float64)


@given(cases())
def test_newton_ends_where_sorting_does(case):
    delta, bound, eps = case
    size = delta.abs()
    some = torch.minimum(size, bound).sum(1) > eps
    size, bound, eps = size[some], bound[some], eps[some]
    if not len(size):
        return
    threshold, found = _newton(size, bound, eps)
    change = (size - threshold[:, None]).clamp_min(0).minimum(bound)
    other = _sorted(size, bound, eps)
    assert torch.allclose(change[found].sum(1), eps[found], rtol=1e-12, atol=1e-13)
    assert torch.allclose(change[found], other[found], rtol=0, atol=1e-9 * float(eps.max() + 1))
    assert bool((found | (size.amax(1) >= 1e5 * bound.amax(1))).all()), "sorting is the exception"


def test_rows_that_are_huge_inside_or_done_do_not_disturb_the_others():
    delta = torch.tensor([[1e30, 0.0, 1e30], [0.1, 0.0, -0.1], [3.0, -2.0, 0.5], [0.9, 0.9, 0.9]])
    low, high = torch.full((4, 3), -0.6), torch.full((4, 3), 0.6)
    eps = torch.tensor([0.8, 0.8, 0.8, 0.0])
    whole = project_l1(delta, low, high, eps)
    each = [project_l1(*(v[i : i + 1] for v in (delta, low, high, eps))) for i in range(4)]
    assert torch.equal(whole, torch.cat(each))
    expected = [[0.4, 0.0, 0.4], [0.1, 0.0, -0.1], [0.6, -0.2, 0.0], [0.0, 0.0, 0.0]]
    assert torch.allclose(whole, torch.tensor(expected), atol=1e-7)


@given(
    seed=st.integers(0, 2**31), d=st.sampled_from([1, 5, 600]), ties=st.booleans(),
    guess=st.integers(1, 700),
)  # fmt: skip
def test_filling_takes_the_largest_first_and_among_equals_the_first(seed, d, ties, guess):
    generator = torch.Generator().manual_seed(seed)
    size = torch.rand(4, d, generator=generator, dtype=torch.float64)
    size = (3 * size).round() if ties else size
    most = torch.rand(4, d, generator=generator, dtype=torch.float64) / 3
    most[size == 0] = 0
    given_ = fill(size, most, torch.full((4, 1), guess))
    for row, s, m in zip(given_.tolist(), size.tolist(), most.tolist(), strict=True):
        left, expected = 1.0, [0.0] * d
        for i in sorted(range(d), key=lambda i: (-s[i], i)):
            if left > 1e-6:
                expected[i] = min(m[i], left)
            left -= m[i]
        assert row == pytest.approx(expected, abs=1e-9)


@given(seed=st.integers(0, 2**31), d=st.integers(1, 30), values=st.integers(1, 5))
def test_the_k_largest_are_chosen_and_among_equals_the_first(seed, d, values):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(values, (5, d), generator=generator).double()
    k = torch.tensor([0, 1, d // 2, d, d + 3])
    for row, chosen, count in zip(x.tolist(), largest_k(x, k).tolist(), k.tolist(), strict=True):
        best = set(sorted(range(d), key=lambda i: (-row[i], i))[:count])
        assert [i in best for i in range(d)] == chosen
    assert largest_k(x, torch.tensor([float("inf")] * 5)).all()


def test_each_samples_own_number_of_coordinates_shares_its_step():
    gradient = torch.randn(3, 300, generator=torch.Generator().manual_seed(0))
    k = torch.tensor([1, 7, 200])
    step = L1(1.0).steepest_direction(gradient, k=k)
    assert (step != 0).sum(1).tolist() == k.tolist()
    for i in range(3):
        alone = L1(1.0).steepest_direction(gradient[i : i + 1], k=int(k[i]))
        assert torch.equal(step[i : i + 1], alone)
