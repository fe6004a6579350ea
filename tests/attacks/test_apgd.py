"""APGD: the optimum of linear models, the papers' loops, losses, few classes, and its bookkeeping."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from linear import CASES, assert_optimal, share_of_optimum
from networks import Affine, conv_case, mlp
from parts import ORDER, N, in_parts
from torch.nn.functional import cross_entropy
from vanishing import THREATS, Flat, Saturated, Tiny

from saddlepoint.attacks import Batch, Misclassified, OutsideTopK, Targeted
from saddlepoint.attacks.core.losses import dlr, objective
from saddlepoint.attacks.fixed_budget.apgd import APGD
from saddlepoint.attacks.fixed_budget.apgd_steps import Ascent, Momentum, checkpoints
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import L1, L2, Box, Linf, Rescaled

BALLS = {"linf": Linf, "l2": L2, "l1": L1}


@pytest.mark.parametrize(("norm", "d", "eps", "near"), CASES)
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.parametrize("targeted", [False, True])
def test_it_reaches_the_optimum_of_a_linear_model(norm, d, eps, near, loss, targeted):
    attack = APGD(BALLS[norm](eps), loss=loss, stop="never")
    share = share_of_optimum(attack, norm, d, eps, near, targeted)
    assert_optimal(share, 1e-9 if norm == "linf" else 0.02 if norm == "l1" else 1e-3)


@pytest.mark.parametrize(("norm", "d", "eps", "near"), [CASES[0], CASES[3], CASES[7]])
def test_a_ball_that_shrinks_ends_at_the_same_optimum(norm, d, eps, near):
    for shrinking in (False, True):
        attack = APGD(BALLS[norm](eps), stop="never", shrinking=shrinking)
        assert_optimal(share_of_optimum(attack, norm, d, eps, near), 0.02)


def gradient(net, x, y):
    x = x.clone().requires_grad_()
    value = cross_entropy(net(x), y, reduction="none")
    return torch.autograd.grad(value.sum(), x)[0], value.detach()


def published(net, x, y, start, steps, eps, direction, project):
    """Algorithm 1 of Croce and Hein 2020, one image at a time; every iterate."""
    share = [0.0, 0.22]
    while share[-1] < 1:
        share.append(share[-1] + max(share[-1] - share[-2] - 0.03, 0.06))
    marks = sorted({math.ceil(p * steps - 1e-9) for p in share})
    (g, f), z, before = gradient(net, start, y), start, None
    eta, best, trace, values = 2 * eps, (float(f), start, g), [start], [float(f)]
    peak_then, halved, last = -math.inf, True, 0
    for k in range(steps):
        if k in marks[1:]:
            rises = sum(values[i + 1] > values[i] for i in range(last, k))
            few = rises < 0.75 * (k - last)
            halved = few or (not halved and best[0] <= peak_then)
            peak_then, last = best[0], k
            if halved:
                eta, z, g = eta / 2, best[1], best[2]
        up = project(z + eta * direction(g))
        new = up if before is None else project(z + 0.75 * (up - z) + 0.25 * (z - before))
        before, z = z, new
        g, f = gradient(net, z, y)
        if float(f) > best[0]:
            best = (float(f), z, g)
        trace.append(z)
        values.append(float(f))
    return trace[-1], best[1]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 2, 5, 12, 40])
def test_the_iterates_are_those_of_the_published_algorithm(norm, steps):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    x = 0.4 + 0.2 * x  # far from the bounds: the ball alone counts
    y = net(x).argmax(1)
    eps = {"linf": 0.02, "l2": 0.3}[norm]
    threat = BALLS[norm](eps)

    def size(v):
        return v.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)

    attack = APGD(threat, steps=steps, stop="never")
    last = attack.candidates(net, x, y, seed=5)
    starts = threat.random_start(x, Keys(5, torch.arange(8)))
    for i in range(8):
        clean = x[i : i + 1]
        if norm == "linf":
            direction = torch.sign
            project = lambda v, c=clean: v.clamp(c - eps, c + eps)  # noqa: E731
        else:
            direction = lambda v: v / size(v)  # noqa: E731

            def project(v, c=clean):
                far = size(v - c) > eps
                return torch.where(far, c + (v - c) * eps / size(v - c), v)

        end, _ = published(
            net, clean, y[i : i + 1], starts[i : i + 1], steps, eps, direction, project
        )
        assert torch.allclose(last[i : i + 1], end, rtol=0, atol=1e-8), i


def test_in_l1_the_iterates_are_those_of_the_published_algorithm():
    net, x, y = conv_case(6, torch.float64, wrong=0)
    x, eps, steps, d = 0.3 + 0.4 * x, 0.25, 50, 192
    y, ball = net(x).argmax(1), L1(eps)
    ours = APGD(ball, steps=steps, shrinking=False).candidates(net, x, y, seed=5)
    starts = ball.random_start(x, Keys(5, torch.arange(6)))
    for i in range(6):
        clean, label, z = x[i : i + 1], y[i : i + 1], starts[i : i + 1]
        eta, k, support, peak = eps, d // 5, d, -math.inf
        for step in range(steps):
            g, f = gradient(net, z, label)
            if float(f) > peak:
                peak, best, slope = float(f), z, g
            if step and step % 2 == 0:  # every 4 %
                now = int((best != clean).sum())
                if now < 0.95 * support:
                    eta, z, g = eps, best, slope
                else:
                    eta = max(eta / 1.5, eps / 10)
                support, k = now, max(1, int(now / 1.5))
            chosen = torch.zeros(d, dtype=torch.float64)
            chosen[g.flatten().abs().topk(k).indices] = 1 / k
            z = ball.project(clean, z + eta * chosen.reshape(clean.shape) * g.sign())
        assert torch.allclose(ours[i : i + 1], z, rtol=0, atol=1e-8), i


def test_the_best_iterate_is_not_an_alias_of_the_present_one():
    """With an alias "no progress" would always be true, and the step halve at every checkpoint."""
    clean = torch.full((1, 2), 0.5, dtype=torch.float64)
    batch = Batch(
        Guard(torch.nn.Flatten(), 1), Linf(0.1), Misclassified(), clean, torch.tensor([0]),
        Keys(0, torch.arange(1)), torch.arange(1),
    )  # fmt: skip
    ascent, rule = Ascent.begin(clean, batch.goals), Momentum.begin(batch, clean)
    interval_at = checkpoints(100)
    for step in range(100):
        # It rises all the time.
        ascent = ascent.observe(torch.tensor([float(step)]), torch.ones_like(clean))
        rule, ascent = rule.adapt(batch, ascent, interval_at.get(step, 0), 0.75)
        rule, x = rule.move(batch, ascent, step == 0)
        ascent = ascent._replace(x=x)
    assert float(rule.eta) == pytest.approx(0.2)
    for step in range(100):  # and falls all the time: halved each time
        ascent = ascent.observe(torch.tensor([-float(step)]), torch.ones_like(clean))
        rule, ascent = rule.adapt(batch, ascent, interval_at.get(step, 0), 0.75)
    assert float(rule.eta) == pytest.approx(0.2 / 2 ** len(interval_at))
    assert float(ascent.f_best) == 99


@pytest.mark.parametrize("targeted", [False, True])
def test_the_dlr_is_its_formula_and_its_gradient(targeted):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 6, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.arange(50) % 6
    goals = (y + 1) % 6 if targeted else y
    batch = Batch(
        Guard(torch.nn.Flatten(), 50), Linf(0.1), Targeted() if targeted else Misclassified(),
        torch.zeros(50, 6), goals, Keys(0, torch.arange(50)), torch.arange(50),
    )  # fmt: skip
    ours = objective(batch, "dlr")(logits)
    theirs = []
    for z, goal in zip(logits, goals.tolist(), strict=True):
        s = z.sort(descending=True).values
        other = torch.cat([z[:goal], z[goal + 1 :]]).max()
        if targeted:
            theirs.append(-(other - z[goal]) / (s[0] - (s[2] + s[3]) / 2))
        else:
            theirs.append(-(z[goal] - other) / (s[0] - s[2]))
    theirs = torch.stack(theirs)
    assert torch.allclose(ours, theirs, atol=1e-9)
    pair = [torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for v in (ours, theirs)]
    assert torch.allclose(*pair, atol=1e-8)
    if not targeted:  # of one given target: Z_y − Z_t over the targeted denominator
        targets = (y + 2) % 6
        top = logits.sort(dim=1, descending=True).values
        expected = (logits[range(50), targets] - logits[range(50), y]) / (
            top[:, 0] - (top[:, 2] + top[:, 3]) / 2
        )
        assert torch.allclose(objective(batch, "dlr-targeted", targets)(logits), expected)
    assert bool(dlr(torch.zeros(1, 4, requires_grad=True), torch.zeros(1)).isfinite().all())


@pytest.mark.parametrize("loss", ["dlr", "dlr-targeted"])
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("targeted", [False, True])
def test_with_few_classes_the_margin_takes_the_place_of_the_dlr(loss, classes, targeted):
    net = mlp(12, classes)
    x = torch.rand(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = net(x).argmax(1)
    targets = (y + 1) % classes if targeted else None
    towards = targeted or loss == "dlr-targeted"
    needed = 4 if towards else 3
    attack = APGD(Linf(0.2), loss=loss, steps=30)
    if classes < needed:
        with pytest.warns(UserWarning, match=f'needs {needed} classes .* loss="margin"'):
            result = attack(net, x, y, targets)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = attack(net, x, y, targets)
    same = APGD(Linf(0.2), loss="margin", steps=30)(net, x, y, targets)
    assert int(result.success.sum()) >= int(same.success.sum()) - 1
    assert bool(same.success.any())
    if classes < needed:
        assert torch.equal(result.adversarials, same.adversarials)


def test_the_targets_are_taken_in_turn_and_samples_leave_when_fooled():
    net, x, y = conv_case(60, wrong=2)
    counts = {}
    for targets in (1, 2, 4, 50):
        result = APGD(Linf(0.003), loss="dlr-targeted", steps=10, targets=targets)(net, x, y)
        counts[targets] = result
        left = ~result.success & ~result.initially_wrong
        assert bool(left.any())
        assert result.backwards[left].unique().tolist() == [10 * min(targets, 4)]
        # The judge's two, the one that ranks the classes, and the run's 10 and its end.
        assert result.forwards[left].unique().tolist() == [11 * min(targets, 4) + 1 + 2]
    assert torch.equal(counts[4].adversarials, counts[50].adversarials)
    found = [int(counts[n].success.sum()) for n in (1, 2, 4)]
    assert found == sorted(found)


def test_one_pass_each_way_per_step_and_one_forward_at_the_end():
    net, x, y = conv_case(8, wrong=0)
    for loss in ("cross-entropy", "dlr"):
        result = APGD(Linf(1e-4), steps=7, restarts=2, loss=loss)(net, x, y)
        assert result.backwards.unique().tolist() == [14]
        assert result.forwards.unique().tolist() == [16 + 2]


THREE = Rescaled.pixels(Linf(0.05), (0.5,) * 3, (0.2,) * 3)
INDEPENDENT = {
    "linf": APGD(Linf(0.01), steps=8, restarts=2),
    "l2": APGD(L2(0.1), steps=8, loss="dlr"),
    "l1": APGD(L1(0.5), steps=25),
    "targeted": APGD(Linf(0.01), steps=8, loss="dlr-targeted", targets=2),
    "normalised": APGD(THREE, steps=8),
}


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize(("rows", "size"), [(torch.arange(N), 7), (ORDER, 64)])
def test_a_sample_does_not_depend_on_its_company(name, rows, size):
    net, images, labels = conv_case(N, torch.float64)
    whole = INDEPENDENT[name](net, images, labels, seed=3)
    parts = in_parts(INDEPENDENT[name], net, images, labels, rows, size)
    for field in ("success", "predictions", "rejected", "forwards", "backwards"):
        assert torch.equal(getattr(whole, field), getattr(parts, field)), field
    assert torch.allclose(whole.adversarials, parts.adversarials, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_masked_features_stay_and_the_others_reach_their_optimum(norm):
    w = torch.linspace(-1, 1, 10, dtype=torch.float64)
    x = torch.rand(5, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.arange(10) % 2 == 0
    attack = APGD(BALLS[norm](0.3), stop="never")
    y = torch.zeros(5, dtype=torch.int64)
    whole = attack(Affine(w, 20.0), x, y, mask=mask).adversarials
    part = attack(Affine(w[mask], 20.0), x[:, mask], y).adversarials
    assert torch.equal(whole[:, ~mask], x[:, ~mask])
    assert torch.allclose(whole[:, mask] @ w[mask], part @ w[mask], atol=2e-3)


@pytest.mark.parametrize("model", [Flat(), Saturated(), Tiny()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("threat", THREATS)
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.filterwarnings("ignore:the gradient was exactly 0")
def test_no_gradient_makes_a_nan(model, threat, loss):
    images = torch.tensor([0.0, 0.3, 1.0, 0.7]).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1)
    result = APGD(THREATS[threat], steps=30, loss=loss)(model, images, torch.tensor([0, 0]))
    assert bool(result.adversarials.isfinite().all())
    assert not bool(result.rejected.any() | result.success.any())
    if isinstance(model, Tiny) and loss == "margin":
        assert float((result.adversarials - images).sum()) < -0.05


def test_it_fools_more_than_pgd_ever_does_with_less():
    from saddlepoint.attacks import PGD

    net, x, y = conv_case(200, wrong=0)
    threat = Linf(0.0035)
    ours = APGD(threat, steps=30)(net, x, y)
    theirs = PGD(threat, steps=30)(net, x, y)
    assert 20 < int(theirs.success.sum()) < 180
    assert int(ours.success.sum()) >= int(theirs.success.sum())


def test_other_criteria_starts_and_boxes():
    net, x, y = conv_case(16, wrong=0)
    for loss in ("dlr", "dlr-targeted"):  # with Z_π3 below the fraction it would have no gradient
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = APGD(Linf(0.05), steps=20, loss=loss, criterion=OutsideTopK(2))(net, x, y)
        assert bool(result.success.any())
    threat = Linf(0.03)
    found = APGD(threat, steps=60)(net, x, y)
    again = APGD(threat, steps=5)(net, x, y, starts=found.adversarials)
    assert bool((again.success | ~found.success).all())
    assert int(again.backwards[found.success].max()) == 1
    box = Box((x - 0.03).clamp(0, 1), (x + 0.03).clamp(0, 1))
    boxed = APGD(box, steps=60)(net, x, y)
    assert int(boxed.success.sum()) >= int(found.success.sum()) - 1


def test_stop_never_hands_over_the_most_confident():
    net, x, y = conv_case(16, wrong=0)
    first = APGD(Linf(0.05), steps=20)(net, x, y)
    most = APGD(Linf(0.05), steps=20, stop="never")(net, x, y)
    with torch.no_grad():
        margin = [Misclassified().margin(net(r.adversarials), y) for r in (first, most)]
    assert bool((margin[1] <= margin[0]).all())
    assert float((margin[0] - margin[1]).mean()) > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"restarts": 0}, "restarts is 0"),
        ({"targets": 0}, "targets is 0"),
        ({"loss": "dlr_targeted"}, 'loss is "dlr_targeted"; it is one of .*, dlr-targeted'),
        ({"rho": 0.0}, "rho is 0.0"),
        ({"rho": math.nan}, "rho is nan"),
        ({"keep": "last", "restarts": 2}, 'keep="last"'),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        APGD(Linf(0.1), **options)
    with pytest.raises(InputError, match="no radius to shrink"):
        APGD(Box(0.0, 1.0), shrinking=True)
