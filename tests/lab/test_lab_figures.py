"""The figures of the lab: drawn whole, with nothing on anything else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from lab_cases import bench, looks_drawn, overlapping
from matplotlib.text import Text
from reports.lines import alike

import saddlepoint.lab
from saddlepoint.lab import EXPERIMENTS
from saddlepoint.lab.experiment import PerModel
from saddlepoint.lab.fgsm_ray import FgsmRay, draw_fgsm_ray
from saddlepoint.lab.panels import looks

MAE = {"patch": "2", "seeds": "1", "tuned": "1"}
TEXT = {"width": "16", "depth": "1", "epochs": "1", "examples": "60", "tested": "6"}
BERT = {
    "data": "rules:sentiment",
    "documents": "rules:sentiment",
    "read": "80",
    "tested": "20",
    "vocabulary": "80",
    "labels": "10,20",
    "seeds": "1",
    "tuned": "1",
    "steps": "1",
    "width": "16",
    "depth": "1",
    "heads": "2",
}
TINY = {
    "linear-example": {"dimensions": "1,10,100"},
    "fgsm-ray": {"points": "10"},
    "adversarial-logistic": {"steps": "30"},
    "controls": {"members": "2"},
    "regularisation": {"units": "6", "seeds": "2", "longer": "1", "steps": "2"},
    "landscape": {"restarts": "6", "steps": "5"},
    "segments": {"maxima": "3", "steps": "5", "points": "5"},
    "alignment": {"eps": "0.1,0.2", "steps": "5"},
    "accuracy-against-eps": {"linf": "0.1,0.2", "l2": "0.5,1", "steps": "5"},
    "capacity": {"scales": "1,2", "seeds": "2", "steps": "2", "train_steps": "1"},
    "transfer-table": {"scale": "1", "seeds": "1", "steps": "2", "restarts": "1"},
    "l2-overestimate": {
        "scale": "1",
        "seeds": "1",
        "pgd_steps": "5",
        "ddn_steps": "10",
        "queries": "1",
    },
    "objectives": {"objectives": "f2,f6", "steps": "20", "searches": "3"},
    "constant-c": {"c": "0.1,1", "steps": "30"},
    "synthetic-digits": {"steps": "4"},
    "lowest-bit": {"bits": "1,5,7", "steps": "5"},
    "distillation": {"temperatures": "1,20", "repeats": "1", "steps": "5"},
    "distillation-transfer": {"kappa": "0,5", "repeats": "1", "steps": "5", "searches": "1"},
    "distillation-jsma": {"temperatures": "1,20", "repeats": "1"},
    "transfer-confidence": {"confidence": "0,0.5", "steps": "30", "searches": "2"},
    "residual": {"networks": "plain20,resnet20", "seeds": "1", "deeper": "26"},
    "architectures": {
        "networks": "plain20,vit-micro",
        "seeds": "1",
        "budgets": "0.1,0.2",
        "suite": "quick",
        "steps": "2",
    },
    "attention-under-attack": {"seeds": "1", "budgets": "0.1,0.3", "patches": "1,4", "steps": "2"},
    "gan-toy": {"steps": "10", "seeds": "1", "hidden": "4"},
    "gan-game": {"samples": "30"},
    "few-shot": {"seeds": "1", "shots": "1,5", "episodes": "3", "tuned": "1", "steps": "2"},
    "attention-scale": {"widths": "4,64", "draws": "50"},
    "norms-on-lengths": {"spreads": "0,8", "longer": "1,2", "batches": "10"},
    "attention-cost": {"lengths": "16,64", "widths": "16,64", "length": "16", "repeats": "1"},
    "text-rules": {**TEXT, "rules": "copy,sort"},
    "text-verses": {**TEXT, "data": "rules:number-words", "vocabulary": "60", "beams": "1,2"},
    "text-ablations": {
        **TEXT,
        "data": "rules:copy",
        "variants": "as it is,no smoothing,no positions",
        "beams": "1",
    },
    "text-data-size": {
        "labels": "10,20",
        "tested": "20",
        "width": "16",
        "steps": "2",
        "seeds": "1",
        "rates": "0.001",
    },
    "bert-labels": {
        **BERT,
        "depth": "4",
        "starts": "from scratch,words and next sentences,left to right",
    },
    "embedding-robustness": {
        "trained": "20",
        "measured": "20",
        "attacked": "4",
        "tuned": "1",
        "seeds": "1",
        "depth": "1",
        "steps": "1",
        "suite": "quick",
        "eps": "0.1,0.2",
    },
    "mae-labels": {**MAE, "ratios": "0.5,0.75", "shares": "0.1,0.3", "rates": "0.001,0.002"},
    "mae-decoder": {**MAE, "variants": "as it is,tokens in the encoder", "share": "0.2"},
    "mae-robust": {**MAE, "share": "0.2", "steps": "1", "masked_steps": "1", "measured": "2"},
    "mae-interpolation": {**MAE, "ratios": "0.5,0.75"},
    "advgan": {"perturber_epochs": "1", "steps": "2"},
    "purify": {"latent": "4", "fit_epochs": "1", "descents": "2", "steps": "2", "eot": "1"},
}

_LARGER = (
    "adversarial-logistic",
    "attention-under-attack",
    "few-shot",
    "gan-game",
)  # need images of both kinds


@pytest.fixture(scope="module")
def benches():
    """A bench of two images, and one of enough for both classes of the logistic regression."""
    return {count: bench(count) for count in (2, 40)}


@pytest.mark.parametrize("name", TINY)
def test_every_experiment_is_drawn_whole_and_without_overlap(name, benches):
    if name in ("text-verses", "text-ablations"):
        pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    experiment = EXPERIMENTS[name]
    found = experiment.run(benches[40 if name in _LARGER else 2], experiment.parse(TINY[name]))
    for table in found.tables().values():
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)
    figure = experiment.draw(found)
    assert looks_drawn(figure)
    assert overlapping(figure) == []
    assert alike(figure) == []
    for text in figure.findobj(Text):
        assert ("$" in text.get_text()) <= text.get_parse_math(), text.get_text()
        assert "mathdefault" not in text.get_text()


@pytest.mark.parametrize("classes", [3, 10, 12, 200])
def test_the_rays_of_many_classes_are_told_apart(classes):
    t = torch.linspace(-1, 1, 21)
    slopes, heights = torch.randn(2, 3, 1, classes, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, classes - 1, classes // 2])
    ray = FgsmRay(t, (slopes * t[:, None] + heights).double(), labels)
    figure = draw_fgsm_ray(PerModel({"a": ray}))
    assert looks_drawn(figure)
    assert alike(figure) == []
    assert overlapping(figure) == []
    axes = figure.axes[1]
    lines = {line.get_label(): line for line in axes.lines if line.get_label() != "_image"}
    assert len(lines) == min(classes, 12)
    assert len({line.get_color() for line in lines.values()}) <= 8
    most_won = ray.predictions.flatten().bincount().argsort(descending=True)[:5]
    for k in {*most_won.tolist(), *labels.tolist()} if classes > 12 else range(classes):
        drawn = torch.as_tensor(lines[f"class {k}"].get_ydata())
        torch.testing.assert_close(drawn, ray.logits[1, :, k])
    assert lines[f"class {classes - 1}"].get_linewidth() > 2
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == [*lines, *([f"the other {classes - 12}"] if classes > 12 else [])]


def test_looks_differ_beyond_eight():
    found = looks(map(str, range(64)))
    assert len(set(found.values())) == 64
    assert len({look.colour for look in found.values()}) == 8


def test_every_experiment_is_tried_here():
    assert set(TINY) == set(EXPERIMENTS)
    for experiment in EXPERIMENTS.values():
        assert experiment.settings() is not None


def test_matplotlib_is_imported_by_the_first_figure_only():
    files = Path(saddlepoint.lab.__file__).parent.glob("*.py")
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert not any(heavy in ast.unparse(node) for heavy in ("matplotlib", ".reports"))
