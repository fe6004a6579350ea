"""What trains no classifier: parts beside the model, sums by name, checks and measures of its own."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from saddlepoint.data import load_data
from saddlepoint.defences import Optimiser, Recipe, Validation
from saddlepoint.errors import InputError
from saddlepoint.objectives import Standing, StepOutput
from saddlepoint.training import train

DATA = load_data("digits", split="train", limit=96)


@dataclass(frozen=True)
class Reconstruction:
    """An autoencoder: the model encodes, and a part of the objective decodes."""

    spoilt_at: int = -1

    def begin(self, model, data):
        return Decoded(self)

    def accumulate(self, model, batch):
        raise AssertionError("what runs does")

    def check(self, model, data):
        if model(data.images(torch.arange(2)).flatten(1)).shape != (2, 8):
            raise InputError("the code has not 8 features")


class Still(Reconstruction):
    def begin(self, model, data):
        run = Decoded(self)
        run.parts.requires_grad_(False)
        return run


class Decoded(Standing):
    def __init__(self, objective):
        self.objective, self.parts, self.steps = objective, nn.Linear(8, 64), 0

    def accumulate(self, model, batch):
        self.steps += 1
        x = batch.images.flatten(1)
        loss = functional.mse_loss(self.parts(model(x)), x)
        loss.backward()
        worst = loss.detach() / (0 if self.steps == self.objective.spoilt_at else 1)
        return StepOutput(loss.detach(), {"worst_error": (worst * len(x), len(x))})

    def measure(self, model, data):
        x = data.images(torch.arange(len(data))).flatten(1)
        with torch.no_grad():
            return {"error": float(functional.mse_loss(self.parts(model(x)), x))}

    def state_dict(self):
        return dict(self.parts.state_dict())

    def load_state_dict(self, state):
        self.parts.load_state_dict(state)


RECIPE = Recipe(Reconstruction(), epochs=3, batch_size=32, optimiser=Optimiser("adam", 0.03))


def encoder():
    torch.manual_seed(0)
    return nn.Linear(64, 8)


def test_parts_learn_beside_the_model_and_what_is_measured_stands_in_the_record():
    result = train(encoder(), DATA, RECIPE, test=DATA)
    errors = [each["test_error"] for each in result.metrics]
    assert errors[-1] < 0.6 * errors[0]
    assert all(
        each["worst_error"] == each["loss"] and "accuracy" not in each for each in result.metrics
    )
    assert "worst error" in str(result)
    # A decoder that does not learn reaches less.
    torch.manual_seed(0)
    objective = Still()
    still = train(encoder(), DATA, replace(RECIPE, objective=objective), test=DATA)
    assert still.metrics[-1]["test_error"] > 1.1 * errors[-1]


def test_a_resumption_of_parts_is_bit_identical(tmp_path, monkeypatch):
    whole = train(encoder(), DATA, RECIPE, out=tmp_path / "whole")
    steps = 0

    def accumulate(self, model, batch, original=Decoded.accumulate):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt
        return original(self, model, batch)

    with monkeypatch.context() as context:
        context.setattr(Decoded, "accumulate", accumulate)
        with pytest.raises(KeyboardInterrupt):
            train(encoder(), DATA, RECIPE, out=tmp_path / "cut")
    resumed = train(encoder(), DATA, RECIPE, out=tmp_path / "cut", resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])
    assert [each["loss"] for each in whole.metrics] == [each["loss"] for each in resumed.metrics]


def test_a_sum_that_is_not_finite_is_named():
    with pytest.raises(InputError, match=r"the worst error is inf in epoch 2, step 1 of 3"):
        train(encoder(), DATA, replace(RECIPE, objective=Reconstruction(spoilt_at=4)))


def test_its_own_check_stands_in_place_of_a_classifiers():
    with pytest.raises(InputError, match="the code has not 8 features"):
        train(nn.Linear(64, 7), DATA, RECIPE)
    with pytest.raises(InputError, match="Reconstruction trains no classifier; leave it out"):
        replace(RECIPE, validation=Validation(0.1))
