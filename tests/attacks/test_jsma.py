"""JSMA against the paper's algorithm in plain loops over all pairs, and what surrounds it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from networks import conv_case, mlp

from saddlepoint.attacks import AttackResult, BinaryLogit
from saddlepoint.attacks.geometry import pairs
from saddlepoint.attacks.geometry.pairs import best_pairs
from saddlepoint.attacks.minimum_norm.jsma import JSMA
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L2, Rescaled


def every_pair(a, b, free):
    """The first pair of largest product of sums, both positive, by looking at all."""
    best, pair = 0.0, None
    for p, q in itertools.combinations(range(len(a)), 2):
        alpha, beta = float(a[p] + a[q]), float(b[p] + b[q])
        if free[p] and free[q] and alpha > 0 and beta > 0 and (pair is None or alpha * beta > best):
            best, pair = alpha * beta, (p, q)
    return pair


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("candidates", [2, 5, 32])
def test_the_pair_is_the_best_of_all(whole, candidates):
    generator = torch.Generator().manual_seed(int(whole))
    for n in (2, 3, 7, 30):
        a, b = torch.randn(2, 12, n, generator=generator, dtype=torch.float64)
        if whole:  # ties everywhere
            a, b = a.round(), b.round()
        free = torch.rand(12, n, generator=generator) < 0.8
        pairs, found = best_pairs(a, b, free, candidates)
        for i in range(12):
            want = every_pair(a[i], b[i], free[i])
            assert bool(found[i]) == (want is not None)
            if want is not None:
                assert tuple(pairs[i].tolist()) == want


def test_opposed_scores_leave_many_candidates_and_the_pair_is_still_the_best():
    """b falls as a rises: hardly a feature is ruled out by its bound."""
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(4, 600, generator=generator, dtype=torch.float64)
    b = 1 - a + 0.01 * torch.rand(4, 600, generator=generator, dtype=torch.float64)
    pairs, found = best_pairs(a, b, torch.ones(4, 600, dtype=torch.bool))
    assert bool(found.all())
    table = (a[:, :, None] + a[:, None]) * (b[:, :, None] + b[:, None])
    table = table.triu(1).flatten(1)
    got = table.gather(1, (pairs[:, :1] * 600 + pairs[:, 1:]))
    assert torch.equal(got[:, 0], table.amax(1))


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_a_search_among_many_features_looks_at_a_bounded_number(noise, monkeypatch):
    """Features that all but cancel: none is ruled out by its bound, and without noise none has a
    partner.
    """
    among = pairs._among

    def bounded(a, b, bound, count):
        assert count <= 4096, "all pairs of as many features are looked at"
        return among(a, b, bound, count)

    monkeypatch.setattr(pairs, "_among", bounded)
    generator = torch.Generator().manual_seed(0)
    a, other = torch.randn(2, 2, 30_000, generator=generator)
    b = -a - 0.01 if noise == 0 else -a + noise * other
    pair, found = best_pairs(a, b, torch.ones(2, 30_000, dtype=torch.bool))
    assert bool(found.all()) == (noise > 0)
    assert not found.any() or bool((a.gather(1, pair).sum(1) > 0).all())
    assert not found.any() or bool((b.gather(1, pair).sum(1) > 0).all())


@pytest.mark.parametrize("kind", ["hardly any", "whole", "opposed"])
def test_a_lonely_pair_is_found(kind):
    generator = torch.Generator().manual_seed(2)
    for n in (3, 9, 40):
        a, b = torch.randn(2, 8, n, generator=generator, dtype=torch.float64)
        b = -a + {"hardly any": 0.05, "whole": 0.3, "opposed": 0.0}[kind] * b
        if kind == "whole":
            a, b = (4 * a).round(), (4 * b).round()
        free = torch.rand(8, n, generator=generator) < 0.9
        pair, found = best_pairs(a, b, free, 2)
        for i in range(8):
            want = every_pair(a[i], b[i], free[i])
            assert bool(found[i]) == (want is not None)
            assert want is None or tuple(pair[i].tolist()) == want


def test_a_single_feature_has_no_pair():
    one = torch.ones(3, 1)
    assert not bool(best_pairs(one, one, one > 0)[1].any())


def published(net, image, label, target, theta, on, allowed):
    """The paper's loop for one image: the Jacobian row by row, all pairs, until success."""
    x = image.clone()
    if target is None:
        with torch.no_grad():
            logits = net(x[None])[0]
        logits[label] = -torch.inf
        aim = int(logits.argmax())
    else:
        aim = target

    def outputs(flat):
        z = net(flat.reshape(1, *image.shape))[0]
        return z.softmax(0) if on == "probabilities" else z

    while True:
        with torch.no_grad():
            now = int(net(x[None]).argmax())
        if now == target or (target is None and now != label):
            return x
        if int((x != image).sum()) + 2 > allowed:
            return None
        jacobian = torch.autograd.functional.jacobian(outputs, x.flatten())
        alpha = jacobian[aim]
        beta = jacobian.sum(0) - alpha
        free = (x < 1 if theta > 0 else x > 0).flatten()
        sign = 1 if theta > 0 else -1
        pair = every_pair(sign * alpha, -sign * beta, free)
        if pair is None:
            return None
        flat = x.flatten()
        for each in pair:
            flat[each] = (flat[each] + theta).clamp(0, 1)
        x = flat.reshape(x.shape)


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.5])
@pytest.mark.parametrize("on", ["logits", "probabilities"])
@pytest.mark.parametrize("targeted", [False, True])
def test_step_by_step_it_is_the_papers_loop(theta, on, targeted):
    net = mlp(12, classes=4, seed=2, gain=2.0)
    images = torch.rand(
        10, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    with torch.no_grad():
        labels = net(images).argmax(1)
    targets = (labels + 1) % 4 if targeted else None
    attack = JSMA(L0(), theta=theta, on=on, max_changed=0.7, bisections=0)
    result = attack(net, images, labels, targets)
    reached = 0
    for i in range(10):
        target = None if targets is None else int(targets[i])
        want = published(net, images[i], int(labels[i]), target, theta, on, allowed=8)
        assert bool(result.success[i]) == (want is not None)
        if want is not None:
            reached += 1
            assert torch.allclose(result.adversarials[i], want, rtol=0, atol=1e-12)
    assert reached >= 1, "the problem tells nothing"


def test_k_backward_passes_are_two_or_one_however_many_classes():
    net, images, labels = conv_case(8, torch.float64, wrong=0)
    for on, each in (("logits", 2), ("probabilities", 1)):
        result = JSMA(L0(), on=on, max_changed=0.1, bisections=0)(net, images, labels)
        known = result.success
        assert int(known.sum()) >= 4
        steps = result.distance[known] / 2
        # A Jacobian for each pair, and at most one more, in which success was seen.
        assert bool((result.backwards[known] <= each * (steps + 1)).all())
        assert bool((result.forwards[known] <= steps + 1 + 3).all())


def test_no_more_than_the_share_changes():
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    targets = (labels + 2) % 5
    few, many = (
        JSMA(L0(), max_changed=share, bisections=0)(net, images, labels, targets)
        for share in (0.03, 0.5)
    )
    assert float(few.distance[few.success].max()) <= 0.03 * 192
    assert few.success_rate < many.success_rate
    assert bool(few.distance[~few.success].isinf().all())
    assert torch.equal(few.adversarials[few.success], many.adversarials[few.success])


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_changes_that_were_not_needed_are_dropped(theta):
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    rough, fine = (JSMA(L0(), theta=theta, bisections=n)(net, images, labels) for n in (0, 10))
    assert bool((fine.distance <= rough.distance).all())
    assert int((fine.distance < rough.distance).sum()) >= 3
    for result in (rough, fine):
        changed = result.adversarials[result.adversarials != images]
        assert bool((changed == (1.0 if theta > 0 else 0.0)).all())


@pytest.mark.parametrize("on", ["logits", "probabilities"])
def test_company_does_not_matter(on):
    net, images, labels = conv_case(24, torch.float64)
    attack = JSMA(L0(), on=on, max_changed=0.05)
    targets = (labels + 2) % 5
    whole = attack(net, images, labels, targets)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    parts = [attack(net, images[p], labels[p], targets[p], ids=p) for p in order.split(7)]
    joined, back = AttackResult.cat(parts), order.argsort()
    assert torch.allclose(whole.adversarials, joined.adversarials[back], rtol=0, atol=1e-9)
    assert torch.equal(whole.forwards, joined.forwards[back])
    assert torch.equal(whole.backwards, joined.backwards[back])
    assert 0.2 < whole.success_rate < 0.95


def test_masked_features_stay_and_pixels_are_counted():
    net, images, labels = conv_case(16, torch.float64, wrong=0)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    result = JSMA(L0(), max_changed=0.3)(net, images, labels, mask=mask)
    assert bool((result.adversarials == images)[:, ~mask].all())
    assert result.success_rate > 0.5
    pixels = JSMA(L0(per="pixel"), bisections=0)(net, images, labels)
    features = JSMA(L0(), bisections=0)(net, images, labels)
    assert torch.equal(pixels.adversarials, features.adversarials)
    changed = (pixels.adversarials != images).any(1).flatten(1).sum(1)
    assert torch.equal(pixels.distance[pixels.success], changed[pixels.success].double())


def test_in_normalised_space_it_is_the_same_attack():
    net, images, labels = conv_case(8, torch.float64, wrong=0)
    scaled = Rescaled.pixels(L0(), (0.5,) * 3, (0.2,) * 3)
    there, here = (JSMA(each)(net, images, labels) for each in (scaled, L0()))
    assert here.success_rate > 0.9
    assert torch.allclose(there.adversarials, here.adversarials, rtol=0, atol=1e-6)
    free = Rescaled(L0(lower=-float("inf"), upper=float("inf")), (0.5,) * 3, (0.2,) * 3)
    with pytest.raises(InputError, match="bounds of the range"):
        JSMA(free)(net, images, labels)


@pytest.mark.parametrize("on", ["logits", "probabilities"])
def test_two_classes_and_one_logit(on):
    w = torch.tensor([1.0, -2.0, -0.5, 0.3])
    net = torch.nn.Linear(4, 2, bias=False)
    net.weight.data = torch.stack([w, -w])
    x = torch.tensor([[0.9, 0.1, 0.1, 0.9]])
    attack = JSMA(L0(), on=on, max_changed=1.0, bisections=0)
    two = attack(net, x, torch.tensor([0]))
    one = torch.nn.Linear(4, 1, bias=False)
    one.weight.data = w[None]
    single = JSMA(L0(), on=on, max_changed=1.0, bisections=0, criterion=BinaryLogit())
    for result in (two, single(one, x, torch.tensor([1]))):
        assert result.adversarials.tolist() == [pytest.approx([0.9, 1.0, 1.0, 0.9])]
    back = replace(single, theta=-1.0)(one, 1 - x, torch.tensor([0]))
    assert back.adversarials.tolist() == [pytest.approx([0.1, 0.0, 0.0, 0.1])]


def test_where_the_softmax_is_saturated_only_the_logits_lead_on():
    net, images, labels = conv_case(12, wrong=0)
    sharp = torch.nn.Sequential(net, Times(1e4))
    on_logits = JSMA(L0())(sharp, images, labels)
    with pytest.warns(UserWarning, match="exactly 0"):
        on_probabilities = JSMA(L0(), on="probabilities")(sharp, images, labels)
    assert on_logits.success_rate == 1.0
    assert on_probabilities.success_rate < 0.5
    assert bool(on_probabilities.adversarials.isfinite().all())


class Times(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"theta": 0.0}, "theta is 0.0"),
        ({"theta": 1.5}, "theta is 1.5"),
        ({"max_changed": 0.0}, "max_changed is 0.0"),
        ({"max_changed": 1.1}, "max_changed is 1.1"),
        ({"on": "labels"}, 'on is "labels"'),
        ({"bisections": -1}, "bisections is -1"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        JSMA(L0(), **options)
    with pytest.raises(InputError, match="no L2 form"):
        JSMA(L2())
    with pytest.raises(InputError, match="without a budget"):
        JSMA(L0(5))
