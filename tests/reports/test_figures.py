"""Figures are drawn, say what they show, and leave matplotlib as it was."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from reports.lines import alike
from small import digits, trained

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Budget, Evaluation, Proportion
from saddlepoint.evaluation.verdict.finding import Verdict
from saddlepoint.reports import (
    accuracy_curve,
    adversarial_grid,
    drawable,
    evaluation_rows,
    figure_bytes,
    style,
)
from saddlepoint.reports.changes import ChangeScale
from saddlepoint.reports.style import write_powers
from saddlepoint.threat import Linf


def evaluation(counts, eps=(8 / 255, 16 / 255), threat="Linf", total=100):
    budgets = tuple(
        Budget(e, Proportion(n, total), Proportion(counts[0] - n, counts[0]), 2.0, 1.0, {}, {})
        for e, n in zip(eps, counts[1:], strict=True)
    )
    empty = pa.table({})
    config = {"space": "pixels", "threat": {"type": threat}}
    return Evaluation(config, Proportion(counts[0], total), budgets, empty, empty, 1.0, ())


def image(figure, kind="png"):
    return np.asarray(Image.open(io.BytesIO(figure_bytes(figure, kind))).convert("RGB"))


def result_of(data):
    images = data.images(torch.arange(len(data)))
    return PGD(Linf(0.3), steps=4)(trained(), images, data.labels)


def test_the_curve_is_drawn_with_every_point_and_its_interval():
    figure = accuracy_curve({"normal": evaluation((98, 40, 1)), "robust": evaluation((90, 70, 45))})
    picture = image(figure)
    assert picture.shape[0] > 200
    assert picture.std() > 5  # not blank
    axes = figure.axes[0]
    first, second = axes.lines
    np.testing.assert_allclose(first.get_xdata(), [0, 8, 16])
    np.testing.assert_allclose(first.get_ydata(), [98, 40, 1])
    np.testing.assert_allclose(second.get_ydata(), [90, 70, 45])
    low, high = Proportion(40, 100).low, Proportion(40, 100).high
    heights = axes.collections[0].get_paths()[0].vertices
    assert {round(100 * low, 6), round(100 * high, 6)} <= {
        round(float(v), 6) for v in heights[:, 1]
    }
    assert axes.get_xlabel() == "eps (Linf, pixels, in 255ths)"
    assert (first.get_color(), first.get_marker()) != (second.get_color(), second.get_marker())


@pytest.mark.parametrize("name", [r"$\frac$", "$x_1$ and _$y$"])
def test_a_dollar_in_a_name_is_a_dollar(name):
    data = digits("test", 4)
    named = replace(data, classes=(name,) * 10)
    first = evaluation((98, 40, 1))
    first.config["data"] = {"name": name, "split": name}
    for figure in (
        accuracy_curve({name: first}, suite=name),
        accuracy_curve({name: first, "other": first}, suite=name),
        adversarial_grid(named, result_of(data)),
    ):
        assert image(figure).std() > 5
        texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
        assert any(name in text.get_text() for text in texts)
        assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize(("scale", "limits", "labels"), [
    ("log", (1e-3, 1e4), ["10⁻³", "10⁰", "10⁴"]),
    ("symlog", (-1e2, 1e2), ["−10²", "0", "10²"]),
    ("log", (0.2, 0.5), ["2×10⁻¹"]),
])  # fmt: skip
def test_powers_of_ten_are_written_without_maths(scale, limits, labels):
    with style():
        axes = Figure().add_subplot(xscale=scale, xlim=limits)
        write_powers(axes.xaxis)
    axes.figure.canvas.draw()
    shown = [label.get_text() for label in axes.get_xticklabels(which="both")]
    assert set(labels) <= set(shown)
    assert not any("$" in text for text in shown)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_the_legend_covers_neither_the_axes_nor_the_edge(count):
    names = {f"a model with a long name {i}": evaluation((98, 40, 1)) for i in range(count)}
    figure = accuracy_curve(names)
    assert alike(figure) == []
    figure.canvas.draw()
    legend = figure.axes[0].get_legend().get_window_extent()
    axes = figure.axes[0].patch.get_window_extent()
    assert not legend.overlaps(axes) or legend.y0 >= axes.y1 - 1
    picture = image(figure)  # cut to what is drawn: the border is white
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert edge.min() > 250


def test_one_model_needs_no_legend_and_other_norms_have_their_own_units():
    figure = accuracy_curve({"m": evaluation((98, 40, 1), eps=(0.5, 1.0), threat="L2")})
    assert figure.axes[0].get_legend() is None
    assert [text.get_text() for text in figure.axes[0].texts] == ["98.0", "40.0", "1.0"]
    assert figure.axes[0].get_xlabel() == "eps (L2, pixels)"
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [0, 0.5, 1])


def test_above_the_curve_stand_the_model_the_suite_and_the_data():
    config = {"attacks": {"fgsm": {}, "apgd": {}}, "data": {"name": "digits", "split": "test"}}
    first, second = evaluation((98, 40, 1)), evaluation((90, 70, 45))
    first.config.update(config)
    second.config.update(config)
    alone = accuracy_curve({"zoo:simple-cnn": first}, suite="quick").axes[0]
    assert alone.get_title(loc="left").splitlines() == [
        "zoo:simple-cnn, verdict: not examined", "suite quick: fgsm, apgd",
        "100 images of digits, test; shaded: 95 % intervals",
    ]  # fmt: skip
    assert alone.get_ylabel() == "robust accuracy (%), at eps 0 clean accuracy"
    both = accuracy_curve({"a": first, "b": second}, title="two").axes[0].get_legend()
    assert both.get_title().get_text().splitlines()[:3] == [
        "two", "verdict: not examined", "suite: fgsm, apgd",
    ]  # fmt: skip
    # What is true of one alone is not said of both.
    second.config["attacks"] = {"pgd": {}}
    both = accuracy_curve({"a": first, "b": second}).axes[0].get_legend().get_title().get_text()
    assert both.splitlines()[1:] == ["100 images of digits, test; shaded: 95 % intervals"]
    second = replace(second, verdict=Verdict(()))
    both = accuracy_curve({"a": first, "b": second}).axes[0].get_legend()
    assert [each.get_text() for each in both.get_texts()] == ["a (not examined)", "b (healthy)"]


def test_no_evaluations_and_no_budgets_are_errors():
    with pytest.raises(InputError, match="no evaluations to draw"):
        accuracy_curve({})
    with pytest.raises(InputError, match="without a budget"):
        accuracy_curve({"box": evaluation((98, 40), eps=(math.nan,), threat="Box")})


def test_the_grid_shows_before_and_after_and_what_was_predicted():
    data = digits("test", 40)
    result = result_of(data)
    figure = adversarial_grid(data, result, count=4)
    assert image(figure).std() > 20
    *pictures, scale = figure.axes
    grid = np.array(pictures).reshape(4, 3)
    order = (result.success & ~result.initially_wrong).nonzero()[:4, 0].tolist()
    images = data.images(torch.tensor(order))
    largest = float((result.adversarials[order] - images).abs().max())
    ends = [tick.get_text() for tick in scale.get_yticklabels()]
    assert ends == [f"−{largest:.3g}", "0", f"+{largest:.3g}"]
    for row, index in zip(grid, order, strict=True):
        before, change, after = (axes.images[0].get_array() for axes in row)
        clean = data.images(torch.tensor([index]))[0, 0].numpy()
        adversarial = result.adversarials[index, 0].numpy()
        np.testing.assert_allclose(before, clean, atol=1e-6)
        np.testing.assert_allclose(after, adversarial, atol=1e-6)
        expected = (adversarial - clean) / (2 * largest) + 0.5
        np.testing.assert_allclose(change, expected, atol=1e-6)
        label = int(data.labels[index])
        assert row[0].get_title() == f"label {label}, predicted {label}"
        assert row[2].get_title() == f"predicted {int(result.predictions[index])}: fooled"


def test_the_grid_of_some_images_takes_their_ids():
    data = digits("test", 40)
    ids = (data.labels != 3).nonzero()[10:, 0]
    part = result_of(data.take(ids))
    figure = adversarial_grid(data, part, count=3, ids=ids)
    chosen = (part.success & ~part.initially_wrong).nonzero()[:3, 0]
    for row, index in zip(np.array(figure.axes[:-1]).reshape(3, 3), chosen.tolist(), strict=True):
        clean = data.images(ids[index : index + 1])[0, 0].numpy()
        np.testing.assert_allclose(row[0].images[0].get_array(), clean, atol=1e-6)
        assert row[0].get_title().startswith(f"label {int(data.labels[ids[index]])},")


@pytest.mark.parametrize("eps", [1e-4, 0.5])
def test_changes_fill_a_symmetric_scale_and_are_never_cut_off(eps):
    """Of whatever size: grey is none, and equal changes up and down are equally far from it."""
    change = eps * torch.tensor([[[0.0, 1.0, -1.0, 0.5, -0.5, float("nan")]]])
    scale = ChangeScale.of([change, 0.1 * change])
    assert scale.largest == pytest.approx(eps)
    expected = [0.5, 1.0, 0.0, 0.75, 0.25, 0.5]
    np.testing.assert_allclose(scale.picture(change).ravel(), expected, atol=1e-6)
    assert ChangeScale.of([torch.zeros(2)]).label == "no change"
    assert ChangeScale.of([]).picture(torch.zeros(3, 1, 1)).tolist() == [[[0.5] * 3]]


def test_rgb_is_drawn_in_colour_and_other_shapes_are_refused():
    pixels = torch.rand(3, 3, 6, 6)
    data = TensorData.of(pixels, torch.tensor([0, 1, 0]), name="noise")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 2))
    figure = adversarial_grid(data, PGD(Linf(0.1), steps=1)(model, pixels, data.labels))
    assert figure.axes[0].images[0].get_array().shape == (6, 6, 3)
    assert image(figure).std() > 5
    two = TensorData.of(torch.rand(3, 2, 6, 6), torch.tensor([0, 1, 0]), name="noise")
    assert not drawable(two.shape)
    with pytest.raises(InputError, match="only grey and RGB"):
        adversarial_grid(two, PGD(Linf(0.1), steps=1)(model, pixels, data.labels))


def test_matplotlib_is_left_as_it_was():
    before = dict(mpl.rcParams)
    accuracy_curve({"m": evaluation((98, 40, 1))})
    adversarial_grid(digits("test", 8), result_of(digits("test", 8)))
    with pytest.raises(KeyError), style():
        raise KeyError
    assert dict(mpl.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []  # no figure is registered, none leaks


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_kinds_of_files(kind, start):
    assert figure_bytes(accuracy_curve({"m": evaluation((98, 40, 1))}), kind).startswith(start)


def test_rows_of_the_table():
    columns, rows = evaluation_rows({"normal": evaluation((98, 40, 1))})
    assert columns == (
        "model", "eps", "clean accuracy", "robust accuracy", "attack success", "passes per image",
    )  # fmt: skip
    assert rows[0][:3] == ("normal", "8/255", str(Proportion(98, 100)))
    assert rows[1][3:] == (str(Proportion(1, 100)), str(Proportion(97, 98)), "2.0 + 1.0")
    box = evaluation((98, 40), eps=(math.nan,), threat="Box")
    assert evaluation_rows({"box": box})[1][0][1] == "–"
