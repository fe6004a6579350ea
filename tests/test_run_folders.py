"""A folder holds one run; what another wrote is never mixed with it, nor lost."""

from __future__ import annotations

import json

import pytest

from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import write
from saddlepoint.run_folders import claimed, environment


def claim(out, kind, config, files=()):
    """Claim the folder for a moment; say whether it was this run's before."""
    with claimed(out, kind, config, files) as found:
        return found != "new"


def test_the_same_run_is_recognised_and_another_is_refused_with_the_difference(tmp_path):
    assert not claim(tmp_path, "train", {"seed": 0, "eps": [0.1, float("inf")]})
    write(tmp_path / "result", "kept")
    assert claim(tmp_path, "train", {"seed": 0, "eps": [0.1, float("inf")]})
    with pytest.raises(InputError, match=r"holds another run: seed was 0, is now 1; eps\[0\] was"):
        claim(tmp_path, "train", {"seed": 1, "eps": [0.2, float("inf")]})
    with pytest.raises(InputError, match=r"another run \(of train, not attack\)"):
        claim(tmp_path, "attack", {})
    assert (tmp_path / "result").read_text() == "kept"


def test_many_differences_are_counted(tmp_path):
    claim(tmp_path, "train", dict.fromkeys("abcdef", 0))
    write(tmp_path / "result", "kept")
    with pytest.raises(InputError, match=r"c was 0, is now 1 and 3 more; choose another folder"):
        claim(tmp_path, "train", dict.fromkeys("abcdef", 1))


def test_a_run_that_failed_before_it_wrote_anything_has_no_claim(tmp_path):
    claim(tmp_path, "train", {"seed": 0})
    (tmp_path / "parts").mkdir()
    assert not claim(tmp_path, "evaluate", {"seed": 1})
    assert json.loads((tmp_path / "run.json").read_text())["kind"] == "evaluate"


def test_files_of_no_known_run_are_not_overwritten(tmp_path):
    write(tmp_path / "notes.txt", "mine")
    assert not claim(tmp_path, "train", {}, ("model.safetensors",))
    (tmp_path / "run.json").unlink()
    write(tmp_path / "model.safetensors", "mine too")
    with pytest.raises(
        InputError, match=r"model\.safetensors of no known run, which would be lost"
    ):
        claim(tmp_path, "train", {}, ("model.safetensors",))
    assert not (tmp_path / "run.json").exists()


def test_a_folder_below_a_file_is_an_output_error(tmp_path):
    write(tmp_path / "file", "kept")
    with pytest.raises(OutputError, match=r"cannot make the folder .*file/below: Not a directory"):
        claim(tmp_path / "file" / "below", "train", {})
    with pytest.raises(OutputError, match="cannot make the folder"):
        claim(tmp_path / "file", "train", {})


@pytest.mark.parametrize("content", ["{", "[]", "{}", '"text"'])
def test_a_damaged_run_file_is_an_input_error(tmp_path, content):
    write(tmp_path / "run.json", content)
    write(tmp_path / "result", "kept")
    with pytest.raises(InputError, match=r"run\.json"):
        claim(tmp_path, "train", {})
    assert (tmp_path / "run.json").read_text() == content


def test_the_environment_is_json_and_names_the_versions():
    told = environment()
    assert json.loads(json.dumps(told)) == told
    assert told["python"].startswith("3.")
    assert told["threads"] >= 1


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_failed_before_it_wrote_anything_leaves_no_trace(tmp_path, there):
    out = tmp_path / "run"
    if there:
        out.mkdir()
    with pytest.raises(InputError, match="no budget"), claimed(out, "train", {"seed": 0}):
        raise InputError("no budget")
    assert out.exists() == there
    assert not there or not list(out.iterdir())


def test_a_run_that_failed_after_it_wrote_something_keeps_its_claim(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(AttributeError), claimed(out, "train", {"seed": 0}):
        write(out / "result", "half").missing()
    with pytest.raises(InputError, match="another run"):
        claim(out, "train", {"seed": 1})
