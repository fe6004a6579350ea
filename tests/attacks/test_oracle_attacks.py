"""No attack comes nearer than the oracles say is possible; they come as near, and weak ones are told
apart.

One file: what an attack finds is computed once for both.
"""

from __future__ import annotations

import math
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
from sampled import mostly_slow

from saddlepoint.attacks import ATTACKS, FixedBudget, MinimumNorm, SmallestBudget, UniformNoise

FEW = pytest.param(1, id="10")
ALL = pytest.param(5, id="50", marks=pytest.mark.slow)
SIZES = pytest.mark.parametrize("networks", [FEW, ALL])
# The linear cases are sound where the half-spaces they consist of are: they are left to the slow run.
KINDS = pytest.mark.parametrize(
    "kind", ["halfspace", pytest.param("linear", marks=pytest.mark.slow), "relu"]
)

# Wrappers and what runs another library's attack have nothing of their own to be judged by.
# Nor is `PatchPGD` here: see `test_patch.py`.
FROM_FILES = {"AdvGAN", "Latent", "Manifold"}  # held to closed forms in their own tests
NO_ATTACKS = {
    "PatchPGD", "AtBudget", "Foreign", "Restarted", "ShrinkingBudget", "SmallestBudget", *FROM_FILES
}  # fmt: skip


def assert_sound(distance, best, norm):
    """Rounding apart, nothing is below the optimum; what exists nowhere is found by none."""
    ratio = excess(distance, best, norm)
    least = -0.5 if norm == "L0" else 0.999
    assert float(ratio.min()) >= least, f"nearer than the nearest: {worst(-ratio)}"


# On ReLU networks of ten instances each attack runs in one of its norms, in the slow run in all.
ONCE = dict(reversed(PAIRS["minimum"]))


@SIZES
@pytest.mark.parametrize(
    ("name", "norm", "kind"),
    mostly_slow(
        [(*pair, kind) for pair in PAIRS["minimum"] for kind in ("halfspace", "linear", "relu")],
        [(*pair, "halfspace") for pair in PAIRS["minimum"]]
        + [(*pair, "relu") for pair in ONCE.items()],
    ),
)
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


LINEAR = pytest.param("linear", marks=pytest.mark.slow)

# Attacks whose method ends elsewhere than at the optimum: the ratio they are held to on half-spaces.
LOOSE = {
    ("cw-l0", "L0"): 2,  # features leave in the order of one gradient
    ("hopskipjump", "L2"): 1.1,  # estimates its gradients
    ("hopskipjump", "Linf"): 1.1,
}
# One-hidden-layer networks have local optima. The shares of the instances that must be within 1.02
# and 1.25 of the optimum where it is not 0.9 and all, from what was measured on fifty.
LOCAL = {
    "cw-l0": (0.9, 0.98), "cw-linf": (0.7, 0.85), "deepfool": (0.82, 0.9), "ead": (0.6, 0.9),
    "hopskipjump": (0.5, 0.7), "lbfgs": (0.4, 0.8),
}  # fmt: skip
BLIND = {"jsma"}  # sets features to 1 alone, so has no optimum


def judged(quick):
    """All pairs on fifty instances, and on ten those that have no quick settings: `quick` of these
    in the quick run.
    """
    return pytest.mark.parametrize(
        ("name", "norm", "networks"),
        [
            pytest.param(
                *pair, networks,
                marks=[pytest.mark.slow] if networks > 1 or pair not in quick else [],
            )
            for pair in PAIRS["minimum"]
            for networks in (1, 5)
            if pair[0] not in BLIND and not (networks == 1 and MINIMUM[pair[0]].quick)
        ],
    )  # fmt: skip


# What is found on ReLU networks is known anyway: of each attack in one norm, and of all in L0 and L1.
KNOWN = [pair for pair in PAIRS["minimum"] if pair in ONCE.items() or pair[1] in ("L0", "L1")]


def shares(ratio, norm):
    near, far = (0, 1) if norm == "L0" else (1.02, 1.25)
    return float((ratio <= near).double().mean()), float((ratio <= far).double().mean())


@judged(PAIRS["minimum"])
def test_on_halfspaces_minimum_norm_attacks_are_optimal(name, norm, networks):
    ratio = excess(
        found(name, norm, "halfspace", networks), optimum(norm, "halfspace", networks), norm
    )
    most = LOOSE.get((name, norm), 1 if norm == "L0" else 1.02)
    assert float(ratio.max()) <= most, worst(ratio)


@judged(KNOWN)
def test_on_relu_networks_they_mostly_are(name, norm, networks):
    ratio = excess(found(name, norm, "relu", networks), optimum(norm, "relu", networks), norm)
    slack = 0.3 if networks == 1 else 0.0  # the first network is the hardest of the five
    near, far = LOCAL.get(name, (0.9, 1.0))
    measured = shares(ratio, norm)
    assert measured[0] >= near - slack - 1e-9, f"{measured}: {worst(ratio, 10)}"
    assert measured[1] >= far - slack - 1e-9, f"{measured}: {worst(ratio, 10)}"


@SIZES
@pytest.mark.parametrize("kind", [LINEAR, "relu"])
@pytest.mark.parametrize(
    "norm",
    [pytest.param(norm, marks=[pytest.mark.slow] * (norm in ("L2", "Linf"))) for norm in BALLS],
)
def test_together_they_find_every_optimum(norm, kind, networks):
    names = [name for name, has in PAIRS["minimum"] if has == norm]
    best = torch.stack([found(name, norm, kind, networks) for name in names]).amin(0)
    for name in ("pgd",):  # what a fixed budget finds counts at that budget
        if norm in FIXED[name].norms:
            success = fooled(FIXED[name].build(norm), norm, 1.019, kind, networks)
            reached = 1.019 * optimum(norm, kind, networks)
            best = torch.where(success, torch.minimum(best, reached), best)
    ratio = excess(best, optimum(norm, kind, networks), norm)
    assert shares(ratio, norm)[0] == 1, worst(ratio)


@SIZES
@pytest.mark.parametrize("norm", ["L1", "L2", "Linf"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pgd", "halfspace"), ("pgd", "relu"), ("apgd", "halfspace"),
        pytest.param("apgd", "relu", marks=pytest.mark.slow),
        pytest.param("pgd", "linear", marks=pytest.mark.slow),
        pytest.param("apgd", "linear", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_restarted_ascent_succeeds_just_above_the_smallest_budget(name, norm, kind, networks):
    success = fooled(FIXED[name].build(norm), norm, 1.05, kind, networks)
    least = 0.9 if networks == 1 else 0.96
    if kind == "relu" and networks == 1:  # the first network is the hardest of the five
        least = 0.8
    failures = (~success).nonzero().flatten().tolist()
    assert float(success.double().mean()) >= least, f"instances {failures}"


@dataclass(frozen=True, kw_only=True)
class Identity(FixedBudget):
    norms = ("L0", "L1", "L2", "Linf")

    def perturb(self, batch, tracker):
        tracker.offer(batch, batch.clean)


@pytest.mark.parametrize(
    ("weak", "norm", "kind"),
    [
        pytest.param(
            weak, norm, kind,
            marks=[] if weak is Identity or (norm, kind) == ("Linf", "halfspace") else [pytest.mark.slow],
        )
        for weak in (Identity, UniformNoise)
        for norm in ("L1", "L2", "Linf")
        for kind in ("halfspace", "relu")
    ],
)  # fmt: skip
def test_weak_attacks_fail_these_tests(weak, norm, kind):
    success = fooled(weak(BALLS[norm](1.0)), norm, 1.05, kind, 1)
    assert float(success.double().mean()) < 0.5
    search = SmallestBudget(weak(BALLS[norm](0.2)))
    distance = torch.cat([run(search, case).distance for case in cases(kind, 1)])
    ratio = excess(distance, optimum(norm, kind, 1), norm)
    near, far = shares(ratio, norm)
    assert near < 0.5
    assert far < 0.9


def test_the_tables_name_what_there_is():
    names = {name for name, _ in PAIRS["minimum"]}
    assert set(LOCAL) | BLIND | {name for name, _ in LOOSE} <= names
    assert set(MINIMUM) == names
    assert math.isinf(float(excess(torch.tensor(math.inf), torch.tensor(1.0), "L2")))
