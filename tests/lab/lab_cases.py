"""What the tests of the lab share."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from small import digits, trained

from saddlepoint.lab import Bench
from saddlepoint.reports import figure_bytes


def subject(count=4):
    """A trained network with digits and their labels."""
    data = digits("test", count)
    return trained(), data.pixels, data.labels


def bench(count=24, **changes):
    train = digits("train", 200)
    return Bench(digits("test", count), lambda: train, **{"epochs": 1, **changes})


def looks_drawn(figure):
    """Say whether a figure has ink, and a white border all around, so that nothing is cut off."""
    picture = np.asarray(Image.open(io.BytesIO(figure_bytes(figure, dpi=60))).convert("L"))
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
    return picture.std() > 5 and min(edge.min() for edge in edges) > 240


def overlapping(figure):
    """Return the pairs of panels, with all their texts, and legends that lie on each other."""
    figure.canvas.draw()
    boxes = [(f"panel {i}", axes.get_tightbbox()) for i, axes in enumerate(figure.axes)]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    boxes = [(name, box.padded(-0.5)) for name, box in boxes]
    return [
        (one, other)
        for i, (one, a) in enumerate(boxes)
        for other, b in boxes[i + 1 :]
        if a.overlaps(b)
    ]


class Tent(torch.nn.Module):
    """Two logits (|x₀ − ½|, 0): from a point between, each side has a maximum of its own."""

    def forward(self, x):
        height = (x[:, :1] - 0.5).abs()
        return torch.cat([0 * height, height], 1)
