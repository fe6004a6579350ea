"""The quantised activations: levels, gradients against their surrogates, bounds that follow data."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from saddlepoint.defences.activations import (
    ACTIVATIONS,
    DDTReLU,
    DTReLU,
    NaiveDynamicThreshold,
    PiecewiseLinear,
)
from saddlepoint.defences.quantisation import fake_quantise
from saddlepoint.errors import InputError

STEPPED = [name for name in ACTIVATIONS if name != "piecewise-linear"]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def double(layer, upper=2.0):
    layer.double().set_range(upper)
    return layer


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("name", STEPPED)
def test_all_levels_are_there_and_the_range_saturates(name, bits):
    layer = ACTIVATIONS[name](bits)
    layer.set_range(2.5)
    ramp = torch.linspace(-2, 4, 100 * 2**bits)
    y = layer(ramp).detach()
    assert len(y.unique()) == 2**bits
    torch.testing.assert_close(y.unique(), layer.levels(), atol=1e-5, rtol=0)
    assert y[0] == y[ramp < 0].max()
    assert bool((y.diff() >= 0).all())
    inside = (ramp > 0) & (ramp < 2.5)
    gap = 2.5 / (2**bits - 1)
    # Nearest levels, but for the control, which takes the one below.
    most = gap if name == "naive-unaveraged" else gap / 2
    assert float((y - ramp)[inside].abs().max()) <= most + 1e-4


@pytest.mark.parametrize("bits", [1, 3])
def test_the_piecewise_linear_one_is_clipping_at_first_and_continuous_always(bits):
    layer = double(PiecewiseLinear(bits))
    x = normal(500) * 2
    assert torch.allclose(layer(x), x.clamp(0, 2), atol=1e-12)
    with torch.no_grad():
        layer.values.copy_(normal(2**bits, seed=1))
        layer.knots.raw_gaps.copy_(normal(2**bits - 1, seed=2))
    knots = layer.knots().detach()
    assert torch.allclose(layer(knots), layer.values)
    assert torch.allclose(layer(knots - 1e-9), layer(knots + 1e-9), atol=1e-6)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))
    parameters = dict(layer.named_parameters())
    assert torch.autograd.gradcheck(
        lambda *values: functional_call(layer, dict(zip(parameters, values, strict=True)), (x,)),
        tuple(p.detach().clone().requires_grad_() for p in parameters.values()),
    )


@pytest.mark.parametrize("gradient", ["report", "lsq"])
def test_dtrelu_is_algorithm_two_with_the_gradients_of_the_card(gradient):
    layer = double(DTReLU(3, gradient), 1.5)
    with torch.no_grad():
        layer.lower.fill_(-0.25)
    x = normal(400).requires_grad_()
    with torch.no_grad():
        x[0], x[1] = -0.25, 1.5  # on the bounds: inside
    g = normal(400, seed=1)
    y = layer(x)
    assert torch.allclose(y, fake_quantise(x, 3, -0.25, 1.5), atol=1e-12)
    grad_x, grad_a, grad_b = torch.autograd.grad(y, (x, layer.lower, layer.upper), g)
    below, above = x < -0.25, x > 1.5
    inside = ~below & ~above
    assert torch.equal(grad_x, torch.where(inside, g, 0))
    u = (x + 0.25) / (1.75 / 7)
    rounding = torch.where(inside, (u.round() - u) / 7, 0) if gradient == "lsq" else 0 * x
    assert torch.allclose(grad_b, (g * (above + rounding)).sum())
    assert torch.allclose(grad_a, (g * (below.double() - rounding)).sum())


@pytest.mark.parametrize("gradient", ["report", "lsq"])
def test_dtrelu_bounds_against_finite_differences_of_the_surrogate(gradient):
    layer = double(DTReLU(3, gradient), 1.5)
    x, g = normal(300), normal(300, seed=1)
    inside = (x >= 0) & (x <= 1.5)
    number = ((x.clamp(0, 1.5)) / (1.5 / 7)).round()
    rounding = number - x.clamp(0, 1.5) / (1.5 / 7)  # what rounding adds, held constant

    def surrogate(a, b):
        if gradient == "report":  # clipping; inside nothing depends on the bounds
            return torch.where(inside, x, x.clamp(a, b))
        s = (b - a) / 7
        return s * ((x.clamp(a, b) - a) / s + rounding) + a

    h = 1e-6
    expected_a = (g * (surrogate(h, 1.5) - surrogate(-h, 1.5))).sum() / (2 * h)
    expected_b = (g * (surrogate(0, 1.5 + h) - surrogate(0, 1.5 - h))).sum() / (2 * h)
    grad_a, grad_b = torch.autograd.grad(layer(x), (layer.lower, layer.upper), g)
    assert torch.allclose(grad_a, expected_a, atol=1e-6)
    assert torch.allclose(grad_b, expected_b, atol=1e-6)


@pytest.mark.parametrize("bits", [1, 3])
def test_ddtrelu_against_finite_differences_of_its_surrogate(bits):
    layer = double(DDTReLU(bits))
    with torch.no_grad():
        layer.thresholds.raw_gaps += 0.5 * normal(2**bits, seed=3)
    x, g = normal(300) * 2, normal(300, seed=1)
    t = layer.thresholds().detach()
    i = torch.bucketize(x, t[1:-1], right=True)

    def inverse(t):  # φ⁻¹ of x, clipped to the range
        z = torch.minimum(torch.maximum(x, t[0]), t[-1])
        return i + (z - t[i]) / (t[i + 1] - t[i])

    def phi(u, t):
        return t[i] + (u - i) * (t[i + 1] - t[i])

    rounding = i + 0.5 - inverse(t)  # held constant

    def surrogate(t):
        return (g * phi(rounding + inverse(t), t)).sum()

    assert torch.allclose(phi(rounding + inverse(t), t), layer(x))
    h = 1e-6
    steps = h * torch.eye(len(t), dtype=torch.float64)
    expected = torch.stack([(surrogate(t + e) - surrogate(t - e)) / (2 * h) for e in steps])
    leaf = t.clone().requires_grad_()
    layer.thresholds.forward = lambda: leaf
    (gradient,) = torch.autograd.grad((g * layer(x)).sum(), leaf)
    assert torch.allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("name", STEPPED)
def test_the_gradient_in_x_is_straight_through_and_saturates(name):
    layer = double(ACTIVATIONS[name](3))
    x = (normal(500) * 3).requires_grad_()
    g = normal(500, seed=1)
    (gradient,) = torch.autograd.grad(layer(x), x, g)
    half = 0 if name in ("dtrelu", "naive-unaveraged") else 1 / 7
    inside = (x > -half) & (x < 2 + half)
    assert torch.equal(gradient, torch.where(inside, g, 0))


def test_naive_thresholds_get_half_of_each_interval_beside_them_and_the_control_all_of_one():
    x = torch.tensor([0.1, 0.2, 1.1, 2.4, 9.0], dtype=torch.float64)
    g = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)
    layer = double(NaiveDynamicThreshold(2), 3.0)  # −½, ½, 1½, 2½, 3½
    (gradient,) = torch.autograd.grad(layer(x), layer.thresholds, g)
    assert gradient.tolist() == [1.5, 3.5, 6.0, 12.0, 8.0]
    layer = double(NaiveDynamicThreshold(2, averaged=False), 3.0)  # 0, 1, 2, 3
    (gradient,) = torch.autograd.grad(layer(x), layer.thresholds, g)
    assert gradient.tolist() == [3.0, 4.0, 8.0, 16.0]


def descend(layer, steps, optimiser, scale=1.0):
    for step in range(steps):
        x = scale * normal(256, seed=step, dtype=torch.float32)
        optimiser.zero_grad()
        (layer(x) - x.relu()).square().mean().backward()
        optimiser.step()
    return layer


def sgd(layer, rate, decay=0.0):
    return torch.optim.SGD(layer.parameters(), lr=rate, weight_decay=decay)


def test_the_upper_bound_moves_towards_the_data_from_below():
    layer = DTReLU(4)
    layer.set_range(0.3)
    descend(layer, 500, sgd(layer, 0.5))
    assert 2 < layer.upper.item() < 4.5
    assert abs(layer.lower.item()) < 0.1


def test_a_bound_set_by_an_outlier_recovers_by_weight_decay_or_by_lsq_and_not_without():
    def from_outlier(gradient, decay):
        layer = DTReLU(4, gradient)
        layer.calibrate(torch.full((10,), 100.0))
        optimiser = torch.optim.SGD(layer.parameters(), 0.5, momentum=0.9, weight_decay=decay)
        return descend(layer, 2000, optimiser)

    assert from_outlier("report", 0.0).upper.item() == 100.0
    assert 1 < from_outlier("report", 0.002).upper.item() < 4.5
    lsq = from_outlier("lsq", 0.0)
    assert 1.5 < lsq.upper.item() - lsq.lower.item() < 6
    x = normal(2000, seed=9, dtype=torch.float32)
    assert (lsq(x) - x.relu()).square().mean().item() < 0.02


def test_one_outlier_hardly_pulls_a_calibrated_bound():
    layer = DTReLU(4)
    layer.calibrate(normal(5000))
    before = layer.upper.item()
    x = torch.cat([normal(255), torch.tensor([1000.0])]).float()
    (layer(x) - x.relu()).square().mean().backward()
    sgd(layer, 0.01).step()
    assert layer.upper.item() - before < 0.1


@pytest.mark.parametrize("gradient", ["report", "lsq"])
@pytest.mark.parametrize("upper", [0.0, -1.0])
def test_crossed_bounds_give_a_constant_and_finite_gradients_that_open_them_again(gradient, upper):
    layer = DTReLU(4, gradient)
    with torch.no_grad():
        layer.upper.fill_(upper)
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0], requires_grad=True)
    y = layer(x)
    assert y.tolist() == [0.0] * 5
    y.backward(-torch.ones(5))  # a larger output is wanted
    assert x.grad.tolist() == [0.0, 0.0, -1.0, 0.0, 0.0]
    assert layer.upper.grad == -2
    assert layer.lower.grad == -2
    descend(layer, 300, sgd(layer, 0.1))
    assert layer.upper > layer.lower
    assert all(math.isfinite(p.item()) for p in layer.parameters())


def test_ddtrelu_keeps_its_thresholds_ordered_under_noise():
    layer = DDTReLU(4)
    generator = torch.Generator().manual_seed(0)
    for step in range(400):
        with torch.no_grad():
            for p in layer.parameters():
                p += torch.randn(p.shape, generator=generator)
        x = 5 * normal(64, seed=step, dtype=torch.float32).requires_grad_()
        t = layer.thresholds()
        assert bool((t.diff() >= 0).all())
        layer(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert bool((layer(torch.linspace(-50, 50, 999)).diff() >= 0).all())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_shapes_types_and_empty_input(name):
    layer = ACTIVATIONS[name](4)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        x = torch.randn(2, 3, 4, 5).to(dtype).requires_grad_()
        y = layer(x)
        assert (y.dtype, y.shape) == (dtype, x.shape)
        y.sum().backward()
        assert x.grad.dtype == dtype
        assert all(p.grad.dtype == p.dtype for p in layer.parameters())
    assert layer(torch.zeros(0, 3)).shape == (0, 3)


def test_many_dtrelu_can_be_mapped_over():
    layers = [double(DTReLU(3, "lsq"), upper) for upper in (0.5, 1.0, 2.0)]
    parameters, buffers = stack_module_state(layers)
    x = normal(50)

    def loss(parameters, buffers):
        return (functional_call(layers[0], (parameters, buffers), (x,)) ** 2).sum()

    gradients = vmap(torch.func.grad(loss))(parameters, buffers)
    for i, layer in enumerate(layers):
        (layer(x) ** 2).sum().backward()
        assert torch.allclose(gradients["upper"][i], layer.upper.grad)


def test_bad_input():
    for build in ACTIVATIONS.values():
        with pytest.raises(InputError, match="bits is 0"):
            build(0)
    with pytest.raises(InputError, match='gradient is "exact"; it is "report" or "lsq"'):
        DTReLU(4, "exact")
