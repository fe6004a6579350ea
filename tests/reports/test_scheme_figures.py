"""Schemes show what is there: real blocks and sizes; no text leaves its box or covers another."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch
from PIL import Image
from torch import nn

from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.reports import figure_bytes
from saddlepoint.reports.study.drawings.schemes import (
    network_figure,
    quantisation_figure,
    self_ensemble_figure,
)
from saddlepoint.zoo import build_model


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def check_layout(figure):
    """Texts lie within the figure, in a box or outside all of them, and cover no other text."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    places = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts]
    boxes = [
        patch.get_window_extent(renderer)
        for patch in figure.axes[0].patches
        if isinstance(patch, FancyBboxPatch)
    ]
    assert boxes
    width, height = figure.canvas.get_width_height()
    for i, (text, place) in enumerate(places):
        assert 0 <= place.x0 <= place.x1 <= width, text
        assert 0 <= place.y0 <= place.y1 <= height, text
        for other, its in places[:i]:
            assert not place.overlaps(its), (text, other)
        for box in boxes:
            inside = (
                box.x0 <= place.x0 <= place.x1 <= box.x1
                and box.y0 <= place.y0 <= place.y1 <= box.y1
            )
            assert inside or not box.overlaps(place), text
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
    picture = np.asarray(Image.open(io.BytesIO(figure_bytes(figure))).convert("RGB"))
    assert picture.std() > 5


def sides(size):
    return "×".join(str(side) for side in size)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_the_network_of_the_report_with_the_sizes_it_really_has(shape):
    net = build_model("simple-cnn", classes=10, shape=shape).train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    figure = network_figure(net, shape)
    check_layout(figure)
    x, expected = torch.zeros(2, *shape), ["image", sides(shape)]
    for block in net.blocks:
        x = block(x)
        pool = [] if isinstance(block.pool, nn.Identity) else ["AvgPool 2×2"]
        expected += ["\n".join(["Conv 5×5", "BatchNorm", "ReLU", *pool]), sides(x.shape[1:])]
    expected += ["Flatten\nLinear\nReLU", "256", "Linear", "10"]
    assert texts(figure) == expected
    fresh = build_model("simple-cnn", classes=10, shape=shape)
    network_figure(fresh, shape)
    assert all(torch.equal(v, state[k]) for k, v in fresh.state_dict().items()), "weights, counters"
    assert not any(module._forward_hooks for module in net.modules())
    assert net.training


def test_what_is_inside_the_network_is_shown():
    net = build_model("simple-cnn", classes=10, shape=(3, 32, 32))
    noisy = random_self_ensemble(Normalised(net, (0.5,) * 3, (0.2,) * 3), 0.2, 0.1)
    figure = network_figure(noisy, (3, 32, 32))
    check_layout(figure)
    shown = texts(figure)
    assert shown[0] == "image\nnormalised"
    assert [text.splitlines()[0] for text in shown[2:8:2]] == ["+ noise 0.2"] + ["+ noise 0.1"] * 2
    assert sum("Conv" in text for text in shown) == 3


@pytest.mark.parametrize("name", ["resnet20", "preactresnet18", "timm:resnet18"])
def test_large_networks_are_drawn_by_their_parts(name):
    net = build_model(name, classes=10, shape=(3, 32, 32))
    figure = network_figure(net, (3, 32, 32))
    check_layout(figure)
    shown = texts(figure)
    assert len(shown) <= 2 * 14
    assert shown[-2:] == ["Linear", "10"]
    total = sum(isinstance(module, nn.Conv2d) for module in net.modules())
    parts = [line for text in shown for line in text.splitlines() if "convolution" in line]
    own = sum("Conv " in text for text in shown)
    assert sum(int(line.split()[0]) for line in parts) + own == total


@pytest.mark.parametrize("depth", [6, 7, 13])
def test_rows_of_many_blocks_do_not_overlap(depth):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(12, 12), nn.Tanh())]
    figure = network_figure(nn.Sequential(*layers), (12,))
    check_layout(figure)
    assert texts(figure) == ["image", "12"] + ["Linear\nTanh", "12"] * depth


def test_a_network_that_cannot_take_the_image_is_an_error():
    net = build_model("simple-cnn", classes=10, shape=(3, 32, 32))
    with pytest.raises(InputError, match="built for"):
        network_figure(net, (3, 28, 28))
    assert not any(module._forward_hooks for module in net.modules())


def test_the_two_kinds_of_quantisation():
    figure = quantisation_figure()
    check_layout(figure)
    shown = texts(figure)
    assert sum("int" in text for text in shown) >= 5
    assert "quantised activation" in shown
    assert any("straight through" in text for text in shown)


@pytest.mark.parametrize("values", [(0.2, 0.1, 5), (0.125, 0.0625, 10), (1.0, 0.0, 1)])
def test_the_self_ensemble_marks_its_noise(values):
    first, inner, samples = values
    figure = self_ensemble_figure(*values)
    check_layout(figure)
    shown = "\n".join(texts(figure))
    assert shown.count(f"$\\sigma_0$ = {first:g}") == 1
    assert shown.count(f"$\\sigma_1$ = {inner:g}") == 2
    assert ("one pass" if samples == 1 else f"mean of {samples} passes") in shown
    for bad in ((-1.0, 0.1, 5), (0.1, float("nan"), 5), (0.1, 0.1, 0)):
        with pytest.raises(InputError, match="deviations"):
            self_ensemble_figure(*bad)
