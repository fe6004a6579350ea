"""What cannot be attacked is refused, and the message names the value seen."""

from __future__ import annotations

import math

import pytest
import torch
from contract import FEW
from networks import conv_case

from saddlepoint.attacks import (
    ATTACKS,
    BIM,
    FGSM,
    MIFGSM,
    PGD,
    AttackResult,
    BinaryLogit,
    UniformNoise,
    build_attack,
)
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf, norm_ball

NET, IMAGES, LABELS = conv_case(4)
OK = Linf(0.1)


def refused(message, **arguments):
    attack = arguments.pop("attack", PGD(OK, steps=1))
    images, labels = arguments.pop("images", IMAGES), arguments.pop("labels", LABELS)
    with pytest.raises(InputError, match=message):
        attack(NET, images, labels, **arguments)


def spoilt(value: float) -> torch.Tensor:
    images = IMAGES.clone()
    images[1, 0, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("x", "images are a str"),
        ((IMAGES * 255).to(torch.int32), r"images are torch\.int32; give uint8, or floats in"),
        (IMAGES * 255, r"images span .* … 25\d.*, outside \[0, 1\]: divide them by 255"),
        (IMAGES * 2 - 1, r"images span -.* outside \[0, 1\]: give pixels; put the normalisation"),
        (spoilt(1.001), r"images span .* … 1\.001, outside \[0, 1\]"),
        (spoilt(-1e-3), r"images span -0\.001 … .*, outside \[0, 1\]"),
        (spoilt(math.nan), "1 of 4 images contain NaN"),
        (spoilt(math.inf), "images span .* inf, outside"),
        (IMAGES[:0], r"images have shape \(0, 3, 8, 8\); give at least one image"),
        (IMAGES[0, 0, 0], r"images have shape \(8,\)"),
    ],
)
def test_images(images, message):
    refused(message, images=images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", "c", "d"], "labels are a list"),
        (LABELS.float(), r"labels are torch\.float32; give class indices as int64"),
        (LABELS > 0, r"labels are torch\.bool"),
        (LABELS[:3], r"labels have shape \(3,\) for 4 images"),
        (LABELS[:, None], r"labels have shape \(4, 1\) for 4 images"),
        (LABELS * 0 + 5, "labels span 5 … 5, but the model has 5 classes: use 0 … 4"),
        (LABELS * 0 - 1, "labels span -1 … -1, but the model has 5 classes"),
    ],
)
def test_labels(labels, message):
    refused(message, labels=labels)


def test_labels_of_any_whole_type_will_do():
    for dtype in (torch.int32, torch.uint8, torch.int64):
        assert len(PGD(OK, steps=1)(NET, IMAGES, LABELS.to(dtype))) == 4


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (LABELS, "some targets equal the labels"),
        ((LABELS + 1).float(), r"targets are torch\.float32"),
        (LABELS[:2], r"targets have shape \(2,\) for 4 images"),
        (LABELS + 5, r"targets span .* but the model has 5 classes"),
    ],
)
def test_targets(targets, message):
    refused(message, targets=targets)


def test_a_binary_model_takes_no_targets():
    refused("leave targets out", attack=PGD(OK, criterion=BinaryLogit()), targets=1 - LABELS)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(3, 8, 8), r"the mask is torch\.float32; give booleans"),
        (torch.ones(3, 4, 4, dtype=torch.bool), r"the mask has shape \(3, 4, 4\).*\(4, 3, 8, 8\)"),
        (torch.ones(5, 3, 8, 8, dtype=torch.bool), r"the mask has shape \(5, 3, 8, 8\)"),
    ],
)
def test_masks(mask, message):
    refused(message, mask=mask)


@pytest.mark.parametrize(
    ("eps", "message"),
    [
        (-1, "eps is -1; give a positive number"),
        (math.nan, "eps is nan"),
        (math.inf, "PGD needs a budget: Linf has none"),
        (torch.ones(3), r"eps has shape \(3,\); give 4 budgets"),
        (torch.tensor([0.1, 0.1, -0.2, 0.1]), "eps goes down to -0.2; give budgets of at least 0"),
        (torch.tensor([0.1, 0.1, math.nan, 0.1]), "eps goes down to nan"),
    ],
)
def test_budgets_in_the_call(eps, message):
    refused(message, eps=eps)


def test_budgets_of_the_threat_model():
    refused("PGD needs a budget: Linf has none, give Linf", attack=PGD(Linf()))
    refused(r"eps has shape \(2,\); give 4", attack=PGD(Linf(torch.ones(2))))
    refused("eps goes down to -1", attack=PGD(Linf(torch.tensor([1.0, 1, -1, 1]))))
    refused("a Box has no eps to replace", attack=PGD(Box(0.0, 1.0)), eps=0.1)
    halves = torch.tensor([1.0, 1.5, 2.0, 2.0])
    refused("a budget of features or patches counts them", attack=UniformNoise(L0(1)), eps=halves)
    refused("whole number, not 1.5", attack=UniformNoise(L0(1)), eps=1.5)


def test_a_budget_of_zero_for_one_sample_leaves_it_alone():
    eps = torch.tensor([0.0, 0.1, 0.1, 0.1])
    for ball in (Linf(eps), L2(eps), L1(eps)):
        result = PGD(ball, stop="never")(NET, IMAGES, NET(IMAGES).argmax(1))
        assert torch.equal(result.adversarials[0], IMAGES[0])
        assert not bool(result.rejected.any())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": torch.arange(3)}, r"ids have shape \(3,\) for 4 images"),
        ({"ids": torch.rand(4)}, r"ids are torch\.float32"),
        ({"seed": -1}, "seed is -1; give a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"starts": IMAGES[:2]}, r"starts have shape \(2, 3, 8, 8\), the images \(4, 3, 8, 8\)"),
        ({"starts": IMAGES * math.nan}, "starts contain NaN"),
    ],
)
def test_the_other_arguments(arguments, message):
    refused(message, **arguments)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PGD(0.1), r"PGD needs a threat model, for instance Linf\(8/255\); it got 0.1"),
        (lambda: PGD(Linf), "PGD needs a threat model"),
        (lambda: PGD(L0(3)), "PGD has no L0 form; it takes Linf, L2, L1, Box"),
        (lambda: FGSM(L0(3)), "FGSM has no L0 form"),
        (lambda: MIFGSM(L0(3)), "MIFGSM has no L0 form"),
        (lambda: PGD(OK, steps=0), "PGD: steps is 0; give at least 1"),
        (lambda: BIM(OK, steps=-3), "BIM: steps is -3"),
        (lambda: MIFGSM(OK, steps=0), "MIFGSM: steps is 0"),
        (lambda: PGD(OK, restarts=0), "PGD: restarts is 0"),
        (lambda: PGD(OK, eot_samples=0), "PGD: eot_samples is 0"),
        (lambda: PGD(L1(1), coordinates=0), "PGD: coordinates is 0"),
        (lambda: UniformNoise(OK, draws=0), "UniformNoise: draws is 0"),
        (lambda: PGD(OK, step_size=0), "step_size is 0; give a positive number"),
        (lambda: BIM(OK, step_size=-0.1), "step_size is -0.1"),
        (lambda: MIFGSM(OK, step_size=math.nan), "step_size is nan"),
        (lambda: PGD(OK, relative_step=0), "relative_step is 0"),
        (lambda: MIFGSM(OK, decay=-1), "decay is -1; give a number of at least 0"),
        (lambda: PGD(OK, loss="hinge"), 'PGD: loss is "hinge"; it is "cross-entropy", "margin" or'),
        (lambda: FGSM(OK, loss="ce"), 'loss is "ce"'),
        (
            lambda: PGD(OK, start="random"),
            'PGD: start is "random"; it is "uniform", "gaussian" or "clean"',
        ),
        (lambda: PGD(OK, schedule="step"), 'schedule is "step"'),
        (lambda: PGD(OK, stop="always"), 'PGD: stop is "always"; it is "success" or "never"'),
        (lambda: PGD(OK, keep="first"), 'PGD: keep is "first"; it is "best" or "last"'),
    ],
)
def test_constructors(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_the_range_of_the_threat_model_is_the_range_of_the_images():
    wide = PGD(Linf(0.1, -1.0, 1.0), steps=1)
    assert len(wide(NET, IMAGES * 2 - 1, LABELS)) == 4
    refused(r"outside \[-1, 1\]", attack=wide, images=IMAGES * 3 - 1.5)


@pytest.mark.parametrize("name", [n for n in ATTACKS if not ATTACKS[n].attack.from_file])
def test_every_listed_attack_builds_runs_and_takes_text(name):
    norm = ATTACKS[name].norms[0]
    eps = 1 if norm in ("l0", "patches") else 0.1
    options = {"eot-samples": "2"} | {key: str(value) for key, value in FEW.get(name, {}).items()}
    attack = build_attack(name, norm_ball(norm, eps), options)
    assert attack.eot_samples == 2
    result = attack(NET, IMAGES, LABELS)
    assert len(result) == 4
    assert bool((result.distance <= eps + 1e-6).all())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pgdd", {}, "unknown attack 'pgdd'; did you mean 'pgd'"),
        ("pgd", {"steps": "many"}, "pgd: steps is 'many': input should be a valid integer"),
        ("pgd", {"step_size": "2/x"}, "pgd: step_size is '2/x'"),
        ("pgd", {"steps": "2.5"}, "pgd: steps is '2.5'"),
        ("bim", {"restarts": 2}, "unknown option of bim 'restarts'"),
        ("pgd", {"threat": "x"}, "unknown option of pgd 'threat'"),
    ],
)
def test_attacks_by_name(name, options, message):
    with pytest.raises(InputError, match=message):
        build_attack(name, OK, options)


def test_results_of_nothing_cannot_be_joined():
    with pytest.raises(InputError, match="there are no results to join"):
        AttackResult.cat([])
