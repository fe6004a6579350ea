"""The decision boundary of a real run: its numbers are those of the networks that are drawn."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from reports.lines import alike

from saddlepoint.reports.study.drawings.boundary import boundary_figure, two_moons


@functools.cache
def drawn():
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    figure = boundary_figure(seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    return figure


def right(axes):
    return float(re.search(r"([\d.]+) % right", axes.get_title())[1])


def points(axes):
    """Class, wrong or not, and position of every point, from the four scatters of an axes."""
    scatters = [c for c in axes.collections if len(c.get_offsets()) and c.get_zorder() == 3]
    return [np.asarray(c.get_offsets()) for c in scatters]


def test_the_titles_say_what_is_drawn():
    assert alike(drawn()) == []
    for axes in drawn().axes:
        cases = [c for c in axes.collections if c.get_zorder() == 3]
        assert len(cases) == 4  # class 0 right and wrong, class 1 right and wrong
        counts = [len(c.get_offsets()) for c in cases]
        assert sum(counts) == 200
        assert right(axes) == pytest.approx(100 * (counts[0] + counts[2]) / 200)


def test_adversarial_training_pays():
    clean, attacked, robust_clean, robust = (right(axes) for axes in drawn().axes)
    assert clean > 95
    assert robust_clean > 90
    assert attacked < clean - 5
    assert robust > attacked + 3


def test_points_move_by_the_budget_at_most_and_rows_share_their_clean_points():
    axes = drawn().axes
    test = two_moons(200, 0)
    assert len(test) == 200
    for row in (0, 2):
        for line in axes[row + 1].lines:
            start, end = np.asarray(line.get_xydata())
            assert np.abs(end - start).max() <= 0.06 + 1e-6
        assert not axes[row].lines
    first, second = (np.sort(np.concatenate(points(axes[i])), axis=0) for i in (0, 2))
    np.testing.assert_array_equal(first, second)


def test_wrong_points_lie_in_the_other_classs_colour():
    for axes in drawn().axes:
        filled, line = axes.collections[:2]
        below = filled.get_paths()[0]  # where the first class wins
        cases = [c for c in axes.collections if c.get_zorder() == 3]
        for scatter, first in zip(cases, (True, False, False, True), strict=True):
            spots = np.asarray(scatter.get_offsets())
            vertices = line.get_paths()[0].vertices
            for spot in spots:
                # The grid is coarse: a point within a step of the boundary may be on either side.
                if np.abs(vertices - spot).max(1).min() > 2 / 200:
                    assert below.contains_point(spot) == first


def test_nothing_is_cut_off_or_covered():
    figure = drawn()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    width, height = figure.canvas.get_width_height()
    legend = figure.legends[0].get_window_extent(renderer)
    assert legend.x0 >= 0
    assert legend.y0 >= 0
    assert legend.x1 <= width
    places = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for place in places:
        assert place.x0 >= 0
        assert place.x1 <= width
        assert place.y1 <= height
        assert not place.overlaps(legend)
    assert not any(places[i].overlaps(places[j]) for i in range(4) for j in range(i))


def test_moons_depend_on_their_seed_and_lie_in_the_square():
    one, same, other = (two_moons(1000, seed, noise=0.3) for seed in (1, 1, 2))
    assert torch.equal(one.pixels, same.pixels)
    assert not torch.equal(one.pixels, other.pixels)
    assert one.labels.bincount().tolist() == [500, 500]
    assert float(one.pixels.min()) >= 0
    assert float(one.pixels.max()) <= 1
    exact = two_moons(400, 0, noise=0.0).pixels.double()
    centre = torch.tensor([[0.0, 0.0], [1.0, 0.5]]).double()[two_moons(400, 0).labels]
    radius = (((exact - 0.5) * 3.6 + torch.tensor([0.5, 0.25])) - centre).norm(dim=1)
    torch.testing.assert_close(radius, torch.ones(400).double(), rtol=0, atol=1e-6)
