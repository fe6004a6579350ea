"""Budgets added to a finished evaluation: as a new one of all of them, and only what is new is done."""

from __future__ import annotations

import json
import shutil

import pytest
from small import die, digits, finish, trained

from saddlepoint import run_folders
from saddlepoint.attacks import APGD, FGSM, PGD
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, evaluate
from saddlepoint.threat import L2, Box, Linf

DATA = digits(limit=80)
SUITE = {"fgsm": FGSM(Linf(0.1)), "pgd": PGD(Linf(0.1), steps=6)}
A, B, C, D = 0.02, 0.06, 0.1, 0.14


def run(eps, out=None, suite=SUITE, progress=None, **options):
    return evaluate(
        trained(), DATA, Linf(), eps=eps, suite=suite, out=out, batch_size=32, progress=progress,
        **options, diagnosis=None,
    )  # fmt: skip


def same(a, b):
    """Whether two evaluations are the same to the bit, but for the time they took."""
    told = [{k: v for k, v in each.json().items() if k != "seconds"} for each in (a, b)]
    assert told[0] == told[1]
    assert a.images.equals(b.images)
    assert a.attempts.equals(b.attempts)


class Counted(dict):
    """A suite whose attacks count the images that they are run on, by budget."""


def count(monkeypatch):
    calls = {}
    own = FGSM.__call__

    def call(self, model, images, labels=None, *args, **options):
        key = (type(self).__name__, self.threat.eps)
        calls[key] = calls.get(key, 0) + len(images)
        return own(self, model, images, labels, *args, **options)

    monkeypatch.setattr("saddlepoint.attacks.core.contract.Attack.__call__", call)
    return calls


@pytest.fixture(scope="module")
def fresh():
    return {eps: run(eps) for eps in ((B, C), (A, B), (A, B, C), (A, B, C, D), (B,), (B, D))}


@pytest.mark.parametrize(
    ("before", "now", "again"),
    [
        ((B,), (B, C), {C}),
        ((A, B), (A, B, C), {C}),
        ((A, B), (A, B, C, D), {C, D}),
        ((A, B, D), (A, B, C, D), {A, B, C, D}),  # of A and B only the last attack
        ((B, C), (A, B, C), {A, B, C}),
    ],
)
def test_it_is_the_record_of_a_new_evaluation(tmp_path, monkeypatch, fresh, before, now, again):
    out = tmp_path / "run"
    run(before, out)
    calls = count(monkeypatch)
    same(run(now, out), fresh[now])
    assert {eps for _, eps in calls} == again
    if before == (A, B, D):
        assert {name for name, eps in calls if eps in (A, B)} == {"PGD"}
    same(Evaluation.load(out), fresh[now])
    assert {path.name for path in out.iterdir()} == {
        "run.json", "evaluation.json", "images.parquet", "attempts.parquet", "starts", "worst",
    }  # fmt: skip
    calls.clear()
    same(run(now, out), fresh[now])
    assert not calls


def test_fewer_budgets_are_read_where_they_are_the_smallest(tmp_path, monkeypatch, fresh):
    out = tmp_path / "run"
    run((A, B, C), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    calls = count(monkeypatch)
    same(run((A, B), out), fresh[A, B])
    assert not calls
    with pytest.raises(
        InputError, match=r"holds eps 0\.02, 0\.06, 0\.1, and .* smallest budgets alone"
    ):
        run((B, C), out)
    with pytest.raises(InputError, match="holds another run"):
        run((A, D), out)
    with pytest.raises(InputError, match="seed was 0, is now 1"):
        run((A, B, C, D), out, seed=1)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("other", ["numerics", "starts", "none"])
def test_what_is_not_of_this_record_is_not_gone_on_from(tmp_path, monkeypatch, fresh, other):
    out = tmp_path / "run"
    run((B,), out)
    if other == "numerics":
        monkeypatch.setattr("saddlepoint.evaluation.journal.NUMERICS", {"attacks": 10**6})
    else:
        shutil.rmtree(out / "starts")
    if other == "starts":
        run((A,), tmp_path / "smaller")
        shutil.copytree(tmp_path / "smaller" / "starts", out / "starts")
    calls = count(monkeypatch)
    same(run((B, C), out), fresh[B, C])
    assert {eps for _, eps in calls} == {B, C}


def test_a_suite_by_name_another_norm_and_none(tmp_path):
    out = tmp_path / "run"
    for eps in (B, [B, C], [A, B, C]):
        found = run(eps, out, suite="quick")
    same(found, run([A, B, C], suite="quick"))
    suite = {"apgd": APGD(L2(1.0), steps=5)}
    for eps in ([0, 0.5], [0, 0.5, 1.0]):
        found = evaluate(
            trained(), DATA, L2(), eps=eps, suite=suite, out=tmp_path / "l2", diagnosis=None
        )
    same(found, evaluate(trained(), DATA, L2(), eps=[0, 0.5, 1.0], suite=suite, diagnosis=None))
    evaluate(trained(), DATA, Box(0.0, 0.1), suite="quick", out=tmp_path / "box", diagnosis=None)
    assert not (tmp_path / "box" / "starts").exists()


def extended(out, at):
    """Add a budget, and die at its `at`-th tick, or while the record is put in its place."""
    if at == "moved":
        move = run_folders.Path.replace

        def replace(path, target):
            done = move(path, target)
            if path.parent.name == run_folders.NEXT and path.name == "images.parquet":
                die()
            return done

        run_folders.Path.replace = replace
        run((B, C), out)
    ticks = []

    def tick(*told):
        ticks.append(told)
        if len(ticks) == at:
            die()

    run((B, C), out, progress=tick)


@pytest.mark.parametrize("at", [4, "moved"])
def test_killed_it_loses_nothing_and_goes_on(tmp_path, monkeypatch, fresh, at):
    out = tmp_path / "run"
    run((B,), out)
    assert finish(extended, out, at) == -9
    if at != "moved":
        assert json.loads((out / "run.json").read_text())["config"]["eps"] == [B]
        same(run((B,), out), fresh[(B,)])
        same(run((B, D), tmp_path / "other"), fresh[B, D])
    same(run((B, C), out), fresh[B, C])
    same(run((B,), out), fresh[(B,)])
    assert not list(out.glob(".extended*"))
