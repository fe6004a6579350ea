"""The suite standard on a few survivors: who falls, what it bounds, and that it can be gone on with."""

from __future__ import annotations

import importlib

import pytest
import torch
from networks import Affine
from scipy import stats

from saddlepoint.attacks import APGD, FGSM
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import SecondLook, at_most, build_suite, second_look
from saddlepoint.evaluation.steps import Steps
from saddlepoint.threat import Linf

WEIGHT = torch.tensor([[1.0, -1.0, 0.5, 0.5], [0.0, 0.0, 0.0, 0.0], [-9.0, -9.0, -9.0, -9.0]])
THREAT = Linf(0.1)


def case(count=40):
    """Images that a linear model has right; those whose margin is 0.3 or less can be fooled."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(count, 4, generator=generator)
    images[:, 0] += 0.3 * torch.rand(count, generator=generator)
    net = Affine(WEIGHT, torch.tensor([-0.4, 0.0, 0.0]))
    margin = (net(images)[:, 0]).detach()
    labels = torch.zeros(count, dtype=torch.int64)
    data = TensorData.of(images, labels, name="made", classes=("a", "b", "c"))
    survivors = torch.arange(count)[margin > 0]
    return net, data, survivors, margin


def looked(survivors, fell, images=1000, looked_at=59):
    to = torch.full((looked_at,), -1)
    to[:fell] = 0
    one = torch.ones_like(to)
    return SecondLook("Linf 0.1", images, survivors, ("apgd",), one.cumsum(0), to, one, one)


def suite_of(monkeypatch, **attacks):
    module = importlib.import_module("saddlepoint.evaluation.second_look")
    monkeypatch.setattr(module, "build_suite", lambda *_: attacks)


def test_the_bound_is_exact():
    assert at_most(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-12)
    for fell, count in ((1, 59), (30, 59), (5, 6)):
        assert stats.binom.cdf(fell, count, at_most(fell, count)) == pytest.approx(0.05, rel=1e-9)
    assert looked(400, 0).bound == pytest.approx(0.0495, abs=5e-5)
    assert looked(400, 0).points == pytest.approx(4.95 * 0.4, abs=5e-3)
    assert "bound" not in str(looked(400, 0))


def test_few_images_are_said_to_bound_little_and_all_of_them_to_be_all():
    few = str(looked(400, 0, looked_at=6))
    assert "39.30 %" in few
    assert "by 15.7 points at most" in few
    assert "6 images bound little: 59 without a fall bound the share by 5 %" in few
    every = looked(59, 3)
    assert every.bound == 3 / 59
    assert "all survivors were looked at: standard lowers the robust accuracy by 0.3 points" in str(
        every
    )


def test_those_fall_that_can_be_fooled(monkeypatch):
    net, data, survivors, margin = case()
    suite_of(monkeypatch, fgsm=FGSM(THREAT), apgd=APGD(THREAT, steps=5))
    found = second_look(net, data, survivors, THREAT, len(survivors))
    assert torch.equal(found.ids, survivors)
    assert torch.equal(found.fallen_to == 0, margin[survivors] < 0.3)
    assert 0 < found.fell < len(survivors)
    assert found.fooled_by == {"fgsm": found.fell}
    assert (found.backwards[found.fallen_to == 0] == 1).all()  # standing ones go on to the next
    assert (found.backwards[found.fallen_to == -1] > 1).all()


def test_the_suite_is_standard():
    net, data, survivors, margin = case()
    some = survivors[margin[survivors] < 0.2]
    found = second_look(net, data, some, THREAT, 5)
    assert found.attacks == tuple(build_suite("standard", THREAT))
    assert (len(found.ids), found.fell, found.survivors) == (5, 5, len(some))


def test_who_is_looked_at_follows_from_seed_and_ids(monkeypatch):
    net, data, survivors, _ = case()
    suite_of(monkeypatch, fgsm=FGSM(THREAT))

    def ids(some, count, seed=0):
        return second_look(net, data, some, THREAT, count, seed=seed).ids.tolist()

    assert ids(survivors, 6) == ids(survivors.flip(0), 6)
    assert set(ids(survivors, 6)) < set(ids(survivors, 12))
    assert ids(survivors, 6) != ids(survivors, 6, seed=1)


def test_what_is_done_is_not_done_again(monkeypatch, tmp_path):
    net, data, survivors, _ = case()
    suite = {"fgsm": FGSM(THREAT), "apgd": APGD(THREAT, steps=5)}
    suite_of(monkeypatch, **suite)
    whole = second_look(net, data, survivors, THREAT, 12)
    calls = []

    class Counted(FGSM):
        def perturb(self, batch, tracker):
            calls.append(len(batch))
            super().perturb(batch, tracker)

    class Stopped(APGD):
        def perturb(self, batch, tracker):
            raise KeyboardInterrupt

    suite_of(monkeypatch, fgsm=Counted(THREAT), apgd=Stopped(THREAT, steps=5))
    with pytest.raises(KeyboardInterrupt), Steps(tmp_path, 5) as steps:
        second_look(net, data, survivors, THREAT, 12, steps=steps)
    assert sum(calls) == 12
    suite_of(monkeypatch, fgsm=Counted(THREAT), apgd=APGD(THREAT, steps=5))
    with Steps(tmp_path, 5) as steps:
        again = second_look(net, data, survivors, THREAT, 12, steps=steps)
    assert sum(calls) == 12
    assert again.json() == whole.json()


def test_what_cannot_be_looked_at_is_refused():
    net, data, survivors, _ = case()
    for some, count, told in (
        (survivors[:3], 4, "4 survivors are to be looked at and 3 survived; give 3 at most"),
        (torch.tensor([1, 1]), 2, "some survivors come twice"),
        (torch.tensor([1, 40]), 2, "survivors span 1 … 40, the data has 40 images"),
        (torch.tensor([0.5]), 1, "give class indices as int64"),
    ):
        with pytest.raises(InputError, match=told):
            second_look(net, data, some, THREAT, count)
