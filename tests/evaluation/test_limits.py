"""An evaluation with a limit of the time: always an upper bound, and in the end the same record."""

from __future__ import annotations

import contextlib
import signal

import clock
import numpy as np
import pytest
import torch
from sampled import mostly_slow
from small import die, digits, finish, trained

from saddlepoint.attacks import FAB, FGSM, PGD, Fast
from saddlepoint.errors import InputError
from saddlepoint.evaluation import (
    Diagnosis,
    Evaluation,
    Limits,
    compare,
    evaluate,
    parse_seconds,
    read_worst,
    steps,
)
from saddlepoint.threat import Linf

DATA = digits("test", 48)
EPS = (0.06, 0.12)
SUITE = {
    "fgsm": FGSM(Linf(0.1)),
    "fab": FAB(Linf(), steps=3, targets=2),
    "pgd": PGD(Linf(0.1), steps=6, restarts=2),
}
FAST = {"fast": Fast(Linf(0.1), targets=2, steps=4, long=6, close=1, margins=1, queries=10)}


@pytest.fixture(autouse=True)
def _counted():
    before, steps.SIZE = steps.SIZE, 24
    back = clock.install()
    yield
    back()
    steps.SIZE = before


def run(out, seconds=None, suite=SUITE, eps=EPS, **options):
    options = {"diagnosis": None, "batch_size": 8, **options}
    limits = Limits(seconds)
    return evaluate(
        trained(), DATA, Linf(), eps=eps, suite=suite, out=out, limits=limits, **options
    )


def same(a, b):
    told = [{k: v for k, v in each.json().items() if k != "seconds"} for each in (a, b)]
    assert told[0] == told[1]
    assert a.images.equals(b.images)
    assert a.attempts.equals(b.attempts)


def same_worst(a, b):
    for one, other in zip(*map(sorted_worst, (a, b)), strict=True):
        assert torch.equal(one, other)


def sorted_worst(out):
    worst = read_worst(out)
    order = np.lexsort((worst.ids.numpy(), worst.eps.numpy()))
    return worst.ids[order], worst.eps[order], worst.images[order]


def until_done(out, seconds, suite=SUITE, **options):
    for _ in range(60):
        record = run(out, seconds, suite, **options)
        yield record
        if not record.left:
            return
    pytest.fail("it comes to no end")


def standing(record):
    return np.array([who is None or who == "" for who in record.images["fooled_by"].to_pylist()])


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory):
    before, steps.SIZE = steps.SIZE, 24
    folders = {}
    for name, suite in (("suite", SUITE), ("fast", FAST)):
        out = tmp_path_factory.mktemp(name)
        folders[name] = (out, run(out, suite=suite))
    steps.SIZE = before
    return folders


@pytest.mark.parametrize(
    ("name", "seconds"),
    mostly_slow(
        [("suite", 30), ("suite", 45), ("suite", 80), ("fast", 150), ("fast", 300)],
        quick=[("suite", 45), ("fast", 150)],
    ),
)
def test_it_is_a_bound_that_falls_and_ends_as_the_whole(tmp_path, whole, name, seconds):
    out, final = whole[name]
    suite = {"suite": SUITE, "fast": FAST}[name]
    before = np.ones(len(DATA) * len(EPS), dtype=bool)
    calls = 0
    for record in until_done(tmp_path, seconds, suite):
        if not record.left:
            break
        here = standing(record)
        assert not (standing(final) & ~here).any()
        assert not (here & ~before).any()
        assert "upper bound" in record.told
        assert record.verdict is None
        same(Evaluation.load(tmp_path), record)
        before, calls = here, calls + 1
    assert calls > 0
    same(record, final)
    same(Evaluation.load(tmp_path), final)
    same_worst(tmp_path, out)
    assert not (tmp_path / "parts").exists()


def test_a_first_look_gives_all_images_something(tmp_path, whole):
    looked = []
    for record in until_done(tmp_path, 120, FAST):
        first = sum(each.images for each in record.left if each.eps == EPS[0])
        looked.append((len(set(record.attempts["id"].to_pylist())), first))
        assert not (standing(whole["fast"][1]) & ~standing(record)).any()
    # Once all images have been looked at, many of them have the rest of the attack before them.
    assert any(images > 40 and left > 20 for images, left in looked)


def test_without_a_look_at_the_clock_nothing_is_attacked(tmp_path):
    record = run(tmp_path, 1e-9)
    assert [(each.eps, each.attack) for each in record.left] == [
        (0.06, "fgsm"), (0.06, "fab"), (0.06, "pgd"), (0.12, "fgsm"), (0.12, "pgd"),
    ]  # fmt: skip
    assert all(b.robust_accuracy.count == record.clean.count for b in record.budgets)
    assert "give more time, or a smaller batch size" in str(record)


def dies_under_a_limit(out, moment):
    steps.SIZE = 24
    clock.install(moment, die)
    for _ in until_done(out, 60):
        pass


@pytest.mark.parametrize("moment", mostly_slow([5, 40, 70, 130, 200], quick=[40, 130]))
def test_killed_under_a_limit_it_goes_on_to_the_same(tmp_path, whole, moment):
    out, final = whole["suite"]
    assert finish(dies_under_a_limit, tmp_path, moment) == -signal.SIGKILL
    for record in until_done(tmp_path, 60):
        assert not (standing(final) & ~standing(record)).any()
    same(record, final)
    same_worst(tmp_path, out)


def test_another_limit_each_time_and_another_batch_size_once(tmp_path, whole):
    final = whole["suite"][1]
    run(tmp_path, 30)
    run(tmp_path, 50, batch_size=5)
    record = run(tmp_path)
    assert not record.left
    assert (standing(record) == standing(final)).all()


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    run(tmp_path, 90)
    seen = []
    own = FGSM.__call__

    def call(self, model, images, *args, **options):
        seen.extend((type(self).__name__, self.threat.eps, int(i)) for i in options["ids"])
        return own(self, model, images, *args, **options)

    monkeypatch.setattr("saddlepoint.attacks.core.contract.Attack.__call__", call)
    before = set(map(tuple, rows_of(Evaluation.load(tmp_path))))
    run(tmp_path)
    names = {"FGSM": "fgsm", "PGD": "pgd"}
    again = {(names[kind], eps, i) for kind, eps, i in seen if kind in names}
    assert before
    assert again
    assert not before & again


def rows_of(record):
    rows = record.attempts.to_pylist()
    return [(row["attack"], row["eps"], row["id"]) for row in rows if row["eps"] is not None]


def test_the_checks_can_be_what_is_left(tmp_path):
    asked = {"diagnosis": Diagnosis(images=8), "eps": (0.06,), "suite": {"pgd": SUITE["pgd"]}}
    whole = run(None, **asked)
    told = set()
    for record in until_done(tmp_path, 150, **asked):
        told |= {each.attack for each in record.left}
        if record.left and record.left[0].attack == "the checks":
            assert "before the verdict" in record.told
            assert record.budgets[0].robust_accuracy == whole.budgets[0].robust_accuracy
            assert "robust accuracy at most" not in str(record)
    assert "the checks" in told
    same(record, whole)


def test_what_is_beside_the_checks_can_be_left(tmp_path):
    asked = {
        "diagnosis": Diagnosis(images=8, second_look=1), "eps": (0.06,),
        "suite": {"pgd": SUITE["pgd"]},
    }  # fmt: skip
    run(tmp_path, diagnosis=Diagnosis(images=8), eps=asked["eps"], suite=asked["suite"])
    record = run(tmp_path, 5, **asked)
    assert "after the verdict" in record.told
    assert not Evaluation.load(tmp_path).left
    record = run(tmp_path, **asked)
    assert not record.left
    assert record.verdict.supplements


def test_a_finished_one_is_read_whatever_the_time(tmp_path):
    first = run(tmp_path)
    same(run(tmp_path, 1e-9), first)


def test_a_budget_more_in_some_time_leaves_the_record_until_it_is_whole(tmp_path, whole):
    first = run(tmp_path, eps=EPS[:1])
    record = run(tmp_path, 5)
    assert record.left
    same(Evaluation.load(tmp_path), first)
    *_, record = until_done(tmp_path, 40)
    same(record, whole["suite"][1])
    same_worst(tmp_path, whole["suite"][0])
    assert not list(tmp_path.glob(".extended*"))


def test_who_needs_a_whole_record_refuses(tmp_path, whole):
    record = run(tmp_path, 30)
    with pytest.raises(InputError, match=r"is not finished: the time was up.*goes on"):
        compare([tmp_path, whole["suite"][0]])
    with pytest.raises(InputError, match=r"^a is not finished"):
        compare({"a": record, "b": whole["suite"][1]})
    with pytest.raises(InputError, match="not finished"):
        record.curve()
    assert record.json()["budgets"][0]["upper_bound"]
    table = str(record)
    assert "robust accuracy at most" in table
    assert table.index("the time was up") < table.index("clean accuracy")


def test_folders_that_an_earlier_version_left_are_gone_on_from(tmp_path, whole):
    with contextlib.suppress(KeyboardInterrupt):
        clock.install(120, interrupt)
        run(tmp_path)
    clock.install()
    for path in (tmp_path / "parts").glob("*.safetensors"):
        old(path)
    same(run(tmp_path), whole["suite"][1])
    same_worst(tmp_path, whole["suite"][0])


def interrupt():
    raise KeyboardInterrupt


def old(path):
    """Write a file of steps as if each were of the part from 0, without images."""
    import json

    from safetensors.torch import save_file

    from saddlepoint.reading.tensors import read_metadata, read_safetensors

    about, tensors = dict(read_metadata(path)), read_safetensors(path)
    about["names"] = json.dumps([f"{name}, from 0" for name in json.loads(about["names"])])
    kept = {name: each for name, each in tensors.items() if not name.endswith("found")}
    save_file(kept, path, about)


@pytest.mark.parametrize("text", ["", "soon", "0", "-5min", "1 day", "10minutes", "nan", "1e9"])
def test_what_is_no_time(text):
    with pytest.raises(InputError, match="a time is"):
        parse_seconds(text)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(InputError, match="the time is 0 s"):
        Limits(0.0)
