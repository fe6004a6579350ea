"""Catastrophic overfitting is seen, and answered as asked; the best epoch by validation is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from small import conv, digits, same

from saddlepoint.attacks import PGD
from saddlepoint.data import TensorData
from saddlepoint.defences import (
    NFGSM,
    AdversarialTraining,
    Optimiser,
    Recipe,
    Schedule,
    Standard,
    Validation,
    Watch,
)
from saddlepoint.errors import InputError
from saddlepoint.threat import Linf
from saddlepoint.training import read_metrics, run, train
from saddlepoint.training.lookout import _watched
from saddlepoint.training.split import Split

LOOK = 7  # epochs between two looks at 1,437 images


@dataclass(frozen=True)
class Forgets:
    """Learns, and from an epoch on something else unless its noise is wide: a collapse on demand."""

    threat: Linf
    noise: float = 1.0
    enough: float = 2.0
    at: int = LOOK

    def accumulate(self, model, batch):
        if batch.epoch >= self.at and self.noise < self.enough:
            batch = replace(batch, labels=(batch.labels + 1) % 10)
        return Standard().accumulate(model, batch)


def recipe(watch=None, validation=None, epochs=2 * LOOK, **forgets):
    return Recipe(
        objective=Forgets(Linf(0.02), **forgets),
        epochs=epochs,
        batch_size=64,
        optimiser=Optimiser("sgd", 0.02),
        schedule=Schedule("constant"),
        ema=0.9,
        watch=watch,
        validation=validation,
    )


def hopeless(watch, epochs=2 * LOOK):
    """Trained on images as they are, at a budget that leaves nothing: a gap from the first look on."""
    plan = recipe(watch, epochs=epochs, at=10**6)
    return replace(plan, objective=replace(plan.objective, threat=Linf(0.5)))


def test_a_network_that_never_was_robust_has_collapsed_too():
    message = (
        r"epoch 7: .* PGD-5 is 0% on 60 images, less than by guessing, where that in training is"
    )
    with pytest.warns(UserWarning, match=message) as told:
        metrics = train(conv(), digits(), hopeless(Watch())).metrics
    assert len([each for each in told if "catastrophic" in str(each.message)]) == 1
    assert metrics[LOOK - 1]["accuracy"] > 0.5
    assert [each["epoch"] for each in metrics if each.get("collapsed")] == [7, 14]


@pytest.mark.parametrize("folder", [False, True])
def test_collapsed_at_the_first_look_it_begins_again_and_then_goes_on(tmp_path, folder):
    out = tmp_path / "out" if folder else None
    with pytest.warns(UserWarning, match="catastrophic") as told:
        done = train(conv(), digits(), hopeless(Watch("roll-back", most=1), epochs=LOOK), out=out)
    messages = [str(each.message).partition("in training is")[2] for each in told]
    assert "; rolled back to the beginning, on with learning rate × 0.5" in messages[0]
    assert len(messages) == 2
    assert not done.stopped
    assert [each["epoch"] for each in done.metrics] == list(range(1, LOOK + 1))
    assert done.metrics[-1]["learning_rate"] == 0.01
    half = replace(hopeless(None, epochs=LOOK), optimiser=Optimiser("sgd", 0.01))
    assert same(done.model.state_dict(), train(conv(), digits(), half).model.state_dict())


def test_stopping_never_returns_untrained_weights():
    with pytest.warns(UserWarning, match="less than by guessing"):
        done = train(conv(), digits(), hopeless(Watch("stop"), epochs=LOOK))
    assert not done.stopped
    assert len(done.metrics) == LOOK
    assert done.metrics[-1]["collapsed"]


def test_a_collapse_is_told_once_and_noted_in_the_metrics():
    with pytest.warns(
        UserWarning, match=r"in epoch 14: the accuracy under PGD-5 fell from"
    ) as told:
        metrics = train(conv(), digits(), recipe(Watch(), epochs=3 * LOOK)).metrics
    assert len([each for each in told if "catastrophic" in str(each.message)]) == 1
    looked = {each["epoch"]: each for each in metrics if "watched_accuracy" in each}
    assert sorted(looked) == [7, 14, 21]
    assert looked[7]["watched_accuracy"] > 0.6 > looked[14]["watched_accuracy"] + 0.2
    assert "watched_accuracy_averaged" in looked[7]
    assert looked[7]["watch_seconds"] > 0
    assert looked[14]["collapsed"]


def test_stopping_ends_with_the_last_sound_weights_and_is_finished(tmp_path):
    plan = recipe(Watch(on_collapse="stop"), epochs=4 * LOOK)
    with pytest.warns(UserWarning, match="the weights are those after epoch 7"):
        stopped = train(conv(), digits(), plan, out=tmp_path)
    assert [each["epoch"] for each in read_metrics(tmp_path)] == list(range(1, LOOK + 1))
    assert "catastrophic overfitting in epoch 14" in stopped.stopped
    # The last sound weights are those of a training that ends there.
    short = train(conv(), digits(), recipe(epochs=LOOK))
    assert same(stopped.model.state_dict(), short.model.state_dict())
    again = train(conv(), digits(), plan, out=tmp_path, resume=True)
    assert again.stopped == stopped.stopped
    assert same(again.model.state_dict(), stopped.model.state_dict())


@pytest.mark.parametrize("in_folder", [False, True])
def test_rolling_back_changes_the_noise_until_it_holds(tmp_path, in_folder):
    watch = Watch(on_collapse="roll-back", change="noise")
    out = tmp_path if in_folder else None
    with pytest.warns(UserWarning, match="catastrophic") as told:
        done = train(conv(), digits(), recipe(watch), out=out)
    messages = [str(each.message) for each in told if "rolled back" in str(each.message)]
    assert [m.partition("on with ")[2] for m in messages] == ["noise × 1.5", "noise × 2.25"]
    assert [each["epoch"] for each in done.metrics] == list(range(1, 2 * LOOK + 1))
    assert done.metrics[-1]["watched_accuracy"] > 0.6
    assert done.stopped == ""


def test_rolling_back_halves_the_rate_at_most_so_often_and_then_stops(tmp_path):
    watch = Watch(on_collapse="roll-back", most=1)
    with pytest.warns(UserWarning, match="catastrophic") as told:
        done = train(conv(), digits(), recipe(watch), out=tmp_path)
    messages = " ".join(str(each.message) for each in told)
    assert "on with learning rate × 0.5" in messages
    assert "the weights are those after epoch 7" in done.stopped
    assert len(done.metrics) == LOOK


def test_the_last_epoch_is_looked_at_whatever_the_interval():
    metrics = train(conv(), digits(limit=200), recipe(Watch(), epochs=2)).metrics
    assert ["watched_accuracy" in each for each in metrics] == [False, True]
    assert metrics[-1]["watch_interval"] > 2


def test_a_roll_back_that_is_killed_half_way_ends_as_one_that_was_not(tmp_path, monkeypatch):
    watch = Watch(on_collapse="roll-back", change="noise")
    with pytest.warns(UserWarning, match="catastrophic"):
        whole = train(conv(), digits(), recipe(watch), out=tmp_path / "whole")
    assert [each["change"] for each in whole.metrics[-1]["collapses"]] == [
        "noise × 1.5",
        "noise × 2.25",
    ]

    class KilledError(Exception):
        pass

    real, calls = run.forget_checkpoints_after, []

    def killed(*args):
        calls.append(args)
        raise KilledError

    monkeypatch.setattr(run, "forget_checkpoints_after", killed)
    with pytest.warns(UserWarning, match="catastrophic"), pytest.raises(KilledError):
        train(conv(), digits(), recipe(watch), out=tmp_path / "killed")
    monkeypatch.setattr(run, "forget_checkpoints_after", real)
    with pytest.warns(UserWarning, match="catastrophic"):
        resumed = train(conv(), digits(), recipe(watch), out=tmp_path / "killed", resume=True)
    assert len(calls) == 1
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert [e["epoch"] for e in resumed.metrics] == [e["epoch"] for e in whole.metrics]
    assert resumed.metrics[-1]["collapses"] == whole.metrics[-1]["collapses"]


@pytest.mark.parametrize(("images", "every"), [(10_000, 1), (50_000, 1), (2_000, 5), (400, 24)])
def test_watching_costs_less_than_three_per_cent_of_single_step_training(images, every):
    split = Split(torch.arange(images), torch.arange(0))
    chosen, interval = _watched(split, Watch(), seed=0)
    assert 60 <= len(chosen) <= 512
    assert interval == every
    # Of two sets of weights: 5 steps each way, the clean image and the judge.
    assert len(chosen) * 2 * 12 / interval <= 0.03 * 5 * images


@pytest.mark.parametrize(
    ("watch", "objective", "message"),
    [
        (Watch(), Standard(), "nothing can be watched in Standard, which trains for no budget"),
        (
            Watch(change="noise"),
            AdversarialTraining(PGD(Linf(0.1))),
            "AdversarialTraining has no noise to change",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(watch, objective, message):
    with pytest.raises(InputError, match=message):
        Recipe(objective=objective, watch=watch)
    assert Recipe(objective=NFGSM(Linf(0.1)), watch=Watch(change="noise")).watch is not None


def test_the_best_epoch_is_kept_beside_the_last_and_patience_ends_the_training(tmp_path):
    plan = recipe(validation=Validation(share=0.2, patience=3, steps=3), epochs=20, at=5)
    done = train(conv(), digits(), plan, out=tmp_path)
    held_out = json.loads((tmp_path / "validation.json").read_text())["held_out"]
    assert len(held_out) == round(0.2 * len(digits()))
    values = [each["validation_accuracy"] for each in done.metrics]
    best = max(range(len(values)), key=values.__getitem__)
    assert best in (4, 5)  # the averaged weights turn a step later
    assert len(values) == best + 1 + 3
    assert "no better validation accuracy in 3 epochs" in done.stopped
    assert same(load_file(tmp_path / "best.safetensors"), done.best)
    # The best weights are those of a training that ends there, which sees no held-out image.
    short = train(
        conv(), digits(), recipe(validation=Validation(share=0.2, steps=3), epochs=best + 1, at=5)
    )
    assert same(short.model.state_dict(), done.best)
    again = train(conv(), digits(), plan, out=tmp_path, resume=True)
    assert same(again.best, done.best)


def test_images_that_are_held_out_are_not_trained_on():
    seen = set()

    @dataclass(frozen=True)
    class Looks:
        def accumulate(self, model, batch):
            seen.update(batch.ids.tolist())
            return Standard().accumulate(model, batch)

    plan = Recipe(objective=Looks(), epochs=2, validation=Validation(share=0.25))
    train(conv(), digits(limit=100), plan)
    split = Split.of(digits(limit=100), plan, seed=0)
    assert seen == set(split.trained_on.tolist())
    assert not seen & set(split.held_out.tolist())
    assert len(split.held_out) == 25


def test_a_share_of_no_image_is_refused():
    data = TensorData.of(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 3]), name="four")
    with pytest.raises(InputError, match=r"a validation share of 0\.1 of 4 images is 0 images"):
        train(conv(), data, Recipe(epochs=1, validation=Validation(share=0.1)))
