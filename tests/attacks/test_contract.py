"""What every attack and every wrapper promises of any call: a table of attacks times one of calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from contract import FEW, SITUATIONS, Case, case
from small import same

from saddlepoint.attacks import (
    ATTACKS,
    BPDA,
    DDN,
    FMN,
    MINIMUM_NORM,
    PGD,
    AtBudget,
    Attack,
    AttackResult,
    ClosingIn,
    EightBit,
    Fast,
    Race,
    Restarted,
    ShrinkingBudget,
    SkipGradient,
    SmallestBudget,
    Smoothed,
    StraightThrough,
    Transfer,
    build_attack,
    foreign,
)  # fmt: skip
from saddlepoint.errors import InputError
from saddlepoint.threat import Box


def along_signs(model, images, labels):
    """Another library's attack: one step along the sign of the gradient, the same for all."""
    images = images.requires_grad_()
    logits = model(images)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, images)
    return (images.detach() + 0.1 * gradient.sign()).clamp(0, 1)


def free(threat):
    return threat.with_eps(math.inf)


Build = Callable[[Case], Attack]
WITH_BUDGET: Mapping[tuple[str, str], Build] = {
    ("restarted-pgd", "Linf"): lambda c: Restarted(PGD(c.threat, steps=3, start="clean"), 3),
    ("bpda-pgd", "L2"): lambda c: BPDA(PGD(c.threat, steps=4), ("2",)),
    ("straight-pgd", "Linf"): lambda c: StraightThrough(PGD(c.threat, steps=3)),
    ("smoothed-pgd", "L2"): lambda c: Smoothed(PGD(c.threat, steps=4), draws=3),
    ("smoothed-fmn", "Linf"): lambda c: Smoothed(
        AtBudget(FMN(free(c.threat), steps=4, bisections=2), c.threat), draws=2
    ),
    ("transfer-pgd", "L1"): lambda c: Transfer(PGD(c.threat, steps=4), deepcopy(c.net)),
    ("skip-pgd", "L2"): lambda c: SkipGradient(PGD(c.threat, steps=4), 0.5, branches=("2",)),
    ("fast", "Linf"): lambda c: Fast(
        c.threat, probe=2, targets=2, steps=3, margins=1, long=4, close=1, queries=5
    ),
    ("at-budget-fmn", "L0"): lambda c: AtBudget(FMN(free(c.threat), steps=10), c.threat),
    ("foreign", "Linf"): lambda c: foreign(along_signs, c.threat),
}
NEAREST: Mapping[tuple[str, str], Build] = {
    ("restarted-ddn", "L2"): lambda c: Restarted(DDN(c.threat, steps=6, bisections=3), 3),
    ("bpda-fmn", "Linf"): lambda c: BPDA(FMN(c.threat, steps=30, bisections=2), ("2",)),
    ("straight-ddn", "L2"): lambda c: StraightThrough(DDN(c.threat, steps=8, bisections=3)),
    ("transfer-fmn", "L1"): lambda c: Transfer(
        FMN(c.threat, steps=8, bisections=3), deepcopy(c.net)
    ),
    ("smallest-budget-pgd", "Linf"): lambda c: SmallestBudget(
        PGD(c.threat.with_eps(0.1), steps=2), grid=3, searches=2, bisections=3
    ),
    ("shrinking-budget-pgd", "L2"): lambda c: ShrinkingBudget(
        PGD(c.threat.with_eps(0.1), steps=2), searches=4, starts=2, bisections=3
    ),
    ("race", "L2"): lambda c: Race(
        c.threat,
        rounds=(
            (DDN(c.threat, steps=3, bisections=2), 2),
            (DDN(c.threat, steps=6, bisections=2), 1),
        ),
    ),
    ("closing-in", "L2"): lambda c: ClosingIn(
        c.threat, first=DDN(c.threat, steps=6), targets=2, steps=3, margins=1, margin_steps=3
    ),
    ("eight-bit-ddn", "L2"): lambda c: EightBit(DDN(c.threat, steps=8, bisections=3)),
    ("nearest-foreign", "L2"): lambda c: foreign(along_signs, c.threat),
}


def by_name(name: str) -> Build:
    return lambda c: replace(build_attack(name, c.threat, FEW.get(name, {})), criterion=c.criterion)


LISTED = {
    (name, norm): by_name(name)
    for name, info in ATTACKS.items()
    if not info.attack.from_file  # they have tests of their own
    for norm in (("L2",) if name == "portfolio" else info.attack.norms)  # its members are here too
    if norm != "L2/token"  # of sentences, which have tests of their own
}
ALL = LISTED | WITH_BUDGET | NEAREST

# Too weak to be sure of a success in every situation: what they offer must have moved.
WEAK = {"nine-defences-pgd", "uniform-noise", "cw-l0"}
# So strong that all are fooled, however few the steps.
STRONG = {"deepfool", "alma", "sigma-zero", "portfolio", "bpda-fmn"}

REFUSED = {
    ("foreign", "mask"): "does not know of a mask",
    ("nearest-foreign", "mask"): "does not know of a mask",
    ("foreign", "targets"): "takes neither targeted= nor targets=",
    ("nearest-foreign", "targets"): "takes neither targeted= nor targets=",
    ("Patches", "vectors"): "patches are of",
    ("Patches", "volumes"): "patches are of",
    ("eight-bit-ddn", "normalised"): "takes a minimum-norm attack in pixels",
}


def is_nearest(name: str, norm: str) -> bool:
    return (name, norm) in NEAREST or (name in ATTACKS and ATTACKS[name].minimum_norm)


def cases_of_the_contract():
    """All attacks in all norms and situations; in norms after its first an attack is quickly tried in
    three of them.
    """
    first = {}
    for name, norm in ALL:
        first.setdefault(name, norm)
        for situation in SITUATIONS:
            quick = first[name] == norm or situation in ("single", "mask", "targets")
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(name, norm, situation, id=f"{name}-{norm}-{situation}", marks=marks)


@pytest.mark.parametrize(("name", "norm", "situation"), cases_of_the_contract())
def test_the_contract_is_kept(name, norm, situation):
    given = case(situation, norm, is_nearest(name, norm))
    refusal = REFUSED.get((name, situation), REFUSED.get((norm, situation)))
    if refusal is not None:
        with pytest.raises(InputError, match=refusal):
            given.run(built(name, norm, given))
        return
    attack, images, state = built(name, norm, given), given.images.clone(), deepcopy(given.net)
    result = given.run(attack)
    assert_kept(given, attack, result)
    moved = (result.adversarials != given.images).flatten(1).any(1)
    # Otherwise all that is asserted would be true of an attack that does nothing.
    assert bool(((moved if name in WEAK else result.success) & ~result.initially_wrong).any())
    if name in STRONG and attack.kind is MINIMUM_NORM:
        assert bool(result.success.all())
    assert torch.equal(given.images, images)
    assert same(given.net.state_dict(), state.state_dict())
    i = 3 + list(SITUATIONS).index(situation) % 3
    alone = given.at(torch.tensor([i]))
    assert_same(alone.run(built(name, norm, alone)), result, i, "foreign" not in name)


def built(name: str, norm: str, given: Case) -> Attack:
    attack = ALL[name, norm](given)
    if attack.kind is MINIMUM_NORM and given.eps is not None:
        attack = AtBudget(attack, given.threat.with_eps(1.0))
    return replace(attack, criterion=given.criterion)


def assert_kept(given: Case, attack: Attack, result: AttackResult) -> None:
    found, images = result.adversarials, given.images
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert result.distance.dtype == torch.float64
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    if given.mask is not None:
        assert torch.equal(found[:, ~given.mask], images[:, ~given.mask])
    distance, (classes, fooled) = given.distance(found), given.seen(found)
    threat = given.threat
    if isinstance(threat, Box):
        assert bool(((threat.lower <= found) & (found <= threat.upper)).all())
    elif attack.kind is not MINIMUM_NORM:
        most = torch.as_tensor(threat.eps if given.eps is None else given.eps).double()
        assert bool((distance <= most * (1 + 1e-5) + 1e-7 * (threat.norm_name != "L0")).all())
    assert torch.equal(result.predictions, classes)
    assert torch.equal(result.success, fooled)
    before = given.seen(images)[1]
    assert torch.equal(result.initially_wrong, before)
    assert bool(before[0])
    still = before | (~fooled if attack.kind is MINIMUM_NORM else before)
    assert torch.equal(found[still], images[still])
    measured = torch.where(fooled | (attack.kind is not MINIMUM_NORM), distance, math.inf)
    assert torch.allclose(result.distance, measured, rtol=1e-5, atol=1e-7)
    assert result.space == threat.space
    assert result.forwards[before].tolist() == [2] * int(before.sum())
    assert result.backwards[before].tolist() == [0] * int(before.sum())


def assert_same(alone: AttackResult, whole: AttackResult, i: int, counted: bool) -> None:
    exact = ["success", "predictions", "rejected"] + counted * ["forwards", "backwards"]
    assert all(bool(getattr(alone, name) == getattr(whole, name)[i]) for name in exact)
    near = 1e-9 if alone.adversarials.dtype == torch.float64 else 1e-5
    assert torch.allclose(alone.adversarials[0], whole.adversarials[i], rtol=0, atol=near)


def spoilt(result: AttackResult) -> dict[str, AttackResult]:
    """Return results that each break one promise."""
    found, distance, wrong = result.adversarials, result.distance, result.initially_wrong
    return {
        "a mask": replace(result, adversarials=torch.where(found < 0.5, found + 1e-9, found)),
        "the range": replace(result, adversarials=found - 0.6 * (found == found.amin())),
        "the budget": replace(result, adversarials=found.clamp(0.3, 0.7)),
        "the precision": replace(result, adversarials=found.float()),
        "the distance": replace(result, distance=distance * 1.001),
        "its precision": replace(result, distance=distance.float()),
        "a class": replace(result, predictions=(result.predictions + 1) % 3),
        "a success": replace(result, success=~result.success),
        "a failure": replace(result, success=wrong),
        "what is wrong": replace(result, initially_wrong=~wrong),
        "passes": replace(result, forwards=result.forwards + wrong.long()),
        "units": replace(result, space="normalised"),
    }


@pytest.mark.parametrize(("name", "norm"), [("pgd", "Linf"), ("ddn", "L2")])
def test_what_breaks_the_contract_is_noticed(name, norm):
    given = case("mask", norm, is_nearest(name, norm))
    attack = built(name, norm, given)
    result = given.run(attack)
    assert_kept(given, attack, result)
    for what, broken in spoilt(result).items():
        try:
            assert_kept(given, attack, broken)
        except AssertionError:
            continue
        pytest.fail(f"{what} is broken, and nobody notices")
