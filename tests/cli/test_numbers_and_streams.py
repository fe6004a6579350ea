"""Numbers beyond all measure, names given twice, streams that are closed or full: one or two lines."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401
from small import conv, digits
from words import attack, evaluate, train

from saddlepoint.attacks import APGD, PGD, Restarted
from saddlepoint.cli import run
from saddlepoint.defences import Recipe, parse_recipe
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate as evaluate_in_python
from saddlepoint.evaluation import run_attack
from saddlepoint.studies import parse_study
from saddlepoint.threat import Linf
from saddlepoint.training import train as train_in_python

HUGE = 10**20
STUDY = "{name: s, data: digits, eps: [0.1], attacks: {a: {name: pgd}}, variants: {o: []}, %s}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", [train, attack, evaluate])
@pytest.mark.parametrize(
    "option", ["threads", "seed", "limit", "batch_size", "image_size"]
)  # fmt: skip
def test_options_of_every_command(refused, words, option):
    message = refused(*words(**{option: HUGE}))
    assert f"--{option.replace('_', '-')}" in message
    assert str(HUGE) in message
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (evaluate(threads=10**11), "--threads"),
        (evaluate(eot_samples=HUGE), "--eot-samples"),
        (attack(restarts=HUGE), "--restarts"),
        (attack(target=HUGE), f"target is {HUGE}; the classes are 0 … 9"),
        (attack(set=f"steps={HUGE}"), f"steps is {HUGE}; give a smaller number"),
        (attack(set="steps=2000000000"), "steps is 2000000000; give at most 1,000,000,000"),
        (train(epochs=HUGE), "--epochs"),
        (train(workers=HUGE), "--workers"),
        (evaluate(device="cpu:7"), "there is no cpu:7, only one cpu; use --device cpu"),
        (evaluate(device="cpu:"), "unknown device 'cpu:'"),
        (evaluate(device="cpu:²"), "unknown device 'cpu:²'"),
        (("lab", "landscape", "--set", f"steps={HUGE}"), f"steps is {HUGE}; give a smaller number"),
        (("study", "run", "x.yaml", "--workers", HUGE), "--workers"),
        (
            ("rejudge", "x.npz", "--data", "digits", "--model", "x", "--target", "9" * 5000),
            "--target",
        ),
    ],
)
def test_numbers_beyond_all_measure(refused, words, named):
    assert named in refused(*words)


def test_the_one_cpu_has_two_names(cli, net):
    assert cli(*evaluate(model=net[0], device="cpu:0")).status == 0


@pytest.mark.parametrize(
    "build",
    [
        lambda: PGD(Linf(0.1), steps=HUGE),
        lambda: APGD(Linf(0.1), restarts=2**31),
        lambda: Restarted(PGD(Linf(0.1)), HUGE),
        lambda: Recipe(epochs=HUGE),
        lambda: Recipe(batch_size=HUGE),
        lambda: Recipe(epochs=2.5),
        lambda: parse_recipe({"epochs": HUGE}),
        lambda: parse_recipe({"transforms": [{"name": "quantise", "weight_bits": HUGE}]}),
        lambda: parse_recipe({"penalties": [{"name": "orthogonal", "weight": 1, "iterations": HUGE}]}),
        lambda: evaluate_in_python(conv(), digits("test", 4), Linf(0.1), batch_size=HUGE),
        lambda: evaluate_in_python(conv(), digits("test", 4), Linf(0.1), seed=2**32),
        lambda: evaluate_in_python(conv(), digits("test", 4), Linf(0.1), eot_samples=HUGE),
        lambda: run_attack(conv(), digits("test", 4), PGD(Linf(0.1)), batch_size=HUGE),
        lambda: run_attack(conv(), digits("test", 4), PGD(Linf(0.1)), seed=10**5000),
        lambda: train_in_python(conv(), digits(limit=32), Recipe(), seed=HUGE),
        lambda: train_in_python(conv(), digits(limit=32), Recipe(), seed=-1),
        lambda: PGD(Linf(0.1))(conv(), torch.zeros(1, 1, 8, 8), torch.zeros(1).long(), seed=HUGE),
        *(
            lambda text=text: parse_study(STUDY % text)
            for text in (
                f"seeds: {10**11}", f"seeds: [{HUGE}]", f"threads: {10**11}", f"batch_size: {HUGE}",
                f"recipe: {{epochs: {HUGE}}}", f"model: {{name: simple-cnn, width: {HUGE}}}",
                f"eot_samples: {HUGE}",
            )
        ),
    ],
)  # fmt: skip
def test_numbers_in_python_and_in_files(build):
    with pytest.raises(InputError) as caught:
        build()
    assert len(str(caught.value)) < 400
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    "text",
    [
        "epochs: 1\nbatch_size: 4\nepochs: 2\n",
        "objective: {name: adversarial-training, attack: {name: pgd, eps: 0.1, eps: 0.2}}",
    ],
)
def test_a_name_given_twice_in_a_recipe(refused, net, text):
    Path("recipe.yaml").write_text(text)
    message = refused(*train(model=net[0], recipe="recipe.yaml"))
    assert "recipe.yaml, line" in message
    assert "is given twice (first in line 1)" in message


@pytest.mark.parametrize("words", [train, attack, evaluate])
def test_a_folder_that_may_not_be_read(refused, words, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "data")

    Path("data", "a").mkdir(parents=True)
    for name in ("os.scandir", "os.listdir", "pathlib.Path.iterdir", "pathlib.Path.is_dir"):
        monkeypatch.setattr(name, denied)
    assert "data: Permission denied" in refused(*words(data="data"))


# Streams


def shell(line):
    return subprocess.run(
        ["bash", "-c", line.replace("$S", f"{sys.executable} -m saddlepoint")],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("$S --help > /dev/full", 2, "error: cannot write to the standard output: No space left"),
        ("$S --help >&-", 2, "error: cannot write to the standard output: Bad file descriptor"),
        ("$S --help 2>&- >/dev/null", 0, ""),
        ("$S train --nothing 2>&-", 2, ""),
        ("$S train --nothing 2>/dev/full", 2, ""),
        ("$S train --nothing >&- 2>&- <&-", 2, ""),
        ("{ $S --help; echo $? >&2; } | true", 0, "141"),
    ],
)
def test_streams_that_are_closed_or_full(line, status, message):
    done = shell(line)
    assert done.returncode == status, done
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("words", [train, attack, evaluate])
def test_what_was_computed_is_kept_when_it_cannot_be_printed(net, words, monkeypatch, capsys):
    whole = sys.stdout
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status = run([str(word) for word in words(model=net[0])])
        monkeypatch.setattr(sys, "stdout", whole)
    assert status == 2
    assert "No space left on device; results in files are kept" in capsys.readouterr().err
    assert json.loads(Path("out/run.json").read_text())
    assert (
        run([str(word) for word in (*words(model=net[0]), *(["--resume"] * (words is train)))]) == 0
    )
