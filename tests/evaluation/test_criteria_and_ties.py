"""Evaluation counts as the judge does: ties as argmax has them, one criterion, any number of logits."""

from __future__ import annotations

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.attacks import FGSM, PGD, BinaryLogit, OutsideTopK
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.threat import Linf
from saddlepoint.training import accuracy


class Tied(nn.Module):
    def forward(self, x):
        return x.flatten(1).sum(1, keepdim=True).expand(-1, 3) * 0


class Sum(nn.Module):
    """One logit: positive where the mean is above a half."""

    def forward(self, x):
        return x.flatten(1).mean(1, keepdim=True) - 0.5


class Undeclared(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        return self.net(nn.functional.dropout(x, 0.5, training=True))


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
@pytest.mark.filterwarnings("ignore:several classes share the largest logit")
def test_a_tie_goes_to_the_lowest_class_everywhere():
    data = TensorData.of(torch.rand(30, 1, 4, 4), torch.arange(30) % 3, name="ties")
    attack = FGSM(Linf(0.1))
    result = attack(Tied(), data.pixels, data.labels)
    assert result.success.tolist() == (data.labels != 0).tolist()
    assert bool(result.tied.all())
    record = evaluate(Tied(), data, Linf(0.1), suite="quick", diagnosis=None)
    assert (record.clean.count, record.budgets[0].robust_accuracy.count) == (10, 10)
    for column in ("clean_prediction", "prediction"):
        assert record.images[column].to_pylist() == [0] * 30
    attacked = run_attack(Tied(), data, attack)
    assert attacked.clean.count == 10
    for notes in (record.notes, attacked.notes):
        assert any("share the largest logit for 30 of 30 images" in note for note in notes)
    assert accuracy(Tied(), data) == 10 / 30


def test_one_logit_is_evaluated_with_its_criterion():
    x = torch.linspace(0.2, 0.8, 30)[:, None, None, None].expand(30, 1, 2, 2).contiguous()
    labels = (x.flatten(1).mean(1) > 0.5).long()
    data = TensorData.of(x, labels, name="binary")
    record = evaluate(
        Sum(), data, Linf(), eps=[0.1], suite="quick", criterion=BinaryLogit(), diagnosis=None
    )
    near = ((x[:, 0, 0, 0] - 0.5).abs() >= 0.1).double().mean()
    assert record.clean.value == 1
    assert record.budgets[0].robust_accuracy.value == pytest.approx(float(near))
    with pytest.raises(InputError, match="BinaryLogit"):
        evaluate(Sum(), data, Linf(), eps=[0.1], suite="quick", diagnosis=None)


def test_clean_accuracy_is_by_the_criterion_of_the_suite():
    data = digits("test", 64)
    one = evaluate(trained(), data, Linf(0.05), suite="quick", diagnosis=None)
    three = evaluate(
        trained(), data, Linf(0.05), suite="quick", criterion=OutsideTopK(3), diagnosis=None
    )
    assert three.clean.value > one.clean.value
    assert three.budgets[0].robust_accuracy.value > one.budgets[0].robust_accuracy.value
    suite = {"a": FGSM(Linf(0.1)), "b": PGD(Linf(0.1), criterion=OutsideTopK(3))}
    with pytest.raises(InputError, match="disagree"):
        evaluate(trained(), data, Linf(0.05), suite=suite, diagnosis=None)


def test_one_attack_on_a_random_model_is_averaged_and_says_so():
    data = digits("test", 16)
    torch.manual_seed(0)
    record = run_attack(Undeclared(), data, FGSM(Linf(1 / 255)))
    assert "random at inference, undeclared" in record.notes[0]
    assert int(record.result.forwards.max()) >= 10


def test_pictures_are_judged_by_the_criterion_of_the_attack(tmp_path):
    data = digits("test", 32)
    attack = PGD(Linf(0.2), criterion=OutsideTopK(3))
    record = run_attack(trained(), data, attack, out=tmp_path, png=True)
    before, after = record.eight_bit
    assert 0 < after.count <= before.count < before.total


def test_an_attack_keeps_its_own_number_of_passes():
    data = digits("test", 8)
    own = PGD(Linf(1 / 255), steps=1, eot_samples=20)
    assert "over 20 passes" in run_attack(Undeclared(), data, own).notes[0]
    assert (
        "over 20 passes"
        in evaluate(Undeclared(), data, Linf(0.01), suite={"a": own}, diagnosis=None).notes[0]
    )


def test_a_damaged_archive_is_named(tmp_path):
    arguments = trained(), digits("test", 8), FGSM(Linf(0.1))
    run_attack(*arguments, out=tmp_path)
    for content in (b"", (tmp_path / "adversarials.npz").read_bytes()[:-40]):
        (tmp_path / "adversarials.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"adversarials\.npz is not a whole .npz archive"):
            run_attack(*arguments, out=tmp_path)
