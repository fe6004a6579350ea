"""Sparse-RS against every set of places, and within its budget whatever is asked."""

from __future__ import annotations

from itertools import combinations, product

import pytest
import torch
from networks import conv_case

from saddlepoint.attacks import SparseRS, UniformNoise
from saddlepoint.threat import L0

NET = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3)).double()


def network():
    torch.manual_seed(3)
    for layer in (NET[0], NET[2]):
        layer.weight.data.normal_()
        layer.bias.data.normal_()
    return NET


def least_margin(net, image, label, k):
    """The least margin with k features at ends of the range, by trying all."""
    tries = []
    for places in combinations(range(len(image)), k):
        for ends in product((0.0, 1.0), repeat=k):
            x = image.clone()
            x[list(places)] = torch.tensor(ends, dtype=x.dtype)
            tries.append(x)
    logits = net(torch.stack(tries)).detach()
    other = logits.scatter(1, torch.full((len(tries), 1), int(label)), -torch.inf).amax(1)
    return float((logits[:, int(label)] - other).min())


@pytest.mark.parametrize("k", [1, 2])
def test_it_finds_the_best_of_all_corners(k):
    net, images = network(), torch.rand(8, 6, dtype=torch.float64)
    labels = net(images).argmax(1)
    attack = SparseRS(L0(k), queries=500, stop="never")
    found = attack(net, images, labels).adversarials
    logits = net(found).detach()
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    reached = logits.gather(1, labels[:, None])[:, 0] - other
    best = [least_margin(net, *each, k) for each in zip(images, labels, strict=True)]
    assert reached.tolist() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("per", ["feature", "pixel"])
def test_places_are_features_or_pixels_and_masked_ones_stay(per):
    net, images, labels = conv_case(12, torch.float64, wrong=0)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, 2:6, 2:6] = True
    eps = torch.arange(12).double()
    result = SparseRS(L0(1, per=per), queries=60)(net, images, labels, eps=eps, mask=mask)
    assert not bool(result.rejected.any())
    assert bool((result.adversarials == images)[:, ~mask].all())
    changed = (result.adversarials != images).flatten(2)
    count = changed.any(1).sum(1) if per == "pixel" else changed.sum((1, 2))
    assert bool((count <= eps).all())
    assert int((count == eps).sum()) >= 8
    assert int(result.success.sum()) >= 2


def test_it_needs_fewer_queries_than_noise_and_no_gradient():
    net, images, labels = conv_case(24, wrong=0)
    found = SparseRS(L0(3), queries=300)(net, images, labels)
    noise = UniformNoise(L0(3), draws=300)(net, images, labels)
    assert found.success_rate > noise.success_rate
    assert int(found.forwards.sum()) < int(noise.forwards.sum()) / 2
    assert not bool(found.backwards.any())
    safe = SparseRS(L0(1), queries=50)(net, images, labels)
    assert int(safe.forwards.max()) == 50 + 2


def test_a_budget_of_everything_changes_everything():
    net, images = network(), torch.rand(4, 6, dtype=torch.float64)
    labels = net(images).argmax(1)
    first, result = (
        SparseRS(L0(50), queries=queries, stop="never", keep="last")(net, images, labels)
        for queries in (2, 200)
    )
    assert not bool(result.rejected.any())
    assert bool((result.adversarials != images).all())
    assert not torch.equal(first.adversarials, result.adversarials)
