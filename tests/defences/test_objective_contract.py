"""What an objective of somebody else may be, and what is refused of one that is none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from small import conv, digits
from torch import nn

from saddlepoint.attacks import PGD
from saddlepoint.defences import (
    AdversarialTraining,
    Recipe,
    Standard,
    Standing,
    TrainingBatch,
    Validation,
    build_objective,
    threat_of,
)
from saddlepoint.defences.objective_budget import takes_eps, with_budget
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, Linf, ThreatModel
from saddlepoint.training import train


@dataclass(frozen=True)
class Plain:
    def accumulate(self, model, batch):
        return Standard().accumulate(model, batch)


MINE = """
from dataclasses import dataclass
from saddlepoint.defences import Standard
from saddlepoint.threat import Linf, ThreatModel

@dataclass(frozen=True)
class Mine:
    threat: ThreatModel = Linf(0.1)
    range: float = 2.0

    def accumulate(self, model, batch):
        return Standard().accumulate(model, batch)
"""


def test_a_threat_with_a_default_and_options_named_as_its_fields_stay_the_plug_ins(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    name = f"{path}:Mine"
    assert build_objective(name, {"range": 3.0}).range == 3.0
    assert threat_of(build_objective(name)) == Linf(0.1)
    assert threat_of(build_objective(name, {"eps": "0.2"})) == Linf(0.2)
    # A study trains it anew for every budget.
    assert takes_eps({"name": name})
    assert with_budget({"name": name}, {"eps": 0.3})["eps"] == 0.3


def test_a_teacher_that_is_a_network_of_the_objectives_own_is_no_first_stage():
    class Own(Plain):
        teacher = nn.Linear(2, 2)

    assert len(train(conv(), digits(limit=64), Recipe(objective=Own(), epochs=1)).metrics) == 1


class Carries(Standing):
    def __init__(self):
        self.after = 0

    def accumulate(self, model, batch):
        return Standard().accumulate(model, batch)

    def after_step(self, model):
        self.after += 1


def test_begin_sees_the_data_and_what_it_returns_runs_in_its_place():
    run, seen = Carries(), []

    @dataclass(frozen=True)
    class Begins(Plain):
        repeats: int = 3

        def begin(self, model, data):
            seen.append((model, data))
            return run

    data, net = digits(limit=64), conv()
    train(net, data, Recipe(objective=Begins(), epochs=1, batch_size=32))
    assert seen == [(net, data)]
    assert run.after == 2 * 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"repeats": 0}, "Odd: repeats is 0; give at least 1"),
        ({"repeats": "x"}, "Odd: repeats"),
        (
            {"begin": lambda self, model, data: None},
            "Odd: begin returned None; return what has accum",
        ),
    ],
)
def test_what_is_no_objective_is_refused_before_a_step(changed, message):
    odd = type("Odd", (Plain,), changed)
    with pytest.raises(InputError, match=message):
        train(conv(), digits(limit=64), Recipe(objective=odd(), epochs=1))


def test_images_are_held_out_for_budgets_alone_that_pgd_has_a_form_for():
    @dataclass(frozen=True)
    class Sparse(Plain):
        threat: ThreatModel

    with pytest.raises(InputError, match="PGD has no L0 form"):
        Recipe(objective=Sparse(L0(3)), validation=Validation())


def test_a_batch_has_the_streams_of_its_images():
    ids = torch.tensor([5, 9])
    batch = TrainingBatch(torch.ones(2, 4), ids, ids, seed=3)
    assert torch.equal(batch.keys.at(torch.tensor([1])).uniform((4,)), batch.keys.uniform((4,))[1:])
    assert threat_of(AdversarialTraining(PGD(Linf(0.1)))) == Linf(0.1)
