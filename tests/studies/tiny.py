"""A study of seconds, whose cells are as many as its axes say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from saddlepoint.studies import build_grid, load, parse_study
from saddlepoint.studies.build import study_data
from saddlepoint.studies.work import perform

TEXT = """
name: tiny
data: {name: digits, train_limit: 160, test_limit: 40}
model: {name: zoo:simple-cnn, widths: [4, 8], hidden: []}
seeds: 2
eps: [16/255, 48/255]
attacks: {pgd: {name: pgd, steps: 3}}
recipe: {epochs: 2, batch_size: 40}
parts:
  adversarial: {objective: {name: adversarial-training, attack: {name: pgd, steps: 2}}}
variants:
  original: []
  adversarial: [adversarial]
"""
CELLS = 2 + 4 + 8
ONE_SEED = {"seeds": "seeds: 1"}  # half of the cells
# Enough where it does not matter how many there are: two trainings, and an evaluation of each.
SMALLEST = {**ONE_SEED, "eps": "eps: [48/255]"}


def written(**changed):
    """The text of the study with lines replaced: written(seeds="seeds: 1")."""
    lines = TEXT.splitlines()
    for key, line in changed.items():
        at = next(i for i, old in enumerate(lines) if old.startswith(f"{key}:"))
        lines[at] = line
    return "\n".join(lines)


def tiny(**changed):
    """The study with lines replaced."""
    return parse_study(written(**changed))


def grid(spec):
    """The cells and places of a study."""
    return build_grid(spec, *(study_data(spec.data, split, None) for split in ("train", "test")))


class Here:
    """An engine that does its jobs in this process, when it is asked for outcomes."""

    slots = 1

    def __init__(self, work=perform):
        self.jobs, self.done, self.work = [], [], work

    def submit(self, job):
        self.jobs.append(job)

    def wait(self, timeout):
        outcomes = [self.work(job) for job in self.jobs]
        self.done += [job.cell.label for job in self.jobs]
        self.jobs = []
        return outcomes

    def close(self):
        raise AssertionError("the caller's engine is the caller's to close")


def results(folder):
    """Every number of a study's tables but the times, as text that can be compared."""
    found = {}
    for table in ("evaluations", "trainings", "curves", "images"):
        rows = load(folder, table).to_arrow_table().to_pylist()
        found[table] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return json.dumps(found)


def runner(file, folder, *more):
    """Start `saddlepoint study run` in a process of its own."""
    command = Path(sys.executable).with_name("saddlepoint")
    return subprocess.Popen(
        [command, "study", "run", file, "--out", folder, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
