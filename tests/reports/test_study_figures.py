"""The figures of a study show its numbers, tell nine variants apart, and cut nothing off."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from reports.lines import alike
from studies.synthetic import NINE, synthetic
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reports.study.bars import accuracy_bars, nine_defences_bars
from saddlepoint.reports.study.captions import bars_caption
from saddlepoint.reports.study.comparisons import comparisons, summaries
from saddlepoint.reports.study.curves import accuracy_curves, success_curves
from saddlepoint.reports.study.features import block_outputs, feature_maps
from saddlepoint.reports.study.figures import study_figures
from saddlepoint.reports.study.losses import loss_curves
from saddlepoint.reports.study.pictures import before_after
from saddlepoint.reports.study.toy import toy_examples, toy_model, toy_results
from saddlepoint.reports.style import figure_bytes, variant_looks
from saddlepoint.studies.results import CURVE_COLUMNS
from saddlepoint.zoo import build_model

LINED = (
    "accuracy-against-eps", "accuracy", "success", "training-loss", "nine-defences-test",
    "network", "quantisation", "self-ensemble", "kernel-matrix",
)  # fmt: skip


FEW = ("original", "adversarial")
EPS = (4 / 255, 8 / 255)


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure_bytes(figure, dpi=60))).convert("RGB"))


def nine(**changed):
    return synthetic(
        budgets=(4 / 255, 8 / 255, 16 / 255), model=toy_model, examples=toy_examples, **changed
    )


def drawn(results):
    yield loss_curves(results)
    yield accuracy_bars(results)
    yield accuracy_curves(results)
    yield before_after(results)
    yield feature_maps(results, results.variants[-1])


# How eyes without one kind of cone see linear RGB (Machado et al. 2009, severity 1).
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(colour, eyes):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(eyes) @ linear, 0, 1)
    xyz = np.array([[0.4125, 0.3576, 0.1805], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])
    x, y, z = np.cbrt(xyz @ seen / (0.9505, 1, 1.0888))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
def test_nine_variants_have_nine_colours_for_every_kind_of_eye(eyes):
    looks = list(variant_looks(NINE, reference="original").values())
    colours = [lab(look.colour, EYES[eyes]) for look in looks]
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2))
    assert nearest > 15  # about 2 can just be seen side by side
    assert len({look.marker for look in looks}) == 9


def test_looks_differ_beyond_twelve_and_the_reference_is_black_wherever_it_stands():
    names = [f"v{i}" for i in range(40)]
    looks = variant_looks(names, reference="v7", dashed={"v3"})
    assert list(looks) == names
    assert looks["v7"].colour == "#000000"
    assert [name for name in names if looks[name].linestyle == "--"] == ["v3"]
    assert len({(look.colour, look.marker) for look in looks.values()}) == 40


@pytest.mark.parametrize(
    "variants", [NINE, tuple(f"{'a very long name of a variant ' * 2}{i}" for i in range(12))]
)
def test_nothing_is_cut_off_and_legends_lie_outside_the_data(variants):
    for figure in drawn(nine(variants=variants)):
        picture = pixels(figure)
        for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
            assert edge.min() > 250  # the border is white
        figure.canvas.draw()
        legends = [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]
        boxes = [axes.patch.get_window_extent() for axes in figure.axes]
        titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        for legend in legends:
            for box in boxes + titles:
                assert legend.get_window_extent().y0 >= box.y1 - 1


def test_labels_of_the_bars_do_not_collide():
    names = (
        "original",
        "x" * 50,
        *(f"quantised + adversarial + part {i} + more" for i in range(8)),
    )
    figure = accuracy_bars(synthetic(variants=names, seeds=3, images=20))
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_the_loss_is_the_mean_over_seeds_with_one_deviation_and_averaged_over_eps_first():
    axes = loss_curves(toy_results()).axes[0]
    by_name = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(by_name["original"].get_xdata(), [1, 2])
    rows = [("adversarial", s, e, 1.0, s + 10 * e, 0.0) for s in range(3) for e in (0.1, 0.3)]
    rows.append(("adversarial", 0, 0.1, 2.0, float("nan"), 0.0))
    columns = [
        pa.array(c, t) for c, t in zip(zip(*rows, strict=True), CURVE_COLUMNS.types, strict=True)
    ]
    figure = loss_curves(toy_results(curves=pa.table(columns, schema=CURVE_COLUMNS)))
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [3.0])  # seeds 2, 3, 4
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((2.0, 4.0))
    assert line.get_linestyle() == "--"


def test_a_loss_over_many_magnitudes_is_logarithmic_and_no_curve_is_an_error():
    rows = [("original", 0, None, float(k + 1), 1000 * 0.1**k, 0.0) for k in range(6)]
    columns = [
        pa.array(c, t) for c, t in zip(zip(*rows, strict=True), CURVE_COLUMNS.types, strict=True)
    ]
    figure = loss_curves(toy_results(curves=pa.table(columns, schema=CURVE_COLUMNS)))
    assert figure.axes[0].get_yscale() == "log"
    with pytest.raises(InputError, match="no training curves yet"):
        loss_curves(toy_results(curves=CURVE_COLUMNS.empty_table()))


def test_bars_are_those_of_the_tables_and_each_figure_has_the_stars_of_its_own_test():
    results = nine()
    axes = accuracy_bars(results).axes[0]
    widths = {
        (variant, b): bar.get_width()
        for b, bars in enumerate(c for c in axes.containers if hasattr(c, "patches"))
        for variant, bar in zip(results.variants, bars.patches, strict=True)
    }
    for i, each in enumerate(summaries(results)):
        b, variant = divmod(i, 9)
        assert widths[results.variants[variant], b] == pytest.approx(100 * each.interval.mean)
    tests = {(c.variant, c.metric.column): c for c in comparisons(results)}
    columns = ("clean_accuracy", "robust_accuracy", "success_rate")
    for draw, stars in ((accuracy_bars, "stars_seeds"), (nine_defences_bars, "stars_repeats")):
        axes = draw(results).axes[0]
        marks = [text.get_text() for text in axes.texts]
        for i, (column, variant) in enumerate(itertools.product(columns, results.variants)):
            expected = getattr(tests[variant, column], stars) if variant != "original" else ""
            assert marks[i] == expected
        said = axes.get_legend().get_title().get_text()
        assert ("n = 15" in said) == (draw is nine_defences_bars)
    assert marks != [text.get_text() for text in accuracy_bars(results).axes[0].texts]
    for few in (nine(minimum_clean_accuracy=0.99), nine(seeds=4)):
        assert {text.get_text() for text in accuracy_bars(few).axes[0].texts} == {""}
        with pytest.raises(InputError, match="no variant has what stars need"):
            nine_defences_bars(few)


def test_above_the_figures_of_numbers_stand_the_study_and_the_attack():
    results = synthetic(FEW, seeds=2, attacks=("pgd", "fgsm"))
    head = accuracy_bars(results).axes[0].get_legend().get_title().get_text().splitlines()
    assert head == ["A study that never ran", "attack pgd, Linf, pixels; eps 4/255, 8/255; 2 seeds"]
    for draw in (accuracy_curves, success_curves, loss_curves):
        (legend,) = draw(results).legends
        assert legend.get_title().get_text() == "A study that never ran"
    one = synthetic(FEW, seeds=1)
    assert [axes.get_title() for axes in success_curves(one).axes] == ["pgd"]


@pytest.mark.parametrize(("seeds", "budgets", "said"), [
    (1, EPS[:1], "Means over 1 seed at eps 4/255;"), (2, EPS, "Means over 2 seeds and 2 values of eps;"),
])  # fmt: skip
def test_the_caption_of_the_bars_counts_in_words_that_agree(seeds, budgets, said):
    assert said in bars_caption(synthetic(FEW, seeds=seeds, budgets=budgets))


def test_accuracy_begins_at_the_clean_one_and_falls_with_eps():
    results = nine()
    (axes,) = accuracy_curves(results).axes
    rows = results.evaluations.to_pylist()
    for variant, bar in zip(results.variants, axes.containers, strict=True):
        mine = [row for row in rows if row["variant"] == variant]
        x, y = bar.lines[0].get_data()
        assert [round(each) for each in x] == [0, 4, 8, 16]
        assert y[0] == pytest.approx(100 * np.mean([row["clean_accuracy"] for row in mine]))
        for at, eps in zip(y[1:], results.budgets, strict=True):
            there = [row["robust_accuracy"] for row in mine if row["eps"] == eps]
            assert at == pytest.approx(100 * np.mean(there))
    assert axes.get_ylim()[0] == 0
    with pytest.raises(InputError, match="no evaluations yet"):
        accuracy_curves(toy_results(evaluations=results.evaluations.slice(0, 0)))


def test_success_is_the_mean_over_seeds_with_the_true_deviation_side_by_side():
    results = nine(attacks=("pgd", "fgsm"))
    figure = success_curves(results)
    assert [axes.get_title() for axes in figure.axes] == ["pgd", "fgsm"]
    axes = figure.axes[1]
    assert axes.get_xlabel() == "eps (Linf, pixels, in 255ths)"
    rows = results.evaluations.to_pylist()
    seen = []
    for variant, bar in zip(results.variants, axes.containers, strict=True):
        assert bar.get_label() == variant
        x, y = bar.lines[0].get_data()
        ends = np.array([segment[:, 1] for segment in bar.lines[2][0].get_segments()])
        seen += x.tolist()
        for k, eps in enumerate((4, 8, 16)):
            rates = [
                100 * row["success_rate"]
                for row in rows
                if (row["variant"], row["attack"]) == (variant, "fgsm")
                and round(255 * row["eps"]) == eps
            ]
            assert y[k] == pytest.approx(np.mean(rates))
            assert (ends[k, 1] - ends[k, 0]) / 2 == pytest.approx(np.std(rates, ddof=1))
            assert abs(x[k] - eps) < 2  # half of the smallest step
    assert len(set(np.round(seen, 9))) == len(seen)


def test_other_norms_keep_their_unit_and_one_budget_is_drawn():
    figure = success_curves(synthetic(budgets=(0.5,), threat="L2, pixels"))
    assert figure.axes[0].get_xlabel() == "eps (L2, pixels)"
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.5"]
    figure = accuracy_curves(synthetic(budgets=(0.5,), threat="L2, pixels"))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "0.5"]


def test_before_and_after_are_the_images_of_the_store():
    figure = before_after(toy_results())
    examples = toy_examples("original", 0, 0.2, "pgd")
    *pictures, scale = figure.axes
    grid = np.array(pictures).reshape(2, 4, 3)
    change = examples["adversarials"] - examples["images"]
    for row in range(4):
        before, middle, after = (axes.images[0].get_array() for axes in grid[0, row])
        np.testing.assert_allclose(before, examples["images"][row, 0], atol=1e-6)
        np.testing.assert_allclose(after, examples["adversarials"][row, 0], atol=1e-6)
        expected = change[row, 0] * 0.5 / change.abs().max() + 0.5
        np.testing.assert_allclose(middle, expected, atol=1e-6)
        assert middle.min() >= 0
        assert middle.max() <= 1
    largest = float(change[:4].abs().max())
    ticks = [tick.get_text() for tick in scale.get_yticklabels()]
    assert ticks == [f"−{largest:.3g}", "0", f"+{largest:.3g}"]
    assert grid[0, 0, 2].get_title() == "one"  # label zero, now wrong
    assert grid[0, 0, 2].title.get_color() != grid[0, 0, 0].title.get_color()


def test_images_that_are_no_pictures_and_stores_without_images_are_errors():
    two = {key: value.repeat(1, 2, 1, 1) if value.ndim == 4 else value
           for key, value in toy_examples("o", 0, 0.1, "pgd").items()}  # fmt: skip
    with pytest.raises(InputError, match="only grey and RGB"):
        before_after(toy_results(examples=lambda *_: two))
    with pytest.raises(InputError, match="hold no examples"):
        before_after(synthetic(seeds=2))
    with pytest.raises(InputError, match="hold no model"):
        feature_maps(synthetic(seeds=2), "original")


class Noisy(nn.Module):
    """Noise before a network, five passes in one batch, as a random self-ensemble runs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        repeated = images.repeat_interleave(5, 0)
        return (
            self.network(repeated + 0.1 * torch.randn_like(repeated)).unflatten(0, (-1, 5)).mean(1)
        )


def test_feature_maps_are_the_outputs_of_the_blocks_and_leave_the_model_alone():
    network = build_model("simple-cnn", classes=2, shape=(1, 8, 8)).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    images = torch.rand(2, 1, 8, 8)
    maps = block_outputs(network, images)
    assert network.training
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    network.eval()
    expected = images
    assert list(maps) == ["blocks.block1", "blocks.block2", "blocks.block3"]
    for block, found in zip(network.blocks, maps.values(), strict=True):
        expected = block(expected)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_random_model_draws_the_same_noise_for_both_images():
    image = torch.rand(1, 1, 8, 8)
    state = torch.get_rng_state()
    maps = block_outputs(Noisy(toy_model("o", 0, 0.1)), image.repeat(2, 1, 1, 1))
    assert torch.equal(torch.get_rng_state(), state)
    for each in maps.values():
        assert torch.equal(each[0], each[1])


def test_one_scale_holds_every_map_and_models_without_blocks_show_convolutions():
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(9)), nn.Flatten())
    figure = feature_maps(toy_results(model=lambda *_: deep), "adversarial")
    shown = list(figure.axes[2].images)
    assert len(shown) == 8  # four of nine layers, clean and adversarial
    low, high = {image.get_clim() for image in shown}.pop()
    assert {image.get_clim() for image in shown} == {(low, high)}
    assert low <= min(image.get_array().min() for image in shown)
    assert high >= max(image.get_array().max() for image in shown)
    with torch.no_grad():
        deep[0].weight.fill_(float("nan"))
    assert pixels(feature_maps(toy_results(model=lambda *_: deep), "adversarial")).std() > 5
    with pytest.raises(InputError, match="no convolutional layer"):
        feature_maps(toy_results(model=lambda *_: nn.Flatten()), "original")


def test_figures_come_by_name_and_those_that_do_not_apply_say_why():
    results = synthetic(variants=("original", "wide"), seeds=2)
    missing = []
    calls = []
    found = list(study_figures(results, left_out=missing.append, progress=calls.append))
    own = ["accuracy-against-eps", "accuracy", "success", "training-loss"]
    assert [each.name for each in found] == own
    assert [each.name for each in missing] == [
        "images", "network", "features-original", "features-wide",
    ]  # fmt: skip
    assert all("hold no" in each.reason for each in missing)
    assert [tick.done for tick in calls] == list(range(8))
    assert not any("nine" in each.caption or each.theirs for each in found)
    missing.clear()
    assert not list(study_figures(results, only=("self-ensemble",), left_out=missing.append))
    assert missing[0].reason == "no variant is a random self-ensemble"


def test_no_two_lines_of_a_figure_look_alike():
    for figure in study_figures(nine(), only=LINED):
        assert alike(figure.figure) == [], figure.name
    for figure in drawn(nine(variants=tuple(f"v{i}" for i in range(30)))):
        assert alike(figure) == []
