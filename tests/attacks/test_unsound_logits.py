"""NaN and infinite logits at changed images: told, never a success, and no other image's matter."""

from __future__ import annotations

import warnings

import pytest
import torch
from networks import conv_case
from torch import nn

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
    HopSkipJump,
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
    "fast": Fast(Linf(0.05), steps=3, margin_steps=3, probe=2, queries=10),
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
    assert bool(logits.isfinite().all()), "an image that nothing can be said of is not kept"
    assert torch.equal(result.success, logits.argmax(1) != LABELS)
    assert torch.equal(result.predictions, logits.argmax(1))
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


def test_nan_at_the_clean_image_is_still_an_error():
    model = Ill(NET, IMAGES + 0.01, torch.nan)
    with pytest.raises(InputError, match=f"NaN or infinite logits for {ILL} of {COUNT} images"):
        WHOLE["noise"](model, IMAGES, LABELS)


def test_saved_images_with_nan_logits_fool_nobody():
    model = Ill(NET, IMAGES, torch.nan)
    saved = (IMAGES + 0.05).clamp(0, 1)
    with pytest.warns(UserWarning, match="NaN or infinite logits"):
        audit = rejudge(model, IMAGES, LABELS, saved, Linf(0.1))
    assert not bool((audit.fooled | audit.result.success)[:ILL].any())
