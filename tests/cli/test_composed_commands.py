"""Wrappers and fields of recipes put together on the command line, errors as JSON, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401

from saddlepoint.attacks import ATTACKS, WRAPPERS
from saddlepoint.cli import complete, run
from saddlepoint.data import CORRUPTIONS, DATASETS
from saddlepoint.data.corruptions import FORMS
from saddlepoint.defences import recipe_names
from saddlepoint.lab import EXPERIMENTS
from saddlepoint.text import RULES, TEXT_MODELS, TEXT_SETS
from saddlepoint.threat import NORMS, TOKEN_NORMS
from saddlepoint.zoo import ZOO

DIGITS = ("--data", "digits", "--limit", 6)


def attack_words(net, out):
    return ("attack", *DIGITS, "--model", net[0], "--weights", net[1], "--attack", "pgd", "--set",
            "steps=2", "--eps", "0.1", "--out", out)  # fmt: skip


def test_wrappers_by_name_are_those_of_the_flags(cli, net, tmp_path):
    flags = ("--restarts", 2, "--bpda", "1", "--smallest", "--eight-bit")
    names = ("restarted=2", "smallest", "eight-bit")
    found = cli(*attack_words(net, tmp_path / "a"), *flags)
    assert found.status == 0, found
    wraps = [word for name in ("bpda=1", *names) for word in ("--wrap", name)]
    before = (tmp_path / "a/attack.json").stat().st_mtime_ns
    again = cli(*attack_words(net, tmp_path / "a"), *wraps)  # the same run: it is only read
    assert again.status == 0, again
    assert (tmp_path / "a/attack.json").stat().st_mtime_ns == before
    # The first one is innermost, whatever the order is called.
    other = cli(*attack_words(net, tmp_path / "b"), "--wrap", "smallest", "--wrap", "restarted=2")
    assert other.status == 0, other
    attack = json.loads((tmp_path / "b/run.json").read_text())["config"]["attack"]
    assert (attack["restarts"], "grid" in attack["attack"]) == (2, True)


@pytest.mark.parametrize(
    ("wraps", "message"),
    [
        (["restartet=5"], "unknown wrapper 'restartet'; did you mean 'restarted'?"),
        (["restarted"], "restarted needs a value; write restarted=5"),
        (["restarted=many"], "restarted around PGD: restarted: restarts is 'many'"),
        (["eight-bit"], "eight-bit around PGD: the lattice search takes a minimum-norm attack"),
        (["smallest", "smallest"], "smallest around SmallestBudget: SmallestBudget has no budget"),
        (["transfer=a", "transfer=b"], "there is one surrogate at most"),
        (["bpda=nowhere"], "unknown module of the model 'nowhere'"),
    ],
)
def test_wrappers_that_cannot_be_are_errors_of_a_line(refused, net, tmp_path, wraps, message):
    words = [word for wrap in wraps for word in ("--wrap", wrap)]
    assert message in refused(*attack_words(net, tmp_path / "a"), *words)


def train_words(net, out, *more):
    return ("train", *DIGITS, "--model", net[0], "--recipe", "adversarial", "--epochs", 1,
            *more, "--out", out)  # fmt: skip


def test_a_field_of_a_recipe_is_set_by_its_name(cli, net, tmp_path):
    fields = {
        "optimiser.learning_rate": 0.05,
        "objective.attack.steps": 2,
        "penalties.0.name": "orthogonal",
        "penalties.0.weight": 0.01,
        "ema": 0.9,
    }
    words = [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
    found = cli(*train_words(net, tmp_path, *words, "--eps", "4/255"))
    assert found.status == 0, found
    assert "by adversarial, against Linf 4/255 by PGD, 2 steps" in found.err
    recipe = json.loads((tmp_path / "run.json").read_text())["config"]["recipe"]
    assert recipe["optimiser"]["learning_rate"] == 0.05
    assert recipe["ema"] == 0.9
    assert recipe["penalties"][0][0] == 0.01


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "optimiser.learning_rat=1"), "did you mean 'optimiser.learning_rate'?"),
        (("--set", "epoch=1"), "unknown field 'epoch'; did you mean 'epochs'?"),
        (("--set", "epochs=2"), "epochs is given twice"),
        (("--set", "batch_size.most=2"), "batch_size is 128, which has no fields"),
        (
            ("--set", "penalties.1.weight=2"),
            "penalties has no entry '1'; there are none; 0 adds one",
        ),
        (("--set", "objective.attack.step=2"), "did you mean 'steps'?"),
        (("--set", "optimiser.learning_rate=["), "the value of optimiser.learning_rate"),
        (("--set", "optimiser=3"), "optimiser is 3: give a mapping of its fields"),
        (("--learning-rate", "-1"), "learning_rate is -1.0; give a positive number"),
        (("--eps", "wide"), "eps is 'wide'"),
        (("--norm", "l7"), "unknown norm 'l7'"),
    ],
)
def test_fields_that_a_recipe_has_not_are_errors_of_a_line(refused, net, tmp_path, words, message):
    assert message in refused(*train_words(net, tmp_path, *words))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("evaluate", "--data", "digits"), "usage"),
        (("evaluat",), "usage"),
        (
            ("attack", "--data", "digits", "--model", "zoo:no", "--attack", "pgd", "--out", "o"),
            "input",
        ),
        (("study", "status", "no-such-folder"), "input"),
        (("train", ""), "input"),
    ],
)
def test_errors_are_json_too(cli, words, kind):
    found = cli(*words, "--json")
    assert found.status == 2
    error = found.json["error"]
    assert (error["kind"], error["exit_code"]) == (kind, 2)
    assert found.err == f"error: {error['message']}\n"


def test_a_budget_for_a_recipe_without_an_attack_is_refused(refused, net, tmp_path):
    words = [*train_words(net, tmp_path, "--eps", "0.1")]
    words[words.index("adversarial")] = "standard"
    assert "trains on clean images, for no budget" in refused(*words)


def test_an_interruption_is_json_too(cli, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("saddlepoint.studies.load_status", stop)
    found = cli("study", "status", "folder", "--json")
    assert found.status == 130
    assert found.json == {"error": {"message": "stopped", "kind": "stopped", "exit_code": 130}}


def test_a_bug_is_json_too_and_keeps_its_traceback(monkeypatch, capsys):
    def fail(*_):
        raise ZeroDivisionError("seen")

    monkeypatch.setattr("saddlepoint.studies.load_status", fail)
    with pytest.raises(ZeroDivisionError):
        run(["study", "status", "folder", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "internal"


def test_what_is_completed_is_what_there_is():
    assert set(complete.ATTACKS) == set(ATTACKS)
    assert set(complete.DATA) == {*DATASETS, *(f"rules:{name}" for name in RULES), *TEXT_SETS}
    assert tuple(CORRUPTIONS) == complete.CORRUPTIONS
    assert ("auto", *FORMS) == complete.CONSTANTS
    assert {word.rstrip(":") for word in complete.NORMS} == {*NORMS, *TOKEN_NORMS}
    assert set(complete.EXPERIMENTS) == set(EXPERIMENTS)
    assert set(complete.MODELS) == {
        "timm:",
        "torchvision:",
        "hf:",
        *(f"zoo:{name}" for name in ZOO),
        *TEXT_MODELS,
    }
    assert {word.rstrip("=") for word in complete.WRAPPERS} == set(WRAPPERS)
    assert complete.recipes("") == list(recipe_names())


def test_a_shell_completes_names_without_torch():
    code = (
        "import sys, atexit\natexit.register(lambda: print('torch' in sys.modules))\n"
        "from saddlepoint.cli import main\nmain()"
    )
    words = {"COMP_WORDS": "saddlepoint attack --attack cw", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "_SADDLEPOINT_COMPLETE": "complete_bash", **words},
    )  # fmt: skip
    assert done.stdout.split() == ["cw-l0", "cw-l2", "cw-linf", "False"]


@pytest.mark.parametrize("columns", ["40", "80"])
def test_summaries_end_whole(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    for words in (["--help"], ["study", "--help"]):
        assert run(words) == 0
        text = capsys.readouterr().out.partition("Commands:")[2]
        assert "..." not in text
        assert text.rstrip().endswith(".")
