"""A folder in RobustBench's layout is read whole, whatever stands in it, and nothing in it is run."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from saddlepoint.cli import run
from saddlepoint.errors import InputError
from saddlepoint.evaluation import beside
from saddlepoint.zoo import build_model, read_register, save_weights

SAID = {
    "link": "https://arxiv.org/abs/2010.03593",
    "name": "Uncovering the Limits",
    "venue": "arXiv, Oct 2020",
    "architecture": "WideResNet-70-16",
    "eps": "8/255",
    "clean_acc": "91.10",
    "reported": "65.88",
    "autoattack_acc": 65.87,
    "additional_data": True,
}


def say(root, place, value):
    path = root / "model_info" / f"{place}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def put(root, place, content=b""):
    path = root / "models" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "robust"
    say(root, "cifar10/Linf/Gowal2020", SAID)
    put(root, "cifar10/Linf/Gowal2020.pt")
    put(root, "cifar10/L2/Own.safetensors")
    say(root, "imagenet/Linf/Unfetched", {"clean_acc": "null", "eps": None})
    return root


def by_name(register):
    return {each.name: each for each in register.entries}


def test_published_numbers_are_read_as_robustbench_writes_them(root):
    register = read_register(root)
    places = [(each.dataset, each.threat, each.name) for each in register.entries]
    assert places == [
        ("cifar10", "L2", "Own"), ("cifar10", "Linf", "Gowal2020"), ("imagenet", "Linf", "Unfetched")
    ]  # fmt: skip
    entry = by_name(register)["Gowal2020"]
    known = entry.published
    assert (known.clean, known.autoattack, known.reported) == (91.10, 65.87, 65.88)
    assert known.eps == 8 / 255
    assert (known.title, known.venue) == ("Uncovering the Limits", "arXiv, Oct 2020")
    assert [file.name for file in entry.files] == ["Gowal2020.pt"]
    assert by_name(register)["Own"].published is None
    assert by_name(register)["Unfetched"].files == ()
    text = str(register)
    assert "3 models, 2 of them with weights" in text
    assert "WideResNet-70-16" in text
    assert "not there" in text
    assert json.loads(json.dumps(register.json()))[1]["published"]["autoattack"] == 65.87


def test_the_folder_of_the_models_itself_may_be_given(root):
    assert read_register(root / "models").entries[1].published.clean == 91.10
    alone = root.parent / "alone"
    shutil.copytree(root / "models", alone)
    assert len(read_register(alone).entries) == 2


def test_tensors_of_runs_are_no_models(root):
    names = set(by_name(read_register(root)))
    put(root, "evaluation/worst/00000.safetensors")
    put(root, "evaluation/run.json", b"{}")
    assert set(by_name(read_register(root))) == names


def test_members_of_an_ensemble_are_one_model(root):
    say(root, "cifar10/Linf/Two", {**SAID, "architecture": "2 × ResNet-18"})
    put(root, "cifar10/Linf/Two_m0.pt")
    put(root, "cifar10/Linf/Two_m1.pth")
    put(root, "cifar10/Linf/Alone_m1.pt")
    say(root, "cifar10/Linf/Alone_m1", SAID)
    found = by_name(read_register(root))
    assert [file.name for file in found["Two"].files] == ["Two_m0.pt", "Two_m1.pth"]
    assert [file.name for file in found["Alone_m1"].files] == ["Alone_m1.pt"]


HOSTILE = [
    "", "[]", "{", "\x00", '{"a": NaN}', "[" * 100_000, '{"clean_acc": 1e999}',
    '{"clean_acc": "101"}', '{"clean_acc": -1}', '{"clean_acc": [9]}', '{"autoattack_acc": true}',
    '{"autoattack_acc": "many"}', '{"reported": {"a": 1}}', '{"eps": "eight"}', '{"eps": []}',
    '{"eps": "1/0"}', '{"clean_acc": ' + "9" * 5000 + "}", '{"clean_acc": 1, "clean_acc": 2}',
    '"' + "x" * (2 << 20) + '"',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(text[:24]) for text in HOSTILE])
def test_what_cannot_be_read_is_told_in_the_row_and_spoils_no_other(root, text):
    say(root, "cifar10/Linf/Bad", text)
    register = read_register(root)
    entry = by_name(register)["Bad"]
    assert entry.published is None
    assert "Bad.json" in entry.problem
    assert "\n" not in entry.problem
    assert by_name(register)["Gowal2020"].published.clean == 91.10
    assert f"note: {entry.problem}" in str(register)


def test_names_that_steer_a_terminal_are_escaped(root):
    say(root, "cifar10/Linf/Red\x1b[31m", {**SAID, "architecture": "a\nb\x1b[2J", "name": 7})
    text = str(read_register(root))
    assert "\x1b" not in text
    assert by_name(read_register(root))["Red\x1b[31m"].published.title == ""


def test_pipes_and_links_to_nothing_are_not_waited_for(root):
    (root / "model_info/cifar10/Linf/Gone.json").symlink_to(root / "nowhere")
    os.mkfifo(root / "model_info/cifar10/Linf/Pipe.json")
    os.mkfifo(root / "models/cifar10/Linf/Pipe.pt")
    found = by_name(read_register(root))
    assert "link to nothing" in found["Gone"].problem
    assert "Is a pipe" in found["Pipe"].problem


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_models_is_refused(tmp_path, there, capsys):
    root = tmp_path / "none"
    if there:
        root.mkdir()
    with pytest.raises(InputError, match="holds no models/DATA" if there else "no folder "):
        read_register(root)
    assert run(["models", "--root", str(root)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A register with a checkpoint of ours, and an evaluation of it by the command."""
    root = tmp_path_factory.mktemp("register")
    (root / "models/digits/Linf").mkdir(parents=True)
    path = root / "models/digits/Linf/Ours.safetensors"
    save_weights(build_model("zoo:simple-cnn", classes=10, shape=(1, 8, 8)), path)
    other = root / "models/digits/Linf/Copy.pt"
    torch.save(
        build_model("zoo:simple-cnn", classes=10, shape=(1, 8, 8), seed=1).state_dict(), other
    )
    say(root, "digits/Linf/Ours", {**SAID, "eps": "4/255"})
    words = ["evaluate", "--data", "digits", "--limit", "16", "--model", "zoo:simple-cnn"]
    words += ["--eps", "4/255", "--eps", "8/255", "--suite", "quick"]
    assert run([*words, "--weights", str(path), "--out", str(root / "runs/ours")]) == 0
    assert run([*words, "--out", str(root / "runs/random")]) == 0
    return root


def test_our_numbers_stand_beside_the_published_ones_of_the_same_weights(evaluated):
    found = beside(read_register(evaluated), [evaluated / "runs"])
    assert found.unmatched == ("random",)
    (number,) = found.found
    assert found.register.entries[number].name == "Ours"
    (ours,) = found.found[number]
    record = json.loads((evaluated / "runs/ours/evaluation.json").read_text())
    assert ours.eps == 4 / 255  # the published one of the two
    assert ours.clean.json() == record["clean_accuracy"]
    assert ours.robust.json() == record["budgets"][0]["robust_accuracy"]
    assert ours.verdict == record["verdict"]["verdict"]
    text = str(found)
    assert "65.87" in text
    assert str(ours.robust) in text
    assert "of no checkpoint here, by the fingerprint of the weights: random" in text


def test_without_the_published_budget_it_is_the_largest(evaluated, tmp_path):
    root = tmp_path / "again"
    shutil.copytree(evaluated, root)
    say(root, "digits/Linf/Ours", {**SAID, "eps": "2/255"})
    (ours,) = next(iter(beside(read_register(root), [root / "runs/ours"]).found.values()))
    assert ours.eps == 8 / 255


def test_the_command_prints_it_and_writes_it_as_json(evaluated, capsys):
    given = ["models", "--root", str(evaluated)]
    capsys.readouterr()
    assert run(given) == 0
    assert "65.87" in capsys.readouterr().out
    more = [
        "--evaluations",
        str(evaluated / "runs/ours"),
        "--evaluations",
        str(evaluated / "runs/random"),
    ]
    assert run([*given, *more, "--json"]) == 0
    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert rows["Copy"]["ours"] == []
    assert rows["Ours"]["ours"][0]["norm"] == "Linf"
    assert rows["Ours"]["published"]["clean"] == 91.10


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--evaluations", "."], "--evaluations goes with --root"),
        (["--root", "ROOT", "--evaluations", "ROOT/models"], "holds no finished evaluation"),
        (["--root", "ROOT", "--evaluations", "ROOT/damaged"], "evaluation.json is not"),
    ],
)
def test_bad_commands_end_with_2(evaluated, more, message, capsys):
    (evaluated / "damaged").mkdir(exist_ok=True)
    (evaluated / "damaged/evaluation.json").write_text("{")
    assert run(["models", *(each.replace("ROOT", str(evaluated)) for each in more)]) == 2
    assert message in capsys.readouterr().err


def test_weights_of_a_register_never_run_code(root, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Evil()}, root / "models/cifar10/Linf/Gowal2020.pt")
    say(root, "cifar10/Linf/Gowal2020", SAID)
    assert read_register(root).entries
    assert not (tmp_path / "ran").exists()
