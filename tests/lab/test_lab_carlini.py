"""Carlini and Wagner's experiments against closed forms, brute force and the plain attack."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from lab_cases import bench
from networks import Affine, mlp
from small import digits, trained

from saddlepoint.attacks import CarliniWagnerL2
from saddlepoint.errors import InputError
from saddlepoint.lab import (
    BitSettings,
    ConstantSettings,
    ObjectiveSettings,
    SyntheticSettings,
    TransferSettings,
    compare_objectives,
    constant_c,
    lowest_bit,
    run_transfer,
    synthetic_digits,
    transfer_confidence,
)
from saddlepoint.lab.bench import every_other
from saddlepoint.lab.lattice_pgd import LatticePGD
from saddlepoint.lab.lowest_bit import levels_around, lowest_bits_of
from saddlepoint.lab.outputs import logits_of, predictions
from saddlepoint.lab.targets import other_classes, random_classes
from saddlepoint.lab.transfer_confidence import AIMS, NOISE, perturbed_at_random
from saddlepoint.threat import L2

W = torch.tensor([1.0, -2.0, 0.5])
X = torch.tensor([[0.6, 0.4, 0.5], [0.7, 0.3, 0.6]])
MARGINS = X @ W + 0.2
SQUARE = float(W @ W)
NET = Affine(W, 0.2)
ZERO = torch.zeros(2).long()


def test_the_chosen_c_of_a_linear_model_is_the_closed_form():
    # ‖δ‖² + c·f has its minimum on the boundary, for f of slope s there, from c = 2m/(s‖w‖²) on.
    slopes = {"f6": 1.0, "f7": 0.5, "f5": 0.5, "f1": 0.5 / math.log(2)}
    settings = ObjectiveSettings(
        objectives=tuple(slopes),
        boxes=("clipped",),
        steps=100,
        searches=8,
        first_c=0.05,
        learning_rate=0.01,
    )
    found = compare_objectives(NET, X, ZERO, settings)
    assert found.targets.tolist() == [[1], [1]]
    shortest = (MARGINS / SQUARE**0.5).double()
    for i, slope in enumerate(slopes.values()):
        torch.testing.assert_close(found.distance[i, 0, :, 0], shortest, rtol=0.02, atol=0)
        # Adam's momentum carries it over the boundary from a somewhat smaller c on.
        ratio = found.c[i, 0, :, 0] / (2 * MARGINS / (slope * SQUARE))
        assert ((ratio > 0.75) & (ratio < 1.1)).all(), ratio


def test_all_treatments_of_the_range_reach_the_boundary_of_a_linear_model():
    settings = ObjectiveSettings(objectives=("f6",), steps=150, searches=5, first_c=0.1)
    found = compare_objectives(NET, X[:1], ZERO[:1], settings)
    shortest = float(MARGINS[0] / SQUARE**0.5)
    assert found.distance.flatten().tolist() == pytest.approx([shortest] * 3, rel=0.02)


def test_best_and_worst_are_over_targets_and_average_over_all():
    weight = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    net, x = Affine(weight, torch.tensor([0.0, 0.0, -1e6])), torch.tensor([[0.5, 0.5]])
    settings = ObjectiveSettings(objectives=("f6",), boxes=("clipped",), steps=60, searches=3)
    found = compare_objectives(net, x, ZERO[:1], settings)
    best, average, worst = (
        found.statistics("f6", "clipped", case) for case in ("best", "average", "worst")
    )
    assert best.success == 1
    assert best.distance == average.distance
    assert average.success == 0.5  # class 2 is out of reach
    assert worst.success == 0
    assert math.isnan(worst.distance)
    summary = found.tables()["summary"]
    assert len(summary.rows) == 3
    assert len(found.tables()["attacks"].rows) == 2


def test_a_constant_c_succeeds_from_the_closed_form_on():
    threshold = 2 * MARGINS / SQUARE
    small, large = 0.7 * float(threshold.min()), 1.3 * float(threshold.max())
    settings = ConstantSettings(c=(large, small, 50.0), steps=150)
    found = constant_c(NET, X, ZERO, settings)
    assert found.c == (small, large, 50.0)
    assert [p.value for p in found.success()] == [0.0, 1.0, 1.0]
    shortest = (MARGINS / SQUARE**0.5).double()
    torch.testing.assert_close(found.distance[1], shortest, rtol=0.03, atol=0)
    assert (found.distance[2] > shortest).all()
    assert math.isnan(found.mean()[0])
    assert found.relative_to_least()[1] == pytest.approx(1.0, abs=0.03)
    assert found.mean()[1] == pytest.approx(float(shortest.mean()), rel=0.03)


def test_the_nearest_images_to_black_and_white_of_a_linear_model_are_the_closed_form():
    w = torch.tensor([0.5, -1.0, 2.0, 3.0, -0.5, 1.5])
    net = Affine(torch.stack([torch.zeros(6), w]), torch.tensor([2.0, 0.0]))
    found = synthetic_digits(net, torch.zeros(1, 1, 2, 3), ZERO[:1], SyntheticSettings(steps=80))
    # From black only positive weights help, towards class 1; from white, of class 1 as 5.5 > 2,
    # those whose falling helps are the positive ones too.
    for start, own, gap in (("black", 0, 2.0), ("white", 1, 3.5)):
        each = found.starts[start]
        assert each.answer == own
        helps = w.clamp_min(0)
        expected = {"L2": gap / float(helps.norm()), "Linf": gap / float(helps.sum())}
        most = helps.sort(descending=True).values.cumsum(0)
        expected["L0"] = 1 + int((most <= gap).sum())
        for norm, distance in expected.items():
            assert float(each.distance[norm][1 - own]) == pytest.approx(distance, rel=0.02), norm
            assert float(each.distance[norm][own]) == 0
            assert int(net(each.images[norm][1 - own][None]).argmax()) == 1 - own


def test_pictures_are_asked_for():
    with pytest.raises(InputError, match="give grey or RGB"):
        synthetic_digits(NET, X, ZERO, SyntheticSettings())


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def lattice(images):
    return (images * 255).round() / 255


@pytest.mark.filterwarnings("ignore:several classes share the largest logit")
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("kind", ["bits replaced", "whole levels"])
def test_the_lowest_bits_of_a_linear_network_are_searched_exhaustively(kind, bits):
    w, x = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.rand(40, 4, generator=seeded(0))
    x[:, 3] = (torch.linspace(-0.01, 0.08, 40) + 1 - x[:, :3] @ w[:3]) / 3  # near the boundary
    x = lattice(x[(x[:, 3] > 0) & (x[:, 3] < 1)])
    net, labels = Affine(w, -1.0), torch.zeros(len(x)).long()
    found = lowest_bit(net, x, labels, BitSettings(bits=(bits,), steps=3, restarts=1))
    seen = []
    for row, smallest in zip(x, found.kinds[kind].smallest.tolist(), strict=True):
        value = (row * 255).round().long().tolist()
        size = 2**bits
        choices = [
            range(v - v % size, v - v % size + size)
            if kind == "bits replaced"
            else range(max(0, v - size + 1), min(255, v + size - 1) + 1)
            for v in value
        ]
        every = torch.tensor(list(itertools.product(*choices))) / 255
        possible = bool((net(every)[:, 0] < 0).any())
        right = bool(net(row[None])[0, 0] >= 0)
        assert smallest == (0 if not right else bits if possible else math.inf)
        seen.append(smallest)
    assert {0.0, float(bits), math.inf} == set(seen)


def test_the_lattice_search_of_a_curved_network_finds_nearly_all_that_exists():
    net = mlp(6, gain=6.0).float()
    x = lattice(torch.rand(300, 6, generator=seeded(1)))
    labels = net(x).argmax(1)
    box = lowest_bits_of(x, 3)
    corners = torch.cartesian_prod(*[torch.arange(0, 8, 7)] * 6) / 255  # the corners alone
    every = (box.lower[:, None] + corners).flatten(0, 1)
    exists = (net(every).argmax(1).reshape(300, -1) != labels[:, None]).any(1)
    found = LatticePGD(box)(net, x, labels)
    assert int(exists.sum()) >= 5
    assert (found.success[exists]).double().mean() >= 0.9
    levels = found.adversarials * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    high = (found.adversarials * 255).round().long() >> 3
    assert torch.equal(high, (x * 255).round().long() >> 3)


def test_more_bits_fool_more_and_any_value_at_least_as_many_as_the_levels_do():
    data = digits("test", 24)
    found = lowest_bit(
        trained(), data.pixels, data.labels, BitSettings(bits=(6, 4, 5), steps=10, restarts=1)
    )
    assert found.bits == (4, 5, 6)
    for kind in found.kinds.values():
        shares = [kind.fooled(bits).value for bits in found.bits]
        assert shares == sorted(shares)
    replaced, levels = (found.kinds[kind] for kind in ("bits replaced", "whole levels"))
    assert levels.fooled(6).value > levels.fooled(4).value
    assert replaced.fooled(5).count <= levels.fooled(5).count
    assert (levels_around(found.clean, 63).contains(found.clean, levels.images)).all()
    fooled = levels.smallest.isfinite()
    assert (levels.predictions != found.labels)[fooled].all()
    assert (levels.predictions == found.labels)[~fooled].all()


def test_without_confidence_the_source_is_fooled_as_by_the_plain_attack():
    data = digits("test", 8)
    net = trained()
    settings = TransferSettings(confidence=(0.5, 0.0), steps=60, searches=4)
    found = transfer_confidence(net, {"same": net}, data.pixels, data.labels, settings)
    assert found.relative == (0.0, 0.5)
    plain = CarliniWagnerL2(L2(), steps=60, searches=4)(net, data.pixels, data.labels)
    offered = found.aims[AIMS[0]]
    torch.testing.assert_close(offered.distance[0], plain.distance)
    assert torch.equal(offered.fooled["same"][0], plain.success)
    assert torch.equal(offered.fooled["same"], offered.fooled["A"])
    assert offered.confident[1].double().mean() > 0.6
    reached = offered.distance[:, found.right]
    assert (reached[1] > reached[0]).all()
    assert found.share(NOISE, "A")[0].value < found.share(AIMS[0], "A")[0].value
    target = found.aims[AIMS[1]]
    assert (target.distance[0] >= 0.999 * offered.distance[0])[found.right].float().mean() > 0.8


def test_confidence_transfers_on_linear_networks_by_the_closed_form():
    # B's boundary lies where A's margin is −m: what A takes with κ above m fools B, less does not.
    source, other = Affine(W, 0.2), Affine(W, 0.2 + 0.3)
    settings = TransferSettings(confidence=(0.0, 0.5, 2.0), steps=100, searches=3)
    found = transfer_confidence(source, {"B": other}, X, ZERO, settings)
    assert found.margin == pytest.approx(float(MARGINS.min()))  # the lower of the two
    expected = [float(kappa > 0.3) for kappa in found.kappa]
    assert expected == [0.0, 0.0, 1.0]
    for aim in AIMS:
        assert [p.value for p in found.share(aim, "B")] == expected
        for kappa, row in zip(found.kappa, found.aims[aim].distance, strict=True):
            torch.testing.assert_close(
                row, ((MARGINS + kappa) / SQUARE**0.5).double(), rtol=0.02, atol=0
            )


def test_halves_are_disjoint_and_networks_are_trained_on_them():
    train = digits("train", 31)
    first, second = (every_other(train, start) for start in (0, 1))
    assert len(first) + len(second) == 31
    torch.testing.assert_close(first.pixels, train.pixels[::2])
    torch.testing.assert_close(second.pixels, train.pixels[1::2])
    assert second.mean == train.mean
    settings = TransferSettings(confidence=(0.0,), steps=20, searches=2)
    found = run_transfer(bench(12, epochs=2), settings)
    assert list(found.aims[NOISE].fooled) == ["A", "B", "B, adversarial"]
    assert len(found.tables()["summary"].rows) == 9


def test_a_random_change_has_the_length_asked_for_and_stays_in_range():
    x = digits("test", 8).pixels
    length = torch.linspace(0.1, 1.5, 8)
    moved = perturbed_at_random(x, length, seed=3)
    assert moved.min() >= 0
    assert moved.max() <= 1
    torch.testing.assert_close((moved - x).flatten(1).norm(dim=1), length, rtol=1e-3, atol=0)
    assert torch.equal(moved[:1], perturbed_at_random(x[:1], length[:1], seed=3))


def test_targets_are_every_other_class_or_one_of_them():
    answered, margin = predictions(torch.nn.Flatten(), torch.eye(4))
    assert answered.tolist() == [0, 1, 2, 3]
    assert margin.tolist() == [1.0] * 4
    others = other_classes(answered, 4)
    for own, row in zip(answered, others, strict=True):
        assert sorted([int(own), *row.tolist()]) == [0, 1, 2, 3]
    drawn = random_classes(torch.arange(3000) % 10, 10, seed=0)
    assert (drawn != torch.arange(3000) % 10).all()
    counts = ((drawn - torch.arange(3000)) % 10).bincount(minlength=10)
    assert counts[0] == 0
    assert counts[1:].min() > 250
    torch.testing.assert_close(logits_of(torch.nn.Flatten(), torch.eye(4)), torch.eye(4))


@pytest.mark.parametrize(
    "settings",
    [
        lambda: ObjectiveSettings(objectives=("f8",)),
        lambda: ObjectiveSettings(boxes=("ball",)),
        lambda: ObjectiveSettings(boxes=()),
        lambda: ObjectiveSettings(searches=0),
        lambda: ConstantSettings(c=(0.0, 1.0)),
        lambda: ConstantSettings(steps=0),
        lambda: SyntheticSettings(steps=0),
        lambda: BitSettings(bits=(8,)),
        lambda: BitSettings(bits=()),
        lambda: TransferSettings(confidence=(-1.0,)),
        lambda: TransferSettings(confidence=()),
        lambda: TransferSettings(searches=0),
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(InputError, match=r"give|it is"):
        settings()
