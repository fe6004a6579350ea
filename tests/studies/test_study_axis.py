"""Studies whose variants differ in their model or their number of images, and what stands on an axis."""

from __future__ import annotations

import pytest
import torch
from tiny import Here, grid, tiny

from saddlepoint.errors import InputError
from saddlepoint.reports.study.axis import accuracy_against_axis
from saddlepoint.reports.study.errors import errors_by_epoch
from saddlepoint.studies import load_results, on_device, parse_study, run_study
from saddlepoint.zoo import build_model

TEXT = """
name: sizes
data: {name: digits, train_limit: 160, test_limit: 40}
model: {name: zoo:simple-cnn, widths: [4, 8], hidden: []}
eps: [16/255, 48/255]
attacks: {fgsm: {name: fgsm}}
recipe: {epochs: 2, batch_size: 40, validation: {share: 0.125}}
parts:
  wide: {model: {widths: [8, 16]}}
  few: {train_limit: 80}
variants:
  narrow: []
  wide: [wide]
  wide, few: [wide, few]
axis:
  label: multiply-adds
  scale: log
  lines: {all: {narrow: multiply-adds, wide: multiply-adds}, few: {"wide, few": 1e6}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    assert run_study(parse_study(TEXT), folder, engine=Here()).finished == 9
    return load_results(folder)


def test_parts_change_the_model_and_the_images(results):
    counts = {v: sum(p.numel() for p in results.model(v, 0, 16 / 255).parameters()) for v in
              results.variants}  # fmt: skip
    by_hand = [
        sum(p.numel() for p in build_model("simple-cnn", classes=10, shape=(1, 8, 8),
            options={"widths": w, "hidden": []}).parameters())
        for w in ((4, 8), (8, 16))
    ]  # fmt: skip
    assert list(counts.values()) == [by_hand[0], by_hand[1], by_hand[1]]
    config = results.config["variants"]
    assert "model" not in config["narrow"]
    assert config["wide, few"]["model"]["widths"] == [8, 16]
    assert config["wide, few"]["train_limit"] == 80


def test_a_model_and_a_limit_are_part_of_an_address_and_other_studies_keep_theirs():
    spec = parse_study(TEXT)
    trainings = [cell for cell in grid(spec).cells if cell.kind == "training"]
    assert len({cell.address for cell in trainings}) == 3
    assert trainings[2].config["data"] != trainings[1].config["data"]
    plain = grid(tiny()).cells
    assert {"device", "train_limit"}.isdisjoint(key for cell in plain for key in cell.config)
    moved = [cell.address for cell in grid(on_device(spec, "cuda")).cells]
    assert not {cell.address for cell in grid(spec).cells} & set(moved)


def test_accuracy_is_drawn_against_the_axis(results):
    panels = accuracy_against_axis(results).axes
    assert [axes.get_title() for axes in panels] == ["no attack", *(
        f"fgsm, eps {eps}" for eps in ("16/255", "48/255"))]  # fmt: skip
    places = panels[0].lines[0].get_xdata()
    assert places[0] < places[1]
    assert panels[0].containers[1].lines[0].get_xdata().tolist() == [1e6]
    rows = results.evaluations.to_pylist()
    seen = {(r["variant"], r["eps"]): 100 * r["robust_accuracy"] for r in rows}
    for axes, eps in zip(panels[1:], (16 / 255, 48 / 255), strict=True):
        drawn = axes.containers[0].lines[0].get_ydata()
        assert drawn == pytest.approx([seen["narrow", eps], seen["wide", eps]])
    assert seen["narrow", 16 / 255] > seen["narrow", 48 / 255]


def test_errors_by_epoch_are_those_of_the_metrics(results):
    every, few = errors_by_epoch(results).axes
    assert (every.get_title(), few.get_title()) == ("all", "few")
    rows = [r for r in results.epochs.to_pylist() if r["variant"] == "narrow"]
    for line, column in zip(every.lines, ("accuracy", "validation_accuracy"), strict=False):
        assert line.get_ydata() == pytest.approx([100 * (1 - row[column]) for row in rows])
    assert len(every.lines) == 2 * len(few.lines) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  few: {train_limit: 0}", "line 10: parts.few: is .*train_limit is 0; give a number"),
        ("  few: {model: 3}", "line 10: parts.few: is .*the model of a part is a name"),
        ("  few: {model: {size: 2020-01-01}}", "date is no option of a model"),
    ],
)
def test_a_part_that_cannot_be_is_named(line, message):
    with pytest.raises(InputError, match=message):
        parse_study(TEXT.replace("  few: {train_limit: 80}", line))


def test_an_axis_of_unknown_variants_or_places_is_refused():
    with pytest.raises(InputError, match="unknown variant 'wider'; did you mean 'wide'"):
        parse_study(TEXT.replace("wide: multiply-adds", "wider: 3"))
    with pytest.raises(InputError, match="is flops, a number is expected, or one of: weights"):
        parse_study(TEXT.replace("narrow: multiply-adds", "narrow: flops"))
    with pytest.raises(InputError, match="narrow stands at 0 on a log axis; give more than 0"):
        parse_study(TEXT.replace("narrow: multiply-adds", "narrow: 0"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_a_study_for_a_device_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InputError, match="torch finds no CUDA device; set device: cpu"):
        run_study(on_device(parse_study(TEXT), "cuda"), tmp_path / "s", engine=Here())
    assert not (tmp_path / "s").exists()
