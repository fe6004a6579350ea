"""A random model's three numbers: known answers, draws that nobody has seen, no winner's curse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from networks import Affine
from scipy import stats
from torch import nn

from saddlepoint.attacks import BinaryLogit, OutsideTopK
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Proportion, Randomised, Resubmitted, mean_share, randomised
from saddlepoint.evaluation.fresh_draws import Tally
from saddlepoint.model import RandomLayer


class Coin(RandomLayer):
    """Right (class 0) with the probability that is the image's first pixel, else one of two others by
    its second; the third says which draws are the lucky ones."""

    def forward(self, x):
        chance, other, turn = x.T
        u = 0.5 * torch.erfc(-self.noise(x) / math.sqrt(2))
        lucky = (u[:, 0] + turn) % 1 < chance
        answer = torch.where(lucky, 0, torch.where(u[:, 1] < other, 1, 2))
        return 5 * nn.functional.one_hot(answer, 3).to(x)


def coins(count, *chances, other=1.0, turn=0.0):
    """Images of each chance in turn."""
    shares = torch.tensor(chances).repeat(count)
    return torch.stack([shares, *(torch.full_like(shares, v) for v in (other, turn))], dim=1)


def tossed(images, adversarials, **options):
    labels = torch.zeros(len(images), dtype=torch.int64)
    return randomised(Coin(), images, labels, adversarials, **options)


def test_a_coin_has_the_numbers_that_it_must():
    n, (low, high) = 500, (0.4, 0.97)
    found = tossed(coins(n, 1.0, 1.0), coins(n, low, high), draws=100)
    for times in (1, 10, 100):
        assert found.clean.worst_of(times).value == 1.0
        truth = (low**times + high**times) / 2
        told = found.adversarial.worst_of(times)
        assert told.low <= truth <= told.high
        # One image's variance is at most qᴺ(1 − qᴺ): four deviations of the mean.
        assert told.value == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / (2 * n)))
    wins = stats.binom.sf(49, 100, low), stats.binom.sf(49, 100, high)  # 50 : 50 is class 0's
    deviation = math.sqrt(sum(p * (1 - p) for p in wins) * n) / (2 * n)
    assert found.adversarial.vote.value == pytest.approx(sum(wins) / 2, abs=4 * deviation + 1e-7)
    assert found.forwards.unique().tolist() == [200]


def test_the_vote_is_of_classes_and_its_tie_goes_to_the_lower():
    # Right in 45 of 100 draws, and the others divided: more votes than any other class.
    found = tossed(coins(200, 1.0), coins(200, 0.45, other=0.5))
    assert found.adversarial.vote.value > 0.95
    assert found.adversarial.expected.value == pytest.approx(0.45, abs=0.02)
    tally = Tally(torch.tensor([0, 1]), BinaryLogit())
    for z in (1.0, -1.0):
        tally.count(torch.full((2, 1), z))
    assert tally.holds_the_vote().tolist() == [True, False]
    top = Tally(torch.tensor([2, 0]), OutsideTopK(2))
    for third in (2.0, 0.0, 2.0):  # the label 2 is among the leading two of most draws
        top.count(torch.tensor([[1.0, 3.0, third]] * 2))
    assert top.standing.tolist() == [2, 1]
    assert top.holds_the_vote().tolist() == [True, False]


def test_the_worst_of_many_is_estimated_without_bias():
    """The mean over all outcomes of 20 tosses, each by its probability, is qᴺ."""
    k, q = np.arange(21), 0.83
    chance = stats.binom.pmf(k, 20, q)
    for times in (1, 7, 20):
        worst = [Resubmitted(20, torch.tensor([i]), torch.ones(1)).worst_of(times).value for i in k]
        assert (chance * worst).sum() == pytest.approx(q**times, rel=1e-10)
        assert worst[10] == pytest.approx(math.comb(10, times) / math.comb(20, times), rel=1e-10)


def test_a_model_that_is_not_random_says_one_number_three_times():
    net, x = Affine(torch.tensor([1.0, -1.0])), torch.rand(40, 2)
    y = torch.zeros(40, dtype=torch.int64)
    found = randomised(net, x, y, x.flip(1))
    right = Proportion(int((x[:, 1] >= x[:, 0]).sum()), 40)
    assert {str(found.adversarial.worst_of(times)) for times in (1, 10, 100)} == {str(right)}
    assert str(found.adversarial.vote) == str(right)


def test_choosing_among_equals_does_not_flatter_the_attack():
    """Of eight candidates that are all alike, the luckiest in the selection is judged afresh."""
    n, q = 500, 0.6
    candidates = [coins(n, q, turn=i / 8) for i in range(8)]
    chosen = tossed(coins(n, 1.0), candidates, draws=20)
    deviation = math.sqrt(q * (1 - q) / (20 * n))
    assert chosen.adversarial.expected.value == pytest.approx(q, abs=4 * deviation)
    assert chosen.chosen.bincount().min() > n / 20  # each is the luckiest of some image
    assert chosen.forwards.unique().tolist() == [40 + 8 * 20]


def test_the_candidate_of_the_smallest_mean_margin_is_chosen():
    candidates = [coins(50, 0.9, 0.2), coins(50, 0.1, 0.8)]
    found = tossed(coins(50, 1.0, 1.0), candidates)
    assert found.chosen.tolist() == [1, 0] * 50
    assert found.adversarial.expected.value == pytest.approx(0.15, abs=0.03)


def test_draws_depend_on_the_seed_and_the_image_and_not_on_the_batch():
    images, ids = coins(6, 0.3, 0.7), torch.arange(12) + 5
    candidates = (images, images.flip(0))
    whole = tossed(images, candidates, ids=ids, draws=20).columns()
    parts = [
        tossed(images[r], [each[r] for each in candidates], ids=ids[r], draws=20)
        for r in torch.arange(12).split(5)
    ]
    rows = [part.columns() for part in parts]
    assert all(torch.equal(torch.cat([row[k] for row in rows]), whole[k]) for k in whole)
    assert Randomised.of(whole).json() == tossed(images, candidates, ids=ids, draws=20).json()
    other = tossed(images, candidates, ids=ids, draws=20, seed=1).columns()
    assert not torch.equal(other["adversarial_standing"], whole["adversarial_standing"])


class Held(nn.Module):
    """Draws from a generator of its own, and says nothing of it; keeps what it drew."""

    def __init__(self):
        super().__init__()
        self.generator, self.drawn = torch.Generator().manual_seed(0), []

    def forward(self, x):
        self.drawn.append(torch.rand(len(x), generator=self.generator))
        return torch.stack([x[:, 0], self.drawn[-1]], dim=1)


def test_a_generator_that_the_model_holds_does_not_repeat_what_an_attack_has_seen():
    seen = torch.rand(5000, generator=torch.Generator().manual_seed(0))  # as an attack would draw
    net, x = Held(), torch.tensor([[0.5, 0.0]] * 100)
    labels = torch.zeros(100, dtype=torch.int64)
    found = randomised(net, x, labels, [x, x], draws=20)
    drawn = torch.cat(net.drawn)
    assert len(drawn.unique()) > 0.99 * len(drawn)  # none comes twice, of the selection neither
    assert not torch.isin(drawn, seen).float().mean() > 0.01
    assert found.adversarial.expected.value == pytest.approx(0.5, abs=0.06)
    state = net.generator.get_state()
    assert torch.equal(state, torch.Generator().manual_seed(0).get_state())


@pytest.mark.parametrize("chances", [np.linspace(0, 1, 200), np.array([0.0] + [0.99] * 19)])
def test_the_interval_covers_what_it_should(chances):
    """Of the second, where the rare image is not seen, many intervals would be too narrow."""
    generator, covered = np.random.default_rng(1), 0
    for _ in range(300):
        some = generator.choice(chances, 20)
        told = mean_share(generator.binomial(100, some) / 100, 100)
        covered += told.low <= chances.mean() <= told.high
    assert covered >= 0.92 * 300


def test_images_that_all_stand_leave_the_doubt_that_their_number_leaves():
    """One image that fell in one of 100 draws must not turn the interval into a point."""
    sure, nearly = np.ones(50), np.append(np.ones(49), 0.99)
    assert mean_share(sure, 100).low == pytest.approx(Proportion(50, 50).low)
    assert mean_share(nearly, 100).low < 0.94
    alike = mean_share(np.full(50, 0.5), 100)
    assert alike.high - alike.low < 0.1  # the draws tell much, where images are alike


class Silent(Coin):
    """Returns no answer where the coin is wrong."""

    def forward(self, x):
        logits = super().forward(x)
        return torch.where(logits[:, :1] > 0, logits, torch.nan)


def test_a_draw_without_an_answer_is_wrong():
    images, labels = coins(50, 0.3, 0.8), torch.zeros(100, dtype=torch.int64)
    heard, silent = (randomised(net, images, labels, images) for net in (Coin(), Silent()))
    for told in ("clean", "adversarial"):
        a, b = (getattr(each, told) for each in (heard, silent))
        assert torch.equal(a.standing, b.standing)
        assert torch.equal(a.voted, b.voted)


def test_what_cannot_be_judged_is_refused():
    x = coins(2, 0.5)
    with pytest.raises(InputError, match="draws is 10; give at least 20"):
        tossed(x, x, draws=10)
    with pytest.raises(InputError, match=r"shape \(1, 3\), the clean ones \(2, 3\)"):
        tossed(x, x[:1])
    with pytest.raises(InputError, match="NaN"):
        tossed(x, x / 0)
    with pytest.raises(InputError, match="100 resubmissions, but 20 draws"):
        tossed(x, x, draws=20).adversarial.worst_of(100)
