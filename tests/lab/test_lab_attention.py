"""Attention under attack, and few-shot learning: their parts against what is known."""

from __future__ import annotations

import pytest
import torch
from lab_cases import bench
from sklearn.linear_model import Ridge as Peer
from torch import nn

from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.lab.attention_under_attack import AttentionSettings, run_attention
from saddlepoint.lab.confined import random_corner, random_patches
from saddlepoint.lab.few_shot import FewShotSettings, run_few_shot
from saddlepoint.lab.new_classes import drawn, of_classes, with_new_head
from saddlepoint.lab.ridge import Ridge, features_of
from saddlepoint.zoo import build_model


def test_patches_are_whole_and_as_many_as_asked_for():
    images = torch.rand(50, 2, 8, 12)
    mask = random_patches(images, 4, 2, seed=3)
    inside = mask.unfold(2, 4, 4).unfold(3, 4, 4)  # (n, c, 2, 3, 4, 4)
    whole = inside.flatten(4).all(-1)
    assert (whole == inside.flatten(4).any(-1)).all()
    assert (whole[:, 0] == whole[:, 1]).all()
    assert (whole[:, 0].flatten(1).sum(1) == 2).all()
    often = whole[:, 0].double().mean(0)
    assert float((often - 1 / 3).abs().max()) < 5 * (2 / 9 / 50) ** 0.5
    assert (random_patches(images, 4, 2, seed=3) == mask).all()
    with pytest.raises(InputError, match="an image has 6"):
        random_patches(images, 4, 7, seed=3)
    with pytest.raises(InputError, match="no multiple"):
        random_patches(images, 5, 1, seed=3)


def test_a_corner_is_as_far_as_the_budget_and_the_range_allow():
    images = torch.rand(8, 1, 6, 6)
    mask = random_patches(images, 3, 1, seed=0)
    moved = random_corner(images, 0.2, mask, seed=1)
    room = torch.minimum(torch.tensor(0.2), torch.where(moved > images, 1 - images, images))
    change = (moved - images).abs()
    torch.testing.assert_close(change[mask], room[mask])
    assert float(change[~mask].max()) == 0
    assert 0.2 < float((moved > images)[mask].double().mean()) < 0.8


def test_attention_that_looks_evenly_does_not_move_and_gives_even_shares():
    net = build_model("vit-micro", classes=10, shape=(1, 8, 8), options={"patch": 2}).eval()
    for block in net.blocks:
        nn.init.zeros_(block.attention.qkv.weight[:96])
        nn.init.zeros_(block.attention.qkv.bias[:96])
    net.head.bias.data[0] = 9.0  # always class 0, which some images are
    settings = AttentionSettings(budgets=(0.1,), patches=(1, 4), steps=2)
    found = run_attention(bench(given=net), settings)
    assert len(found.cases) == 6
    for each in found.cases:
        assert all(bits == pytest.approx(0, abs=1e-9) for bits in each.divergence.values())
        for shares in (each.before, each.after):
            assert all(share == pytest.approx(each.even) for share in shares.values())
    assert [each.even for each in found.cases if each.confined] == [1 / 16] * 2 + [1 / 4] * 2


def test_a_swin_has_divergences_and_no_shares():
    net = build_model("swin-micro", classes=10, shape=(1, 8, 8)).eval()
    net.head.bias.data[0] = 9.0
    found = run_attention(
        bench(given=net), AttentionSettings(budgets=(0.3,), patches=(2,), steps=2)
    )
    assert all(each.before == each.after == {} for each in found.cases)
    for each in found.cases:
        *first, last, end = each.divergence.values()
        assert all(bits > 0 for bits in first)
        assert last == end == 0  # the last map is one token, which looks at itself


def test_a_larger_budget_moves_attention_further_and_pgd_beats_its_control():
    settings = AttentionSettings(seeds=1, budgets=(5 / 255, 51 / 255), patches=(4,), steps=10)
    found = run_attention(bench(40, epochs=8), settings)
    rows = {(each.where, each.change): each for each in found.cases}

    def bits(where, change):
        return sum(rows[where, change].divergence.values())

    for change in ("PGD", "noise"):
        assert bits("eps 51/255", change) > 5 * bits("eps 5/255", change)
    assert rows["eps 51/255", "PGD"].accuracy < rows["eps 51/255", "noise"].accuracy
    assert rows["eps 51/255", "PGD"].length <= 0.2 * 8 + 1e-6


def test_models_without_attention_are_refused():
    with pytest.raises(InputError, match="no attention of this package"):
        run_attention(
            bench(given=build_model("simple-cnn", classes=10, shape=(1, 8, 8))), AttentionSettings()
        )


@pytest.mark.parametrize(("n", "d"), [(12, 5), (5, 12), (1, 3)])
@pytest.mark.parametrize("alpha", [0.01, 1.0, 30.0])
def test_ridge_regression_is_that_of_scikit_learn(n, d, alpha):
    keep = torch.Generator().manual_seed(0)
    x, labels = torch.randn(n, d, generator=keep), torch.arange(n) % 3
    found = Ridge.fitted(x, labels, 3, alpha)
    peer = Peer(alpha=alpha, solver="cholesky" if n > d else "svd")
    peer.fit(x.double().numpy(), 2 * nn.functional.one_hot(labels, 3).double().numpy() - 1)
    torch.testing.assert_close(found.weights, torch.as_tensor(peer.coef_).T, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(
        found.intercept, torch.as_tensor(peer.intercept_), atol=1e-10, rtol=1e-8
    )


def test_features_are_what_the_head_is_given():
    net = build_model("resnet20", classes=4, shape=(1, 8, 8)).eval()
    images = torch.rand(5, 1, 8, 8)
    found = features_of(net, images, batch_size=2)
    head = [part for part in net.modules() if isinstance(part, nn.Linear)][-1]
    kept = []
    head.register_forward_pre_hook(lambda _, given: kept.append(given[0].detach()))
    net(images)
    torch.testing.assert_close(found, nn.functional.normalize(kept[0], dim=1))


def test_a_new_head_leaves_the_rest_as_it_was():
    net = build_model("vit-micro", classes=10, shape=(1, 8, 8)).eval()
    zero, random, again = (
        with_new_head(net, 3, zero=zero, seed=seed)
        for zero, seed in ((True, 0), (False, 0), (False, 0))
    )
    images = torch.rand(2, 1, 8, 8)
    assert zero(images).tolist() == [[0.0] * 3] * 2
    assert net(images).shape == (2, 10)
    assert float(random(images).detach().abs().min()) > 0
    assert torch.equal(random(images), again(images))
    torch.testing.assert_close(features_of(zero, images), features_of(net, images))


def test_draws_have_as_many_of_each_class_and_no_image_twice():
    labels = torch.arange(60) % 3
    rows = drawn(labels, 7, seed=1)
    assert len(set(rows.tolist())) == 21
    assert labels[rows].bincount().tolist() == [7, 7, 7]
    with pytest.raises(InputError, match="fewer than 21"):
        drawn(labels, 21, seed=1)


def test_new_classes_share_no_image_with_the_old_and_keep_their_names():
    data = bench().train
    new = of_classes(data, [8, 2])
    assert new.classes == (data.classes[8], data.classes[2])
    assert len(new) == int(((data.labels == 8) | (data.labels == 2)).sum())
    assert torch.equal(
        new.images((new.labels == 0).nonzero()[:, 0]),
        data.images((data.labels == 8).nonzero()[:, 0]),
    )
    assert new.mean == data.mean


def test_few_shot_learns_more_from_more_images_and_beats_chance():
    settings = FewShotSettings(("vit-micro",), seeds=1, shots=(1, 8), episodes=8, tuned=4, steps=3)
    found = run_few_shot(bench(120, epochs=6), settings)
    for network, source in found.lines:
        few, many = (values[0] for values in found.means(network, source).values())
        assert 0.2 < few < many
    assert len(found.lines) == 3
    assert [each.head for each in found.tuned] == ["zero", "random"]
    assert all(each.robust <= each.clean for each in found.tuned)
    assert {len(table.rows) > 0 for table in found.tables().values()} == {True}


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (lambda: bench(given=nn.Flatten()), "leave the weights out"),
        (lambda: few_classes(), "needs 4"),
    ],
)
def test_what_few_shot_cannot_use_is_refused(subject, message):
    with pytest.raises(InputError, match=message):
        run_few_shot(subject(), FewShotSettings(seeds=1))


def few_classes():
    from saddlepoint.lab import Bench

    data = TensorData.of(torch.rand(6, 1, 8, 8), torch.arange(6) % 3, name="three")
    return Bench(data, lambda: data, epochs=1)
