"""A gradient of zero, or next to it, never makes a NaN, in any attack and any norm."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from vanishing import THREATS, Flat, Saturated, Tiny

from saddlepoint.attacks import (
    BIM,
    FGSM,
    MIFGSM,
    PGD,
    FixedBudget,
    UniformNoise,
    nine_defences_pgd,
)
from saddlepoint.threat import L0, Linf

ATTACKS = {
    "fgsm": FGSM, "bim": BIM, "mi-fgsm": MIFGSM, "pgd": PGD,
    "noise": lambda t, **o: UniformNoise(t, draws=20, **o),
    "clean": lambda t, **o: PGD(t, start="clean", **o),
    "gaussian": lambda t, **o: PGD(t, start="gaussian", **o),
    "nine-defences": lambda t, **o: nine_defences_pgd(t),
}  # fmt: skip


@pytest.mark.parametrize("model", [Flat(), Saturated(), Tiny()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("threat", THREATS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_result_is_finite_and_valid(attack, threat, model):
    images = torch.tensor([0.0, 0.3, 1.0, 0.7]).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1)
    built = ATTACKS[attack](THREATS[threat])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "several classes share the largest logit")
        # Without any gradient to go by the attack says so; Tiny's is small, but there.
        if not isinstance(model, Tiny) and attack != "noise":
            warnings.filterwarnings("ignore", "the gradient was exactly 0")
        result = built(model, images, torch.tensor([0, 0]))
        candidates = built.candidates(model, images, torch.tensor([0, 0]))
    assert bool(result.adversarials.isfinite().all())
    assert bool(result.distance.isfinite().all())
    assert bool(candidates.isfinite().all())
    assert not bool(result.rejected.any())
    assert not bool(result.success.any())


@pytest.mark.parametrize("threat", THREATS)
@pytest.mark.parametrize("attack", ["fgsm", "bim", "mi-fgsm", "pgd"])
def test_a_tiny_gradient_is_followed_all_the_same(attack, threat):
    images = torch.full((1, 1, 2, 2), 0.5)
    x = ATTACKS[attack](THREATS[threat], loss="margin").candidates(
        Tiny(), images, torch.tensor([0])
    )
    assert float((x - images).sum()) < -0.05


def test_random_search_needs_no_gradient_in_l0():
    images = torch.full((2, 1, 2, 2), 0.5)
    result = UniformNoise(L0(1, per="pixel"))(Flat(), images, torch.tensor([0, 0]))
    assert bool(result.adversarials.isfinite().all())


def test_a_gradient_that_is_zero_everywhere_is_warned_of():
    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)
    with pytest.warns(UserWarning, match="exactly 0 at every step for 3 of 3 images"):
        ATTACKS["pgd"](THREATS["linf"])(Flat(), images, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ATTACKS["pgd"](THREATS["linf"])(Tiny(), images, labels)


@dataclass(frozen=True, kw_only=True)
class TwoObjectives(FixedBudget):
    """Looks at the margin once, and then follows something else."""

    then: Callable[[Tensor], Tensor]

    def perturb(self, batch, tracker):
        x = batch.clean
        batch.gradient(x, batch.margin)
        for _ in range(3):
            logits, gradient = batch.gradient(x, self.then)
            tracker.record(batch, x, logits)
            x = batch.project(x + 0.01 * gradient)
        tracker.offer(batch, x)


class Sums(nn.Module):
    def forward(self, x):
        s = x.flatten(1).sum(1)
        return torch.stack([s, -s], 1)


@pytest.mark.parametrize("saturated", [True, False])
def test_a_gradient_that_one_objective_had_does_not_speak_for_another(saturated):
    """Each may be blind on its own account: the second is flat at these logits, or is not."""
    images, labels = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)
    scale = 100.0 if saturated else 1.0

    def then(logits):
        return torch.log_softmax(scale * logits, 1)[:, 0]

    attack = TwoObjectives(Linf(0.01), then=then)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        attack(Sums(), images, labels)
    told = [each for each in seen if "exactly 0 at every step for 3 of 3" in str(each.message)]
    assert len(told) == saturated
