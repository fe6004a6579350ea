"""A model that is random without saying so is found out by the call itself, and attacked as such."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
from networks import Noise, conv_case
from torch import nn

from saddlepoint.attacks import DDN, PGD, AtBudget
from saddlepoint.data import TensorData
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.threat import L2, Linf

NET, IMAGES, LABELS = conv_case(48, wrong=0)
SECRET = torch.Generator().manual_seed(3)
UNDECLARED = "random at inference, undeclared"


class Noisy(nn.Module):
    """Adds noise from a generator of some kind to the image."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.net, self.kind, self.seen = NET, kind, 0
        self.own = torch.Generator()
        self.numbers = np.random.default_rng(0)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def noise(self, x):
        if self.kind == "torch":
            return torch.randn_like(x)
        if self.kind == "numpy":
            return torch.from_numpy(np.random.randn(*x.shape)).to(x)  # noqa: NPY002
        if self.kind == "numpy's generator":
            return torch.from_numpy(self.numbers.standard_normal(x.shape)).to(x)
        if self.kind == "python":
            return torch.tensor([random.gauss(0, 1) for _ in x])[:, None, None, None] * 2
        if self.kind == "counter":
            self.calls += 1
            return torch.randn(x.shape, generator=torch.Generator().manual_seed(int(self.calls)))
        return torch.randn(x.shape, generator=self.own if self.kind == "own" else SECRET)

    def forward(self, x):
        self.seen += len(x)
        return self.net(x + 0.05 * self.noise(x))


KINDS = ["torch", "numpy", "numpy's generator", "python", "counter", "own", "secret"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("attack", "share"), [(DDN(L2(), steps=20), 0.7), (PGD(Linf(0.02), steps=5), 0.6)]
)
def test_its_successes_hold(attack, share, kind):
    model = Noisy(kind)
    with pytest.warns(UserWarning, match=UNDECLARED):
        result = attack(model, IMAGES, LABELS)
    assert int(result.forwards.sum()) == model.seen, "the look at it is counted"
    with torch.no_grad():
        fooled = torch.stack([model(result.adversarials).argmax(1) != LABELS for _ in range(20)])
    assert result.success_rate > 0.5
    assert float(fooled.double().mean(0)[result.success].mean()) > share
    assert model.calls == 20 * (kind == "counter"), "and it came out as it went in"


def test_averaging_attacks_its_expectation():
    declared = nn.Sequential(Noise(0.05), NET)
    attack = PGD(Linf(0.02), steps=5, eot_samples=8)
    with pytest.warns(UserWarning, match="undeclared; these results are of averages of 8 passes"):
        result = attack(Noisy("torch"), IMAGES, LABELS)
    assert result.success_rate == pytest.approx(
        attack(declared, IMAGES, LABELS).success_rate, abs=0.1
    )


@pytest.mark.parametrize(
    "model", [NET, nn.Sequential(nn.Dropout(0.5), NET), nn.Sequential(Noise(0.05), NET)]
)
def test_others_cost_no_pass_more_and_nothing_is_said(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = PGD(Linf(1e-6), steps=4)(model, IMAGES, LABELS)
    attacked = ~result.initially_wrong
    assert result.forwards[attacked].unique().tolist() == [1 + 4 + 1 + 1]


class Draws(nn.Module):
    """Draws and throws away."""

    def forward(self, x):
        return NET(x + 0 * torch.randn_like(x))


def test_a_draw_that_decides_nothing_is_no_randomness():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = PGD(Linf(0.03), steps=4)(Draws(), IMAGES, LABELS)
    assert torch.equal(result.success, PGD(Linf(0.03), steps=4)(NET, IMAGES, LABELS).success)


def test_the_global_generators_come_out_as_they_went_in():
    states = [torch.get_rng_state(), np.random.get_state()[1], random.getstate()]  # noqa: NPY002
    model = Noisy("own")
    own = model.own.get_state(), Noisy("numpy's generator").numbers.bit_generator.state
    for kind in KINDS[:4]:
        model.kind = kind
        with pytest.warns(UserWarning, match=UNDECLARED):
            PGD(Linf(0.01), steps=1)(model, IMAGES, LABELS)
    after = [torch.get_rng_state(), np.random.get_state()[1], random.getstate()]  # noqa: NPY002
    assert torch.equal(states[0], after[0])
    assert np.array_equal(states[1], after[1])
    assert states[2] == after[2]
    assert torch.equal(model.own.get_state(), own[0])
    assert model.numbers.bit_generator.state == own[1]


@pytest.mark.parametrize("kind", ["torch", "numpy", "python"])
def test_results_can_be_repeated(kind):
    with pytest.warns(UserWarning, match=UNDECLARED):
        first, second = (PGD(Linf(0.02), steps=3)(Noisy(kind), IMAGES, LABELS) for _ in range(2))
    assert torch.equal(first.adversarials, second.adversarials)


def test_an_evaluation_asks_once_and_notes_it():
    data = TensorData.of(IMAGES, LABELS, name="own")
    attack = PGD(Linf(0.02), steps=2, eot_samples=2)
    model = Noisy("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = evaluate(
            model, data, Linf(0.02), suite={"pgd": attack}, batch_size=8, diagnosis=None
        )
        spent = record.attempts["forwards"].to_pylist()
        assert model.seen == 1 + 2 * 4 + 2 * 48 + sum(spent), "looks, clean passes, the attack"
        again = run_attack(model, data, AtBudget(DDN(L2(), steps=5), L2(0.5)), eot_samples=2)
    assert any(UNDECLARED in note for note in record.notes)
    assert any(UNDECLARED in note for note in again.notes)


class BatchStatistics(nn.Module):
    def forward(self, x):
        return NET(x - 0.3 * (x.mean(0) - 0.5))


def test_a_model_that_looks_at_the_batch_is_told():
    unnormed = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), NET).eval()
    with pytest.warns(UserWarning, match=r"^0 uses statistics of the batch") as seen:
        PGD(Linf(0.01), steps=2)(unnormed, IMAGES, LABELS)
    assert len(seen) == 1
    data = TensorData.of(IMAGES, LABELS, name="own")
    for model, name in ((unnormed, "0"), (BatchStatistics(), "the model")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = evaluate(
                model, data, Linf(0.01), suite={"pgd": PGD(Linf(0.01), steps=1)}, diagnosis=None
            )
        assert [note for note in record.notes if note.startswith(f"{name} uses statistics")]


class Coin(torch.nn.Module):
    """Now and then the whole batch is turned upside down."""

    def __init__(self, share):
        super().__init__()
        self.body, self.share = conv_case(1)[0], share

    def forward(self, x):
        return self.body(x.flip(2) if float(torch.rand(())) < self.share else x)


@pytest.mark.parametrize("seed", range(4))
def test_a_coin_tossed_once_for_a_batch_is_seen(seed):
    with pytest.warns(UserWarning, match=UNDECLARED):
        PGD(Linf(0.02), steps=1)(Coin(0.3), IMAGES, LABELS, seed=seed)
