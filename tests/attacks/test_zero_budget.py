"""With a budget of 0 the clean image is the only candidate: the clean accuracy, and no error."""

from __future__ import annotations

import pytest
import torch
from networks import Affine, Noise, conv_case
from torch import nn

from saddlepoint.attacks import (
    ATTACKS,
    DDN,
    FGSM,
    PGD,
    AtBudget,
    Restarted,
    Transfer,
    build_attack,
    foreign,
)
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate
from saddlepoint.threat import L0, L1, L2, Linf, Rescaled, norm_ball

BALLS = {
    "linf": Linf(0),
    "l2": L2(0.0),
    "l1": L1(0),
    "l0": L0(0),
    "normalised": Rescaled.pixels(Linf(0.0), (0.5,) * 3, (0.2,) * 3),
}


def assert_clean(result, x, initially_wrong):
    assert torch.equal(result.success, initially_wrong)
    assert torch.equal(result.adversarials, x)
    assert bool((result.distance == 0).all())
    assert not bool(result.rejected.any())


@pytest.mark.parametrize("name", sorted(n for n in ATTACKS if not ATTACKS[n].attack.from_file))
def test_every_attack_by_name(name):
    net, x, y = conv_case(6)
    with torch.no_grad():
        wrong = net(x).argmax(1) != y
    for norm in ATTACKS[name].norms:
        result = build_attack(name, norm_ball(norm, 0))(net, x, y)
        assert_clean(result, x, wrong)
        assert int(result.backwards.sum()) == 0


@pytest.mark.parametrize("threat", BALLS.values(), ids=BALLS)
def test_in_every_norm_and_wrapper(threat):
    net, x, y = conv_case(6, wrong=0)
    attacks = [foreign(lambda model, images, labels: 1 - images, threat)]
    if not isinstance(threat, L0):
        attacks += [PGD(threat, steps=2), Restarted(PGD(threat, steps=2), 2)]
        attacks += [Transfer(PGD(threat, steps=2), surrogate=net)]
    if isinstance(threat, L2):
        attacks.append(AtBudget(DDN(L2(), steps=5), threat))
    for attack in attacks:
        assert_clean(attack(net, x, y), x, torch.zeros(6, dtype=torch.bool))
        if not isinstance(attack, type(attacks[0])):
            assert torch.equal(attack.candidates(net, x, y), x)


@pytest.mark.parametrize("ball", [Linf, L2, L1])
def test_where_each_image_has_its_own_budget(ball):
    net, x, y = conv_case(6, torch.float64, wrong=0)
    eps = torch.tensor([0.0, 0.4, 0.0, 0.4, 0.4, 0.0], dtype=torch.float64)
    result = PGD(ball(eps), steps=3)(net, x, y)
    alone = PGD(ball(0.4), steps=3)(net, x, y)
    zero = eps == 0
    assert not bool(result.success[zero].any())
    assert torch.equal(result.adversarials[zero], x[zero])
    assert torch.allclose(result.adversarials[~zero], alone.adversarials[~zero], atol=1e-9)


def test_another_draw_of_a_random_model_is_no_attack():
    net = nn.Sequential(Noise(0.5), Affine(torch.tensor([1.0, 1.0, -1.0, -1.0])))
    x = torch.rand(200, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(200, dtype=torch.int64)
    result = FGSM(Linf(0), eot_samples=3)(net, x, y)
    assert 0 < int(result.initially_wrong.sum()) < 200
    assert torch.equal(result.success, result.initially_wrong)
    assert torch.equal(result.predictions != y, result.initially_wrong)


@pytest.mark.parametrize("suite", ["quick", {"pgd": PGD(Linf(0.1), steps=3, restarts=2)}])
def test_an_evaluation_from_0_upwards_is_that_without_0(suite):
    """The clean images are no starts for the next budget: they would be weaker than random ones."""
    net, x, y = conv_case(24)
    data = TensorData.of(x, y, name="x", classes=tuple("01234"))
    both = evaluate(net, data, Linf(), eps=[0.02, 0], suite=suite, diagnosis=None)
    one = evaluate(net, data, Linf(), eps=[0.02], suite=suite, diagnosis=None)
    assert [budget.eps for budget in both.budgets] == [0, 0.02]
    assert both.budgets[0].robust_accuracy == both.clean
    assert both.budgets[0].success.count == 0
    assert both.budgets[1] == one.budgets[0]


def test_a_budget_wider_than_the_range_is_refused_before_any_work():
    net, x, y = conv_case(4)
    data = TensorData.of(x, y, name="x", classes=tuple("01234"))
    for call in (
        lambda: FGSM(Linf(8))(net, x, y),
        lambda: FGSM(Linf())(net, x, y, eps=8),
        lambda: FGSM(Linf(8)).candidates(net, x, y),
        lambda: evaluate(net, data, Linf(), eps=[0.1, 8], suite="quick", diagnosis=None),
        lambda: foreign(lambda model, images, labels: images, Linf(8))(net, x, y),
    ):
        with pytest.raises(InputError, match=r"eps is 8, .* did you mean 8/255\?"):
            call()
    assert len(FGSM(Linf(1))(net, x, y)) == 4
    assert len(FGSM(Linf(4, -2.0, 2.0))(net, x, y)) == 4
    with pytest.raises(InputError, match=r"eps is 4\.1"):
        FGSM(Linf(4.1, -2.0, 2.0))(net, x, y)
    assert len(PGD(L2(100), steps=2)(net, x, y)) == 4  # merely everything
