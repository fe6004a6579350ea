"""Accuracy under corruptions: counted by hand, in any batch, resumed, extended, and as a record."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from small import digits, trained
from torch import nn

from saddlepoint.data import CORRUPTIONS, corrupted
from saddlepoint.errors import InputError
from saddlepoint.evaluation import (
    CorruptedShare,
    CorruptionAccuracy,
    MeanShare,
    Proportion,
    corruption_accuracy,
    steps,
)

NAMES = ["fog", "gaussian-noise", "contrast"]


@pytest.fixture(name="done")
def _done(monkeypatch):
    """The images that are measured, not read, in this process."""
    seen = []
    step = steps.Steps._step

    def told(self, name, ids, *rest):
        seen.append((name, len(ids)))
        return step(self, name, ids, *rest)

    monkeypatch.setattr(steps.Steps, "_step", told)
    return seen


def measure(data=None, model=None, **options):
    options = {"names": NAMES, "severities": (1, 5), **options}
    data = digits("test", 40) if data is None else data
    return corruption_accuracy(model or trained(), data, **options)


def test_the_counts_are_those_of_the_corrupted_images():
    data, net = digits("test", 60), trained()
    record = measure(data, net, seed=3, batch_size=7)
    pairs = [(row.corruption, row.severity) for row in record.rows]
    assert pairs == [(n, s) for n in ("gaussian-noise", "fog", "contrast") for s in (1, 5)]
    ids, right = torch.arange(60), {}
    with torch.no_grad():
        for name, severity in pairs:
            x = corrupted(data, name, severity, 3).images(ids)
            right[name, severity] = net(x).argmax(1) == data.labels
        clean = int((net(data.images(ids)).argmax(1) == data.labels).sum())
    for row in record.rows:
        assert row.accuracy == Proportion(int(right[row.corruption, row.severity].sum()), 60)
    assert record.clean == Proportion(clean, 60)
    assert len({row.accuracy for row in record.rows}) > 2
    shares = torch.stack(list(right.values())).double()
    assert record.mean.value == pytest.approx(float(shares.mean()))
    assert record.mean.low < record.mean.value < record.mean.high
    # Six looks at one image are not six images, and more than one.
    alone = Proportion(round(60 * record.mean.value), 60)
    assert record.mean.high - record.mean.low <= alone.high - alone.low + 0.02


def test_the_batch_changes_nothing():
    first, second = measure(batch_size=40), measure(batch_size=3)
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    assert measure(seed=1).rows != first.rows


def test_means_are_over_severities_and_then_over_corruptions():
    record = measure(names=["fog", "snow"], severities=[2, 4, 2])
    shares = {row.corruption: [] for row in record.rows}
    for row in record.rows:
        shares[row.corruption].append(row.accuracy.count / row.accuracy.total)
    assert {len(each) for each in shares.values()} == {2}
    assert record.means == {name: pytest.approx(sum(each) / 2) for name, each in shares.items()}
    assert record.mean.value == pytest.approx(sum(record.means.values()) / 2)
    assert record.severities == (2, 4)


def test_all_are_measured_unless_some_are_named():
    record = corruption_accuracy(trained(), digits("test", 4))
    assert len(record.rows) == 75
    assert list(record.means) == list(CORRUPTIONS)
    assert any("frost" in note for note in record.notes)
    assert not any("frost" in note for note in measure().notes)


def test_the_record_comes_back_and_prints(tmp_path):
    record = measure(out=tmp_path / "a")
    assert CorruptionAccuracy.load(tmp_path / "a") == record
    assert CorruptionAccuracy.of_json(json.loads(json.dumps(record.json()))) == record
    text = str(record)
    for row in record.rows:
        assert str(row.accuracy) in text
    assert "mean accuracy over 3 of 15 corruptions" in text
    assert "40 images of digits" in text
    assert repr(record) == text
    (tmp_path / "a/corruptions.json").write_text('{"rows": []}')
    with pytest.raises(InputError, match=r"corruptions\.json"):
        CorruptionAccuracy.load(tmp_path / "a")


def test_what_is_done_is_read_and_more_is_added(tmp_path, done):
    out = tmp_path / "a"
    first = measure(out=out, names=["fog"], severities=[1])
    assert done == [("clean", 40), ("fog 1", 40)]
    written = (out / "corruptions.json").read_bytes()
    done.clear()
    assert measure(out=out, names=["fog"], severities=[1]) == first
    assert not done
    assert (out / "corruptions.json").read_bytes() == written
    more = measure(out=out, names=["fog", "snow"], severities=[1, 2])
    assert done == [("snow 1", 40), ("snow 2", 40), ("fog 2", 40)]
    assert set(first.rows) < set(more.rows)
    done.clear()
    assert measure(out=out, names=["snow"], severities=[2]) == more  # what is there stays there
    assert not done
    fresh = measure(names=["fog", "snow"], severities=[1, 2])
    assert replace(fresh, seconds=0.0) == replace(more, seconds=0.0)


def test_an_interrupted_one_goes_on(tmp_path, done):
    ticks = []

    def stop(tick):
        ticks.append(tick)
        if tick.what == "fog 1" and tick.done >= 20 + 3 * 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(out=tmp_path / "a", batch_size=10, progress=stop)
    assert ("fog 1", 10) in done
    assert not (tmp_path / "a/corruptions.json").exists()
    before = sum(count for _, count in done)
    done.clear()
    record = measure(out=tmp_path / "a", batch_size=16)
    # The batch that was told of when it was stopped is not kept.
    assert sum(count for _, count in done) <= 7 * 40 - before + 10
    assert replace(record, seconds=0.0) == replace(measure(), seconds=0.0)
    assert ticks[-1].total == 7 * 40


def test_another_run_is_not_mixed_in(tmp_path):
    out = tmp_path / "a"
    measure(out=out)
    for other in ({"seed": 1}, {"data": digits("test", 39)}, {"form": "imagenet-c"}):
        with pytest.raises(InputError, match="holds another run"):
            measure(out=out, **other)
    net = trained()
    nn.init.zeros_(net[-1].weight)
    with pytest.raises(InputError, match="holds another run"):
        measure(out=out, model=net)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = trained()

    def forward(self, x):
        return self.net(x + 0.3 * torch.randn_like(x))


class Silent(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.net, self.share = trained(), share

    def forward(self, x):
        logits = self.net(x)
        logits[x.mean((1, 2, 3)) > self.share] = torch.nan
        return logits


def test_random_and_silent_models():
    assert any("10 passes" in note for note in measure(model=Noisy(), names=["fog"]).notes)
    some, whole = measure(model=Silent(0.32)), measure()
    assert 0 < some.clean.count < whole.clean.count


def record_of(errors, **config):
    rows = tuple(
        CorruptedShare(name, severity, Proportion(round(100 * (1 - error)), 100))
        for name, each in errors.items()
        for severity, error in enumerate(each, 1)
    )
    return CorruptionAccuracy(Proportion(99, 100), rows, MeanShare(0.5, 0.4, 0.6, 100), config)


def test_the_mean_corruption_error_is_relative_to_the_reference():
    own = record_of({"fog": (0.1, 0.3), "snow": (0.2, 0.2)})
    other = record_of({"fog": (0.2, 0.6), "snow": (0.1, 0.3), "frost": (1.0, 1.0)})
    assert own.mean_corruption_error(other) == pytest.approx((0.5 + 1.0) / 2)
    assert own.mean_corruption_error(own) == pytest.approx(1)
    assert own.mean_corruption_error({"fog": 0.4, "snow": 0.8}) == pytest.approx((0.5 + 0.25) / 2)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"fog": 0.4}, "no error of snow"),
        ({"fog": 0.4, "snow": 0.0}, "error of snow is 0"),
        ({"fog": 0.4, "snow": math.nan}, "error of snow is nan"),
        ({"fog": 40.0, "snow": 0.3}, "error of fog is 40"),
        (record_of({"fog": (0.2, 0.6)}), "only one of the two records has snow 1"),
        (record_of({"fog": (0.2,), "snow": (0.2, 0.2)}), "only one of the two records has fog 2"),
        (
            record_of({"fog": (0.2, 0.6), "snow": (0.1, 0.3)}, seed=1),
            "the reference has another seed",
        ),
        (record_of({"fog": (0.2, 0.6), "snow": (0.1, 0.3)}, data={"n": 1}), "other images"),
        (record_of({"fog": (0.0, 0.0), "snow": (0.1, 0.3)}), "error of fog is 0"),
    ],
)
def test_references_that_are_none(reference, message):
    with pytest.raises(InputError, match=message):
        record_of({"fog": (0.1, 0.3), "snow": (0.2, 0.2)}).mean_corruption_error(reference)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["fgo"]}, "unknown corruption 'fgo'; did you mean 'fog'"),
        ({"names": []}, "no corruption is named"),
        ({"severities": []}, "no severity is given"),
        ({"severities": [3, 9]}, "severity is 9"),
        ({"severities": [True]}, "severity is True"),
        ({"form": "cifar"}, "unknown constants 'cifar'"),
        ({"seed": -1}, "seed is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"data": (torch.rand(2, 2), torch.tensor([0, 1]))}, "cannot be corrupted"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}, "has 3 classes"),
    ],
)
def test_what_cannot_be_measured(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        measure(out=tmp_path / "a", **options)
    assert not (tmp_path / "a/run.json").exists()
