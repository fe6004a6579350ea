"""Attention against torch's own, decoding with a cache, and the record of what is looked at."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from saddlepoint.errors import InputError
from saddlepoint.model.guard import Guard
from saddlepoint.zoo import (
    Attention,
    Cache,
    build_model,
    causal_bias,
    padding_bias,
    record_attention,
)

F64 = torch.float64


def attention(d=12, heads=3, **options):
    return Attention(d, heads, **options).to(F64).eval()


def torchs(layer):
    """torch's own layer with the same weights."""
    other = nn.MultiheadAttention(layer.d, layer.heads, batch_first=True).to(F64)
    pairs = {
        "in_proj_weight": layer.qkv.weight, "in_proj_bias": layer.qkv.bias,
        "out_proj.weight": layer.out.weight, "out_proj.bias": layer.out.bias,
    }  # fmt: skip
    other.load_state_dict(pairs)
    return other.eval()


@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 2, 3]),
    st.booleans(),
)  # fmt: skip
def test_it_is_torchs_attention(n, queries, keys, heads, biased):
    layer = attention(6, heads)
    nn.init.normal_(layer.qkv.bias)
    q, kv = torch.randn(n, queries, 6, dtype=F64), torch.randn(n, keys, 6, dtype=F64)
    bias = torch.randn(queries, keys, dtype=F64) if biased else None
    expected, _ = torchs(layer)(q, kv, kv, attn_mask=bias)
    torch.testing.assert_close(layer(q, kv, bias), expected, rtol=1e-10, atol=1e-12)


def test_keys_may_be_narrower_than_values():
    layer, x, other = (
        attention(8, 2, d_k=3),
        torch.rand(1, 5, 8, dtype=F64),
        torch.rand(1, 4, 8, dtype=F64),
    )
    assert layer.qkv.weight.shape == (2 * 3 + 2 * 3 + 8, 8)

    def by_hand(q, kv):
        heads = []
        for h in range(2):
            w, b = layer.qkv.weight, layer.qkv.bias
            rows = [
                slice(3 * h, 3 * h + 3),
                slice(6 + 3 * h, 9 + 3 * h),
                slice(12 + 4 * h, 16 + 4 * h),
            ]
            query, key, value = (t @ w[r].T + b[r] for t, r in zip((q, kv, kv), rows, strict=True))
            heads.append((query @ key.transpose(1, 2) / 3**0.5).softmax(-1) @ value)
        return layer.out(torch.cat(heads, -1))

    torch.testing.assert_close(layer(x), by_hand(x, x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x, other), by_hand(x, other), rtol=1e-12, atol=1e-12)
    cache = Cache()
    steps = [layer(x[:, i : i + 1], cache=cache) for i in range(5)]
    whole = layer(x, bias=causal_bias(5, dtype=F64))
    torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-12, atol=1e-12)


def test_causality_and_padding_are_torchs_masks():
    layer, x = attention(), torch.randn(2, 5, 12, dtype=F64)
    present = torch.tensor([[True] * 5, [True, True, True, False, False]])
    bias = causal_bias(5, dtype=F64) + padding_bias(present, F64)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = torchs(layer)(x, x, x, attn_mask=later, key_padding_mask=~present)
    torch.testing.assert_close(layer(x, bias=bias), expected)
    moved = x.clone()
    moved[1, 3:] += 1  # padding is nothing to the others
    assert torch.equal(layer(moved, bias=bias)[1, :3], layer(x, bias=bias)[1, :3])


def test_a_bias_may_be_made_of_the_queries():
    layer, x = attention(), torch.randn(2, 5, 12, dtype=F64)
    seen = []

    def bias(query):
        seen.append(query.shape)
        return causal_bias(5, dtype=F64)

    assert torch.equal(layer(x, bias=bias), layer(x, bias=causal_bias(5, dtype=F64)))
    assert seen == [(2, 3, 5, 4)]


@pytest.mark.parametrize("leading", [(2,), (2, 4), (2, 4, 3)])
def test_axes_before_the_tokens_are_sets_of_their_own(leading):
    layer, x = attention(), torch.randn(*leading, 5, 12, dtype=F64)
    biases = torch.randn(*leading[1:], 3, 5, 5, dtype=F64)
    whole = layer(x, bias=biases)
    flat = x.flatten(0, -3)
    each = biases.expand(*leading, 3, 5, 5).reshape(-1, 3, 5, 5)
    alone = [layer(one[None], bias=b)[0] for one, b in zip(flat, each, strict=True)]
    torch.testing.assert_close(whole.flatten(0, -3), torch.stack(alone))
    shared = biases.reshape(-1, 3, 5, 5)[0]
    with_shared = layer(x, bias=shared)
    expected = torch.stack([layer(one[None], bias=shared)[0] for one in flat])
    torch.testing.assert_close(with_shared.flatten(0, -3), expected)


@pytest.mark.parametrize("pieces", [(1,) * 7, (3, 1, 3), (7,), (2, 5)])
def test_decoding_with_a_cache_is_causal_attention(pieces):
    layer, x, cache = attention(), torch.randn(2, 7, 12, dtype=F64), Cache()
    outputs, past = [], 0
    for length in pieces:
        bias = causal_bias(length, past, dtype=F64)
        outputs.append(layer(x[:, past : past + length], bias=bias, cache=cache))
        past += length
        assert len(cache) == past
    whole = layer(x, bias=causal_bias(7, dtype=F64))
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=0, atol=1e-12)
    assert not torch.allclose(whole, layer(x))


def test_the_tokens_of_an_encoder_are_projected_once(monkeypatch):
    layer, memory, cache = attention(), torch.randn(2, 6, 12, dtype=F64), Cache()
    x = torch.randn(2, 4, 12, dtype=F64)
    steps = [layer(x[:, i : i + 1], memory, cache=cache) for i in range(4)]
    torch.testing.assert_close(torch.cat(steps, 1), layer(x, memory), rtol=0, atol=1e-12)
    assert len(cache) == 6
    calls, projected = [], layer._projected
    monkeypatch.setattr(
        layer, "_projected", lambda *given: (calls.append(given[1:]), projected(*given))[1]
    )
    layer(x[:, :1], memory, cache=cache)
    assert calls == [(0, 1)]


def test_caches_are_not_mixed_up():
    layer, x, memory = (
        attention(),
        torch.randn(2, 3, 12, dtype=F64),
        torch.randn(2, 6, 12, dtype=F64),
    )
    own, encoders = Cache(), Cache()
    layer(x, cache=own)
    layer(x, memory, cache=encoders)
    with pytest.raises(InputError, match="encoder's tokens"):
        layer(x, cache=encoders)
    with pytest.raises(InputError, match="other tokens"):
        layer(x, memory.clone(), cache=encoders)
    with pytest.raises(InputError, match="other tokens"):
        layer(x, memory, cache=own)
    with pytest.raises(InputError, match="begin a new one for each batch"):
        layer(x[:1], cache=own)


@pytest.mark.parametrize(("d", "heads", "near"), [(96, 5, 4), (10, 4, 5), (8, 0, 1)])
def test_heads_that_do_not_divide_the_features(d, heads, near):
    with pytest.raises(
        InputError, match=rf"{d} features .* {heads} heads; give for instance {near}"
    ):
        Attention(d, heads)


def test_dropout_is_of_training_and_of_the_attention_alone():
    layer, x = Attention(12, 3, dropout=0.5), torch.randn(2, 5, 12)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit-micro", {}), ("vit-micro", {"positions": "relative"}),
        ("swin-micro", {}), ("swin-micro", {"bias": "none"}),
    ],
)  # fmt: skip
def test_a_record_changes_no_logits_and_its_rows_sum_to_one(name, options):
    net = build_model(name, classes=5, shape=(3, 28, 20), options=options).eval()
    images = torch.rand(2, 3, 28, 20)
    before = net(images)
    with record_attention(net) as maps:
        recorded = net(images)
    torch.testing.assert_close(recorded, before, rtol=0, atol=1e-6)
    layers = [k for k, part in net.named_modules() if isinstance(part, Attention)]
    assert list(maps) == layers
    assert all(not each.requires_grad for each in maps.values())
    for each in maps.values():
        torch.testing.assert_close(each.sum(-1), torch.ones(each.shape[:-1]))
    assert torch.equal(net(images), before)


def test_a_query_that_may_look_at_nothing_gets_nothing_with_and_without_a_record():
    layer, x = attention(), torch.randn(1, 3, 12, dtype=F64)
    bias = torch.zeros(3, 3, dtype=F64)
    bias[1] = -torch.inf
    plain = layer(x, bias=bias)
    with record_attention(nn.Sequential(layer)) as maps:
        recorded = layer(x, bias=bias)
    torch.testing.assert_close(recorded, plain)
    assert not maps["0"][:, :, 1].any()


def test_a_record_is_put_away_after_errors_and_inside_another():
    net = nn.Sequential(attention())
    x = torch.randn(1, 3, 12, dtype=F64)
    with record_attention(net) as outer:
        with pytest.raises(RuntimeError), record_attention(net) as inner:
            net(x[..., :5])
        assert not inner
        with record_attention(net) as inner:
            net(x)
        assert torch.equal(inner["0"], outer["0"])  # a call inside is a call
        net(2 * x)
    assert not torch.equal(inner["0"], outer["0"])
    assert outer["0"].shape == (1, 3, 3, 3)
    assert net[0].recorder is None


def parallel_inside(net):
    net.blocks[1].attention = nn.DataParallel(net.blocks[1].attention)
    return net


@pytest.mark.parametrize(
    "around",
    [
        nn.DataParallel,
        lambda net: torch.compile(net, backend="aot_eager"),
        lambda net: nn.Sequential(nn.DataParallel(net)),
        lambda net: parallel_inside(net),
    ],
)
def test_a_record_sees_through_wrappers(around):
    torch.compiler.reset()
    net = build_model("vit-micro", classes=3, shape=(1, 8, 8), options={"depth": 2}).eval()
    images = torch.rand(2, 1, 8, 8)
    wrapped = around(net)
    expected = wrapped(images)
    with record_attention(wrapped) as maps:
        found = wrapped(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    ends = ["blocks.0.attention", "blocks.1.attention"]
    assert [name.removeprefix("0.") for name in maps] == ends


def test_a_record_inside_the_guard_and_with_a_graph():
    net = build_model("vit-micro", classes=3, shape=(1, 8, 8))
    images = torch.rand(4, 1, 8, 8)
    with record_attention(net) as maps, Guard(net, 4) as guard:
        guard.gradient(images, lambda logits: logits[:, 0])
    assert maps["blocks.3.attention"].shape == (4, 3, 5, 5)
    images.requires_grad_()
    with record_attention(net, graph=True) as maps:
        net(images)
    maps["blocks.3.attention"][:, :, 0, 1:].square().sum().backward()
    assert float(images.grad.abs().max()) > 0


def test_what_has_no_such_layers_is_refused():
    with (
        pytest.raises(InputError, match="Linear has no attention of this package"),
        record_attention(nn.Linear(1, 1)),
    ):
        pass


def test_math_and_fused_attention_agree_and_math_has_a_second_derivative():
    net = build_model("vit-micro", classes=5, shape=(3, 32, 32)).eval()
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    fused = net(x)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        torch.testing.assert_close(net(x), fused, rtol=0, atol=1e-5)
    with sdpa_kernel(SDPBackend.MATH):
        exact = net(x)
        torch.testing.assert_close(exact, fused, rtol=0, atol=1e-5)
        (gradient,) = torch.autograd.grad(exact[:, 0].sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(gradient.square().sum(), x)
    assert bool(curvature.isfinite().all())
    assert bool(curvature.any())
