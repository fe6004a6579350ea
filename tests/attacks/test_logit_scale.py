"""Neither the scale, nor an offset, nor masked classes of the logits change what an attack finds."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sampled import mostly_slow
from small import digits, trained
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import (
    ALMA,
    APGD,
    DDN,
    EAD,
    FAB,
    FGSM,
    FMN,
    MIFGSM,
    MINIMUM_NORM,
    PDGD,
    PDPGD,
    PGD,
    BinaryLogit,
    DeepFool,
    Misclassified,
    OutsideTopK,
    SigmaZero,
    Square,
    Targeted,
    predict,
    tied,
)
from saddlepoint.attacks.core.rounding import Reference, live_classes, rounding
from saddlepoint.threat import L0, L1, L2, Linf


class Mapped(nn.Module):
    """A network whose logits go through a function."""

    def __init__(self, change, body=None):
        super().__init__()
        self.body, self.change = body or trained(), change

    def forward(self, x):
        return self.change(self.body(x))


def masked(low, first):
    return Mapped(lambda z: torch.cat([torch.full_like(z[:, :first], low), z[:, first:]], 1))


def some(first=0, count=16):
    data = digits("test", 160)
    keep = (data.labels >= first).nonzero().squeeze(1)[:count]
    return data.pixels[keep], data.labels[keep]


small_logits = st.lists(st.integers(-2, 2), min_size=2, max_size=6)


@given(logits=small_logits, label=st.integers(0, 5), k=st.integers(1, 4))
def test_a_margin_is_negative_exactly_where_argmax_is_fooled(logits, label, k):
    """Small whole numbers tie all the time; against a stable sort."""
    label %= len(logits)
    z, y = torch.tensor([logits], dtype=torch.float32), torch.tensor([label])
    order = sorted(range(len(logits)), key=lambda j: (-logits[j], j))
    assert bool(Misclassified().margin(z, y) < 0) == (order[0] != label)
    assert bool(Targeted().margin(z, y) < 0) == (order[0] == label)
    if k < len(logits):
        assert bool(OutsideTopK(k).margin(z, y) < 0) == (label not in order[:k])
    assert int(predict(z)) == order[0]
    assert bool(tied(z)) == (logits.count(max(logits)) > 1)
    one = z[:, :1]
    assert bool(BinaryLogit().margin(one, y % 2) < 0) == (int(predict(one)) != label % 2)


@pytest.mark.parametrize("criterion", [Misclassified(), Targeted(), OutsideTopK(2)])
def test_a_tied_margin_keeps_its_slope(criterion):
    z = torch.ones(3, 4, requires_grad=True)
    margin = criterion.margin(z, torch.tensor([0, 1, 3]))
    gradient = torch.autograd.grad(margin.sum(), z)[0]
    assert bool((gradient != 0).any(1).all())


def test_equal_infinities_are_a_tie():
    z = torch.tensor([[math.inf, math.inf], [-math.inf, -math.inf]])
    assert Misclassified().margin(z, torch.tensor([1, 0])).tolist() == [
        pytest.approx(0, abs=1e-30),
        0,
    ]


@pytest.mark.parametrize("criterion", [Misclassified(), Targeted(), OutsideTopK(2), BinaryLogit()])
def test_the_log_odds_are_the_cross_entropys_in_other_units(criterion):
    width = 1 if isinstance(criterion, BinaryLogit) else 5
    z = torch.randn(40, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(40) % max(width, 2)
    odds, entropy = criterion.log_odds(z, y), criterion.cross_entropy(z, y)
    if isinstance(criterion, Targeted):
        assert torch.allclose(-functional.softplus(-odds), entropy)
    else:
        assert torch.allclose(functional.softplus(odds), entropy)


def test_where_only_the_label_is_alive_nothing_leads_anywhere():
    z = torch.tensor([[1.0, -math.inf, -math.inf]], requires_grad=True)
    value = Misclassified().log_odds(z, torch.tensor([0]))
    assert torch.autograd.grad(value.sum(), z)[0].tolist() == [[0, 0, 0]]
    images, labels = some(9)
    for attack in (PGD(Linf(0.2), steps=2), DDN(L2(), steps=2), ALMA(L2(), steps=2)):
        with pytest.warns(UserWarning, match="only one class can come") as told:
            result = attack(masked(-math.inf, 9), images, labels)
        assert not bool(result.success.any())
        assert len(told) == 1, "and nothing else is blamed"


@pytest.mark.parametrize("low", [-math.inf, -1e9, -3e38, -1e5, -5000])
@pytest.mark.parametrize("first", [3, 6, 8])
def test_masked_classes_are_dead_and_no_others(low, first):
    generator = torch.Generator().manual_seed(1)
    z = 8 * torch.randn(500, 10, generator=generator)
    assert bool(live_classes(z).all())
    z[:, :first] = low
    live = live_classes(z)
    assert not bool(live[:, :first].any())
    assert float(live[:, first:].all(1).float().mean()) > 0.995
    # Of three classes two may be almost equal by chance, and the third far.
    assert bool(live_classes(8 * torch.randn(500, 3, generator=generator)).all())


@given(
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    offset=st.sampled_from([0.0, -1e5, 1e5]),
    low=st.sampled_from([-math.inf, -1e12]),
)
def test_rounding_goes_with_the_scale_and_never_below_an_ulp(scale, offset, low):
    z = torch.tensor([[3.0, 2.5, 0.0, -4.0]]) * scale + offset
    least = float(rounding(z, Reference.of(z), torch.float32))
    more = torch.cat([z, torch.full((1, 3), low)], 1)
    assert float(rounding(more, Reference.of(more), torch.float32)) == least
    ulp = torch.finfo(torch.float32).eps * abs(offset)
    assert max(6.9e-5 * scale, 2 * ulp) <= least <= 7.1e-5 * scale + 8 * ulp + 1e-12


NEAREST = {
    "deepfool": DeepFool(L2()),
    "fab": FAB(Linf(), steps=20),
    "ddn": DDN(L2(), steps=40),
    "fmn": FMN(L1(), steps=40),
    "alma": ALMA(L2(), steps=80),
    "ead": EAD(L1(), steps=30, searches=4),
    "sigma-zero": SigmaZero(L0(), steps=40),
    "pdpgd": PDPGD(L2(), steps=40),
}


@pytest.mark.parametrize("name", mostly_slow(NEAREST, list(NEAREST)[::2]))
def test_masked_classes_and_offsets_leave_the_distances(name):
    attack, (images, labels) = NEAREST[name], some(5)
    expected = attack(masked(-100.0, 5), images, labels).distance.median()
    one = 1.0 if isinstance(attack.threat, L0) else 0.0
    for low in (-math.inf, -1e9):
        seen = attack(masked(low, 5), images, labels).distance.median()
        assert float(seen) <= 1.02 * float(expected) + one, low
    shifted = attack(Mapped(lambda z: z + 1e4), images, labels).distance.median()
    plain = attack(trained(), images, labels).distance.median()
    assert float(shifted) <= 1.05 * float(plain) + one


def test_two_live_classes_are_a_model_of_two():
    images, labels = some(8)
    pair = Mapped(lambda z: z[:, 8:])
    for attack in (ALMA(L2(), steps=80), ALMA(L1(), steps=80)):
        expected = attack(pair, images, labels - 8).distance.median()
        for low in (-math.inf, -1e9, -1e4):
            seen = attack(masked(low, 8), images, labels).distance.median()
            assert float(seen) == pytest.approx(float(expected), rel=1e-3)


SCALED = {
    "pdgd": PDGD(L2(), steps=60),
    "pdpgd-l0": PDPGD(L0(), steps=60),
    "pdpgd-l1": PDPGD(L1(), steps=60),
    "pdpgd-l2": PDPGD(L2(), steps=60),
    "pdpgd-linf": PDPGD(Linf(), steps=60),
    "pgd": PGD(Linf(0.1), steps=10),
    "pgd-l2": PGD(L2(0.6), steps=10),
    "apgd": APGD(Linf(0.1), steps=10),
    "fgsm": FGSM(Linf(0.1)),
}


@pytest.mark.parametrize("name", SCALED)
def test_a_small_scale_hides_nothing_either(name):
    attack, (images, labels) = SCALED[name], some(count=24)
    plain = attack(trained(), images, labels)
    for scale in (1e-2, 1e-6):
        seen = attack(Mapped(lambda z, s=scale: z * s), images, labels)
        assert int(seen.success.sum()) >= int(plain.success.sum()) - 2
        if attack.kind is MINIMUM_NORM:
            limit = 1.1 * float(plain.distance.median()) + isinstance(attack.threat, L0)
            assert float(seen.distance.median()) <= limit


@pytest.mark.parametrize("first", [6, 7, 8])
@pytest.mark.parametrize("loss", ["dlr", "dlr-targeted"])
@pytest.mark.filterwarnings("ignore:the (targeted )?DLR needs")
def test_the_ratio_counts_live_classes_only(loss, first):
    images, labels = some(first)
    expected = APGD(Linf(0.15), steps=30, loss="margin")(masked(-100.0, first), images, labels)
    for low in (-math.inf, -1e9):
        seen = APGD(Linf(0.15), steps=30, loss=loss)(masked(low, first), images, labels)
        assert seen.success_rate >= expected.success_rate - 0.07
        runs = 30 * (9 - first) if loss == "dlr-targeted" else 30
        assert int(seen.backwards.max()) <= runs, "no pass goes towards a dead class"


DIRECTIONS = {
    "fgsm": FGSM(Linf(0.1)),
    "pgd": PGD(Linf(0.1), steps=10),
    "pgd-l2": PGD(L2(0.5), steps=10),
    "mi-fgsm": MIFGSM(Linf(0.1), steps=5),
    "apgd": APGD(Linf(0.1), steps=10),
    "ddn": DDN(L2(), steps=20, loss="cross-entropy"),
    "fmn": FMN(L2(), steps=20, loss="cross-entropy"),
    "square": Square(Linf(0.1), queries=40, loss="cross-entropy"),
}


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_large_scale_hides_nothing(name, targeted):
    attack, (images, labels) = DIRECTIONS[name], some(count=24)
    targets = (labels + 1) % 10 if targeted else None
    plain, large = (
        attack(Mapped(lambda z, s=scale: z * s), images, labels, targets) for scale in (1, 1e4)
    )
    assert abs(int(large.success.sum()) - int(plain.success.sum())) <= 3
    half = Mapped(lambda z: (8 * z).half())
    seen = attack(half, images, labels, targets)
    assert abs(int(seen.success.sum()) - int(plain.success.sum())) <= 3


def test_the_published_cross_entropy_vanishes_and_says_so():
    images, labels = some()
    published = PGD(Linf(0.1), steps=3, start="clean", loss="softmax-cross-entropy")
    with pytest.warns(UserWarning, match="exactly 0 at every step"):
        result = published(Mapped(lambda z: 1e4 * z), images, labels)
    assert result.success_rate < 0.2


class Noisy(nn.Module):
    """A network that looks at the image through its own fixed set of random masks, in turn."""

    is_random = True

    def __init__(self, scale):
        super().__init__()
        self.body, self.scale, self.turn = trained(), scale, 0
        self.masks = (torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.3) / 1

    def forward(self, x):
        self.turn += 1
        return self.scale * self.body(x * self.masks[self.turn % 8])


def test_averaged_passes_that_disagree_and_are_sure_leave_a_gradient():
    images, labels = some(count=24)
    attack = PGD(Linf(0.1), steps=10, eot_samples=8, stop="never")
    plain, large = (attack(Noisy(scale), images, labels) for scale in (1, 1e4))
    assert large.success_rate >= plain.success_rate - 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_in_another_precision_are_fooled_all_the_same(dtype):
    from copy import deepcopy

    images, labels = some()
    body = deepcopy(trained()).to(dtype)
    for attack in (DeepFool(L2()), DDN(L2(), steps=40)):
        exact = attack(trained(), images, labels)
        seen = attack(body, images, labels)
        assert seen.success_rate == 1
        held = ~(seen.initially_wrong | exact.initially_wrong)
        ratio = seen.distance[held] / exact.distance[held]
        assert float(ratio.median()) < (1.1 if dtype == torch.bfloat16 else 1.03)
