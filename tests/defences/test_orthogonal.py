"""The four orthogonal forms: zero sets, minima, gradients; all against explicit float64 formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saddlepoint.configuration import configuration
from saddlepoint.defences.orthogonal import Orthogonal, frobenius
from saddlepoint.errors import InputError

FORMS = (1, 2, 3, 4)
TALL, WIDE, SQUARE = (7, 4), (4, 7), (5, 5)


def normal(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def explicit(W, form, norm="fro"):
    """Eq. 3 word for word, with the full matrices and SVD."""
    m, n = W.shape
    gram = W.T @ W
    matrix = {
        1: lambda: gram - torch.eye(n).double(),
        2: lambda: W @ W.T - torch.eye(m).double(),
        3: lambda: gram * (1 - torch.eye(n).double()),
        4: lambda: gram / torch.linalg.matrix_norm(gram, 2) - torch.eye(n).double(),
    }[form]()
    return torch.linalg.matrix_norm(matrix, "fro" if norm == "fro" else 2)


def linear(W):
    net = nn.Linear(*reversed(W.shape), bias=False).double()
    net.weight.data = W.detach().clone()
    return net


def orthonormal(shape, seed=0):
    """Orthonormal columns for tall and square shapes, rows for wide ones."""
    left, _, right = torch.linalg.svd(normal(shape, seed), full_matrices=False)
    return left @ right


@pytest.mark.parametrize("shape", [TALL, WIDE, SQUARE])
@pytest.mark.parametrize("norm", ["fro", "spectral"])
@pytest.mark.parametrize("form", FORMS)
def test_value_and_gradient_are_those_of_the_printed_formula(form, norm, shape):
    W = normal(shape).requires_grad_()
    expected = explicit(W, form, norm)
    (slope,) = torch.autograd.grad(expected, W)
    net, penalty = linear(W), Orthogonal(form, norm, iterations=20)
    for _ in range(40):
        value = penalty(net)
    value.backward()
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-8)
    if form == 4 and norm == "spectral" and shape == WIDE:
        slope = torch.zeros_like(slope)  # the norm is 1 there whatever W is
    torch.testing.assert_close(net.weight.grad, slope, rtol=1e-5, atol=1e-6)


@given(m=st.integers(1, 9), n=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_the_smaller_gram_matrix_gives_the_same(m, n, seed):
    W = normal((m, n), seed)
    for form in (1, 2, 3):
        torch.testing.assert_close(frobenius(W, form), explicit(W, form), rtol=1e-9, atol=1e-7)
    scaled = W / torch.linalg.matrix_norm(W, 2)
    torch.testing.assert_close(frobenius(scaled, 4), explicit(W, 4))
    one, two = frobenius(W, 1) ** 2, frobenius(W, 2) ** 2
    torch.testing.assert_close(one, two + n - m)


@pytest.mark.parametrize("form", FORMS)
def test_the_smaller_gram_matrix_differentiates_the_same(form):
    for shape in (TALL, WIDE):
        W = normal(shape).requires_grad_()
        assert torch.autograd.gradcheck(lambda w: frobenius(w, form), W)
        assert torch.autograd.gradgradcheck(lambda w: frobenius(w, form), W)


def zeros_of(form):
    """Weights on the zero set of a form, and one beside it that is on another's."""
    tall, wide = orthonormal(TALL), orthonormal(WIDE)
    scales = torch.diag(torch.tensor([3.0, 0.0, 1.0, 0.5], dtype=torch.float64))
    return {
        1: ([tall, orthonormal(SQUARE)], [2 * tall, tall @ scales]),
        2: ([wide, orthonormal(SQUARE)], [2 * wide, tall]),
        3: ([tall, tall @ scales, torch.zeros(4, 7).double()], [normal(TALL), wide]),
        4: ([tall, 1e-3 * tall, 50 * orthonormal(SQUARE)], [tall @ scales, wide]),
    }[form]


@pytest.mark.parametrize("norm", ["fro", "spectral"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_zero_on_its_own_zero_set_and_its_slope_is_finite_there(form, norm):
    inside, outside = zeros_of(form)
    for W in inside:
        net = linear(W)
        value = Orthogonal(form, norm, iterations=50)(net)
        assert abs(float(value.detach())) < 1e-7
        value.backward()
        assert bool(net.weight.grad.isfinite().all())
    for W in outside:
        assert float(Orthogonal(form, norm, iterations=50)(linear(W)).detach()) > 0.1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_a_zero_weight_gives_no_nan(form, norm):
    for shape in (TALL, WIDE):
        net = linear(torch.zeros(shape).double())
        value = Orthogonal(form, norm)(net)
        value.backward()
        assert bool(net.weight.grad.isfinite().all())
        size = shape[0] if form == 2 else shape[1]
        expected = 0 if form == 3 else math.sqrt(size) if norm == "fro" else 1
        assert float(value.detach()) == pytest.approx(expected)


def minimised(W, form, norm="fro", steps=300):
    net, penalty = linear(W), Orthogonal(form, norm, iterations=1 if norm == "fro" else 3)
    penalty.begin(net)
    for step in range(steps):
        value = penalty(net)
        net.weight.grad = None
        value.backward()
        # The slope of a norm does not fade at its zero: steps that fall get there.
        net.weight.data -= 0.1 * (1 - step / steps) * net.weight.grad
    return float(explicit(net.weight.detach(), form, norm))


@pytest.mark.parametrize(
    ("form", "shape", "least"),
    [
        (1, TALL, 0.0),
        (1, WIDE, math.sqrt(3)),
        (2, TALL, math.sqrt(3)),
        (2, WIDE, 0.0),
        (3, TALL, 0.0),
        (3, WIDE, 0.0),
        (4, TALL, 0.0),
        (4, WIDE, math.sqrt(3)),
    ],
)
def test_each_form_goes_down_to_its_least_value(form, shape, least):
    W = normal(shape) / 2
    reached = minimised(W, form)
    assert least - 1e-9 <= reached < least + 0.05 * (float(explicit(W, form)) - least)


@pytest.mark.parametrize(("form", "shape"), [(1, TALL), (2, WIDE), (3, TALL), (3, WIDE), (4, TALL)])
def test_each_spectral_form_goes_down(form, shape):
    W = normal(shape) / 2
    assert minimised(W, form, "spectral") < 0.1 * float(explicit(W, form, "spectral"))


def test_form_4_does_not_see_the_scale():
    W = normal(WIDE)
    values = [float(Orthogonal()(linear(scale * W)).detach()) for scale in (1e-12, 1.0, 1e6)]
    assert values == [pytest.approx(values[1])] * 3


def test_all_layers_count_and_groups_one_by_one():
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 2), nn.ReLU(), nn.Conv1d(2, 2, 2),
        nn.Conv3d(1, 2, 2), nn.Linear(3, 5),
    ).double()  # fmt: skip
    matrices = [
        *net[0].weight.detach().flatten(1).view(2, 3, 18),
        net[1].weight.detach().transpose(0, 1).flatten(1),
        *(net[i].weight.detach().flatten(1) for i in (3, 4, 5)),
    ]
    for form in FORMS:
        expected = sum(explicit(W, form) for W in matrices)
        value = Orthogonal(form, iterations=60)(net)
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)


def test_the_state_resumes_to_the_bit_and_follows_a_moving_weight():
    net = linear(normal(TALL))
    first = Orthogonal(4, "spectral")
    second = copy.deepcopy(first)
    first.begin(net)
    for _ in range(5):
        first(net)
    state = {key: value.clone() for key, value in first.state_dict().items()}
    assert set(state) == {"u/", "v/", "x/"}
    second.begin(net)
    second.load_state_dict(state)
    assert float(second(net).detach()) == float(first(net).detach())

    for _ in range(300):
        net.weight.data += 1e-3 * torch.randn_like(net.weight)
        value = first(net)
    expected = float(explicit(net.weight.detach(), 4, "spectral"))
    assert float(value.detach()) == pytest.approx(expected, rel=0.01)


def test_float32_and_a_model_that_changes_its_type():
    net = linear(normal(WIDE)).float()
    penalty = Orthogonal(iterations=100)
    single = penalty(net)
    assert single.dtype == torch.float32
    assert float(single.detach()) == pytest.approx(float(penalty(net.double()).detach()), rel=1e-5)


def test_settings_are_described_and_the_state_is_not():
    penalty = Orthogonal(form=2, norm="spectral")
    penalty(linear(normal(TALL)))
    settings = {
        "form": 2, "norm": "spectral", "iterations": 1, "start": "random", "vectors": None,
    }  # fmt: skip
    assert {k: v for k, v in configuration(penalty).items() if k != "type"} == settings


def test_refusals():
    with pytest.raises(InputError, match="form is 5; it is one of 1, 2, 3, 4"):
        Orthogonal(form=5)
    with pytest.raises(InputError, match='norm is "frob"; it is "fro" or "spectral"'):
        Orthogonal(norm="frob")
    with pytest.raises(InputError, match=r"iterations is 1\.5"):
        Orthogonal(iterations=1.5)
    with pytest.raises(InputError, match="no convolution or linear layer"):
        Orthogonal()(nn.BatchNorm1d(3))
