"""On a linear model the least margin is known: attacks must reach it, and none may pass it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from linear import BALLS, CASES, assert_optimal, best_change, case, share_of_optimum
from networks import Affine
from sampled import mostly_slow
from scipy import optimize

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, FixedBudget, UniformNoise
from saddlepoint.threat import Linf


def strong(norm: str, eps: float, **options) -> PGD:
    """PGD with 200 steps. In L2 Madry's step lets the angle to the optimum fall by e^−2.5 in all,
    whatever their number; a longer one, falling to zero, goes on.
    """
    if norm == "l2":
        options |= {"relative_step": 100, "schedule": "cosine"}
    return PGD(BALLS[norm](eps), steps=200, **options)


@pytest.mark.parametrize(("norm", "d", "eps", "near"), CASES)
@pytest.mark.parametrize(
    "start", mostly_slow(["uniform", "gaussian", "clean"], quick=["uniform", "clean"])
)
def test_pgd_reaches_the_optimum(norm, d, eps, near, start):
    far_off = (norm, start) == ("l1", "gaussian")
    options = {"relative_step": 20, "schedule": "cosine"} if far_off else {}
    attack = strong(norm, eps, start=start, stop="never", **options)
    assert_optimal(share_of_optimum(attack, norm, d, eps, near))


@pytest.mark.parametrize(("norm", "d", "eps", "near"), CASES[:2] + CASES[3:4] + CASES[6:7])
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_targeted_pgd_reaches_the_optimum(norm, d, eps, near, loss):
    attack = strong(norm, eps, stop="never", loss=loss)
    assert_optimal(share_of_optimum(attack, norm, d, eps, near, targeted=True))


@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM])
@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("targeted", [False, True])
def test_in_linf_the_fast_attacks_are_exact(attack, near, targeted):
    share = share_of_optimum(attack(Linf(0.1)), "linf", 12, 0.1, near, targeted)
    assert_optimal(share, 1e-9)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("attack", [BIM, MIFGSM])
def test_the_iterated_attacks_come_near_in_the_other_norms(norm, attack):
    step_size, tolerance = {"l2": (5.0, 1e-3), "l1": (None, 0.05)}[norm]
    strong = attack(BALLS[norm](1.0), steps=100, step_size=step_size)
    share = share_of_optimum(strong, norm, 12, 1.0, True)
    assert_optimal(share, tolerance)


def test_fgsm_is_exact_in_l2_and_l1_while_no_bound_is_active():
    for norm, eps in (("l2", 0.01), ("l1", 0.01)):
        attack = FGSM(BALLS[norm](eps))
        w, x, _clean, _least = case(12, eps, norm)
        x = 0.25 + x / 2
        result = attack(Affine(w, 50.0), x, torch.zeros(len(x), dtype=torch.int64))
        assert torch.allclose(result.adversarials - x, best_change(w, x, eps, norm), atol=1e-9)


@pytest.mark.parametrize(
    ("norm", "d", "eps", "near"), mostly_slow(CASES, [CASES[1], CASES[3], CASES[6]])
)
@pytest.mark.parametrize("side", [-1, 1])
def test_success_is_decided_on_the_right_side_of_the_optimum(norm, d, eps, near, side):
    """Room of 0.2 % of the change on either side: fooled on one, robust on the other."""
    w, x, clean, least = case(d, eps, norm, near_bounds=near)
    for i in range(0, len(x), 8):
        net = Affine(w, float(-least[i] + side * 2e-3 * (clean[i] - least[i])))
        result = strong(norm, eps)(net, x[i : i + 1], torch.zeros(1, dtype=torch.int64))
        assert bool(result.success) == (side < 0)
        assert int(result.predictions) == (1 if side < 0 else 0)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_closed_forms_agree_with_a_solver(norm):
    w, x, _clean, least = case(5, 0.7, norm, count=5, near_bounds=True)
    for xi, value in zip(x.numpy(), least.tolist(), strict=True):
        if norm == "l2":
            found = optimize.minimize(
                lambda v: float(w.numpy() @ v), xi, jac=lambda v: w.numpy(), bounds=[(0, 1)] * 5,
                constraints={"type": "ineq", "fun": lambda v, xi=xi: 0.49 - ((v - xi) ** 2).sum()},
                method="SLSQP", options={"ftol": 1e-14, "maxiter": 300},
            ).fun  # fmt: skip
        else:  # v = x + p − n; a linear program
            sides = [(0, min(1 - a, 0.7)) for a in xi] + [(0, min(a, 0.7)) for a in xi]
            both = torch.cat([w, -w]).numpy()
            limit = {"A_ub": [[1.0] * 10], "b_ub": [0.7]} if norm == "l1" else {}
            found = optimize.linprog(both, bounds=sides, **limit).fun + float(w.numpy() @ xi)
        assert value == pytest.approx(found, abs=1e-6)


@dataclass(frozen=True, kw_only=True)
class Identity(FixedBudget):
    """Does nothing; every test of strength must notice."""

    def perturb(self, batch, tracker):
        tracker.offer(batch, batch.threat.parametrise(batch.images))


@pytest.mark.parametrize(("norm", "d", "eps", "near"), CASES)
@pytest.mark.parametrize("attack", [Identity, UniformNoise])
def test_the_measure_tells_weak_attacks_apart(attack, norm, d, eps, near):
    share = share_of_optimum(attack(BALLS[norm](eps)), norm, d, eps, near)
    with pytest.raises(AssertionError):
        assert_optimal(share)


@pytest.mark.parametrize("attack", [FGSM, BIM, MIFGSM, PGD])
@pytest.mark.parametrize("margin", [20, 60, 95])
def test_a_confident_model_does_not_hide_its_gradient(attack, margin):
    """In float32 1 − softmax is exactly 0 from a margin of 17 on; the attack must still move."""
    w = torch.tensor([200.0, -100.0, 50.0])
    x = torch.full((1, 3), 0.5)
    net = Affine(w, margin - 75.0)
    result = attack(Linf(0.3))(net, x, torch.tensor([0]))
    assert bool(result.success)
