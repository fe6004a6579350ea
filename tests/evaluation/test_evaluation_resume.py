"""An evaluation that was interrupted goes on where it stopped, and a finished one is read."""

from __future__ import annotations

import json
import signal
import sys

import pyarrow.parquet as pq
import pytest
import torch
from small import conv, die, digits, finish, limit_files, trained

from saddlepoint.attacks import PGD
from saddlepoint.errors import InputError, OutputError
from saddlepoint.evaluation import Evaluation, evaluate, run_attack
from saddlepoint.threat import Linf

EPS = (16 / 255, 48 / 255)
PART = 16  # images, of 64
TRIES = 6  # two budgets, three attacks


def run(out, progress=None, **options):
    sys.modules["saddlepoint.evaluation.parts"].SIZE = PART
    arguments = {"eps": EPS, "suite": "quick", "batch_size": PART, **options}
    return evaluate(trained(), digits("test", 64), Linf(), out=out, progress=progress, **arguments)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(sys.modules["saddlepoint.evaluation.parts"], "SIZE", PART)


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    return run(None)


def equal(a, b):
    numbers = [{**r.json(), "seconds": 0} for r in (a, b)]
    return numbers[0] == numbers[1] and a.images.equals(b.images) and a.attempts.equals(b.attempts)


def dies_after(out, parts):
    """Die when the attack on the next part has begun."""

    def progress(done, total, what):
        if done > parts * PART * TRIES:
            die()

    run(out, progress)


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_killed_after_some_parts_it_goes_on_and_the_tables_are_the_same(tmp_path, whole, parts):
    assert finish(dies_after, tmp_path, parts) == -signal.SIGKILL
    kept = sorted(path.name for path in tmp_path.glob("parts/*"))
    assert kept == [f"{i:06d}.safetensors" for i in range(parts)]
    assert not (tmp_path / "evaluation.json").exists()
    seen = []
    again = run(tmp_path, lambda done, total, what: seen.append(done))
    assert equal(again, whole)
    assert equal(Evaluation.load(tmp_path), whole)
    assert min(seen) > parts * PART * TRIES  # the earlier parts were not attacked again
    assert len(seen) == (4 - parts) * TRIES
    assert not (tmp_path / "parts").exists()


def test_an_exception_in_the_middle_loses_no_part(tmp_path, whole):
    def progress(done, total, what):
        if done > 2 * PART * TRIES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress)
    assert len(list(tmp_path.glob("parts/*"))) == 2
    assert equal(run(tmp_path), whole)


def test_a_finished_evaluation_is_read(tmp_path, whole):
    first = run(tmp_path)
    stamp = (tmp_path / "evaluation.json").stat().st_mtime_ns
    again = run(tmp_path, lambda *_: pytest.fail("it is attacked again"))
    assert equal(first, again)
    assert equal(again, whole)
    assert again.seconds == first.seconds
    assert (tmp_path / "evaluation.json").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 1}, "seed was 0, is now 1"),
        ({"eps": (0.1,)}, "eps was "),
        ({"suite": "standard"}, "attacks.apgd.steps was 20, is now 100"),
        ({"identity": "x"}, "identity was None, is now x"),
    ],
)
def test_another_evaluation_is_refused_and_the_old_one_stays(tmp_path, options, named):
    run(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(InputError, match=named):
        run(tmp_path, **options)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_another_batch_size_is_the_same_evaluation(tmp_path, whole):
    assert finish(dies_after, tmp_path, 2) == -signal.SIGKILL
    assert equal(run(tmp_path, batch_size=5), whole)


def test_a_finished_attack_is_read(tmp_path):
    arguments = trained(), digits("test", 64), PGD(Linf(0.1), steps=3)
    first = run_attack(*arguments, out=tmp_path, png=True)
    again = run_attack(
        *arguments, out=tmp_path, png=True, progress=lambda *_: pytest.fail("attacked again")
    )
    assert again.json() == first.json()
    assert again.table().equals(first.table())
    assert torch.equal(again.result.adversarials, first.result.adversarials)
    (tmp_path / "adversarials.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"adversarials\.npz is not a whole .npz archive"):
        run_attack(*arguments, out=tmp_path, png=True)


def test_other_weights_and_other_images_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match="model was"):
        evaluate(conv(1), digits("test", 64), Linf(), eps=EPS, suite="quick", out=tmp_path)
    with pytest.raises(InputError, match=r"data\.images was 64, is now 32"):
        evaluate(
            trained(), digits("test", 32), Linf(), eps=EPS, suite="quick", out=tmp_path,
            batch_size=PART,
        )  # fmt: skip


def test_a_truncated_part_is_computed_again(tmp_path, whole):
    assert finish(dies_after, tmp_path, 3) == -signal.SIGKILL
    part = tmp_path / "parts" / "000001.safetensors"
    part.write_bytes(part.read_bytes()[:-7])
    seen = []
    assert equal(run(tmp_path, lambda done, total, what: seen.append(done)), whole)
    assert {(done - 1) // (PART * TRIES) for done in seen} == {1, 3}


def test_a_damaged_record_is_named(tmp_path):
    run(tmp_path)
    images = tmp_path / "images.parquet"
    images.write_bytes(images.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"images\.parquet is not a whole Parquet file"):
        run(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"config": {}}')
    with pytest.raises(InputError, match=r"evaluation\.json is not an evaluation"):
        run(tmp_path)


def full_disk(out, target, share):
    """Run; once `share` of the work is done the disk takes no part any more."""
    try:
        target(out, lambda done, total, what: limit_files(1500) if done > share * total else None)
    except OutputError:
        raise SystemExit(2) from None


def attack(out, progress=None):
    sys.modules["saddlepoint.evaluation.parts"].SIZE = PART
    return run_attack(
        trained(), digits("test", 64), PGD(Linf(0.1), steps=3), out=out, batch_size=PART,
        progress=progress,
    )  # fmt: skip


@pytest.mark.parametrize("target", [run, attack])
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_a_full_disk_loses_nothing_that_was_written(tmp_path, target, share):
    with_limit = tmp_path / "a"
    assert finish(full_disk, with_limit, target, share) == 2
    assert not list(with_limit.rglob("*.tmp"))
    assert json.loads((with_limit / "run.json").read_text())
    kept = {p: p.read_bytes() for p in with_limit.glob("parts/*")}
    assert len(kept) == {0: 0, 0.5: 2, 0.9: 3}[share]
    assert finish(full_disk, with_limit, target, 0) == 2  # still full
    assert {p: p.read_bytes() for p in with_limit.glob("parts/*")} == kept
    target(with_limit)
    target(tmp_path / "b")
    first, second = (
        pq.read_table(folder / "images.parquet") for folder in (with_limit, tmp_path / "b")
    )
    assert first.equals(second)


def test_an_attack_killed_after_some_parts_goes_on(tmp_path):
    seen = []

    def progress(done, total, what):
        seen.append(done)
        if done == 48:
            raise KeyboardInterrupt

    arguments = trained(), digits("test", 64), PGD(Linf(0.1), steps=3)
    with pytest.raises(KeyboardInterrupt):
        run_attack(*arguments, out=tmp_path, batch_size=PART, progress=progress)
    assert len(list(tmp_path.glob("parts/*"))) == 2
    seen.clear()
    record = run_attack(
        *arguments, out=tmp_path, batch_size=PART, progress=lambda *a: seen.append(a[0])
    )
    assert seen == [48, 64]
    fresh = run_attack(*arguments, batch_size=PART)
    assert record.table().equals(fresh.table())
    assert torch.equal(record.result.adversarials, fresh.result.adversarials)
