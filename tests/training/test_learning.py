"""Training learns what it should, by the recipe and nothing else."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import pytest
import torch
from small import conv, digits, same
from torch import nn
from torch.nn import functional

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData, epoch_order
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe, Schedule, Standard
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.training import Ema, accuracy, latest_checkpoint, read_metrics, train
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
        recipe = Recipe(objective=objective, epochs=5, batch_size=64)
        result = train(model, digits(), recipe, test=tests)
        assert result.metrics[-1]["test_accuracy"] == accuracy(model, tests)
        assert accuracy(model, tests) > (0.95 if name == "normal" else 0.8)
        robust[name] = evaluate(model, tests, Linf(EPS), suite="quick").budgets[0].robust_accuracy
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


def test_no_step_of_a_schedule_stands_still():
    state = State(conv(), Recipe(epochs=2, batch_size=50), images=100)
    rates = []
    for state.epoch in range(2):
        for state.step in range(2):
            rates.append(state.learning_rate())
    assert min(rates) > 0


class Squares:
    """A penalty without state: pulls every weight to zero."""

    def __call__(self, model):
        return sum((p**2).sum() for p in model.parameters())


class Growing(nn.Module):
    """A penalty with a state: its weight grows with every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, model):
        self.calls += 1
        return self.calls * sum((p**2).sum() for p in model.parameters())


def size(net):
    return sum(float((p.detach() ** 2).sum()) for p in net.parameters())


def test_a_penalty_counts_in_the_loss_and_in_the_weights():
    base = {"epochs": 2, "batch_size": 32, "optimiser": Optimiser(learning_rate=0.1)}
    free = train(conv(), digits(limit=64), Recipe(**base))
    held = train(conv(), digits(limit=64), Recipe(penalties=((0.2, Squares()),), **base))
    assert size(held.model) < 0.8 * size(free.model)
    assert held.metrics[0]["loss"] > free.metrics[0]["loss"]


def test_the_state_of_a_penalty_is_in_the_checkpoint_and_not_in_the_recipe(tmp_path):
    penalty = Growing()
    recipe = Recipe(epochs=2, batch_size=32, penalties=((1e-4, penalty),))
    first = train(conv(), digits(limit=64), recipe, out=tmp_path)
    assert penalty.calls == 0
    assert latest_checkpoint(tmp_path)[0]["penalties"]["0/calls"] == 4
    second = train(conv(), digits(limit=64), recipe)
    assert same(first.model.state_dict(), second.model.state_dict())


@dataclass(frozen=True)
class Gain:
    """A transform: multiplies the logits, and counts that it was used."""

    by: float

    def __call__(self, model):
        return nn.Sequential(model, Times(self.by))


class Times(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by
        self.shift = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return self.by * x + self.shift


def test_transforms_are_applied_in_order_reproducibly_and_without_touching_global_state():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    recipe = Recipe(epochs=1, transforms=(Gain(2.0), Gain(3.0)))
    results = [train(conv(), digits(limit=64), recipe, seed=1) for _ in range(2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    outer = results[0].model
    assert (outer[1].by, outer[0][1].by) == (3.0, 2.0)
    assert same(*(r.model.state_dict() for r in results))


def test_global_random_state_is_left_alone_with_dropout_and_attacks():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    objective = AdversarialTraining(PGD(Linf(0.1), steps=1))
    recipe = Recipe(objective=objective, epochs=1, augmentation="crop-flip")
    train(conv(dropout=0.5), digits(limit=64), recipe)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_seed_changes_the_order_the_dropout_and_nothing_else_does():
    def result(seed, noise):
        torch.manual_seed(noise)
        return train(
            conv(dropout=0.5), digits(limit=64), Recipe(epochs=1, batch_size=16), seed=seed
        )

    first, second, third = (result(*case).model.state_dict() for case in [(0, 1), (0, 2), (1, 1)])
    assert same(first, second)
    assert not same(first, third)


def test_dropout_draws_another_mask_in_every_step():
    masks = []
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(50, 2))
    net[0].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    data = TensorData.of(torch.ones(64, 50), torch.arange(64) % 2, name="ones")
    train(net, data, Recipe(epochs=2, batch_size=32))
    drawn = [mask for mask in masks if len(mask) == 32]  # not the check before the first step
    assert len(drawn) == 4
    assert all(not torch.equal(drawn[i], drawn[j]) for i in range(4) for j in range(i))


def test_bf16_autocast_computes_in_bfloat16_and_keeps_the_weights_in_float32():
    seen = []
    net = conv()
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    result = train(net, digits(), Recipe(epochs=2, batch_size=64, autocast="bf16"))
    assert torch.bfloat16 in seen
    assert all(p.dtype is torch.float32 for p in net.parameters())
    assert result.metrics[-1]["accuracy"] > 0.6


def statistics_after(mode):
    """The running mean after one step, and that of a naive step on the images trained on."""
    net = conv(norm=True)
    attack = PGD(Linf(0.3), steps=3, start="clean")
    made = []
    candidates = attack.candidates

    def spy(*args, **kwargs):
        flags.append(net.training)
        made.append(candidates(*args, **kwargs))
        moved.append(net[1].running_mean.clone())
        return made[-1]

    flags, moved = [], []
    object.__setattr__(attack, "candidates", spy)
    objective = AdversarialTraining(attack, mode=mode)
    recipe = Recipe(objective=objective, epochs=1, batch_size=64, optimiser=Optimiser("sgd", 0.1))
    train(net, digits(limit=64), recipe)
    return net, made, moved


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_attack_does_not_move_the_running_statistics(mode):
    net, [made], [moved] = statistics_after(mode)
    assert torch.equal(moved, torch.zeros(8))  # after the attack, before the step
    naive = conv(norm=True).train()
    naive(made)
    torch.testing.assert_close(net[1].running_mean, naive[1].running_mean)
    assert net[1].num_batches_tracked == 1


def test_the_mode_decides_which_statistics_the_attack_sees():
    first, second = (statistics_after(mode)[1][0] for mode in ("eval", "train"))
    assert not torch.equal(first, second)
    assert not torch.equal(first, digits(limit=64).images(torch.arange(64)))


def test_a_loss_that_is_not_finite_names_the_learning_rate_and_spares_the_checkpoints(tmp_path):
    class Explodes:
        calls = 0

        def __call__(self, model):
            Explodes.calls += 1
            return model[0].weight.sum() * (math.inf if Explodes.calls > 5 else 0.0)

    recipe = Recipe(epochs=4, batch_size=32, penalties=((1.0, Explodes()),))
    with pytest.raises(
        InputError, match=r"loss is -?(nan|inf) in epoch 3; lower the learning rate \(0\.1\)"
    ):
        train(conv(), digits(limit=64), recipe, out=tmp_path)
    tensors, state = latest_checkpoint(tmp_path)
    assert state["epoch"] == 2
    assert all(bool(value.isfinite().all()) for value in tensors["model"].values())
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2]
    assert not (tmp_path / "model.safetensors").exists()


def test_a_huge_learning_rate_is_named():
    recipe = Recipe(epochs=3, batch_size=16, optimiser=Optimiser(learning_rate=1e30))
    with pytest.raises(InputError, match=r"lower the learning rate \(1e\+30\)"):
        train(conv(), digits(limit=64), recipe)


class Tuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = conv()

    def forward(self, x):
        return self.net(x), None


def with_nan():
    net = conv()
    net[0].weight.data[0] = math.nan
    return net


def frozen():
    return conv().requires_grad_(False)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), "the model has 4 classes"),
        (nn.Conv2d(3, 4, 3), r"the model cannot take images of shape \(1, 8, 8\)"),
        (Tuple(), "the model returns a tuple"),
        (with_nan(), r"weights contain NaN or infinity: 0\.weight"),
        (frozen(), "no weights that can be trained"),
        (nn.Flatten(), "no weights that can be trained"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, model, message):
    with pytest.raises(InputError, match=message):
        train(model, digits(limit=64), Recipe(epochs=1), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_returns_probabilities_is_warned_of():
    net = nn.Sequential(conv(), nn.Softmax(1))
    with pytest.warns(UserWarning, match="look like probabilities"):
        train(net, digits(limit=64), Recipe(epochs=1))


def test_a_batch_that_the_model_cannot_take_is_an_input_error():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    with pytest.raises(
        InputError, match=r"cannot be trained on images of shape .*more than 1 value"
    ):
        train(net, digits(limit=33), Recipe(epochs=1, batch_size=32))


def test_no_images_are_no_training():
    data = digits(limit=4).take(torch.arange(0))
    with pytest.raises(InputError, match="no images"):
        train(conv(), data, Recipe(epochs=1))


def test_float_images_and_vectors_can_be_trained_on():
    generator = torch.Generator().manual_seed(0)
    data = TensorData.of(torch.rand(64, 5, generator=generator), torch.arange(64) % 3, name="noise")
    result = train(nn.Linear(5, 3), data, Recipe(epochs=1, batch_size=16))
    assert math.isfinite(result.metrics[0]["loss"])


def test_accuracy_counts_in_evaluation_mode_and_puts_the_flags_back():
    net = conv(dropout=0.9, norm=True).train()
    net[1].eval()
    flags = [module.training for module in net.modules()]
    tests = digits("test", 90)
    first, second = (accuracy(net, tests, batch_size=size) for size in (512, 7))
    assert first == second
    assert [module.training for module in net.modules()] == flags
    predictions = net.eval()(tests.images(torch.arange(90))).argmax(1)
    assert first == float((predictions == tests.labels).double().mean())
