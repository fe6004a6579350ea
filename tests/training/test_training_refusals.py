"""What cannot be trained is refused, and what blows up does not become a checkpoint."""

from __future__ import annotations

import math

import pytest
import torch
from small import conv, digits
from torch import nn

from saddlepoint.data import TensorData
from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.errors import InputError
from saddlepoint.training import accuracy, latest_checkpoint, read_metrics, train
from saddlepoint.training.state import State


def test_a_loss_that_is_not_finite_names_the_learning_rate_and_spares_the_checkpoints(tmp_path):
    class Explodes:
        calls = 0

        def __call__(self, model):
            Explodes.calls += 1
            return model[0].weight.sum() * (math.inf if Explodes.calls > 5 else 0.0)

    recipe = Recipe(epochs=4, batch_size=32, penalties=((1.0, Explodes()),))
    with pytest.raises(
        InputError,
        match=r"loss is -?(nan|inf) in epoch 3, step 2 of 2; lower the learning rate \(0\.1\)",
    ):
        train(conv(), digits(limit=64), recipe, out=tmp_path)
    tensors, state = latest_checkpoint(tmp_path)
    assert state["epoch"] == 2
    assert all(bool(value.isfinite().all()) for value in tensors["model"].values())
    assert [record["epoch"] for record in read_metrics(tmp_path)] == [1, 2]
    assert not (tmp_path / "model.safetensors").exists()


def test_a_device_stopped_within_an_epoch_saves_no_loss_that_is_not_finite(tmp_path):
    """On a device a loss is looked at once per epoch, and when a signal asks for a checkpoint."""
    state = State(conv(), Recipe(epochs=1, batch_size=2), images=8)
    state.step, state.seen = 2, 4
    state.losses[1, 0] = math.nan
    state.sums["loss"], state.counts["loss"] = torch.tensor(math.nan), 4
    with pytest.raises(InputError, match=r"loss is nan in epoch 1, step 2 of 4"):
        state.save(tmp_path)
    assert latest_checkpoint(tmp_path) is None


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
