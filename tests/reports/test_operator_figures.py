"""Figures 4 and 5 show the layer's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reports.study.drawings.operators import operator_figure, reshape_figure
from saddlepoint.reports.style import figure_bytes


def pictures(figure):
    """What the axes show, the colour bar left out."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_figure_4_shows_the_kernels_and_the_rows_of_the_matrix():
    layer = nn.Conv2d(2, 3, (3, 2))
    weight = layer.weight.detach().numpy()
    *kernels, matrix = pictures(reshape_figure(layer))
    np.testing.assert_array_equal(np.stack(kernels).reshape(weight.shape), weight)
    np.testing.assert_array_equal(matrix, weight.reshape(3, 12))


def test_figure_4_of_a_large_layer_says_that_it_is_a_part():
    figure = reshape_figure(nn.Conv2d(16, 32, 5))
    assert pictures(figure)[-1].shape == (8, 100)
    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes]
    assert any("C_in·K·K = 400, the first 100" in label for label in labels)
    assert any("C_out = 32, the first 8" in label for label in labels)


def test_figure_5_shows_the_matrix_that_the_convolution_is():
    layer = nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False)
    shown = np.nan_to_num(pictures(operator_figure(layer, (1, 5, 4)))[-1])
    basis = torch.eye(20).view(20, 1, 5, 4)
    expected = layer(basis).detach().flatten(1).T
    np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_both_can_be_written(kind):
    nn.init.zeros_((layer := nn.Conv2d(4, 2, 3, groups=2)).weight)
    for figure in (reshape_figure(layer), operator_figure(layer, (4, 5, 5))):
        assert len(figure_bytes(figure, kind)) > 1000


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="a Linear has no kernels to draw; give a Conv2d"):
        reshape_figure(nn.Linear(2, 2))
    with pytest.raises(InputError, match="2048 × 2048; draw a smaller layer or input"):
        operator_figure(nn.Conv2d(2, 2, 1), (2, 32, 32))
