"""Schedules against closed forms and torch's own; the plateau against a run by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saddlepoint.configuration import configuration
from saddlepoint.defences import Optimiser, Recipe, Schedule, Validation, parse_recipe, plateaus
from saddlepoint.errors import InputError


@pytest.mark.parametrize("warmup", [100, 4000])
def test_inverse_sqrt_is_that_of_the_transformer(warmup):
    """d^-.5 · min(t^-.5, t·w^-1.5), in units of its peak."""
    total, d = 10_000, 512
    schedule = Schedule("inverse-sqrt", warmup=warmup / total)
    for step in (1, 50, 100, 101, 3999, 4000, 9999):
        published = d**-0.5 * min(step**-0.5, step * warmup**-1.5)
        peak = d**-0.5 * warmup**-0.5
        assert schedule.factor(step / total) == pytest.approx(published / peak, rel=1e-12)


@pytest.mark.parametrize("name", ["linear", "one-cycle", "cosine", "inverse-sqrt"])
def test_a_warm_up_in_epochs_is_its_share_of_them(name):
    by_epochs, by_share = Schedule(name, warmup_epochs=5), Schedule(name, warmup=0.1)
    for epoch in (0, 2.5, 5, 20, 50):
        assert by_epochs.factor(epoch / 50, 50) == by_share.factor(epoch / 50)
    assert by_epochs.factor(0.05, 50) == pytest.approx(0.5)
    assert by_epochs.factor(0.1, 50) == 1


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [("linear", 0.5, 0), ("cosine", 0.5, 0), ("inverse-sqrt", math.sqrt(1 / 5.5), math.sqrt(0.1))],
)
def test_what_follows_the_warm_up(name, middle, end):
    schedule = Schedule(name, warmup=0.1)
    assert schedule.factor(0.55) == pytest.approx(middle)
    assert schedule.factor(1.0) == pytest.approx(end)


@pytest.mark.parametrize("name", ["constant", "multi-step", "plateau"])
def test_names_that_never_warmed_up_do_so_in_epochs_alone(name):
    assert Schedule(name).factor(0.01) == 1
    assert Schedule(name, warmup_epochs=2).factor(0.1, 10) == pytest.approx(0.5)
    assert Schedule(name, warmup_epochs=2).factor(0.2, 10) == 1


def test_a_plateau_by_hand():
    errors = [0.9, 0.5, 0.6, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    #         best best  1    2    3   best   1    2    3    1    2    3
    seen = [plateaus(errors[:n], 3) for n in range(len(errors) + 1)]
    assert seen == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3]
    schedule = Schedule("plateau", patience=3)
    assert schedule.factor(0.5, errors=errors[:5]) == pytest.approx(0.1)
    assert schedule.factor(0.5, errors=errors) == pytest.approx(1e-3)


@settings(max_examples=40)
@given(
    errors=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=40),
    patience=st.integers(1, 5),
)
def test_a_plateau_is_that_of_torch(errors, patience):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.1, patience=patience - 1, threshold=0.0, eps=0.0
    )
    for number, error in enumerate(errors, start=1):
        torchs.step(error)
        expected = optimiser.param_groups[0]["lr"]
        assert 0.1 ** plateaus(errors[:number], patience) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recipe(schedule=Schedule("plateau")), "plateau looks at the validation error"),
        (lambda: Schedule("inverse-sqrt", warmup=0.0), "no warm-up to fall from"),
        (lambda: Schedule("inverse-sqrt", warmup_epochs=0), "no warm-up to fall from"),
        (lambda: Schedule("plateau", patience=0), "patience is 0"),
        (lambda: Schedule("cosine", warmup_epochs=-1), "warmup_epochs is -1"),
        (
            lambda: Recipe(epochs=5, schedule=Schedule("cosine", warmup_epochs=5)),
            "warmup_epochs is 5, and there are 5 epochs",
        ),
        (lambda: Optimiser("sgd", betas=(0.9, 0.95)), "betas and eps are of adam"),
        (lambda: Optimiser("adam", betas=(0.9,)), "give two numbers"),
        (lambda: Optimiser("adam", betas=(0.9, 1.0)), r"betas is 1.0; give a number in \[0, 1\)"),
        (lambda: Optimiser("adam", eps=0.0), "eps is 0.0; give a positive number"),
        (lambda: Optimiser(clip_norm=0.0), "clip_norm is 0.0"),
        (lambda: Optimiser(layer_decay=1.5), r"layer_decay is 1.5; give a number in \(0, 1\]"),
        (lambda: Optimiser(decay_on="biases"), 'decay_on is "biases"; it is "all" or "weights"'),
        (lambda: Recipe(mixup=0.0), "mixup is 0.0; give a positive number"),
        (lambda: parse_recipe({"mixup": 0.2, "objective": {"name": "mart", "eps": 0.1}}), "MART is a"),
        (
            lambda: parse_recipe(
                {"cutmix": 1, "objective": {"name": "awp", "objective": {"name": "mart", "eps": 0.1}}}
            ),
            "a loss of one class",
        ),
        (lambda: parse_recipe({"augmentation": ["crop", "flop"]}), "unknown augmentation 'flop'"),
        (lambda: parse_recipe({"augmentation": [{"padding": 2}]}), "an augmentation has no name"),
        (
            lambda: parse_recipe({"augmentation": [{"name": "rand-augment", "magnitude": 31}]}),
            r"magnitude is 31.0; give a number in \[0, 30\]",
        ),
        (
            lambda: parse_recipe({"augmentation": [{"name": "resized-crop", "area": [1, 0.5]}]}),
            "the smaller one first",
        ),
        (lambda: Recipe(augmentation=(3,)), "an augmentation is 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert str(caught.value).count("\n") <= 1


def test_the_new_fields_leave_recorded_recipes_their_identity():
    told = configuration(Recipe())
    assert set(told["optimiser"]) == {
        "type", "name", "learning_rate", "momentum", "nesterov", "weight_decay",
    }  # fmt: skip
    assert set(told["schedule"]) == {"type", "name", "warmup", "milestones"}
    assert not {"mixup", "cutmix"} & set(told)
    changed = Recipe(
        schedule=Schedule("plateau", patience=2), validation=Validation(), mixup=0.2,
        optimiser=Optimiser(clip_norm=1.0),
    )  # fmt: skip
    told = configuration(changed)
    assert (told["schedule"]["patience"], told["mixup"]) == (2, 0.2)
    assert told["optimiser"]["clip_norm"] == 1.0
