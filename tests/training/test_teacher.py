"""Distillation has two stages in one folder; soft labels are the teacher's, at T, by the image."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small import conv, digits, same
from torch import nn

from saddlepoint.defences import Distillation, HardLabels, Optimiser, Recipe, Schedule
from saddlepoint.defences.objectives import distillation
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.training import train
from saddlepoint.zoo import weights_fingerprint

T = 20.0
RECIPE = Recipe(
    objective=Distillation(T),
    epochs=3,
    batch_size=64,
    optimiser=Optimiser("adam", 0.01, weight_decay=0.0),
    schedule=Schedule("constant"),
    augmentation="crop",
)


def test_the_teacher_is_trained_first_in_a_folder_within_and_is_in_the_identity(tmp_path):
    student = train(conv(dropout=0.3), digits(limit=256), RECIPE, out=tmp_path).model
    teacher = conv(dropout=0.3)
    config = json.loads((tmp_path / "teacher" / "run.json").read_text())["config"]
    plan = replace(RECIPE, objective=HardLabels(T))
    taught = train(teacher, digits(limit=256), plan, seed=config["seed"]).model
    own = json.loads((tmp_path / "run.json").read_text())["config"]
    assert own["teacher"] == weights_fingerprint(taught)
    assert config["recipe"]["objective"]["type"] == "HardLabels"
    # The same teacher, given, makes the same student.
    given = train(conv(dropout=0.3), digits(limit=256), RECIPE, teacher=taught).model
    assert same(given.state_dict(), student.state_dict())
    with pytest.raises(InputError, match="teacher was"):
        train(
            conv(dropout=0.3), digits(limit=256), RECIPE, teacher=conv(7), out=tmp_path, resume=True
        )


def test_soft_labels_are_the_teachers_at_the_temperature_with_dropout_off(monkeypatch):
    seen = {}
    original = distillation.Distillation.accumulate

    def spy(self, model, batch):
        seen.update(dict(zip(batch.ids.tolist(), batch.soft, strict=True)))
        return original(self, model, batch)

    monkeypatch.setattr(distillation.Distillation, "accumulate", spy)
    data, teacher = digits(limit=100), conv(3, dropout=0.5)
    train(conv(), data, replace(RECIPE, epochs=1), teacher=teacher)
    with Guard(teacher, 100) as guard:
        wanted = (guard.logits(data.images(torch.arange(100))) / T).softmax(1)
    assert torch.allclose(torch.stack([seen[i] for i in range(100)]), wanted, atol=1e-6)


def test_a_distilled_network_has_larger_logits_at_temperature_1():
    def size(objective):
        plan = replace(RECIPE, objective=objective, epochs=15)
        model = train(conv(), digits(), plan).model
        with Guard(model, 100) as guard:
            return float(guard.logits(digits("test", 100).pixels).abs().mean())

    assert size(Distillation(T)) > 3 * size(HardLabels(1.0))


@pytest.mark.parametrize(
    ("objective", "teacher", "message"),
    [
        (
            Distillation(T),
            nn.Sequential(nn.Flatten(), nn.Linear(64, 7)),
            "the teacher has 7 classes",
        ),
        (HardLabels(T), conv(), "HardLabels learns from no teacher"),
    ],
)
def test_a_teacher_of_no_use_is_refused(objective, teacher, message):
    with pytest.raises(InputError, match=message):
        train(conv(), digits(limit=64), replace(RECIPE, objective=objective), teacher=teacher)


def test_no_teacher_is_trained_in_the_folder_of_another_run(tmp_path):
    train(conv(), digits(limit=64), Recipe(epochs=1), out=tmp_path)
    with pytest.raises(InputError, match="holds another run"):
        train(conv(), digits(limit=64), RECIPE, out=tmp_path, resume=True)
    assert not (tmp_path / "teacher").exists()
