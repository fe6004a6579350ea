"""A model that may reject is fooled by another real class alone; on a linear one it is known when."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import Affine

from saddlepoint.attacks import (
    APGD,
    BIM,
    DDN,
    FMN,
    JSMA,
    PGD,
    AcceptedAsOther,
    CarliniWagnerL2,
    DeepFool,
    Fast,
    Square,
    parse_criterion,
    portfolio,
)  # fmt: skip
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L2, Linf

REJECT, LEVEL, EPS = 2, 0.8, 0.25
FOOLED = AcceptedAsOther(REJECT)


def case():
    """Two real classes, whose logits are the two pixels; class 2 rejects at 0.8; the rest never come.

    Another class is accepted where its pixel is above both the label's and 0.8.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(200, 2, generator=generator, dtype=torch.float64)
    weight, bias = (
        torch.zeros(6, 2, dtype=torch.float64),
        torch.tensor([0, 0, LEVEL, -1, -1.2, -1.4]),
    )
    weight[0, 0] = weight[1, 1] = 1
    labels = images.argmax(1)
    own, other = images.amax(1), images.amin(1)
    return Affine(weight, bias.double()), images, labels, own, other


NET, IMAGES, LABELS, OWN, OTHER = case()
IN_LINF = torch.maximum((OWN - OTHER) / 2, LEVEL - OTHER)
# The nearest of a half-plane's points, where they lie in the other one too, else their corner.
MEAN = (OWN + OTHER) / 2
IN_L2 = torch.where(
    OWN <= LEVEL,
    LEVEL - OTHER,
    torch.where(
        MEAN >= LEVEL, (OWN - OTHER) / 2**0.5, ((OWN - LEVEL) ** 2 + (LEVEL - OTHER) ** 2).sqrt()
    ),
)


def test_the_images_are_of_every_kind():
    logits = NET(IMAGES)
    assert 20 < int((logits.argmax(1) == REJECT).sum()) < 180
    rejected = logits.argmax(1) == REJECT
    for kind in (rejected, ~rejected):
        assert 0 < int((IN_LINF[kind] < EPS).sum()) < int(kind.sum())
    assert not bool((FOOLED.margin(logits, LABELS) < 0).any()), "a rejection fools nobody"


@pytest.mark.filterwarnings("ignore:the .*DLR needs")  # of the logits that it reads
@pytest.mark.parametrize(
    "attack",
    [
        PGD(Linf(EPS), criterion=FOOLED),
        BIM(Linf(EPS), steps=20, criterion=FOOLED),
        *(APGD(Linf(EPS), steps=20, loss=loss, criterion=FOOLED)
          for loss in ("cross-entropy", "margin", "dlr", "dlr-targeted")),
        Fast(Linf(EPS), criterion=FOOLED),
        Square(Linf(EPS), queries=100, criterion=FOOLED),
    ],
    ids=lambda attack: f"{type(attack).__name__} {getattr(attack, 'loss', '')}",
)  # fmt: skip
def test_what_can_be_accepted_as_another_class_is_found_and_nothing_else(attack):
    result = attack(NET, IMAGES, LABELS)
    assert not bool(result.initially_wrong.any())
    sure = (IN_LINF - EPS).abs() > 0.01
    assert torch.equal(result.success[sure], (IN_LINF < EPS)[sure])
    assert torch.equal(result.predictions[result.success], 1 - LABELS[result.success])


@pytest.mark.parametrize(
    "attack",
    [
        DDN(L2(), steps=60, criterion=FOOLED),
        FMN(L2(), steps=60, criterion=FOOLED),
        DeepFool(L2(), criterion=FOOLED),
        CarliniWagnerL2(L2(), searches=4, steps=60, criterion=FOOLED),
        replace(portfolio(L2(), passes=300), criterion=FOOLED),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_the_nearest_accepted_image_is_the_corner_or_the_foot(attack):
    rows = slice(40)
    result = attack(NET, IMAGES[rows], LABELS[rows])
    assert bool(result.success.all())
    ratio = result.distance / IN_L2[rows]
    assert float(ratio.min()) > 1 - 1e-6
    assert float(ratio.median()) < 1.05


def test_a_rejection_is_no_success_where_it_is_the_easiest_way_out():
    """From (0.81, 0.1) class 2 is 0.01 away, and class 1 0.7."""
    image, label = torch.tensor([[0.81, 0.1]], dtype=torch.float64), torch.tensor([0])
    assert bool(PGD(Linf(0.1))(NET, image, label).success)
    assert not bool(PGD(Linf(0.1), criterion=FOOLED)(NET, image, label).success)
    assert bool(PGD(Linf(0.71), criterion=FOOLED)(NET, image, label).success)


def test_the_losses_are_those_of_the_merged_classes():
    logits = torch.randn(50, 6, dtype=torch.float64)
    labels = torch.randint(0, 2, (50,))
    p = logits.softmax(1)
    held = p.gather(1, labels[:, None])[:, 0] + p[:, REJECT]
    assert torch.allclose(FOOLED.cross_entropy(logits, labels), -held.log())
    assert torch.allclose(FOOLED.log_odds(logits, labels), ((1 - held) / held).log())
    assert torch.equal(FOOLED.margin(logits, labels) < 0, FOOLED.aims(labels, 6).gather(
        1, logits.argmax(1, keepdim=True))[:, 0])  # fmt: skip


@pytest.mark.parametrize("reject", [0, 2, 4])
def test_ties_go_as_argmax_has_them(reject):
    logits = torch.tensor(
        [[z // 81, z // 27 % 3, z // 9 % 3, z // 3 % 3, z % 3] for z in range(243)]
    )
    criterion = AcceptedAsOther(reject)
    for label in {1, 2, 3} - {reject}:
        labels = torch.full((243,), label)
        answer = logits.float().argmax(1)
        fooled = criterion.margin(logits.float(), labels) < 0
        assert torch.equal(fooled, (answer != label) & (answer != reject))


def test_targeted_forms_never_aim_at_the_class_that_rejects():
    sure = AcceptedAsOther(0)  # the first class rejects, and is the runner-up
    weight = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [0.1, 0.1]])
    net = Affine(weight, torch.tensor([0.85, 0.0, 0.0, 0.0]))
    image, label = torch.tensor([[0.9, 0.5]]), torch.tensor([1])
    result = JSMA(L0(), max_changed=1.0, on="probabilities", criterion=sure)(net, image, label)
    assert (bool(result.success), int(result.predictions)) == (True, 2)


@pytest.mark.parametrize(
    ("criterion", "labels", "words"),
    [
        (AcceptedAsOther(6), LABELS, "class 6 is to reject, but the model has 6 outputs, 0 … 5"),
        (AcceptedAsOther(1), LABELS, "labels are 1, the class that rejects"),
    ],
)
def test_a_class_that_cannot_reject_is_named(criterion, labels, words):
    with pytest.raises(InputError, match=words):
        PGD(Linf(0.1), criterion=criterion)(NET, IMAGES, labels)


def test_the_word_and_what_it_cannot_be():
    assert parse_criterion("rejecting-10") == AcceptedAsOther(10)
    for text in ("rejecting-", "rejecting--1", "rejecting", "rejecting-²"):
        with pytest.raises(InputError, match="unknown criterion"):
            parse_criterion(text)
    two = Affine(torch.eye(2, dtype=torch.float64))
    with pytest.raises(InputError, match="no other class to be fooled into"):
        PGD(Linf(0.1), criterion=AcceptedAsOther(1))(two, IMAGES, LABELS * 0)
