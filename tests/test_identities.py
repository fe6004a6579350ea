"""What was computed before a move or a new name is found again: identities are public and frozen.

`golden/` was written by an earlier version: the configuration of every component, and the folders of
the commands in `golden/commands.txt`.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from torch import nn

from saddlepoint.attacks import (
    ATTACKS,
    BPDA,
    DDN,
    PGD,
    AtBudget,
    BinaryLogit,
    EightBit,
    Fast,
    Misclassified,
    OutsideTopK,
    Race,
    Restarted,
    ShrinkingBudget,
    SmallestBudget,
    Targeted,
    Transfer,
    UniformNoise,
    build_attack,
)
from saddlepoint.cli import run
from saddlepoint.configuration import configuration
from saddlepoint.defences import AdversarialTraining, Recipe
from saddlepoint.defences.build import build_penalty, build_transform
from saddlepoint.defences.registry import PENALTIES, TRANSFORMS
from saddlepoint.evaluation import build_suite
from saddlepoint.lab import EXPERIMENTS
from saddlepoint.threat import L0, L2, NORMS, Box, Linf, Rescaled

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = (GOLDEN / "commands.txt").read_text().splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: line.rpartition(" ")[2])
def test_a_finished_run_is_read_and_not_computed_again(command, tmp_path, monkeypatch):
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder)
    monkeypatch.chdir(folder)
    before = contents(folder)
    assert run(command.split()) == 0
    assert contents(folder) == before


def contents(folder):
    """The results, which say how many seconds they took; not the figures, drawn from them, nor the
    verdict, which an evaluation of an earlier version had not and is given.
    """
    kinds = (".json", ".parquet", ".npz", ".safetensors", ".jsonl", ".csv")
    paths = (path for path in folder.rglob("*") if path.suffix in kinds)
    return {str(path.relative_to(folder)): without_verdict(path) for path in paths}


def without_verdict(path):
    if (
        path.suffix == ".csv"
    ):  # an experiment is computed anew, and exp has other last bits elsewhere
        return re.sub(r"\d+\.\d+(e-?\d+)?", lambda m: f"{float(m[0]):.9g}", path.read_text())
    if path.name != "evaluation.json":
        return path.read_bytes()
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "verdict"}


def components():
    """Every component with its defaults, by the names that `configurations.json` has."""
    earlier = {"nine-defences-pgd": "report-pgd"}
    pgd, ddn = PGD(Linf(0.25)), DDN(L2())
    return {
        **{
            f"{earlier.get(name, name)} {norm}": build_attack(name, NORMS[norm](1.0))
            for name, info in ATTACKS.items()
            for norm in info.norms
        },
        "restarted": Restarted(pgd, 3),
        "restarted nearest": Restarted(ddn, 3),
        "smallest": SmallestBudget(pgd),
        "smallest l0": SmallestBudget(UniformNoise(L0(4.0))),
        "shrinking": ShrinkingBudget(pgd),
        "fast": Fast(Linf(0.25)),
        "eight": EightBit(ddn),
        "transfer": Transfer(pgd, nn.Flatten()),
        "bpda": BPDA(pgd, ("0",)),
        "at": AtBudget(ddn, L2(0.5)),
        "race": Race(L2(), rounds=((ddn, 2),)),
        "Misclassified": Misclassified(),
        "Targeted": Targeted(),
        "OutsideTopK": OutsideTopK(3),
        "BinaryLogit": BinaryLogit(),
        "threat Box": Box(0.0, 1.0),
        "threat Rescaled": Rescaled(Linf(0.25, -math.inf, math.inf), (0.5,), (0.25,)),
        "threat L0": L0(2.0, per="pixel"),
        **{f"suite {name}": build_suite(name, Linf(0.25)) for name in ("quick", "standard")},
        **{f"transform {name}": build_transform(name) for name in TRANSFORMS},
        **{f"penalty {name}": build_penalty(name) for name in PENALTIES},
        "recipe": Recipe(),
        "adversarial": Recipe(AdversarialTraining(pgd)),
        **{f"lab {name}": each.settings() for name, each in EXPERIMENTS.items()},
    }


def test_what_was_there_before_goes_by_the_name_that_it_had():
    before = json.loads((GOLDEN / "configurations.json").read_text(encoding="utf-8"))
    now = {name: configuration(each) for name, each in components().items()}
    assert {name: now[name] for name in before} == before
