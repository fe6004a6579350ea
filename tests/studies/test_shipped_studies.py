"""The shipped studies: all are valid, and the smallest is run whole, to the page in a browser."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest
from reports.browser import CHROMIUM, assert_readable
from reports.quick import shorten_runs
from studies.tiny import runner
from torch import nn

from saddlepoint.reports.study import findings, write_report
from saddlepoint.studies import load_results, load_status, load_study
from saddlepoint.threat import parse_eps

SHIPPED = Path(__file__).parents[2] / "examples" / "studies"
NINE = (
    "original", "adversarial", "quantised", "regularised", "quantised + adversarial",
    "quantised + regularised", "adversarial + regularised",
    "quantised + adversarial + regularised", "random self-ensemble",
)  # fmt: skip


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke") / "s"
    process = runner(SHIPPED / "nine-defences-smoke.yaml", folder, "--workers", "2")
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "all 62 cells are finished" in out
    return folder


@pytest.fixture(scope="module")
def report(smoke):
    with pytest.MonkeyPatch.context() as patch:
        shorten_runs(patch)
        return write_report(load_results(smoke), smoke / "report", dpi=60, pdf=False)


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(file):
    spec = load_study(file)
    assert spec.name == file.stem.replace("nine-defences", "report")  # which folders hold
    if file.stem.startswith("nine-defences"):
        assert tuple(spec.variants) == NINE


def test_the_whole_study_has_the_nine_defences_reports_own_settings():
    spec = load_study(SHIPPED / "nine-defences.yaml")
    assert spec.data.name == "cifar10"
    assert len(spec.seeds) == 10
    assert spec.eps == tuple(parse_eps(f"{k}/255") for k in (4, 8, 12, 16))
    assert (spec.threat.space, spec.normalisation) == ("normalised", "imagenet")
    recipe = spec.recipe_at(
        "quantised + adversarial + regularised", 4 / 255, ((0.5,) * 3, (0.2,) * 3)
    )
    assert (recipe.epochs, recipe.batch_size) == (10, 100)
    assert recipe.optimiser.build(nn.Linear(1, 1)).defaults["lr"] == 0.001
    assert (recipe.optimiser.momentum, recipe.optimiser.weight_decay) == (0.0, 0.0)
    assert recipe.schedule.name == "constant"
    attack = recipe.objective.attack
    assert (attack.steps, attack.step_size, attack.start, attack.keep) == (
        4,
        2 / 255,
        "gaussian",
        "last",
    )
    assert len(recipe.transforms) == 1
    assert len(recipe.penalties) == 2


@pytest.mark.slow
def test_the_smoke_study_trains_all_nine_and_finds_what_must_be(smoke):
    assert load_status(smoke).complete
    found = load_results(smoke)
    assert found.variants == NINE
    rows = found.evaluations.to_pylist()
    assert len(rows) == 36
    assert min(row["clean_accuracy"] for row in rows) > 0.5
    mean = {
        variant: sum(r["success_rate"] for r in rows if r["variant"] == variant) / 4
        for variant in NINE
    }
    for variant in NINE:
        if "adversarial" in variant:
            assert mean[variant] < mean["original"] - 0.1
    penalties = {t["variant"] for t in found.trainings.to_pylist() if t["penalty"] > 0}
    assert penalties == {variant for variant in NINE if "regularised" in variant}


@pytest.mark.slow
def test_the_report_has_all_its_tables_and_figures(smoke, report):
    # Two seeds: of the nine-defences report's own test there are no stars to draw.
    assert [line.split(":")[0] for line in report.left_out] == ["figure 'nine-defences-test'"]
    names = [path.stem for path in report.figures]
    assert names[0] == "accuracy-against-eps"
    assert sum(name.startswith("features-") for name in names) == len(NINE)
    assert names[-7:] == [
        "quantisation", "kernel-matrix", "convolution-matrix", "self-ensemble",
        "decision-boundary", "activations", "activation-time",
    ]  # fmt: skip
    assert len(names) == 6 + len(NINE) + 7
    text = report.markdown.read_text(encoding="utf-8")
    assert "No stars: they need at least 5 seeds, and this study has 2." in text
    for finding in findings(load_results(smoke)):
        assert finding.statement in text
    (variants,) = (path for path in report.tables if path.name == "variants.csv")
    rows = list(csv.DictReader(variants.open(encoding="utf-8")))
    assert {row["variant"] for row in rows} == set(NINE)
    assert report.index.stat().st_size < 3 << 20


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_is_readable_in_a_browser(report, tmp_path):
    page = report.index.read_text(encoding="utf-8")
    assert_readable(page, tmp_path, images=22)


@pytest.mark.slow
def test_running_it_again_takes_no_time_and_changes_nothing(smoke):
    before = json.dumps(load_results(smoke).evaluations.to_pylist())
    began = time.monotonic()
    process = runner(SHIPPED / "nine-defences-smoke.yaml", smoke)
    process.communicate(timeout=120)
    assert time.monotonic() - began < 60
    assert json.dumps(load_results(smoke).evaluations.to_pylist()) == before
