"""Algorithm 2: its levels, its bounds, its gradient, against the formula in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.func import grad, vmap

from saddlepoint.defences.quantisation import fake_quantise
from saddlepoint.errors import InputError

DTYPES = (torch.float64, torch.float32, torch.bfloat16)


def bits_of(x):
    """The floats as integers, so that equality is that of bits."""
    return x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()])


def formula(x, bits, a, b):
    """Algorithm 2 as printed, in float64."""
    x = x.double().numpy()
    s = (b - a) / (2**bits - 1)
    return torch.from_numpy(s * np.round((np.clip(x, a, b) - a) / s) + a)


@pytest.mark.parametrize(("bits", "dtype"), list(itertools.product((1, 2, 4, 8), DTYPES[:2])))
def test_it_is_the_formula(bits, dtype):
    x = torch.randn(5000, generator=torch.Generator().manual_seed(bits)).to(dtype)
    own = formula(x, bits, float(x.min()), float(x.max()))
    torch.testing.assert_close(fake_quantise(x, bits).double(), own, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        fake_quantise(x, bits, -0.7, 1.1).double(), formula(x, bits, -0.7, 1.1), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_dense_ramp_has_exactly_all_levels(bits):
    for dtype in (torch.float32, torch.float64):
        ramp = torch.linspace(-1.3, 2.1, 2**bits * 9 + 5, dtype=dtype)
        levels = fake_quantise(ramp, bits).unique()
        assert len(levels) == 2**bits
        ends = torch.stack([levels[0], levels[-1]])
        torch.testing.assert_close(ends, ramp[[0, -1]], rtol=1e-6, atol=0)
    half = fake_quantise(torch.linspace(-1, 1, 4001).bfloat16(), min(bits, 6))
    assert len(half.unique()) == 2 ** min(bits, 6)


def test_there_is_no_level_too_many_at_the_ends():
    for seed in range(50):
        x = torch.randn(300, generator=torch.Generator().manual_seed(seed))
        assert len(fake_quantise(x, 2).unique()) == 4
        assert len(fake_quantise(x, 3, -0.9, 1.1).unique()) == 8


def test_rounding_is_to_the_nearest_and_not_down():
    x = torch.tensor([0.0, 0.9, 1.1, 1.6, 3.0])
    assert fake_quantise(x, 2).tolist() == [0.0, 1.0, 1.0, 2.0, 3.0]


finite = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(finite, min_size=1, max_size=40),
    ends=st.tuples(finite, finite),
    bits=st.integers(1, 16),
    dtype=st.sampled_from(DTYPES),
)
@example([1.0, 1.0078125, 1.5], (0.0, 2.0), 8, torch.bfloat16)  # steps of about one ulp
@example([1000.0004, 1000.0007], (1000.0, 1000.001), 4, torch.float32)
def test_levels_error_range_and_idempotence(values, ends, bits, dtype):
    x = torch.tensor(values, dtype=dtype)
    a, b = (float(torch.tensor(end, dtype=dtype)) for end in sorted(ends))
    y = fake_quantise(x, bits, a, b)
    assert torch.equal(bits_of(fake_quantise(y, bits, a, b)), bits_of(y))
    assert len(y.unique()) <= 2**bits
    assert bool((y >= a).all())
    assert bool((y <= b).all())
    inside = (x >= a) & (x <= b)
    largest = max(abs(a), abs(b), b - a)
    s = (b - a) / (2**bits - 1)
    slack = 2 * torch.finfo(dtype).eps * largest + 1e-6 * s
    assert float((y - x).double().abs()[inside].max() if inside.any() else 0.0) <= s / 2 + slack


@settings(max_examples=150, deadline=None)
@given(
    start=st.floats(-1e3, 1e3),
    width=st.floats(1e-7, 1.0),
    bits=st.integers(1, 16),
    dtype=st.sampled_from(DTYPES),
)
def test_idempotence_where_steps_are_as_fine_as_the_floats(start, width, bits, dtype):
    a = torch.tensor(start, dtype=dtype)
    b = torch.tensor(start + width * max(1.0, abs(start)), dtype=dtype)
    x = torch.lerp(a.double(), b.double(), torch.linspace(0, 1, 999).double()).to(dtype)
    y = fake_quantise(x, bits, a, b)
    assert torch.equal(fake_quantise(y, bits, a, b), y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, -3.25, 1e-30, 7e4])
def test_constant_tensors_stay_constant_and_finite(value, dtype):
    x = torch.full((3, 4), value, dtype=dtype, requires_grad=True)
    for y in (fake_quantise(x, 4), fake_quantise(x, 4, channel_axis=0)):
        assert torch.equal(y, x)
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(gradient, torch.ones_like(x))
    assert torch.equal(fake_quantise(x, 4, 2.0, 2.0), torch.full_like(x, 2.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_is_equation_two_to_the_bit(dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, generator=generator).to(dtype)
    x[:4] = torch.tensor([-0.5, 0.75, -0.5, 0.75])  # on the bounds: still inside
    upstream = torch.randn(1000, generator=generator).to(dtype)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fake_quantise(leaf, 3, -0.5, 0.75), leaf, upstream)
    inside = (x >= -0.5) & (x <= 0.75)
    assert torch.equal(gradient, torch.where(inside, upstream, 0))
    assert bool(inside[:4].all())
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fake_quantise(leaf, 3), leaf, upstream)
    assert torch.equal(gradient, upstream)  # by its own extremes everything is inside


def test_bounds_get_no_gradient():
    x = torch.randn(50, requires_grad=True)
    a, b = (torch.tensor(v, requires_grad=True) for v in (-0.5, 0.5))
    y = fake_quantise(x, 4, a, b)
    assert torch.autograd.grad(y.sum(), (a, b), allow_unused=True) == (None, None)


def test_each_channel_has_its_own_levels():
    x = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    x = x * torch.logspace(-3, 3, 4)[:, None, None]
    y = fake_quantise(x, 2, channel_axis=1)
    for channel in range(4):
        assert torch.equal(y[:, channel], fake_quantise(x[:, channel], 2))
    assert torch.equal(y, fake_quantise(x, 2, channel_axis=-3))
    assert len(fake_quantise(x, 2)[:, 0].unique()) == 1  # lost beside the large channels
    upper = torch.tensor([1.0, 2.0, 3.0, 4.0])
    y = fake_quantise(x, 2, torch.zeros(4), upper, channel_axis=1)
    for channel in range(4):
        expected = fake_quantise(x[:, channel], 2, 0.0, float(upper[channel]))
        assert torch.equal(y[:, channel], expected)
    vector = torch.randn(6)
    assert torch.equal(fake_quantise(vector, 1, channel_axis=0), vector)
    number = torch.tensor(1.5)
    assert torch.equal(fake_quantise(number, 1), number)


def test_many_networks_can_be_mapped_over():
    weights = torch.randn(3, 4, 5)
    mapped = vmap(grad(lambda w: (fake_quantise(w, 2) ** 2).sum()))(weights)
    for one, whole in zip(weights, mapped, strict=True):
        assert torch.equal(whole, 2 * fake_quantise(one, 2))


def test_nothing_stays_nothing_and_nan_is_not_hidden():
    assert fake_quantise(torch.zeros(0, 3), 4).shape == (0, 3)
    assert fake_quantise(torch.tensor([float("nan"), 0.5]), 4, 0.0, 1.0).isnan().tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2), 0), "bits is 0; give a whole number from 1 to 16"),
        ((torch.zeros(2), 17), "bits is 17"),
        ((torch.zeros(2), 2.0), "bits is 2.0"),
        ((torch.zeros(2), True), "bits is True"),
        ((torch.zeros(2).long(), 4), "torch.int64 cannot be quantised; give floats"),
        ((torch.zeros(2), 4, 1.0, 0.0), "above the upper one"),
        ((torch.zeros(2), 4, float("nan"), 0.0), "NaN"),
        ((torch.zeros(2), 4, None, None, 1), "channel_axis is 1, but the tensor has 1 axes"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        fake_quantise(*arguments)
