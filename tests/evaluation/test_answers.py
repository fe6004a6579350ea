"""What an evaluation makes of images without a class, of rejections, and of labels of one class."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import PGD, AcceptedAsOther, UniformNoise
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, evaluate, run_attack
from saddlepoint.model import Guard
from saddlepoint.threat import Linf
from saddlepoint.training import accuracy


class Silent(nn.Module):
    """Two classes, by whether the first pixel is above a half; no answer where the second is above
    0.8, nor within 0.05 of a first pixel of 0.25.
    """

    def forward(self, x):
        first, second = x.flatten(1).unbind(1)
        logits = torch.stack([0.5 - first, first - 0.5], dim=1)
        none = (second > 0.8) | ((first - 0.25).abs() < 0.05)
        return torch.where(none[:, None], torch.nan, logits)


def silent_case():
    """Images on a grid: no answer for 6 of 30; within 0.1 of others there is none either."""
    first = torch.tensor([0.02, 0.08, 0.17, 0.35, 0.7, 0.95])
    pixels = torch.cartesian_prod(first, torch.tensor([0.1, 0.3, 0.5, 0.75, 0.9]))
    return TensorData.of(pixels[:, None, None, :], (pixels[:, 0] > 0.5).long(), name="silent")


SUITE = {"noise": UniformNoise(Linf(0.1), draws=60), "pgd": PGD(Linf(0.1), steps=3)}


@pytest.mark.filterwarnings("ignore:the model returned NaN")
def test_images_without_a_class_are_wrong_and_an_attack_that_finds_one_has_succeeded(tmp_path):
    data = silent_case()
    pixels = data.pixels.flatten(1)
    clean = pixels[:, 1] < 0.8
    near = (pixels[:, 1] + 0.1 > 0.8) | ((pixels[:, 0] - 0.25).abs() < 0.15)
    record = evaluate(Silent(), data, Linf(0.1), suite=SUITE, out=tmp_path / "run", diagnosis=None)
    assert (record.clean.count, record.clean.total) == (24, 30)
    assert accuracy(Silent(), data) == 24 / 30
    robust = np.array(record.images["fooled_by"].to_pylist()) == ""
    assert robust.tolist() == (clean & ~near).tolist()
    assert record.images["clean_prediction"].to_pylist().count(-1) == 6
    lost = int((clean & near).sum())
    told = "the model returns NaN or infinite logits for"
    assert [note for note in record.notes if told in note] == [
        f"{told} 6 of 30 images: they count as wrong",
        f"{told} {lost} of 30 images as an attack left them: without a class they count as fooled,"
        " and reach no target",
    ]
    again = Evaluation.load(tmp_path / "run")
    for each in (record, again):
        assert int(each.confusion().sum()) == 30 - 6 - lost
        assert int(each.confusion(0).sum()) == 24
        gone = sum(share.becomes.get(-1, 0) for share in each.per_class())
        assert gone == 6 + lost
        assert "no class" in str(each.class_table())
    one = evaluate(
        Silent(), data, Linf(0.1), suite=SUITE, batch_size=1, diagnosis=None
    )  # whole batches of silence
    assert one.images.equals(record.images)


@pytest.mark.filterwarnings("ignore:the model returned NaN")
def test_one_attack_its_pictures_and_its_record_know_of_no_class(tmp_path):
    data = silent_case()
    record = run_attack(
        Silent(), data, SUITE["noise"], out=tmp_path / "run", png=True, batch_size=4
    )
    assert record.clean.count == 24
    assert any("for 6 of 30 images: they count as wrong" in note for note in record.notes)
    names = [path.name for path in (tmp_path / "run" / "png").iterdir()]
    assert sum("predicted-none" in name for name in names) >= 6
    assert json.loads((tmp_path / "run" / "attack.json").read_text())["notes"] == [*record.notes]


def test_a_model_that_never_answers_is_an_error_before_anything_is_written(tmp_path):
    never = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Threshold(torch.inf, torch.nan))
    data = digits("test", 12)
    for call in (
        lambda: evaluate(
            never, data, Linf(0.1), suite=SUITE, out=tmp_path / "evaluation", diagnosis=None
        ),
        lambda: run_attack(never, data, SUITE["pgd"], batch_size=5, out=tmp_path / "attack"),
    ):
        with pytest.raises(InputError, match="NaN or infinite logits for 12 of 12 images; look"):
            call()
    assert not [*tmp_path.rglob("*.parquet")]


def test_passes_that_are_silent_alike_agree_and_others_do_not():
    class Flaky(nn.Module):
        def forward(self, x):
            bad = torch.rand(len(x)) < 0.5
            return torch.where(bad[:, None], torch.nan, x.flatten(1))

    images = torch.rand(16, 3)
    with Guard(Flaky(), 16) as guard:
        assert not guard.passes_agree(images)
    with Guard(Silent(), 16) as guard:
        assert guard.passes_agree(torch.tensor([[0.1, 0.9], [0.7, 0.1]]))


class Careful(nn.Module):
    """The network for digits with an eleventh class, which comes first where no other is sure."""

    def __init__(self, level):
        super().__init__()
        self.net, self.level = trained(), level

    def forward(self, x):
        logits = self.net(x)
        return torch.cat([logits, torch.full_like(logits[:, :1], self.level)], dim=1)


def test_rejections_are_told_at_every_budget_and_named_classes_may_lack_the_one_that_rejects():
    some = digits("test", 100)
    data = TensorData.of(some.pixels, some.labels, name="named", classes=list("abcdefghij"))
    criterion, eps = AcceptedAsOther(10), [0.0, 0.05]
    record = evaluate(
        Careful(6.0), data, "Linf", eps=eps, suite="quick", criterion=criterion, diagnosis=None
    )
    with torch.no_grad():
        answer = Careful(6.0)(data.pixels).argmax(1)
    rejected, right = int((answer == 10).sum()), int((answer == data.labels).sum())
    assert 5 < rejected < 95
    assert record.clean.count == rejected + right
    first, none, some = (note for note in record.notes if "reject" in note)
    assert f"of 100 clean images {rejected} are rejected, and {right} are accepted" in first
    stand = record.budgets[1].robust_accuracy.count
    assert f"at eps 0 {rejected} of the {rejected + right} images that stand" in none
    last = record.attempts.to_pandas().query("eps == 0.05 and prediction == 10").id.unique()
    left = [row for row in record.images.to_pylist()[100:] if row["fooled_by"] == ""]
    count = sum(row["id"] in last for row in left)
    assert 0 < count <= stand
    assert f"at eps 0.05 {count} of the {stand} images that stand are rejected" in some
    plain = evaluate(trained(), data, "Linf", eps=eps, suite="quick", diagnosis=None)
    assert stand > plain.budgets[1].robust_accuracy.count
    always = evaluate(
        Careful(1e4), data, "Linf", eps=[0.05], suite="quick", criterion=criterion, diagnosis=None
    )
    assert "100 are rejected, and 0 are accepted" in always.notes[0]
    with pytest.raises(InputError, match="11 outputs, the data 10 classes"):
        evaluate(Careful(6.0), data, "Linf", eps=eps, suite="quick", diagnosis=None)


def test_labels_of_one_class_are_told_and_data_of_one_class_is_no_evaluation():
    some = digits("test", 100)
    ones = some.pixels[some.labels == 1]
    labels = torch.ones(len(ones), dtype=torch.int64)
    suite = {"noise": UniformNoise(Linf(0.01), draws=1)}
    names = [*"abcdefghij"]
    data = TensorData.of(ones, labels, name="ones", classes=names)
    notes = evaluate(trained(), data, Linf(0.01), suite=suite, diagnosis=None).notes
    assert notes == (
        f"all {len(ones)} images are of class b: the accuracies are those of one class",
    )
    assert (
        evaluate(trained(), digits("test", 1), Linf(0.01), suite=suite, diagnosis=None).notes == ()
    )
    four = evaluate(trained(), digits("test", 4), Linf(0.01), suite=suite, diagnosis=None).notes
    assert four == (
        "4 images are fewer than the 10 classes: the accuracies say nothing of 6 of them",
    )
    alone = TensorData.of(ones, labels * 0, name="ones", classes=["b"])
    with pytest.raises(InputError, match="ones has one class, b, and any model that always gives"):
        evaluate(trained(), alone, Linf(0.01), suite=suite, diagnosis=None)
