"""NaN and infinite logits: an image without a class is wrong, told of, and no other image's matter."""

from __future__ import annotations

import warnings

import pytest
import torch
from networks import conv_case
from torch import nn

from saddlepoint.answers import NO_CLASS
from saddlepoint.attacks import (
    ALMA,
    APGD,
    BIM,
    DDN,
    EAD,
    FAB,
    FMN,
    MIFGSM,
    PGD,
    CarliniWagnerL2,
    DeepFool,
    Fast,
    FixedBudget,
    HopSkipJump,
    OutsideTopK,
    Restarted,
    ShrinkingBudget,
    SigmaZero,
    SmallestBudget,
    SparseRS,
    Square,
    UniformNoise,
    portfolio,
)  # fmt: skip
from saddlepoint.errors import InputError
from saddlepoint.evaluation import rejudge
from saddlepoint.threat import L0, L1, L2, Linf


class Ill(nn.Module):
    """Adds `value` to the logits of the first images once they are changed, and not beyond knowing."""

    def __init__(self, net: nn.Module, images, value: float, classes=slice(None)) -> None:
        super().__init__()
        self.net, self.value, self.classes = net, value, classes
        self.register_buffer("whole", images[:ILL].clone())

    def forward(self, x):
        logits = self.net(x)
        away = (x[:, None] - self.whole).flatten(2).abs().mean(2).amin(1)
        ill = (away > 0) & (away < 0.25)  # others are 0.33 away
        wrong = torch.zeros_like(logits)
        wrong[:, self.classes] = self.value
        return torch.where(ill[:, None], logits + wrong, logits)


ILL, COUNT = 3, 24
NET, IMAGES, LABELS = conv_case(COUNT, torch.float64, wrong=0)
WHOLE = {
    "noise": UniformNoise(Linf(0.1), draws=10),
    "square": Square(Linf(0.05), queries=30),
    "sparse-rs": SparseRS(L0(6), queries=30),
    "pgd": PGD(Linf(0.03), steps=5),
    "last": PGD(Linf(0.03), steps=5, keep="last"),
    "bim last": BIM(Linf(0.03), keep="last"),
    "mi-fgsm": MIFGSM(Linf(0.03)),
    "apgd": APGD(Linf(0.03), steps=10),
    "ddn": DDN(L2(), steps=15),
    "fmn": FMN(Linf(), steps=15),
    "fab": FAB(L2(), steps=4),
    "deepfool": DeepFool(L2(), steps=10),
    "cw": CarliniWagnerL2(L2(), searches=2, steps=10),
    "ead": EAD(L1(), searches=2, steps=10),
    "alma": ALMA(L2(), steps=20),
    "sigma-zero": SigmaZero(L0(), steps=15),
    "hopskipjump": HopSkipJump(L2(), steps=2, initial_probes=10),
    "restarted": Restarted(DDN(L2(), steps=5), 3),
    "portfolio": portfolio(L2(), passes=200),
    "fast": Fast(Linf(0.05), steps=3, long=4, close=1, probe=2, queries=10),
    "shrinking": ShrinkingBudget(PGD(Linf(0.05), steps=3), searches=3),
    "smallest": SmallestBudget(PGD(Linf(0.05), steps=3), grid=3, searches=2),
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", WHOLE)
def test_it_is_told_and_costs_the_others_nothing(name, value):
    attack = WHOLE[name]
    model = Ill(NET, IMAGES, value)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = attack(model, IMAGES, LABELS)
    told = [str(each.message) for each in seen if "NaN or infinite logits" in str(each.message)]
    assert len(told) == 1
    assert f"for {ILL} of {COUNT} images" in told[0]
    with torch.no_grad():
        logits = model(result.adversarials)
    silent = ~logits.isfinite().all(1)
    assert bool(result.adversarials.isfinite().all())
    assert int(silent.sum()) == ILL, "a model that gives no class has failed on the image"
    assert torch.equal(result.success, silent | (logits.argmax(1) != LABELS))
    assert torch.equal(result.predictions, torch.where(silent, NO_CLASS, logits.argmax(1)))
    healthy = attack(NET, IMAGES, LABELS)
    assert torch.equal(result.success[ILL:], healthy.success[ILL:])
    assert torch.allclose(result.adversarials[ILL:], healthy.adversarials[ILL:], rtol=0, atol=1e-9)
    assert int(healthy.success[ILL:].sum()) > 5


def test_minus_infinity_at_one_class_is_told_and_argmax_decides():
    model = Ill(NET, IMAGES, -torch.inf, classes=slice(0, 1))
    with pytest.warns(UserWarning, match=f"NaN or infinite logits for {ILL} of {COUNT} images"):
        result = WHOLE["square"](model, IMAGES, LABELS)
    with torch.no_grad():
        assert torch.equal(result.success, model(result.adversarials).argmax(1) != LABELS)


@pytest.mark.parametrize("name", ["noise", "square", "pgd"])
def test_a_masked_class_is_no_fault(name):
    class Masked(nn.Module):
        def forward(self, x):
            return NET(x).index_fill(1, torch.tensor([4]), -torch.inf)

    right = LABELS != 4
    with torch.no_grad():
        labels = Masked()(IMAGES[right]).argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert WHOLE[name](Masked(), IMAGES[right], labels).success_rate > 0.2


@pytest.mark.parametrize("name", ["noise", "fast", "ddn"])
def test_a_clean_image_without_a_class_is_wrong_and_left_alone(name):
    model = Ill(NET, IMAGES + 0.01, torch.nan)
    with pytest.warns(
        UserWarning, match=f"NaN or infinite logits for {ILL} of {COUNT} images: they"
    ):
        result = WHOLE[name](model, IMAGES, LABELS)
    assert bool(result.initially_wrong[:ILL].all() & result.success[:ILL].all())
    assert torch.equal(result.adversarials[:ILL], IMAGES[:ILL])
    assert result.predictions[:ILL].tolist() == [NO_CLASS] * ILL
    healthy = WHOLE[name](NET, IMAGES, LABELS)
    assert torch.equal(result.success[ILL:], healthy.success[ILL:])


def test_images_that_all_have_no_class_are_an_error_unless_they_are_a_part():
    model = Ill(NET, IMAGES + 0.01, torch.nan)
    with pytest.raises(InputError, match=f"for {ILL} of {ILL} images; look for overflow"):
        WHOLE["pgd"](model, IMAGES[:ILL], LABELS[:ILL])
    part = WHOLE["pgd"](model, IMAGES[:ILL], LABELS[:ILL], whole=False)
    assert bool(part.initially_wrong.all())


def test_no_class_reaches_no_target_but_leaves_the_best():
    model = Ill(NET, IMAGES, torch.nan)
    with pytest.warns(UserWarning, match=f"NaN or infinite logits for {ILL} of {COUNT} images"):
        result = WHOLE["pgd"](model, IMAGES, LABELS, (LABELS + 1) % 5)
    assert not bool(result.success[:ILL].any())
    with pytest.warns(UserWarning, match=f"NaN or infinite logits for {ILL} of {COUNT} images"):
        result = PGD(Linf(0.03), steps=5, criterion=OutsideTopK(2))(model, IMAGES, LABELS)
    assert bool(result.success[:ILL].all())


def test_an_attack_that_offers_nan_fools_nobody_and_is_not_stopped_by_it():
    """The model is sound; the NaN is the attack's own, and its later iterates count."""

    class Stumbles(FixedBudget):
        def perturb(self, batch, tracker):
            for x in (batch.clean * torch.nan, batch.project(batch.clean + 0.5), batch.clean - 0.5):
                x = x if bool(x.isnan().any()) else batch.project(x)
                tracker.record(batch, x, batch.logits(x))

    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5, dtype=torch.float64))
    with torch.no_grad():
        labels = net(IMAGES).argmax(1)
    with pytest.warns(UserWarning, match="or for NaN in the images that the attack tried"):
        result = Stumbles(Linf(0.5))(net, IMAGES, labels)
    assert bool(result.adversarials.isfinite().all())
    assert torch.equal(result.success, net(result.adversarials).argmax(1) != labels)
    assert int(result.success.sum()) > 5


@pytest.mark.parametrize("target", [False, True])
def test_saved_images_without_a_class_count_as_the_judge_counts(target):
    model = Ill(NET, IMAGES, torch.nan)
    saved = (IMAGES + 0.05).clamp(0, 1)
    targets = (LABELS + 1) % 5 if target else None
    with pytest.warns(UserWarning, match="NaN or infinite logits"):
        audit = rejudge(model, IMAGES, LABELS, saved, Linf(0.1), targets=targets)
    for found in (audit.fooled, audit.result.success):
        assert bool(found[:ILL].all()) is not target
        assert bool(found[:ILL].any()) is not target
    broken = torch.full_like(saved, torch.nan)
    broken[ILL:] = saved[ILL:]
    audit = rejudge(NET, IMAGES, LABELS, broken, Linf(0.1), targets=targets)
    assert not bool((audit.fooled | audit.result.success)[:ILL].any())
