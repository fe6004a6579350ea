"""Training learns what it should, by the recipe and nothing else."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from small import conv, digits, same
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.data import epoch_order
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe, Schedule, Standard
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training import Ema, accuracy, train
from saddlepoint.training.state import State
from saddlepoint.zoo import build_model

EPS = 48 / 255


def test_normal_and_adversarial_training_learn_what_each_is_for():
    tests = digits("test", 100)
    inner = PGD(Linf(EPS), steps=5)
    robust = {}
    for name, objective in {
        "normal": Standard(),
        "adversarial": AdversarialTraining(inner),
    }.items():
        net = build_model("zoo:simple-cnn", classes=10, shape=(1, 8, 8))
        model = Normalised(net, tests.mean, tests.std)
        recipe = Recipe(objective=objective, epochs=4, batch_size=64)
        result = train(model, digits(), recipe, test=tests)
        assert result.metrics[-1]["test_accuracy"] == accuracy(model, tests)
        assert accuracy(model, tests) > (0.95 if name == "normal" else 0.8)
        robust[name] = (
            evaluate(model, tests, Linf(EPS), suite="quick", diagnosis=None)
            .budgets[0]
            .robust_accuracy
        )
    # An attack that does nothing would leave both at their clean accuracy.
    assert robust["normal"].high < 0.3
    assert robust["adversarial"].low > robust["normal"].high + 0.2


def test_the_loop_is_what_it_says():
    """A naive loop over the same order gives the same bits, with EMA and momentum."""
    data, net = digits(limit=100), conv(norm=True)
    optimiser = Optimiser("sgd", 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    schedule = Schedule("one-cycle", warmup=0.5)
    recipe = Recipe(epochs=2, batch_size=32, ema=0.9, optimiser=optimiser, schedule=schedule)
    naive = copy.deepcopy(net).train()
    step = torch.optim.SGD(
        naive.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3
    )
    average = copy.deepcopy(naive.state_dict())
    done, losses = 0, [[], []]
    for epoch in range(2):
        for ids in epoch_order(100, 5, epoch).split(32):
            progress = done / 8
            factor = progress / 0.5 if progress < 0.5 else 1 - (progress - 0.5) / 0.5
            step.param_groups[0]["lr"] = 0.1 * max(factor, 1e-3)
            step.zero_grad()
            loss = functional.cross_entropy(naive(data.images(ids)), data.labels[ids])
            loss.backward()
            step.step()
            losses[epoch].append(loss.item() * len(ids))
            done += 1
            decay = min(0.9, (1 + done) / (10 + done))
            for name, value in naive.state_dict().items():
                if value.is_floating_point():
                    average[name] = decay * average[name] + (1 - decay) * value
                else:
                    average[name] = value.clone()
    result = train(net, data, recipe, seed=5)
    for name, value in result.model.state_dict().items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-6)
    assert [m["loss"] for m in result.metrics] == pytest.approx([sum(e) / 100 for e in losses])
    plain = conv(norm=True)
    train(plain, data, Recipe(**{**vars(recipe), "ema": None}), seed=5)
    assert same(plain.state_dict(), naive.state_dict())


def test_the_test_accuracy_is_that_of_the_averaged_weights():
    tests = digits("test", 100)
    recipe = Recipe(epochs=2, batch_size=32, ema=0.99)
    result = train(conv(), digits(limit=200), recipe, test=tests)
    assert result.metrics[-1]["test_accuracy"] == accuracy(result.model, tests)
    raw = train(conv(), digits(limit=200), Recipe(epochs=2, batch_size=32), test=tests)
    assert [m["loss"] for m in raw.metrics] == [m["loss"] for m in result.metrics]
    assert raw.metrics[0]["test_accuracy"] != result.metrics[0]["test_accuracy"]


def test_ema_copies_what_is_not_floating_point_and_does_not_alias():
    net = nn.BatchNorm1d(2)
    ema = Ema(net, 0.5)
    net.num_batches_tracked += 7
    net.weight.data += 1
    assert ema.state["weight"].tolist() == [1, 1]
    ema.update(net)
    assert ema.state["num_batches_tracked"] == 7
    assert ema.state["weight"][0] == pytest.approx(1 + 9 / 11)


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (Schedule("constant"), {0: 1, 0.5: 1, 1: 1}),
        (Schedule("one-cycle", warmup=0.25), {0: 0, 0.125: 0.5, 0.25: 1, 0.625: 0.5, 1: 0}),
        (Schedule("cosine", warmup=0.0), {0: 1, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 1: 0}),
        (Schedule("cosine", warmup=0.5), {0: 0, 0.25: 0.5, 0.5: 1, 0.75: 0.5, 1: 0}),
        (Schedule("multi-step"), {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01}),
    ],
)
def test_schedules_pass_through_known_points(schedule, points):
    assert {x: schedule.factor(x) for x in points} == pytest.approx(points)


def test_the_loop_counts_steps_as_the_formula_of_transformers_does():
    d, w = 512, 4000
    optimiser = Optimiser("adam", (d * w) ** -0.5)
    schedule = Schedule("inverse-sqrt", warmup=w / 100_000)
    state = State(
        conv(), Recipe(epochs=1000, batch_size=1, optimiser=optimiser, schedule=schedule), 100
    )
    for step in (1, 2, 4000, 100_000):
        state.epoch, state.step = divmod(step - 1, 100)
        rate = d**-0.5 * min(step**-0.5, step * w**-1.5)
        assert state.learning_rate() == pytest.approx(rate, rel=1e-12)


def test_no_step_of_a_schedule_stands_still():
    state = State(conv(), Recipe(epochs=2, batch_size=50), images=100)
    rates = []
    for state.epoch in range(2):
        for state.step in range(2):
            rates.append(state.learning_rate())
    assert min(rates) > 0
