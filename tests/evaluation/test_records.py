"""The files of an evaluation and of an attack are read by others and hold what is promised."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from networks import Noise
from small import digits, trained
from torch import nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.threat import L2, Linf


def test_the_files_of_an_evaluation(tmp_path):
    data = digits("test", 40)
    record = evaluate(trained(), data, Linf(), eps=[0.05, 0.1], suite="quick", out=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "attempts.parquet", "evaluation.json", "images.parquet", "run.json", "starts", "worst",
    ]  # fmt: skip
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert told == record.json()
    assert told["config"]["data"]["fingerprint"] == data.fingerprint
    assert told["config"]["attacks"]["apgd"]["steps"] == 20
    assert [b["eps"] for b in told["budgets"]] == [0.05, 0.1]
    clean = told["clean_accuracy"]
    assert clean["value"] == clean["count"] / clean["total"]
    assert clean["low"] < clean["value"] < clean["high"]
    images = pq.read_table(tmp_path / "images.parquet")
    assert images.num_rows == 80
    assert set(images.column_names) == {
        "id", "eps", "label", "clean_prediction", "clean_tied", "fooled_by", "fooled_at",
        "distance", "prediction", "tied",
    }  # fmt: skip
    assert images["label"].to_pylist()[:40] == data.labels.tolist()
    attempts = pq.read_table(tmp_path / "attempts.parquet")
    assert set(attempts.column_names) == {
        "id", "eps", "attack", "success", "distance", "prediction", "rejected", "tied",
        "forwards", "backwards",
    }  # fmt: skip
    assert max(attempts["distance"].to_pylist()) <= 0.1 + 1e-6
    environment = json.loads((tmp_path / "run.json").read_text())["environment"]
    assert environment["torch"] == torch.__version__


def test_the_files_of_an_attack(tmp_path):
    data = digits("test", 40)
    record = run_attack(trained(), data, PGD(Linf(0.1), steps=4), out=tmp_path, batch_size=16)
    told = json.loads((tmp_path / "attack.json").read_text())
    assert told == record.json()
    assert told["robust_accuracy"]["count"] == int((~record.result.success).sum())
    with np.load(tmp_path / "adversarials.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"adversarials", "labels", "ids", "success"}
        after = torch.from_numpy(arrays["adversarials"])
        assert arrays["ids"].tolist() == list(range(40))
        assert np.array_equal(arrays["labels"], data.labels.numpy())
        assert np.array_equal(arrays["success"], record.result.success.numpy())
    assert float((after - data.images(torch.arange(40))).abs().max()) <= 0.1 + 1e-6
    predictions = trained()(after).argmax(1)
    wrong = record.result.success
    assert torch.equal(predictions != data.labels, wrong)
    table = pq.read_table(tmp_path / "images.parquet")
    assert table.num_rows == 40
    assert {"id", "label", "success", "distance", "predictions", "forwards"} <= set(
        table.column_names
    )
    assert table["predictions"].to_pylist() == predictions.tolist()


def test_success_leaves_out_what_was_wrong_before():
    data = digits("test", 60)
    record = run_attack(trained(), data, FGSM(Linf(0.05)))
    right = trained()(data.images(torch.arange(60))).argmax(1) == data.labels
    assert (record.clean.count, record.success.total) == (int(right.sum()), int(right.sum()))
    assert int((~right).sum()) > 0
    assert record.robust_accuracy.count == record.clean.count - record.success.count


def test_a_target_leaves_out_the_images_of_its_class(tmp_path):
    data = digits("test", 60)
    record = run_attack(trained(), data, PGD(Linf(0.2), steps=5), target=3, out=tmp_path)
    assert record.ids.tolist() == [i for i in range(60) if int(data.labels[i]) != 3]
    assert torch.equal(record.labels, data.labels[record.ids])
    hits = record.result.success
    assert bool(hits.any())
    assert bool((record.result.predictions[hits] == 3).all())
    with pytest.raises(InputError, match=r"target is 10; the classes are 0 … 9"):
        run_attack(trained(), data, FGSM(Linf(0.2)), target=10)
    only = data.take((data.labels == 3).nonzero()[:, 0])
    with pytest.raises(InputError, match="no images to attack"):
        run_attack(trained(), only, FGSM(Linf(0.2)), target=3)


def test_an_attack_in_parts_is_the_attack_at_once():
    data, attack = digits("test", 50), PGD(L2(0.5), steps=4)
    model = trained(torch.float64)
    record = run_attack(model, data, attack, batch_size=7)
    result = attack(model, data.images(torch.arange(50)), data.labels)
    assert torch.equal(record.result.success, result.success)
    torch.testing.assert_close(record.result.distance, result.distance, rtol=0, atol=1e-9)
    assert record.forwards == float(result.forwards.double().mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"png": True}, "png needs a folder"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"target": -1}, "target is -1"),
        ({"attack": PGD(Linf())}, "needs a budget"),
    ],
)
def test_what_cannot_be_run_is_refused(options, message):
    arguments = {"attack": FGSM(Linf(0.1)), **options}
    with pytest.raises(InputError, match=message):
        run_attack(trained(), digits("test", 8), **arguments)


class Awake(nn.Dropout):
    """Dropout that stays on in evaluation, without saying so."""

    def forward(self, x):
        return nn.functional.dropout(x, self.p, training=True)


def test_a_model_that_declares_itself_random_is_attacked_in_expectation():
    model = nn.Sequential(Noise(0.1), trained())
    record = evaluate(model, digits("test", 24), Linf(0.1), suite="quick", diagnosis=None)
    [note] = record.notes
    assert "declares itself random" in note
    assert "10 passes" in note
    # Clean check, one gradient and the judge, ten passes each, at least.
    assert min(record.attempts["forwards"].to_pylist()) >= 30
    assert {a["eot_samples"] for a in record.config["attacks"].values()} == {10}


def test_a_model_that_is_random_without_saying_so_is_found_out():
    model = nn.Sequential(*list(trained())[:-1], Awake(0.3), trained()[-1]).eval()
    record = evaluate(
        model, digits("test", 24), Linf(0.1), suite="quick", eot_samples=4, diagnosis=None
    )
    [note] = record.notes
    assert "random at inference, undeclared" in note
    assert "4 passes" in note
    # Clean check, loop and judge, four passes each at least; an image that the clean check of an
    # attack finds wrong is left alone.
    assert all(passes == 8 or passes >= 12 for passes in record.attempts["forwards"].to_pylist())
    assert max(record.attempts["forwards"].to_pylist()) >= 12


def test_a_random_model_without_averaging_is_said_to_look_too_good():
    model = nn.Sequential(Noise(0.1), trained())
    record = evaluate(
        model, digits("test", 8), Linf(0.1), suite="quick", eot_samples=1, diagnosis=None
    )
    assert "attacked without averaging: the accuracy is too high" in record.notes[0]


def test_a_model_that_is_not_random_has_no_note():
    with_dropout = nn.Sequential(*list(trained())[:-1], nn.Dropout(0.5), trained()[-1]).train()
    record = evaluate(with_dropout, digits("test", 12), Linf(0.1), suite="quick", diagnosis=None)
    assert record.notes == ()
    assert with_dropout.training


def test_a_declared_random_model_does_not_depend_on_batches():
    model = nn.Sequential(Noise(0.1), trained(torch.float64))
    records = [
        evaluate(
            model, digits("test", 24), Linf(0.05), suite="quick", batch_size=size, diagnosis=None
        )
        for size in (5, 24)
    ]
    assert records[0].images["fooled_by"] == records[1].images["fooled_by"]
