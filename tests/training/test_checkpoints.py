"""Checkpoints are whole or absent, the newest two are kept, and a full disk loses none."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch
from small import conv, digits, finish, limit_files

from saddlepoint.defences import Recipe
from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import sweep
from saddlepoint.training import latest_checkpoint, read_metrics, save_checkpoint, train
from saddlepoint.training.checkpoint import optimiser_state, restore_optimiser

WEIGHTS = {"model": {"w": torch.ones(3)}}


def names(out):
    return sorted(path.name for path in (out / "checkpoints").iterdir())


def test_the_newest_two_are_kept(tmp_path):
    for position in [(0, 7), (1, 0), (1, 12), (2, 0)]:
        save_checkpoint(tmp_path, position, WEIGHTS, {"at": position})
    assert names(tmp_path) == ["epoch-0001-step-000012", "epoch-0002-step-000000"]
    assert latest_checkpoint(tmp_path)[1] == {"at": [2, 0]}


def test_the_order_is_that_of_numbers_also_beyond_their_width(tmp_path):
    for position in [(9998, 0), (9999, 0), (10000, 0), (10000, 999_999), (10000, 1_000_000)]:
        save_checkpoint(tmp_path, position, WEIGHTS, list(position))
    assert latest_checkpoint(tmp_path)[1] == [10000, 1_000_000]
    assert len(names(tmp_path)) == 2


def test_a_checkpoint_is_opened_by_anything(tmp_path):
    path = save_checkpoint(tmp_path, (1, 0), WEIGHTS, {"epoch": 1})
    assert sorted(p.name for p in path.iterdir()) == ["model.safetensors", "state.json"]
    assert json.loads((path / "state.json").read_text())["state"] == {"epoch": 1}
    loaded = safetensors.torch.load_file(path / "model.safetensors")
    assert torch.equal(loaded["w"], WEIGHTS["model"]["w"])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def remove(path):
    path.unlink()


def flip(path):
    """Change one bit near the end, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("model.safetensors", truncate),
        ("model.safetensors", remove),
        ("model.safetensors", flip),
        ("state.json", truncate),
        ("state.json", remove),
    ],
)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, file, damage):
    old = {"model": {"w": torch.zeros(3)}}
    save_checkpoint(tmp_path, (1, 0), old, {"epoch": 1})
    newest = save_checkpoint(tmp_path, (2, 0), WEIGHTS, {"epoch": 2})
    damage(newest / file)
    with pytest.warns(UserWarning, match=r"epoch-0002-step-000000 is damaged .* the one before"):
        tensors, state = latest_checkpoint(tmp_path)
    assert state == {"epoch": 1}
    assert torch.equal(tensors["model"]["w"], torch.zeros(3))


def test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path):
    recipe = Recipe(epochs=3, batch_size=32, ema=0.9)
    whole = train(conv(), digits(limit=64), recipe, out=tmp_path / "a")
    train(conv(), digits(limit=64), recipe, out=tmp_path / "b")
    for name in ("model", "average", "optimiser"):
        newest = sorted((tmp_path / "b" / "checkpoints").iterdir())[-1]
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(tmp_path / "b", tmp_path / "c")
        (tmp_path / "c/model.safetensors").unlink()
        remove(tmp_path / "c/checkpoints" / newest.name / f"{name}.safetensors")
        with pytest.warns(UserWarning, match="is damaged"):
            again = train(conv(), digits(limit=64), recipe, out=tmp_path / "c", resume=True)
        assert len(again.metrics) == len(whole.metrics) == 3
        first, second = (tmp_path / d / "model.safetensors" for d in "ac")
        assert first.read_bytes() == second.read_bytes()


def test_when_all_are_damaged_nothing_is_guessed(tmp_path):
    truncate(save_checkpoint(tmp_path, (1, 0), WEIGHTS, {}) / "model.safetensors")
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(InputError, match=r"every checkpoint in .* is damaged"),
    ):
        latest_checkpoint(tmp_path)


def test_what_a_killed_writer_left_is_not_read_and_bears_a_name_that_is_swept(tmp_path):
    save_checkpoint(tmp_path, (1, 0), WEIGHTS, {"epoch": 1})
    stale = tmp_path / "checkpoints" / ".epoch-0002-step-000000.12345678.tmp"
    stale.mkdir()
    (stale / "model.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path)[1] == {"epoch": 1}
    sweep(tmp_path / "checkpoints")
    assert not stale.exists()


def test_a_rename_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, (1, 0), WEIGHTS, {})

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
        save_checkpoint(tmp_path, (2, 0), WEIGHTS, {})
    assert names(tmp_path) == ["epoch-0001-step-000000"]


RECIPE = Recipe(epochs=4, batch_size=32)


def full_disk(out, before):
    """Train; from `before` steps on the disk takes no weights any more."""

    def progress(tick):
        if tick.done == before:
            limit_files(2000)

    try:
        train(conv(), digits(limit=64), RECIPE, out=out, progress=progress)
    except OutputError as error:
        (out.parent / "message").write_text(str(error)[:200])
        raise SystemExit(2) from None


@pytest.mark.parametrize("before", [1, 5])
def test_a_full_disk_loses_no_checkpoint_and_the_training_goes_on_to_the_same_end(tmp_path, before):
    out = tmp_path / "out"
    train(conv(), digits(limit=64), RECIPE, out=tmp_path / "whole")
    assert finish(full_disk, out, before) == 2
    message = (tmp_path / "message").read_text()
    assert message.startswith("cannot write ")
    assert "\n" not in message
    kept = [] if before == 1 else ["epoch-0001-step-000000", "epoch-0002-step-000000"]
    assert names(out) == kept
    assert not list(out.rglob("*.tmp"))
    assert (latest_checkpoint(out) is None) == (before == 1)
    train(conv(), digits(limit=64), RECIPE, out=out, resume=True)
    files = [folder / "model.safetensors" for folder in (out, tmp_path / "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [record["epoch"] for record in read_metrics(out)] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_the_state_of_an_optimiser_comes_back_to_the_bit(kind):
    def two_steps(net, optimiser):
        for _ in range(2):
            optimiser.zero_grad()
            net(torch.ones(4, 1, 8, 8)).square().sum().backward()
            optimiser.step()

    options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    first = conv()
    optimiser = kind(first.parameters(), lr=0.01, **options)
    two_steps(first, optimiser)
    second = conv()
    second.load_state_dict(first.state_dict())
    other = kind(second.parameters(), lr=0.01, **options)
    tensors, values = optimiser_state(optimiser)
    tensors = {key: value.clone() for key, value in tensors.items()}
    restore_optimiser(other, tensors, json.loads(json.dumps(values)))
    two_steps(first, optimiser)
    two_steps(second, other)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
