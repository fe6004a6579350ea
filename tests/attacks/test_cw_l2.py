"""C&W L2: objectives, boxes, confidence, and the optimum of linear models."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear import l2_case
from networks import Affine, conv_case, mlp

from saddlepoint.attacks import BinaryLogit, Misclassified, OutsideTopK, Targeted
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BOXES
from saddlepoint.attacks.minimum_norm.carlini_wagner.l2 import CarliniWagnerL2
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import OBJECTIVES, Confident
from saddlepoint.errors import InputError
from saddlepoint.threat import L2


@pytest.mark.parametrize(
    "box", [pytest.param("tanh", marks=pytest.mark.slow), "clipped", "projected"]
)
def test_the_optimum_of_a_linear_model_with_the_box_active(box):
    net, x, exact = l2_case()
    reachable = exact < 9
    assert bool(reachable.any())
    result = CarliniWagnerL2(L2(), box=box)(net, x, torch.zeros(8, dtype=torch.int64))
    share = result.distance[reachable] / exact[reachable]
    assert float(share.min()) >= 0.999
    assert float(share.max()) <= 1.02
    assert torch.equal(result.success, reachable)


# The default run has each objective once, and each box with several.
COMBINED = [
    pytest.param(
        box, objective, targeted,
        marks=[] if (i % 3, i % 2) == (j, int(targeted)) else [pytest.mark.slow],
    )
    for j, box in enumerate(BOXES)
    for i, objective in enumerate(OBJECTIVES)
    for targeted in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("box", "objective", "targeted"), COMBINED)
def test_every_objective_succeeds_with_every_box(box, objective, targeted):
    net = mlp(6, gain=2.0)
    x = torch.rand(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = net(x).argmax(1)
    attack = CarliniWagnerL2(L2(), objective=objective, box=box, steps=150, learning_rate=0.03)
    # Targets that the box contains: those of other images.
    grid = torch.rand(500, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    there = torch.bincount(net(grid).argmax(1), minlength=3)
    target = int(there.argmax())
    rows = labels != target if targeted else torch.ones(3, dtype=torch.bool)
    if not bool(rows.any()):
        target = int(there.topk(2).indices[1])
        rows = labels != target
    goals = torch.full_like(labels, target)[rows] if targeted else None
    assert bool(attack(net, x[rows], labels[rows], goals).success.all())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=5),
    st.sampled_from(list(OBJECTIVES)), st.booleans(), st.sampled_from([0.0, 1.5]),
)  # fmt: skip
def test_an_objective_of_zero_or_less_implies_the_class(values, name, targeted, confidence):
    logits = torch.tensor([values], dtype=torch.float64)
    criterion = Confident(Targeted() if targeted else Misclassified(), confidence)
    for goal in range(len(values)):
        goals = torch.tensor([goal])
        if float(OBJECTIVES[name](criterion, logits, goals)) <= 0:
            assert float(criterion.margin(logits, goals)) <= 1e-9


def test_f5_is_f1_and_two_classes_make_the_half_necessary():
    logits, goals = torch.tensor([[1.0, 1.5], [2.0, -1.0]]), torch.tensor([1, 1])
    f = {k: v(Targeted(), logits, goals) for k, v in OBJECTIVES.items()}
    assert torch.allclose(f["f5"], f["f1"] * torch.log(torch.tensor(2.0)))
    for value in f.values():
        assert torch.equal(value > 0, torch.tensor([False, True]))
    one = {
        k: v(BinaryLogit(), logits[:, 1:] - logits[:, :1], 1 - goals) for k, v in OBJECTIVES.items()
    }
    for name in f:
        assert torch.allclose(one[name], f[name], atol=1e-6), name
    with pytest.raises(InputError, match="f6 or f7"):
        OBJECTIVES["f4"](OutsideTopK(2), torch.zeros(1, 4), torch.tensor([0]))


@pytest.mark.parametrize("criterion", [Misclassified(), Targeted(), OutsideTopK(2), BinaryLogit()])
def test_the_shifted_logits_have_the_confident_margin(criterion):
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.5]])
    logits = logits[:, :1] if isinstance(criterion, BinaryLogit) else logits
    goals = torch.tensor([1])
    confident = Confident(criterion, 2.0)
    shifted = confident.shifted(logits, goals)
    assert torch.equal(criterion.margin(shifted, goals), confident.margin(logits, goals))


@pytest.mark.parametrize("with_starts", [pytest.param(False, marks=pytest.mark.slow), True])
def test_confidence_is_honoured(with_starts):
    net, x, y = conv_case(3, torch.float64, wrong=0)
    plain = CarliniWagnerL2(L2(), steps=100)(net, x, y)
    starts = plain.adversarials if with_starts else None
    sure = CarliniWagnerL2(L2(), steps=100, confidence=0.5)(net, x, y, starts=starts)
    assert bool(sure.success.all())
    assert float(Misclassified().margin(net(sure.adversarials).detach(), y).max()) <= -0.5
    assert bool((sure.distance > plain.distance).all())


@pytest.mark.parametrize("box", list(BOXES))
def test_pixels_on_the_bounds_move_and_masked_ones_do_not(box):
    w = torch.tensor([1.0, -1.0, 1.0, -1.0])
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    mask = torch.tensor([True, True, False, False])
    result = CarliniWagnerL2(L2(), box=box)(Affine(w, -0.5), x, torch.tensor([0]), mask=mask)
    assert bool(result.success)
    assert torch.equal(result.adversarials[:, 2:], x[:, 2:])
    assert float(result.distance) == pytest.approx(1.5 / 2**0.5, rel=0.02)


def test_samples_do_not_depend_on_the_batch():
    net, x, y = conv_case(5, torch.float64, wrong=1)
    attack = CarliniWagnerL2(L2(), steps=30, searches=2, restarts=2)
    ids = torch.arange(10, 15)
    whole = attack(net, x, y, ids=ids)
    for i in (0, 3):
        alone = attack(net, x[i : i + 1], y[i : i + 1], ids=ids[i : i + 1])
        assert torch.allclose(alone.adversarials[0], whole.adversarials[i], atol=1e-9)
        assert int(alone.forwards) == int(whole.forwards[i])


@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_vanishing_and_huge_gradients_make_no_nan(scale):
    net = Affine(torch.tensor([1.0, -1.0]) * scale, 0.0 if scale else 2.0)
    x = torch.tensor([[0.8, 0.3]])
    result = CarliniWagnerL2(L2(), steps=100)(net, x, torch.tensor([0]))
    assert bool(result.adversarials.isfinite().all())
    assert not bool(result.rejected.any())
    assert bool(result.success) == (scale > 0)


@pytest.mark.slow
def test_the_defaults_are_no_worse_than_the_published_search_and_cheaper():
    net, x, y = conv_case(6, wrong=0)
    fast = CarliniWagnerL2(L2())(net, x, y)
    slow = CarliniWagnerL2.published(L2(), steps=200)(net, x, y)
    assert bool(fast.success.all())
    assert bool(slow.success.all())
    assert float(fast.distance.mean()) <= float(slow.distance.mean()) * 1.005
    assert float(fast.backwards.double().mean()) < float(slow.backwards.double().mean()) / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "f8"}, "f8"),
        ({"box": "sphere"}, "sphere"),
        ({"confidence": -1.0}, "confidence is -1.0; give a number of at least 0"),
        ({"learning_rate": 0.0}, "positive"),
        ({"initial_c": 0.0}, "positive"),
        ({"gain": 1.0}, r"gain is 1.0; give a number in \[0, 1\)"),
        ({"tolerance": 1.0}, "tolerance is 1.0"),
        ({"decays": -1}, "decays is -1; give at least 0"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        CarliniWagnerL2(L2(), **options)
