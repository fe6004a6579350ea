"""An attack that is interrupted between two of its stages ends as one that was not, to the bit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sampled import mostly_slow
from small import digits, trained
from torch import nn

from saddlepoint.attacks import (
    APGD,
    DDN,
    FAB,
    MIFGSM,
    PGD,
    AtBudget,
    CarliniWagnerL2,
    ClosingIn,
    EightBit,
    Fast,
    MarginDecomposition,
    PatchPGD,
    Restarted,
    ShrinkingBudget,
    SmallestBudget,
    Smoothed,
    Stages,
    Transfer,
    attack_targets,
    portfolio,
)
from saddlepoint.attacks.core.result import TENSORS
from saddlepoint.defences import random_self_ensemble
from saddlepoint.threat import L1, L2, Linf, Patches

EPS = 0.04


class Stop(BaseException):
    pass


class Shelf:
    """Keeps in memory; stops the attack when `left` more entries have come."""

    def __init__(self, found, left=None):
        self.found, self.new, self.left = found, {}, left

    def add(self, name, columns):
        self.new[name] = [{key: value.clone() for key, value in columns.items()}]
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Stop

    def drop(self, prefix):
        self.new = {name: each for name, each in self.new.items() if not name.startswith(prefix)}


ATTACKS = {
    "pgd": PGD(Linf(EPS), steps=3, restarts=3),
    "pgd, last": PGD(Linf(EPS), steps=3, restarts=2, stop="never"),
    "apgd": APGD(Linf(EPS), steps=5, restarts=3),
    "apgd-t": APGD(Linf(EPS), steps=5, loss="dlr-targeted", targets=3, restarts=2),
    "apgd, l1": APGD(L1(1.0), steps=30, restarts=2),
    "fab-t": AtBudget(FAB(Linf(), steps=3, targets=3, restarts=2), Linf(EPS)),
    "restarted": Restarted(MIFGSM(Linf(EPS), steps=3), 3),
    "restarted, nested": Restarted(APGD(Linf(EPS), steps=5, restarts=2), 2),
    "cw": CarliniWagnerL2(L2(), steps=4, searches=2, restarts=3),
    "nearest": Restarted(DDN(L2(), steps=5), 4),
    "portfolio": portfolio(L2(), passes=200),
    "fast": Fast(Linf(EPS), steps=4, long=4, close=2, probe=3),
    "patch": PatchPGD(Patches(1, size=4), steps=4, restarts=3, rounds=2),
    "budgets": SmallestBudget(PGD(Linf(EPS), steps=2), grid=3, searches=2),
    "shrinking": ShrinkingBudget(PGD(Linf(EPS), steps=2), searches=4),
    "closing in": ClosingIn(
        L2(), first=DDN(L2(), steps=5), targets=2, steps=4, margins=1, margin_steps=4
    ),
    "lattice": EightBit(Restarted(DDN(L2(), steps=5), 2)),
    "md": MarginDecomposition(Linf(EPS), steps=5),
    "smoothed": Smoothed(PGD(Linf(EPS), steps=3, restarts=3), draws=2),
    "transfer": Transfer(APGD(Linf(0.2), steps=5, restarts=2), surrogate=trained()),
}


class Noisy(nn.Module):
    """Random at inference without saying so: it draws from torch's own generator."""

    def __init__(self):
        super().__init__()
        self.net = trained()

    def forward(self, x):
        return self.net(x + 0.05 * torch.randn_like(x))


class Numbered(nn.Module):
    """Each pass adds another noise, by its number and by two more generators."""

    def __init__(self):
        super().__init__()
        self.net, self.own = trained(), np.random.default_rng(7)
        self.register_buffer("number", torch.zeros(()))

    def forward(self, x):
        self.number = self.number + 1
        noise = np.random.normal() + self.own.normal()  # noqa: NPY002
        return self.net(x + 0.03 * torch.sin(7 * self.number + noise))


class Faulty(nn.Module):
    """Has a gradient of 0; or one that is NaN, and infinite logits where the corner is bright."""

    def __init__(self, blind):
        super().__init__()
        self.net, self.blind = trained(), blind
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        if self.blind:
            return self.net((8 * x).round() / 8)
        logits = self.net(x) + (x - 0.06).clamp_min(0).sqrt().sum() * 0
        return logits + torch.where(x.flatten(1)[:, 0] > 0.03, torch.inf, 0.0)[:, None]


MODELS = {
    "plain": trained,
    "layers": lambda: random_self_ensemble(trained(), 0.05),
    "foreign": Noisy,
    "numbered": Numbered,
    "blind": lambda: Faulty(blind=True),
    "broken": lambda: Faulty(blind=False),
}


def call(name, model, stages=None):
    data = digits("test", 12)
    images, labels = data.images(torch.arange(12)), data.labels
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = ATTACKS[name](MODELS[model](), images, labels, seed=3, stages=stages)
    return result, [str(each.message) for each in told]


def same(a, b):
    (a, told), (b, also_told) = a, b
    assert told == also_told
    return [key for key in TENSORS if not torch.equal(getattr(a, key), getattr(b, key))] == []


@pytest.mark.parametrize(
    ("name", "model"),
    [
        *mostly_slow(
            [(name, "plain") for name in ATTACKS], [(n, "plain") for n in list(ATTACKS)[::2]]
        ),
        ("nearest", "foreign"),
        *((name, model) for name in ("pgd", "apgd-t") for model in list(MODELS)[1:]),
        *(("nearest", model) for model in ("numbered", "blind", "broken")),
    ],
)
def test_stopped_after_any_stage_and_called_again_it_is_the_same(name, model):
    whole = call(name, model)
    assert same(call(name, model, Stages(Shelf({}), "x")), whole)
    found, stops = {}, 0
    for _ in range(200):
        shelf = Shelf(found, left=2)
        try:
            again = call(name, model, Stages(shelf, "x"))
        except Stop:
            found, stops = {**found, **shelf.new}, stops + 1
        else:
            break
    assert stops >= 1
    assert same(again, whole)


@pytest.mark.parametrize("case", ["best", "worst", "average"])
def test_targets_that_are_done_are_not_attacked_again(case):
    data = digits("test", 6)
    images, labels = data.images(torch.arange(6)), data.labels
    attack = PGD(L2(1.0), steps=3)

    def run(stages=None):
        return attack_targets(attack, trained(), images, labels, case, stages=stages)

    whole, shelf = run(), Shelf({}, left=4)
    if case == "average":
        shelf.left = 2
    with pytest.raises(Stop):
        run(Stages(shelf, "x"))
    stages = Stages(Shelf(shelf.new), "x")
    again = run(stages)
    assert same((again.result, []), (whole.result, []))
    assert torch.equal(again.targets, whole.targets)
    assert stages.seconds > 0


def test_what_was_kept_of_other_images_is_not_taken():
    shelf = Shelf({})
    call("pgd", "plain", Stages(shelf, "x"))
    for entries in shelf.new.values():
        entries[-1]["index"] = entries[-1]["index"] + 1
    assert same(call("pgd", "plain", Stages(Shelf(shelf.new), "x")), call("pgd", "plain"))
