"""Divergence of attention, and shares of it, against closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon

from saddlepoint.errors import InputError
from saddlepoint.zoo import attention_divergence, attention_on, changed_patches

rows = arrays(float, (3, 5), elements=st.floats(0, 1)).map(
    lambda a: a + (a.sum(1, keepdims=True) == 0)
)


@settings(max_examples=60, deadline=None)
@given(rows, rows)
def test_divergence_is_scipy_s_symmetric_and_at_most_one_bit(p, q):
    p, q = (torch.as_tensor(a / a.sum(1, keepdims=True)) for a in (p, q))
    found = attention_divergence(p, q)
    expected = torch.as_tensor(jensenshannon(p, q, base=2, axis=1) ** 2).nan_to_num()
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(found, attention_divergence(q, p), atol=1e-14, rtol=1e-12)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_rows_without_attention_have_no_divergence():
    assert attention_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]


def test_a_share_is_of_what_patches_get():
    attention = torch.tensor([[[[0.5, 0.1, 0.4], [1.0, 0, 0], [1.0, 0, 0]]]])
    patches = torch.tensor([[False, True]])
    assert attention_on(attention, patches).tolist() == [[pytest.approx(0.8)]]


def test_changes_below_the_tolerance_are_none():
    change = torch.zeros(2, 1, 4, 6)
    change[0, 0, 0, 5], change[1, 0, 3, 1] = 0.01, -0.2
    assert changed_patches(change, 2).nonzero().tolist() == [[0, 2], [1, 3]]
    assert changed_patches(change, 2, tolerance=0.1).nonzero().tolist() == [[1, 3]]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="cannot be compared"):
        attention_divergence(torch.rand(2, 3), torch.rand(2, 4))
    with pytest.raises(InputError, match="4 patches have 5"):
        attention_on(torch.rand(1, 1, 4, 4), torch.ones(1, 4, dtype=torch.bool))
