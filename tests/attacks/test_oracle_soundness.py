"""No attack may claim to be nearer than the nearest adversarial example."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from oracle_attacks import (
    BALLS,
    FIXED,
    MINIMUM,
    PAIRS,
    cases,
    excess,
    fooled,
    found,
    optimum,
    run,
    worst,
)  # fmt: skip

from saddlepoint.attacks import ATTACKS, MinimumNorm

FEW = pytest.param(1, id="10")
ALL = pytest.param(5, id="50", marks=pytest.mark.slow)
SIZES = pytest.mark.parametrize("networks", [FEW, ALL])
# The linear cases are sound where the half-spaces they consist of are: they are left to the slow run.
KINDS = pytest.mark.parametrize(
    "kind", ["halfspace", pytest.param("linear", marks=pytest.mark.slow), "relu"]
)

# Wrappers and what runs another library's attack have nothing of their own to be judged by.
NO_ATTACKS = {"AtBudget", "Foreign", "Restarted", "SmallestBudget"}


def assert_sound(distance, best, norm):
    """Rounding apart, nothing is below the optimum; what exists nowhere is found by none."""
    ratio = excess(distance, best, norm)
    least = -0.5 if norm == "L0" else 0.999
    assert float(ratio.min()) >= least, f"nearer than the nearest: {worst(-ratio)}"


@SIZES
@KINDS
@pytest.mark.parametrize(("name", "norm"), PAIRS["minimum"])
def test_no_distance_is_below_the_optimum(name, norm, kind, networks):
    assert_sound(found(name, norm, kind, networks), optimum(norm, kind, networks), norm)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "relu"])
@pytest.mark.parametrize(("name", "norm"), PAIRS["minimum"])
def test_nor_is_that_of_a_targeted_attack(name, norm, kind):
    assert_sound(found(name, norm, kind, 5, True), optimum(norm, kind, 5, True), norm)


@SIZES
@KINDS
@pytest.mark.parametrize(("name", "norm"), PAIRS["fixed"])
def test_no_attack_succeeds_below_the_smallest_budget(name, norm, kind, networks):
    attack = FIXED[name].build(
        norm, **({"restarts": 2} if "restarts" in FIXED[name].options else {})
    )
    success = fooled(attack, norm, 0.99, kind, networks)
    assert not bool(success.any()), f"instances {success.nonzero().flatten().tolist()}"


@pytest.mark.parametrize("norm", ["L1", "L2", "Linf"])
def test_targeted_pgd_does_not_succeed_below_the_smallest_budget(norm):
    attack = FIXED["pgd"].build(norm, restarts=2)
    assert not bool(fooled(attack, norm, 0.99, "relu", 1, targeted=True).any())


@dataclass(frozen=True, kw_only=True)
class Liar(MinimumNorm):
    """Offers the image of another sample, and says that it is near."""

    norms = ("L0", "L1", "L2", "Linf")

    def perturb(self, batch, tracker):
        tracker.offer(batch, batch.clean.roll(1, 0))
        tracker.distance[batch.index] = 1e-3


@pytest.mark.parametrize("norm", BALLS)
def test_an_attack_that_lies_about_its_distance_is_measured(norm):
    (case,) = cases("relu", 1)
    result = run(Liar(BALLS[norm]()), case)
    assert 0 < int(result.success.sum()) < len(result)
    assert_sound(result.distance, case.optimum[norm], norm)


def test_the_check_notices_a_distance_that_is_too_small():
    best = torch.tensor([1.0, 2.0])
    for norm, distance in (("L2", [1.0, 1.99]), ("L0", [1.0, 1.0])):
        with pytest.raises(AssertionError, match="nearer than the nearest: #1"):
            assert_sound(torch.tensor(distance), best, norm)
    with pytest.raises(AssertionError):
        assert_sound(torch.tensor([1.0]), torch.tensor([torch.inf]), "L2")


def test_every_attack_is_held_to_the_oracles():
    listed = {entry.kind.__name__ for entry in (FIXED | MINIMUM).values()}
    known = {info.build.__name__ for info in ATTACKS.values() if isinstance(info.build, type)}
    assert known - NO_ATTACKS <= listed, f"add {sorted(known - NO_ATTACKS - listed)} to the table"
