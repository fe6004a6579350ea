"""Each check flags a network, or an attack, that was made for it, and no plain trained network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from faulty import (
    NEAR,
    Amplified,
    Astray,
    Bent,
    Inward,
    OneAlive,
    Rippled,
    Rounding,
    Scaled,
    Still,
    Uneven,
    Wavy,
    noisy,
    right,
    standing,
)
from small import trained
from torch import nn

from saddlepoint.attacks import PGD, Misclassified, Transfer
from saddlepoint.defences import GeneratorPurifier, Purified
from saddlepoint.evaluation import build_suite
from saddlepoint.evaluation.verdict.check import Subject
from saddlepoint.evaluation.verdict.checks.registry import (
    BY_PRODUCTS,
    CHECKS,
    CONTROLS,
    PROBES,
    controls_for,
)
from saddlepoint.evaluation.verdict.checks.silent_success import SilentSuccess
from saddlepoint.evaluation.verdict.checks.surrogate import Surrogate
from saddlepoint.evaluation.verdict.checks.twin import Twin
from saddlepoint.threat import L0, Linf
from saddlepoint.zoo import MLPGenerator

# An examination says by its findings what the attacks warn of.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:saddlepoint")


def divided():
    subject = right(trained())
    return replace(subject, images=subject.images / 255)


def bent():
    images = 0.5 + 0.2 * (torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5)
    images += 0.5 - images.mean((1, 2, 3), keepdim=True)
    labels = torch.zeros(12, dtype=torch.int64)
    return Subject(Bent(), images, labels, torch.arange(12), NEAR, Misclassified())


def softmaxed(scale=1.0):
    return right(nn.Sequential(Scaled(trained(), scale), nn.Softmax(1)))


def vanishing():
    suite = {"pgd": PGD(NEAR, loss="softmax-cross-entropy")}
    return replace(right(Scaled(trained(), 1e4)), suite=suite)


def purified(model):
    return Purified(model, GeneratorPurifier(MLPGenerator(2, size=8), restarts=1, steps=1))


PROBED = {
    "pixel-values": (divided, "suspicious"),
    "few-classes": (lambda: right(OneAlive(trained())), "undecidable"),
    "probabilities": (softmaxed, "suspicious"),
    "repeatable": (lambda: right(noisy()), "undecidable"),
    "gradient-inside": (lambda: right(Inward(trained())), "undecidable"),
    "logit-scale": (vanishing, "broken"),
    "zero-gradient": (lambda: right(Rounding(trained())), "broken"),
    "gradient-agreement": (lambda: right(Rounding(trained(), share=-1.0)), "broken"),
    "unstable-loss": (lambda: right(Rippled(trained())), "broken"),
    "imbalance": (lambda: right(Uneven(trained())), "suspicious"),
    "not-monotone": (bent, "broken"),
    "smoothed-gradient": (lambda: right(Wavy(trained())), "broken"),
    "unbounded": (lambda: right(Rounding(trained())), "broken"),
    "purification": (lambda: right(purified(trained())), "undecidable"),
}


def judged(check, subject):
    return check.judge(check.measure(subject))


def test_no_check_is_without_a_test():
    assert list(PROBED) == [check.name for check in PROBES]
    assert {check.name for check in (*CONTROLS, *BY_PRODUCTS)} | set(PROBED) == set(CHECKS)


@pytest.mark.parametrize("name", PROBED)
def test_a_probe_flags_what_was_made_for_it(name):
    faulty, judgement = PROBED[name]
    found = judged(CHECKS[name](), faulty())
    assert found.judgement == judgement, found
    assert found.means
    assert found.remedy


@pytest.mark.parametrize("name", PROBED)
def test_a_probe_has_nothing_against_a_plain_network(name):
    found = judged(CHECKS[name](), right(trained()))
    assert found.judgement == "healthy", found
    assert found.images == 16
    assert (found.means, found.remedy) == ("", "")


@pytest.mark.parametrize("check", CONTROLS)
def test_a_control_finds_what_an_attack_that_stands_still_left(check):
    threat = Linf(0.3)  # noise fools some of the digits there
    subject = replace(standing(trained(), still=Still(threat)), threat=threat)
    found = judged(check(), subject)
    assert found.judgement == "suspicious", found
    assert found.p < 0.01  # broken by itself


@pytest.mark.parametrize("check", CONTROLS)
def test_a_control_finds_next_to_nothing_that_the_suite_left(check):
    found = judged(check(), standing(trained(), **build_suite("quick", NEAR)))
    assert found.images >= 10
    assert found.judgement == "healthy", found


def test_images_of_another_model_fool_one_that_masks_its_gradient():
    masked, plain = Rounding(trained()), trained()
    suite = build_suite("quick", NEAR)
    assert judged(Surrogate(plain), standing(masked, **suite)).judgement == "suspicious"
    assert judged(Surrogate(plain), standing(plain, **suite)).judgement == "healthy"


def test_an_image_fooled_on_the_way_and_handed_back_is_found():
    for attack, judgement in (
        (Astray(NEAR, keep="last"), "suspicious"),
        (PGD(NEAR, start="clean", keep="last"), "healthy"),
    ):
        found = judged(SilentSuccess(attack), standing(trained(), attack=attack))
        assert found.images >= 10
        assert found.judgement == judgement, found


def test_a_stand_in_that_is_fooled_alone_is_unlike():
    threat = Linf(0.01)
    for surrogate, judgement in ((Amplified(trained()), "suspicious"), (trained(), "healthy")):
        attack = Transfer(PGD(threat), surrogate)
        subject = replace(standing(trained(), attack=attack), threat=threat)
        assert judged(Twin(attack), subject).judgement == judgement


def test_an_image_fooled_within_its_certificate_is_a_bug():
    certified = torch.tensor([True, True, False])
    for fooled, judgement in (([True, False, True], "broken"), ([False, False, True], "healthy")):
        found = CHECKS["certificate"]().judge(
            {"fooled": torch.tensor(fooled), "certified": certified}
        )
        assert found.judgement == judgement
        assert found.images == 2


def test_what_the_evaluation_gives_adds_its_checks():
    suite = {
        "last": PGD(NEAR, keep="last"),
        "other": Transfer(PGD(NEAR), trained()),
    }
    names = [check.name for check in controls_for(suite, trained(), thorough=True)]
    assert names == [
        *(check.name for check in CONTROLS), "surrogate", "silent-success", "twin",
    ]  # fmt: skip


def test_large_logits_speak_against_attacks_that_suffer_from_them():
    subject = right(Scaled(trained(), 1e4))
    found = judged(CHECKS["logit-scale"](), replace(subject, suite=build_suite("quick", NEAR)))
    assert found.judgement == "healthy"
    assert "handled" in found.figure
    assert judged(CHECKS["zero-gradient"](), subject).judgement == "healthy"


def test_a_saturated_softmax_has_no_gradient():
    assert judged(CHECKS["zero-gradient"](), softmaxed(20.0)).judgement == "broken"
    assert judged(CHECKS["zero-gradient"](), softmaxed()).judgement == "healthy"


def test_a_staircase_without_a_gradient_disagrees_with_it():
    """A thousandth of the range changes nothing there; a fiftieth does."""
    found = judged(CHECKS["gradient-agreement"](), right(Rounding(trained(), share=0.0)))
    assert found.judgement == "broken"
    honest = judged(CHECKS["gradient-agreement"](), right(Rounding(trained(), share=1.0)))
    assert honest.judgement == "healthy", honest  # straight through, as it should be


def test_a_random_model_that_is_averaged_has_an_upper_bound():
    found = judged(CHECKS["repeatable"](), replace(right(noisy()), random=True, samples=4))
    assert found.judgement == "suspicious"
    assert "over 4 passes" in found.figure


def test_one_class_of_images_tells_nothing_of_an_unbounded_attack():
    subject = right(Rounding(trained()), 40)
    one = subject.labels == subject.labels[0]
    some = {name: getattr(subject, name)[one] for name in ("images", "labels", "ids")}
    found = judged(CHECKS["unbounded"](), replace(subject, **some))
    assert found.judgement == "healthy"
    assert "one class" in found.figure


def test_in_l0_the_controls_have_another_form_or_none():
    have = {check.name for check in CONTROLS if check().applies(L0(3))}
    assert have == {"noise", "another-start", "black-box"}
    assert not CHECKS["not-monotone"]().applies(L0(3))
