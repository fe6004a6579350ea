"""The whole-patch attack: its choice of patches against all choices, its pixels against all values,
and a judge that counts patches itself.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from networks import conv_case
from small import digits, trained
from torch import nn

from saddlepoint.attacks import (
    FixedBudget,
    PatchPGD,
    Restarted,
    SmallestBudget,
    UniformNoise,
    build_attack,
)
from saddlepoint.errors import InputError
from saddlepoint.model import ten_crop
from saddlepoint.threat import Linf, Patches
from saddlepoint.zoo import build_model, record_attention


def linear(seed, classes=2):
    """A linear model of images (2, 4, 6), and an image of class 0."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, classes)).double()
    for parameter in net.requires_grad_(False).parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    x = torch.rand(1, 2, 4, 6, generator=generator, dtype=torch.float64)
    return net, x


def least_margin(net, x, label, cells):
    """The smallest margin of two classes with these patches free: each pixel at one of its ends."""
    w = (net[1].weight[label] - net[1].weight[1 - label]).reshape(x.shape)
    point = x.clone()
    for i in cells:
        row, column = divmod(i, 3)
        here = (..., slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
        point[here] = (w[here] < 0).to(x.dtype)
    logits = net(point)[0]
    return float(logits[label] - logits[1 - label])


def changed(x, found, size=2):
    return Patches(1, size=size).changed(x, found)[0].nonzero().flatten().tolist()


def margin_of(net, x, label):
    logits = net(x)[0]
    return float(logits[label] - logits[1 - label])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2])
def test_of_a_linear_model_it_finds_the_optimum_over_all_choices(seed, k):
    net, x = linear(seed)
    label = net(x).argmax(1)
    result = PatchPGD(Patches(k, size=2), stop="never")(net, x, label)
    every = [
        least_margin(net, x, int(label), cells) for cells in itertools.combinations(range(6), k)
    ]
    found = margin_of(net, result.adversarials, label)
    assert found == pytest.approx(min(every), rel=1e-6, abs=1e-9)
    assert len(changed(x, result.adversarials)) == k


@pytest.mark.parametrize("seed", range(8))
def test_by_the_gradient_they_are_where_it_is_longest(seed):
    net, x = linear(seed)
    label = net(x).argmax(1)
    attack = PatchPGD(Patches(2, size=2), stop="never", chosen_by="gradient")
    result = attack(net, x, label)
    chosen = changed(x, result.adversarials)
    w = (net[1].weight[0] - net[1].weight[1]).reshape(x.shape)
    longest = Patches(1, size=2).totals(w.square())[0].topk(2).indices
    assert sorted(chosen) == sorted(longest.tolist())
    best = least_margin(net, x, int(label), chosen)
    assert margin_of(net, result.adversarials, label) == pytest.approx(best, rel=1e-6, abs=1e-9)


def test_every_single_patch_of_a_small_network():
    """Brute force: the attack inside each patch in turn. The choices are good, and draws are not."""
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    threat, ranks, margins = Patches(1, size=2), ("gain", "gradient", "random"), []
    for cell in range(16):
        row, column = divmod(cell, 4)
        mask = torch.zeros(3, 8, 8, dtype=torch.bool)
        mask[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
        result = PatchPGD(threat, stop="never")(net, images, labels, mask=mask)
        margins.append(least(net, result.adversarials, labels))
    best = torch.stack(margins).amin(0)
    clean, share = least(net, images, labels), {}
    for name in ranks:
        result = PatchPGD(threat, stop="never", chosen_by=name)(net, images, labels)
        found = least(net, result.adversarials, labels)
        share[name] = float(((clean - found) / (clean - best)).mean())
    assert min(share["gain"], share["gradient"]) > max(0.6, share["random"] + 0.1)
    assert max(share.values()) <= 1 + 1e-6


def least(net, images, labels):
    with torch.no_grad():
        logits = net(images)
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return logits.gather(1, labels[:, None])[:, 0] - others


def test_restarts_find_the_best_patch_where_the_longest_gradient_misleads():
    net, x = linear(0)
    net[1].weight.data.zero_()
    weights = torch.zeros(2, 2, 4, 6, dtype=torch.float64)
    # The first patch has the longer gradient and is at its end already; the last has far to go.
    weights[1, :, :2, :2], weights[1, :, 2:, 4:] = 3, 1
    net[1].weight.data = weights.reshape(2, 48)
    net[1].bias.data = torch.tensor([26.0, 0.0], dtype=torch.float64)
    x[..., :2, :2], x[..., 2:, 4:] = 1.0, 0.0
    label = torch.tensor([0])
    attack = PatchPGD(Patches(1, size=2), chosen_by="gradient")
    once, several = (replace(attack, restarts=n)(net, x, label) for n in (1, 20))
    assert (once.success.tolist(), several.success.tolist()) == ([False], [True])
    assert changed(x, several.adversarials) == [5]


class Stepped(nn.Module):
    """Two patches fool together; the second has no gradient until the first is bright."""

    def forward(self, x):
        first, second = x[:, 0, :2, :2].mean((1, 2)), x[:, 0, 2:, 4:].mean((1, 2))
        other = x[:, 0, :2, 4:].mean((1, 2))
        score = first + 3 * (first - 0.5).clamp_min(0) * second + 0.3 * other - 1.7
        return torch.stack([-score, score], 1)


def test_in_rounds_patches_are_chosen_by_what_was_found_before():
    x, label = torch.zeros(1, 1, 4, 6, dtype=torch.float64), torch.tensor([0])
    threat = Patches(2, size=2)
    at_once = PatchPGD(threat, start="clean")(Stepped(), x, label)
    in_rounds = PatchPGD(threat, start="clean", rounds=2)(Stepped(), x, label)
    assert changed(x, at_once.adversarials) == [0, 2]
    assert changed(x, in_rounds.adversarials) == [0, 5]
    assert (at_once.success.tolist(), in_rounds.success.tolist()) == ([False], [True])


class Greedy(FixedBudget):
    """Offers one patch more than is allowed."""

    norms = ("Patches",)

    def perturb(self, batch, tracker):
        threat = batch.ball.with_eps(batch.ball.eps + 1)
        x = threat.project(batch.images, 1 - batch.clean)
        tracker.offer(batch, x)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_judge_refuses_one_patch_more(k):
    net, images, labels = conv_case(6, wrong=0)
    with pytest.warns(UserWarning, match="Greedy left the budget"):
        result = Greedy(Patches(k, size=2))(net, images, labels)
    assert bool(result.rejected.all())
    assert not bool(result.success.any())
    allowed = UniformNoise(Patches(k, size=2), draws=3)(net, images, labels)
    assert not bool(allowed.rejected.any())


def test_more_patches_fool_more_and_each_image_keeps_to_its_own():
    net, images, labels = conv_case(24, torch.float64, wrong=0)
    attack = PatchPGD(Patches(1, size=1), steps=10)
    fooled = [int(attack(net, images, labels, eps=k).success.sum()) for k in (0, 1, 2, 4, 8)]
    assert fooled == sorted(fooled)
    assert fooled[0] == 0 < fooled[1] < fooled[-1]
    budgets = torch.arange(24) % 4
    result = attack(net, images, labels, eps=budgets)
    assert bool((result.distance <= budgets).all())
    assert not bool(result.rejected.any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_does_not_depend_on_its_company(dtype):
    net, images, labels = conv_case(16, dtype)
    attack = PatchPGD(Patches(2, size=2), steps=6, restarts=2, rounds=2)
    whole = attack(net, images, labels, seed=3)
    assert 0 < int((whole.success & ~whole.initially_wrong).sum()) < 16
    for i in (3, 7, 12):
        alone = attack(net, images[i : i + 1], labels[i : i + 1], seed=3, ids=torch.tensor([i]))
        assert alone.success.tolist() == [bool(whole.success[i])]
        near = 1e-9 if dtype == torch.float64 else 1e-4
        assert torch.allclose(alone.adversarials[0], whole.adversarials[i], rtol=0, atol=near)
        assert int(alone.forwards) == int(whole.forwards[i])


def test_a_mask_keeps_its_patches_and_its_pixels_out():
    net, images, labels = conv_case(12, torch.float64, wrong=0)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, 4:, 4:] = True
    mask[:, 5, 5] = False
    result = PatchPGD(Patches(2, size=2), steps=6)(net, images, labels, mask=mask)
    moved = result.adversarials != images
    assert not bool(moved[:, ~mask].any())
    assert bool(moved.any())
    assert bool((result.distance <= 2).all())


def test_a_given_start_keeps_its_patches():
    net, images, labels = conv_case(4, torch.float64, wrong=0)
    starts = images.clone()
    starts[..., :2, :2] = 1 - starts[..., :2, :2]
    result = PatchPGD(Patches(2, size=2), steps=3, stop="never")(net, images, labels, starts=starts)
    assert all(0 in changed(images[i : i + 1], result.adversarials[i : i + 1]) for i in range(4))


def test_on_trained_networks_the_gain_is_the_better_choice():
    data = digits("test", 60)
    images, labels = data.images(torch.arange(60)), data.labels
    fooled = {
        name: int(
            PatchPGD(Patches(1, size=2), chosen_by=name)(trained(), images, labels).success.sum()
        )
        for name in ("gain", "gradient", "random")
    }
    assert fooled["gain"] > fooled["gradient"] > fooled["random"]


def test_inside_a_patch_no_pixel_moves_by_more():
    net, images, labels = conv_case(12, wrong=0)
    threat = Patches(4, size=2, inside=8 / 255)
    result = PatchPGD(threat, steps=5, stop="never")(net, images, labels)
    assert not bool(result.rejected.any())
    assert float((result.adversarials.double() - images.double()).abs().max()) <= 8 / 255 * (
        1 + 1e-6
    )
    assert bool((result.distance == 4).all())


def test_the_fewest_patches_are_searched_for():
    net, images, labels = conv_case(12, torch.float64, wrong=0)
    attack = PatchPGD(Patches(4, size=2), steps=10)
    fewest = SmallestBudget(attack)(net, images, labels)
    assert bool((fewest.distance[fewest.success] >= 1).all())
    at_four = attack(net, images, labels).success
    assert bool(fewest.success[at_four].all())
    assert int(Restarted(attack, 3)(net, images, labels).success.sum()) >= int(at_four.sum())


def test_what_is_refused():
    assert build_attack("patch", Patches(2, size=8), {"rounds": "2"}).rounds == 2
    with pytest.raises(InputError, match="PatchPGD has no Linf form; it takes Patches"):
        PatchPGD(Linf(0.1))
    with pytest.raises(InputError, match="PGD has no Patches form"):
        build_attack("pgd", Patches(1))
    with pytest.raises(InputError, match='chosen_by is "attentoin"'):
        PatchPGD(Patches(1), chosen_by="attentoin")
    net, images, labels = conv_case(2)
    with pytest.raises(InputError, match="images of 8×8 are no multiple of patches of 3×3"):
        PatchPGD(Patches(1, size=3))(net, images, labels)
    with pytest.raises(InputError, match="needs a budget"):
        PatchPGD(Patches(size=2))(net, images, labels)


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("pool", ["class", "mean"])
def test_patches_are_chosen_by_attention(pool, size):
    options = {"depth": 2, "pool": pool}
    net = build_model("vit-micro", classes=10, shape=(3, 16, 32), options=options).eval()
    x = torch.rand(3, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    with record_attention(net) as maps, torch.no_grad():
        y = net(x).argmax(1)
    seen = torch.stack(list(maps.values())).mean((0, 2))  # over layers and heads
    on = seen[:, 0, 1:] if pool == "class" else seen.mean(1)
    blocks = on.reshape(3, 1, 4, 8)
    if size == 8:
        blocks = torch.nn.functional.avg_pool2d(blocks, 2)
    threat = Patches(2, size=size)
    attack = PatchPGD(threat, steps=3, chosen_by="attention")
    made = attack.candidates(net, x, y)
    changed = threat.changed(x, made)
    wanted = torch.zeros_like(changed).scatter(1, blocks.flatten(1).topk(2).indices, True)
    assert torch.equal(changed, wanted)


def test_no_attention_and_that_of_windows_are_refused():
    x = torch.rand(2, 3, 16, 16)
    for name, message in (("resnet20", "no attention"), ("swin-micro", "the attention of windows")):
        net = build_model(name, classes=10, shape=(3, 16, 16)).eval()
        with pytest.raises(InputError, match=message):
            PatchPGD(Patches(2, size=4), chosen_by="attention")(net, x, net(x).argmax(1))


def test_attention_of_several_views_of_an_image_is_refused():
    net = ten_crop(build_model("vit-micro", classes=10, shape=(3, 16, 16)).eval(), 1)
    x = torch.rand(2, 3, 16, 16)
    with pytest.raises(InputError, match="several times a pass"):
        PatchPGD(Patches(2, size=4), chosen_by="attention")(net, x, net(x).argmax(1))
