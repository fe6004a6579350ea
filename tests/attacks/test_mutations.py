"""Ten classic bugs each in PGD, APGD, C&W and Brendel-Bethge: some check notices every one, and none
the attack as it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import mutation
import pytest
import torch
from mutation import APGD, BB, CW, PGD, Edit, NotFoundError
from oracles import cases
from sampled import mostly_slow
from torch import nn

from saddlepoint.attacks.core.rounding import Reference, rounding
from saddlepoint.threat import L2, Linf


@dataclass(frozen=True)
class Trial:
    """A loaded attack with the options that the checks run it with."""

    loaded: dict[str, Any]
    kind: Any
    plain: dict[str, Any] = field(default_factory=dict)
    short: dict[str, Any] = field(default_factory=dict)


class Witness(nn.Module):
    """Notes every image that it is shown, and the logits."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        logits = self.net(x)
        self.seen += zip(x.detach().clone(), logits.detach().clone(), strict=True)
        return logits


class Waves(nn.Module):
    """Fools on stripes only, so that later iterates are often worse than earlier ones."""

    def forward(self, x):
        margin = (40 * x.sum(1, keepdim=True)).sin() + 0.6
        return torch.cat([margin, torch.zeros_like(margin)], 1)


def fresh(kind):
    """The cases of an oracle, with images that a bug may write into."""
    (case,) = cases(kind, 1)
    return replace(case, images=case.images.clone())


def margin(logits, label):
    return logits[label] - torch.cat([logits[:label], logits[label + 1 :]]).max()


def succeeds_above_the_optimum_alone(trial):
    for threat in (L2, Linf):
        case = fresh("halfspace")
        for factor in (0.99, 1.05):
            eps = case.optimum[threat.norm_name] * factor
            attack = trial.kind(threat(), **trial.plain)
            result = attack(case.net, case.images, case.labels, eps=eps)
            assert bool((result.success == (factor > 1)).all())
            assert not bool(result.rejected.any())


def reaches_the_target(trial):
    case = fresh("linear")
    attack = trial.kind(Linf(), **trial.plain)
    eps = case.targeted["Linf"] * 1.1
    result = attack(case.net, case.images, case.labels, case.targets, eps=eps)
    assert bool((result.predictions == case.targets).all())


def keeps_what_it_saw(trial):
    attack = trial.kind(Linf(0.1), **trial.plain | {"steps": 7, "restarts": 3, "stop": "never"})
    for image in torch.linspace(0.3, 0.7, 6, dtype=torch.float64):
        x, net = torch.full((1, 2), float(image), dtype=torch.float64), Witness(Waves())
        if float(Waves()(x)[0, 0]) < 0:
            continue
        result = attack(net, x, torch.tensor([0]))
        inside = [z for point, z in net.seen if bool(Linf(0.1).contains(x, point[None]))]
        least = min(float(margin(z, 0)) for z in inside)
        reached = float(margin(Waves()(result.adversarials)[0], 0))
        assert reached <= least + 1e-9
        assert bool(result.success) == (least < 0)


def judges_the_last_iterate(trial):
    case = fresh("halfspace")
    attack = trial.kind(Linf(), **trial.short)
    eps = case.optimum["Linf"] * 1.05
    result = attack(case.net, case.images, case.labels, eps=eps)
    assert bool(result.success.all())


def leaves_the_callers_images_alone(trial):
    case, images = fresh("relu"), fresh("relu").images
    trial.kind(L2(0.3), **trial.plain)(case.net, images, case.labels)
    assert torch.equal(images, case.images)


def does_not_depend_on_the_company(trial):
    case = fresh("relu")
    # Enough for some at once, for others late: finished samples leave the batch.
    eps = case.optimum["L2"] * torch.linspace(1.02, 2, len(case), dtype=torch.float64)
    attack = trial.kind(L2(), **trial.plain)
    whole = attack(case.net, case.images, case.labels, eps=eps)
    assert whole.backwards.unique().numel() > 1
    for i in range(len(case)):
        row = slice(i, i + 1)
        alone = attack(
            case.net, case.images[row], case.labels[row], eps=eps[row], ids=torch.tensor([i])
        )
        assert torch.allclose(alone.adversarials, whole.adversarials[row], rtol=0, atol=1e-9)


def steps_that_rise_keep_their_length(trial):
    """APGD's rule: a new highest loss at every step is no reason to halve the step."""
    steps = trial.loaded["fixed_budget.apgd_steps"]
    x, targets = torch.zeros(1, 2), torch.tensor([0])
    ascent, zero = steps.Ascent.begin(x, targets), torch.zeros(1)
    rule = steps.Momentum(x, zero + 1, zero - 1, targets * 0, targets != 0, zero - torch.inf)
    for step in range(1, 13):
        ascent = ascent.observe(zero + step, x)
        rule, ascent = rule.adapt(None, ascent, 4 if step % 4 == 0 else 0, 0.75)
    assert float(rule.eta) == 1


def leaves_the_images_alone(trial):
    case, images = fresh("relu"), fresh("relu").images
    trial.kind(L2(), **trial.plain)(case.net, images, case.labels)
    assert torch.equal(images, case.images)


def reaches_the_optimum(trial):
    case = fresh("halfspace")
    result = trial.kind(L2(), **trial.plain)(case.net, case.images, case.labels)
    ratio = result.distance / case.optimum["L2"]
    assert float(ratio.min()) >= 0.999
    assert float(ratio.max()) <= 1.03


def reaches_the_target_nearby(trial):
    case = fresh("linear")
    result = trial.kind(L2(), **trial.plain)(case.net, case.images, case.labels, case.targets)
    assert bool((result.predictions == case.targets).all())
    assert float((result.distance / case.targeted["L2"]).max()) <= 1.2


def least(logits, clean):
    return float(rounding(logits[None], clean, torch.float64))


def keeps_the_nearest_it_saw(trial):
    """Descents too short to converge, so that any iterate may be the nearest, also the last."""
    case = fresh("relu")
    attack = trial.kind(L2(), **trial.plain | trial.short | {"bisections": 0})
    points = torch.linspace(0.3, 0.7, 6, dtype=torch.float64)[:, None].expand(6, 2)
    points = points[Waves()(points)[:, 0] > 0]
    for model, images, labels in (
        (case.net, case.images[:4], case.labels[:4]),
        (Waves(), points, torch.zeros(len(points), dtype=torch.int64)),
    ):
        for image, label in zip(images, labels, strict=True):
            net, clean = Witness(model), Reference.of(model(image[None]))
            result = attack(net, image[None], label[None])
            sure = [
                float((point - image).norm())
                for point, z in net.seen
                if float(margin(z, int(label))) < -least(z, clean)
            ]
            assert float(result.distance) == pytest.approx(min(sure, default=torch.inf), abs=1e-9)


def finds_the_same_alone(trial):
    case = fresh("relu")
    attack = trial.kind(L2(), **trial.plain | {"bisections": 0})
    whole = attack(case.net, case.images, case.labels)
    for i in range(0, len(case), 5):
        row = slice(i, i + 1)
        alone = attack(case.net, case.images[row], case.labels[row], ids=torch.tensor([i]))
        assert torch.allclose(alone.distance, whole.distance[row], rtol=1e-6)


FIXED_BUDGET = (
    succeeds_above_the_optimum_alone,
    reaches_the_target,
    keeps_what_it_saw,
    judges_the_last_iterate,
    leaves_the_callers_images_alone,
    does_not_depend_on_the_company,
)
MINIMUM_NORM = (
    leaves_the_images_alone,
    reaches_the_optimum,
    reaches_the_target_nearby,
    keeps_the_nearest_it_saw,
    finds_the_same_alone,
)


# Impatient: samples leave at different steps, and the others must keep what is theirs.
CW_OPTIONS = {"steps": 100, "searches": 4, "learning_rate": 0.05, "patience": 8, "decays": 1}
SUBJECTS = {
    "pgd": (
        PGD,
        {"steps": 40},
        {"steps": 1, "relative_step": 2.0},
        FIXED_BUDGET,
    ),
    "apgd": (
        APGD,
        {"steps": 40},
        {"steps": 1},
        (*FIXED_BUDGET, steps_that_rise_keep_their_length),
    ),
    "cw": (
        CW,
        CW_OPTIONS,
        {"steps": 4, "searches": 2, "restarts": 3, "learning_rate": 0.1},
        MINIMUM_NORM,
    ),
    "brendel-bethge": (BB, {"steps": 60}, {"steps": 14, "starts": 1, "radius": 0.1}, MINIMUM_NORM),
}


def caught(name, bug=None):
    """Yield the checks that notice."""
    subject, plain, short, checks = SUBJECTS[name]
    loaded = subject.build(bug)
    trial = Trial(loaded, subject.kind(loaded), plain, short)
    for check in checks:
        try:
            check(trial)
        except NotFoundError:
            raise
        except Exception as error:
            yield check.__name__, error


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_attack_as_it_is_passes_every_check(name):
    assert list(caught(name)) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "bug"),
    mostly_slow(
        [(name, bug) for name, (subject, *_) in SUBJECTS.items() for bug in subject.bugs],
        quick=[(name, bug) for name in ("pgd", "apgd", "cw") for bug in SUBJECTS[name][0].bugs]
        + [("brendel-bethge", "sign flipped"), ("brendel-bethge", "targets ignored")],
    ),
)
def test_every_bug_is_noticed(name, bug):
    assert next(caught(name, bug), None), "no check notices"


@pytest.mark.parametrize("name", SUBJECTS)
def test_there_are_ten_bugs(name):
    assert len(SUBJECTS[name][0].bugs) == 10


@pytest.mark.parametrize("old", ["no such text", "return"])
def test_a_text_that_is_not_there_once_is_an_error(old):
    with pytest.raises(NotFoundError, match="not once"):
        mutation.load(("fixed_budget.pgd",), [Edit("fixed_budget.pgd", old, "pass")])


def test_the_real_modules_stay_as_they_are():
    before = sys.modules["saddlepoint.attacks.fixed_budget.pgd"]
    copies = PGD.build("sign flipped")
    assert sys.modules["saddlepoint.attacks.fixed_budget.pgd"] is before
    assert copies["fixed_budget.pgd"].PGD is not before.PGD
    with pytest.raises(NotFoundError, match="does not load"):
        mutation.load(("fixed_budget.pgd",), [Edit("core.tracker", "a", "b")])
