"""Defensive distillation: saturated softmax, JSMA's sums, and the three experiments."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from lab_cases import bench, subject
from networks import mlp
from small import digits, trained
from torch.nn import functional

from saddlepoint.attacks import FGSM, JSMA, Misclassified, Targeted
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import OBJECTIVES
from saddlepoint.defences import Distillation
from saddlepoint.errors import InputError
from saddlepoint.lab import (
    Blow,
    DistillationFindings,
    DistillationSettings,
    DistillationTransferSettings,
    JsmaSettings,
    Measured,
    Saturation,
    run_distillation,
    run_distillation_transfer,
    run_jsma,
    saturation,
)
from saddlepoint.lab.distillation_attacks import (
    ANY,
    GIVEN,
    LINES,
    DistillationStrength,
    strike,
)
from saddlepoint.lab.distillation_jsma import JsmaCase, nudges_of, toy_outcomes
from saddlepoint.lab.distilled import (
    DISTILLED,
    HARD,
    KINDS,
    distil,
    hard_labels,
    recipe_at,
    strided_network,
)
from saddlepoint.lab.jsma_variants import (
    JSMA_VARIANTS,
    Centred,
    jsma_reaches,
    outvoted,
    printed_toy,
)
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.saturation import PRINTED_LOGITS, in_double, one_hot, zero_gradients
from saddlepoint.lab.targets import random_classes
from saddlepoint.lab.transfer_confidence import AIMS
from saddlepoint.threat import L0, Linf
from saddlepoint.training import train

PRINTED = torch.tensor([PRINTED_LOGITS])
LINE = {line.name: line for line in LINES}


class Times(torch.nn.Module):
    """A network whose logits are multiplied: the same classes, another softmax."""

    def __init__(self, net, factor):
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x):
        return self.factor * self.net(x)


def gradient(function, logits):
    free = logits.clone().requires_grad_()
    return torch.autograd.grad(function(free).sum(), free)[0]


def test_the_softmax_of_the_printed_logits_is_one_hot_in_float32_and_f6_has_a_gradient():
    label, target = torch.tensor([5]), torch.tensor([3])
    expected = functional.one_hot(label, 10).float()
    assert torch.equal(PRINTED.softmax(1), expected)
    assert one_hot(PRINTED)
    assert not one_hot(PRINTED.double())
    # Where F is one-hot its whole Jacobian, diag F − F Fᵀ, is 0: nothing that goes by F can move.
    jacobian = torch.autograd.functional.jacobian(lambda z: z.softmax(1), PRINTED)
    assert not jacobian.any()
    assert not gradient(lambda z: functional.cross_entropy(z, label), PRINTED).any()
    exact = gradient(lambda z: functional.cross_entropy(z, label), PRINTED.double())
    assert exact[0, 3] > 0  # e^−435, which float64 still has
    slope = gradient(lambda z: OBJECTIVES["f6"](Targeted(), z, target), PRINTED)
    assert slope.nonzero().tolist() == [[0, 3], [0, 5]]
    assert slope[0, [3, 5]].tolist() == [-1.0, 1.0]
    # Towards a target even the softmax has one: the target's probability is 0 and should be 1.
    towards = gradient(lambda z: functional.cross_entropy(z, target), PRINTED)
    assert towards[0, [3, 5]].tolist() == [-1.0, 1.0]


def test_the_own_term_of_the_gradient_is_lost_long_before_the_others():
    logits, label = torch.tensor([[20.0, 0.0, -1.0]]), torch.tensor([0])
    rounded = gradient(lambda z: functional.cross_entropy(z, label), logits)
    assert rounded[0, 0] == 0  # 1 − F_y, where F_y is 1 − 3e−9
    assert (rounded[0, 1:] > 0).all()
    exact = gradient(lambda z: functional.cross_entropy(z, label), logits.double())
    assert exact[0, 0] < 0
    odds = gradient(lambda z: Misclassified().log_odds(z, label), logits)
    assert odds[0, 0] == -1


def test_a_change_of_the_smallest_logit_does_nothing_and_of_the_largest_everything():
    smallest, largest = nudges_of(torch.tensor([[10.0, *[0.0] * 8, -100.0]]))
    assert smallest < 1e-40  # what float32 has left of e^−90
    assert largest == pytest.approx(1 / (1 + 9 * math.exp(-10)) - 1 / 9, abs=1e-3)
    assert nudges_of(PRINTED) == (0.0, 0.0)  # 435 ahead, ten is nothing either way


def test_jsma_gives_up_on_the_toy_though_eight_features_suffice():
    found = toy_outcomes()
    assert all(math.isnan(found[name]) for name in ("JSMA-F", "JSMA-Z", "JSMA-Z, centred"))
    assert [found[name] for name in ("JSMA-Z, two classes", "C&W L0")] == [8.0, 8.0]
    assert found["C&W L2"] >= 8
    net = printed_toy()
    answers = net(torch.tril(torch.ones(21, 20), -1)).argmax(1)  # 0, 1, 2 … features at 1
    assert answers.tolist() == [5] * 8 + [3] * 13
    torch.testing.assert_close(net(torch.zeros(1, 20)), PRINTED)


def test_jsma_on_logits_knows_no_scale_and_on_probabilities_nothing_else():
    net, x, y = subject(10)
    right = net(x).argmax(1) == y
    x, y = x[right], y[right]
    goals = random_classes(y, 10, 0)
    plain, scaled = (
        JSMA.published(L0())(each, x, y, goals).adversarials for each in (net, Times(net, 128.0))
    )
    assert torch.equal(plain, scaled)
    on_f = [jsma_reaches("JSMA-F", Times(net, k), x, y, goals) for k in (1.0, 1e4)]
    assert on_f[0].success.double().mean() > 0.5
    assert not on_f[1].success.any()
    assert on_f[1].changed.isnan().all()


def test_two_classes_reach_what_the_sum_over_all_refuses():
    net, x, y = subject(6)
    goals = random_classes(y, 10, 0)
    found = {name: jsma_reaches(name, net, x, y, goals) for name in JSMA_VARIANTS}
    two, all_others = found["JSMA-Z, two classes"], found["JSMA-Z"]
    assert two.success.sum() >= all_others.success.sum()
    both = two.success & all_others.success
    assert two.changed[both].mean() <= all_others.changed[both].mean()
    assert torch.equal(two.within(64), two.success)


def test_outvoted_pairs_are_those_of_brute_force_and_centred_logits_have_none():
    net = mlp(6, gain=4.0).float()
    x = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
    x[0, 2] = 1.0
    logits = net(x)
    classes = logits.shape[1]
    goals = (logits.argmax(1) + 1) % classes
    slopes = torch.autograd.functional.jacobian(lambda z: net(z).sum(0), x).transpose(0, 1)
    found = outvoted(net, x, goals)
    for i, share in enumerate(found.tolist()):
        target, answer = int(goals[i]), int(logits[i].argmax())
        useful = refused = 0
        for p, q in itertools.combinations(range(6), 2):
            if x[i, p] == 1 or x[i, q] == 1:
                continue
            pair = slopes[i, :, p] + slopes[i, :, q]
            if pair[target] > 0 and pair[answer] < 0:
                useful += 1
                refused += bool(pair.sum() - pair[target] >= 0)
        if useful == 0:
            assert math.isnan(share)
        else:
            assert share == pytest.approx(refused / useful)
    assert found.isfinite().any()
    centred = outvoted(Centred(net), x, goals)
    assert not centred[centred.isfinite()].any()


def test_zero_gradients_are_those_of_autograd():
    net, x, y = subject(64)
    for factor, network in ((1.0, net), (60.0, Times(net, 60.0))):
        for z, each in ((x, network), (x.double(), in_double(network))):
            free = z.clone().requires_grad_()
            functional.cross_entropy(each(free), y, reduction="sum").backward()
            zero = (free.grad == 0).flatten(1).all(1)
            assert torch.equal(zero_gradients(each, z, y, "softmax-cross-entropy"), zero), factor
        assert not zero_gradients(network, x, y, "cross-entropy").any()
    assert network is not net
    assert in_double(net) is not net
    assert next(net.parameters()).dtype == torch.float32


def test_larger_logits_saturate_float32_first():
    net, x, y = subject(120)
    found = [saturation(Times(net, factor), x, y) for factor in (1.0, 30.0, 1e4)]
    small, middle, large = found
    assert small.accuracy == middle.accuracy == large.accuracy
    assert small.images == round(120 * small.accuracy)
    assert middle.mean_logit == pytest.approx(30 * small.mean_logit, rel=1e-5)
    assert middle.margin == pytest.approx(30 * small.margin, rel=1e-5)
    assert small.zero32 == small.one_hot == 0
    assert 0 < middle.zero32 < 1
    assert middle.zero64 < middle.zero32
    assert large.zero64 > 0.9
    assert all(each.zero_odds == 0 for each in found)
    assert all(each.zero64 <= each.zero32 for each in found)


@pytest.fixture(scope="module")
def saturated():
    """A network with huge logits, the images it has right, their labels, and other classes."""
    net = trained()
    x, y = digits("test", 8).pixels, digits("test", 8).labels
    right = (predictions(net, x)[0] == y) & (saturation_margin(net, x) > 4)
    x, y = x[right], y[right]
    return Times(net, 1000.0), x, y, random_classes(y, 10, 0)


def saturation_margin(net, x):
    return predictions(net, x)[1]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_what_goes_by_the_softmax_is_stopped_and_what_goes_by_the_logits_is_not(line, saturated):
    net, x, y, goals = saturated
    strength = DistillationStrength(max_changed=1.0, eps=0.4, steps=40)
    share = {
        aim: strike(line, net, x, y, None if aim == ANY else goals, strength, 0).share
        for aim in line.aims
    }
    if line.group == "here":
        assert share[ANY] > 0.9
    else:
        assert share[ANY] == 0
    if line.name.startswith("C&W"):
        assert set(share.values()) == {1.0}


def test_towards_a_class_the_softmax_does_not_vanish(saturated):
    net, x, y, goals = saturated
    strength = DistillationStrength()
    struck = [
        strike(LINE[name], net, x, y, goals, strength, 0)
        for name in ("FGSM, softmax", "FGSM, log-odds")
    ]
    assert torch.equal(struck[0].fooled, struck[1].fooled)
    assert strike(LINE["L-BFGS, softmax"], net, x[:4], y[:4], goals[:4], strength, 0).share > 0.8
    assert strike(LINE["JSMA-F"], net, x[:4], y[:4], goals[:4], strength, 0).share == 0


def test_what_is_struck_is_asked_of_the_network_itself():
    net, x, y = subject(16)
    struck = strike(LINE["FGSM, log-odds"], net, x, y, None, DistillationStrength(eps=0.2), 0)
    moved = FGSM(Linf(0.2))(net, x, y).adversarials
    assert torch.equal(struck.fooled, net(moved).argmax(1) != y)
    assert struck.distance.isfinite().sum() == struck.fooled.sum()
    nobody = strike(LINE["JSMA-F"], net, x[:0], y[:0], None, DistillationStrength(), 0)
    assert math.isnan(nobody.share)


def test_the_student_is_that_of_the_distillation_objective():
    subject_bench = bench(2, epochs=2)
    pair = distil(subject_bench, 20.0, 0.006, seed=3)
    data = subject_bench.train
    recipe = recipe_at(Distillation(20.0), 2, 0.006)
    whole = train(strided_network(data, 3), data, recipe, seed=3).model
    for own, other in zip(pair.student.parameters(), whole.parameters(), strict=True):
        assert torch.equal(own, other)
    alone = hard_labels(subject_bench, 20.0, 0.006, 3)
    for own, other in zip(pair.hard.parameters(), alone.parameters(), strict=True):
        assert torch.equal(own, other)
    assert list(pair.networks) == list(KINDS)
    first, second = (strided_network(data, seed).state_dict() for seed in (0, 1))
    assert not torch.equal(*(state["net.0.weight"] for state in (first, second)))


def test_distillation_is_run_over_temperatures_seeds_and_attacks(monkeypatch):
    some = tuple(LINE[name] for name in ("FGSM, softmax", "JSMA-Z", "L-BFGS, log-odds"))
    monkeypatch.setattr("saddlepoint.lab.distillation.LINES", some)
    settings = DistillationSettings(temperatures=(20.0, 1.0), repeats=1, attacked=4)
    found = run_distillation(bench(40, epochs=20), settings)
    assert found.temperatures == [1.0, 20.0]
    assert len(found.measured) == 2 * 2
    assert {m.seed for m in found.measured} == {0}
    assert {m.learning_rate for m in found.measured} == {0.006}
    assert found.attacks(DISTILLED, ANY) == [line.name for line in some]
    assert found.attacks(HARD, ANY) == ["FGSM, softmax", "JSMA-Z"]
    assert found.attacks(HARD, GIVEN) == []
    assert found.attacks(DISTILLED, GIVEN) == ["FGSM, softmax", "JSMA-Z"]
    for kind in KINDS:
        sizes = [found.outputs(kind, "mean_logit", t).mean for t in (1.0, 20.0)]
        assert sizes[1] > 4 * sizes[0]
        expected = math.log(sizes[1] / sizes[0]) / math.log(20)
        assert found.growth(kind).mean == pytest.approx(expected)
    tables = found.tables()
    assert list(tables) == ["summary", "attacks", "outputs", "networks", "blows"]
    assert tables["summary"].columns[-2:] == ("T=1", "T=20")
    assert len(tables["outputs"].rows) == 4
    assert len(tables["networks"].rows) == 4
    assert len(tables["blows"].rows) == len(found.blows)


def test_shares_are_averaged_over_seeds():
    blows = tuple(Blow("distilled", 1.0, s, ANY, "JSMA-Z", 10, s / 2, float(s)) for s in (0, 1))
    outputs = Saturation(1, 1.0, 9.0, 12.0, 0.0, 0.0, 0.0, 0.0)
    found = DistillationFindings((Measured("distilled", 1.0, 0, 0.006, outputs),), blows)
    share = found.fooled("distilled", ANY, "JSMA-Z", 1.0)
    assert (share.mean, round(share.sd, 4)) == (0.25, 0.3536)
    assert found.distance("distilled", ANY, "JSMA-Z", 1.0).mean == 0.5
    assert math.isnan(found.growth("distilled").mean)


def test_kappa_is_in_logits_and_networks_of_the_other_half_are_asked():
    settings = DistillationTransferSettings(
        kappa=(2.0, 0.0), temperature=20.0, repeats=2, steps=20, searches=2
    )
    found = run_distillation_transfer(bench(16, epochs=12), settings)
    assert found.victims == ["A", "undistilled", HARD, DISTILLED]
    assert list(found.found) == [0, 1]
    for each in found.found.values():
        assert each.kappa == pytest.approx((0.0, 2.0))
    assert found.found[0].margin != found.found[1].margin
    attacked = found.fooled(AIMS[0], "A")
    assert attacked[0].mean == 1
    for aim in AIMS:
        far = found.distance(aim)
        assert far[1].mean > far[0].mean
        for network in found.victims[1:]:
            share = found.fooled(aim, network)
            assert 0 <= share[0].mean <= share[1].mean <= 1
    assert found.reached(AIMS[0])[0].mean == 1
    assert len(found.tables()["summary"].rows) == 3 * 4 * 2
    assert len(found.tables()["seeds"].rows) == 2 * 3 * 4 * 2


def test_every_image_is_reached_or_given_up():
    found = run_jsma(bench(12, epochs=20), JsmaSettings(temperatures=(1.0, 50.0), repeats=1))
    for case in found.cases:
        assert case.within + case.beyond + case.gave_up == pytest.approx(1)
        assert min(case.within, case.beyond) >= 0
        assert case.gave_up >= -1e-9
    assert found.of("gave_up", "JSMA-F", 50.0).mean > found.of("gave_up", "JSMA-F", 1.0).mean
    assert found.logit("vanished", 50.0).mean > found.logit("vanished", 1.0).mean
    assert found.logit("lowest", 1.0).mean < found.logit("highest", 1.0).mean
    assert list(found.examples) == [1.0, 50.0]
    assert [row[0] for row in found.tables()["nudges"].rows] == ["example", "printed"]
    assert JsmaCase(1.0, 0, "JSMA-Z", 4, 0.5, 0.25, 3.0).gave_up == 0.25


@pytest.mark.parametrize(
    "settings",
    [
        lambda: DistillationSettings(temperatures=(0.0,)),
        lambda: DistillationSettings(temperatures=()),
        lambda: DistillationSettings(repeats=0),
        lambda: DistillationSettings(max_changed=1.5),
        lambda: DistillationTransferSettings(kappa=(-1.0,)),
        lambda: DistillationTransferSettings(temperature=-1.0),
        lambda: JsmaSettings(learning_rate=0.0),
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match=r"give|it is"):
        settings()
