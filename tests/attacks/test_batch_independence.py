"""A sample's result does not depend on its company: whole, in sevens, and shuffled.

`test_contract.py` has every attack alone.
"""

from __future__ import annotations

import pytest
import torch
from networks import conv_case
from parts import ORDER, N, in_parts

from saddlepoint.attacks import BIM, FGSM, MIFGSM, PGD, UniformNoise
from saddlepoint.threat import L1, L2, Linf, Rescaled

ATTACKS = {
    "fgsm": FGSM(Linf(0.01)),
    "bim": BIM(Linf(0.01), steps=5),
    "mi-fgsm": MIFGSM(Linf(0.01), steps=5),
    "pgd-linf": PGD(Linf(0.01), steps=5, restarts=2),
    "pgd-l2": PGD(L2(0.1), steps=5, restarts=2),
    "pgd-l1": PGD(L1(0.5), steps=5, restarts=2),
    "pgd-normalised": PGD(Rescaled.pixels(Linf(0.05), (0.5,) * 3, (0.2,) * 3), steps=5),
    "noise": UniformNoise(Linf(0.1), draws=8),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("rows", "size"), [(torch.arange(N), 7), (ORDER, 64)])
def test_in_double_precision_results_are_equal(name, rows, size):
    net, images, labels = conv_case(N, torch.float64)
    whole = ATTACKS[name](net, images, labels, seed=3)
    parts = in_parts(ATTACKS[name], net, images, labels, rows, size)
    for field in ("success", "predictions", "initially_wrong", "rejected", "forwards", "backwards"):
        assert torch.equal(getattr(whole, field), getattr(parts, field)), field
    assert torch.allclose(whole.distance, parts.distance, rtol=0, atol=1e-9)
    assert torch.allclose(whole.adversarials, parts.adversarials, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("rows", "size"), [(torch.arange(N), 7), (ORDER, 64)])
def test_in_single_precision_all_but_rounding_errors_are_equal(name, rows, size):
    net, images, labels = conv_case(N)
    whole = ATTACKS[name](net, images, labels, seed=3)
    parts = in_parts(ATTACKS[name], net, images, labels, rows, size)
    with torch.no_grad():
        logits = net(whole.adversarials)
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    clear = (logits.gather(1, labels[:, None])[:, 0] - others).abs() > 1e-4
    assert int(clear.sum()) >= 0.95 * N
    assert torch.equal(whole.success[clear], parts.success[clear])
    assert torch.equal(whole.predictions[clear], parts.predictions[clear])


@pytest.mark.parametrize("name", ATTACKS)
def test_the_problem_is_mixed(name):
    """Where all or none succeed, equality would say little."""
    net, images, labels = conv_case(N, torch.float64)
    result = ATTACKS[name](net, images, labels, seed=3)
    assert 0.25 <= result.success_rate <= 0.75


@pytest.mark.parametrize("name", ["pgd-linf", "pgd-l2", "pgd-l1", "noise"])
def test_another_seed_or_id_gives_another_draw(name):
    net, images, labels = conv_case(8, torch.float64)
    attack = ATTACKS[name]
    base = attack(net, images, labels, seed=3)
    for other in (
        attack(net, images, labels, seed=4),
        attack(net, images, labels, seed=3, ids=torch.arange(8, 16)),
    ):
        assert not torch.equal(base.adversarials, other.adversarials)
    again = attack(net, images, labels, seed=3, ids=torch.arange(8))
    assert torch.equal(base.adversarials, again.adversarials)


def test_budgets_per_sample_follow_the_samples():
    net, images, labels = conv_case(N, torch.float64)
    eps = torch.linspace(0.001, 0.02, N, dtype=torch.float64)
    whole = PGD(Linf(1.0), steps=5)(net, images, labels, eps=eps)
    for i in (3, 17, 40, 63):
        alone = PGD(Linf(float(eps[i])), steps=5)(
            net, images[i : i + 1], labels[i : i + 1], ids=torch.tensor([i])
        )
        assert torch.allclose(alone.adversarials[0], whole.adversarials[i], rtol=0, atol=1e-9)
    inner = Linf(eps)
    assert torch.equal(PGD(inner, steps=5)(net, images, labels).adversarials, whole.adversarials)
