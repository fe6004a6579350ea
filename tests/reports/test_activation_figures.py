"""Figures 11 and 12: what degenerates does so, and the figures show it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reports.lines import alike

from saddlepoint.defences.activations import ACTIVATIONS
from saddlepoint.errors import InputError
from saddlepoint.reports.study.drawings.activations import (
    ActivationTimes,
    activation_fit_figure,
    activation_time_figure,
    activation_times,
    fit_activations,
)
from saddlepoint.reports.style import figure_bytes


@pytest.fixture(scope="module")
def fits():
    return fit_activations(steps=600, bits=3)


def test_the_control_collapses_and_the_two_dynamic_ones_do_not(fits):
    assert list(fits) == list(ACTIVATIONS)
    assert fits["dtrelu"].left == fits["ddtrelu"].left == 8
    assert fits["dtrelu"].error < 0.02
    assert fits["ddtrelu"].error < 0.02
    assert fits["piecewise-linear"].error < 0.01
    assert fits["naive-unaveraged"].error > 5 * fits["dtrelu"].error
    # The control's levels have all but one gone up to where there is hardly any data.
    assert fits["naive-unaveraged"].levels[1] > 1.2


def test_at_the_start_every_level_is_used_and_it_is_reproducible():
    first, second = (fit_activations(steps=0, bits=2) for _ in range(2))
    for name, fit in first.items():
        assert fit.left == 4
        np.testing.assert_allclose(fit.levels, np.linspace(0, 1, 4), atol=1e-6)
        np.testing.assert_array_equal(fit.outputs, second[name].outputs)
    others = fit_activations(steps=5, bits=2, seed=1)
    assert others["dtrelu"].error != fit_activations(steps=5, bits=2)["dtrelu"].error


def test_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    fit_activations(steps=2, data="clusters")
    activation_times(sizes=(10,), repeats=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_figure_has_a_curve_per_activation_over_relu_and_data(fits):
    figure = activation_fit_figure(fits)
    for axes, fit in zip(figure.axes, fits.values(), strict=True):
        relu, curve = axes.get_lines()
        np.testing.assert_array_equal(relu.get_ydata(), np.maximum(fit.inputs, 0))
        np.testing.assert_array_equal(curve.get_ydata(), fit.outputs)
        assert len(axes.patches) == 1
        assert axes.get_title() == ""
    assert alike(figure) == []
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 2 + len(fits)
    figure.draw_without_rendering()
    bottom = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert legend.get_window_extent().y1 <= bottom + 1  # outside the data
    assert figure_bytes(figure).startswith(b"\x89PNG")


def test_times_are_measured_and_drawn_on_logarithmic_axes():
    times = activation_times(sizes=(100, 2000), repeats=2)
    assert set(times.seconds) == {*ACTIVATIONS, "relu"}
    assert all(len(each) == 2 and min(each) > 0 for each in times.seconds.values())
    assert alike(activation_time_figure(times)) == []
    figure = activation_time_figure(ActivationTimes((10, 100), {"relu": (1e-3, 2e-3)}))
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [1, 2])
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().x0 >= axes.get_window_extent().x1


def test_bad_input():
    with pytest.raises(InputError, match="steps is -1"):
        fit_activations(steps=-1)
    with pytest.raises(InputError, match='data is "uniform"'):
        fit_activations(steps=1, data="uniform")
    with pytest.raises(InputError, match="no fits to draw"):
        activation_fit_figure({})
    with pytest.raises(InputError, match="must be at least 1"):
        activation_times(sizes=())
