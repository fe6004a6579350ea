"""Convolutions as linear maps: against the layers themselves, and against dense matrices and their
SVD.
"""

from __future__ import annotations

import math
import random

import pytest
import torch
from sampled import mostly_slow
from torch import nn
from torch.nn import functional

from saddlepoint.defences.linear_operator import dense_operator, layer_operator
from saddlepoint.defences.power_iteration import singular_value
from saddlepoint.errors import InputError

CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MODES = ("zeros", "reflect", "replicate", "circular")


def drawn(number):
    """A random layer in float64 and the shape of its input, the sides all different."""
    rng = random.Random(number)
    dims = rng.choice((1, 2, 2, 2, 3))
    groups = rng.choice((1, 1, 2, 3))
    inputs, outputs = (groups * rng.randint(1, 3 if dims < 3 else 2) for _ in range(2))
    kernel = [rng.randint(1, 4 if dims < 3 else 3) for _ in range(dims)]
    stride = [rng.randint(1, 3) for _ in range(dims)]
    dilation = [rng.randint(1, 3 if dims < 3 else 2) for _ in range(dims)]
    sides = [rng.randint(4, 8 if dims < 3 else 5) for _ in range(dims)]
    options = {"dilation": dilation, "groups": groups, "stride": stride}
    if number % 4 == 3:
        extra = [rng.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)]
        padding = [rng.randint(0, k // 2) for k in kernel]
        options |= {"padding": padding, "output_padding": extra}
        layer = TRANSPOSED[dims - 1](inputs, outputs, kernel, **options)
    else:
        mode = rng.choice(MODES)
        # Reflection takes less than a side, a circle at most one.
        padding = [rng.randint(0, min(3, n - 1)) for n in sides]
        choice = rng.choice(("numbers", "numbers", "same", "valid"))
        if choice == "same":
            options["stride"] = 1
            most = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            sides = [max(n, total + 1) for n, total in zip(sides, most, strict=True)]
        if choice != "numbers":
            padding = choice
        if choice != "same":
            reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
            sides = [max(n, r) for n, r in zip(sides, reach, strict=True)]
        options |= {"padding": padding, "padding_mode": mode}
        layer = CONV[dims - 1](inputs, outputs, kernel, **options)
    layer = layer.double()
    generator = torch.Generator().manual_seed(number)
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    return layer, (inputs, *sides)


@torch.no_grad()
def by_hand(layer, shape):
    """The matrix of a layer from the layer's own forward, column by column."""
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return (layer(basis) - layer(zero)).flatten(1).T


@pytest.mark.parametrize("number", mostly_slow(range(80), range(40)))
def test_map_adjoint_and_singular_value_are_those_of_the_dense_matrix(number):
    layer, shape = drawn(number)
    operator = layer_operator(layer, shape)
    matrix = by_hand(layer, shape)
    torch.testing.assert_close(dense_operator(layer, shape), matrix)

    generator = torch.Generator().manual_seed(number)
    v = torch.randn(operator.input_shape, generator=generator, dtype=torch.float64)
    u = torch.randn(operator.output_shape, generator=generator, dtype=torch.float64)
    pushed, pulled = operator.apply(layer.weight, v), operator.adjoint(layer.weight, u)
    assert (pushed.shape, pulled.shape) == (operator.output_shape, operator.input_shape)
    torch.testing.assert_close((pushed * u).sum(), (v * pulled).sum())
    torch.testing.assert_close(pulled.flatten(), matrix.T @ u.flatten())
    torch.testing.assert_close(operator.adjoint(layer.weight, u[None])[0], pulled)

    largest = float(torch.linalg.matrix_norm(matrix, 2))
    found = singular_value(layer, shape, tolerance=1e-6, iterations=50_000)
    assert found == pytest.approx(largest, rel=1e-4)


def test_the_drawn_layers_cover_what_they_should():
    layers = [drawn(number)[0] for number in range(80)]
    plain = [layer for layer in layers if not layer.transposed]
    assert {layer.padding_mode for layer in plain} == set(MODES)
    assert {"same", "valid"} <= {
        p for p in (layer.padding for layer in plain) if p in ("same", "valid")
    }
    assert {layer.groups for layer in layers} == {1, 2, 3}
    assert {len(layer.kernel_size) for layer in layers} == {1, 2, 3}
    assert any(max(layer.stride) > 1 and max(layer.dilation) > 1 for layer in plain)
    uneven = [
        layer
        for layer in plain
        if layer.padding == "same"
        and any(d * (k - 1) % 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
    ]
    assert uneven
    beyond = [
        layer
        for layer in layers
        if layer.transposed
        and any(o >= s for o, s in zip(layer.output_padding, layer.stride, strict=True))
    ]
    assert beyond  # output padding of a stride or more


@pytest.mark.parametrize("number", range(0, 80, 8))
def test_the_adjoint_is_differentiable_in_the_weight(number):
    layer, shape = drawn(number)
    operator = layer_operator(layer, shape)
    u = torch.randn(operator.output_shape, dtype=torch.float64, generator=torch.Generator())
    assert torch.autograd.gradcheck(lambda w: operator.adjoint(w, u).square().sum(), layer.weight)


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (3, 2), (5, 2), (5, 1)])
def test_equation_7_the_transpose_is_the_convolution_with_the_kernel_turned_round(kernel, padding):
    layer = nn.Conv2d(3, 4, kernel, padding=padding, bias=False).double()
    operator = layer_operator(layer, (3, 7, 6))
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(operator.output_shape, dtype=torch.float64, generator=generator)
    turned = layer.weight.transpose(0, 1).flip(2, 3)  # [C_in, C_out, -K, -K]
    expected = functional.conv2d(u, turned, padding=kernel - 1 - padding)
    torch.testing.assert_close(operator.adjoint(layer.weight, u), expected)


def test_the_reshaped_matrix_has_outputs_in_rows_and_one_block_per_group():
    layer = nn.Conv2d(4, 6, (3, 2), groups=2).double()
    blocks = layer.weight.detach().view(2, 3, 2 * 3 * 2)
    expected = torch.block_diag(*blocks)
    torch.testing.assert_close(dense_operator(layer, kind="reshaped"), expected)
    largest = torch.linalg.matrix_norm(blocks, 2).max()
    assert singular_value(layer, kind="reshaped") == pytest.approx(float(largest), rel=1e-4)

    linear = nn.Linear(5, 3).double()
    torch.testing.assert_close(dense_operator(linear), linear.weight.detach())

    # A transposed convolution of a single pixel applies its reshaped matrix, place by place.
    layer = nn.ConvTranspose2d(2, 3, 2, bias=False).double()
    dense = dense_operator(layer, (2, 1, 1)).view(3, 4, 2).transpose(1, 2).reshape(3, 8)
    torch.testing.assert_close(dense_operator(layer, kind="reshaped"), dense)


def test_a_start_from_ones_misses_a_top_vector_orthogonal_to_it():
    linear = nn.Linear(2, 2)
    linear.weight.data = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])  # 3 along (1, -1), 1 along (1, 1)
    assert singular_value(linear, start="ones") == pytest.approx(1)
    assert singular_value(linear) == pytest.approx(3, rel=1e-4)

    conv = nn.Conv1d(1, 1, 2, padding="same", padding_mode="circular", bias=False)
    conv.weight.data = torch.tensor([[[1.0, -1.0]]])  # differences: ones are in the kernel
    assert singular_value(conv, (1, 6), start="ones") == 0
    assert singular_value(conv, (1, 6)) == pytest.approx(2, rel=1e-4)


def test_what_is_no_linear_layer_or_does_not_fit_is_refused():
    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x.relu())

    with pytest.raises(InputError, match="a ReLU has no matrix; give a conv"):
        layer_operator(nn.ReLU())
    with pytest.raises(InputError, match='a Own has a forward of its own; use operator="reshaped"'):
        layer_operator(Own(1, 1, 3), (1, 5, 5))
    with pytest.raises(
        InputError, match=r"shape is \(\); give \(3, H, W\) of what the Conv2d takes"
    ):
        dense_operator(nn.Conv2d(3, 2, 3))
    with pytest.raises(InputError, match=r"shape is \(1, 5, 5\)"):
        dense_operator(nn.Conv2d(3, 2, 3), (1, 5, 5))
    with pytest.raises(InputError, match="smaller than the kernel"):
        layer_operator(nn.Conv2d(1, 1, 5), (1, 4, 9))
    with pytest.raises(InputError, match="iterations is 0"):
        singular_value(nn.Linear(2, 2), iterations=0)


def test_too_few_iterations_are_said():
    linear = nn.Linear(2, 2).double()
    linear.weight.data = torch.diag(torch.tensor([1.0, 0.999], dtype=torch.float64))
    with pytest.warns(UserWarning, match="after 3 iterations the residual is .*a lower bound"):
        assert singular_value(linear, iterations=3, tolerance=1e-6) <= 1
