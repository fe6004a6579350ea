"""Distances, rollout, similarities and components against closed forms and loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    attention_distance,
    build_model,
    class_rollout,
    filter_components,
    position_similarity,
    record_attention,
    rollout,
)

F64 = torch.float64


def drawn(*shape):
    return torch.randn(*shape, dtype=F64).softmax(-1)


def test_the_distance_of_uniform_attention_and_of_none():
    uniform = torch.full((1, 2, 4, 4), 0.25, dtype=F64)
    expected = (0 + 1 + 1 + math.sqrt(2)) / 4 * 16
    assert attention_distance(uniform, (2, 2), 16)[0].tolist() == pytest.approx([expected] * 2)
    # On a line the mean distance of two of n places is (n² − 1)/3n.
    line = torch.full((1, 1, 9, 9), 1 / 9, dtype=F64)
    assert float(attention_distance(line, (1, 9), 3)) == pytest.approx(3 * 80 / 27)
    identity = torch.eye(5, dtype=F64).expand(1, 3, 5, 5)
    assert not attention_distance(identity, (2, 2), 4).any()


@pytest.mark.parametrize("renormalise", [True, False])
def test_the_distance_by_loops_with_a_class_token(renormalise):
    attention, grid, patch = drawn(2, 3, 7, 7), (2, 3), 4
    found = attention_distance(attention, grid, patch, renormalise=renormalise)
    for n in range(2):
        for h in range(3):
            total = 0.0
            for q in range(6):
                row = attention[n, h, q + 1, 1:]
                share = row / row.sum() if renormalise else row
                far = [math.dist(divmod(q, 3), divmod(k, 3)) * patch for k in range(6)]
                total += sum(float(s) * f for s, f in zip(share, far, strict=True)) / 6
            assert float(found[n, h]) == pytest.approx(total)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(2, 6))
def test_rows_of_a_rollout_sum_to_one(layers, heads, tokens):
    found = rollout([drawn(2, heads, tokens, tokens) for _ in range(layers)])
    torch.testing.assert_close(found.sum(-1), torch.ones(2, tokens, dtype=F64))
    assert bool((found >= 0).all())


def test_the_rollout_of_identities_is_the_identity_and_later_layers_come_first():
    identity = torch.eye(5, dtype=F64).expand(2, 3, 5, 5)
    assert torch.equal(rollout([identity] * 4), torch.eye(5, dtype=F64).expand(2, 5, 5))
    first, last = drawn(1, 2, 5, 5), drawn(1, 2, 5, 5)
    halves = [(each.mean(1) + torch.eye(5, dtype=F64)) / 2 for each in (first, last)]
    torch.testing.assert_close(rollout([first, last]), halves[1] @ halves[0])


def test_the_rollout_of_a_network_is_a_map_of_its_patches():
    net = build_model("vit-micro", classes=3, shape=(1, 28, 20)).eval()
    with record_attention(net) as maps, torch.no_grad():
        net(torch.rand(2, 1, 28, 20))
    found = class_rollout(list(maps.values()), (7, 5))
    assert found.shape == (2, 7, 5)
    assert bool((found.flatten(1).sum(1) < 1).all())  # the rest is the class token's own
    net = build_model("swin-micro", classes=3, shape=(1, 28, 28)).eval()
    with record_attention(net) as maps, torch.no_grad():
        net(torch.rand(2, 1, 28, 28))
    with pytest.raises(InputError, match="of every layer of a ViT"):
        rollout(list(maps.values()))


def test_codes_of_rows_and_columns_are_similar_along_them():
    rows, columns = torch.randn(3, 6, dtype=F64), torch.randn(4, 6, dtype=F64)
    codes = torch.cat([rows[:, None].expand(3, 4, 6), columns.expand(3, 4, 6)], -1).flatten(0, 1)
    found = position_similarity(codes, (3, 4))
    assert found.shape == (3, 4, 3, 4)
    for i, j, k, m in [(0, 0, 0, 0), (1, 2, 0, 3), (2, 1, 2, 0)]:
        a, b = codes[4 * i + j], codes[4 * k + m]
        expected = torch.dot(a, b) / a.norm() / b.norm()
        torch.testing.assert_close(found[i, j, k, m], expected)


def test_components_are_those_of_the_covariance():
    filters = torch.randn(40, 2, 3, 3, dtype=F64) * torch.arange(1, 10).reshape(3, 3)
    components, shares = filter_components(filters, 5)
    flat = filters.flatten(1)
    values, vectors = torch.linalg.eigh(flat.T.cov())
    torch.testing.assert_close(shares, values.flip(0)[:5] / values.sum())
    for i in range(5):
        along = torch.dot(components[i].flatten(), vectors[:, -1 - i]).abs()
        assert float(along) == pytest.approx(1)
    assert (
        components.flatten(1).gather(1, components.flatten(1).abs().argmax(1)[:, None]) > 0
    ).all()


def test_tokens_must_be_those_of_the_grid():
    with pytest.raises(InputError, match="among 7 tokens, but a grid of 2×2 has 4, or 5"):
        attention_distance(drawn(1, 1, 7, 7), (2, 2), 4)
