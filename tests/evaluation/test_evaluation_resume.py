"""An evaluation that was interrupted goes on where it stopped, and a finished one is read."""

from __future__ import annotations

import json
import signal

import pyarrow.parquet as pq
import pytest
import torch
from sampled import mostly_slow
from small import after_stages, conv, die, digits, finish, limit_files, trained

from saddlepoint.attacks import APGD, FAB, PGD, AtBudget
from saddlepoint.errors import InputError, OutputError
from saddlepoint.evaluation import Evaluation, evaluate, journal, run_attack, steps
from saddlepoint.threat import Linf

EPS = (16 / 255, 48 / 255)
PART = 16  # images, of 64
TURNS = 6  # two budgets, three attacks


def at_once():
    """Small parts, and a file for each step: what is saved does not hang on the time."""
    steps.SIZE = PART
    journal.LATEST = 0.0


def files(out):
    return sorted(out.glob("parts/*.safetensors"))


@pytest.fixture(name="done")
def _done(monkeypatch):
    """The steps that are done, not read, in this process."""
    names = []
    step = steps.Steps._step

    def told(self, name, ids, *rest):
        names.append(f"{name}: {ids.tolist()}")
        return step(self, name, ids, *rest)

    monkeypatch.setattr(steps.Steps, "_step", told)
    return names


def run(out, progress=None, **options):
    at_once()
    arguments = {"eps": EPS, "suite": "quick", "batch_size": PART, **options}
    return evaluate(
        trained(),
        digits("test", 64),
        Linf(),
        out=out,
        progress=progress,
        **arguments,
        diagnosis=None,
    )


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    before = steps.SIZE, journal.LATEST
    at_once()
    yield
    steps.SIZE, journal.LATEST = before


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    return run(None)


def equal(a, b):
    numbers = [{**r.json(), "seconds": 0} for r in (a, b)]
    return numbers[0] == numbers[1] and a.images.equals(b.images) and a.attempts.equals(b.attempts)


def dies_after(out, turns):
    """Die when one more attack than that has had its turn."""
    run(out, after_stages(turns, die))


@pytest.mark.parametrize("turns", mostly_slow([0, 2, 4], quick=[2]))
def test_killed_after_some_turns_it_goes_on_and_the_tables_are_the_same(
    tmp_path, whole, done, turns
):
    run(None)
    steps_in_all = len(done)
    assert finish(dies_after, tmp_path, turns) == -signal.SIGKILL
    kept = files(tmp_path)
    assert [path.name for path in kept] == [f"{i:06d}.safetensors" for i in range(len(kept))]
    assert len(kept) >= 3 * (1 + turns)  # of four parts each, where somebody stands
    assert not (tmp_path / "evaluation.json").exists()
    done.clear()
    assert equal(run(tmp_path), whole)
    assert len(done) < steps_in_all - len(kept)  # what was saved was not done again
    assert equal(Evaluation.load(tmp_path), whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "attempts.parquet", "evaluation.json", "images.parquet", "run.json", "starts", "worst",
    ]  # fmt: skip


def in_stages(out, progress=None):
    """Attacks with restarts and targets, of which each stage has a file."""
    at_once()
    threat = Linf(0.1)
    suite = {
        "apgd": APGD(threat, steps=3, restarts=2),
        "apgd-t": APGD(threat, steps=3, loss="dlr-targeted", targets=2),
        "fab-t": AtBudget(FAB(Linf(), steps=2, targets=2), threat),
    }
    return evaluate(
        trained(), digits("test", 2 * PART), threat, eps=[0.02, 0.04], suite=suite, out=out,
        batch_size=PART, diagnosis=None,
    )  # fmt: skip


def dies_at_write(out, number):
    save, seen = journal.Journal.save, []

    def counted(self):
        before = self._number
        save(self)
        seen.extend([1] * (self._number > before))
        if len(seen) == number:
            die()

    journal.Journal.save = counted
    in_stages(out)


@pytest.mark.parametrize("pattern", [(2, 3, 5, 7), (1,) * 3])
def test_killed_at_any_write_and_again_it_is_the_same(tmp_path, pattern, done):
    whole = in_stages(None)
    for number in pattern:
        before = {p: p.read_bytes() for p in files(tmp_path)}
        assert finish(dies_at_write, tmp_path, number) == -signal.SIGKILL
        assert {p: p.read_bytes() for p in files(tmp_path) if p in before} == before
    assert list(tmp_path.glob("parts/stages/*")) or len(pattern) == 4
    assert equal(in_stages(tmp_path), whole)
    assert not (tmp_path / "parts").exists()


def test_an_exception_in_the_middle_loses_no_step(tmp_path, whole, done, monkeypatch):
    monkeypatch.setattr(journal, "LATEST", 3600.0)
    monkeypatch.setattr(journal, "SOONEST", 3600.0)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            trained(), digits("test", 64), Linf(), eps=EPS, suite="quick", batch_size=PART,
            out=tmp_path, progress=after_stages(2, interrupt), diagnosis=None,
        )  # fmt: skip
    assert len(files(tmp_path)) == 1  # all of it at the end
    before = set(done)
    done.clear()
    assert equal(run(tmp_path), whole)
    assert done
    assert not before & set(done)


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
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=named):
        run(tmp_path, **options)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


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
        evaluate(
            conv(1),
            digits("test", 64),
            Linf(),
            eps=EPS,
            suite="quick",
            out=tmp_path,
            diagnosis=None,
        )
    with pytest.raises(InputError, match=r"data\.images was 64, is now 32"):
        evaluate(
            trained(), digits("test", 32), Linf(), eps=EPS, suite="quick", out=tmp_path,
            batch_size=PART, diagnosis=None,
        )  # fmt: skip


def test_a_truncated_file_is_computed_again(tmp_path, whole, done):
    assert finish(dies_after, tmp_path, 3) == -signal.SIGKILL
    part = files(tmp_path)[0]
    part.write_bytes(part.read_bytes()[:-7])
    assert equal(run(tmp_path), whole)
    assert [each.partition(":")[0] for each in done[:4]] == ["clean"] * 4
    assert done[4] == f"0, fgsm: {[i for i in range(PART) if i in standing(whole)]}"


def dies_with_other_numbers(out):
    journal.NUMERICS = {**journal.NUMERICS, "attacks": 0}
    dies_after(out, 3)


def test_what_was_saved_under_other_numbers_is_computed_again(tmp_path, whole, done):
    run(None)
    steps_in_all = len(done)
    assert finish(dies_with_other_numbers, tmp_path) == -signal.SIGKILL
    assert files(tmp_path)
    done.clear()
    assert equal(run(tmp_path), whole)
    assert len(done) == steps_in_all


def standing(record):
    rows = record.images.to_pylist()
    return {row["id"] for row in rows if row["clean_prediction"] == row["label"]}


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
    full = after_stages(int(share * TURNS), lambda: limit_files(1500))
    if target is attack:

        def full(tick):
            if tick.done > share * tick.total:
                limit_files(1500)

    try:
        target(out, full)
    except OutputError:
        raise SystemExit(2) from None


def attack(out, progress=None):
    at_once()
    return run_attack(
        trained(), digits("test", 64), PGD(Linf(0.1), steps=3), out=out, batch_size=PART,
        progress=progress,
    )  # fmt: skip


@pytest.mark.parametrize("target", [run, attack])
@pytest.mark.parametrize("share", mostly_slow([0, 0.5, 0.9], quick=[0.5]))
def test_a_full_disk_loses_nothing_that_was_written(tmp_path, target, share):
    with_limit = tmp_path / "a"
    assert finish(full_disk, with_limit, target, share) == 2
    assert not list(with_limit.rglob("*.tmp"))
    assert json.loads((with_limit / "run.json").read_text())
    kept = {p: p.read_bytes() for p in files(with_limit)}
    assert len(kept) >= {0: 0, 0.5: 2, 0.9: 3}[share]
    assert finish(full_disk, with_limit, target, 0) == 2  # still full
    assert {p: p.read_bytes() for p in files(with_limit) if p in kept} == kept
    target(with_limit)
    target(tmp_path / "b")
    first, second = (
        pq.read_table(folder / "images.parquet") for folder in (with_limit, tmp_path / "b")
    )
    assert first.equals(second)


def test_an_attack_killed_after_some_parts_goes_on(tmp_path):
    seen, stop = [], 3 * PART

    def progress(tick):
        seen.append(tick.done)
        if tick.done == stop:
            raise KeyboardInterrupt

    arguments = trained(), digits("test", 64), PGD(Linf(0.1), steps=3)
    with pytest.raises(KeyboardInterrupt):
        run_attack(*arguments, out=tmp_path, batch_size=PART, progress=progress)
    assert len(files(tmp_path)) == 2
    seen.clear()
    stop = None
    record = run_attack(*arguments, out=tmp_path, batch_size=PART, progress=progress)
    assert set(seen) == {2 * PART, 3 * PART, 4 * PART} or set(seen) == {3 * PART, 4 * PART}
    fresh = run_attack(*arguments, batch_size=PART)
    assert record.table().equals(fresh.table())
    assert torch.equal(record.result.adversarials, fresh.result.adversarials)
