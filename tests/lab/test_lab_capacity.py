"""Capacity, the transfer table and the L2 distances: against closed forms, and by what was counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from networks import Affine
from small import digits, trained
from torch import nn

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.lab import (
    EXPERIMENTS,
    Bench,
    Capacity,
    CapacitySettings,
    L2Overestimate,
    OverestimateSettings,
    TransferTableSettings,
    l2_distances,
    run_capacity,
    run_l2_overestimate,
    run_transfer_table,
    transfer_table,
)
from saddlepoint.lab.capacity import compare, fgsm_images, measure
from saddlepoint.lab.capacity_figure import draw_capacity
from saddlepoint.lab.capacity_found import Measured, Member, Pair
from saddlepoint.lab.madry_family import Trainer, family_member, fgsm_training
from saddlepoint.lab.outputs import losses
from saddlepoint.lab.transfer_table import NETWORKS, hardest
from saddlepoint.streams import derive
from saddlepoint.threat import Linf

W = torch.tensor([3.0, -4.0])


def plane(*scores):
    """Points with those scores w·x − w·(½, ½), of class 0 as the network has it where positive."""
    centre = torch.tensor([0.5, 0.5])
    return torch.stack([centre + s * W / 25 for s in scores])


class Leaky(nn.Module):
    """Right (class 0) only far from the middle, where its gradient leads: FGSM helps it."""

    def forward(self, x):
        far = (x[:, :1] - 0.5).abs()
        score = (far - 0.3).detach() + 1e-3 * (far.detach() - far)
        return torch.cat([score, -score], 1)


def test_a_network_that_is_right_after_the_step_alone_leaks():
    x, y = torch.tensor([[0.55, 0.5], [0.45, 0.5]]), torch.zeros(2).long()
    data = TensorData.of(x, y, name="two", split="test")
    found = measure(Leaky(), Bench(data, lambda: data), 0.4, steps=3)
    assert (found.clean, found.fgsm, found.pgd) == (0.0, 1.0, 0.0)
    assert found.leaks == 1.0
    # A judged attack leaves alone what is wrong before, and could not show it.
    assert bool(FGSM(Linf(0.4))(Leaky(), x, y).success.all())


def test_what_a_linear_model_keeps_is_the_closed_form():
    net, eps = Affine(W, -float(W.sum()) / 2), 0.1  # a step moves the score by 0.1·(3 + 4)
    x = plane(0.5, 0.69, 0.71, 2.0, -0.1)
    data = TensorData.of(x, torch.zeros(5).long(), name="five", split="test")
    found = measure(net, Bench(data, lambda: data), eps, steps=5)
    assert found == Measured(clean=0.8, fgsm=0.4, pgd=0.4, commonest=0.8)
    moved = fgsm_images(net, x, torch.zeros(5).long(), eps)
    torch.testing.assert_close(moved - x, (-eps * W.sign()).expand(5, 2))


def test_networks_are_compared_by_the_angle_of_their_gradients():
    one, other = Affine(torch.tensor([1.0, 0.0])), Affine(torch.tensor([1.0, 1.0]))
    flat = Affine(torch.tensor([0.0, 0.0]), 1.0)
    x, y = torch.tensor([[0.6, 0.2]]), torch.zeros(1).long()
    found = {(i, j): (cosine, right) for i, j, cosine, right in compare([one, other], x, y, 0.1)}
    assert found[1, 2][0] == pytest.approx(math.sqrt(0.5))
    assert found[1, 2][0] == pytest.approx(found[2, 1][0])
    # The first moves one pixel, the second both: 0.7 and 0.6 of the second's score are left.
    assert found[1, 2][1] == found[2, 1][1] == 1.0
    assert math.isnan(compare([one, flat], x, y, 0.1)[0][2])


def test_stuck_networks_are_counted_and_kept_out_of_the_comparison():
    stuck, fine = Measured(0.14, 0.1, 0.1, 1.0), Measured(0.9, 0.8, 0.7, 0.12)
    members = [
        Member("PGD", 1, i, 0.3, (2.3, loss), seen)
        for i, (loss, seen) in enumerate([(2.3, stuck), (1.0, fine), (2.0, fine)], start=1)
    ]
    pairs = [
        Pair("PGD", 1, i, j, 0.5 if 1 in (i, j) else 0.25, 0.5)
        for i in (1, 2, 3)
        for j in (1, 2, 3)
        if i != j
    ]
    found = Capacity(0.1, tuple(members), tuple(pairs))
    assert [found.stuck(each) for each in members] == [True, False, False]
    assert {(p.source, p.target) for p in found.pairs_of("PGD", 1)} == {(2, 3), (3, 2)}
    (row,) = found.tables()["spreads"].records()
    assert row["stuck"] == pytest.approx(1 / 3)
    assert row["clean"] == pytest.approx((0.14 + 0.9 + 0.9) / 3)
    assert row["loss sd"] == pytest.approx(torch.tensor([2.3, 1.0, 2.0]).std().item())
    assert row["cosine"] == 0.25
    assert row["cosine sd"] is None  # of a single pair


def test_the_figure_of_networks_that_all_learnt_nothing_is_drawn():
    stuck = Measured(0.1, 0.1, 0.1, 1.0)
    names = ("standard", "FGSM", "PGD", "FGSM, eps 0.1")
    members = [Member(name, s, 1, 0.3, (2.3, 2.3), stuck) for name in names for s in (1, 3)]
    figure = draw_capacity(Capacity(0.1, tuple(members), ()))
    assert figure.axes[4].get_legend() is None


def tiny(count, **changes):
    """A bench whose networks are trained for two epochs of three steps."""
    train = digits("train", 96)
    return Bench(digits("test", count), lambda: train, **{"epochs": 2, **changes})


@pytest.fixture(scope="module")
def capacity():
    settings = CapacitySettings(scales=(2, 1), seeds=2, steps=3, train_steps=2)
    return run_capacity(tiny(40), settings)


def test_every_training_width_and_seed_is_there_once(capacity):
    assert capacity.scales == (1, 2)
    assert capacity.trainings == ("standard", "FGSM", "PGD", "FGSM, eps 0.1")
    assert len({(m.training, m.scale, m.repetition) for m in capacity.members}) == 4 * 2 * 2
    for member in capacity.members:
        assert len(member.losses) == 2
        assert member.eps == (0.1 if member.training == "FGSM, eps 0.1" else 0.2)
        assert member.measured.pgd <= member.measured.clean
    assert len(capacity.pairs) == 4 * 2 * 2
    both = capacity.of("standard", 2)
    assert both[0].losses != both[1].losses  # the seeds differ
    tables = capacity.tables()
    assert [len(tables[name].rows) for name in ("summary", "networks", "losses")] == [8, 16, 32]


def test_the_same_seed_trains_the_same_networks():
    settings = CapacitySettings(scales=(1,), seeds=1)

    def weights(seed):
        table = tiny(4, seed=seed)
        trainer = Trainer(table, settings, 1)
        build = family_member(table.train, 1)
        model = trainer.trained("FGSM", fgsm_training(0.2), build, trainer.seeds()[0]).model
        return torch.cat([each.flatten() for each in model.state_dict().values()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_training_in_bfloat16_leaves_weights_in_float32():
    table = tiny(4)
    trainer = Trainer(table, CapacitySettings(autocast="bf16"), 1)
    model = trainer.trained("FGSM", fgsm_training(0.2), family_member(table.train, 1), 0).model
    assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_transferred_images_are_those_of_the_largest_loss_of_the_source():
    net, table = trained(), tiny(12)
    x, y = table.images, table.labels
    attack = PGD(Linf(0.1), steps=2)
    made = hardest(replace(attack, restarts=3), net, x, y, seed=5)
    each = [attack.candidates(net, x, y, seed=derive(5, "restart", i)) for i in range(3)]
    loss = torch.stack([losses(net, one, y) for one in each])
    torch.testing.assert_close(losses(net, made, y), loss.amax(0))
    assert len(set(loss.argmax(0).tolist())) > 1
    assert bool(((made - x).abs() <= 0.1 + 1e-6).all())


def test_the_table_of_linear_models_is_the_closed_form():
    # Each moves its own pixel by 0.2; the other's score does not change.
    first, second = Affine(torch.tensor([1.0, 0.0]), -0.5), Affine(torch.tensor([0.0, 1.0]), -0.5)
    x = torch.tensor([[0.6, 0.6], [0.6, 0.9], [0.9, 0.6], [0.4, 0.9]])
    clean, left = transfer_table(
        [first, second], x, torch.zeros(4).long(), {"PGD": PGD(Linf(0.2), steps=5, restarts=2)}
    )
    assert clean.tolist() == [0.75, 1.0]
    assert left[0, 0, 0] == 0.25  # 0.9 alone is more than 0.2 above a half
    assert left[0, 1, 1] == 0.5
    # Where the first has no gradient the last iterate is the random start, within 0.2 of 0.9 or 0.6.
    assert left[0, 1, 0] >= 0.25
    assert left[0, 0, 1] >= 0.5


def test_the_transfer_table_has_every_source_and_target():
    settings = TransferTableSettings(scale=1, seeds=2, steps=(1, 2), restarts=2, train_steps=1)
    found = run_transfer_table(tiny(16), settings)
    assert found.accuracy.shape == (2, 4, 4, 4)
    assert bool((found.accuracy <= found.clean[:, None, None, :] + 1e-6).all())
    rows = found.tables()["summary"].records()
    assert [row["source"] for row in rows] == ["", *NETWORKS * 4]
    assert {row["seeds"] for row in rows} == {int(found.learnt.sum())}
    assert len(found.tables()["accuracies"].rows) == 2 * 4 * 4 * 4


def test_the_distances_of_a_linear_model_are_the_closed_form():
    net = Affine(W, -float(W.sum()) / 2)
    x, y = plane(0.5, 1.0, -0.2), torch.zeros(3).long()
    found = l2_distances(net, x, y, OverestimateSettings(pgd_steps=20, ddn_steps=60, queries=6))
    expected = torch.tensor([0.5, 1.0, 0.0]) / 5
    for name, rtol in {"PGD": 0.03, "DDN": 0.02, "HopSkipJump": 0.1}.items():
        torch.testing.assert_close(found[name].float(), expected, rtol=rtol, atol=1e-4)


def test_distances_are_compared_image_by_image():
    inf = math.inf
    rows = {
        "PGD": torch.tensor([[0.0, 1.0, 2.0, inf], [4.0, 4.0, 4.0, 4.0]]),
        "HopSkipJump": torch.tensor([[0.0, 2.0, 1.0, 3.0], [2.0, 4.0, 8.0, inf]]),
    }
    found = L2Overestimate(0.1, {"adversarial": rows})
    assert found.nearer("adversarial", "HopSkipJump") == [2 / 3, 0.25]
    assert found.ratio("adversarial", "HopSkipJump") == [0.5, 1.0]
    assert found.median("adversarial", "PGD") == [2.0, 4.0]
    assert found.accuracy("adversarial", "HopSkipJump", 2.5) == [0.25, 0.75]
    table = found.tables()["summary"].records()
    assert [row["attack"] for row in table] == ["PGD", "HopSkipJump"]
    assert table[0]["failed"] == 0.125


def test_a_given_model_is_the_only_one_attacked():
    table = tiny(2, given=trained())
    found = run_l2_overestimate(table, OverestimateSettings(pgd_steps=3, ddn_steps=5, queries=1))
    assert list(found.distance) == ["given"]
    assert found.distance["given"]["PGD"].shape == (1, 2)


@pytest.mark.parametrize(
    "words",
    [
        {"capacity": {"scales": "0"}},
        {"capacity": {"seeds": "0"}},
        {"capacity": {"small_eps": "-0.1"}},
        {"capacity": {"autocast": "fp16"}},
        {"transfer-table": {"restarts": "0"}},
        {"transfer-table": {"steps": ""}},
        {"l2-overestimate": {"largest": "0"}},
        {"l2-overestimate": {"learning_rate": "0"}},
    ],
)
def test_settings_that_cannot_be_are_refused(words):
    ((name, given),) = words.items()
    with pytest.raises(InputError):
        EXPERIMENTS[name].parse(given)


def test_settings_are_read_from_words():
    settings = EXPERIMENTS["capacity"].parse({"scales": "16,1", "autocast": "bf16"})
    assert (settings.scales, settings.autocast) == ((1, 16), "bf16")
